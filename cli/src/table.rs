//! What commands print for people: columns, and names with values.

use serde_json::Value as Json;

/// Rows under their headings, in columns two spaces apart.
pub fn table(headings: &[&str], rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
        cells.chain([headings[column].chars().count()]).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..headings.len()).map(width).collect();
    let line = |cells: &mut dyn Iterator<Item = &str>| {
        let padded = cells.zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        format!("{}\n", padded.collect::<Vec<_>>().join("  ").trim_end())
    };
    let mut text = line(&mut headings.iter().copied());
    for row in rows {
        text.push_str(&line(&mut row.iter().map(String::as_str)));
    }
    text
}

/// The value of a field as people read it: nothing for null, a text as it is, a time to the second.
pub fn cell(of: &Json, field: &str) -> String {
    match &of[field] {
        Json::Null => "-".to_owned(),
        Json::String(text) => time(text).unwrap_or_else(|| text.clone()),
        Json::Number(number) => match number.as_f64() {
            Some(float) if number.is_f64() => format!("{float:.1}"),
            _ => number.to_string(),
        },
        other => other.to_string(),
    }
}

/// A time of the API, without the parts of a second.
fn time(text: &str) -> Option<String> {
    let shaped =
        text.len() >= 20 && text.is_ascii() && &text[4..5] == "-" && &text[10..11] == "T" && text.ends_with('Z');
    shaped.then(|| format!("{} {}", &text[..10], &text[11..19]))
}

#[cfg(test)]
mod tests {
    use super::{cell, table};
    use serde_json::json;

    #[test]
    fn columns_are_as_wide_as_what_they_hold() {
        let rows = [vec!["ä".to_owned(), "1".to_owned()], vec!["longer".to_owned(), "2".to_owned()]];
        assert_eq!(table(&["A", "N"], &rows), "A       N\nä       1\nlonger  2\n");
    }

    #[test]
    fn values_are_written_for_people() {
        let job = json!({ "at": "2026-11-21T18:48:46.123456Z", "n": 1.25, "i": 3, "none": null, "t": "x" });
        let cells = ["at", "n", "i", "none", "t", "missing"].map(|field| cell(&job, field));
        assert_eq!(cells, ["2026-11-21 18:48:46", "1.2", "3", "-", "x", "-"]);
    }
}

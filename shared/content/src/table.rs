//! Rows of cells to a Markdown table.

/// Writes rows as a Markdown table (GitHub flavour); the first row is the header. Rows are padded to the widest one.
/// Line breaks in cells become spaces, pipes are escaped.
pub(crate) fn to_markdown(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    if columns == 0 {
        return String::new();
    }
    let mut out = String::new();
    for (index, row) in rows.iter().enumerate() {
        out.push('|');
        for column in 0..columns {
            let cell = row.get(column).map(String::as_str).unwrap_or_default();
            out.push(' ');
            for (i, word) in cell.split_whitespace().enumerate() {
                if i > 0 {
                    out.push(' ');
                }
                out.push_str(&word.replace('|', "\\|"));
            }
            out.push_str(" |");
        }
        out.push('\n');
        if index == 0 {
            out.push('|');
            out.push_str(&" --- |".repeat(columns));
            out.push('\n');
        }
    }
    out.pop();
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ragged_rows_are_padded_and_pipes_escaped() {
        let rows = vec![vec!["a".into(), "b".into()], vec!["1 | 2\n3".into()]];
        assert_eq!(to_markdown(&rows), "| a | b |\n| --- | --- |\n| 1 \\| 2 3 |  |");
        assert_eq!(to_markdown(&[]), "");
    }
}

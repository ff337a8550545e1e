//! JSON and JSON Lines to blocks that can be read: headings by keys, records as tables or as lines `path: value`.

mod tree;

use crate::document::{Builder, MAX_CHARS};
use crate::table::{self, Header};
use crate::{BlockKind, ContentError, ExtractOptions, Extracted, MediaType, Metadata, charset, plain};
use tree::Value;

/// Keys of an object this many levels down are headings; below they are part of paths.
const MAX_HEADING: u8 = 3;

/// Text longer than this is a paragraph of its own, in characters.
const LONG: usize = 200;

/// Columns a table of records may have, and characters a cell may have on average.
const TABLE: (usize, usize) = (20, 80);

/// Reads JSON. What is none, though it was said to be, is read as text.
pub(crate) fn extract(bytes: &[u8], options: &ExtractOptions) -> Result<Extracted, ContentError> {
    let (text, warning) = charset::decode(bytes, options.declared.as_deref(), None)?;
    let Some(value) = tree::parse(&text)? else { return plain::extract(bytes, options) };
    let mut builder = Builder::default();
    let title = value.get("title").or_else(|| value.get("name")).and_then(Value::line);
    push(&mut builder, &value, 1)?;
    builder.bounded()?;
    let metadata = Metadata { title: title.filter(|title| title.chars().count() <= LONG), ..Metadata::default() };
    Ok(builder.finish(MediaType::Json, metadata, warning.into_iter().collect()))
}

/// Appends a value; keys of objects become headings of this level.
fn push(builder: &mut Builder, value: &Value, level: u8) -> Result<(), ContentError> {
    builder.bounded()?;
    match value {
        Value::Nothing => {}
        Value::Text(text) => builder.push(BlockKind::Paragraph, None, text),
        Value::List(values) => list(builder, values)?,
        Value::Map(_) if level > MAX_HEADING => record(builder, value)?,
        Value::Map(members) => {
            let (simple, composed): (Vec<_>, Vec<_>) = members.iter().partition(|(_, value)| value.line().is_some());
            let mut lines = String::new();
            for (key, value) in simple {
                line(&mut lines, key, &value.line().unwrap_or_default())?;
            }
            flush(builder, &mut lines);
            for (key, value) in composed {
                if !value.is_empty() {
                    builder.push(BlockKind::Heading { level }, None, key);
                    push(builder, value, level + 1)?;
                }
            }
        }
    }
    Ok(())
}

/// A list of records as a table where it is one, as paragraphs otherwise; a list of texts as one.
fn list(builder: &mut Builder, values: &[Value]) -> Result<(), ContentError> {
    if let Some(rows) = records(values) {
        table::push(builder, None, &rows, Header::First);
        return builder.bounded();
    }
    for value in values {
        match value.line() {
            Some(text) => builder.push(BlockKind::ListItem, None, &format!("- {text}")),
            None => record(builder, value)?,
        }
        builder.bounded()?;
    }
    Ok(())
}

/// The rows of a table, header first, if the values are objects with much the same keys and short values.
fn records(values: &[Value]) -> Option<Vec<Vec<String>>> {
    let mut columns: Vec<&str> = Vec::new();
    let (mut cells, mut chars) = (0, 0);
    for value in values {
        let Value::Map(members) = value else { return None };
        for (key, value) in members {
            let text = value.line().or_else(|| value.is_empty().then(String::new))?;
            cells += usize::from(!text.is_empty());
            chars += text.len();
            if !columns.contains(&key.as_str()) {
                columns.push(key);
            }
            if columns.len() > TABLE.0 {
                return None;
            }
        }
    }
    // Half of the cells at least should hold something.
    let sparse = cells * 2 < columns.len() * values.len();
    if values.len() < 2 || columns.len() < 2 || sparse || chars > TABLE.1 * cells {
        return None;
    }
    let row =
        |value: &Value| columns.iter().map(|key| value.get(key).and_then(Value::line).unwrap_or_default()).collect();
    let header = columns.iter().map(|key| (*key).to_owned()).collect();
    Some([header].into_iter().chain(values.iter().map(row)).collect())
}

/// One record as a paragraph of lines `path: value`.
fn record(builder: &mut Builder, value: &Value) -> Result<(), ContentError> {
    let mut lines = String::new();
    flat(builder, &mut lines, "", value)?;
    flush(builder, &mut lines);
    builder.bounded()
}

fn flat(builder: &mut Builder, lines: &mut String, path: &str, value: &Value) -> Result<(), ContentError> {
    if let Some(text) = value.line() {
        if text.chars().nth(LONG).is_some() {
            flush(builder, lines);
            let text = if path.is_empty() { text } else { format!("{path}: {text}") };
            builder.push(BlockKind::Paragraph, None, &text);
            return builder.bounded();
        }
        return line(lines, path, &text);
    }
    match value {
        Value::Map(members) => {
            for (key, value) in members {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                flat(builder, lines, &path, value)?;
            }
        }
        Value::List(values) => {
            for (at, value) in (1..).zip(values) {
                flat(builder, lines, &format!("{path}[{at}]"), value)?;
            }
        }
        Value::Nothing | Value::Text(_) => {}
    }
    Ok(())
}

/// A path that is long and said for each of many values could fill memory.
fn line(lines: &mut String, path: &str, text: &str) -> Result<(), ContentError> {
    if lines.len() > 4 * MAX_CHARS {
        return Err(ContentError::TooMuchText { max: MAX_CHARS });
    }
    if !lines.is_empty() {
        lines.push('\n');
    }
    if !path.is_empty() {
        lines.push_str(path);
        lines.push_str(": ");
    }
    lines.push_str(text);
    Ok(())
}

fn flush(builder: &mut Builder, lines: &mut String) {
    builder.push(BlockKind::Paragraph, None, lines);
    lines.clear();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(source: &str) -> Extracted {
        extract(source.as_bytes(), &ExtractOptions::default()).unwrap()
    }

    #[test]
    fn objects_become_headings_and_lines() {
        let doc = read(
            r#"{"title": "Mill", "built": 1978, "id": 12345678901234567890123, "open": true, "gone": null, "tags": ["rye", "oats"],
                "address": {"town": "Wenbourne", "geo": {"lat": 1.10, "spots": [{"x": 1, "y": {"z": 2}}, {"x": 3, "y": {}}]}}}"#,
        );
        assert_eq!(
            doc.text,
            "title: Mill\nbuilt: 1978\nid: 12345678901234567890123\nopen: true\ntags: rye, oats\n\naddress\n\ntown: Wenbourne\n\ngeo\n\nlat: 1.10\n\nspots\n\nx: 1\ny.z: 2\n\nx: 3"
        );
        assert_eq!(doc.blocks[1].kind, BlockKind::Heading { level: 1 });
        assert_eq!((doc.metadata.title.as_deref(), doc.media_type), (Some("Mill"), MediaType::Json));
    }

    #[test]
    fn records_are_a_table_and_so_are_json_lines() {
        let table = "| name | t |\n| --- | --- |\n| A | 1 |\n| B |  |";
        assert_eq!(read(r#"[{"name": "A", "t": 1}, {"name": "B", "t": null}]"#).text, table);
        assert_eq!(read("{\"name\": \"A\", \"t\": 1}\n\n{\"name\": \"B\"}\n").text, table);
    }

    #[test]
    fn records_with_long_texts_keep_their_keys() {
        let long = "word ".repeat(60);
        let doc =
            read(&format!(r#"[{{"id": 1, "body": "{long}"}}, {{"id": 2, "body": "{long}", "by": {{"name": "A"}}}}]"#));
        assert!(doc.text.starts_with("id: 1\n\nbody: word word"), "{}", doc.text);
        assert!(doc.text.ends_with("by.name: A"), "{}", doc.text);
    }

    #[test]
    fn what_is_no_json_is_text_and_what_has_no_bottom_is_refused() {
        assert_eq!(read("{ not: json }").media_type, MediaType::Text);
        assert_eq!(read("3.5").text, "3.5");
        let deep = "[".repeat(100_000) + &"]".repeat(100_000);
        assert_eq!(extract(deep.as_bytes(), &ExtractOptions::default()).unwrap_err().code(), "too-deep");
        let wide = format!("[{}1]", "1,".repeat(3_000_000));
        assert_eq!(extract(wide.as_bytes(), &ExtractOptions::default()).unwrap_err().code(), "too-many-elements");
    }
}

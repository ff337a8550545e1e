//! CSV and its kin to tables: the separator is found out, long tables are cut with their header repeated.

use csv::{ReaderBuilder, StringRecord};

use crate::document::{Builder, MAX_CHARS};
use crate::region::{Cell, Region};
use crate::{ContentError, ExtractOptions, Extracted, MediaType, Metadata, charset};

/// Lines that are looked at to find the separator.
const SAMPLE_LINES: usize = 50;

/// Separators, in the order they are believed.
const SEPARATORS: [u8; 4] = [b',', b';', b'\t', b'|'];

/// Reads values separated by commas, semicolons, tabs or bars.
pub(crate) fn extract(bytes: &[u8], options: &ExtractOptions) -> Result<Extracted, ContentError> {
    let (text, warning) = charset::decode(bytes, options.declared.as_deref(), None)?;
    // Excel writes and obeys a first line that names the separator.
    let (said, text) = match text.strip_prefix("sep=").and_then(|rest| rest.split_once('\n')) {
        Some((said, rest)) if said.trim_end().len() == 1 => (said.bytes().next(), rest),
        _ => (None, &*text),
    };
    let separator = said.or_else(|| separator(text)).unwrap_or(b',');
    let mut reader =
        ReaderBuilder::new().delimiter(separator).has_headers(false).flexible(true).from_reader(text.as_bytes());
    let mut builder = Builder::default();
    let mut region = Region::default();
    let (mut record, mut number, mut chars) = (StringRecord::new(), 0, 0);
    while let Ok(true) = reader.read_record(&mut record) {
        let cells: Vec<(usize, Cell)> = record
            .iter()
            .enumerate()
            .filter(|(_, value)| !value.trim().is_empty())
            .map(|(column, value)| (column, Cell { text: value.trim().to_owned(), number: is_number(value.trim()) }))
            .collect();
        chars += cells.iter().map(|(_, cell)| cell.text.len()).sum::<usize>();
        if chars / 4 > MAX_CHARS {
            return Err(ContentError::TooMuchText { max: MAX_CHARS });
        }
        // An empty line does not end the table: what follows has the same columns.
        number += u64::from(!cells.is_empty());
        region.row(&mut builder, None, number, cells);
    }
    region.flush(&mut builder, None);
    builder.bounded()?;
    Ok(builder.finish(MediaType::Csv, Metadata::default(), warning.into_iter().collect()))
}

/// The separator by which most of the first lines fall into the same number of fields, if any does: at least two.
pub(crate) fn separator(text: &str) -> Option<u8> {
    let mut best = None;
    for separator in SEPARATORS {
        let mut reader =
            ReaderBuilder::new().delimiter(separator).has_headers(false).flexible(true).from_reader(text.as_bytes());
        let widths: Vec<usize> = reader.records().take(SAMPLE_LINES).map_while(Result::ok).map(|r| r.len()).collect();
        let Some(usual) = usual(&widths).filter(|width| *width > 1) else { continue };
        let alike = widths.iter().filter(|width| **width == usual).count() * 100 / widths.len();
        // Of two that part lines equally well, the one that parts them more often.
        if best.is_none_or(|(least, width, _)| (alike, usual) > (least, width)) {
            best = Some((alike, usual, separator));
        }
    }
    best.map(|(_, _, separator)| separator)
}

/// Whether a text whose type nobody named is a table: five lines or more, all of them with the same three fields or more,
/// or two that tabs part, none of them long.
pub(crate) fn looks_like(text: &str) -> bool {
    let Some(separator) = separator(text) else { return false };
    let mut reader =
        ReaderBuilder::new().delimiter(separator).has_headers(false).flexible(true).from_reader(text.as_bytes());
    let rows: Vec<StringRecord> = reader.records().take(SAMPLE_LINES).map_while(Result::ok).collect();
    // A sample may end in the middle of a line.
    let rows = rows.get(..rows.len().saturating_sub(1)).unwrap_or_default();
    let width = rows.first().map_or(0, StringRecord::len);
    let short = |row: &StringRecord| row.iter().all(|value| value.chars().count() <= 60);
    rows.len() >= 4
        && width >= (if separator == b'\t' { 2 } else { 3 })
        && rows.iter().all(|row| row.len() == width && short(row))
}

/// The most frequent width; of several the widest.
fn usual(widths: &[usize]) -> Option<usize> {
    let count = |width: &usize| widths.iter().filter(|other| *other == width).count();
    widths.iter().copied().max_by_key(|width| (count(width), *width))
}

/// Numbers, amounts, percentages, dates and times in any notation: names of columns have letters.
fn is_number(value: &str) -> bool {
    value.bytes().any(|byte| byte.is_ascii_digit())
        && value.chars().all(|c| {
            c.is_ascii_digit()
                || matches!(
                    c,
                    '.' | ','
                        | ':'
                        | '-'
                        | '+'
                        | '/'
                        | '%'
                        | '€'
                        | '$'
                        | '£'
                        | '¥'
                        | ' '
                        | '\u{a0}'
                        | '\''
                        | '('
                        | ')'
                        | 'e'
                        | 'E'
                        | 'T'
                        | 'Z'
                )
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(source: &[u8]) -> Extracted {
        extract(source, &ExtractOptions::default()).unwrap()
    }

    #[test]
    fn the_separator_is_found_out() {
        for source in ["a,b;c\n1,\"2;3\"\n", "a;b,c\n1;\"2,3\"\n", "a\tb,c\n1\t\"2,3\"\n", "sep=|\r\na|b,c\n1|2,3\n"] {
            let doc = read(source.as_bytes());
            assert_eq!(doc.text.lines().next().unwrap().matches(" | ").count(), 1, "{source}: {}", doc.text);
            assert_eq!(doc.media_type, MediaType::Csv);
        }
        assert_eq!(
            read(b"Name;Wert\nEnergie;1,5\nWasser;2,25\n").text,
            "| Name | Wert |\n| --- | --- |\n| Energie | 1,5 |\n| Wasser | 2,25 |"
        );
    }

    #[test]
    fn quotes_line_breaks_and_charsets_are_read() {
        let (bytes, _, _) =
            encoding_rs::WINDOWS_1252.encode("M\u{fc}hle,Notiz\r\n\"Wien, \"\"alt\"\"\",\"zwei\r\nZeilen\"\r\n");
        assert_eq!(read(&bytes).text, "| Mühle | Notiz |\n| --- | --- |\n| Wien, \"alt\" | zwei Zeilen |");
    }

    #[test]
    fn rows_of_numbers_are_no_header_but_years_are() {
        assert_eq!(read(b"1,2\n3,4\n").text, "|  |  |\n| --- | --- |\n| 1 | 2 |\n| 3 | 4 |");
        assert_eq!(read(b"Country,2019,2020\nAustria,1,2\n").text.lines().next(), Some("| Country | 2019 | 2020 |"));
    }

    #[test]
    fn long_tables_repeat_their_header() {
        let mut source = "Machine,Tonnes,Remark\n".to_owned();
        for at in 0..2_000 {
            source += &format!("Roller {at},{}.5,checked and found in order\n\n", at * 3);
        }
        let doc = read(source.as_bytes());
        let headers = doc.text.matches("| Machine | Tonnes | Remark |").count();
        assert_eq!(headers, doc.blocks.len());
        assert!((40..400).contains(&headers), "{headers}");
        assert!(doc.text.contains("| Roller 1999 | 5997.5 |"));
    }

    #[test]
    fn prose_with_commas_is_no_table() {
        assert!(!looks_like(
            "Dear all,\nas I said, wheat, rye and oats, all of them,\nare here, there,\nand, well, everywhere.\nBye,\nA\n"
        ));
        assert!(looks_like("a,b,c\n1,2,3\n1,2,3\n1,2,3\n1,2,3\n1,2,3\n"));
        assert!(looks_like("a\tb\n1\t2\n1\t2\n1\t2\n1\t2\n"));
    }
}

//! Rows of cells to Markdown tables.

use crate::BlockKind;
use crate::document::Builder;

/// How much of a table is one block, as [`weight`] has it: a little less than fits into a chunk, so that a chunk keeps the
/// names of its columns.
const MAX_WEIGHT: usize = 350;

/// …and how many times the weight of its header a block may have at least: a wide header is not repeated for each row.
const HEADER_SHARE: usize = 5;

/// What the first row of a table is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Header {
    /// The names of the columns.
    First,
    /// A row like the others: the columns have no names.
    None,
}

/// Appends a table; a long one as several blocks, each with the header.
pub(crate) fn push(builder: &mut Builder, page: Option<u32>, rows: &[Vec<String>], header: Header) {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let nameless = vec![String::new(); columns];
    let (head, body) = match (header, rows.split_first()) {
        (Header::First, Some((first, body))) => (first, body),
        _ => (&nameless, rows),
    };
    let room = MAX_WEIGHT.max(HEADER_SHARE * weight(head)) - weight(head);
    let mut start = 0;
    while start < body.len() || (start == 0 && header == Header::First) {
        let mut used = 0;
        let fitting = body[start..].iter().take_while(|row| {
            used += weight(row);
            used <= room
        });
        let end = (start + fitting.count().max(1)).min(body.len());
        let part: Vec<&[String]> =
            [head.as_slice()].into_iter().chain(body[start..end].iter().map(Vec::as_slice)).collect();
        builder.push(BlockKind::Table, page, &to_markdown(&part));
        start = end.max(1);
    }
}

/// About as many tokens as a row of a table has: English and code have some three letters to a token, most other
/// scripts one, and each cell has its bar.
fn weight(row: &[String]) -> usize {
    let cell = |cell: &String| {
        let ascii = cell.bytes().filter(u8::is_ascii).count();
        let other = cell.chars().filter(|c| !c.is_ascii()).count();
        2 + ascii * 2 / 5 + other
    };
    row.iter().map(cell).sum()
}

/// Cells that padding may add for each cell that is there…
const PADDING: usize = 3;

/// …and in any table, however few cells it has.
const FREE_PADDING: usize = 1_000;

/// Writes rows as a Markdown table (GitHub flavour); the first row is the header. Rows are padded to the widest one.
/// Line breaks in cells become spaces, pipes are escaped.
///
/// A table far more ragged than any real one keeps its rows as short as they are, all but the header: padded, one wide
/// row would make all others as wide. That is valid too, for readers add what a row lacks (GitHub Flavored Markdown
/// Spec, 4.10), and keeps the length proportional to what is in the cells.
pub(crate) fn to_markdown<R: AsRef<[String]>>(rows: &[R]) -> String {
    let columns = rows.iter().map(|row| row.as_ref().len()).max().unwrap_or(0);
    if columns == 0 {
        return String::new();
    }
    let cells: usize = rows.iter().map(|row| row.as_ref().len()).sum();
    let padded = columns.saturating_mul(rows.len()) - cells <= cells.saturating_mul(PADDING).max(FREE_PADDING);
    let mut out = String::new();
    for (index, row) in rows.iter().enumerate() {
        let row = row.as_ref();
        let width = if padded || index == 0 { columns } else { row.len().max(1) };
        out.push('|');
        for column in 0..width {
            out.push(' ');
            push_cell(&mut out, row.get(column).map(String::as_str).unwrap_or_default());
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

fn push_cell(out: &mut String, cell: &str) {
    for (index, word) in cell.split_whitespace().enumerate() {
        if index > 0 {
            out.push(' ');
        }
        out.push_str(&word.replace('|', "\\|"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ragged_rows_are_padded_and_pipes_escaped() {
        let rows = vec![vec!["a".into(), "b".into()], vec!["1 | 2\n3".into()]];
        assert_eq!(to_markdown(&rows), "| a | b |\n| --- | --- |\n| 1 \\| 2 3 |  |");
        assert_eq!(to_markdown::<Vec<String>>(&[]), "");
    }

    #[test]
    fn each_piece_of_a_long_table_has_the_header_and_fits_into_a_chunk() {
        let mut rows = vec![["Machine", "Serial number", "Tonnes", "Note"].map(str::to_owned).to_vec()];
        for at in 0..300_u64 {
            let note = if at % 7 == 0 { "gründlich geölt 整備済み" } else { "" };
            rows.push(vec![
                format!("Roller {at}"),
                format!("{}", 982_451_653_u64 * at),
                format!("{}.5", at * 31),
                note.into(),
            ]);
        }
        let mut builder = Builder::default();
        push(&mut builder, Some(2), &rows, Header::First);
        let document = builder.finish(crate::MediaType::Csv, crate::Metadata::default(), Vec::new());
        assert!(document.blocks.len() > 10, "{}", document.blocks.len());
        let chars: Vec<char> = document.text.chars().collect();
        let mut seen = 0;
        for block in &document.blocks {
            let text: String = chars[block.start..block.end].iter().collect();
            assert!(text.starts_with("| Machine | Serial number | Tonnes | Note |\n| --- |"));
            assert!(crate::tokens::count(&text) <= 400, "{}", crate::tokens::count(&text));
            seen += text.lines().count() - 2;
        }
        assert_eq!(seen, 300);
    }

    #[test]
    fn a_header_alone_is_a_table_and_one_without_names_keeps_its_first_row() {
        let of = |rows: &[Vec<String>], header| {
            let mut builder = Builder::default();
            push(&mut builder, None, rows, header);
            builder.finish(crate::MediaType::Csv, crate::Metadata::default(), Vec::new()).text
        };
        let row = vec![vec!["1".to_owned(), "2".to_owned()]];
        assert_eq!(of(&row, Header::First), "| 1 | 2 |\n| --- | --- |");
        assert_eq!(of(&row, Header::None), "|  |  |\n| --- | --- |\n| 1 | 2 |");
        assert_eq!(of(&[], Header::None), "");
    }

    #[test]
    fn one_wide_row_does_not_widen_thousands() {
        let mut rows = vec![vec!["a".to_owned(); 10_000]];
        rows.extend(vec![vec!["b".to_owned()]; 5_000]);
        let table = to_markdown(&rows);
        assert!(table.len() < 15 * 15_000, "{} bytes", table.len());
        assert!(table.ends_with("| b |\n| b |"));
        // The header has a cell for every column even when another row is the widest.
        rows.swap(0, 1);
        let header = to_markdown(&rows);
        let pipes = |line: Option<&str>| line.map(|line| line.matches('|').count());
        assert_eq!((pipes(header.lines().next()), pipes(header.lines().nth(1))), (Some(10_001), Some(10_001)));
    }
}

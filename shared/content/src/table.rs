//! Rows of cells to a Markdown table.

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
pub(crate) fn to_markdown(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    if columns == 0 {
        return String::new();
    }
    let cells: usize = rows.iter().map(Vec::len).sum();
    let padded = columns.saturating_mul(rows.len()) - cells <= cells.saturating_mul(PADDING).max(FREE_PADDING);
    let mut out = String::new();
    for (index, row) in rows.iter().enumerate() {
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
        assert_eq!(to_markdown(&[]), "");
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

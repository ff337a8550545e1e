//! Cells that stand together: a sheet or a file of values may hold tables with titles and remarks around them.

use std::collections::BTreeSet;

use crate::BlockKind;
use crate::document::Builder;
use crate::table::{self, Header};

/// Lines of a single column that are one paragraph.
const MAX_LINES: usize = 20;

/// A cell that is not empty.
#[derive(Debug)]
pub(crate) struct Cell {
    pub(crate) text: String,
    /// A number, a date or a percentage.
    pub(crate) number: bool,
}

/// Rows without an empty one between them.
#[derive(Debug, Default)]
pub(crate) struct Region {
    rows: Vec<Vec<(usize, Cell)>>,
    last: u64,
}

impl Region {
    /// Takes the next row; an empty one, or one that is left out, ends the region.
    pub(crate) fn row(&mut self, builder: &mut Builder, page: Option<u32>, number: u64, mut cells: Vec<(usize, Cell)>) {
        if cells.is_empty() {
            return;
        }
        if number != self.last.wrapping_add(1) {
            self.flush(builder, page);
        }
        cells.sort_by_key(|(column, _)| *column);
        self.last = number;
        self.rows.push(cells);
    }

    /// Ends the region.
    pub(crate) fn flush(&mut self, builder: &mut Builder, page: Option<u32>) {
        let rows = std::mem::take(&mut self.rows);
        // A title above a table, or a remark below it, fills one cell of a row.
        let wide = |row: &Vec<(usize, Cell)>| row.len() > 1;
        let Some(first) = rows.iter().position(wide) else {
            return lines(builder, page, &rows);
        };
        let end = rows.iter().rposition(wide).map_or(rows.len(), |at| at + 1);
        lines(builder, page, &rows[..first]);
        let columns: BTreeSet<usize> = rows[first..end].iter().flatten().map(|(column, _)| *column).collect();
        let columns: Vec<usize> = columns.into_iter().collect();
        // Years are numbers and name columns.
        let named = rows[first].iter().all(|(_, cell)| !cell.number || is_year(&cell.text));
        let table: Vec<Vec<String>> = rows[first..end].iter().map(|row| placed(row, &columns)).collect();
        // A single row has no names for its columns, nor needs any.
        let header = if named || table.len() == 1 { Header::First } else { Header::None };
        table::push(builder, page, &table, header);
        lines(builder, page, &rows[end..]);
    }
}

/// The cells of a row at their columns, without those at the end that are empty.
fn placed(row: &[(usize, Cell)], columns: &[usize]) -> Vec<String> {
    let mut cells: Vec<String> = Vec::with_capacity(row.len());
    for (column, cell) in row {
        let at = columns.partition_point(|other| other < column);
        cells.resize(at, String::new());
        cells.push(cell.text.clone());
    }
    cells
}

fn is_year(text: &str) -> bool {
    matches!(text.parse::<u32>(), Ok(1500..2200))
}

fn lines(builder: &mut Builder, page: Option<u32>, rows: &[Vec<(usize, Cell)>]) {
    for part in rows.chunks(MAX_LINES) {
        let text: Vec<&str> = part.iter().flatten().map(|(_, cell)| cell.text.trim()).collect();
        builder.push(BlockKind::Paragraph, page, &text.join("\n"));
    }
}

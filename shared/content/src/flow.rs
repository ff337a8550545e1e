//! Blocks as they come out of a word processor's document: paragraphs that may stand in tables, and tables in tables.

use crate::document::{Builder, MAX_CHARS};
use crate::{BlockKind, ContentError, table};

/// Cells longer than this on average, in characters, speak for a table that only lays out a page.
const LAYOUT_CELL: usize = 400;

/// Empty cells that one cell may stand for besides itself.
const MAX_SPAN: usize = 200;

/// A block on its way.
#[derive(Debug)]
struct Piece {
    kind: BlockKind,
    text: String,
}

/// A table on its way: rows of cells of blocks.
#[derive(Debug, Default)]
struct Grid {
    rows: Vec<Vec<Vec<Piece>>>,
    /// Columns that the cell at hand takes besides its own.
    span: usize,
    chars: usize,
}

impl Grid {
    fn end_cell(&mut self) {
        let span = std::mem::take(&mut self.span);
        if let Some(row) = self.rows.last_mut() {
            row.extend((0..span).map(|_| Vec::new()));
        }
    }
}

/// Takes blocks and tables in reading order.
#[derive(Debug, Default)]
pub(crate) struct Flow {
    builder: Builder,
    /// The page that blocks are on.
    pub(crate) page: Option<u32>,
    grids: Vec<Grid>,
    /// Lines of code whose block has not ended yet.
    code: Vec<String>,
}

impl Flow {
    /// Takes a block.
    pub(crate) fn block(&mut self, kind: BlockKind, text: String) -> Result<(), ContentError> {
        if kind == BlockKind::Code && self.grids.is_empty() {
            self.code.push(text);
            return Ok(());
        }
        if text.trim().is_empty() {
            return Ok(());
        }
        self.end_code();
        let Some(grid) = self.grids.last_mut() else {
            self.builder.push(kind, self.page, &text);
            return self.builder.bounded();
        };
        grid.chars += text.len();
        if grid.chars > 4 * MAX_CHARS {
            return Err(ContentError::TooMuchText { max: MAX_CHARS });
        }
        let piece = Piece { kind, text };
        match grid.rows.last_mut().and_then(|row| row.last_mut()) {
            Some(cell) => cell.push(piece),
            // Outside of any cell, which no program writes.
            None => grid.rows.push(vec![vec![piece]]),
        }
        Ok(())
    }

    /// Begins a table.
    pub(crate) fn open_table(&mut self) {
        self.end_code();
        self.grids.push(Grid::default());
    }

    /// Begins a row.
    pub(crate) fn open_row(&mut self) {
        if let Some(grid) = self.grids.last_mut() {
            grid.end_cell();
            grid.rows.push(Vec::new());
        }
    }

    /// Begins a cell.
    pub(crate) fn open_cell(&mut self) {
        if let Some(grid) = self.grids.last_mut() {
            grid.end_cell();
            match grid.rows.last_mut() {
                Some(row) => row.push(Vec::new()),
                None => grid.rows.push(vec![Vec::new()]),
            }
        }
    }

    /// Makes the cell at hand `columns` wide.
    pub(crate) fn widen_cell(&mut self, columns: usize) {
        if let Some(grid) = self.grids.last_mut() {
            grid.span = columns.saturating_sub(1).min(MAX_SPAN);
        }
    }

    /// Ends a table. Within another its rows become lines of the cell; one that only lays out a page becomes what is in
    /// its cells.
    pub(crate) fn close_table(&mut self) -> Result<(), ContentError> {
        let Some(Grid { mut rows, .. }) = self.grids.pop() else { return Ok(()) };
        if !self.grids.is_empty() {
            for row in rows {
                let cells: Vec<String> = row.iter().map(|cell| told(cell)).filter(|cell| !cell.is_empty()).collect();
                self.block(BlockKind::Paragraph, cells.join(", "))?;
            }
            return Ok(());
        }
        rows.retain(|row| row.iter().any(|cell| !cell.is_empty()));
        let columns = rows.iter().map(|row| row.iter().filter(|cell| !cell.is_empty()).count()).max().unwrap_or(0);
        let cells = rows.iter().flatten().filter(|cell| !cell.is_empty()).count();
        let chars: usize = rows.iter().flatten().flatten().map(|piece| piece.text.len()).sum();
        if columns < 2 || rows.len() < 2 || chars > LAYOUT_CELL * cells {
            for piece in rows.into_iter().flatten().flatten() {
                self.builder.push(piece.kind, self.page, &piece.text);
            }
        } else {
            let rows: Vec<Vec<String>> = rows.iter().map(|row| row.iter().map(|cell| told(cell)).collect()).collect();
            table::push(&mut self.builder, self.page, &rows, table::Header::First);
        }
        self.builder.bounded()
    }

    /// The blocks.
    pub(crate) fn finish(mut self) -> Result<Builder, ContentError> {
        while !self.grids.is_empty() {
            self.close_table()?;
        }
        self.end_code();
        Ok(self.builder)
    }

    /// Neighbouring lines of code are one block.
    fn end_code(&mut self) {
        let code = std::mem::take(&mut self.code).join("\n");
        self.builder.push(BlockKind::Code, self.page, &code);
    }
}

fn told(cell: &[Piece]) -> String {
    cell.iter().map(|piece| piece.text.trim()).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{MediaType, Metadata};

    fn text(flow: Flow) -> String {
        flow.finish().unwrap().finish(MediaType::Docx, Metadata::default(), Vec::new()).text
    }

    fn row(flow: &mut Flow, cells: &[&str]) {
        flow.open_row();
        for cell in cells {
            flow.open_cell();
            flow.block(BlockKind::Paragraph, (*cell).to_owned()).unwrap();
        }
    }

    #[test]
    fn a_table_in_a_cell_becomes_its_lines() {
        let mut flow = Flow::default();
        flow.open_table();
        row(&mut flow, &["Part", "Size"]);
        row(&mut flow, &["Sieve"]);
        flow.open_cell();
        flow.open_table();
        row(&mut flow, &["fine", "0.2 mm"]);
        flow.close_table().unwrap();
        flow.close_table().unwrap();
        assert_eq!(text(flow), "| Part | Size |\n| --- | --- |\n| Sieve | fine, 0.2 mm |");
    }

    #[test]
    fn a_table_of_one_column_is_layout() {
        let mut flow = Flow::default();
        flow.open_table();
        row(&mut flow, &["One"]);
        row(&mut flow, &["Two"]);
        flow.close_table().unwrap();
        assert_eq!(text(flow), "One\n\nTwo");
    }

    #[test]
    fn lines_of_code_are_one_block() {
        let mut flow = Flow::default();
        for line in ["fn main() {", "    run();", "}"] {
            flow.block(BlockKind::Code, line.to_owned()).unwrap();
        }
        flow.block(BlockKind::Paragraph, "After".to_owned()).unwrap();
        assert_eq!(text(flow), "fn main() {\n    run();\n}\n\nAfter");
    }
}

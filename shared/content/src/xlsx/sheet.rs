//! The cells of one sheet, row by row.

use super::formats::Formats;
use super::strings;
use crate::ContentError;
use crate::document::{Builder, MAX_CHARS};
use crate::region::{Cell, Region};
use crate::xml::{Node, Tag, Xml};

/// The last column a sheet can have, counted from 0: XFD.
const LAST_COLUMN: usize = 16_383;

/// A cell on its way.
#[derive(Debug, Default)]
struct Draft {
    column: usize,
    kind: String,
    style: Option<usize>,
    value: String,
}

/// Reads a sheet; false if it breaks off. `before` is how many characters the document has already.
pub(super) fn read(
    builder: &mut Builder,
    page: u32,
    xml: &mut Xml<'_>,
    shared: &[String],
    formats: &Formats,
    before: usize,
) -> Result<bool, ContentError> {
    let mut region = Region::default();
    let (mut row, mut column, mut chars) = (0_u64, 0, 0);
    let mut cells: Vec<(usize, Cell)> = Vec::new();
    let mut draft = None;
    let whole = loop {
        match xml.next() {
            Ok(Some(Node::Open(tag))) => match tag.name() {
                "row" => {
                    row = tag.number("r").unwrap_or(row.wrapping_add(1));
                    column = 0;
                }
                "c" => draft = Some(Draft::of(&tag, column)),
                "v" => {
                    let Ok(text) = xml.text() else { break false };
                    if let Some(draft) = &mut draft {
                        draft.value = text;
                    }
                }
                "is" => {
                    let Some(text) = strings::one(xml, "is") else { break false };
                    if let Some(draft) = &mut draft {
                        draft.value = text;
                    }
                }
                _ => {}
            },
            Ok(Some(Node::Close(name))) => match &*name {
                "c" => {
                    let Some(draft) = draft.take() else { continue };
                    column = draft.column + 1;
                    if let Some(cell) = draft.cell(shared, formats) {
                        chars += cell.text.len();
                        cells.push((column - 1, cell));
                    }
                    // Bytes are not characters, but no text has more than four to one.
                    if before + chars / 4 > MAX_CHARS {
                        return Err(ContentError::TooMuchText { max: MAX_CHARS });
                    }
                }
                "row" => region.row(builder, Some(page), row, std::mem::take(&mut cells)),
                "sheetData" => break true,
                _ => {}
            },
            Ok(Some(Node::Text(_))) => {}
            Ok(None) => break true,
            Err(_) => break false,
        }
    };
    region.row(builder, Some(page), row, cells);
    region.flush(builder, Some(page));
    Ok(whole)
}

impl Draft {
    fn of(tag: &Tag<'_>, next: usize) -> Self {
        Self {
            column: tag.attr("r").and_then(|place| column_of(&place)).unwrap_or(next).min(LAST_COLUMN),
            kind: tag.attr("t").unwrap_or_default(),
            style: tag.number("s"),
            value: String::new(),
        }
    }

    /// The cell as a reader sees it, unless it is empty (18.18.11).
    fn cell(self, shared: &[String], formats: &Formats) -> Option<Cell> {
        let (text, number) = match self.kind.as_str() {
            "s" => (shared.get(self.value.trim().parse::<usize>().ok()?)?.clone(), false),
            "b" => ((if self.value.trim() == "1" { "TRUE" } else { "FALSE" }).to_owned(), false),
            "str" | "inlineStr" | "e" => (strings::unescaped(self.value), false),
            "d" => (self.value.trim_end_matches("T00:00:00").to_owned(), true),
            _ => (formats.show(&self.value, self.style), true),
        };
        (!text.trim().is_empty()).then_some(Cell { text, number })
    }
}

/// The column of a place such as `BC12`, counted from 0.
fn column_of(place: &str) -> Option<usize> {
    let letters = place.bytes().take_while(u8::is_ascii_alphabetic);
    let column = letters.take(4).fold(0, |sum, letter| sum * 26 + usize::from(letter.to_ascii_uppercase() - b'A') + 1);
    column.checked_sub(1)
}

//! XLSX to blocks: each sheet is a page with its name as heading, each region of cells a table (ECMA-376, part 1, 18).
//!
//! Cells are read one by one: a sheet with a cell at A1 and one at XFD1048576 takes two cells of memory. Dates and
//! percentages are written as a reader sees them, other numbers in full.

mod formats;
mod sheet;
mod strings;

use crate::container::Container;
use crate::document::Builder;
use crate::opc::{self, Relations};
use crate::xml::{Node, Xml};
use crate::{BlockKind, ContentError, ExtractOptions, Extracted, MediaType, Metadata, Warning};
use formats::Formats;

/// Reads a workbook.
pub(crate) fn extract(bytes: &[u8], options: &ExtractOptions) -> Result<Extracted, ContentError> {
    let mut container = Container::open(bytes, MediaType::Xlsx)?;
    let main = opc::main_part(&mut container, "xl/workbook.xml")?;
    let relations = Relations::of(&mut container, &main)?;
    let book = Workbook::read(&container.required(&main)?, &relations);
    let pages = u32::try_from(book.sheets.len()).unwrap_or(u32::MAX);
    if pages > options.max_pages {
        return Err(ContentError::TooManyPages { pages, max: options.max_pages });
    }
    let mut part = |kind: &str, usual: &str| {
        let path = relations.first(kind).unwrap_or(usual);
        Ok::<_, ContentError>(container.text(path)?.unwrap_or_default())
    };
    let strings = strings::read(&part("sharedStrings", "xl/sharedStrings.xml")?);
    let formats = Formats::read(&part("styles", "xl/styles.xml")?, book.since_1904);
    let mut builder = Builder::default();
    let mut damaged = Vec::new();
    for (page, (name, path)) in (1..).zip(&book.sheets) {
        let Some(source) = container.text(path)? else {
            damaged.push(name.clone());
            continue;
        };
        let mut sheet = Builder::default();
        let whole = sheet::read(&mut sheet, page, &mut Xml::new(&source), &strings, &formats, builder.chars())?;
        if !sheet.blocks().is_empty() {
            builder.push(BlockKind::Heading { level: 1 }, Some(page), name);
            builder.extend(&sheet, Some(page));
        }
        builder.bounded()?;
        if !whole {
            damaged.push(name.clone());
        }
    }
    if builder.blocks().is_empty() && !damaged.is_empty() {
        return Err(container.damaged());
    }
    let metadata = Metadata { page_count: Some(pages), ..opc::metadata(&mut container)? };
    let warnings = if damaged.is_empty() { Vec::new() } else { vec![Warning::PartsDamaged { parts: damaged }] };
    Ok(builder.finish(MediaType::Xlsx, metadata, warnings))
}

/// What the workbook says of its sheets.
#[derive(Debug, Default)]
struct Workbook {
    /// Names and paths, in the order of their tabs.
    sheets: Vec<(String, String)>,
    /// Whether days are counted from 1904, as on old Macintoshes.
    since_1904: bool,
}

impl Workbook {
    fn read(source: &str, relations: &Relations) -> Self {
        let mut book = Self::default();
        let mut xml = Xml::new(source);
        while let Ok(Some(node)) = xml.next() {
            let Node::Open(tag) = node else { continue };
            match tag.name() {
                "workbookPr" => {
                    book.since_1904 = tag.attr("date1904").is_some_and(|value| matches!(value.as_str(), "1" | "true"));
                }
                "sheet" => {
                    let path = tag.attr_qualified("r:id").or_else(|| tag.attr("id"));
                    if let Some(path) = path.and_then(|id| relations.target(&id).map(str::to_owned)) {
                        book.sheets.push((tag.attr("name").unwrap_or_default(), path));
                    }
                }
                _ => {}
            }
        }
        book
    }
}

#[cfg(test)]
mod tests;

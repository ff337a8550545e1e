//! DOCX to blocks: headings by style, lists by their numbering, tables, foot- and endnotes (ECMA-376, part 1, 17).
//!
//! What a reader sees is what counts: tracked deletions and hidden text are left out, insertions are in, numbers of
//! lists and headings are counted as Word counts them. Headers and footers of pages are left out, as from a PDF.

mod body;
mod notes;
mod numbering;
mod styles;

use crate::container::Container;
use crate::flow::Flow;
use crate::opc::{self, Relations};
use crate::xml::Xml;
use crate::{BlockKind, ContentError, Extracted, MediaType, Metadata, Warning};
use body::Body;
use notes::Notes;
use numbering::Numbering;
use styles::Styles;

/// Reads a document.
pub(crate) fn extract(bytes: &[u8]) -> Result<Extracted, ContentError> {
    let mut container = Container::open(bytes, MediaType::Docx)?;
    let main = opc::main_part(&mut container, "word/document.xml")?;
    let relations = Relations::of(&mut container, &main)?;
    let mut part = |kind: &str, usual: &str| {
        let path = relations.first(kind).unwrap_or(usual);
        Ok::<_, ContentError>(container.text(path)?.unwrap_or_default())
    };
    let styles = Styles::read(&part("styles", "word/styles.xml")?);
    let numbering = Numbering::read(&part("numbering", "word/numbering.xml")?);
    let notes = Notes::read(&part("footnotes", "word/footnotes.xml")?, &part("endnotes", "word/endnotes.xml")?);
    let source = container.required(&main)?;
    let mut flow = Flow::default();
    let mut body = Body::new(&mut flow, &styles, numbering, &notes);
    let whole = body.read(&mut Xml::new(&source))?;
    let title = body.title.take();
    let builder = flow.finish()?;
    if !whole && builder.blocks().is_empty() {
        return Err(container.damaged());
    }
    let metadata = opc::metadata(&mut container)?;
    let metadata = Metadata { title: metadata.title.or(title), ..metadata };
    let warnings = if whole { Vec::new() } else { vec![Warning::PartsDamaged { parts: vec![main] }] };
    Ok(builder.finish(MediaType::Docx, metadata, warnings))
}

/// What kind of block a paragraph of a style is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Block(BlockKind),
    /// The title on the first page.
    Title,
}

#[cfg(test)]
mod tests;

//! ODT to blocks: headings by outline, numbered lists, tables, notes, text boxes (ISO/IEC 26300).

mod body;
mod lists;

use crate::container::Container;
use crate::flow::Flow;
use crate::xml::{Node, Xml};
use crate::{ContentError, Extracted, MediaType, Metadata, Warning, language, opc};
use body::Body;
use lists::Styles;

/// Reads a text document.
pub(crate) fn extract(bytes: &[u8]) -> Result<Extracted, ContentError> {
    let mut container = Container::open(bytes, MediaType::Odt)?;
    if container.text("META-INF/manifest.xml")?.is_some_and(|manifest| manifest.contains("encryption-data")) {
        return Err(ContentError::DocumentEncrypted { media_type: MediaType::Odt.as_str().to_owned() });
    }
    let mut styles = Styles::default();
    styles.add(&container.text("styles.xml")?.unwrap_or_default());
    let source = container.required("content.xml")?;
    styles.add(&source);
    let mut flow = Flow::default();
    let mut body = Body::new(&mut flow, styles);
    let whole = body.read(&mut Xml::new(&source))?;
    let title = body.title.take();
    let builder = flow.finish()?;
    if !whole && builder.blocks().is_empty() {
        return Err(container.damaged());
    }
    let metadata = metadata(&container.text("meta.xml")?.unwrap_or_default());
    let metadata = Metadata { title: metadata.title.or(title), ..metadata };
    let warnings =
        if whole { Vec::new() } else { vec![Warning::PartsDamaged { parts: vec!["content.xml".to_owned()] }] };
    Ok(builder.finish(MediaType::Odt, metadata, warnings))
}

/// Title, first author, creation and language.
fn metadata(source: &str) -> Metadata {
    let mut metadata = Metadata::default();
    let mut editor = None;
    let mut xml = Xml::new(source);
    while let Ok(Some(node)) = xml.next() {
        let Node::Open(tag) = node else { continue };
        let name = tag.name().to_owned();
        if !matches!(name.as_str(), "title" | "initial-creator" | "creator" | "creation-date" | "language") {
            continue;
        }
        let Ok(value) = xml.text() else { break };
        let value = Some(value.trim().to_owned()).filter(|value| !value.is_empty());
        match name.as_str() {
            "title" => metadata.title = value,
            "initial-creator" => metadata.author = value,
            "creator" => editor = value,
            "creation-date" => metadata.created = value.and_then(|value| opc::moment(&value)),
            _ => metadata.language = value.and_then(|value| language::from_tag(&value)),
        }
    }
    metadata.author = metadata.author.or(editor);
    metadata
}

#[cfg(test)]
mod tests;

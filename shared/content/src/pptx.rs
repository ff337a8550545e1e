//! PPTX to blocks: each slide is a page with its title as heading; lists, tables, charts, diagrams and speaker's notes.
//!
//! Footers, dates and slide numbers, which repeat on every slide, are left out.

mod chart;
mod slide;

use crate::container::Container;
use crate::flow::Flow;
use crate::opc::{self, Relations};
use crate::xml::{Node, Xml};
use crate::{ContentError, ExtractOptions, Extracted, MediaType, Metadata, Warning};
use slide::Slide;

/// Reads a presentation.
pub(crate) fn extract(bytes: &[u8], options: &ExtractOptions) -> Result<Extracted, ContentError> {
    let mut container = Container::open(bytes, MediaType::Pptx)?;
    let main = opc::main_part(&mut container, "ppt/presentation.xml")?;
    let relations = Relations::of(&mut container, &main)?;
    let slides = slides(&container.required(&main)?, &relations);
    let pages = u32::try_from(slides.len()).unwrap_or(u32::MAX);
    if pages > options.max_pages {
        return Err(ContentError::TooManyPages { pages, max: options.max_pages });
    }
    let mut flow = Flow::default();
    let (mut title, mut damaged) = (None, Vec::new());
    for (page, path) in (1..).zip(&slides) {
        flow.page = Some(page);
        let Some(source) = container.text(path)? else {
            damaged.push(path.clone());
            continue;
        };
        let relations = Relations::of(&mut container, path)?;
        let mut slide = Slide::new(&mut flow);
        let whole = slide.read(&mut Xml::new(&source))?;
        let (heading, graphics) = (slide.title.take(), std::mem::take(&mut slide.graphics));
        for graphic in graphics.iter().filter_map(|id| relations.target(id)) {
            let source = container.text(graphic)?.unwrap_or_default();
            chart::push(&mut flow, &source)?;
        }
        if let Some(notes) = relations.first("notesSlide") {
            let source = container.text(notes)?.unwrap_or_default();
            Slide::notes(&mut flow).read(&mut Xml::new(&source))?;
        }
        title = title.or(heading);
        if !whole {
            damaged.push(path.clone());
        }
    }
    let builder = flow.finish()?;
    if builder.blocks().is_empty() && !damaged.is_empty() {
        return Err(container.damaged());
    }
    let metadata = opc::metadata(&mut container)?;
    // What PowerPoint calls a presentation that nobody has named.
    let named = metadata.title.filter(|title| title != "PowerPoint Presentation");
    let metadata = Metadata { title: named.or(title), page_count: Some(pages), ..metadata };
    let warnings = if damaged.is_empty() { Vec::new() } else { vec![Warning::PartsDamaged { parts: damaged }] };
    Ok(builder.finish(MediaType::Pptx, metadata, warnings))
}

/// The slides in the order they are shown.
fn slides(presentation: &str, relations: &Relations) -> Vec<String> {
    let mut slides = Vec::new();
    let mut xml = Xml::new(presentation);
    while let Ok(Some(node)) = xml.next() {
        if let Node::Open(tag) = node
            && tag.name() == "sldId"
            && let Some(path) = relation_id(&tag).and_then(|id| relations.target(&id).map(str::to_owned))
        {
            slides.push(path);
        }
    }
    slides
}

/// The attribute `r:id`, which stands beside a plain `id`.
fn relation_id(tag: &crate::xml::Tag<'_>) -> Option<String> {
    tag.attr_qualified("r:id").or_else(|| tag.attr("id"))
}

#[cfg(test)]
mod tests;

//! HTML to blocks: main content by what was learned from pages, doubted when it is thin, and metadata from the head.

mod author;
mod blocks;
mod choose;
mod code;
mod dates;
mod elements;
mod facts;
mod features;
mod forest;
mod hints;
mod linked;
mod meta;
mod outline;
mod page;
mod phrases;
mod title;
mod tree;

use scraper::Html;

use crate::document::Builder;
use crate::{BlockKind, ContentError, ExtractOptions, Extracted, MediaType, Metadata, Warning, charset, guard};
use blocks::Scope;
use choose::Judged;
use features::letters;
use linked::Linked;
use outline::Outline;

pub(crate) use meta::web_address;

/// How far the charset declaration may stand from the start, in bytes (WHATWG HTML, 13.2.3.2).
const META_WINDOW: usize = 1024 * 4;

/// Main content with fewer visible characters than this is doubted.
const THIN: usize = 250;

/// …and given up for the whole body when that has more than this times as much text.
const RATIO: usize = 3;

/// Reads a page: its main content, or all visible text when none stands out.
pub(crate) fn extract(bytes: &[u8], options: &ExtractOptions) -> Result<Extracted, ContentError> {
    let embedded = declared_in_head(&bytes[..bytes.len().min(META_WINDOW)]);
    let (text, warning) = charset::decode(bytes, options.declared.as_deref(), embedded.as_deref())?;
    // The parser reads NUL as U+FFFD; an XHTML page is read as HTML.
    let source = text.replace('\0', "");
    guard::guarded(|| read(&source, options, warning))
        .unwrap_or_else(|_| Err(ContentError::DocumentDamaged { media_type: MediaType::Html.as_str().to_owned() }))
}

/// The pieces of text of a page, as the reader of main content sees them: what it is trained and examined with.
#[derive(Debug, Clone, Default)]
pub struct HtmlPieces {
    /// In the order of the page.
    pub pieces: Vec<HtmlPiece>,
    /// Each element's parent, by number; the first is its own.
    pub parents: Vec<usize>,
    /// The names of the figures.
    pub names: Vec<&'static str>,
}

/// One run of text between the edges of blocks.
#[derive(Debug, Clone)]
pub struct HtmlPiece {
    /// The text, white space collapsed.
    pub text: String,
    /// The innermost element around it, by number.
    pub element: usize,
    /// What was counted of it, in the order of [`HtmlPieces::names`].
    pub figures: Vec<f32>,
    /// The numbers of five containers around it, innermost first, then that of the path it shares with pieces set like it.
    pub groups: Vec<usize>,
}

/// Takes a page apart, as [`extract`](crate::extract) does before it decides.
///
/// # Errors
///
/// As [`extract`](crate::extract).
pub fn html_pieces(bytes: &[u8], options: &ExtractOptions) -> Result<HtmlPieces, ContentError> {
    let embedded = declared_in_head(&bytes[..bytes.len().min(META_WINDOW)]);
    let (text, _) = charset::decode(bytes, options.declared.as_deref(), embedded.as_deref())?;
    let page = tree::document(&text.replace('\0', ""))?;
    let linked = Linked::of(&page);
    let outline = Outline::of(&page);
    let title = meta::read(&page, &linked, &outline, options.base_url.as_ref()).title.unwrap_or_default();
    let table = features::of(&outline, &title, linked.signs());
    let parents = outline.elements.iter().map(|element| element.parent).collect();
    let rows = outline.pieces.into_iter().zip(table.rows).zip(table.groups);
    let pieces = rows.map(|((piece, figures), groups)| HtmlPiece {
        text: piece.text,
        element: piece.inner,
        figures,
        groups: groups.to_vec(),
    });
    Ok(HtmlPieces { pieces: pieces.collect(), parents, names: features::names() })
}

fn read(source: &str, options: &ExtractOptions, warning: Option<Warning>) -> Result<Extracted, ContentError> {
    let page = tree::document(source)?;
    let linked = Linked::of(&page);
    let outline = Outline::of(&page);
    let metadata = meta::read(&page, &linked, &outline, options.base_url.as_ref());
    let judged = choose::judge(outline, metadata.title.as_deref().unwrap_or_default(), linked.signs());
    let mut warnings: Vec<Warning> = warning.into_iter().collect();

    let mut main = blocks_of(&page, Scope::Chosen(&judged.likely()));
    if size(&main) < THIN {
        let (other, unclear) = doubted(&page, &judged, &linked, main);
        main = other;
        warnings.extend(unclear.then_some(Warning::MainContentUnclear));
    }
    if main.blocks().is_empty() {
        return Err(ContentError::EmptyDocument);
    }
    Ok(titled(main, metadata, warnings))
}

/// What is taken of a page whose main content is thin: the same, or more of it, or what the page says of itself, or all
/// of the body, and in the end whatever can be seen. Only if all are empty is the page.
fn doubted(page: &Html, judged: &Judged, linked: &Linked, main: Builder) -> (Builder, bool) {
    let enough = |than: &Builder, by: &Builder| size(than) * RATIO < size(by);
    let possible = blocks_of(page, Scope::Chosen(&judged.possible()));
    let body = blocks_of(page, Scope::Body);
    let described = described(linked);
    if enough(&main, &described) && enough(&possible, &described) {
        return (described, true);
    }
    let main = if enough(&main, &possible) { possible } else { main };
    if size(&main) > 0 && !enough(&main, &body) {
        return (main, false);
    }
    if size(&body) > 0 {
        return (body, true);
    }
    (blocks_of(page, Scope::Article), true)
}

fn blocks_of(page: &Html, scope: Scope<'_>) -> Builder {
    let mut builder = Builder::default();
    blocks::push(&mut builder, page, scope);
    builder
}

/// The text that JSON-LD gives as the page's own, for pages that scripts would have to draw.
fn described(linked: &Linked) -> Builder {
    let mut builder = Builder::default();
    let text = linked.body().unwrap_or_default();
    if text.contains(['<', '&']) {
        push_fragment(&mut builder, text);
    } else {
        text.lines().for_each(|line| builder.push(BlockKind::Paragraph, None, line));
    }
    builder
}

/// Ends the document, with its title as the first heading: main content often begins below it, and search and heading
/// paths want it.
fn titled(main: Builder, metadata: Metadata, warnings: Vec<Warning>) -> Extracted {
    let wanted = letters(metadata.title.as_deref().unwrap_or_default());
    let document = main.finish(MediaType::Html, metadata, warnings);
    let repeats = |block: &crate::Block| {
        let text: String = document.text.chars().skip(block.start).take(block.end - block.start).collect();
        matches!(block.kind, BlockKind::Heading { .. }) && letters(&text) == wanted
    };
    if wanted.is_empty() || document.blocks.iter().take(4).any(repeats) { document } else { document.headed() }
}

/// Appends the blocks of a piece of HTML within another format. One that cannot be parsed is kept as it stands.
pub(crate) fn push_fragment(builder: &mut Builder, markup: &str) {
    match tree::fragment(markup) {
        Ok(fragment) => blocks::push(builder, &fragment, Scope::Article),
        Err(_) => builder.push(BlockKind::Code, None, markup),
    }
}

/// The text of a piece of HTML without its markup; none if it cannot be parsed.
pub(crate) fn bare_text(markup: &str) -> Option<String> {
    tree::fragment(markup).ok().map(|fragment| fragment.root_element().text().collect())
}

/// Characters in blocks other than headings.
fn size(builder: &Builder) -> usize {
    let body = builder.blocks().iter().filter(|block| !matches!(block.kind, BlockKind::Heading { .. }));
    body.map(|block| block.end - block.start).sum()
}

/// The charset a page names in a `<meta>` element or an XML declaration.
fn declared_in_head(head: &[u8]) -> Option<String> {
    let head = head.iter().map(|&byte| char::from(byte.to_ascii_lowercase())).collect::<String>();
    let from = |at: usize, name: &str| {
        let value = head[at + name.len()..].trim_start_matches([' ', '=', '"', '\'']);
        let label: String = value.chars().take_while(|c| c.is_ascii_alphanumeric() || "-_:".contains(*c)).collect();
        (!label.is_empty()).then_some(label)
    };
    let declaration = head.starts_with("<?xml").then(|| head.find("?>")).flatten();
    let xml = declaration.and_then(|end| head[..end].find("encoding=")).and_then(|at| from(at, "encoding="));
    let meta = || {
        head.match_indices("<meta").find_map(|(at, _)| {
            let tag = &head[at..at + head[at..].find('>').unwrap_or(head.len() - at)];
            tag.find("charset=").and_then(|offset| from(at + offset, "charset="))
        })
    };
    xml.or_else(meta)
}

#[cfg(test)]
mod tests;

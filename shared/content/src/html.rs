//! HTML to blocks: main content by a readability algorithm, doubted when it is thin, and metadata from the head.

mod blocks;
mod meta;
mod tree;

use dom_smoothie::Readability;
use scraper::Html;

use crate::document::Builder;
use crate::{BlockKind, ContentError, ExtractOptions, Extracted, MediaType, Warning, charset, guard};
use blocks::Scope;

pub(crate) use meta::web_address;

/// How far the charset declaration may stand from the start, in bytes (WHATWG HTML, 13.2.3.2).
const META_WINDOW: usize = 1024 * 4;

/// Element nesting above which recursive algorithms are not trusted with a page.
const MAX_DEPTH: usize = 400;

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

fn read(source: &str, options: &ExtractOptions, warning: Option<Warning>) -> Result<Extracted, ContentError> {
    let page = tree::document(source)?;
    let mut warnings: Vec<Warning> = warning.into_iter().collect();
    let article = main_content(source, &page, options);
    let metadata = meta::read(&page, article.as_ref(), options.base_url.as_ref());

    let mut body = Builder::default();
    blocks::push(&mut body, &page, Scope::Body);
    let mut main = Builder::default();
    if let Some(article) = &article {
        let fragment = tree::fragment(&article.content)?;
        push_title(&mut main, &fragment, metadata.title.as_deref());
        blocks::push(&mut main, &fragment, Scope::Article);
    }
    let (main_size, body_size) = (size(&main), size(&body));
    let thin = main_size < THIN && body_size > main_size * RATIO;
    let chosen = if article.is_none() || thin || main_size == 0 {
        warnings.push(Warning::MainContentUnclear);
        body
    } else {
        main
    };
    if chosen.blocks().is_empty() {
        return Err(ContentError::EmptyDocument);
    }
    Ok(chosen.finish(MediaType::Html, metadata, warnings))
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

/// The article, or none where the algorithm finds none, fails, or the page is nested beyond reason.
fn main_content(source: &str, page: &Html, options: &ExtractOptions) -> Option<dom_smoothie::Article> {
    if blocks::depth(page) > MAX_DEPTH {
        return None;
    }
    let base = options.base_url.as_ref().map(url::Url::as_str);
    guard::guarded(|| Readability::new(source, base, None).and_then(|mut reader| reader.parse()).ok()).ok().flatten()
}

/// Readability drops the heading that repeats the page's title; search and heading paths want it.
fn push_title(builder: &mut Builder, fragment: &Html, title: Option<&str>) {
    let Some(title) = title.filter(|title| !title.trim().is_empty()) else { return };
    let wanted = letters(title);
    let mut probe = Builder::default();
    blocks::push(&mut probe, fragment, Scope::Article);
    let document = probe.finish(MediaType::Html, crate::Metadata::default(), Vec::new());
    let repeated = document.blocks.iter().take(4).any(|block| {
        let text: String = document.text.chars().skip(block.start).take(block.end - block.start).collect();
        matches!(block.kind, BlockKind::Heading { .. }) && letters(&text) == wanted
    });
    if !repeated {
        builder.push(BlockKind::Heading { level: 1 }, None, title);
    }
}

fn letters(text: &str) -> String {
    text.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
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

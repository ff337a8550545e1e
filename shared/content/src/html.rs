//! HTML to blocks: main content by a readability algorithm, doubted when it is thin, and metadata from the head.

mod blocks;
mod meta;

use dom_smoothie::Readability;
use scraper::Html;

use crate::document::Builder;
use crate::{BlockKind, ContentError, ExtractOptions, Extracted, MediaType, Warning, charset, guard};
use blocks::Scope;

/// How far the charset declaration may stand from the start, in bytes (WHATWG HTML, 13.2.3.2).
const META_WINDOW: usize = 1024 * 4;

/// Element nesting above which recursive algorithms are not trusted with a page.
const MAX_DEPTH: usize = 400;

/// Open elements above which parsing itself, quadratic in nesting, becomes an attack.
const MAX_OPEN: usize = 4_000;

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
    if open_elements(&source) > MAX_OPEN {
        return Err(ContentError::DocumentDamaged { media_type: MediaType::Html.as_str().to_owned() });
    }
    guard::guarded(|| read(&source, options, warning))
        .unwrap_or_else(|_| Err(ContentError::DocumentDamaged { media_type: MediaType::Html.as_str().to_owned() }))
}

fn read(source: &str, options: &ExtractOptions, warning: Option<Warning>) -> Result<Extracted, ContentError> {
    let page = Html::parse_document(source);
    let mut warnings: Vec<Warning> = warning.into_iter().collect();
    let article = main_content(source, &page, options);
    let metadata = meta::read(&page, article.as_ref(), options.base_url.as_ref());

    let mut body = Builder::default();
    blocks::push(&mut body, &page, Scope::Body);
    let mut main = Builder::default();
    if let Some(article) = &article {
        let fragment = Html::parse_fragment(&article.content);
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

/// Appends the blocks of a piece of HTML within another format.
pub(crate) fn push_fragment(builder: &mut Builder, markup: &str) {
    if let Ok(fragment) = guard::guarded(|| Html::parse_fragment(markup)) {
        blocks::push(builder, &fragment, Scope::Article);
    }
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

/// An upper estimate of the deepest nesting, counting only elements that must be closed explicitly.
fn open_elements(source: &str) -> usize {
    const IMPLIED: [&str; 22] = [
        "p", "li", "td", "tr", "th", "dt", "dd", "option", "br", "img", "hr", "input", "meta", "link", "area", "base",
        "col", "embed", "source", "track", "wbr", "tbody",
    ];
    let (mut open, mut deepest) = (0_usize, 0_usize);
    for (at, _) in source.match_indices('<') {
        let rest = &source.as_bytes()[at + 1..];
        let closing = rest.first() == Some(&b'/');
        let name: String = rest[usize::from(closing)..]
            .iter()
            .take(12)
            .take_while(|byte| byte.is_ascii_alphanumeric())
            .map(|byte| char::from(byte.to_ascii_lowercase()))
            .collect();
        if name.is_empty() || IMPLIED.contains(&name.as_str()) {
            continue;
        }
        open = if closing { open.saturating_sub(1) } else { open + 1 };
        deepest = deepest.max(open);
    }
    deepest
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

//! Source to tree, within a budget: a few bytes of HTML can ask for a tree of any size.
//!
//! Formatting elements left open are made anew in every paragraph that follows (WHATWG HTML, 13.2.4.3, "reconstruct the
//! active formatting elements"), with all their attributes. So what is built is weighed while it is built, tag by tag,
//! and not what is asked for.

use html5ever::driver::{self, ParseOpts, Parser};
use html5ever::tendril::{StrTendril, TendrilSink};
use html5ever::tree_builder::TreeBuilderOpts;
use html5ever::{QualName, local_name, ns};
use scraper::{Html, HtmlTreeSink, Node};

use crate::{ContentError, MediaType, guard};

/// Nodes and attributes a tree may have: some 500 MB, and twice what the whole HTML standard on one page has.
const MAX_WEIGHT: usize = 2_000_000;

/// Open elements above which parsing itself, quadratic in nesting, becomes an attack.
const MAX_OPEN: usize = 4_000;

/// Parses a page.
pub(super) fn document(source: &str) -> Result<Html, ContentError> {
    parse(source, || driver::parse_document(HtmlTreeSink::new(Html::new_document()), rules()))
}

/// Parses what stands in the body of a page.
pub(crate) fn fragment(source: &str) -> Result<Html, ContentError> {
    parse(source, || {
        let body = QualName::new(None, ns!(html), local_name!("body"));
        let sink = HtmlTreeSink::new(Html::new_fragment());
        driver::parse_fragment(sink, rules(), body, Vec::new(), false)
    })
}

/// As a browser without scripts: what stands in `<noscript>` is part of the page, and of some pages all there is.
fn rules() -> ParseOpts {
    let tree_builder = TreeBuilderOpts { scripting_enabled: false, ..TreeBuilderOpts::default() };
    ParseOpts { tree_builder, ..ParseOpts::default() }
}

fn parse(source: &str, parser: impl FnOnce() -> Parser<HtmlTreeSink>) -> Result<Html, ContentError> {
    let damaged = || ContentError::DocumentDamaged { media_type: MediaType::Html.as_str().to_owned() };
    if open_elements(source) > MAX_OPEN {
        return Err(damaged());
    }
    guard::guarded(|| grow(parser(), source)).unwrap_or_else(|_| Err(damaged()))
}

fn grow(mut parser: Parser<HtmlTreeSink>, source: &str) -> Result<Html, ContentError> {
    let (mut rest, mut nodes, mut weight) = (source, 0, 0);
    while let Some(after) = rest.as_bytes().get(1..) {
        // One tag at most, so that no step adds more than the elements that are open now.
        let (step, remaining) =
            rest.split_at(after.iter().position(|&byte| byte == b'<').map_or(rest.len(), |at| at + 1));
        parser.process(StrTendril::from(step));
        rest = remaining;
        let html = parser.tokenizer.sink.sink.0.borrow();
        let values = html.tree.values();
        let fresh = values.len() - nodes;
        nodes = values.len();
        weight += values.rev().take(fresh).map(weight_of).sum::<usize>();
        if weight > MAX_WEIGHT {
            return Err(ContentError::TooManyElements { max: MAX_WEIGHT });
        }
    }
    Ok(parser.finish())
}

fn weight_of(node: &Node) -> usize {
    1 + node.as_element().map_or(0, |element| element.attrs().count())
}

/// An upper estimate of the deepest nesting, counting only elements that must be closed explicitly.
fn open_elements(source: &str) -> usize {
    const IMPLIED: [&str; 22] = [
        "p", "li", "td", "tr", "th", "dt", "dd", "option", "br", "img", "hr", "input", "meta", "link", "area", "base",
        "col", "embed", "source", "track", "wbr", "tbody",
    ];
    // Shapes, which end themselves within a drawing, and only there.
    const SHAPES: [&str; 14] = [
        "svg", "g", "path", "rect", "circle", "ellipse", "line", "polyline", "polygon", "text", "tspan", "use", "defs",
        "stop",
    ];
    let (mut open, mut deepest) = (0_usize, 0_usize);
    let mut drawing = false;
    for (at, _) in source.match_indices('<') {
        let rest = &source.as_bytes()[at + 1..];
        let closing = rest.first() == Some(&b'/');
        let name = &rest[usize::from(closing)..];
        let length = name.iter().take(12).take_while(|byte| byte.is_ascii_alphanumeric()).count();
        let name = &name[..length];
        let among = |list: &[&str]| list.iter().any(|known| name.eq_ignore_ascii_case(known.as_bytes()));
        if name.is_empty() || among(&IMPLIED) {
            continue;
        }
        drawing = (drawing || name.eq_ignore_ascii_case(b"svg")) && among(&SHAPES);
        let ended = || rest.iter().position(|byte| *byte == b'>').is_some_and(|end| end > 0 && rest[end - 1] == b'/');
        if drawing && !closing && ended() {
            continue;
        }
        open = if closing { open.saturating_sub(1) } else { open + 1 };
        deepest = deepest.max(open);
    }
    deepest
}

//! A page as two flat lists: its elements, and the pieces of text that stand between the edges of blocks.

use std::collections::HashMap;
use std::ops::Range;

use ego_tree::iter::Edge;
use scraper::node::Element;
use scraper::{Html, Node};

use super::elements::{is_block, is_never_text};
use super::hints::{self, Hints};

/// A piece of at least this many characters reads like a paragraph.
pub(super) const LONG: usize = 80;

/// What is known of the text under an element.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Totals {
    /// Characters, white space counted as one between words.
    pub(super) chars: u32,
    /// …of them in links.
    pub(super) linked: u32,
    /// …of them in pieces that read like paragraphs.
    pub(super) long: u32,
    /// Pieces of text.
    pub(super) pieces: u32,
}

impl Totals {
    fn add(&mut self, other: Self) {
        self.chars += other.chars;
        self.linked += other.linked;
        self.long += other.long;
        self.pieces += other.pieces;
    }

    /// The share of characters in links.
    pub(super) fn link_density(&self) -> f32 {
        share(self.linked, self.chars)
    }
}

/// One element that may hold text.
#[derive(Debug)]
pub(super) struct Elem {
    /// Its parent's place in the list; the first element is its own.
    pub(super) parent: usize,
    /// A number for its name, see [`kind_of`].
    pub(super) kind: u8,
    pub(super) hints: Hints,
    /// Elements of the same name and classes have the same.
    pub(super) signature: u64,
    pub(super) totals: Totals,
    /// What paragraphs beneath it say for its being the article.
    pub(super) score: f32,
}

/// A run of text between two edges of blocks.
#[derive(Debug)]
pub(super) struct Piece {
    pub(super) text: String,
    /// The text nodes it consists of, counted from the start of the page.
    pub(super) nodes: Range<usize>,
    /// The innermost element of its first character.
    pub(super) inner: usize,
    /// The innermost block around it.
    pub(super) block: usize,
    pub(super) chars: u32,
    pub(super) linked: u32,
    /// Characters in bold type.
    pub(super) strong: u32,
}

impl Piece {
    pub(super) fn link_density(&self) -> f32 {
        share(self.linked, self.chars)
    }

    pub(super) fn is_long(&self) -> bool {
        self.chars as usize >= LONG && self.linked * 2 < self.chars
    }
}

/// A page, flattened.
#[derive(Debug, Default)]
pub(super) struct Outline {
    pub(super) elements: Vec<Elem>,
    pub(super) pieces: Vec<Piece>,
    /// How many text nodes the page has.
    pub(super) nodes: usize,
    /// Siblings that look alike: their number and what they hold, by parent and signature.
    pub(super) alike: HashMap<(usize, u64), (u32, Totals)>,
    /// The element that most speaks for being the article.
    pub(super) candidate: usize,
}

impl Outline {
    /// Flattens a page.
    pub(super) fn of(page: &Html) -> Self {
        let mut gatherer = Gatherer::default();
        for edge in page.tree.root().traverse() {
            match edge {
                Edge::Open(node) => match node.value() {
                    Node::Text(text) => gatherer.text(text),
                    Node::Element(element) => gatherer.open(element),
                    _ => {}
                },
                Edge::Close(node) => {
                    if let Node::Element(element) = node.value() {
                        gatherer.close(element);
                    }
                }
            }
        }
        gatherer.flush();
        let mut outline = gatherer.outline;
        outline.sum_up();
        outline.score();
        outline
    }

    /// An element and those around it, innermost first, `most` of them.
    pub(super) fn upwards(&self, from: usize, most: usize) -> impl Iterator<Item = (usize, &Elem)> {
        let mut next = Some(from);
        std::iter::from_fn(move || {
            let at = next?;
            let element = self.elements.get(at)?;
            next = (element.parent != at).then_some(element.parent);
            Some((at, element))
        })
        .take(most)
    }

    fn sum_up(&mut self) {
        for piece in &self.pieces {
            let long = if piece.is_long() { piece.chars } else { 0 };
            let own = Totals { chars: piece.chars, linked: piece.linked, long, pieces: 1 };
            if let Some(element) = self.elements.get_mut(piece.inner) {
                element.totals.add(own);
            }
        }
        for at in (1..self.elements.len()).rev() {
            let Elem { parent, totals, signature, .. } = self.elements[at];
            self.elements[parent].totals.add(totals);
            if totals.chars > 0 {
                let (count, sum) = self.alike.entry((parent, signature)).or_default();
                *count += 1;
                sum.add(totals);
            }
        }
    }

    /// Scores elements by the paragraphs beneath them, as Readability does: a paragraph speaks for its parent, half as
    /// much for the next, less for those further up; links speak against.
    fn score(&mut self) {
        for piece in &self.pieces {
            if piece.chars < 25 || piece.link_density() > 0.5 {
                continue;
            }
            let commas = piece.text.matches([',', '、', '،', '\u{ff0c}']).count().min(20);
            #[expect(clippy::cast_precision_loss, reason = "at most 20")]
            let worth = 1.0 + commas as f32 + (piece.chars as f32 / 100.0).min(3.0);
            let mut at = piece.block;
            if at >= self.elements.len() {
                continue;
            }
            for level in 0..4_u8 {
                let parent = self.elements[at].parent;
                if parent == at {
                    break;
                }
                at = parent;
                self.elements[at].score += worth / (1.0 + f32::from(level) * 1.5);
            }
        }
        let worth = |element: &Elem| element.score * (1.0 - element.totals.link_density());
        let best =
            (0..self.elements.len()).max_by(|a, b| worth(&self.elements[*a]).total_cmp(&worth(&self.elements[*b])));
        self.candidate = best.unwrap_or(0);
    }
}

/// The part of a whole, 0 if there is none.
#[expect(clippy::cast_precision_loss, reason = "a share needs no more than six digits")]
pub(super) fn share(part: u32, whole: u32) -> f32 {
    if whole == 0 { 0.0 } else { part as f32 / whole as f32 }
}

#[derive(Default)]
struct Gatherer {
    outline: Outline,
    reader: hints::Reader,
    /// Open elements.
    open: Vec<usize>,
    /// Of them, those that are blocks.
    blocks: Vec<usize>,
    hidden: usize,
    links: usize,
    strong: usize,
    breaks: usize,
    piece: Option<Piece>,
}

impl Gatherer {
    fn open(&mut self, element: &Element) {
        let name = element.name();
        if self.hidden > 0 || is_never_text(name) {
            self.hidden += 1;
            return;
        }
        if is_block(name) || name == "hr" {
            self.flush();
        } else if name == "br" {
            self.breaks += 1;
            if self.breaks == 2 {
                self.flush();
            }
        }
        let at = self.outline.elements.len();
        self.outline.elements.push(Elem {
            parent: self.open.last().copied().unwrap_or(at),
            kind: kind_of(name),
            hints: self.reader.read(element),
            signature: signature(element),
            totals: Totals::default(),
            score: 0.0,
        });
        self.open.push(at);
        if is_block(name) {
            self.blocks.push(at);
        }
        self.links += usize::from(matches!(name, "a" | "button"));
        self.strong += usize::from(matches!(name, "b" | "strong"));
    }

    fn close(&mut self, element: &Element) {
        if self.hidden > 0 {
            self.hidden -= 1;
            return;
        }
        let name = element.name();
        if is_block(name) {
            self.flush();
            self.blocks.pop();
        }
        self.open.pop();
        self.links -= usize::from(matches!(name, "a" | "button"));
        self.strong -= usize::from(matches!(name, "b" | "strong"));
    }

    fn text(&mut self, text: &str) {
        let node = self.outline.nodes;
        self.outline.nodes += 1;
        if self.hidden > 0 || text.chars().all(char::is_whitespace) {
            if let Some(piece) = &mut self.piece
                && !piece.text.ends_with(' ')
            {
                piece.text.push(' ');
            }
            return;
        }
        self.breaks = 0;
        let (inner, block) = (self.open.last().copied().unwrap_or(0), self.blocks.last().copied().unwrap_or(0));
        let piece = self.piece.get_or_insert_with(|| Piece {
            text: String::new(),
            nodes: node..node,
            inner,
            block,
            chars: 0,
            linked: 0,
            strong: 0,
        });
        piece.nodes.end = node + 1;
        let mut added = 0;
        for c in text.chars() {
            if !c.is_whitespace() {
                piece.text.push(c);
            } else if !piece.text.is_empty() && !piece.text.ends_with(' ') {
                piece.text.push(' ');
            } else {
                continue;
            }
            added += 1;
        }
        piece.chars += added;
        piece.linked += if self.links > 0 { added } else { 0 };
        piece.strong += if self.strong > 0 { added } else { 0 };
    }

    fn flush(&mut self) {
        self.breaks = 0;
        self.outline.pieces.extend(self.piece.take());
    }
}

/// A number for the name of an element; alike ones have numbers near each other.
fn kind_of(name: &str) -> u8 {
    match name {
        "p" => 1,
        "blockquote" => 2,
        "pre" => 3,
        "li" => 4,
        "dd" => 5,
        "dt" => 6,
        "td" => 7,
        "th" => 8,
        "h1" => 10,
        "h2" => 11,
        "h3" => 12,
        "h4" => 13,
        "h5" => 14,
        "h6" => 15,
        "summary" => 16,
        "figcaption" | "caption" => 18,
        "figure" => 19,
        "article" => 20,
        "main" => 21,
        "section" => 22,
        "div" => 23,
        "body" => 24,
        "table" | "tbody" | "tr" | "thead" => 25,
        "ul" | "ol" | "dl" | "menu" => 26,
        "details" => 27,
        "span" => 30,
        "b" | "strong" | "em" | "i" | "u" | "font" => 31,
        "code" | "tt" | "kbd" | "samp" => 32,
        "time" => 33,
        "a" => 40,
        "button" => 41,
        "label" | "legend" => 42,
        "form" | "fieldset" => 43,
        "header" | "hgroup" => 50,
        "aside" => 51,
        "nav" => 52,
        "footer" => 53,
        "address" => 54,
        "dialog" => 55,
        _ => 35,
    }
}

/// A number that elements of the same name and classes share; digits, which count posts and items, left aside. FNV-1a.
fn signature(element: &Element) -> u64 {
    let class = element.attr("class").unwrap_or_default().bytes().filter(|byte| !byte.is_ascii_digit());
    let bytes = element.name().bytes().chain([b' ']).chain(class);
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

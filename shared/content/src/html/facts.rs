//! What a page's markup says about the page: one walk that gathers what title, author and date are read from.

use std::collections::HashMap;

use ego_tree::iter::Edge;
use scraper::node::Element;
use scraper::{ElementRef, Html, Node};

use super::elements::is_block;
use super::hints::spaced;

/// Longer texts are no name and no date, in bytes.
const MAX_LINE: usize = 300;

/// Candidates of one kind looked at.
const MAX_CANDIDATES: usize = 60;

/// What the words of classes and ids tell of an element, one bit each.
type Words = u8;
const BESIDE: Words = 1;
const PUBLISHED: Words = 2;
const CHANGED: Words = 4;
const DATED: Words = 8;
const WRITTEN: Words = 16;

const VOCABULARY: [(Words, &[&str]); 5] = [
    (BESIDE, &["comment", "related", "sidebar", "recommend", "footer", " widget", "popular", "latest", "recent post"]),
    (PUBLISHED, &["publish", "entry date", "posted"]),
    (CHANGED, &["update", "modif"]),
    (DATED, &["date", "publish", "posted", " time", "byline", "meta "]),
    (WRITTEN, &["author", "byline", " by ", "writer", "username", "user name", "poster", "creator"]),
];

/// A moment that the page marks as one.
#[derive(Debug)]
pub(super) struct Moment {
    pub(super) value: String,
    /// It is marked as that of publication.
    pub(super) published: bool,
    /// It is marked as that of a change.
    pub(super) changed: bool,
}

/// Candidates of one kind in the order of the page, those in comments, sidebars and the like apart.
#[derive(Debug)]
pub(super) struct Candidates<T> {
    own: Vec<T>,
    beside: Vec<T>,
}

impl<T> Default for Candidates<T> {
    fn default() -> Self {
        Self { own: Vec::new(), beside: Vec::new() }
    }
}

impl<T> Candidates<T> {
    fn add(&mut self, beside: bool, candidate: impl FnOnce() -> Option<T>) {
        let list = if beside { &mut self.beside } else { &mut self.own };
        if list.len() < MAX_CANDIDATES {
            list.extend(candidate());
        }
    }

    /// Those of the page itself.
    pub(super) fn own(&self) -> impl Iterator<Item = &T> {
        self.own.iter()
    }

    /// Those of the page itself, then the others.
    pub(super) fn all(&self) -> impl Iterator<Item = &T> {
        self.own.iter().chain(&self.beside)
    }
}

/// What was gathered.
#[derive(Debug, Default)]
pub(super) struct Facts {
    /// Names, in lower case, and contents of `<meta>`.
    metas: Vec<(String, String)>,
    /// The text of `<title>`.
    pub(super) title: Option<String>,
    /// Headings of the first level.
    pub(super) headings: Vec<String>,
    /// The address the page gives as its own.
    pub(super) canonical: Option<String>,
    /// The language of the root element.
    pub(super) language: Option<String>,
    /// Machine-readable moments.
    pub(super) moments: Candidates<Moment>,
    /// Texts marked as dates.
    pub(super) dated: Candidates<String>,
    /// Texts marked as an author by a property or a relation of links, one line for each part.
    pub(super) authors: Candidates<String>,
    /// Texts marked as an author by their class only, one line for each part.
    pub(super) bylines: Candidates<String>,
    /// The words of classes read before: pages repeat them.
    known: HashMap<String, Words>,
}

impl Facts {
    /// Gathers.
    pub(super) fn of(page: &Html) -> Self {
        let mut facts = Self::default();
        // For each open element, whether names and dates in it are not those of the page.
        let mut beside: Vec<bool> = Vec::new();
        for edge in page.tree.root().traverse() {
            match edge {
                Edge::Open(node) => {
                    let Some(element) = ElementRef::wrap(node) else { continue };
                    let words = facts.words(element.value());
                    let inside = beside.last().copied().unwrap_or(false) || is_beside(element.value(), words);
                    beside.push(inside);
                    facts.element(element, words, inside);
                }
                Edge::Close(node) => {
                    if matches!(node.value(), Node::Element(_)) {
                        beside.pop();
                    }
                }
            }
        }
        facts
    }

    /// The content of the first `<meta>` with one of these names, in the order of the names.
    pub(super) fn meta(&self, names: &[&str]) -> Option<&str> {
        names
            .iter()
            .find_map(|name| self.metas.iter().find(|(own, _)| own == name).map(|(_, content)| content.as_str()))
    }

    /// The contents of every `<meta>` whose name holds a word.
    pub(super) fn metas_about(&self, word: &str) -> impl Iterator<Item = &str> {
        self.metas.iter().filter(move |(name, _)| name.contains(word)).map(|(_, content)| content.as_str())
    }

    fn words(&mut self, element: &Element) -> Words {
        let mut words = 0;
        for value in [element.attr("class"), element.attr("id")].into_iter().flatten().filter(|value| !value.is_empty())
        {
            if let Some(known) = self.known.get(value) {
                words |= known;
                continue;
            }
            let spaced = spaced(value);
            let says =
                |(bit, list): &(Words, &[&str])| if list.iter().any(|word| spaced.contains(word)) { *bit } else { 0 };
            let found = VOCABULARY.iter().fold(0, |found, group| found | says(group));
            self.known.insert(value.to_owned(), found);
            words |= found;
        }
        words
    }

    fn element(&mut self, element: ElementRef<'_>, words: Words, beside: bool) {
        let value = element.value();
        match value.name() {
            "html" => self.language = value.attr("lang").or_else(|| value.attr("xml:lang")).map(str::to_owned),
            "title" if self.title.is_none() => self.title = line(element, ' '),
            "link" if value.attr("rel") == Some("canonical") && self.canonical.is_none() => {
                self.canonical = value.attr("href").map(str::to_owned);
            }
            "meta" => self.named(value),
            "h1" if self.headings.len() < MAX_CANDIDATES => self.headings.extend(line(element, ' ')),
            _ => {}
        }
        self.marked(element, words, beside);
    }

    fn named(&mut self, value: &Element) {
        let content = value.attr("content").unwrap_or_default().trim();
        if content.is_empty() {
            return;
        }
        for key in ["name", "property", "itemprop", "http-equiv"] {
            if let Some(name) = value.attr(key) {
                self.metas.push((name.to_ascii_lowercase(), content.to_owned()));
            }
        }
    }

    fn marked(&mut self, element: ElementRef<'_>, words: Words, beside: bool) {
        let value = element.value();
        let property = value.attr("itemprop").unwrap_or_default();
        let moment = value.attr("datetime").or_else(|| value.attr("content").filter(|_| property.starts_with("date")));
        if let Some(moment) = moment {
            let published = property == "datePublished" || value.attr("pubdate").is_some() || words & PUBLISHED != 0;
            let changed = property == "dateModified" || words & CHANGED != 0;
            self.moments.add(beside, || Some(Moment { value: moment.to_owned(), published, changed }));
        }
        if value.name() == "time" || property == "datePublished" || words & DATED != 0 {
            self.dated.add(beside, || line(element, ' '));
        }
        if property == "author" || value.attr("rel").is_some_and(|rel| rel.contains("author")) {
            self.authors.add(beside, || line(element, '\n'));
        } else if words & WRITTEN != 0 {
            self.bylines.add(beside, || line(element, '\n'));
        }
    }
}

/// The text of an element if it is short, white space collapsed. Where a block or a line ends, and with a line break as
/// the separator where any element begins or ends, the separator stands.
fn line(element: ElementRef<'_>, separator: char) -> Option<String> {
    let mut out = String::new();
    let mut hidden = 0_usize;
    for edge in element.traverse() {
        let (node, opens) = match edge {
            Edge::Open(node) => (node, true),
            Edge::Close(node) => (node, false),
        };
        match node.value() {
            Node::Element(inner) => {
                if matches!(inner.name(), "style" | "script" | "svg") {
                    hidden = if opens { hidden + 1 } else { hidden.saturating_sub(1) };
                }
                if separator == '\n' || inner.name() == "br" || is_block(inner.name()) {
                    out.push(separator);
                }
            }
            Node::Text(text) if opens && hidden == 0 => {
                out.extend(text.chars().map(|c| if c.is_whitespace() { ' ' } else { c }));
            }
            _ => {}
        }
        if out.len() > MAX_LINE * 8 {
            return None;
        }
    }
    let lines = out.split('\n').map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "));
    let out = lines.filter(|line| !line.is_empty()).collect::<Vec<_>>().join("\n");
    (!out.is_empty() && out.len() <= MAX_LINE).then_some(out)
}

fn is_beside(element: &Element, words: Words) -> bool {
    match element.name() {
        "aside" | "footer" | "nav" => true,
        "body" | "html" | "main" | "article" => false,
        _ => words & BESIDE != 0,
    }
}

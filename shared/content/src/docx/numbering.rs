//! Lists: which number or bullet stands before a paragraph (ECMA-376, part 1, 17.9).

use std::collections::{HashMap, HashSet};

use crate::numerals;
use crate::xml::{Node, Xml};

/// Levels a list has.
const LEVELS: usize = 9;

/// The lists of a document, and how far each has been counted.
#[derive(Debug, Default)]
pub(super) struct Numbering {
    kinds: HashMap<u32, [Level; LEVELS]>,
    lists: HashMap<u32, List>,
    /// The last number of each level, by kind of list: lists of a kind count on from one another.
    counted: HashMap<u32, [Option<u32>; LEVELS]>,
    begun: HashSet<(u32, usize)>,
}

#[derive(Debug, Clone, Default)]
struct Level {
    format: String,
    /// Such as `%1.%2)`.
    text: String,
    start: u32,
}

#[derive(Debug, Default)]
struct List {
    kind: u32,
    /// Where each level begins anew when the list is met first.
    restarts: [Option<u32>; LEVELS],
}

/// What stands before an item.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Marker {
    Bullet,
    /// A number with what surrounds it, such as `2.1.` or `(iv)`.
    Number(String),
    Nothing,
}

impl Numbering {
    /// Reads the part; as far as it goes, if it is broken.
    pub(super) fn read(source: &str) -> Self {
        let mut this = Self::default();
        let (mut kind, mut list, mut level) = (None, None, None);
        let mut xml = Xml::new(source);
        while let Ok(Some(node)) = xml.next() {
            match node {
                Node::Open(tag) => match tag.name() {
                    "abstractNum" => kind = tag.number::<u32>("abstractNumId"),
                    "num" => list = tag.number::<u32>("numId"),
                    "abstractNumId" => {
                        if let (Some(list), Some(kind)) = (list, tag.number("val")) {
                            this.lists.entry(list).or_default().kind = kind;
                        }
                    }
                    "lvl" | "lvlOverride" => level = tag.number::<usize>("ilvl").filter(|level| *level < LEVELS),
                    "startOverride" => {
                        if let (Some(list), Some(level)) = (list, level) {
                            this.lists.entry(list).or_default().restarts[level] = tag.number("val");
                        }
                    }
                    name @ ("numFmt" | "lvlText" | "start") => {
                        // A list's own levels are rare and mostly repeat those of its kind.
                        let (Some(kind), Some(level), None) = (kind, level, list) else { continue };
                        let level = &mut this.kinds.entry(kind).or_default()[level];
                        match name {
                            "numFmt" => level.format = tag.attr("val").unwrap_or_default(),
                            "lvlText" => level.text = tag.attr("val").unwrap_or_default(),
                            _ => level.start = tag.number("val").unwrap_or(1),
                        }
                    }
                    _ => {}
                },
                Node::Close(name) => match &*name {
                    "abstractNum" => kind = None,
                    "num" => list = None,
                    "lvl" | "lvlOverride" => level = None,
                    _ => {}
                },
                Node::Text(_) => {}
            }
        }
        this
    }

    /// Counts the next item of a list at a level from 0, and tells what stands before it.
    pub(super) fn next(&mut self, list: u32, level: u8) -> Marker {
        let level = usize::from(level).min(LEVELS - 1);
        let Some(found) = self.lists.get(&list) else { return Marker::Bullet };
        let Some(levels) = self.kinds.get(&found.kind) else { return Marker::Bullet };
        match levels[level].format.as_str() {
            "bullet" => return Marker::Bullet,
            "none" => return Marker::Nothing,
            _ => {}
        }
        let counted = self.counted.entry(found.kind).or_default();
        let restart = found.restarts[level].filter(|_| self.begun.insert((list, level)));
        counted[level] = Some(match (restart, counted[level]) {
            (Some(start), _) => start,
            (None, Some(last)) => last.saturating_add(1),
            (None, None) => levels[level].start,
        });
        counted[level + 1..].fill(None);
        let mut text = levels[level].text.clone();
        for (at, level) in levels.iter().enumerate() {
            let place = format!("%{}", at + 1);
            if text.contains(&place) {
                let number = counted[at].unwrap_or(level.start);
                text = text.replace(&place, &numerals::written(number, &level.format));
            }
        }
        let text = text.trim();
        if text.is_empty() { Marker::Nothing } else { Marker::Number(text.to_owned()) }
    }
}

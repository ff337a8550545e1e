//! Styles of paragraphs and lists.

use std::collections::HashMap;

use crate::xml::{Node, Tag, Xml};

/// Styles based on one another farther than this are a circle.
const MAX_ANCESTRY: usize = 30;

/// Styles by their names.
#[derive(Debug, Default)]
pub(super) struct Styles {
    /// What a style of paragraphs is based on.
    parents: HashMap<String, String>,
    /// The levels of lists, from 1.
    lists: HashMap<(String, u32), Level>,
}

/// What stands before the items of a level.
#[derive(Debug, Clone, Default)]
pub(super) struct Level {
    /// Such as `1`, `a` or `I`; empty for bullets and for nothing.
    pub(super) format: String,
    pub(super) prefix: String,
    pub(super) suffix: String,
    pub(super) start: u32,
    /// How many levels are shown, as in 1.2.3.
    pub(super) shown: u32,
}

impl Styles {
    /// Takes in the styles of a part; as far as it goes, if it is broken.
    pub(super) fn add(&mut self, source: &str) {
        let mut list = None;
        let mut xml = Xml::new(source);
        while let Ok(Some(node)) = xml.next() {
            match node {
                Node::Open(tag) => match tag.name() {
                    "style" => {
                        if let (Some(name), Some(parent)) = (tag.attr("name"), tag.attr("parent-style-name")) {
                            self.parents.insert(name, parent);
                        }
                    }
                    "list-style" => list = tag.attr("name"),
                    "list-level-style-number" => {
                        if let (Some(list), Some(level)) = (&list, tag.number("level")) {
                            self.lists.insert((list.clone(), level), Level::of(&tag));
                        }
                    }
                    "body" => break,
                    _ => {}
                },
                Node::Close(name) if *name == *"list-style" => list = None,
                _ => {}
            }
        }
    }

    /// A level of a list, if it is numbered.
    pub(super) fn level(&self, list: &str, level: u32) -> Option<&Level> {
        self.lists.get(&(list.to_owned(), level)).filter(|level| !level.format.is_empty())
    }

    /// Whether a style of paragraphs is, or is based on, the one of this name.
    pub(super) fn is(&self, style: &str, wanted: &str) -> bool {
        std::iter::successors(Some(style), |style| self.parents.get(*style).map(String::as_str))
            .take(MAX_ANCESTRY)
            .any(|style| style == wanted)
    }
}

impl Level {
    fn of(tag: &Tag<'_>) -> Self {
        Self {
            format: tag.attr("num-format").unwrap_or_default(),
            prefix: tag.attr("num-prefix").unwrap_or_default(),
            suffix: tag.attr("num-suffix").unwrap_or_default(),
            start: tag.number("start-value").unwrap_or(1),
            shown: tag.number("display-levels").unwrap_or(1),
        }
    }
}

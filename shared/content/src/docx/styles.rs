//! What the styles of a document say of its paragraphs.

use std::collections::HashMap;

use super::Role;
use crate::BlockKind;
use crate::xml::{Node, Xml};

/// Styles based on one another farther than this are a circle.
const MAX_ANCESTRY: usize = 30;

/// The styles of paragraphs, by their ids.
#[derive(Debug, Default)]
pub(super) struct Styles(HashMap<String, Style>);

#[derive(Debug, Default)]
struct Style {
    /// In lower case. Word stores the names of its own styles in English, whatever its language.
    name: String,
    based_on: Option<String>,
    outline: Option<u8>,
    list: Option<(u32, u8)>,
}

impl Styles {
    /// Reads the part; as far as it goes, if it is broken.
    pub(super) fn read(source: &str) -> Self {
        let mut styles = HashMap::new();
        let (mut id, mut style) = (None, Style::default());
        let (mut list, mut level) = (None, None);
        let mut xml = Xml::new(source);
        while let Ok(Some(node)) = xml.next() {
            match node {
                Node::Open(tag) => match tag.name() {
                    "style" => {
                        id = tag.attr("styleId");
                        style = Style::default();
                        (list, level) = (None, None);
                    }
                    "name" if id.is_some() => style.name = tag.attr("val").unwrap_or_default().to_lowercase(),
                    "basedOn" => style.based_on = tag.attr("val"),
                    "outlineLvl" => style.outline = tag.number("val"),
                    "numId" => list = tag.number("val"),
                    "ilvl" => level = tag.number("val"),
                    _ => {}
                },
                Node::Close(name) if *name == *"style" => {
                    style.list = list.map(|list| (list, level.unwrap_or(0)));
                    if let Some(id) = id.take() {
                        styles.insert(id, std::mem::take(&mut style));
                    }
                }
                _ => {}
            }
        }
        Self(styles)
    }

    /// What a paragraph of this style is, if it is anything but a paragraph.
    pub(super) fn role(&self, id: &str) -> Option<Role> {
        self.ancestry(id).find_map(|style| {
            if style.name == "title" {
                return Some(Role::Title);
            }
            let numbered = style.name.strip_prefix("heading ").and_then(|level| level.trim().parse::<u8>().ok());
            if let Some(level) =
                numbered.filter(|level| *level >= 1).or(style.outline.filter(|l| *l < 9).map(|l| l + 1))
            {
                return Some(Role::Block(BlockKind::Heading { level: level.min(6) }));
            }
            let code = ["source code", "html preformatted", "preformatted text", "macro", "code"];
            code.contains(&style.name.as_str()).then_some(Role::Block(BlockKind::Code))
        })
    }

    /// The list and level that this style puts a paragraph into.
    pub(super) fn list(&self, id: &str) -> Option<(u32, u8)> {
        self.ancestry(id).find_map(|style| style.list)
    }

    fn ancestry(&self, id: &str) -> impl Iterator<Item = &Style> {
        std::iter::successors(self.0.get(id), |style| self.0.get(style.based_on.as_ref()?)).take(MAX_ANCESTRY)
    }
}

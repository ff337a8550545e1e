//! Foot- and endnotes.

use std::collections::HashMap;

use crate::xml::{Node, Xml};

/// The texts of notes, by their ids.
#[derive(Debug, Default)]
pub(super) struct Notes {
    foot: HashMap<String, String>,
    end: HashMap<String, String>,
}

impl Notes {
    pub(super) fn read(footnotes: &str, endnotes: &str) -> Self {
        Self { foot: texts(footnotes), end: texts(endnotes) }
    }

    /// The note that an element `footnoteReference` or `endnoteReference` means.
    pub(super) fn of(&self, reference: &str, id: &str) -> Option<&str> {
        let notes = if reference == "footnoteReference" { &self.foot } else { &self.end };
        notes.get(id).map(String::as_str)
    }
}

/// Each note on one line; separators, which are kept as notes too, have a type.
fn texts(source: &str) -> HashMap<String, String> {
    let mut notes = HashMap::new();
    let (mut id, mut text) = (None, String::new());
    let mut xml = Xml::new(source);
    while let Ok(Some(node)) = xml.next() {
        match node {
            Node::Open(tag) => match tag.name() {
                "footnote" | "endnote" => {
                    let ordinary = tag.attr("type").is_none_or(|kind| kind == "normal");
                    id = tag.attr("id").filter(|_| ordinary);
                    text.clear();
                }
                "t" => text.push_str(&xml.text().unwrap_or_default()),
                "tab" | "br" => text.push(' '),
                "del" | "moveFrom" | "Fallback" if xml.skip().is_err() => break,
                _ => {}
            },
            Node::Close(name) => match &*name {
                "p" => text.push(' '),
                "footnote" | "endnote" => {
                    if let Some(id) = id.take() {
                        notes.insert(id, text.trim().to_owned());
                    }
                }
                _ => {}
            },
            Node::Text(_) => {}
        }
    }
    notes
}

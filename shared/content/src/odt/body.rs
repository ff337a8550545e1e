//! The body of a text document: paragraphs, lists, tables and text boxes in reading order.

use std::collections::HashMap;

use super::lists::Styles;
use crate::flow::Flow;
use crate::numerals;
use crate::xml::{Malformed, Node, Tag, Xml};
use crate::{BlockKind, ContentError};

/// Levels of nested lists that are shown by indentation.
const MAX_INDENT: usize = 8;

/// Spaces that one element may stand for.
const MAX_SPACES: usize = 200;

/// A paragraph on its way.
#[derive(Debug, Default)]
struct Paragraph {
    text: String,
    style: String,
    /// The outline level of a heading.
    level: Option<u8>,
    notes: Vec<String>,
}

/// A list that is open.
#[derive(Debug, Default)]
struct List {
    style: String,
    /// The number of the item at hand.
    number: u32,
    /// Whether the item at hand has not been marked yet.
    unmarked: bool,
}

/// Reads what stands in the body.
pub(super) struct Body<'a> {
    flow: &'a mut Flow,
    styles: Styles,
    /// Paragraphs that are open: a text box stands in a paragraph and holds others.
    open: Vec<Paragraph>,
    lists: Vec<List>,
    /// Where each list ended, for those that continue it.
    ended: HashMap<(String, usize), u32>,
    within: bool,
    noted: usize,
    /// The first paragraph in the style for titles.
    pub(super) title: Option<String>,
}

impl<'a> Body<'a> {
    pub(super) fn new(flow: &'a mut Flow, styles: Styles) -> Self {
        Self {
            flow,
            styles,
            open: Vec::new(),
            lists: Vec::new(),
            ended: HashMap::new(),
            within: false,
            noted: 0,
            title: None,
        }
    }

    /// Reads a source to its end; false if it breaks off.
    pub(super) fn read(&mut self, xml: &mut Xml<'_>) -> Result<bool, ContentError> {
        let whole = xml.feed(self, Self::enter, Self::leave, Self::write)?;
        if !whole {
            while !self.open.is_empty() {
                self.end_paragraph()?;
            }
        }
        Ok(whole)
    }

    fn enter(&mut self, tag: &Tag<'_>, xml: &mut Xml<'_>) -> Result<(), Malformed> {
        if tag.name() == "body" {
            self.within = true;
        }
        if !self.within {
            return Ok(());
        }
        match tag.name() {
            // Deleted text, remarks, forms, other words for pictures, the reading of ruby characters.
            "tracked-changes" | "annotation" | "forms" | "ruby-text" => return xml.skip(),
            "title" | "desc" if tag.has_prefix("svg") => return xml.skip(),
            name @ ("p" | "h") => self.open.push(Paragraph {
                style: tag.attr("style-name").unwrap_or_default(),
                level: (name == "h").then(|| tag.number("outline-level").unwrap_or(1)),
                ..Paragraph::default()
            }),
            "s" => {
                let spaces: usize = tag.number("c").unwrap_or(1);
                self.push(&" ".repeat(spaces.min(MAX_SPACES)));
            }
            "tab" => self.push("\t"),
            "line-break" => self.push("\n"),
            "note" => self.note(xml)?,
            "list" => self.open_list(tag),
            "list-item" => {
                if let Some(list) = self.lists.last_mut() {
                    list.number = tag.number("start-value").unwrap_or(list.number.saturating_add(1));
                    list.unmarked = true;
                }
            }
            "table" => self.flow.open_table(),
            "table-row" => self.flow.open_row(),
            "table-cell" | "covered-table-cell" => {
                self.flow.open_cell();
                self.flow.widen_cell(tag.number("number-columns-repeated").unwrap_or(1));
            }
            _ => {}
        }
        Ok(())
    }

    fn leave(&mut self, name: &str) -> Result<(), ContentError> {
        match name {
            "p" | "h" => self.end_paragraph()?,
            "list" => {
                if let Some(list) = self.lists.pop() {
                    self.ended.insert((list.style, self.lists.len()), list.number);
                }
            }
            "table" => self.flow.close_table()?,
            _ => {}
        }
        Ok(())
    }

    /// White space in the source is one space at most (ODF 1.3, part 3, 6.1.2).
    fn write(&mut self, text: &str) {
        let Some(paragraph) = self.open.last_mut() else { return };
        for c in text.chars() {
            if !matches!(c, ' ' | '\t' | '\n' | '\r') {
                paragraph.text.push(c);
            } else if !paragraph.text.ends_with([' ', '\n', '\t']) {
                paragraph.text.push(' ');
            }
        }
    }

    fn push(&mut self, text: &str) {
        if let Some(paragraph) = self.open.last_mut() {
            paragraph.text.push_str(text);
        }
    }

    fn open_list(&mut self, tag: &Tag<'_>) {
        let style = tag.attr("style-name");
        let style = style.or_else(|| self.lists.last().map(|list| list.style.clone())).unwrap_or_default();
        let continues =
            tag.attr("continue-numbering").is_some_and(|value| value == "true") || tag.attr("continue-list").is_some();
        let depth = self.lists.len();
        let before = self.ended.get(&(style.clone(), depth)).copied().filter(|_| continues);
        let level = self.styles.level(&style, u32::try_from(depth + 1).unwrap_or(u32::MAX));
        let first = level.map_or(1, |level| level.start).saturating_sub(1);
        self.lists.push(List { style, number: before.unwrap_or(first), unmarked: false });
    }

    /// A mark in the text; the note follows the paragraph.
    fn note(&mut self, xml: &mut Xml<'_>) -> Result<(), Malformed> {
        let (mut depth, mut text) = (1, String::new());
        while depth > 0 {
            match xml.next()?.ok_or(Malformed)? {
                Node::Open(tag) if tag.name() == "note-citation" => xml.skip()?,
                Node::Open(_) => depth += 1,
                Node::Close(name) => {
                    depth -= 1;
                    if *name == *"p" || *name == *"s" || *name == *"tab" {
                        text.push(' ');
                    }
                }
                Node::Text(part) => text.push_str(&part),
            }
        }
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        if let Some(paragraph) = self.open.last_mut()
            && !text.is_empty()
        {
            self.noted += 1;
            paragraph.text.push_str(&format!("[{}]", self.noted));
            paragraph.notes.push(format!("[{}] {text}", self.noted));
        }
        Ok(())
    }

    fn end_paragraph(&mut self) -> Result<(), ContentError> {
        let Some(Paragraph { text, style, level, notes }) = self.open.pop() else { return Ok(()) };
        let line = || text.split_whitespace().collect::<Vec<_>>().join(" ");
        if let Some(level) = level {
            self.flow.block(BlockKind::Heading { level: level.clamp(1, 6) }, line())?;
        } else if self.styles.is(&style, "Preformatted_20_Text") || self.styles.is(&style, "Source_20_Code") {
            self.flow.block(BlockKind::Code, text)?;
        } else if self.styles.is(&style, "Title") && !text.trim().is_empty() {
            self.title.get_or_insert_with(line);
            self.flow.block(BlockKind::Heading { level: 1 }, line())?;
        } else if !self.lists.is_empty() && !text.trim().is_empty() {
            let item = self.marker() + text.trim();
            self.flow.block(BlockKind::ListItem, item)?;
        } else {
            self.flow.block(BlockKind::Paragraph, text.trim().to_owned())?;
        }
        for note in notes {
            self.flow.block(BlockKind::Paragraph, note)?;
        }
        Ok(())
    }

    /// What stands before the next paragraph of the innermost list: its mark, once an item.
    fn marker(&mut self) -> String {
        let depth = self.lists.len();
        let indent = "  ".repeat((depth - 1).min(MAX_INDENT));
        let Some(list) = self.lists.last_mut() else { return String::new() };
        if !std::mem::take(&mut list.unmarked) {
            return String::new();
        }
        let style = list.style.clone();
        let level = |depth: usize| self.styles.level(&style, u32::try_from(depth).unwrap_or(u32::MAX));
        let Some(own) = level(depth) else { return format!("{indent}- ") };
        let first = depth.saturating_sub(own.shown.max(1) as usize);
        let numbers: Vec<String> = (first..depth)
            .map(|at| {
                numerals::written(self.lists[at].number, level(at + 1).map_or("1", |level| level.format.as_str()))
            })
            .collect();
        format!("{indent}{}{}{} ", own.prefix.trim_start(), numbers.join("."), own.suffix.trim_end())
    }
}

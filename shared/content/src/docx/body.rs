//! The body of a document: paragraphs, tables and text boxes in reading order.

use super::Role;
use super::notes::Notes;
use super::numbering::{Marker, Numbering};
use super::styles::Styles;
use crate::flow::Flow;
use crate::xml::{Malformed, Tag, Xml};
use crate::{BlockKind, ContentError};

/// Levels of nested lists that are shown by indentation.
const MAX_INDENT: u8 = 8;

/// Notes of one document. One that is referred to a million times would fill memory.
const MAX_NOTES: usize = 20_000;

/// A paragraph on its way.
#[derive(Debug, Default)]
struct Paragraph {
    text: String,
    style: Option<String>,
    outline: Option<u8>,
    list: Option<u32>,
    level: Option<u8>,
    notes: Vec<String>,
}

/// Reads what stands in the body.
pub(super) struct Body<'a> {
    flow: &'a mut Flow,
    styles: &'a Styles,
    numbering: Numbering,
    notes: &'a Notes,
    /// Paragraphs that are open: a text box stands in a paragraph and holds others.
    open: Vec<Paragraph>,
    /// Whether a run is open, and whether it is hidden.
    run: Option<bool>,
    noted: usize,
    /// The first paragraph in the style for titles.
    pub(super) title: Option<String>,
}

impl<'a> Body<'a> {
    pub(super) fn new(flow: &'a mut Flow, styles: &'a Styles, numbering: Numbering, notes: &'a Notes) -> Self {
        Self { flow, styles, numbering, notes, open: Vec::new(), run: None, noted: 0, title: None }
    }

    /// Reads a source to its end; false if it breaks off.
    pub(super) fn read(&mut self, xml: &mut Xml<'_>) -> Result<bool, ContentError> {
        let whole = xml.feed(self, Self::enter, Self::leave, |_, _| ())?;
        if !whole {
            while !self.open.is_empty() {
                self.end_paragraph()?;
            }
        }
        Ok(whole)
    }

    fn enter(&mut self, tag: &Tag<'_>, xml: &mut Xml<'_>) -> Result<(), Malformed> {
        let value = || tag.attr("val");
        match tag.name() {
            // What was deleted or moved away, what was before a change, what older programs are to show instead, what
            // fields are computed from, and the reading of ruby characters.
            "del" | "moveFrom" | "pPrChange" | "rPrChange" | "sectPrChange" | "tblPrChange" | "trPrChange"
            | "tcPrChange" | "tblGridChange" | "Fallback" | "instrText" | "delText" | "delInstrText" | "sectPr"
            | "sdtPr" | "rt" => return xml.skip(),
            "p" => self.open.push(Paragraph::default()),
            "r" => self.run = Some(false),
            "vanish" if self.run.is_some() => {
                self.run = Some(value().is_none_or(|value| !matches!(value.as_str(), "0" | "false" | "off")));
            }
            "t" => {
                let text = xml.text()?;
                self.write(&text);
            }
            "tab" if self.run.is_some() => self.write("\t"),
            "br" | "cr" => self.write("\n"),
            "noBreakHyphen" => self.write("-"),
            "sym" => {
                let code = tag.attr("char").and_then(|code| u32::from_str_radix(&code, 16).ok());
                // Fonts of symbols have places of their own, which say nothing without the font.
                let symbol = code.and_then(char::from_u32).filter(|c| !matches!(c, '\u{e000}'..='\u{f8ff}'));
                self.write(symbol.map(String::from).as_deref().unwrap_or_default());
            }
            name @ ("footnoteReference" | "endnoteReference") => self.note(name, &tag.attr("id").unwrap_or_default()),
            "tbl" => self.flow.open_table(),
            "tr" => self.flow.open_row(),
            "tc" => self.flow.open_cell(),
            "gridSpan" => self.flow.widen_cell(tag.number("val").unwrap_or(1)),
            name @ ("pStyle" | "outlineLvl" | "numId" | "ilvl") => {
                if let Some(paragraph) = self.open.last_mut() {
                    match name {
                        "pStyle" => paragraph.style = value(),
                        "outlineLvl" => paragraph.outline = tag.number("val"),
                        "numId" => paragraph.list = tag.number("val"),
                        _ => paragraph.level = tag.number("val"),
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn leave(&mut self, name: &str) -> Result<(), ContentError> {
        match name {
            "p" => self.end_paragraph()?,
            "r" => self.run = None,
            "tbl" => self.flow.close_table()?,
            _ => {}
        }
        Ok(())
    }

    fn write(&mut self, text: &str) {
        if self.run != Some(true)
            && let Some(paragraph) = self.open.last_mut()
        {
            paragraph.text.push_str(text);
        }
    }

    /// A mark in the text; the note follows the paragraph.
    fn note(&mut self, reference: &str, id: &str) {
        let Some(note) = self.notes.of(reference, id).filter(|note| !note.is_empty()) else { return };
        if self.noted >= MAX_NOTES {
            return;
        }
        self.noted += 1;
        let (mark, note) = (format!("[{}]", self.noted), note.to_owned());
        self.write(&mark);
        if let Some(paragraph) = self.open.last_mut() {
            paragraph.notes.push(format!("{mark} {note}"));
        }
    }

    fn end_paragraph(&mut self) -> Result<(), ContentError> {
        let Some(paragraph) = self.open.pop() else { return Ok(()) };
        let style = paragraph.style.as_deref().unwrap_or_default();
        let role = match paragraph.outline {
            Some(level) if level < 9 => Some(Role::Block(BlockKind::Heading { level: (level + 1).min(6) })),
            Some(_) => None,
            None => self.styles.role(style),
        };
        let inherited = self.styles.list(style);
        let list = paragraph.list.or(inherited.map(|(list, _)| list)).filter(|list| *list != 0);
        let level = paragraph.level.or(inherited.map(|(_, level)| level)).unwrap_or(0);
        if paragraph.text.trim().is_empty() {
            // An empty line within code is part of it.
            if role == Some(Role::Block(BlockKind::Code)) {
                self.flow.block(BlockKind::Code, paragraph.text)?;
            }
            return Ok(());
        }
        let marker = list.map(|list| self.numbering.next(list, level));
        let text = paragraph.text.trim();
        match (role, marker) {
            (Some(Role::Block(BlockKind::Code)), _) => self.flow.block(BlockKind::Code, paragraph.text)?,
            (Some(role), marker) => {
                let kind = match role {
                    Role::Title => BlockKind::Heading { level: 1 },
                    Role::Block(kind) => kind,
                };
                if role == Role::Title && self.title.is_none() {
                    self.title = Some(text.split_whitespace().collect::<Vec<_>>().join(" "));
                }
                let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
                let line = if let Some(Marker::Number(number)) = marker { format!("{number} {line}") } else { line };
                self.flow.block(kind, line)?;
            }
            (None, Some(marker @ (Marker::Bullet | Marker::Number(_)))) => {
                let indent = "  ".repeat(usize::from(level.min(MAX_INDENT)));
                let sign = if let Marker::Number(number) = marker { number } else { "-".to_owned() };
                self.flow.block(BlockKind::ListItem, format!("{indent}{sign} {text}"))?;
            }
            (None, _) => self.flow.block(BlockKind::Paragraph, text.to_owned())?,
        }
        for note in paragraph.notes {
            self.flow.block(BlockKind::Paragraph, note)?;
        }
        Ok(())
    }
}

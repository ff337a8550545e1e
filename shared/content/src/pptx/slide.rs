//! One slide: its shapes in the order they are drawn, the title first.

use std::collections::HashMap;

use super::relation_id;
use crate::flow::Flow;
use crate::xml::{Malformed, Tag, Xml};
use crate::{BlockKind, ContentError};

/// Levels of lists that are shown by indentation.
const MAX_INDENT: u8 = 8;

/// A paragraph of a shape.
#[derive(Debug, Default)]
struct Line {
    text: String,
    level: u8,
    sign: Sign,
}

/// What a paragraph says of its bullet.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Sign {
    /// Nothing: its placeholder decides.
    #[default]
    Inherited,
    None,
    Bullet,
    Number,
}

/// What a shape is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// The title of a slide.
    Title,
    /// The title of a title slide.
    FirstTitle,
    /// Text in points.
    Body,
    /// Footer, date or number.
    Margin,
    /// Anything that was drawn.
    Free,
}

/// Reads a slide.
pub(super) struct Slide<'a> {
    flow: &'a mut Flow,
    notes: bool,
    place: Place,
    lines: Vec<Line>,
    line: Option<Line>,
    tables: usize,
    /// The slide's title.
    pub(super) title: Option<String>,
    /// The ids of charts and diagrams.
    pub(super) graphics: Vec<String>,
}

impl<'a> Slide<'a> {
    pub(super) fn new(flow: &'a mut Flow) -> Self {
        Self {
            flow,
            notes: false,
            place: Place::Free,
            lines: Vec::new(),
            line: None,
            tables: 0,
            title: None,
            graphics: Vec::new(),
        }
    }

    /// A reader of a page of notes, of which only the notes themselves count.
    pub(super) fn notes(flow: &'a mut Flow) -> Self {
        Self { notes: true, ..Self::new(flow) }
    }

    /// Reads a source to its end; false if it breaks off. A title that stands behind other shapes is moved before them.
    pub(super) fn read(&mut self, xml: &mut Xml<'_>) -> Result<bool, ContentError> {
        let whole = xml.feed(self, Self::enter, Self::leave, |_, _| ())?;
        if !whole {
            self.end_shape()?;
        }
        Ok(whole)
    }

    fn enter(&mut self, tag: &Tag<'_>, xml: &mut Xml<'_>) -> Result<(), Malformed> {
        match tag.name() {
            "Fallback" => return xml.skip(),
            "sp" => self.place = Place::Free,
            "ph" => self.place = place(tag.attr("type").as_deref()),
            "tbl" => {
                self.tables += 1;
                self.flow.open_table();
            }
            "tr" if self.tables > 0 => self.flow.open_row(),
            "tc" if self.tables > 0 => self.flow.open_cell(),
            "p" => self.line = Some(Line::default()),
            "pPr" => {
                if let Some(line) = &mut self.line {
                    line.level = tag.number("lvl").unwrap_or(0);
                }
            }
            name @ ("buNone" | "buChar" | "buBlip" | "buAutoNum") => {
                if let Some(line) = &mut self.line {
                    line.sign = match name {
                        "buNone" => Sign::None,
                        "buAutoNum" => Sign::Number,
                        _ => Sign::Bullet,
                    };
                }
            }
            "t" => {
                let text = xml.text()?;
                if let Some(line) = &mut self.line {
                    // A line break within a line may be stored as a vertical tab, also by its escape.
                    line.text.push_str(&text.replace("_x000B_", "\n"));
                }
            }
            name @ ("br" | "tab") => {
                if let Some(line) = &mut self.line {
                    line.text.push(if name == "br" { '\n' } else { '\t' });
                }
            }
            "chart" => self.graphics.extend(relation_id(tag)),
            "relIds" => self.graphics.extend(tag.attr("dm")),
            _ => {}
        }
        Ok(())
    }

    fn leave(&mut self, name: &str) -> Result<(), ContentError> {
        match name {
            "p" => {
                let Some(line) = self.line.take().filter(|line| !line.text.trim().is_empty()) else { return Ok(()) };
                if self.tables > 0 {
                    self.flow.block(BlockKind::Paragraph, line.text)?;
                } else {
                    self.lines.push(line);
                }
            }
            "tbl" => {
                self.tables = self.tables.saturating_sub(1);
                self.flow.close_table()?;
            }
            "sp" | "cxnSp" => self.end_shape()?,
            _ => {}
        }
        Ok(())
    }

    fn end_shape(&mut self) -> Result<(), ContentError> {
        let lines = std::mem::take(&mut self.lines);
        let place = std::mem::replace(&mut self.place, Place::Free);
        match place {
            Place::Margin => Ok(()),
            _ if self.notes && place != Place::Body => Ok(()),
            Place::Title | Place::FirstTitle => {
                let words: Vec<&str> = lines.iter().flat_map(|line| line.text.split_whitespace()).collect();
                let title = words.join(" ");
                let level = if place == Place::FirstTitle { 1 } else { 2 };
                if title.is_empty() {
                    return Ok(());
                }
                self.title.get_or_insert_with(|| title.clone());
                self.flow.block(BlockKind::Heading { level }, title)
            }
            Place::Body | Place::Free => self.points(place, lines),
        }
    }

    /// The paragraphs of a shape; in a placeholder for points they are points where nothing else is said.
    fn points(&mut self, place: Place, lines: Vec<Line>) -> Result<(), ContentError> {
        let by_default = !self.notes && place == Place::Body && lines.len() > 1;
        let mut numbers: HashMap<u8, u32> = HashMap::new();
        for line in lines {
            let text = line.text.trim();
            let sign = match line.sign {
                Sign::Inherited if by_default => Sign::Bullet,
                Sign::Inherited => Sign::None,
                sign => sign,
            };
            numbers.retain(|level, _| *level < line.level || (*level == line.level && sign == Sign::Number));
            let indent = "  ".repeat(usize::from(line.level.min(MAX_INDENT)));
            match sign {
                Sign::Number => {
                    let number = numbers.entry(line.level).or_default();
                    *number += 1;
                    self.flow.block(BlockKind::ListItem, format!("{indent}{number}. {text}"))?;
                }
                Sign::Bullet => self.flow.block(BlockKind::ListItem, format!("{indent}- {text}"))?,
                _ => self.flow.block(BlockKind::Paragraph, text.to_owned())?,
            }
        }
        Ok(())
    }
}

/// What a placeholder is for, by its type (ECMA-376, part 1, 19.7.10).
fn place(kind: Option<&str>) -> Place {
    match kind {
        Some("title") => Place::Title,
        Some("ctrTitle") => Place::FirstTitle,
        Some("dt" | "ftr" | "hdr" | "sldNum" | "sldImg") => Place::Margin,
        Some("subTitle") => Place::Free,
        // Without a type it is an object, which is mostly text.
        _ => Place::Body,
    }
}

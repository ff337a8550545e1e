//! PDF to blocks: hayro's positioned glyphs, and a layout of our own on top of them.
//!
//! ```text
//! page ── glyphs ──> frames ── lines ──> segments ── furniture ──> order ──> zones ── grid ──> rows, tables
//!      ── flow ──> passages ── compose ──> blocks
//! ```

mod accents;
mod bidi;
mod compose;
mod flow;
mod fonts;
mod furniture;
mod glyphs;
mod grid;
mod guess;
mod info;
mod lines;
mod order;
mod place;

use std::collections::HashMap;

use hayro_interpret::InterpreterCache;
use hayro_syntax::{DecryptionError, LoadPdfError, Pdf};

use crate::document::Builder;
use crate::{BlockKind, ContentError, ExtractOptions, Extracted, MediaType, Warning, guard};
use compose::Element;
use fonts::Fonts;
use glyphs::{Frame, Glyph, PageText, Rule};
use grid::Part;
use lines::Segment;

/// How many characters are read.
#[derive(Debug, Clone, Copy)]
struct Limits {
    /// Of one page, in characters.
    page: usize,
    /// Of all pages together, in characters.
    document: usize,
}

/// More on one page is an attack or a map: the rest of it is left out, with a warning. Together, twice the Bible or
/// about 2,700 full pages: a document with more is refused, for a part of it would pass for the whole.
const LIMITS: Limits = Limits { page: 400_000, document: 8_000_000 };

/// Reads a PDF. Pages without text and pages that cannot be parsed become warnings as long as another page has text.
pub(crate) fn extract(bytes: &[u8], options: &ExtractOptions) -> Result<Extracted, ContentError> {
    extract_within(bytes, options, LIMITS)
}

fn extract_within(bytes: &[u8], options: &ExtractOptions, limits: Limits) -> Result<Extracted, ContentError> {
    let pdf = guard::guarded(|| Pdf::new(bytes.to_vec())).map_err(|_| damaged("its structure is broken"))?.map_err(
        |error| match error {
            LoadPdfError::Decryption(DecryptionError::PasswordProtected) => ContentError::PdfPassword,
            LoadPdfError::Decryption(_) => damaged("its encryption is broken or of an unknown kind"),
            LoadPdfError::Invalid => damaged("its structure is broken"),
        },
    )?;
    let count = guard::guarded(|| pdf.pages().len()).map_err(|_| damaged("its page tree is broken"))?;
    let count = u32::try_from(count).unwrap_or(u32::MAX);
    if count == 0 {
        return Err(damaged("it has no pages"));
    }
    if count > options.max_pages {
        return Err(ContentError::TooManyPages { pages: count, max: options.max_pages });
    }
    let (sheets, report) = read_pages(&pdf, limits)?;
    let mut builder = Builder::default();
    guard::guarded(|| layout(sheets, &mut builder)).map_err(|_| damaged("its layout makes no sense"))?;
    if builder.blocks().is_empty() {
        return Err(report.failure(count));
    }
    let mut metadata = guard::guarded(|| info::read(bytes, &pdf)).unwrap_or_default();
    metadata.page_count = Some(count);
    let mut document = builder.finish(MediaType::Pdf, metadata, report.warnings());
    if document.metadata.title.is_none() {
        document.metadata.title = first_title(&document);
    }
    Ok(document)
}

fn damaged(detail: &str) -> ContentError {
    ContentError::PdfDamaged { detail: detail.to_owned() }
}

/// What could not be read, by page number.
#[derive(Default)]
struct Report {
    damaged: Vec<u32>,
    textless: Vec<u32>,
    unmapped: Vec<u32>,
    cut: Vec<u32>,
}

impl Report {
    fn add(&mut self, number: u32, found: &Found) {
        if found.cut {
            self.cut.push(number);
        }
        // A stray symbol without meaning is no loss.
        if found.unmapped > 20 && found.unmapped * 4 > found.mapped {
            self.unmapped.push(number);
        } else if found.mapped == 0 && found.drawn {
            self.textless.push(number);
        }
    }

    /// Why there is no text at all.
    fn failure(mut self, count: u32) -> ContentError {
        if self.damaged.len() == usize::try_from(count).unwrap_or(usize::MAX) {
            return damaged("none of its pages can be parsed");
        }
        self.textless.append(&mut self.unmapped);
        self.textless.sort_unstable();
        self.textless.dedup();
        if !self.textless.is_empty() {
            ContentError::NeedsOcr { pages: self.textless }
        } else if self.damaged.is_empty() {
            ContentError::EmptyDocument
        } else {
            damaged("none of its pages with content can be parsed")
        }
    }

    fn warnings(self) -> Vec<Warning> {
        let mut warnings = Vec::new();
        if !self.textless.is_empty() {
            warnings.push(Warning::PagesWithoutText { pages: self.textless });
        }
        if !self.damaged.is_empty() {
            warnings.push(Warning::PagesDamaged { pages: self.damaged });
        }
        if !self.unmapped.is_empty() {
            warnings.push(Warning::PagesUnmapped { pages: self.unmapped });
        }
        if !self.cut.is_empty() {
            warnings.push(Warning::PagesCut { pages: self.cut });
        }
        warnings
    }
}

/// The lines of every page. Glyphs, which take ten times the room, are gone when the next page is read.
fn read_pages(pdf: &Pdf, limits: Limits) -> Result<(Vec<Sheet>, Report), ContentError> {
    let cache = InterpreterCache::new();
    let mut fonts = Fonts::default();
    let mut report = Report::default();
    let mut sheets = Vec::new();
    let mut left = limits.document;
    for (index, page) in pdf.pages().iter().enumerate() {
        let number = u32::try_from(index + 1).unwrap_or(u32::MAX);
        let read = guard::guarded(|| {
            let text = glyphs::read(page, &cache, &mut fonts, limits.page.min(left));
            let found = Found::of(&text);
            (found, Sheet::of(number, text))
        });
        let Ok((found, sheet)) = read else {
            report.damaged.push(number);
            continue;
        };
        if found.cut && left < limits.page {
            return Err(ContentError::TooMuchText { max: limits.document });
        }
        left -= found.taken;
        report.add(number, &found);
        sheets.extend(sheet);
    }
    Ok((sheets, report))
}

/// How much was found on a page.
struct Found {
    taken: usize,
    cut: bool,
    /// Glyphs that mean something and are no spaces.
    mapped: usize,
    unmapped: usize,
    drawn: bool,
}

impl Found {
    fn of(text: &PageText) -> Self {
        let mapped =
            text.frames.iter().flat_map(|frame| &frame.glyphs).filter(|glyph| !glyph.text.trim().is_empty()).count();
        Self { taken: text.taken, cut: text.cut, mapped, unmapped: text.unmapped, drawn: text.drawn }
    }
}

/// The lines of a page: those of its main writing direction, and what is written in others.
struct Sheet {
    number: u32,
    height: f32,
    main: (Vec<Segment>, Vec<Rule>),
    others: Vec<(Vec<Segment>, Vec<Rule>)>,
}

impl Sheet {
    fn of(number: u32, text: PageText) -> Option<Self> {
        let mut frames = text.frames.into_iter();
        let Frame { glyphs, rules, height } = frames.next()?;
        let main = read_lines(glyphs, rules);
        let others = frames.map(|frame| read_lines(frame.glyphs, frame.rules)).collect();
        Some(Self { number, height, main, others })
    }
}

fn layout(sheets: Vec<Sheet>, builder: &mut Builder) {
    let body = body_size(sheets.iter().flat_map(|sheet| &sheet.main.0));
    let mut mains: Vec<(Vec<Segment>, f32)> = Vec::new();
    let mut rest = Vec::new();
    for Sheet { number, height, main, others } in sheets {
        mains.push((main.0, height));
        rest.push((number, main.1, others));
    }
    furniture::remove(&mut mains, body);
    let mut elements = Vec::new();
    for ((number, rules, others), (segments, _)) in rest.into_iter().zip(mains) {
        elements_of(segments, &rules, number, &mut elements);
        for (segments, rules) in others {
            elements_of(segments, &rules, number, &mut elements);
        }
    }
    compose::compose(elements, body, builder);
}

/// The segments of a frame and its rules, in coordinates that grow in the direction of reading.
fn read_lines(glyphs: Vec<Glyph>, mut rules: Vec<Rule>) -> (Vec<Segment>, Vec<Rule>) {
    let mut segments = lines::segments(glyphs);
    if bidi::is_mostly_rtl(&segments) {
        bidi::mirror(&mut segments, &mut rules);
        segments.sort_by(|a, b| a.y.total_cmp(&b.y).then(a.x0.total_cmp(&b.x0)));
    }
    (segments, rules)
}

fn elements_of(segments: Vec<Segment>, rules: &[Rule], page: u32, elements: &mut Vec<Element>) {
    for zone in order::zones(segments, rules) {
        let parts = grid::parts(&grid::rows(zone), rules);
        for part in parts {
            match part {
                Part::Text(rows) => elements.extend(flow::passages(&rows, page).into_iter().map(Element::Passage)),
                Part::Table(cells) => elements.push(Element::Table { page, cells }),
            }
        }
    }
}

/// The font size most characters are set in, in points.
fn body_size<'s>(segments: impl Iterator<Item = &'s Segment>) -> f32 {
    let mut counts: HashMap<i32, usize> = HashMap::new();
    for segment in segments {
        *counts.entry((segment.size * 4.0).round() as i32).or_default() += segment.chars();
    }
    let most = counts.into_iter().max_by_key(|(size, chars)| (*chars, -*size));
    most.map_or(10.0, |(size, _)| size as f32 / 4.0)
}

/// The first heading of level 1 on the first page that has one.
fn first_title(document: &Extracted) -> Option<String> {
    let heading =
        document.blocks.iter().find(|block| block.kind == BlockKind::Heading { level: 1 } && block.page == Some(1))?;
    let title: String = document.text.chars().skip(heading.start).take(heading.end - heading.start).collect();
    let generic = ["contents", "table of contents", "abstract", "inhalt", "inhaltsverzeichnis", "sommaire"];
    (title.chars().count() >= 4 && !generic.contains(&title.to_lowercase().as_str())).then_some(title)
}

#[cfg(test)]
mod tests;

//! Positioned glyphs of a page, by hayro's interpreter, turned so that text runs from left to right.

use std::collections::BTreeMap;

use hayro_interpret::font::{Glyph as Drawn, GlyphRun};
use hayro_interpret::hayro_cmap::{BfString, WritingMode};
use hayro_interpret::kurbo::{BezPath, PathEl, Point};
use hayro_interpret::{
    BlendMode, ClipPath, Context, Device, DrawMode, DrawProps, Image, ImageDrawProps, InterpreterCache,
    InterpreterSettings, RectExt, SoftMask, TransformExt, interpret_page,
};
use hayro_syntax::object::{Dict, Name};
use hayro_syntax::page::{Page, Resources};

use super::fonts::Fonts;
use super::guess;
use super::place::{Placed, Turn, place, set_widths, true_size};

/// Rules kept of one page at most.
const MAX_RULES: usize = 5_000;

/// More paths than this on a page without text may be letters drawn as outlines.
const MANY_PATHS: usize = 40;

/// Directions told apart on one page.
const MAX_ANGLES: usize = 12;

/// Characters one glyph may stand for; the longest ligature of Unicode, U+FDFA, stands for 18.
const MAX_MEANING: usize = 64;

/// A glyph in reading coordinates: x grows along the line, y downwards from line to line. Units are points.
#[derive(Debug, Clone)]
pub(super) struct Glyph {
    /// The characters it stands for: mostly one, several for a ligature.
    pub(super) text: String,
    pub(super) x0: f32,
    pub(super) x1: f32,
    /// The baseline.
    pub(super) y: f32,
    /// The font size.
    pub(super) size: f32,
    pub(super) bold: bool,
    pub(super) mono: bool,
    /// Which text-showing operation of the page drew it.
    pub(super) run: u32,
    /// Whether its meaning is a guess from its code.
    pub(super) guessed: bool,
}

/// A straight line drawn along an axis.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rule {
    pub(super) x0: f32,
    pub(super) x1: f32,
    pub(super) y0: f32,
    pub(super) y1: f32,
}

/// The text of one writing direction of a page.
#[derive(Debug, Default)]
pub(super) struct Frame {
    pub(super) glyphs: Vec<Glyph>,
    pub(super) rules: Vec<Rule>,
    /// The page's extent across the lines.
    pub(super) height: f32,
}

/// All text of a page.
#[derive(Debug, Default)]
pub(super) struct PageText {
    /// One frame per writing direction, the one with most glyphs first.
    pub(super) frames: Vec<Frame>,
    /// Glyphs whose font does not say what they mean.
    pub(super) unmapped: usize,
    /// Whether pictures or drawings are on it: with no text beside them, they may be pictures of text.
    pub(super) drawn: bool,
    /// How many characters were taken, those drawn twice included.
    pub(super) taken: usize,
    /// Whether there were more.
    pub(super) cut: bool,
}

/// Interprets a page and takes at most `room` characters from it.
pub(super) fn read<'a>(page: &Page<'a>, cache: &InterpreterCache<'a>, fonts: &mut Fonts, room: usize) -> PageText {
    let (width, height) = page.render_dimensions();
    let initial = page.initial_transform(true).to_kurbo();
    let bbox = page.intersected_crop_box().to_kurbo();
    let mut context = Context::new(initial, bbox, cache, page.xref(), InterpreterSettings::default());
    let mut collector = Collector {
        resources: page.resources(),
        fonts,
        width,
        height,
        turns: BTreeMap::new(),
        furniture: BTreeMap::new(),
        rules: Vec::new(),
        unmapped: 0,
        room,
        taken: 0,
        cut: false,
        runs: 0,
        images: 0,
        paths: 0,
        marked: Vec::new(),
    };
    interpret_page(page, &mut context, &mut collector);
    collector.finish()
}

/// What a glyph means.
pub(super) enum Meaning {
    Known(String),
    /// Its font says nothing; its code may be that of a character.
    Guessed(String),
    None,
}

struct Collector<'p, 'a> {
    resources: &'p Resources<'a>,
    fonts: &'p mut Fonts,
    width: f32,
    height: f32,
    /// The glyphs by the angle they are written at, in degrees clockwise.
    turns: BTreeMap<u16, Vec<Glyph>>,
    /// Those the document itself marks as running headers, footers and page numbers.
    furniture: BTreeMap<u16, Vec<Glyph>>,
    rules: Vec<Rule>,
    unmapped: usize,
    /// Characters that may be taken at most.
    room: usize,
    taken: usize,
    cut: bool,
    /// Text-showing operations so far.
    runs: u32,
    images: usize,
    paths: usize,
    /// Open marked-content sequences; true for page furniture the document itself marks as such.
    marked: Vec<bool>,
}

impl<'a> Collector<'_, 'a> {
    fn finish(mut self) -> PageText {
        let (width, height) = (self.width, self.height);
        let drawn = self.images > 0 || self.paths > MANY_PATHS;
        // A page that holds nothing else is all content, unless it is a picture with a header.
        if self.turns.is_empty() && !drawn {
            self.turns = self.furniture;
        }
        self.unmapped += guess::drop_nonsense(&mut self.turns);
        let mut frames: Vec<Frame> = Vec::new();
        for (angle, glyphs) in self.turns.into_iter().filter(|(_, glyphs)| !glyphs.is_empty()) {
            let turned = Turn { angle, width, height };
            let rules =
                if angle % 90 == 0 { self.rules.iter().map(|rule| turned.rule(*rule)).collect() } else { Vec::new() };
            frames.push(Frame { glyphs: without_doubles(glyphs), rules, height: turned.extent() });
        }
        frames.sort_by_key(|frame| std::cmp::Reverse(frame.glyphs.len()));
        PageText { frames, unmapped: self.unmapped, drawn, taken: self.taken, cut: self.cut }
    }

    fn push(&mut self, glyph: Placed, text: String, style: (bool, bool), guessed: bool) {
        let margin = 0.05 * self.width.max(self.height);
        let inside =
            glyph.x > -margin && glyph.x < self.width + margin && glyph.y > -margin && glyph.y < self.height + margin;
        if !inside || !(0.5..2000.0).contains(&glyph.size) {
            return;
        }
        self.taken += text.chars().count();
        if self.cut || self.taken > self.room {
            (self.taken, self.cut) = (self.room, true);
            return;
        }
        let (x, y) = Turn { angle: glyph.angle, width: self.width, height: self.height }.point(glyph.x, glyph.y);
        let width = glyph.width.clamp(0.0, glyph.size * 4.0);
        let (size, (bold, mono)) = (glyph.size, style);
        let run = self.runs;
        let turns = if self.marked.contains(&true) { &mut self.furniture } else { &mut self.turns };
        let known = turns.len();
        // Many angles are a drawing: what is written along a circle is no line of text.
        let angle = if known < MAX_ANGLES || turns.contains_key(&glyph.angle) { glyph.angle } else { 0 };
        let glyphs = turns.entry(angle).or_default();
        // A glyph may stand for several words: they share its width.
        let words: Vec<&str> = text.split_whitespace().collect();
        let share = width / words.len().max(1) as f32;
        for (index, word) in words.iter().enumerate() {
            let x0 = x + share * index as f32;
            if index > 0 {
                glyphs.push(Glyph {
                    text: " ".to_owned(),
                    x0: x0 - 0.1 * size,
                    x1: x0,
                    y,
                    size,
                    bold,
                    mono,
                    run,
                    guessed,
                });
            }
            glyphs.push(Glyph { text: (*word).to_owned(), x0, x1: x0 + share, y, size, bold, mono, run, guessed });
        }
        if words.is_empty() {
            glyphs.push(Glyph { text, x0: x, x1: x + width, y, size, bold, mono, run, guessed });
        }
    }

    /// What a glyph means, by its font's own word or by what can be found out.
    fn meaning(&mut self, glyph: &Drawn<'_>) -> Meaning {
        if let Some(text) = glyph.as_unicode().and_then(meaning) {
            return Meaning::Known(text);
        }
        let found = match glyph {
            Drawn::Outline(outline) => self.fonts.meaning(outline, self.resources).and_then(meaning),
            Drawn::Type3(_) => None,
        };
        match found {
            Some(text) => Meaning::Known(text),
            None => guess::by_code(glyph).map_or(Meaning::None, Meaning::Guessed),
        }
    }

    fn segment(&mut self, a: Point, b: Point) {
        if self.rules.len() >= MAX_RULES || !(a.is_finite() && b.is_finite()) {
            return;
        }
        let (dx, dy) = ((a.x - b.x).abs(), (a.y - b.y).abs());
        if (dx > 8.0 && dy < 1.5) || (dy > 6.0 && dx < 1.5) {
            self.rules.push(Rule {
                x0: a.x.min(b.x) as f32,
                x1: a.x.max(b.x) as f32,
                y0: a.y.min(b.y) as f32,
                y1: a.y.max(b.y) as f32,
            });
        }
    }

    fn filled(&mut self, path: &BezPath) {
        use hayro_interpret::kurbo::Shape;
        let bounds = path.bounding_box();
        if bounds.width() < 3.0 || bounds.height() < 3.0 {
            let middle = bounds.center();
            if bounds.width() >= bounds.height() {
                self.segment(Point::new(bounds.x0, middle.y), Point::new(bounds.x1, middle.y));
            } else {
                self.segment(Point::new(middle.x, bounds.y0), Point::new(middle.x, bounds.y1));
            }
        }
    }

    fn stroked(&mut self, path: &BezPath) {
        let (mut start, mut last) = (Point::ZERO, Point::ZERO);
        for element in path.elements() {
            match *element {
                PathEl::MoveTo(point) => (start, last) = (point, point),
                PathEl::LineTo(point) => {
                    self.segment(last, point);
                    last = point;
                }
                PathEl::QuadTo(_, point) | PathEl::CurveTo(_, _, point) => last = point,
                PathEl::ClosePath => {
                    self.segment(last, start);
                    last = start;
                }
            }
        }
    }
}

/// Drops glyphs drawn twice at nearly the same place, as for a fake bold or a shadow.
fn without_doubles(glyphs: Vec<Glyph>) -> Vec<Glyph> {
    let mut kept: Vec<Glyph> = Vec::with_capacity(glyphs.len());
    let mut cells: std::collections::HashMap<(i32, i32), Vec<usize>> = std::collections::HashMap::new();
    for glyph in glyphs {
        let cell = ((glyph.x0 / 4.0) as i32, (glyph.y / 4.0) as i32);
        let near = glyph.size * 0.12;
        let double = (-1..=1).flat_map(|dx| (-1..=1).map(move |dy| (cell.0 + dx, cell.1 + dy))).any(|cell| {
            cells.get(&cell).is_some_and(|here| {
                here.iter().rev().take(16).any(|&index| {
                    let known: &Glyph = &kept[index];
                    // Within one run narrow letters follow one another, as those that stretch an Arabic word.
                    let near = if known.run == glyph.run { 0.02 * glyph.size } else { near };
                    known.text == glyph.text && (known.x0 - glyph.x0).abs() < near && (known.y - glyph.y).abs() < near
                })
            })
        });
        if !double {
            cells.entry(cell).or_default().push(kept.len());
            kept.push(glyph);
        }
    }
    kept
}

/// Bold and monospaced, as far as the font says.
fn style_of(glyph: &Drawn<'_>) -> (bool, bool) {
    let Drawn::Outline(outline) = glyph else { return (false, false) };
    let Some(font) = outline.font_data() else { return (false, false) };
    let name = font.postscript_name.as_deref().unwrap_or_default().to_ascii_lowercase();
    let named_bold = ["bold", "black", "heavy", "semibold", "demi"].iter().any(|word| name.contains(word))
        // Computer Modern names its bold faces cmbx10, cmb10, cmssbx10.
        || name.contains("cmbx") || name.contains("cmssbx");
    let named_mono = ["mono", "courier", "cmtt", "consol", "menlo"].iter().any(|word| name.contains(word));
    (named_bold || font.weight.is_some_and(|weight| weight >= 600), named_mono || font.is_monospace)
}

impl<'a> Device<'a> for Collector<'_, 'a> {
    fn draw_path(&mut self, path: &BezPath, props: DrawProps<'a>, mode: &DrawMode) {
        self.paths += 1;
        if path.elements().len() > 64 {
            return;
        }
        let path = props.transform * path.clone();
        match mode {
            DrawMode::Fill(_) => self.filled(&path),
            DrawMode::Stroke(_) | DrawMode::FillAndStroke(..) => self.stroked(&path),
            DrawMode::Invisible => {}
        }
    }

    fn draw_glyph_run(&mut self, run: &GlyphRun<'_, 'a>, props: DrawProps<'a>, _: &DrawMode) {
        let vertical = matches!(run.writing_mode(), WritingMode::Vertical);
        let Some(first) = run.glyphs().first() else { return };
        let style = style_of(first);
        let mut placed: Vec<(Placed, Meaning)> = Vec::with_capacity(run.glyphs().len());
        let mut bitmap = false;
        for glyph in run.glyphs() {
            let advance = match &**glyph {
                Drawn::Outline(outline) => outline.advance_width(),
                Drawn::Type3(type3) => {
                    bitmap = true;
                    type3.advance_width()
                }
            };
            if let Some(place) = place(props.transform * glyph.transform(), advance, vertical) {
                placed.push((place, self.meaning(glyph)));
            }
        }
        set_widths(&mut placed);
        if bitmap {
            true_size(&mut placed);
        }
        self.runs = self.runs.wrapping_add(1);
        for (place, text) in placed {
            match text {
                Meaning::Known(text) => self.push(place, text, style, false),
                Meaning::Guessed(text) => self.push(place, text, style, true),
                Meaning::None => self.unmapped += 1,
            }
        }
    }

    fn begin_marked_content(&mut self, tag: &[u8], properties: Option<&Dict<'_>>) {
        let is = |key: &str, value: &[u8]| {
            properties.and_then(|p| p.get::<Name<'_>>(key)).is_some_and(|name| name.as_ref() == value)
        };
        // ISO 32000-2, 14.8.2.2: running headers, footers and page numbers are pagination artifacts.
        self.marked.push(tag == b"Artifact" && is("Type", b"Pagination"));
    }

    fn end_marked_content(&mut self) {
        self.marked.pop();
    }

    fn push_clip_path(&mut self, _: &ClipPath) {}
    fn push_transparency_group(&mut self, _: f32, _: Option<SoftMask<'a>>, _: BlendMode) {}
    fn draw_image(&mut self, _: Image<'a, '_>, _: ImageDrawProps<'a>) {
        self.images += 1;
    }
    fn pop_clip(&mut self) {}
    fn pop_transparency_group(&mut self) {}
}

/// The characters of a glyph, ligatures and presentation forms spelt out; none if they mean nothing.
fn meaning(unicode: BfString) -> Option<String> {
    use unicode_normalization::UnicodeNormalization;
    let text = match unicode {
        BfString::Char(c) => c.to_string(),
        BfString::String(s) => s,
    };
    let mut out = String::with_capacity(text.len());
    for c in text.chars().take(MAX_MEANING) {
        match c {
            '\u{fb00}'..='\u{fb06}' | '\u{fb1d}'..='\u{fdff}' | '\u{fe70}'..='\u{fefc}' | '\u{2f00}'..='\u{2fdf}' => {
                out.extend(c.nfkc())
            }
            '\u{e000}'..='\u{f8ff}' | '\u{fffd}' | '\u{0}' => {}
            '\t' | '\n' | '\r' => out.push(' '),
            c if c.is_control() => {}
            c => out.push(c),
        }
    }
    (!out.is_empty()).then_some(out)
}

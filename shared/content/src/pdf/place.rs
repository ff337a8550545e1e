//! Where glyphs stand: the angle they are written at, their widths and sizes, and a page turned to be read.

use hayro_interpret::kurbo::Affine;

use super::glyphs::{Meaning, Rule};

/// Text within this many degrees of an axis runs along it.
const MAX_SLANT: f64 = 3.0;

/// Where a glyph stands on the page, y downwards.
#[derive(Clone, Copy)]
pub(super) struct Placed {
    pub(super) x: f32,
    pub(super) y: f32,
    pub(super) width: f32,
    pub(super) size: f32,
    /// The advance its font names, in ems; none if it names none.
    advance: Option<f32>,
    /// How much wider than high an em of it is drawn.
    ratio: f32,
    /// The angle of its writing direction, in whole degrees clockwise: 0 to 359.
    pub(super) angle: u16,
}

/// Where a glyph stands, and how wide and large it is; `advance` in thousandths of the font size, unknown if it is none.
pub(super) fn place(transform: Affine, advance: Option<f32>, vertical: bool) -> Option<Placed> {
    let [a, b, c, d, e, f] = transform.as_coeffs();
    let (along, across) = if vertical { (c.hypot(d), a.hypot(b)) } else { (a.hypot(b), c.hypot(d)) };
    if !(along.is_finite() && across.is_finite() && e.is_finite() && f.is_finite()) {
        return None;
    }
    // Vertical writing goes down the glyph's own vertical axis.
    let (dx, dy) = if vertical { (-c, -d) } else { (a, b) };
    let degrees = dy.atan2(dx).to_degrees().rem_euclid(360.0);
    let quarter = (degrees / 90.0).round() * 90.0;
    let angle = if (degrees - quarter).abs() < MAX_SLANT { quarter } else { degrees.round() };
    let size = (across * 1000.0) as f32;
    let advance = if vertical { Some(1.0) } else { advance.map(|advance| advance / 1000.0) };
    let ratio = if vertical || across <= 0.0 { 1.0 } else { (along / across) as f32 };
    let width = advance.map_or(-1.0, |advance| advance * ratio * size);
    Some(Placed { x: e as f32, y: f as f32, width, size, advance, ratio, angle: angle as u16 % 360 })
}

/// A page turned so that text of one angle runs from left to right.
#[derive(Clone, Copy)]
pub(super) struct Turn {
    pub(super) angle: u16,
    pub(super) width: f32,
    pub(super) height: f32,
}

impl Turn {
    pub(super) fn point(self, x: f32, y: f32) -> (f32, f32) {
        match self.angle {
            0 => (x, y),
            90 => (y, self.width - x),
            180 => (self.width - x, self.height - y),
            270 => (self.height - y, x),
            angle => {
                let (sin, cos) = f32::from(angle).to_radians().sin_cos();
                (x * cos + y * sin, y * cos - x * sin)
            }
        }
    }

    pub(super) fn rule(self, rule: Rule) -> Rule {
        let (ax, ay) = self.point(rule.x0, rule.y0);
        let (bx, by) = self.point(rule.x1, rule.y1);
        Rule { x0: ax.min(bx), x1: ax.max(bx), y0: ay.min(by), y1: ay.max(by) }
    }

    /// The page's extent across the lines.
    pub(super) fn extent(self) -> f32 {
        match self.angle {
            0 | 180 => self.height,
            90 | 270 => self.width,
            _ => self.width.hypot(self.height),
        }
    }
}

/// Sets right the widths of a run's glyphs.
///
/// hayro draws the letters of a font that stands in for a missing one narrower or wider, each by a factor of its own, so
/// that it fills the width of the missing letter: that factor is no part of the width. How wide an em is then drawn shows
/// in the distance between glyphs.
pub(super) fn set_widths(placed: &mut [(Placed, Meaning)]) {
    fill_widths(placed);
    let (least, most) = placed
        .iter()
        .fold((f32::INFINITY, 0.0_f32), |(least, most), (glyph, _)| (least.min(glyph.ratio), most.max(glyph.ratio)));
    if placed.len() < 2 || (least > 0.99 && most < 1.01) {
        return;
    }
    let mut ratios: Vec<f32> = placed
        .windows(2)
        .filter_map(|pair| {
            let (glyph, next) = (&pair[0].0, &pair[1].0);
            let room = glyph.advance.filter(|advance| *advance > 0.0)? * glyph.size;
            Some((next.x - glyph.x).hypot(next.y - glyph.y) / room.max(0.01))
        })
        .collect();
    ratios.sort_by(f32::total_cmp);
    let Some(&middle) = ratios.get(ratios.len() / 2) else { return };
    let ratio = if (middle - 1.0).abs() < 0.03 {
        1.0
    } else if most > least * 1.01 {
        middle.clamp(0.3, 3.0)
    } else {
        return;
    };
    for (glyph, _) in placed {
        if let Some(advance) = glyph.advance.filter(|advance| *advance > 0.0) {
            glyph.width = advance * ratio * glyph.size;
        }
    }
}

/// Gives glyphs of unknown width the room up to the next glyph of their line, but no more than an em.
fn fill_widths(placed: &mut [(Placed, Meaning)]) {
    for index in 0..placed.len() {
        let (glyph, text) = &placed[index];
        let is_mark = matches!(text, Meaning::Known(text) if text.chars().all(is_mark_or_space));
        if glyph.width > 0.0 || (glyph.width == 0.0 && is_mark) {
            continue;
        }
        let next = placed.get(index + 1).map(|(next, _)| next);
        let room = next.map(|next| (next.x - glyph.x).hypot(next.y - glyph.y)).filter(|room| *room > 0.05 * glyph.size);
        placed[index].0.width = room.unwrap_or(0.5 * glyph.size).min(glyph.size);
    }
}

fn is_mark_or_space(c: char) -> bool {
    c.is_whitespace() || unicode_normalization::char::is_combining_mark(c)
}

/// Bitmap fonts may hide their size in the font matrix; the mean advance, about half an em, gives it away.
pub(super) fn true_size(placed: &mut [(Placed, Meaning)]) {
    let mean = placed.iter().map(|(place, _)| place.width).sum::<f32>() / placed.len().max(1) as f32;
    for (place, _) in placed {
        if mean > 0.0 && !(0.4..2.5).contains(&(mean * 2.0 / place.size)) {
            place.size = mean * 2.0;
        }
    }
}

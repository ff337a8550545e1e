//! Accents drawn as glyphs of their own go to the letters they stand upon: TeX sets `é` as `´` and `e`.

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

use super::glyphs::Glyph;

/// How many neighbours of an accent may be its letter.
const REACH: usize = 3;

/// Joins each accent of a line, ordered by position, with its letter. An accent upon no letter stays as it is.
pub(super) fn attach(glyphs: &mut Vec<Glyph>) {
    let mut attached = false;
    for index in 0..glyphs.len() {
        let Some(marks) = marks(&glyphs[index].text) else { continue };
        let Some(letter) = letter_under(glyphs, index) else { continue };
        glyphs[letter].text = joined(&glyphs[letter].text, &marks);
        glyphs[index].text.clear();
        attached = true;
    }
    if attached {
        glyphs.retain(|glyph| !glyph.text.is_empty());
    }
}

/// Whether a glyph is made to stand upon another.
pub(super) fn is_accent(text: &str) -> bool {
    marks(text).is_some()
}

/// The combining form of an accent.
fn marks(text: &str) -> Option<String> {
    let mut chars = text.chars();
    let (first, rest) = (chars.next()?, chars.next());
    if is_combining_mark(first) {
        return text.chars().all(is_combining_mark).then(|| text.to_owned());
    }
    let combining = match first {
        '`' => '\u{300}',
        '´' => '\u{301}',
        '^' | 'ˆ' => '\u{302}',
        '~' | '˜' => '\u{303}',
        '¯' => '\u{304}',
        '˘' => '\u{306}',
        '˙' => '\u{307}',
        '¨' => '\u{308}',
        '˚' => '\u{30a}',
        '˝' => '\u{30b}',
        'ˇ' => '\u{30c}',
        '¸' => '\u{327}',
        '˛' => '\u{328}',
        _ => return None,
    };
    rest.is_none().then(|| combining.to_string())
}

/// The nearest letter that the accent at this place stands upon.
fn letter_under(glyphs: &[Glyph], accent: usize) -> Option<usize> {
    let mark = &glyphs[accent];
    let middle = |glyph: &Glyph| 0.5 * (glyph.x0 + glyph.x1);
    (accent.saturating_sub(REACH)..glyphs.len().min(accent + REACH + 1))
        .filter(|&index| index != accent && glyphs[index].text.chars().next_back().is_some_and(char::is_alphabetic))
        .map(|index| (index, (middle(&glyphs[index]) - middle(mark)).abs()))
        .filter(|&(index, distance)| {
            let letter = &glyphs[index];
            distance < 0.4 * (letter.x1 - letter.x0) && (letter.y - mark.y).abs() < 0.6 * letter.size
        })
        .min_by(|a, b| a.1.total_cmp(&b.1))
        .map(|(index, _)| index)
}

/// A letter with its marks; one without a dot takes the place of the dotted one (`ı´` is drawn for `í`).
fn joined(letter: &str, marks: &str) -> String {
    let dotted = letter.chars().map(|c| match c {
        'ı' => 'i',
        'ȷ' => 'j',
        other => other,
    });
    dotted.chain(marks.chars()).nfc().collect()
}

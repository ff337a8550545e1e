//! Glyphs whose font says nothing of their meaning: their codes are often those of characters all the same.
//!
//! Bitmap fonts name their glyphs `a65` or `g12`, or not at all, and keep the codes of the text they were made from. A
//! font that numbers its glyphs in the order of their use yields nonsense that way, hence a page's guesses are taken
//! together or not at all, by whether they look like writing.

use std::collections::BTreeMap;

use hayro_interpret::font::Glyph as Drawn;

use super::glyphs::Glyph;

/// Letters needed before the share of vowels says anything.
const FEW_LETTERS: usize = 24;

/// The character of Windows-1252 with the code of a glyph, if its font has codes of one byte.
pub(super) fn by_code(glyph: &Drawn<'_>) -> Option<String> {
    // A composite font's codes number glyphs; hayro gives the data of those, and not of Type 1 and Type 3.
    if matches!(glyph, Drawn::Outline(outline) if outline.font_data().is_some()) {
        return None;
    }
    let code = u8::try_from(glyph.char_code()).ok().filter(|code| *code >= b' ')?;
    let c = encoding_rs::WINDOWS_1252.decode_without_bom_handling(&[code]).0.chars().next()?;
    (!c.is_control()).then(|| c.to_string())
}

/// Takes out the guessed glyphs of a page unless they look like writing; returns how many were taken out.
pub(super) fn drop_nonsense(turns: &mut BTreeMap<u16, Vec<Glyph>>) -> usize {
    let guessed = || turns.values().flatten().filter(|glyph| glyph.guessed);
    if guessed().next().is_none() || is_writing(guessed().flat_map(|glyph| glyph.text.chars())) {
        return 0;
    }
    let count = guessed().filter(|glyph| !glyph.text.trim().is_empty()).count();
    for glyphs in turns.values_mut() {
        glyphs.retain(|glyph| !glyph.guessed);
    }
    count
}

/// Mostly letters and digits, with vowels among the letters as in the languages of Latin script.
fn is_writing(chars: impl Iterator<Item = char>) -> bool {
    let (mut all, mut plain, mut letters, mut vowels) = (0_usize, 0_usize, 0_usize, 0_usize);
    for c in chars.filter(|c| !c.is_whitespace()) {
        all += 1;
        plain += usize::from(c.is_alphanumeric() || matches!(c, '.' | ',' | '-' | ':' | '\'' | '(' | ')' | '/'));
        letters += usize::from(c.is_alphabetic());
        vowels += usize::from("aeiouyAEIOUYàâäáãåèêëéìîïíòôöóõùûüúæøœ".contains(c));
    }
    let has_vowels = letters < FEW_LETTERS || vowels * 5 > letters;
    all > 0 && plain * 10 >= all * 8 && has_vowels
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writing_is_told_from_numbered_glyphs() {
        let is = |text: &str| is_writing(text.chars());
        assert!(is("Ideology as ritual: the greengrocer displays a sign in the window"));
        assert!(is("12,450.00 1.1.2026"));
        assert!(!is("!\"#$%&'()*+,!\"#$%&\"#!"));
        assert!(!is("xkzj qrtg bnml wqpk zxcv hjkl mnbv"));
    }
}

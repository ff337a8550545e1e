//! Words in the order they are drawn, from left to right, to the order they are read, for Hebrew and Arabic.

use super::glyphs::Rule;
use super::lines::{Segment, Word};

/// Puts the words of a line that is mostly right-to-left into reading order. Words and numbers of other scripts within
/// it keep their own direction.
pub(super) fn to_logical(words: &mut [Word]) {
    let (mut right, mut left) = (0_usize, 0_usize);
    for word in words.iter() {
        let is_right = word.text.chars().any(is_rtl);
        right += usize::from(is_right);
        left += usize::from(!is_right && word.text.chars().any(char::is_alphabetic));
    }
    if right == 0 {
        return;
    }
    for word in words.iter_mut() {
        if word.text.chars().any(is_rtl) {
            word.text = reversed(&word.text);
        }
    }
    if right >= left {
        words.reverse();
        reverse_left_to_right(words);
    } else {
        reverse_runs(words, |word| word.text.chars().any(is_rtl));
    }
}

/// Within reversed words, those of other scripts go from left to right again, and numbers after them too. Numbers among
/// Hebrew or Arabic follow one another from right to left (UAX #9, W7 and N1).
fn reverse_left_to_right(words: &mut [Word]) {
    let is_letters = |word: &Word| word.text.chars().any(char::is_alphabetic);
    for run in words.chunk_by_mut(|a, b| a.text.chars().any(is_rtl) == b.text.chars().any(is_rtl)) {
        if run[0].text.chars().any(is_rtl) {
            continue;
        }
        if let Some(last) = run.iter().rposition(is_letters) {
            run[..=last].reverse();
        }
    }
}

/// Whether most words of a page are written from right to left.
pub(super) fn is_mostly_rtl(segments: &[Segment]) -> bool {
    let words = || segments.iter().flat_map(|segment| &segment.words);
    let right = words().filter(|word| word.text.chars().any(is_rtl)).count();
    let left = words().filter(|word| word.text.chars().any(|c| c.is_alphabetic() && !is_rtl(c))).count();
    right > left
}

/// Turns left and right round, so that a page written from right to left is laid out as any other: its first column
/// is the right one, its paragraphs are indented on the right.
pub(super) fn mirror(segments: &mut [Segment], rules: &mut [Rule]) {
    for segment in segments.iter_mut() {
        (segment.x0, segment.x1) = (-segment.x1, -segment.x0);
        for word in &mut segment.words {
            (word.x0, word.x1) = (-word.x1, -word.x0);
        }
    }
    for rule in rules {
        (rule.x0, rule.x1) = (-rule.x1, -rule.x0);
    }
}

/// The segments of a row, ordered as a page of this direction is read, in the order their own script is read.
pub(super) fn row_order(row: &mut [Segment]) {
    let is_mirrored = row.iter().any(|segment| segment.x1 <= 0.0);
    if is_mirrored && !row.iter().any(|segment| segment.words.iter().any(|word| word.text.chars().any(is_rtl))) {
        row.reverse();
    }
}

/// Reverses each longest run of words for which `inside` holds.
fn reverse_runs(words: &mut [Word], inside: impl Fn(&Word) -> bool) {
    let mut start = 0;
    while start < words.len() {
        let length = words[start..].iter().take_while(|word| inside(word)).count();
        words[start..start + length].reverse();
        start += length.max(1);
    }
}

/// The text of one glyph as it goes into a word that will be reversed: a ligature of right-to-left letters, whose
/// characters are in reading order already, the other way round.
pub(super) fn drawn(text: &str) -> String {
    if !text.chars().any(is_rtl) {
        return text.to_owned();
    }
    // A mark stays behind its letter, as it is drawn.
    let chars: Vec<char> = text.chars().collect();
    chars.chunk_by(|_, next| is_mark(*next)).rev().flatten().collect()
}

/// A word drawn from left to right, read from right to left; digits and Latin within it are left as they are. A mark
/// drawn after its letter comes after it again.
fn reversed(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut marks: Vec<char> = Vec::new();
    let mut end = chars.len();
    while end > 0 {
        let last = chars[end - 1];
        let island = island(&chars[..end]);
        if is_mark(last) {
            marks.push(last);
            end -= 1;
        } else if island > 0 {
            out.extend(&chars[end - island..end]);
            end -= island;
        } else {
            out.push(mirrored(last));
            out.extend(marks.drain(..).rev());
            end -= 1;
        }
    }
    out.extend(marks);
    out
}

/// How many characters at the end are written from left to right: digits, Latin, and the signs within a number.
fn island(chars: &[char]) -> usize {
    let is_inside = |c: char| c.is_alphanumeric() && !is_rtl(c);
    let mut length = 0;
    while length < chars.len() {
        let c = chars[chars.len() - 1 - length];
        let before = chars.len().checked_sub(length + 2).map(|at| chars[at]);
        let parts = length > 0 && matches!(c, '.' | ',' | ':' | '/' | '-' | '\'' | '@' | '_');
        if !(is_inside(c) || parts && before.is_some_and(is_inside)) {
            break;
        }
        length += 1;
    }
    length
}

/// Hebrew points and Arabic vowel signs.
fn is_mark(c: char) -> bool {
    matches!(c, '\u{591}'..='\u{5bd}' | '\u{5bf}' | '\u{5c1}' | '\u{5c2}' | '\u{5c4}' | '\u{5c5}' | '\u{64b}'..='\u{65f}' | '\u{670}')
}

fn mirrored(c: char) -> char {
    match c {
        '(' => ')',
        ')' => '(',
        '[' => ']',
        ']' => '[',
        '{' => '}',
        '}' => '{',
        '«' => '»',
        '»' => '«',
        other => other,
    }
}

/// Letters and marks of the right-to-left scripts in use.
fn is_rtl(c: char) -> bool {
    matches!(c, '\u{590}'..='\u{65f}' | '\u{66e}'..='\u{6ef}' | '\u{6fa}'..='\u{8ff}' | '\u{fb1d}'..='\u{fdff}' | '\u{fe70}'..='\u{fefc}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn logical(drawn: &str) -> String {
        let mut words: Vec<Word> = drawn.split(' ').map(|text| Word { text: text.into(), x0: 0.0, x1: 0.0 }).collect();
        to_logical(&mut words);
        words.iter().map(|word| word.text.as_str()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn drawn_order_becomes_reading_order() {
        assert_eq!(logical("left to right"), "left to right");
        assert_eq!(logical("םלוע םולש"), "שלום עולם");
        assert_eq!(logical("2026 תנש New York בוט"), "טוב New York שנת 2026");
        assert_eq!(logical("12.5 דע 3/4/2026ב"), "ב3/4/2026 עד 12.5");
        assert_eq!(logical("3 2 1 תורפס Windows 11 לש"), "של Windows 11 ספרות 1 2 3");
        // A letter and the vowel sign drawn after it.
        assert_eq!(logical("ב\u{5b8}א"), "אב\u{5b8}");
        assert_eq!(logical(&format!("{}א", drawn("לם"))), "אלם");
        assert_eq!(logical("the word םולש here too"), "the word שלום here too");
    }
}

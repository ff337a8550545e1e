//! Where in a passage the words stand that were looked for.

use gristmill_store::search::{MARK_END, MARK_START};
use serde::Serialize;
use utoipa::ToSchema;

/// A range of characters, counted in Unicode scalar values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub struct Range {
    /// The first.
    pub start: usize,
    /// The one after the last.
    pub end: usize,
}

/// Where `marked` has marks that `text` has not. None where the two differ in more than that.
pub(super) fn highlights(text: &str, marked: &str) -> Vec<Range> {
    let (mut ranges, mut open, mut place) = (Vec::new(), None, 0);
    let mut letters = text.chars().peekable();
    for letter in marked.chars() {
        // Walking both at once tells our marks from characters of the text that happen to be the same.
        if letters.peek() == Some(&letter) {
            letters.next();
            place += 1;
        } else if letter == MARK_START {
            open = Some(place);
        } else if letter == MARK_END {
            ranges.extend(open.take().map(|start| Range { start, end: place }));
        } else {
            return Vec::new();
        }
    }
    if letters.next().is_none() { ranges } else { Vec::new() }
}

#[cfg(test)]
mod tests {
    use super::{Range, highlights};

    #[test]
    fn marks_become_ranges_of_characters() {
        assert_eq!(
            highlights("Öl and oil", "\u{e000}Öl\u{e001} and \u{e000}oil\u{e001}"),
            [Range { start: 0, end: 2 }, Range { start: 7, end: 10 }]
        );
        assert_eq!(highlights("a\u{e000}b", "a\u{e000}\u{e000}b\u{e001}"), [Range { start: 2, end: 3 }]);
        assert!(highlights("abc", "\u{e000}a\u{e001}bd").is_empty());
    }
}

//! Text to normalised, stemmed words. The embedding `local/hashed-ngrams-512` is defined by what this file does:
//! a change here changes every vector, so it needs a new model name.

use rust_stemmers::{Algorithm, Stemmer};
use unicode_normalization::UnicodeNormalization;
use unicode_segmentation::UnicodeSegmentation;

/// One word of a text.
pub(crate) struct Word {
    /// NFKC-normalised, lower-case, without possessive `'s`.
    pub(crate) surface: String,
    /// Porter2 (English) stem of the surface where it is ASCII; the surface itself otherwise.
    pub(crate) stem: String,
    /// Whether the word carries grammar rather than meaning.
    pub(crate) stop: bool,
}

/// Splits text into words by Unicode UAX #29 and stems them.
///
/// Only ASCII words are stemmed, and always as English: guessing the language of a five-word query is wrong too
/// often, and a query stemmed otherwise than its document would never meet it.
pub(crate) struct Analyser {
    stemmer: Stemmer,
}

impl Analyser {
    pub(crate) fn new() -> Self {
        Self { stemmer: Stemmer::create(Algorithm::English) }
    }

    /// Every word of `text` in order, stop words included.
    pub(crate) fn words(&self, text: &str) -> Vec<Word> {
        let folded: String = text.nfkc().flat_map(char::to_lowercase).collect();
        folded.unicode_words().map(|word| self.word(word)).collect()
    }

    fn word(&self, word: &str) -> Word {
        // The typographic apostrophe is what word processors write.
        let surface = word.replace('\u{2019}', "'");
        let surface = surface.strip_suffix("'s").unwrap_or(&surface).to_owned();
        let stop = is_stop_word(&surface);
        let stem = if surface.is_ascii() { self.stemmer.stem(&surface).into_owned() } else { surface.clone() };
        Word { surface, stem, stop }
    }
}

fn is_stop_word(word: &str) -> bool {
    STOP_WORDS.binary_search(&word).is_ok()
}

/// English function words, sorted for binary search. Kept here and not taken from a crate, because a longer list in
/// a later version of that crate would change every stored vector.
#[rustfmt::skip]
const STOP_WORDS: &[&str] = &[
    "a", "about", "above", "after", "again", "against", "all", "also", "am", "an", "and", "any", "are", "aren't", "as", "at",
    "be", "because", "been", "before", "being", "below", "between", "both", "but", "by",
    "can", "can't", "cannot", "could", "couldn't",
    "did", "didn't", "do", "does", "doesn't", "doing", "don't", "down", "during",
    "each", "either", "few", "for", "from", "further",
    "had", "hadn't", "has", "hasn't", "have", "haven't", "having", "he", "her", "here", "hers", "herself", "him", "himself", "his", "how", "however",
    "i", "i'd", "i'll", "i'm", "i've", "if", "in", "into", "is", "isn't", "it", "its", "itself",
    "just", "let", "may", "me", "might", "more", "most", "must", "my", "myself",
    "no", "nor", "not", "now", "of", "off", "on", "once", "only", "or", "other", "our", "ours", "ourselves", "out", "over", "own",
    "same", "shall", "she", "should", "shouldn't", "so", "some", "such",
    "than", "that", "the", "their", "theirs", "them", "themselves", "then", "there", "these", "they", "this", "those", "through", "to", "too",
    "under", "until", "up", "upon", "very",
    "was", "wasn't", "we", "were", "weren't", "what", "when", "where", "which", "while", "who", "whom", "why", "will", "with", "won't", "would", "wouldn't",
    "you", "your", "yours", "yourself", "yourselves",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stop_words_are_sorted_so_that_each_is_found() {
        assert!(STOP_WORDS.is_sorted());
        assert!(STOP_WORDS.iter().all(|word| is_stop_word(word)));
    }

    #[test]
    fn words_are_folded_and_stemmed() {
        let words = Analyser::new().words("The ﬁrm’s Engines were RUNNING; Größe");
        let stems: Vec<_> = words.iter().filter(|word| !word.stop).map(|word| word.stem.as_str()).collect();
        assert_eq!(stems, ["firm", "engin", "run", "größe"]);
    }
}

//! How tokens are counted: `o200k_base`, by the fastest exact counter there is.
//!
//! Embedding models have vocabularies of their own, but counts differ by a few per cent only, and a limit with some
//! air below the model's hard one serves them all.

/// Counts the `o200k_base` tokens of a text. Linear in its length; the vocabulary is loaded at the first call.
#[must_use]
pub fn count(text: &str) -> usize {
    bpe_openai::o200k_base().count(text)
}

/// Whether a text has at most `limit` tokens. Stops counting at the limit.
#[must_use]
pub fn fits(text: &str, limit: usize) -> bool {
    let tokenizer = bpe_openai::o200k_base();
    tokenizer.count_till_limit(&tokenizer.normalize(text), limit).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_those_of_o200k_base() {
        assert_eq!(count(""), 0);
        assert_eq!(count("hello world"), 2);
        assert_eq!(count("antidisestablishmentarianism"), 6);
        assert!(fits("hello world", 2) && !fits("hello world", 1));
    }
}

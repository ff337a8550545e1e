//! `local/extractive`: a summary made of the text's own sentences, needing no network and no key.
//!
//! Sentences are ranked by `LexRank` (Erkan & Radev, "`LexRank`: Graph-based Lexical Centrality as Salience in Text
//! Summarization", JAIR 22, 2004), weighted by where they stand, and picked by maximal marginal relevance
//! (Carbonell & Goldstein, SIGIR 1998) so that no two say the same.

mod rank;
mod sentences;

use serde::Serialize;

const MODEL: &str = "local/extractive";

/// A summary: sentences of the text, in the order of the text.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Summary {
    /// The chosen sentences in document order; empty where the text has no sentence.
    pub sentences: Vec<SummarySentence>,
    /// Always `local/extractive`.
    pub model: &'static str,
}

/// One sentence of a summary.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SummarySentence {
    /// The sentence, its line breaks and runs of spaces made single spaces, without the `>` of a Markdown quotation.
    pub text: String,
    /// Where it starts in the input, in characters (Unicode scalar values), from 0.
    pub start: usize,
    /// Where it ends in the input, in characters, exclusive.
    pub end: usize,
    /// How central it is: above 0, up to 1 for the most central sentence of the text.
    pub score: f32,
}

/// Picks at most `max_sentences` sentences that carry the text.
///
/// Plain text and Markdown are understood: headings, tables and code are never picked, list items only where there
/// is too little prose. Time and memory are bounded on any input: of more than 4,000 sentences, the first 1,000 and
/// 3,000 evenly spread over the rest are weighed, and the 400 nearest the text's centre form the graph.
/// Measured in release: 2 ms for 10 kB, 22 ms for 100 kB, 0.4 s for 10 MB, so async callers put it on a blocking thread.
#[must_use]
pub fn summarise(text: &str, max_sentences: usize) -> Summary {
    let candidates = sentences::candidates(text, max_sentences);
    let chosen = rank::choose(&candidates, max_sentences);
    let mut sentences: Vec<SummarySentence> = Vec::with_capacity(chosen.len());
    let (mut byte, mut chars) = (0, 0);
    for (index, score) in chosen {
        let candidate = &candidates[index];
        // Counted from the sentence before, so that the text is walked once.
        let start = chars + text[byte..candidate.start].chars().count();
        let end = start + text[candidate.start..candidate.end].chars().count();
        (byte, chars) = (candidate.end, end);
        sentences.push(SummarySentence { text: candidate.text.clone(), start, end, score });
    }
    Summary { sentences, model: MODEL }
}

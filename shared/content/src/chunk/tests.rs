//! What every chunk must be, on made-up and on random documents.

use proptest::prelude::*;

use super::*;
use crate::document::Builder;
use crate::{MediaType, Metadata};

fn document(parts: &[(BlockKind, u32, String)]) -> Extracted {
    let mut builder = Builder::default();
    for (kind, page, text) in parts {
        builder.push(*kind, Some(*page), text);
    }
    builder.finish(MediaType::Pdf, Metadata::default(), Vec::new())
}

fn slice(doc: &Extracted, chunk: &Chunk) -> String {
    doc.text.chars().skip(chunk.start).take(chunk.end - chunk.start).collect()
}

fn sentences(count: usize) -> String {
    (0..count).map(|i| format!("Sentence number {i} says something of little weight.")).collect::<Vec<_>>().join(" ")
}

#[test]
fn chunks_stay_within_sections_and_know_their_headings() {
    let doc = document(&[
        (BlockKind::Heading { level: 1 }, 1, "Book".into()),
        (BlockKind::Heading { level: 2 }, 1, "One".into()),
        (BlockKind::Paragraph, 1, "First.".into()),
        (BlockKind::Heading { level: 3 }, 2, "Détail".into()),
        (BlockKind::Paragraph, 2, sentences(60)),
        (BlockKind::Heading { level: 2 }, 4, "Two".into()),
        (BlockKind::Paragraph, 4, "Last.".into()),
    ]);
    let chunks = chunk(&doc, &ChunkOptions { max_tokens: 200, overlap_tokens: 30 });
    assert!(chunks.len() >= 4);
    assert_eq!(chunks[0].heading_path, ["Book", "One"]);
    assert!(chunks[0].text.starts_with("Book\n\nOne\n\nFirst."));
    assert_eq!(chunks[1].heading_path, ["Book", "One", "Détail"]);
    let last = chunks.last().unwrap();
    assert_eq!((last.text.as_str(), last.page_first), ("Two\n\nLast.", Some(4)));
    assert_eq!(last.heading_path, ["Book", "Two"]);
    for (index, chunk) in chunks.iter().enumerate() {
        assert_eq!(chunk.ordinal as usize, index);
        assert_eq!(slice(&doc, chunk), chunk.text);
        assert!(chunk.tokens <= 200);
        assert!(!chunk.text.ends_with("Détail"));
    }
}

#[test]
fn overlap_repeats_whole_sentences() {
    let doc = document(&[(BlockKind::Paragraph, 1, sentences(60))]);
    let chunks = chunk(&doc, &ChunkOptions { max_tokens: 120, overlap_tokens: 30 });
    for pair in chunks.windows(2) {
        assert!(pair[1].start < pair[0].end, "no overlap");
        assert!(pair[1].start > pair[0].start);
        assert!(pair[1].text.starts_with("Sentence number"));
    }
    let none = chunk(&doc, &ChunkOptions { max_tokens: 120, overlap_tokens: 0 });
    assert!(none.windows(2).all(|pair| pair[1].start >= pair[0].end));
}

#[test]
fn equal_words_have_equal_hashes_whatever_the_white_space() {
    let hash =
        |text: &str| chunk(&document(&[(BlockKind::Paragraph, 1, text.into())]), &ChunkOptions::default())[0].hash;
    assert_eq!(hash("one two\nthree"), hash("one  two three"));
    assert_ne!(hash("one two"), hash("one three"));
}

#[test]
fn a_long_heading_is_not_repeated_whole_in_every_chunk() {
    let doc = document(&[
        (BlockKind::Heading { level: 1 }, 1, "heading ".repeat(50_000)),
        (BlockKind::Paragraph, 1, sentences(60)),
    ]);
    let chunks = chunk(&doc, &ChunkOptions::default());
    assert!(chunks.len() > 100);
    for chunk in &chunks {
        let [heading] = chunk.heading_path.as_slice() else { panic!("{:?}", chunk.heading_path) };
        assert!(heading.chars().count() <= 200 && heading.ends_with("heading…"), "{heading}");
    }
}

#[test]
fn one_huge_block_takes_linear_time() {
    let time = |parts: usize| {
        let doc = document(&[(BlockKind::Paragraph, 1, "lorem ipsum dolor ".repeat(parts * 4_000))]);
        let started = std::time::Instant::now();
        assert!(!chunk(&doc, &ChunkOptions::default()).is_empty());
        started.elapsed().as_secs_f64()
    };
    time(1);
    let (one, eight) = (time(1), time(8));
    // Quadratic time would be 64 times as much; the rest is air for a busy machine.
    assert!(eight < one * 32.0, "{one} s for one part, {eight} s for eight");
}

#[test]
fn a_word_without_end_is_cut() {
    let doc = document(&[(BlockKind::Code, 1, "x".repeat(100_000))]);
    let chunks = chunk(&doc, &ChunkOptions::default());
    assert!(chunks.iter().all(|chunk| chunk.tokens <= 400));
    assert!(chunks.iter().all(|chunk| slice(&doc, chunk) == chunk.text));
}

fn any_kind() -> impl Strategy<Value = BlockKind> {
    prop_oneof![
        (1_u8..=6).prop_map(|level| BlockKind::Heading { level }),
        Just(BlockKind::Paragraph),
        Just(BlockKind::ListItem),
        Just(BlockKind::Code),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn any_document_is_covered_by_valid_chunks(
        parts in prop::collection::vec((any_kind(), 1_u32..5, "(\\PC{0,12}[ .\n日é]){0,60}"), 0..12),
        max_tokens in 0_usize..120,
        overlap_tokens in 0_usize..80,
    ) {
        let doc = document(&parts);
        let chunks = chunk(&doc, &ChunkOptions { max_tokens, overlap_tokens });
        let mut covered = 0;
        for chunk in &chunks {
            prop_assert_eq!(slice(&doc, chunk), chunk.text.clone());
            prop_assert!(chunk.start < chunk.end);
            // Nothing but white space may fall between two chunks.
            if chunk.start > covered {
                let gap: String = doc.text.chars().skip(covered).take(chunk.start - covered).collect();
                prop_assert!(gap.trim().is_empty(), "lost {:?}", gap);
            }
            prop_assert!(chunk.end > covered);
            covered = chunk.end;
            prop_assert!(chunk.tokens as usize <= max_tokens.max(16));
        }
        let rest: String = doc.text.chars().skip(covered).collect();
        prop_assert!(rest.trim().is_empty(), "lost {:?}", rest);
    }
}

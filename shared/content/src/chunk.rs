//! Pieces of bounded size in tokens, each with its heading path, pages and offsets.
//!
//! A document is first cut at its headings of level 1 and 2, then packed from whole blocks; only a block too large for
//! one chunk goes to `text-splitter`, in windows of bounded length, because its time grows faster than its input.

use std::ops::Range;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use text_splitter::{ChunkConfig, ChunkSizer, TextSplitter};
use unicode_segmentation::UnicodeSegmentation;

use crate::{Block, BlockKind, Extracted, clean, tokens};

/// Changes whenever the same document would be cut differently: chunks of another version belong to another embedding
/// space.
pub const CHUNKER_VERSION: u32 = 1;

/// Largest piece handed to `text-splitter` at once, in bytes.
const SPLIT_WINDOW: usize = 16 * 1024;

/// Longest heading in a heading path, in characters: every chunk below it repeats it.
const MAX_HEADING: usize = 200;

/// Headings up to this level begin a new chunk.
const TOP_LEVEL: u8 = 2;

/// How large chunks are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChunkOptions {
    /// Tokens (`o200k_base`) a chunk has at most, overlap included. At least 16 are used.
    pub max_tokens: usize,
    /// Tokens a chunk repeats at most from the end of the one before, in whole sentences where they fit. At most half
    /// of `max_tokens` is used.
    pub overlap_tokens: usize,
}

impl Default for ChunkOptions {
    fn default() -> Self {
        Self { max_tokens: 400, overlap_tokens: 40 }
    }
}

/// A piece of a document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chunk {
    /// Its place among the document's chunks, counted from 0.
    pub ordinal: u32,
    /// The text: exactly what stands between `start` and `end` in [`Extracted::text`].
    pub text: String,
    /// The headings it stands under, outermost first; a heading within the chunk counts if it precedes all other text.
    /// Each on one line, and cut to 200 characters at a word's end, with an ellipsis.
    pub heading_path: Vec<String>,
    /// The first page it is on, counted from 1, for formats that have pages.
    pub page_first: Option<u32>,
    /// The last page it is on: where its last block begins.
    pub page_last: Option<u32>,
    /// Where it begins in [`Extracted::text`], in Unicode scalar values.
    pub start: usize,
    /// Where it ends, exclusive, in Unicode scalar values.
    pub end: usize,
    /// How many `o200k_base` tokens it has.
    pub tokens: u32,
    /// SHA-256 of the text with every run of white space replaced by one space: equal text, equal hash.
    pub hash: [u8; 32],
}

/// Cuts a document into chunks in reading order. No chunk crosses a heading of level 1 or 2, save that a heading
/// followed at once by another one stays with it.
///
/// Offsets of `doc.blocks` that do not lie within `doc.text` are clamped to it.
#[must_use]
pub fn chunk(doc: &Extracted, options: &ChunkOptions) -> Vec<Chunk> {
    let limits = Limits::from(options);
    let offsets = Offsets::of(doc);
    let mut chunks = Vec::new();
    let mut path = HeadingPath::default();
    for section in sections(&doc.blocks) {
        let atoms = atoms(doc, &offsets, section, &limits);
        for piece in pack(&doc.text, &doc.blocks, &atoms, &limits) {
            path.enter(doc, &offsets, piece.blocks.start, piece.first_body);
            if let Some(chunk) = finish(doc, &offsets, &piece, &path, chunks.len()) {
                chunks.push(chunk);
            }
        }
    }
    chunks
}

/// The options within sane bounds.
struct Limits {
    max: usize,
    overlap: usize,
}

impl From<&ChunkOptions> for Limits {
    fn from(options: &ChunkOptions) -> Self {
        let max = options.max_tokens.max(16);
        Self { max, overlap: options.overlap_tokens.min(max / 2) }
    }
}

/// Byte range of every block. Found in one pass over the text.
struct Offsets(Vec<Range<usize>>);

impl Offsets {
    fn of(doc: &Extracted) -> Self {
        let mut chars = doc.text.char_indices().map(|(byte, _)| byte).chain([doc.text.len()]).enumerate().peekable();
        let mut byte_at = |wanted: usize| {
            while let Some((index, byte)) = chars.peek().copied() {
                if index >= wanted || byte == doc.text.len() {
                    return byte;
                }
                chars.next();
            }
            doc.text.len()
        };
        Self(
            doc.blocks
                .iter()
                .map(|block| {
                    let start = byte_at(block.start);
                    start..byte_at(block.end).max(start)
                })
                .collect(),
        )
    }
}

/// Ranges of blocks that chunks must not cross.
fn sections(blocks: &[Block]) -> Vec<Range<usize>> {
    let mut sections = Vec::new();
    let mut start = 0;
    let mut has_body = false;
    for (index, block) in blocks.iter().enumerate() {
        match block.kind {
            BlockKind::Heading { level } if level <= TOP_LEVEL && has_body => {
                sections.push(start..index);
                start = index;
                has_body = false;
            }
            BlockKind::Heading { .. } => {}
            _ => has_body = true,
        }
    }
    if start < blocks.len() {
        sections.push(start..blocks.len());
    }
    sections
}

/// A block, or a part of one that is too large for a chunk.
struct Atom {
    block: usize,
    bytes: Range<usize>,
    tokens: usize,
}

struct Sizer;

impl ChunkSizer for Sizer {
    fn size(&self, chunk: &str) -> usize {
        tokens::count(chunk)
    }
}

fn atoms(doc: &Extracted, offsets: &Offsets, section: Range<usize>, limits: &Limits) -> Vec<Atom> {
    let mut atoms = Vec::new();
    for block in section {
        let bytes = offsets.0[block].clone();
        let text = &doc.text[bytes.clone()];
        if tokens::fits(text, limits.max) {
            atoms.push(Atom { block, tokens: tokens::count(text), bytes });
            continue;
        }
        // Room is left for the overlap, which would otherwise never fit before a full piece.
        let capacity = (limits.max - limits.overlap).max(8);
        let splitter = TextSplitter::new(ChunkConfig::new(capacity).with_sizer(Sizer));
        for window in windows(text) {
            for (at, piece) in splitter.chunk_indices(&text[window.clone()]) {
                let start = bytes.start + window.start + at;
                atoms.push(Atom { block, bytes: start..start + piece.len(), tokens: tokens::count(piece) });
            }
        }
    }
    atoms
}

/// Cuts a long text into windows, at a line break, a sentence's end, white space or, at worst, between characters.
fn windows(text: &str) -> Vec<Range<usize>> {
    let mut windows = Vec::new();
    let mut start = 0;
    while text.len() - start > SPLIT_WINDOW {
        let limit = text.floor_char_boundary(start + SPLIT_WINDOW);
        let window = &text[start..limit];
        let half = window.floor_char_boundary(window.len() / 2);
        let tail = &window[half..];
        let cut = tail
            .rfind('\n')
            .or_else(|| tail.rfind(". ").map(|at| at + 1))
            .or_else(|| tail.rfind(['。', '！', '？']).map(|at| at + '。'.len_utf8()))
            .or_else(|| tail.rfind(char::is_whitespace))
            .map_or(limit, |at| start + half + at);
        windows.push(start..cut);
        start = cut;
    }
    windows.push(start..text.len());
    windows
}

/// A chunk in the making.
struct Piece {
    bytes: Range<usize>,
    /// The blocks of its own text, without the overlap.
    blocks: Range<usize>,
    /// The first block that is no heading, or the end of `blocks`.
    first_body: usize,
}

/// Packs atoms greedily; a heading never ends a chunk, and each chunk but a section's first repeats the last sentences
/// of its predecessor.
fn pack(text: &str, blocks: &[Block], atoms: &[Atom], limits: &Limits) -> Vec<Piece> {
    let is_heading = |atom: &Atom| matches!(blocks[atom.block].kind, BlockKind::Heading { .. });
    let mut pieces: Vec<Piece> = Vec::new();
    let mut first = 0;
    while first < atoms.len() {
        let room = limits.max.saturating_sub(atoms[first].tokens + 1);
        let start = pieces.last().map_or(atoms[first].bytes.start, |previous| {
            overlap_start(text, previous.bytes.start, atoms[first].bytes.start, limits.overlap.min(room))
        });
        let mut total = atoms[first].tokens + tokens::count(&text[start..atoms[first].bytes.start]);
        let mut last = first;
        while last + 1 < atoms.len() && total + 1 + atoms[last + 1].tokens <= limits.max {
            last += 1;
            total += 1 + atoms[last].tokens;
        }
        // Tokens of parts need not add up to those of the whole: measured once more, exactly.
        while last > first && !tokens::fits(&text[start..atoms[last].bytes.end], limits.max) {
            last -= 1;
        }
        if last + 1 < atoms.len() {
            let with_text = (first..=last).rev().find(|&index| !is_heading(&atoms[index]));
            last = with_text.unwrap_or(last);
        }
        let own = atoms[first].block..atoms[last].block + 1;
        let first_body = own.clone().find(|&b| !matches!(blocks[b].kind, BlockKind::Heading { .. })).unwrap_or(own.end);
        pieces.push(Piece { bytes: start..atoms[last].bytes.end, blocks: own, first_body });
        first = last + 1;
    }
    pieces
}

/// Where the overlap before `end` begins: the most whole sentences within `limit` tokens, else the most words; never
/// at or before `floor`, where the preceding chunk begins.
fn overlap_start(text: &str, floor: usize, end: usize, limit: usize) -> usize {
    if limit == 0 || floor >= end {
        return end;
    }
    // A token is rarely longer than 16 bytes; what lies farther back cannot fit.
    let window = text.ceil_char_boundary(floor.max(end.saturating_sub(limit * 16)));
    let tail = &text[window..end];
    let earliest = |starts: &mut dyn Iterator<Item = usize>| {
        let candidates: Vec<usize> =
            starts.filter(|&at| window + at > floor && !tail[at..].trim().is_empty()).collect();
        let from = candidates.partition_point(|&at| !tokens::fits(&tail[at..], limit));
        candidates.get(from).map(|at| window + at)
    };
    // The window may begin in mid-sentence: its first start is no true one.
    earliest(&mut tail.split_sentence_bound_indices().map(|(at, _)| at).filter(|&at| at > 0))
        .or_else(|| earliest(&mut tail.unicode_word_indices().map(|(at, _)| at).filter(|&at| at > 0)))
        .unwrap_or(end)
}

/// The headings in force, by level.
#[derive(Default)]
struct HeadingPath {
    open: Vec<(u8, String)>,
    seen: usize,
}

impl HeadingPath {
    /// Takes in all headings before `first_body`, the first block of a chunk that is no heading.
    fn enter(&mut self, doc: &Extracted, offsets: &Offsets, first: usize, first_body: usize) {
        for index in self.seen..first.max(first_body) {
            if let BlockKind::Heading { level } = doc.blocks[index].kind {
                while self.open.last().is_some_and(|(open, _)| *open >= level) {
                    self.open.pop();
                }
                let text = doc.text[offsets.0[index].clone()].split_whitespace().collect::<Vec<_>>().join(" ");
                self.open.push((level, clean::shortened(&text, MAX_HEADING)));
            }
        }
        self.seen = self.seen.max(first.max(first_body));
    }
}

fn finish(doc: &Extracted, offsets: &Offsets, piece: &Piece, path: &HeadingPath, ordinal: usize) -> Option<Chunk> {
    let raw = &doc.text[piece.bytes.clone()];
    let text = raw.trim();
    if text.is_empty() {
        return None;
    }
    let start_byte = piece.bytes.start + (raw.len() - raw.trim_start().len());
    // Blocks carry offsets in characters: counting begins at the one before the chunk, not at the document's start.
    let anchor = offsets.0.partition_point(|range| range.start <= start_byte).saturating_sub(1);
    let start = doc.blocks[anchor].start + doc.text[offsets.0[anchor].start..start_byte].chars().count();
    let end = start + text.chars().count();
    let pages = doc.blocks[anchor..piece.blocks.end].iter().filter_map(|block| block.page);
    let hash = Sha256::digest(text.split_whitespace().collect::<Vec<_>>().join(" ").as_bytes());
    Some(Chunk {
        ordinal: u32::try_from(ordinal).unwrap_or(u32::MAX),
        heading_path: path.open.iter().map(|(_, heading)| heading.clone()).collect(),
        page_first: pages.clone().min(),
        page_last: pages.max(),
        start,
        end,
        tokens: u32::try_from(tokens::count(text)).unwrap_or(u32::MAX),
        hash: hash.into(),
        text: text.to_owned(),
    })
}

#[cfg(test)]
mod tests;

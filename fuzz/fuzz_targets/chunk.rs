//! Any text, cut small.
#![no_main]

use gristmill_content::{ChunkOptions, ExtractOptions, chunk, extract};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let options = ExtractOptions { file_name: Some("a.md".to_owned()), ..ExtractOptions::default() };
    let Ok(document) = extract(bytes, &options) else { return };
    let chars: Vec<char> = document.text.chars().collect();
    for chunk in chunk(&document, &ChunkOptions { max_tokens: 16, overlap_tokens: 4 }) {
        assert_eq!(chars[chunk.start..chunk.end].iter().collect::<String>(), chunk.text);
    }
});

//! Any bytes under any name.
#![no_main]

use gristmill_content::{ExtractOptions, extract};
use libfuzzer_sys::fuzz_target;

const NAMES: [&str; 8] = ["a", "a.txt", "a.md", "a.html", "a.csv", "a.json", "a.eml", "a.pdf"];

fuzz_target!(|bytes: &[u8]| {
    let Some((first, bytes)) = bytes.split_first() else { return };
    let name = NAMES[usize::from(*first) % NAMES.len()];
    let options = ExtractOptions { file_name: Some(name.to_owned()), ..ExtractOptions::default() };
    if let Ok(document) = extract(bytes, &options) {
        let length = document.text.chars().count();
        let mut last = 0;
        for block in &document.blocks {
            assert!(last <= block.start && block.start < block.end && block.end <= length);
            last = block.end;
        }
        assert!(!document.text.chars().any(|c| c.is_control() && c != '\n' && c != '\t'));
        let _markdown = document.to_markdown();
    }
});

//! Reads a list of pages in one process: for evaluation (`extract`), and for training (`pieces`).
//!
//! ```text
//! html extract MANIFEST OUT      one JSON object a line; pages/s on stderr
//! html pieces MANIFEST FOLDER    pages.jsonl, and figures.f32: the figures of every piece, row by row, little-endian
//! ```
//!
//! Every line of the manifest is a JSON object with `id`, `path` and, if it is known, `url`.

use std::error::Error;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use gristmill_content::{ExtractOptions, extract, html_pieces};
use serde_json::{Value, json};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["extract", manifest, out] => extract_all(manifest, out),
        ["pieces", manifest, folder] => dump_pieces(manifest, Path::new(folder)),
        _ => Err("usage: html extract MANIFEST OUT | html pieces MANIFEST FOLDER".into()),
    }
}

fn extract_all(manifest: &str, out: &str) -> Result<(), Box<dyn Error>> {
    let mut out = BufWriter::new(File::create(out)?);
    let (mut total, mut pages, mut slowest) = (Duration::ZERO, 0_u32, Duration::ZERO);
    for line in fs::read_to_string(manifest)?.lines() {
        let (page, bytes, options) = open(line)?;
        let started = Instant::now();
        let result = extract(&bytes, &options);
        let taken = started.elapsed();
        (total, pages, slowest) = (total + taken, pages + 1, slowest.max(taken));
        let answer = match result {
            Ok(extracted) => json!({ "id": page["id"], "extracted": extracted, "seconds": taken.as_secs_f64() }),
            Err(error) => json!({ "id": page["id"], "error": error.code(), "seconds": taken.as_secs_f64() }),
        };
        writeln!(out, "{answer}")?;
    }
    let rate = f64::from(pages) / total.as_secs_f64();
    eprintln!("{pages} pages, {:.2} s, {rate:.0} pages/s, slowest {} ms", total.as_secs_f64(), slowest.as_millis());
    Ok(())
}

fn dump_pieces(manifest: &str, folder: &Path) -> Result<(), Box<dyn Error>> {
    fs::create_dir_all(folder)?;
    let mut index = BufWriter::new(File::create(folder.join("pages.jsonl"))?);
    let mut figures = BufWriter::new(File::create(folder.join("figures.f32"))?);
    for line in fs::read_to_string(manifest)?.lines() {
        let (page, bytes, options) = open(line)?;
        let Ok(found) = html_pieces(&bytes, &options) else { continue };
        for piece in &found.pieces {
            for figure in &piece.figures {
                figures.write_all(&figure.to_le_bytes())?;
            }
        }
        let texts: Vec<&str> = found.pieces.iter().map(|piece| piece.text.as_str()).collect();
        let elements: Vec<usize> = found.pieces.iter().map(|piece| piece.element).collect();
        let groups: Vec<&[usize]> = found.pieces.iter().map(|piece| piece.groups.as_slice()).collect();
        let line = json!({
            "id": page["id"], "texts": texts, "elements": elements, "groups": groups, "parents": found.parents, "names": found.names,
        });
        writeln!(index, "{line}")?;
    }
    Ok(())
}

fn open(line: &str) -> Result<(Value, Vec<u8>, ExtractOptions), Box<dyn Error>> {
    let page: Value = serde_json::from_str(line)?;
    let bytes = fs::read(page["path"].as_str().ok_or("a page without path")?)?;
    let base_url = page["url"].as_str().and_then(|url| url.parse().ok());
    let options = ExtractOptions { base_url, declared: Some("text/html".to_owned()), ..ExtractOptions::default() };
    Ok((page, bytes, options))
}

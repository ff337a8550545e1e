//! `gristmill extract`: what a document becomes, and how it is told that it cannot be read.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use std::{
    io::Write as _,
    process::{Command, Output, Stdio},
};

use serde_json::Value as Json;

const PAGE: &str = "<html><head><title>Mill modernisation</title><link rel='canonical' href='/works'></head><body>
    <nav><a href='/'>Home</a> <a href='/shop'>Shop</a></nav>
    <article><h1>Mill modernisation</h1><p>The roller mills on line two were replaced in March, after thirty years of service, by four new stands that
    draw a fifth less power at the same throughput, as the audit of the year before had proposed.</p>
    <p>The purifiers stay as they are until the harvest is in, for a mill that stands still in August earns nothing.</p></article>
    <footer>Imprint</footer></body></html>";

fn extract(arguments: &[&str], input: &[u8], settings: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gristmill"));
    command.arg("extract").args(arguments).env_clear().envs(settings.iter().copied());
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // A command that refuses its arguments reads nothing.
    let _may_be_closed = child.stdin.take().unwrap().write_all(input);
    child.wait_with_output().unwrap()
}

fn printed(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// The code of the error that is told.
fn refused(output: &Output) -> String {
    assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(1), b"".as_slice()));
    let told: Json = serde_json::from_slice(&output.stderr).unwrap();
    assert!(told["message"].as_str().unwrap().ends_with('.'), "{told}");
    told["code"].as_str().unwrap().to_owned()
}

fn sample(name: &str) -> String {
    format!("{}/samples/{name}", env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn a_page_becomes_its_main_content_in_each_format() {
    let text = printed(&extract(&["-"], PAGE.as_bytes(), &[]));
    assert!(text.contains("draw a fifth less power") && !text.contains("Imprint") && !text.contains('<'), "{text}");
    let markdown = printed(&extract(&["-", "--format", "markdown"], PAGE.as_bytes(), &[]));
    assert!(markdown.starts_with("# Mill modernisation\n\nThe roller"), "{markdown}");
    let json = printed(&extract(&["-", "--format", "json", "--url", "https://mill.test/news/1"], PAGE.as_bytes(), &[]));
    let json: Json = serde_json::from_str(&json).unwrap();
    assert_eq!(json["media_type"], "text/html");
    assert_eq!(json["metadata"]["canonical_url"], "https://mill.test/works");
    assert_eq!(json["blocks"][0]["kind"]["type"], "heading");
}

#[test]
fn files_are_read_by_what_they_are() {
    let json = printed(&extract(&[&sample("energy-audit.pdf"), "--format", "json"], b"", &[]));
    let json: Json = serde_json::from_str(&json).unwrap();
    assert!(json["metadata"]["page_count"].as_u64().unwrap() > 1 && json["blocks"][0]["page"] == 1);
    let notes = printed(&extract(&[&sample("supplier-call-notes.txt")], b"", &[]));
    assert!(notes.contains("€29.50/t"), "{notes}");
    let folder = tempfile::tempdir().unwrap();
    let csv = folder.path().join("prices.csv");
    std::fs::write(&csv, "grain;price\nrye;210\n").unwrap();
    assert_eq!(
        printed(&extract(&[csv.to_str().unwrap()], b"", &[])),
        "| grain | price |\n| --- | --- |\n| rye | 210 |\n"
    );
}

#[test]
fn what_cannot_be_read_is_told_as_json() {
    assert_eq!(refused(&extract(&["-"], b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0", &[])), "unsupported-media");
    assert_eq!(refused(&extract(&["-"], b" ", &[])), "empty-document");
    assert_eq!(refused(&extract(&["/nowhere/at/all.pdf"], b"", &[])), "file-unreadable");
    let pages = [("GRISTMILL_EXTRACT_MAX_PAGES", "1")];
    assert_eq!(refused(&extract(&[&sample("energy-audit.pdf")], b"", &pages)), "too-many-pages");
    assert_eq!(extract(&["-", "--format", "poem"], b"x", &[]).status.code(), Some(2));
}

#[test]
fn what_takes_too_much_memory_is_refused_and_not_the_machines_end() {
    let lines = "word ".repeat(12 << 20);
    let memory = [("GRISTMILL_EXTRACT_MEMORY_MB", "64")];
    assert_eq!(refused(&extract(&["-"], lines.as_bytes(), &memory)), "extractor-memory");
}

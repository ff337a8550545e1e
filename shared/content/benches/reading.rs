//! How fast documents are read and cut: `cargo bench -p gristmill-content`. Pages a second of PDF and HTML, bytes a second
//! of office formats and chunking, on one core.

use std::hint::black_box;
use std::io::{Cursor, Write as _};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use gristmill_content::{ChunkOptions, ExtractOptions, chunk, extract};

const PDF: &[u8] = include_bytes!("../../../cli/samples/energy-audit.pdf");
const HTML: &[u8] = include_bytes!("../../../cli/samples/mill-modernisation.html");
const MARKDOWN: &[u8] = include_bytes!("../../../cli/samples/grain-handling-procedure.md");

/// Pages a second: an element is a page.
fn pages(criterion: &mut Criterion) {
    let options = ExtractOptions::default();
    let mut group = criterion.benchmark_group("pages");
    let pdf_pages = extract(PDF, &options).ok().and_then(|document| document.metadata.page_count).unwrap_or(1);
    for (name, bytes, pages) in [("pdf", PDF, pdf_pages), ("html", HTML, 1)] {
        group.throughput(Throughput::Elements(pages.into()));
        group.bench_function(name, |bencher| bencher.iter(|| extract(black_box(bytes), &options)));
    }
    group.finish();
}

/// Bytes of text a second.
fn texts(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("texts");
    group.sample_size(20);
    let row = "<row><c t='inlineStr'><is><t>Roller mill 7</t></is></c><c><v>1234.5</v></c><c><v>0.25</v></c></row>";
    let sheet = format!("<worksheet><sheetData>{}</sheetData></worksheet>", row.repeat(10_000));
    let paragraph = "<w:p><w:r><w:t>The roller mills on line two were replaced in March.</w:t></w:r></w:p>";
    let body = format!("<w:document><w:body>{}</w:body></w:document>", paragraph.repeat(10_000));
    let book = "<b><sheets><sheet name='S' id='r1'/></sheets></b>";
    let relations = "<r><x Id='r1' Type='x/worksheet' Target='a.xml'/></r>";
    let csv = "machine,tonnes,share\n".to_owned() + &"Roller mill 7,1234.5,0.25\n".repeat(10_000);
    for (name, file, bytes) in [
        ("docx", "a.docx", archive(&[("word/document.xml", &body)])),
        (
            "xlsx",
            "a.xlsx",
            archive(&[("xl/workbook.xml", book), ("xl/_rels/workbook.xml.rels", relations), ("xl/a.xml", &sheet)]),
        ),
        ("csv", "a.csv", csv.into_bytes()),
    ] {
        let options = ExtractOptions { file_name: Some(file.to_owned()), ..ExtractOptions::default() };
        let length = extract(&bytes, &options).map_or(0, |document| document.text.len());
        group.throughput(Throughput::Bytes(length as u64));
        group.bench_function(name, |bencher| bencher.iter(|| extract(black_box(&bytes), &options)));
    }
    let procedure = String::from_utf8_lossy(MARKDOWN).repeat(40);
    let options = ExtractOptions { file_name: Some("a.md".to_owned()), ..ExtractOptions::default() };
    if let Ok(document) = extract(procedure.as_bytes(), &options) {
        group.throughput(Throughput::Bytes(document.text.len() as u64));
        let cut = ChunkOptions::default();
        group.bench_function("chunking", |bencher| bencher.iter(|| chunk(black_box(&document), &cut)));
    }
    group.finish();
}

/// An office document of these parts; empty where none can be made, which shows in the figures.
fn archive(parts: &[(&str, &str)]) -> Vec<u8> {
    let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (name, text) in parts {
        let options = zip::write::SimpleFileOptions::default();
        if writer.start_file(*name, options).is_err() || writer.write_all(text.as_bytes()).is_err() {
            return Vec::new();
        }
    }
    writer.finish().map(Cursor::into_inner).unwrap_or_default()
}

criterion_group!(benches, pages, texts);
criterion_main!(benches);

//! Any main part of an office document or a book.
#![no_main]

use std::io::{Cursor, Write};

use gristmill_content::{ContentError, ExtractOptions, extract};
use libfuzzer_sys::fuzz_target;
use zip::{CompressionMethod, ZipWriter, write::SimpleFileOptions};

const RELATIONS: &[u8] = b"<r><x Id='r1' Type='x/slide' Target='a.xml'/></r>";
const SHEETS: &[u8] = b"<b><sheets><sheet name='S' id='r1'/></sheets><sldIdLst><sldId id='r1'/></sldIdLst></b>";
const SPINE: &[u8] =
    b"<p><manifest><item id='a' href='a.xml' media-type='text/html'/></manifest><spine><itemref idref='a'/></spine></p>";

fuzz_target!(|bytes: &[u8]| {
    let Some((first, part)) = bytes.split_first() else { return };
    let parts: Vec<(&str, &[u8])> = match first % 8 {
        0 => vec![("word/document.xml", part)],
        1 => vec![("word/document.xml", part), ("word/styles.xml", part), ("word/numbering.xml", part)],
        2 => vec![("xl/workbook.xml", SHEETS), ("xl/_rels/workbook.xml.rels", RELATIONS), ("xl/a.xml", part)],
        3 => vec![
            ("xl/workbook.xml", SHEETS),
            ("xl/_rels/workbook.xml.rels", RELATIONS),
            ("xl/a.xml", part),
            ("xl/styles.xml", part),
            ("xl/sharedStrings.xml", part),
        ],
        4 => vec![("ppt/presentation.xml", SHEETS), ("ppt/_rels/presentation.xml.rels", RELATIONS), ("ppt/a.xml", part)],
        5 => vec![("mimetype", b"application/vnd.oasis.opendocument.text"), ("content.xml", part), ("meta.xml", part)],
        6 => vec![("mimetype", b"application/epub+zip"), ("a.opf", SPINE), ("a.xml", part)],
        _ => vec![("[Content_Types].xml", part), ("_rels/.rels", part), ("a.opf", part), ("META-INF/container.xml", part)],
    };
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    let stored = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    for (name, bytes) in parts {
        writer.start_file(name, stored).expect("a name is valid");
        writer.write_all(bytes).expect("memory can be written to");
    }
    let archive = writer.finish().expect("an archive can be ended").into_inner();
    // A panic ends the run although the reader would catch it: libFuzzer aborts before anything unwinds.
    let _answer: Result<_, ContentError> = extract(&archive, &ExtractOptions::default());
});

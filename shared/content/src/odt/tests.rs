//! Documents made by hand, part by part.

use super::*;
use crate::BlockKind;
use crate::container::tests::archive;

const LISTS: &str = "<office:automatic-styles><text:list-style style:name='L1'><text:list-level-style-number text:level='1' style:num-format='1' style:num-suffix='.'/>
    <text:list-level-style-number text:level='2' style:num-format='a' style:num-suffix=')' text:display-levels='2'/></text:list-style>
    <style:style style:name='P1' style:parent-style-name='Title'/><style:style style:name='P2' style:parent-style-name='Preformatted_20_Text'/>
    <style:style style:name='P3' style:parent-style-name='P3'/></office:automatic-styles>";

fn document(body: &str) -> Vec<u8> {
    let content = format!(
        "<office:document-content>{LISTS}<office:body><office:text>{body}</office:text></office:body></office:document-content>"
    );
    archive(&[("content.xml", &content)])
}

fn read(body: &str) -> Extracted {
    extract(&document(body)).unwrap()
}

#[test]
fn headings_and_paragraphs_have_their_white_space() {
    let doc = read(
        "<text:p text:style-name='P1'>The mill</text:p><text:h text:outline-level='2'>In\n  take</text:h>
         <text:p text:style-name='P3'>One<text:s text:c='2'/>two<text:tab/>three<text:line-break/>four <text:span>five</text:span></text:p>
         <text:p text:style-name='P2'>if x:</text:p><text:p text:style-name='P2'><text:s text:c='4'/>y()</text:p>",
    );
    assert_eq!(doc.text, "The mill\n\nIn take\n\nOne  two\tthree\nfour five\n\nif x:\n    y()");
    assert_eq!(doc.blocks[1].kind, BlockKind::Heading { level: 2 });
    assert_eq!(doc.metadata.title.as_deref(), Some("The mill"));
}

#[test]
fn lists_are_numbered_nested_and_continued() {
    let item = |text: &str| format!("<text:list-item><text:p>{text}</text:p></text:list-item>");
    let doc = read(&format!(
        "<text:list text:style-name='L1'>{}<text:list-item><text:p>two</text:p><text:p>more</text:p><text:list>{}</text:list></text:list-item></text:list>
         <text:p>between</text:p><text:list text:style-name='L1' text:continue-numbering='true'>{}</text:list><text:list text:style-name='other'>{}</text:list>",
        item("one"), item("deep"), item("three"), item("dot")
    ));
    assert_eq!(doc.text, "1. one\n2. two\nmore\n  2.a) deep\n\nbetween\n\n3. three\n- dot");
}

#[test]
fn tables_notes_and_what_is_left_out() {
    let cell = |text: &str| format!("<table:table-cell><text:p>{text}</text:p></table:table-cell>");
    let doc = read(&format!(
        "<text:tracked-changes><text:p>deleted</text:p></text:tracked-changes><text:p>Moisture<text:note><text:note-citation>1</text:note-citation><text:note-body><text:p>Per ISO 712.</text:p></text:note-body></text:note> is<office:annotation><text:p>really?</text:p></office:annotation> 14 %.</text:p>
         <table:table><table:table-row>{}{}{}</table:table-row><table:table-row><table:table-cell table:number-columns-spanned='2'><text:p>both</text:p></table:table-cell><table:covered-table-cell/>{}</table:table-row></table:table>
         <text:p>After<draw:frame><draw:text-box><text:p>In a box</text:p></draw:text-box><svg:desc>picture</svg:desc></draw:frame></text:p>",
        cell("A"), cell("B"), cell("C"), cell("1")
    ));
    assert_eq!(
        doc.text,
        "Moisture[1] is 14 %.\n\n[1] Per ISO 712.\n\n| A | B | C |\n| --- | --- | --- |\n| both |  | 1 |\n\nIn a box\n\nAfter"
    );
}

#[test]
fn metadata_and_encryption_are_told() {
    let meta = "<office:meta><dc:title>Audit</dc:title><meta:initial-creator>A. Miller</meta:initial-creator><dc:creator>B. Baker</dc:creator><meta:creation-date>2026-02-03T04:05:06</meta:creation-date><dc:language>de-AT</dc:language></office:meta>";
    let content = "<office:body><text:p>x</text:p></office:body>";
    let doc = extract(&archive(&[("content.xml", content), ("meta.xml", meta)])).unwrap();
    assert_eq!((doc.metadata.title.as_deref(), doc.metadata.author.as_deref()), (Some("Audit"), Some("A. Miller")));
    assert_eq!(doc.metadata.created.unwrap().to_rfc3339(), "2026-02-03T04:05:06+00:00");
    let manifest = "<manifest:file-entry><manifest:encryption-data/></manifest:file-entry>";
    let locked = archive(&[("content.xml", "\u{1}\u{2}"), ("META-INF/manifest.xml", manifest)]);
    assert_eq!(extract(&locked).unwrap_err().code(), "document-encrypted");
}

#[test]
fn repeated_cells_do_not_unfold() {
    let row = "<table:table-row><table:table-cell table:number-columns-repeated='1000000000'><text:p>x</text:p></table:table-cell></table:table-row>";
    let doc = read(&format!("<table:table>{row}{row}</table:table>"));
    assert!(doc.text.len() < 10_000, "{}", doc.text.len());
}

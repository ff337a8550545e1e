//! Documents made by hand, part by part.

use super::*;
use crate::container::tests::archive;

fn document(body: &str, others: &[(&str, &str)]) -> Vec<u8> {
    let body = format!(
        "<?xml version='1.0'?><w:document xmlns:w='http://schemas.openxmlformats.org/wordprocessingml/2006/main'><w:body>{body}</w:body></w:document>"
    );
    let mut parts = vec![("[Content_Types].xml", "<Types/>"), ("word/document.xml", body.as_str())];
    parts.extend(others);
    archive(&parts)
}

fn read(body: &str, others: &[(&str, &str)]) -> Extracted {
    extract(&document(body, others)).unwrap()
}

fn paragraph(style: &str, text: &str) -> String {
    format!("<w:p><w:pPr><w:pStyle w:val='{style}'/></w:pPr><w:r><w:t xml:space='preserve'>{text}</w:t></w:r></w:p>")
}

const STYLES: &str = "<w:styles xmlns:w='x'><w:style w:styleId='Titel'><w:name w:val='Title'/></w:style>
    <w:style w:styleId='berschrift1'><w:name w:val='heading 1'/></w:style>
    <w:style w:styleId='Mine'><w:name w:val='Mine'/><w:basedOn w:val='berschrift1'/></w:style>
    <w:style w:styleId='Step'><w:name w:val='Step'/><w:pPr><w:numPr><w:numId w:val='2'/></w:numPr></w:pPr></w:style>
    <w:style w:styleId='Round'><w:name w:val='a'/><w:basedOn w:val='Round'/></w:style>
    <w:style w:styleId='Code'><w:name w:val='Source Code'/></w:style></w:styles>";

const NUMBERING: &str = "<w:numbering xmlns:w='x'>
    <w:abstractNum w:abstractNumId='7'><w:lvl w:ilvl='0'><w:start w:val='1'/><w:numFmt w:val='bullet'/><w:lvlText w:val='o'/></w:lvl></w:abstractNum>
    <w:abstractNum w:abstractNumId='8'><w:lvl w:ilvl='0'><w:start w:val='3'/><w:numFmt w:val='decimal'/><w:lvlText w:val='%1.'/></w:lvl>
    <w:lvl w:ilvl='1'><w:start w:val='1'/><w:numFmt w:val='lowerLetter'/><w:lvlText w:val='%1%2)'/></w:lvl></w:abstractNum>
    <w:num w:numId='1'><w:abstractNumId w:val='7'/></w:num><w:num w:numId='2'><w:abstractNumId w:val='8'/></w:num>
    <w:num w:numId='3'><w:abstractNumId w:val='8'/><w:lvlOverride w:ilvl='0'><w:startOverride w:val='1'/></w:lvlOverride></w:num></w:numbering>";

fn item(list: u32, level: u8, text: &str) -> String {
    format!(
        "<w:p><w:pPr><w:numPr><w:ilvl w:val='{level}'/><w:numId w:val='{list}'/></w:numPr></w:pPr><w:r><w:t>{text}</w:t></w:r></w:p>"
    )
}

#[test]
fn styles_make_headings_whatever_they_are_called() {
    let body = [paragraph("Titel", "The mill"), paragraph("Mine", "Intake"), paragraph("Round", "text")].concat();
    let doc = read(&body, &[("word/styles.xml", STYLES)]);
    assert_eq!(doc.text, "The mill\n\nIntake\n\ntext");
    assert_eq!(doc.blocks[1].kind, BlockKind::Heading { level: 1 });
    assert_eq!(doc.blocks[2].kind, BlockKind::Paragraph);
    assert_eq!(doc.metadata.title.as_deref(), Some("The mill"));
}

#[test]
fn lists_are_counted_as_word_counts_them() {
    let body = [
        item(2, 0, "three"),
        item(2, 1, "a"),
        item(2, 1, "b"),
        item(1, 0, "dot"),
        item(2, 0, "four"),
        item(2, 1, "a again"),
        item(3, 0, "one"),
        item(3, 0, "two"),
        paragraph("Step", "three by style"),
        item(0, 0, "none"),
        item(99, 0, "unknown"),
    ];
    let doc = read(&body.concat(), &[("word/styles.xml", STYLES), ("word/numbering.xml", NUMBERING)]);
    assert_eq!(
        doc.text,
        "3. three\n  3a) a\n  3b) b\n- dot\n4. four\n  4a) a again\n1. one\n2. two\n3. three by style\n\nnone\n\n- unknown"
    );
}

#[test]
fn what_the_reader_sees_is_what_counts() {
    let body = "<w:p><w:r><w:t>Kept</w:t></w:r><w:del><w:r><w:delText>gone</w:delText></w:r></w:del><w:ins><w:r><w:t xml:space='preserve'> new</w:t></w:r></w:ins>
        <w:r><w:rPr><w:vanish/></w:rPr><w:t>hidden</w:t></w:r><w:r><w:tab/><w:t>tab</w:t><w:br/><w:t>line</w:t></w:r>
        <w:r><w:fldChar w:fldCharType='begin'/></w:r><w:r><w:instrText>PAGE</w:instrText></w:r><w:r><w:t>7</w:t></w:r>
        <mc:AlternateContent><mc:Choice><w:r><w:t>box</w:t></w:r></mc:Choice><mc:Fallback><w:r><w:t>box</w:t></w:r></mc:Fallback></mc:AlternateContent></w:p>";
    assert_eq!(read(body, &[]).text, "Kept new\ttab\nline7box");
}

#[test]
fn notes_follow_the_paragraph_that_refers_to_them() {
    let notes = "<w:footnotes xmlns:w='x'><w:footnote w:type='separator' w:id='0'><w:p><w:r><w:t>-</w:t></w:r></w:p></w:footnote>
        <w:footnote w:id='2'><w:p><w:r><w:t>Per ISO 712.</w:t></w:r></w:p></w:footnote></w:footnotes>";
    let body = "<w:p><w:r><w:t>Moisture</w:t></w:r><w:r><w:footnoteReference w:id='2'/></w:r><w:r><w:t xml:space='preserve'> is 14 %.</w:t></w:r></w:p>";
    assert_eq!(read(body, &[("word/footnotes.xml", notes)]).text, "Moisture[1] is 14 %.\n\n[1] Per ISO 712.");
}

#[test]
fn tables_keep_their_columns_and_text_boxes_their_paragraphs() {
    let cell = |text: &str| format!("<w:tc><w:p><w:r><w:t>{text}</w:t></w:r></w:p></w:tc>");
    let merged = "<w:tc><w:tcPr><w:gridSpan w:val='2'/></w:tcPr><w:p><w:r><w:t>both</w:t></w:r></w:p></w:tc>";
    let body = format!(
        "<w:tbl><w:tr>{}{}{}</w:tr><w:tr>{merged}{}</w:tr></w:tbl><w:p><w:r><w:txbxContent>{}</w:txbxContent></w:r><w:r><w:t>After</w:t></w:r></w:p>",
        cell("A"),
        cell("B"),
        cell("C"),
        cell("1"),
        paragraph("", "In a box")
    );
    assert_eq!(read(&body, &[]).text, "| A | B | C |\n| --- | --- | --- |\n| both |  | 1 |\n\nIn a box\n\nAfter");
}

#[test]
fn code_keeps_its_lines() {
    let body = [paragraph("Code", "if x:"), paragraph("Code", "    y()"), paragraph("", "After")].concat();
    let doc = read(&body, &[("word/styles.xml", STYLES)]);
    assert_eq!(doc.text, "if x:\n    y()\n\nAfter");
    assert_eq!(doc.blocks[0].kind, BlockKind::Code);
}

#[test]
fn a_body_that_breaks_off_is_read_as_far_as_it_goes() {
    let broken =
        archive(&[("word/document.xml", "<w:document><w:body><w:p><w:r><w:t>Before</w:t></w:r></w:p><w:p></w:r>")]);
    let doc = extract(&broken).unwrap();
    assert_eq!((doc.text.as_str(), doc.warnings[0].code()), ("Before", "parts-damaged"));
    let nothing = archive(&[("word/document.xml", "<<<")]);
    assert_eq!(extract(&nothing).unwrap_err().code(), "document-damaged");
    assert_eq!(extract(&archive(&[("word/styles.xml", STYLES)])).unwrap_err().code(), "document-damaged");
}

#[test]
fn core_properties_are_the_metadata() {
    let core = "<cp:coreProperties xmlns:dc='d'><dc:title>Audit</dc:title><dc:creator>A. Miller</dc:creator><dcterms:created xmlns:dcterms='t'>2026-02-03T04:05:06Z</dcterms:created><dc:language>de-AT</dc:language></cp:coreProperties>";
    let metadata = read(&paragraph("", "text"), &[("docProps/core.xml", core)]).metadata;
    assert_eq!((metadata.title.as_deref(), metadata.author.as_deref()), (Some("Audit"), Some("A. Miller")));
    assert_eq!(metadata.created.unwrap().to_rfc3339(), "2026-02-03T04:05:06+00:00");
    assert_eq!(metadata.language.as_deref(), Some("de"));
}

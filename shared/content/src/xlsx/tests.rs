//! Workbooks made by hand, part by part.

use super::*;
use crate::container::tests::archive;

fn book(sheet: &str, others: &[(&str, &str)]) -> Vec<u8> {
    let sheet = format!("<worksheet><sheetData>{sheet}</sheetData><drawing/></worksheet>");
    let mut parts = vec![
        (
            "xl/workbook.xml",
            "<workbook xmlns:r='r'><sheets><sheet name='Output' sheetId='1' r:id='rId1'/></sheets></workbook>",
        ),
        (
            "xl/_rels/workbook.xml.rels",
            "<Relationships><Relationship Id='rId1' Type='http://x/worksheet' Target='worksheets/sheet1.xml'/></Relationships>",
        ),
        ("xl/worksheets/sheet1.xml", sheet.as_str()),
    ];
    parts.extend(others);
    archive(&parts)
}

fn read(sheet: &str, others: &[(&str, &str)]) -> Extracted {
    extract(&book(sheet, others), &ExtractOptions::default()).unwrap()
}

fn text(place: &str, value: &str) -> String {
    format!("<c r='{place}' t='inlineStr'><is><t>{value}</t></is></c>")
}

#[test]
fn each_region_is_a_table_and_its_title_a_paragraph() {
    let sheet = [
        "<row r='1'>",
        &text("B1", "Report 2026"),
        "</row><row r='2'>",
        &text("B2", "Line"),
        &text("D2", "t"),
        "</row><row r='3'>",
        &text("B3", "A"),
        "<c r='D3'><v>12.5</v></c></row><row r='4'><c r='B4' s='3'/></row><row r='6'>",
        &text("A6", "A remark"),
        "</row>",
    ];
    let doc = read(&sheet.concat(), &[]);
    assert_eq!(doc.text, "Output\n\nReport 2026\n\n| Line | t |\n| --- | --- |\n| A | 12.5 |\n\nA remark");
    assert_eq!((doc.blocks[0].kind, doc.blocks[2].page), (BlockKind::Heading { level: 1 }, Some(1)));
    assert_eq!(doc.metadata.page_count, Some(1));
}

#[test]
fn cells_of_every_type_are_read() {
    let strings =
        "<sst><si><t>shared</t></si><si><r><t>rich </t></r><r><t>text</t></r><rPh><t>reading</t></rPh></si></sst>";
    let sheet = "<row><c t='s'><v>0</v></c><c t='s'><v>1</v></c><c t='b'><v>1</v></c><c t='str'><f>A1</f><v>made_x000D_up</v></c><c t='e'><v>#N/A</v></c><c t='d'><v>2026-02-03T00:00:00</v></c><c t='s'><v>99</v></c></row>
        <row><c><v>1</v></c></row>";
    let doc = read(sheet, &[("xl/sharedStrings.xml", strings)]);
    assert_eq!(
        doc.text,
        "Output\n\n| shared | rich text | TRUE | made up | #N/A | 2026-02-03 |\n| --- | --- | --- | --- | --- | --- |\n\n1"
    );
}

#[test]
fn two_cells_at_the_far_ends_are_two_cells() {
    let doc = read(
        "<row r='1'><c r='A1'><v>1</v></c></row><row r='1048576'><c r='XFD1048576'><v>2</v></c><c r='A1048576'><v>3</v></c></row>",
        &[],
    );
    assert_eq!(doc.text, "Output\n\n1\n\n| 3 | 2 |\n| --- | --- |");
}

#[test]
fn a_string_that_is_shared_a_million_times_is_too_much_text() {
    let strings = format!("<sst><si><t>{}</t></si></sst>", "x".repeat(200_000));
    let sheet = format!("<row>{}</row>", "<c t='s'><v>0</v></c>".repeat(2_000));
    let error = extract(&book(&sheet, &[("xl/sharedStrings.xml", &strings)]), &ExtractOptions::default()).unwrap_err();
    assert_eq!(error.code(), "too-much-text");
}

#[test]
fn a_sheet_that_breaks_off_is_read_as_far_as_it_goes() {
    let bytes = book("<row><c><v>1</v></c><c><v>2</v></c></row><row><c></row>", &[]);
    let doc = extract(&bytes, &ExtractOptions::default()).unwrap();
    assert_eq!((doc.text.as_str(), doc.warnings[0].code()), ("Output\n\n| 1 | 2 |\n| --- | --- |", "parts-damaged"));
}

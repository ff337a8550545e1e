//! Presentations made by hand, part by part.

use super::*;
use crate::BlockKind;
use crate::container::tests::archive;

const PRESENTATION: &str = "<p:presentation xmlns:p='p' xmlns:r='r'><p:sldIdLst><p:sldId id='256' r:id='rId2'/><p:sldId id='257' r:id='rId1'/></p:sldIdLst></p:presentation>";
const RELATIONS: &str = "<Relationships><Relationship Id='rId1' Type='http://x/slide' Target='slides/slide1.xml'/><Relationship Id='rId2' Type='http://x/slide' Target='slides/slide2.xml'/></Relationships>";

fn shape(place: &str, lines: &[&str]) -> String {
    let lines: String = lines.iter().map(|line| format!("<a:p>{line}</a:p>")).collect();
    let place = if place.is_empty() { String::new() } else { format!("<p:ph type='{place}'/>") };
    format!("<p:sp><p:nvSpPr><p:nvPr>{place}</p:nvPr></p:nvSpPr><p:txBody>{lines}</p:txBody></p:sp>")
}

fn read(first: &str, second: &str, others: &[(&str, &str)]) -> Result<Extracted, ContentError> {
    let slide =
        |shapes: &str| format!("<p:sld xmlns:p='p' xmlns:a='a'><p:cSld><p:spTree>{shapes}</p:spTree></p:cSld></p:sld>");
    let (first, second) = (slide(first), slide(second));
    let mut parts = vec![
        ("ppt/presentation.xml", PRESENTATION),
        ("ppt/_rels/presentation.xml.rels", RELATIONS),
        ("ppt/slides/slide2.xml", first.as_str()),
        ("ppt/slides/slide1.xml", second.as_str()),
    ];
    parts.extend(others);
    extract(&archive(&parts), &ExtractOptions::default())
}

#[test]
fn slides_are_pages_in_the_order_they_are_shown() {
    let first = shape("ctrTitle", &["<a:r><a:t>Mill</a:t></a:r><a:br/><a:r><a:t>review</a:t></a:r>"]);
    let second = [
        shape("title", &["<a:r><a:t>Costs</a:t></a:r>"]),
        shape(
            "body",
            &[
                "<a:r><a:t>Energy</a:t></a:r>",
                "<a:pPr lvl='1'><a:buAutoNum/></a:pPr><a:r><a:t>Gas</a:t></a:r>",
                "<a:pPr lvl='1'><a:buAutoNum/></a:pPr><a:r><a:t>Power</a:t></a:r>",
            ],
        ),
        shape("", &["<a:r><a:t>Drawn</a:t></a:r>"]),
        shape("sldNum", &["<a:fld><a:t>2</a:t></a:fld>"]),
    ];
    let doc = read(&first, &second.concat(), &[]).unwrap();
    assert_eq!(doc.text, "Mill review\n\nCosts\n\n- Energy\n  1. Gas\n  2. Power\n\nDrawn");
    let pages: Vec<_> = doc.blocks.iter().map(|block| block.page.unwrap()).collect();
    assert_eq!(pages, [1, 2, 2, 2, 2, 2]);
    assert_eq!(
        (doc.blocks[0].kind, doc.blocks[1].kind),
        (BlockKind::Heading { level: 1 }, BlockKind::Heading { level: 2 })
    );
    assert_eq!((doc.metadata.title.as_deref(), doc.metadata.page_count), (Some("Mill review"), Some(2)));
}

#[test]
fn tables_charts_and_notes_belong_to_their_slide() {
    let cell = |text: &str| format!("<a:tc><a:txBody><a:p><a:r><a:t>{text}</a:t></a:r></a:p></a:txBody></a:tc>");
    let table = format!(
        "<p:graphicFrame><a:tbl><a:tr>{}{}</a:tr><a:tr>{}{}</a:tr></a:tbl></p:graphicFrame>",
        cell("Line"),
        cell("t/h"),
        cell("A"),
        cell("12")
    );
    let chart = "<p:graphicFrame><c:chart r:id='rId7'/></p:graphicFrame>";
    let relations = "<Relationships><Relationship Id='rId7' Type='http://x/chart' Target='../charts/chart1.xml'/><Relationship Id='rId8' Type='http://x/notesSlide' Target='../notesSlides/n1.xml'/></Relationships>";
    let figures = "<c:chartSpace><c:title><a:p><a:r><a:t>Output</a:t></a:r></a:p></c:title><c:ser><c:tx><c:strRef><c:f>S!A1</c:f><c:pt idx='0'><c:v>2026</c:v></c:pt></c:strRef></c:tx>
        <c:cat><c:pt idx='0'><c:v>May</c:v></c:pt><c:pt idx='1'><c:v>June</c:v></c:pt></c:cat><c:val><c:pt idx='0'><c:v>310</c:v></c:pt><c:pt idx='1'><c:v>305.5</c:v></c:pt></c:val></c:ser></c:chartSpace>";
    let notes = format!(
        "<p:notes>{}{}</p:notes>",
        shape("body", &["<a:r><a:t>Say it slowly.</a:t></a:r>"]),
        shape("sldNum", &["<a:r><a:t>1</a:t></a:r>"])
    );
    let parts = [
        ("ppt/slides/_rels/slide2.xml.rels", relations),
        ("ppt/charts/chart1.xml", figures),
        ("ppt/notesSlides/n1.xml", notes.as_str()),
    ];
    let doc = read(&[table.as_str(), chart].concat(), "", &parts).unwrap();
    assert_eq!(
        doc.text,
        "| Line | t/h |\n| --- | --- |\n| A | 12 |\n\nOutput\n\n|  | 2026 |\n| --- | --- |\n| May | 310 |\n| June | 305.5 |\n\nSay it slowly."
    );
    assert!(doc.blocks.iter().all(|block| block.page == Some(1)));
}

#[test]
fn a_slide_that_is_missing_is_told_and_too_many_are_refused() {
    let parts = [("ppt/presentation.xml", PRESENTATION), ("ppt/_rels/presentation.xml.rels", RELATIONS)];
    assert_eq!(extract(&archive(&parts), &ExtractOptions::default()).unwrap_err().code(), "document-damaged");
    let one = shape("title", &["<a:r><a:t>Only</a:t></a:r>"]);
    let slide = format!("<p:sld>{one}</p:sld>");
    let parts = [parts[0], parts[1], ("ppt/slides/slide1.xml", slide.as_str())];
    let doc = extract(&archive(&parts), &ExtractOptions::default()).unwrap();
    assert_eq!((doc.text.as_str(), doc.warnings[0].code()), ("Only", "parts-damaged"));
    let options = ExtractOptions { max_pages: 1, ..ExtractOptions::default() };
    assert_eq!(extract(&archive(&parts), &options).unwrap_err(), ContentError::TooManyPages { pages: 2, max: 1 });
}

//! Made-up PDFs, built with lopdf: what must come out of them, and what must not go wrong.

use lopdf::content::{Content, Operation};
use lopdf::{Document, EncryptionState, EncryptionVersion, Object, Permissions, Stream, dictionary};
use proptest::prelude::*;

use super::*;
use crate::extract as read_any;

mod classes;

/// Text at a place on a page: x, y from the bottom, size, font.
type Mark = (f32, f32, f32, &'static str, String);

fn mark(x: f32, y: f32, size: f32, text: &str) -> Mark {
    (x, y, size, "F1", text.to_owned())
}

/// Lines of text, 12 points apart.
fn column(x: f32, top: f32, lines: &[&str]) -> Vec<Mark> {
    lines.iter().enumerate().map(|(i, line)| mark(x, top - 12.0 * i as f32, 10.0, line)).collect()
}

fn document(pages: &[Vec<Mark>], picture: bool) -> Document {
    let mut doc = Document::with_version("1.5");
    let tree = doc.new_object_id();
    let font = |doc: &mut Document, name: &str| {
        doc.add_object(
            dictionary! { "Type" => "Font", "Subtype" => "Type1", "BaseFont" => name, "Encoding" => "WinAnsiEncoding" },
        )
    };
    let (plain, bold, mono) =
        (font(&mut doc, "Helvetica"), font(&mut doc, "Helvetica-Bold"), font(&mut doc, "Courier"));
    let image = doc.add_object(Stream::new(
        dictionary! { "Type" => "XObject", "Subtype" => "Image", "Width" => 1, "Height" => 1, "ColorSpace" => "DeviceGray", "BitsPerComponent" => 8 },
        vec![0],
    ));
    let resources = doc.add_object(dictionary! {
        "Font" => dictionary! { "F1" => plain, "F2" => bold, "F3" => mono },
        "XObject" => dictionary! { "I" => image },
    });
    let mut kids: Vec<Object> = Vec::new();
    for page in pages {
        let mut operations = Vec::new();
        if picture {
            operations.push(Operation::new("Do", vec!["I".into()]));
        }
        for (x, y, size, font, text) in page {
            let (bytes, _, _) = encoding_rs::WINDOWS_1252.encode(text);
            operations.push(Operation::new("BT", vec![]));
            operations.push(Operation::new("Tf", vec![(*font).into(), (*size).into()]));
            operations.push(Operation::new("Td", vec![(*x).into(), (*y).into()]));
            operations.push(Operation::new("Tj", vec![Object::string_literal(bytes.into_owned())]));
            operations.push(Operation::new("ET", vec![]));
        }
        let content = doc.add_object(Stream::new(dictionary! {}, Content { operations }.encode().unwrap()));
        kids.push(doc.add_object(dictionary! { "Type" => "Page", "Parent" => tree, "Contents" => content }).into());
    }
    let count = i64::try_from(kids.len()).unwrap();
    doc.objects.insert(
        tree,
        dictionary! {
            "Type" => "Pages", "Kids" => kids, "Count" => count, "Resources" => resources,
            "MediaBox" => vec![0.into(), 0.into(), 595.into(), 842.into()],
        }
        .into(),
    );
    let catalog = doc.add_object(dictionary! { "Type" => "Catalog", "Pages" => tree });
    let info = doc.add_object(dictionary! {
        "Title" => Object::string_literal("Of mills"), "Author" => Object::string_literal("Jane Miller"),
        "CreationDate" => Object::string_literal("D:20260301080910+01'00'"),
    });
    doc.trailer.set("Root", catalog);
    doc.trailer.set("Info", info);
    doc.trailer.set("ID", vec![Object::string_literal("0123456789abcdef"), Object::string_literal("0123456789abcdef")]);
    doc
}

fn bytes(mut doc: Document) -> Vec<u8> {
    let mut out = Vec::new();
    doc.save_to(&mut out).unwrap();
    out
}

fn read(pages: &[Vec<Mark>]) -> Extracted {
    read_any(&bytes(document(pages, false)), &ExtractOptions::default()).unwrap()
}

fn kinds(doc: &Extracted) -> Vec<(BlockKind, String)> {
    let text = |block: &crate::Block| doc.text.chars().skip(block.start).take(block.end - block.start).collect();
    doc.blocks.iter().map(|block| (block.kind, text(block))).collect()
}

#[test]
fn headings_paragraphs_lists_and_code_are_told_apart() {
    let mut page = vec![mark(72.0, 760.0, 20.0, "The Title"), mark(72.0, 720.0, 14.0, "1 First section")];
    page.extend(column(
        72.0,
        700.0,
        &[
            "The wheel of the mill is driven by the water of the brook, and the brook is fed by the con-",
            "sumption of nobody. A second sentence follows in the same paragraph and ends here.",
        ],
    ));
    page.extend(column(72.0, 660.0, &["• first item", "• second item that is", "3. numbered item"]));
    page.extend(column(72.0, 580.0, &["More text after it, long enough to be a line of its own and to end."]));
    page.extend([
        (72.0, 550.0, 9.0, "F3", "fn main() {".into()),
        (82.8, 539.0, 9.0, "F3", "grind(1);".into()),
        (72.0, 528.0, 9.0, "F3", "}".into()),
    ]);
    let doc = read(&[page]);
    let expected = [
        (BlockKind::Heading { level: 1 }, "The Title"),
        (BlockKind::Heading { level: 2 }, "1 First section"),
        (
            BlockKind::Paragraph,
            "The wheel of the mill is driven by the water of the brook, and the brook is fed by the consumption of nobody. \
             A second sentence follows in the same paragraph and ends here.",
        ),
        (BlockKind::ListItem, "- first item"),
        (BlockKind::ListItem, "- second item that is"),
        (BlockKind::ListItem, "3. numbered item"),
    ];
    let found = kinds(&doc);
    for (index, (kind, text)) in expected.into_iter().enumerate() {
        assert_eq!(found[index], (kind, text.to_owned()));
    }
    assert!(found.contains(&(BlockKind::Code, "fn main() {\n  grind(1);\n}".to_owned())), "{found:?}");
    assert_eq!(doc.metadata.title.as_deref(), Some("Of mills"));
    assert_eq!(doc.metadata.author.as_deref(), Some("Jane Miller"));
    assert_eq!(doc.metadata.created.unwrap().to_rfc3339(), "2026-03-01T07:09:10+00:00");
    assert_eq!(doc.metadata.page_count, Some(1));
}

#[test]
fn columns_are_read_one_after_the_other() {
    let left = [
        "Left one is a line of text",
        "left two goes on with words",
        "left three is here as well",
        "left four has more to say",
        "left five ends the column.",
    ];
    let right = [
        "Right one is a line of text",
        "right two goes on with words",
        "right three is here as well",
        "right four has more to say",
        "right five ends the column.",
    ];
    let mut page = vec![mark(72.0, 780.0, 18.0, "A title across both of the columns")];
    // The longest line of the left column is 118 points wide: the gutter is one em.
    for (l, r) in column(72.0, 740.0, &left).into_iter().zip(column(202.0, 740.0, &right)) {
        page.extend([l, r]);
    }
    let text = read(&[page]).text;
    let expected = format!("A title across both of the columns\n\n{}\n\n{}", left.join(" "), right.join(" "));
    assert_eq!(text, expected);
}

#[test]
fn a_table_without_ruling_becomes_markdown() {
    let mut page = column(72.0, 780.0, &["The table below shows what each of the mills has ground in the past year."]);
    for (row, cells) in
        [["Mill", "Tonnes", "Share"], ["Upper", "1,200", "40 %"], ["Lower", "1,800", "60 %"]].iter().enumerate()
    {
        for (column, cell) in cells.iter().enumerate() {
            page.push(mark(72.0 + 120.0 * column as f32, 750.0 - 14.0 * row as f32, 10.0, cell));
        }
    }
    let doc = read(&[page]);
    let table = kinds(&doc).into_iter().find(|(kind, _)| *kind == BlockKind::Table).unwrap().1;
    assert_eq!(
        table,
        "| Mill | Tonnes | Share |\n| --- | --- | --- |\n| Upper | 1,200 | 40 % |\n| Lower | 1,800 | 60 % |"
    );
}

#[test]
fn running_heads_and_page_numbers_are_dropped_and_paragraphs_go_on() {
    let bodies = [
        [
            "The wheel turns as long as there is water in the brook that feeds the pond",
            "and the stones grind whatever the farmers bring to the mill",
        ],
        [
            "in the weeks after the harvest, when carts stand in a row before the",
            "gate and the miller sleeps no more than three hours, unless the wind",
        ],
        [
            "turns to the east, which in that valley means frost, and frost means ice",
            "on the wheel, so that men with axes have to climb down to it",
        ],
        [
            "before it is light and free the paddles one by one, a work that nobody",
            "likes and that is paid with a loaf.",
        ],
    ];
    let pages: Vec<Vec<Mark>> = bodies
        .iter()
        .zip(1..)
        .map(|(body, number)| {
            let mut page =
                vec![mark(72.0, 810.0, 8.0, "Annals of Milling"), mark(290.0, 30.0, 8.0, &number.to_string())];
            page.extend(column(72.0, 760.0, body));
            page
        })
        .collect();
    let doc = read(&pages);
    assert_eq!(doc.text, bodies.iter().flatten().copied().collect::<Vec<_>>().join(" "));
    assert_eq!(doc.blocks.len(), 1);
}

#[test]
fn pages_without_text_are_named() {
    let text = column(72.0, 700.0, &["A page with text."]);
    let mixed = read_any(&bytes(document(&[text.clone(), vec![], text], true)), &ExtractOptions::default()).unwrap();
    assert_eq!(mixed.warnings, [Warning::PagesWithoutText { pages: vec![2] }]);
    let none = read_any(&bytes(document(&[vec![], vec![]], true)), &ExtractOptions::default()).unwrap_err();
    assert_eq!(none, ContentError::NeedsOcr { pages: vec![1, 2] });
    let blank = read_any(&bytes(document(&[vec![]], false)), &ExtractOptions::default()).unwrap_err();
    assert_eq!(blank, ContentError::EmptyDocument);
}

#[test]
fn limits_are_kept() {
    let pages = vec![column(72.0, 700.0, &["x"]); 3];
    let options = ExtractOptions { max_pages: 2, ..ExtractOptions::default() };
    assert_eq!(
        read_any(&bytes(document(&pages, false)), &options).unwrap_err(),
        ContentError::TooManyPages { pages: 3, max: 2 }
    );
}

#[test]
fn more_text_than_is_read_is_told() {
    let pages = vec![column(72.0, 700.0, &["twelve chars"]); 3];
    let source = bytes(document(&pages, false));
    let with = |page, document| extract_within(&source, &ExtractOptions::default(), Limits { page, document });
    assert!(with(20, 36).unwrap().warnings.is_empty());
    assert_eq!(with(20, 35).unwrap_err(), ContentError::TooMuchText { max: 35 });
    assert_eq!(with(20, 24).unwrap_err(), ContentError::TooMuchText { max: 24 });
    let cut = with(6, 100).unwrap();
    assert_eq!(cut.warnings, [Warning::PagesCut { pages: vec![1, 2, 3] }]);
    assert!(cut.text.contains("twelve") && !cut.text.contains("chars"), "{}", cut.text);
}

fn encrypted(user_password: &str) -> Vec<u8> {
    let mut doc = document(&[column(72.0, 700.0, &["A secret of millers."])], false);
    let state = EncryptionState::try_from(EncryptionVersion::V2 {
        document: &doc,
        owner_password: "owner",
        user_password,
        key_length: 128,
        permissions: Permissions::all(),
    })
    .unwrap();
    doc.encrypt(&state).unwrap();
    bytes(doc)
}

#[test]
fn an_empty_user_password_opens_and_another_does_not() {
    let doc = read_any(&encrypted(""), &ExtractOptions::default()).unwrap();
    assert_eq!(doc.text, "A secret of millers.");
    assert_eq!(doc.metadata.author.as_deref(), Some("Jane Miller"));
    assert_eq!(read_any(&encrypted("geheim"), &ExtractOptions::default()).unwrap_err(), ContentError::PdfPassword);
}

#[test]
fn a_header_alone_is_damaged() {
    let error = read_any(b"%PDF-1.7\nnothing else", &ExtractOptions::default()).unwrap_err();
    assert_eq!(error.code(), "pdf-damaged");
}

fn sample() -> Vec<u8> {
    let mut page = vec![mark(72.0, 760.0, 20.0, "Mühle")];
    page.extend(column(72.0, 700.0, &["Some text of the page with fi ligature and é.", "• item", "and so on"]));
    bytes(document(&[page.clone(), page], true))
}

/// What holds for whatever came out.
fn check(result: Result<Extracted, ContentError>) -> Result<(), TestCaseError> {
    let Ok(doc) = result else { return Ok(()) };
    let chars = doc.text.chars().count();
    let mut last = 0;
    for block in &doc.blocks {
        prop_assert!(last <= block.start && block.start < block.end && block.end <= chars);
        last = block.end;
    }
    prop_assert_eq!(crate::tests::dirt(&doc), Vec::<String>::new());
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn what_the_information_dictionary_says_is_clean(title in prop::collection::vec(any::<u8>(), 0..40), author in "[\\x00-\\x9f]{0,12}") {
        let mut doc = document(&[column(72.0, 700.0, &["A page with text."])], false);
        let wide = [0xfe, 0xff].into_iter().chain(author.encode_utf16().flat_map(u16::to_be_bytes)).collect();
        let info = doc.add_object(dictionary! {
            "Title" => Object::string_literal(title), "Author" => Object::String(wide, lopdf::StringFormat::Hexadecimal),
        });
        doc.trailer.set("Info", info);
        check(read_any(&bytes(doc), &ExtractOptions::default()))?;
    }

    #[test]
    fn a_cut_pdf_is_recovered_or_refused(share in 0.0_f64..1.0) {
        let whole = sample();
        let cut = (whole.len() as f64 * share) as usize;
        check(read_any(&whole[..cut], &ExtractOptions::default()))?;
    }

    #[test]
    fn flipped_bytes_do_no_harm(flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..40)) {
        let mut broken = sample();
        for (at, value) in flips {
            let at = at.index(broken.len());
            broken[at] = value;
        }
        check(read_any(&broken, &ExtractOptions::default()))?;
    }

    #[test]
    fn text_strewn_over_a_page_comes_out_once(marks in prop::collection::vec((0_u16..590, 0_u16..840, 4_u8..30, "[a-z]{1,12}"), 0..60)) {
        let page: Vec<Mark> = marks.into_iter().map(|(x, y, size, text)| mark(x.into(), y.into(), size.into(), &text)).collect();
        check(read_any(&bytes(document(&[page], false)), &ExtractOptions::default()))?;
    }
}

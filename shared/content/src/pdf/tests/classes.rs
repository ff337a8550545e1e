//! Kinds of files that readers stumble over: fonts without names for their glyphs, accents apart from their letters,
//! lines at an angle or upon one another, columns, Hebrew.

use hayro_interpret::font::StandardFont;
use lopdf::{Dictionary, Document, Object, ObjectId, Stream, dictionary};

use super::{bytes, column, kinds, mark, read};
use crate::{BlockKind, ContentError, ExtractOptions, Extracted, extract};

/// A page of 595 × 842 points with one font, `F`, and this content.
fn page(font: impl FnOnce(&mut Document) -> Dictionary, content: impl Into<Vec<u8>>) -> Extracted {
    try_page(font, content).unwrap()
}

fn try_page(
    font: impl FnOnce(&mut Document) -> Dictionary,
    content: impl Into<Vec<u8>>,
) -> Result<Extracted, ContentError> {
    let mut doc = Document::with_version("1.5");
    let font = font(&mut doc);
    let font = doc.add_object(font);
    let content = doc.add_object(Stream::new(dictionary! {}, content.into()));
    let tree = doc.new_object_id();
    let page = doc.add_object(dictionary! {
        "Type" => "Page", "Parent" => tree, "Contents" => content,
        "Resources" => dictionary! { "Font" => dictionary! { "F" => font } },
        "MediaBox" => vec![0.into(), 0.into(), 595.into(), 842.into()],
    });
    doc.objects.insert(tree, dictionary! { "Type" => "Pages", "Kids" => vec![page.into()], "Count" => 1 }.into());
    let catalog = doc.add_object(dictionary! { "Type" => "Catalog", "Pages" => tree });
    doc.trailer.set("Root", catalog);
    extract(&bytes(doc), &ExtractOptions::default())
}

fn helvetica(_: &mut Document) -> Dictionary {
    dictionary! { "Type" => "Font", "Subtype" => "Type1", "BaseFont" => "Helvetica", "Encoding" => "WinAnsiEncoding" }
}

/// A composite font with an embedded program and without a `ToUnicode` stream.
fn composite(doc: &mut Document, encoding: &str, ordering: &str) -> Dictionary {
    let (program, _) = StandardFont::Helvetica.get_font_data();
    let program =
        doc.add_object(Stream::new(dictionary! { "Subtype" => "CIDFontType0C" }, (*program).as_ref().to_vec()));
    let descriptor: ObjectId = doc.add_object(dictionary! {
        "Type" => "FontDescriptor", "FontName" => "ABCDEF+Made", "Flags" => 4, "FontFile3" => program,
    });
    let descendant = doc.add_object(dictionary! {
        "Type" => "Font", "Subtype" => "CIDFontType0", "BaseFont" => "ABCDEF+Made", "FontDescriptor" => descriptor,
        "CIDSystemInfo" => dictionary! {
            "Registry" => Object::string_literal("Adobe"), "Ordering" => Object::string_literal(ordering), "Supplement" => 4,
        },
    });
    dictionary! {
        "Type" => "Font", "Subtype" => "Type0", "BaseFont" => "ABCDEF+Made", "Encoding" => encoding,
        "DescendantFonts" => vec![descendant.into()],
    }
}

/// Shows UTF-16 code units as codes of two bytes.
fn hex(text: &str) -> String {
    text.encode_utf16().map(|unit| format!("{unit:04X}")).collect()
}

#[test]
fn an_embedded_font_with_a_predefined_cmap_is_read_through_its_collection() {
    let content = format!("BT /F 12 Tf 72 700 Td <{}> Tj ET", hex("日本語の文書"));
    let doc = page(|doc| composite(doc, "UniJIS-UTF16-H", "Japan1"), content);
    assert_eq!(doc.text, "日本語の文書");
    // Shift-JIS codes of the same words.
    let doc = page(|doc| composite(doc, "90ms-RKSJ-H", "Japan1"), "BT /F 12 Tf 72 700 Td <93FA967B8CEA> Tj ET");
    assert_eq!(doc.text, "日本語");
    // CIDs themselves, as a subset of a Korean font is written: 가 is CID 1086 of Adobe-Korea1.
    let doc = page(|doc| composite(doc, "Identity-H", "Korea1"), "BT /F 12 Tf 72 700 Td <043E043E> Tj ET");
    assert_eq!(doc.text, "가가");
}

#[test]
fn a_column_of_vertical_writing_is_a_line() {
    let content = format!(
        "BT /F 12 Tf 500 700 Td <{}> Tj ET BT /F 12 Tf 480 700 Td <{}> Tj ET",
        hex("右の行を先に読み"),
        hex("左の行を後に読む")
    );
    let doc = page(|doc| composite(doc, "UniJIS-UTF16-V", "Japan1"), content);
    assert_eq!(doc.text, "右の行を先に読み左の行を後に読む");
}

#[test]
fn codes_are_characters_where_the_unicode_map_says_identity() {
    let font = |doc: &mut Document| {
        let mut font = composite(doc, "Identity-H", "Identity");
        font.set("ToUnicode", "Identity-H");
        font
    };
    assert_eq!(page(font, format!("BT /F 12 Tf 72 700 Td <{}> Tj ET", hex("Rechnung"))).text, "Rechnung");
}

/// A bitmap font that names its glyphs by number.
fn bitmaps(doc: &mut Document, first: u8) -> Dictionary {
    let glyph = doc.add_object(Stream::new(dictionary! {}, b"600 0 d0 0 0 500 700 re f".to_vec()));
    let names: Vec<String> = (first..=126).map(|code| format!("g{}", u32::from(code) * 3)).collect();
    let procs: Dictionary = names.iter().map(|name| (name.as_str(), Object::from(glyph))).collect();
    let mut differences = vec![Object::from(i64::from(first))];
    differences.extend(names.iter().map(|name| Object::from(name.as_str())));
    dictionary! {
        "Type" => "Font", "Subtype" => "Type3", "FontBBox" => vec![0.into(), 0.into(), 600.into(), 700.into()],
        "FontMatrix" => vec![0.001.into(), 0.into(), 0.into(), 0.001.into(), 0.into(), 0.into()],
        "CharProcs" => procs, "FirstChar" => i64::from(first), "LastChar" => 126,
        "Encoding" => dictionary! { "Type" => "Encoding", "Differences" => differences },
        "Widths" => vec![Object::from(600); usize::from(127 - first)],
    }
}

#[test]
fn the_codes_of_nameless_glyphs_are_taken_if_they_make_words() {
    let words = "The greengrocer puts a sign into the window of the shop";
    let doc = page(|doc| bitmaps(doc, 32), format!("BT /F 12 Tf 72 700 Td ({words}) Tj ET"));
    assert_eq!(doc.text, words);
    let nonsense = "BT /F 12 Tf 72 700 Td (!\"#$%&'!*+,!\"#$%&\"#!*+,!\"#$%) Tj ET";
    let page = try_page(|doc| bitmaps(doc, 32), nonsense);
    assert_eq!(page.unwrap_err(), ContentError::NeedsOcr { pages: vec![1] });
}

#[test]
fn an_accent_goes_to_the_letter_below_it() {
    // As TeX sets them: the accent, back by its width, the letter.
    let content = b"BT /F 12 Tf 72 700 Td [(caf) (\xb4) 440 (e) ( na) (\xa8) 300 (i) (ve)] TJ ET".to_vec();
    assert_eq!(page(helvetica, content).text, "café naïve");
}

#[test]
fn lines_at_an_angle_are_lines() {
    let content =
        "BT /F 12 Tf 0.866 0.5 -0.5 0.866 100 100 Tm (Draft of the first) Tj 0 -14 Td (report on mills) Tj ET";
    assert_eq!(page(helvetica, content).text, "Draft of the first report on mills");
}

#[test]
fn lines_upon_one_another_are_not_mixed_up() {
    let content = "BT /F 12 Tf 72 700 Td (Digitally signed by) Tj 1 -4 Td (John Doe of the mill) Tj ET";
    let text = page(helvetica, content).text;
    assert!(text.contains("Digitally signed by") && text.contains("John Doe of the mill"), "{text}");
}

#[test]
fn leader_dots_below_a_name_leave_it_whole() {
    let dots = "3.4 0 Td (.) Tj ".repeat(40);
    let content = format!("BT /F 10 Tf 70 700 Td {dots} ET BT /F 10 Tf 72 700 Td (Algeria) Tj 60 0 Td (Benin) Tj ET");
    let text = page(helvetica, content).text;
    assert!(text.contains("Algeria") && text.contains("Benin"), "{text}");
}

#[test]
fn a_page_of_nothing_but_furniture_is_read() {
    let header =
        "/Artifact << /Type /Pagination /Subtype /Header >> BDC BT /F 10 Tf 72 800 Td (Annals of Milling) Tj ET EMC ";
    assert_eq!(page(helvetica, header).text, "Annals of Milling");
    let body = "BT /F 10 Tf 72 700 Td (The wheel turns.) Tj ET";
    assert_eq!(page(helvetica, format!("{header}{body}")).text, "The wheel turns.");
}

#[test]
fn letters_of_a_font_that_stands_in_have_the_width_of_the_missing_one() {
    // Every letter of the missing font is half an em wide; those of the font in its place are not.
    let font = |_: &mut Document| {
        dictionary! {
            "Type" => "Font", "Subtype" => "TrueType", "BaseFont" => "LetterGothic", "Encoding" => "WinAnsiEncoding",
            "FirstChar" => 32, "LastChar" => 126, "Widths" => vec![Object::from(500); 95],
        }
    };
    let words = "Film 239 min WOMEN illustrated MAMMA";
    assert_eq!(page(font, format!("BT /F 10 Tf 72 700 Td ({words}) Tj ET")).text, words);
}

#[test]
fn what_is_drawn_twice_is_read_once_but_narrow_letters_are_not() {
    let bold = "BT /F 10 Tf 72 700 Td (still) Tj 0.3 0 Td (still) Tj ET";
    assert_eq!(page(helvetica, bold).text, "still");
    let font = |_: &mut Document| {
        dictionary! {
            "Type" => "Font", "Subtype" => "TrueType", "BaseFont" => "Narrow", "Encoding" => "WinAnsiEncoding",
            "FirstChar" => 32, "LastChar" => 126, "Widths" => vec![Object::from(100); 95],
        }
    };
    assert_eq!(page(font, "BT /F 10 Tf 72 700 Td (alllla) Tj ET").text, "alllla");
}

#[test]
fn columns_above_a_page_of_prose_are_columns() {
    let verse = |label: &str| -> Vec<String> {
        ["rides so late through night", "it is the father", "he has the boy well", "he holds him safe and warm"]
            .map(|line| format!("{label} {line}"))
            .to_vec()
    };
    let (left, right) = (verse("one"), verse("two"));
    let prose = [
        "Argan, alone in his room, sits at a table and counts the bills of his apothecary with tokens",
        "and speaks to himself while he does so, three and two make five and five make ten, and ten",
    ]
    .repeat(8);
    let mut marks = Vec::new();
    for (lines, x) in [(&left, 72.0), (&right, 310.0)] {
        marks.extend(column(x, 760.0, &lines.iter().map(String::as_str).collect::<Vec<_>>()));
    }
    marks.extend(column(72.0, 680.0, &prose));
    let text = read(&[marks]).text;
    let expected = format!("{} {}\n\nArgan,", left.join(" "), right.join(" "));
    assert!(text.starts_with(&expected), "{text}");
}

#[test]
fn numbers_along_an_axis_stay_apart() {
    let labels: String = (10..24)
        .map(|number| format!("BT /F 9 Tf {} 700 Td ({number}) Tj ET ", 72.0 + 11.2 * f64::from(number)))
        .collect();
    let expected: Vec<String> = (10..24).map(|number| number.to_string()).collect();
    assert_eq!(page(helvetica, labels).text, expected.join(" "));
}

#[test]
fn three_columns_of_text_are_no_table() {
    let words = [
        "the wheel of the mill",
        "turns in the brook as",
        "long as water comes",
        "and the stones grind",
        "what farmers bring in",
        "before the frost is here",
    ];
    let lines = |label: &str| words.map(|line| format!("{label} {line}"));
    let (left, middle, right) = (lines("left"), lines("middle"), lines("right"));
    let place = |x: f32, top: f32, lines: &[String]| {
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        column(x, top, &lines)
    };
    let mut marks = place(50.0, 700.0, &left);
    // The baselines of the columns need not agree.
    marks.extend(place(190.0, 698.5, &middle));
    marks.extend(place(340.0, 700.0, &right));
    let text = read(&[marks]).text;
    // No sentence ends: the paragraph goes on from column to column.
    assert_eq!(text, [left.join(" "), middle.join(" "), right.join(" ")].join(" "));
}

#[test]
fn rules_between_groups_of_rows_do_not_join_the_rows() {
    let mut content = String::new();
    for row in 0..12 {
        let y = 700 - 14 * row;
        if row % 3 == 0 {
            content.push_str(&format!("70 {} m 400 {} l S ", y + 11, y + 11));
        }
        for (x, cell) in [(72, format!("State {row}")), (200, (100 + row).to_string()), (300, (200 + row).to_string())]
        {
            content.push_str(&format!("BT /F 10 Tf {x} {y} Td ({cell}) Tj ET "));
        }
    }
    content.push_str("70 540 m 400 540 l S");
    let doc = page(helvetica, content);
    let (kind, table) = kinds(&doc).remove(0);
    assert_eq!(kind, BlockKind::Table);
    assert!(table.contains("| State 4 | 104 | 204 |") && table.contains("| State 11 | 111 | 211 |"), "{table}");
}

/// Helvetica with Hebrew letters from code 224 on, as Windows-1255 has them.
fn hebrew(_: &mut Document) -> Dictionary {
    let mut differences = vec![Object::from(224)];
    differences.extend((0..27).map(|offset| Object::from(format!("afii{}", 57_664 + offset).as_str())));
    dictionary! {
        "Type" => "Font", "Subtype" => "Type1", "BaseFont" => "Helvetica",
        "FirstChar" => 32, "LastChar" => 255, "Widths" => vec![Object::from(500); 224],
        "Encoding" => dictionary! { "Type" => "Encoding", "BaseEncoding" => "WinAnsiEncoding", "Differences" => differences },
    }
}

/// A line as it is drawn, from left to right; all letters are half an em wide.
fn drawn(right: i32, y: i32, logical: &str) -> Vec<u8> {
    let (encoded, _, _) = encoding_rs::WINDOWS_1255.encode(logical);
    let visual: Vec<u8> = encoded.iter().rev().copied().collect();
    let x = right - 5 * i32::try_from(visual.len()).unwrap();
    let mut out = format!("BT /F 10 Tf {x} {y} Td (").into_bytes();
    out.extend(visual);
    out.extend(b") Tj ET ");
    out
}

#[test]
fn hebrew_columns_are_read_from_the_right() {
    let right = [
        "הגלגל של הטחנה מסתובב",
        "כל עוד יש מים בנחל",
        "והאבנים טוחנות את מה",
        "שהאיכרים מביאים אליה",
        "לפני בוא הכפור והקרח",
    ];
    let left =
        ["הטוחן ישן רק שעות", "אחדות בימי הקציר כי", "העגלות עומדות בתור", "לפני השער מן הבוקר", "ועד הערב בלי הפסקה"];
    let mut content = Vec::new();
    for (row, (r, l)) in (0..).zip(right.iter().zip(&left)) {
        content.extend(drawn(440, 700 - 12 * row, r));
        content.extend(drawn(220, 700 - 12 * row, l));
    }
    assert_eq!(page(hebrew, content).text, format!("{}\n\n{}", right.join(" "), left.join(" ")));
}

#[test]
fn a_short_line_of_marks_is_read_like_any_other() {
    // No width, no size, no text: nothing to lay out, nothing to fall over.
    let text = read(&[vec![mark(72.0, 700.0, 10.0, "a"), mark(72.0, 688.0, 10.0, "´")]]).text;
    assert!(text.starts_with('a'), "{text}");
}

//! Whatever the bytes: an answer, never a panic, and offsets that hold.

use proptest::prelude::*;

use super::*;

/// Every string in a value that holds a control character; line feeds and tabs are allowed in texts of several lines.
pub(crate) fn dirt(value: &impl serde::Serialize) -> Vec<String> {
    let mut found = Vec::new();
    search("", &serde_json::to_value(value).unwrap(), &mut found);
    found
}

fn search(name: &str, value: &serde_json::Value, found: &mut Vec<String>) {
    let long = matches!(name, "text" | "summary_html" | "content_html");
    match value {
        serde_json::Value::String(text)
            if text.chars().any(|c| c.is_control() && !(long && matches!(c, '\n' | '\t'))) =>
        {
            found.push(format!("{name}: {text:?}"));
        }
        serde_json::Value::Array(values) => values.iter().for_each(|value| search(name, value, found)),
        serde_json::Value::Object(fields) => fields.iter().for_each(|(name, value)| search(name, value, found)),
        _ => {}
    }
}

fn check(bytes: &[u8], options: &ExtractOptions) -> Result<(), TestCaseError> {
    let Ok(doc) = extract(bytes, options) else { return Ok(()) };
    let chars: Vec<char> = doc.text.chars().collect();
    let mut last = 0;
    for block in &doc.blocks {
        prop_assert!(last <= block.start && block.start < block.end && block.end <= chars.len());
        last = block.end;
    }
    prop_assert_eq!(dirt(&doc), Vec::<String>::new());
    for chunk in chunk(&doc, &ChunkOptions { max_tokens: 32, overlap_tokens: 8 }) {
        prop_assert_eq!(chars[chunk.start..chunk.end].iter().collect::<String>(), chunk.text);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn random_bytes_are_answered(bytes in prop::collection::vec(any::<u8>(), 0..600), name in prop_oneof![Just("a.md"), Just("a.html"), Just("a.txt"), Just("a.pdf"), Just("a.csv"), Just("a.json"), Just("a.eml")]) {
        check(&bytes, &ExtractOptions { file_name: Some(name.into()), ..ExtractOptions::default() })?;
    }

    #[test]
    fn random_markup_is_answered(parts in prop::collection::vec(prop_oneof![
        Just("<table>"), Just("<tr><td>"), Just("</table>"), Just("<ul><li>"), Just("</ul>"), Just("<pre>"), Just("</h1>"), Just("<h3>"),
        Just("# "), Just("- "), Just("1. "), Just("```\n"), Just("| a | b |\n|---|---|\n"), Just("\n\n"), Just("word é 日本 "), Just("---\n"),
    ], 0..60), name in prop_oneof![Just("a.md"), Just("a.html"), Just("a.txt")]) {
        check(parts.concat().as_bytes(), &ExtractOptions { file_name: Some(name.into()), ..ExtractOptions::default() })?;
    }
}

/// What the parts of office documents and books are made of, whole and broken.
const PIECES: [&str; 64] = [
    "<p>",
    "</p>",
    "<r>",
    "</r>",
    "<t>word</t>",
    "<t>\u{1}é日本</t>",
    "<tbl>",
    "</tbl>",
    "<tr>",
    "</tr>",
    "<tc>",
    "</tc>",
    "<gridSpan val='3'/>",
    "<gridSpan val='999999999'/>",
    "<pStyle val='H'/>",
    "<numId val='2'/>",
    "<ilvl val='9'/>",
    "<br/>",
    "<tab/>",
    "<txbxContent>",
    "</txbxContent>",
    "<footnoteReference id='1'/>",
    "<del>",
    "</del>",
    "<sp>",
    "</sp>",
    "<ph type='title'/>",
    "<ph/>",
    "<pPr lvl='255'/>",
    "<buAutoNum/>",
    "<chart id='r1'/>",
    "<row r='7'>",
    "<row r='18446744073709551615'>",
    "<row>",
    "</row>",
    "<c r='XFD1' t='s'>",
    "<c s='1'>",
    "<c r='A1' t='inlineStr'>",
    "</c>",
    "<v>1</v>",
    "<v>-1e300</v>",
    "<v>99999</v>",
    "<is>",
    "</is>",
    "</sheetData>",
    "<h outline-level='200'>",
    "</h>",
    "<list style-name='L'>",
    "</list>",
    "<list-item>",
    "</list-item>",
    "<s c='99999999999'/>",
    "<s c='3'/>",
    "<table>",
    "</table>",
    "<table-row>",
    "<table-cell number-columns-repeated='9'>",
    "</table-cell>",
    "<note>",
    "</note>",
    "&amp;&#1;&bad;",
    "<![CDATA[<x>]]>",
    "<!-- -->",
    "<",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn parts_of_any_make_are_answered(pieces in prop::collection::vec(prop::sample::select(&PIECES[..]), 0..80), close in any::<bool>()) {
        let part = pieces.concat();
        let (body, sheet, slide) = if close {
            (format!("<document><body>{part}</body></document>"), format!("<worksheet><sheetData>{part}</sheetData></worksheet>"), format!("<sld>{part}</sld>"))
        } else {
            (format!("<body>{part}"), part.clone(), part.clone())
        };
        let styles = "<styles><style styleId='H'><name val='heading 1'/></style><numFmts><numFmt numFmtId='99' formatCode='yyyy'/></numFmts><cellXfs><xf numFmtId='0'/><xf numFmtId='99'/></cellXfs></styles>";
        let relations = "<r><x Id='r1' Type='x/slide' Target='a.xml'/></r>";
        let sheets = "<b><sheets><sheet name='S' id='r1'/></sheets><sldIdLst><sldId id='r1'/></sldIdLst></b>";
        let spine = "<p><manifest><item id='a' href='a.xml' media-type='text/html'/></manifest><spine><itemref idref='a'/></spine></p>";
        let numbers = "<n><abstractNum abstractNumId='1'><lvl ilvl='0'><numFmt val='upperRoman'/><lvlText val='%1%9.'/><start val='4294967295'/></lvl></abstractNum><num numId='2'><abstractNumId val='1'/></num></n>";
        for parts in [
            vec![("word/document.xml", body.as_str()), ("word/styles.xml", styles), ("word/numbering.xml", numbers), ("word/footnotes.xml", &body), ("docProps/core.xml", &body)],
            vec![("xl/workbook.xml", sheets), ("xl/_rels/workbook.xml.rels", relations), ("xl/a.xml", &sheet), ("xl/styles.xml", styles), ("xl/sharedStrings.xml", &body)],
            vec![("ppt/presentation.xml", sheets), ("ppt/_rels/presentation.xml.rels", relations), ("ppt/a.xml", &slide), ("ppt/_rels/a.xml.rels", relations)],
            vec![("mimetype", "application/vnd.oasis.opendocument.text"), ("content.xml", &body), ("meta.xml", &part), ("styles.xml", &part)],
            vec![("mimetype", "application/epub+zip"), ("a.opf", spine), ("a.xml", &body), ("META-INF/encryption.xml", &part)],
            vec![("[Content_Types].xml", &part), ("word/document.xml", &part), ("_rels/.rels", &part)],
        ] {
            check(&container::tests::archive(&parts), &ExtractOptions::default())?;
        }
    }

    #[test]
    fn archives_that_break_anywhere_are_answered(cut in 0_usize..400, flip in 0_usize..400, bit in 0_u8..8) {
        let mut bytes = container::tests::archive(&[("word/document.xml", "<document><body><p><r><t>Some text in a paragraph.</t></r></p></body></document>")]);
        let flip = flip.min(bytes.len() - 1);
        bytes[flip] ^= 1 << bit;
        check(&bytes, &ExtractOptions::default())?;
        bytes.truncate(cut.max(4));
        check(&bytes, &ExtractOptions::default())?;
    }

    #[test]
    fn light_formats_of_any_make_are_answered(pieces in prop::collection::vec(prop_oneof![
        Just("{"), Just("}"), Just("["), Just("]"), Just("\"a\""), Just(":"), Just(","), Just("1e999"), Just("\"\\u0000\\ud800\""), Just("null"), Just("\n"), Just("\r\n"),
        Just(";"), Just("\t"), Just("\"\""), Just("From: a@b"), Just("Subject: =?utf-8?b?AAEC?="), Just("MIME-Version: 1.0"), Just("Content-Type: multipart/mixed; boundary=a"),
        Just("Content-Type: message/rfc822"), Just("--a"), Just("--a--"), Just("Content-Disposition: attachment; filename=\"\u{1}x\""), Just("Content-Transfer-Encoding: base64"), Just("été 日本"),
    ], 0..80), name in prop_oneof![Just("a.csv"), Just("a.json"), Just("a.eml"), Just("a")]) {
        check(pieces.concat().as_bytes(), &ExtractOptions { file_name: Some(name.into()), ..ExtractOptions::default() })?;
    }
}

#[test]
fn a_file_that_lies_about_its_type_is_named_for_what_it_is() {
    let options = ExtractOptions {
        declared: Some("application/pdf".into()),
        file_name: Some("scan.pdf".into()),
        ..ExtractOptions::default()
    };
    let error = extract(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01", &options).unwrap_err();
    assert_eq!(error, ContentError::UnsupportedMedia { found: "image/png".into() });
}

/// Words with control characters in them: as they are, by a reference of HTML and XML, and by an escape of JSON.
fn dirty_word() -> impl Strategy<Value = String> {
    let control = prop_oneof![0_u32..0x20, 0x7f_u32..0xa0].prop_filter_map("no character", char::from_u32);
    let piece = prop_oneof![
        Just("mill".to_owned()),
        Just("/".to_owned()),
        control.clone().prop_map(String::from),
        control.clone().prop_map(|c| format!("&#{};", u32::from(c))),
        control.prop_map(|c| format!("\\u{:04x}", u32::from(c))),
    ];
    prop::collection::vec(piece, 1..5).prop_map(|pieces| pieces.concat())
}

const FILLER: &str =
    "Enough ordinary words about mills, millers and meal that a few stray bytes do not make it binary. ";

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn no_control_character_leaves_by_a_document(words in prop::collection::vec(dirty_word(), 6)) {
        let [a, b, c, d, e, f] = words.as_slice() else { unreachable!("six were asked for") };
        let filler = FILLER.repeat(40);
        let sources = [
            ("a.txt", format!("{a} {b}\n\n{filler}{c}")),
            ("a.md", format!("---\ntitle: {a}\nauthor: {b}\nlang: {c}\ncanonical: https://mill.test/{d}\n---\n# {e}\n\n- {f}\n\n{filler}")),
            ("a.md", format!("# {e}\n\n| {a} | {b} |\n|---|---|\n| {c} | {d} |\n\n```\n{f}\n```\n\n{filler}")),
            ("a.html", format!(
                "<html lang='{f}'><head><title>{a}</title><meta name=author content=\"{b}\"><meta property='og:title' content=\"{c}\">
                 <link rel=canonical href=\"https://mill.test/{d}\"></head><body><article><h1>{e}</h1><p>{filler}{f}</p><pre>{a}</pre></article></body></html>"
            )),
        ];
        for (name, source) in sources {
            let options = ExtractOptions { file_name: Some(name.into()), ..ExtractOptions::default() };
            match extract(source.as_bytes(), &options) {
                Ok(doc) => {
                    prop_assert_eq!(dirt(&doc), Vec::<String>::new(), "{}", name);
                    prop_assert_eq!(dirt(&chunk(&doc, &ChunkOptions::default()).iter().map(|c| &c.heading_path).collect::<Vec<_>>()), Vec::<String>::new());
                }
                Err(error) => prop_assert_eq!(dirt(&error), Vec::<String>::new()),
            }
        }
    }

    #[test]
    fn no_control_character_leaves_by_a_feed(words in prop::collection::vec(dirty_word(), 8)) {
        let [a, b, c, d, e, f, g, h] = words.as_slice() else { unreachable!("eight were asked for") };
        let sources = [
            format!(
                "<rss version='2.0'><channel><title>{a}</title><link>https://mill.test/{b}</link><description>{c}</description><language>{d}</language>
                 <item><guid>{e}</guid><title>{f}</title><link>https://mill.test/{g}</link><author>{h}</author><description>{a}</description>
                 <enclosure url='https://mill.test/{b}' type='{c}' length='1'/></item></channel></rss>"
            ),
            format!(
                "<feed xmlns='http://www.w3.org/2005/Atom'><title>{a}</title><id>{b}</id><entry><id>{c}</id><title type='html'>{d}</title>
                 <author><name>{e}</name></author><link href='{f}'/><summary>{g}</summary><content type='html'>{h}</content></entry></feed>"
            ),
            format!(
                r#"{{"version":"https://jsonfeed.org/version/1.1","title":"{a}","description":"{b}","items":[{{"id":"{c}","url":"https://mill.test/{d}",
                "title":"{e}","content_html":"{f}","summary":"{g}","authors":[{{"name":"{h}"}}],"attachments":[{{"url":"https://mill.test/{a}","mime_type":"{b}"}}]}}]}}"#
            ),
        ];
        let url = "https://mill.test/feed".parse().unwrap();
        for source in sources {
            match parse_feed(source.as_bytes(), None, &url) {
                Ok(feed) => {
                    prop_assert_eq!(dirt(&feed), Vec::<String>::new());
                    prop_assert!(feed.entries.iter().all(|entry| !entry.id.is_empty()));
                }
                Err(error) => prop_assert_eq!(dirt(&error), Vec::<String>::new()),
            }
        }
    }
}

#[test]
fn what_json_escapes_is_cleaned_too() {
    let source = r#"{"version":"https://jsonfeed.org/version/1.1","title":"A\u0000 feed","items":[{"id":"a\u0000b","title":"T\u0001\u001b","content_html":"<p>x\u0000</p>"},{"id":"\u0000","url":"https://mill.test/1"}]}"#;
    let feed = parse_feed(source.as_bytes(), None, &"https://mill.test/feed".parse().unwrap()).unwrap();
    assert_eq!(feed.title.as_deref(), Some("A feed"));
    let [first, second] = feed.entries.as_slice() else { panic!("{feed:?}") };
    assert_eq!((first.id.as_str(), first.title.as_deref()), ("ab", Some("T")));
    assert_eq!(first.content_html.as_deref(), Some("<p>x</p>"));
    assert_eq!(second.id, "https://mill.test/1");
}

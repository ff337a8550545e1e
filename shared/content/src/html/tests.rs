//! Pages as they occur: clean, cluttered, thin, and broken.

use super::*;
use crate::extract as read_any;

fn page(source: &str) -> Extracted {
    let options =
        ExtractOptions { base_url: Some("https://news.test/a/b".parse().unwrap()), ..ExtractOptions::default() };
    read_any(source.as_bytes(), &options).unwrap()
}

const PARAGRAPH: &str = "The town council voted on Tuesday to restore the old mill, which has stood empty for forty \
years; work on the wheel, the race and the roof is to begin in spring, and the first flour is promised for the autumn.";

#[test]
fn the_article_is_kept_and_its_surroundings_are_not() {
    let doc = page(&format!(
        "<!doctype html><html lang='en-GB'><head><title>Old mill to grind again | The News</title>
         <meta property='og:title' content='Old mill to grind again'><meta name='author' content='Jane Miller'>
         <meta property='article:published_time' content='2026-03-01T08:00:00+01:00'><link rel='canonical' href='/mill'></head>
         <body><nav><a href='/'>Home</a> <a href='/s'>Sport</a></nav><article><h1>Old mill to grind again</h1><p>{PARAGRAPH}</p>
         <h2>Costs</h2><p>{PARAGRAPH}</p><ul><li>roof <b>and</b> wheel</li><li>race</li></ul>
         <table><tr><th>Part</th><th>Cost</th></tr><tr><td>Wheel</td><td>10</td></tr></table><pre>a\n  b</pre><p>{PARAGRAPH}</p></article>
         <footer>Cookie settings</footer><script>var x = 'tracking';</script></body></html>"
    ));
    assert!(!doc.text.contains("Sport") && !doc.text.contains("Cookie") && !doc.text.contains("tracking"));
    assert!(doc.text.starts_with("Old mill to grind again\n\nThe town council"), "{}", doc.text);
    assert!(doc.text.contains("- roof and wheel\n- race\n"), "{}", doc.text);
    assert!(doc.text.contains("| Part | Cost |\n| --- | --- |\n| Wheel | 10 |"), "{}", doc.text);
    assert!(doc.text.contains("a\n  b"));
    let title = doc.blocks.first().unwrap();
    assert!(matches!(title.kind, BlockKind::Heading { level: 1 | 2 }));
    assert_eq!(doc.metadata.author.as_deref(), Some("Jane Miller"));
    assert_eq!(doc.metadata.created.unwrap().to_rfc3339(), "2026-03-01T07:00:00+00:00");
    assert_eq!(doc.metadata.canonical_url.as_deref(), Some("https://news.test/mill"));
    assert_eq!(doc.metadata.language.as_deref(), Some("en"));
    assert!(doc.warnings.is_empty());
}

#[test]
fn a_page_without_article_gives_its_visible_text() {
    let doc = page(
        "<html><body><header>Logo</header><div>Opening hours</div><div>Mon–Fri 9–17</div><footer>©</footer></body></html>",
    );
    assert!(doc.text.contains("Opening hours") && doc.text.contains("9–17"), "{}", doc.text);
}

#[test]
fn an_empty_page_is_no_document() {
    for source in
        ["<html><body><script>app()</script><div id=root></div></body></html>", "<!doctype html><title>T</title>"]
    {
        let error = read_any(source.as_bytes(), &ExtractOptions::default()).unwrap_err();
        assert_eq!(error, ContentError::EmptyDocument);
    }
}

#[test]
fn the_charset_of_the_meta_element_is_obeyed() {
    let source = format!(
        "<html><head><meta charset=\"shift_jis\"><title>粉挽き</title></head><body><p>{}</p></body></html>",
        "水車小屋で粉を挽く。".repeat(30)
    );
    let (bytes, _, _) = encoding_rs::SHIFT_JIS.encode(&source);
    let doc = read_any(&bytes, &ExtractOptions::default()).unwrap();
    assert!(doc.text.contains("水車小屋で粉を挽く。"));
    assert_eq!(doc.metadata.title.as_deref(), Some("粉挽き"));
    assert_eq!(doc.metadata.language.as_deref(), Some("ja"));
}

#[test]
fn nesting_without_end_neither_overflows_the_stack_nor_takes_for_ever() {
    let nested = |depth: usize| {
        format!("<html><body>{}deep text{}</body></html>", "<div>".repeat(depth), "</div>".repeat(depth))
    };
    assert!(page(&nested(2_000)).text.contains("deep text"));
    let error = read_any(nested(60_000).as_bytes(), &ExtractOptions::default()).unwrap_err();
    assert_eq!(error.code(), "document-damaged");
}

#[test]
fn formatting_left_open_does_not_multiply_the_tree() {
    let open: String = (0..400).map(|i| format!("<b a={i}>")).collect();
    let doc = page(&format!("<p>{open}start{}", "<p>x".repeat(100)));
    assert!(doc.text.starts_with("start"));
    // 400 elements in each of 100,000 paragraphs: 40 million nodes out of half a megabyte.
    let source = format!("<p>{open}{}", "<p>x".repeat(100_000));
    let started = std::time::Instant::now();
    let error = read_any(source.as_bytes(), &ExtractOptions::default()).unwrap_err();
    assert_eq!(error.code(), "too-many-elements");
    // The same by the attributes of one element.
    let attributes: String = (0..4_000).map(|i| format!(" a{i}=1")).collect();
    let source = format!("<p><b{attributes}>{}", "<p>x".repeat(100_000));
    let error = read_any(source.as_bytes(), &ExtractOptions::default()).unwrap_err();
    assert_eq!(error.code(), "too-many-elements");
    assert!(started.elapsed().as_secs() < 60, "{:?}", started.elapsed());
}

#[test]
fn a_ragged_table_is_no_longer_than_its_cells() {
    let source = format!("<table><tr>{}{}</table>", "<td>a".repeat(20_000), "<tr><td>b".repeat(20_000));
    let doc = page(&source);
    assert!(doc.text.len() < 4 * source.len(), "{} bytes out of {}", doc.text.len(), source.len());
}

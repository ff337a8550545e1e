//! Pages as they occur: clean, cluttered, thin, and broken.

use super::*;
use crate::extract as read_any;

fn page(source: &str) -> Extracted {
    let options =
        ExtractOptions { base_url: Some("https://news.test/a/b".parse().unwrap()), ..ExtractOptions::default() };
    read_any(source.as_bytes(), &options).unwrap()
}

/// Every one of these phrases is in the text.
#[track_caller]
fn holds(doc: &Extracted, phrases: &[&str]) {
    for phrase in phrases {
        assert!(doc.text.contains(phrase), "without {phrase:?}:\n{}", doc.text);
    }
}

/// None of these phrases is in the text.
#[track_caller]
fn lacks(doc: &Extracted, phrases: &[&str]) {
    for phrase in phrases {
        assert!(!doc.text.contains(phrase), "with {phrase:?}:\n{}", doc.text);
    }
}

/// The text of the first block of a kind.
fn first(doc: &Extracted, kind: BlockKind) -> (String, Option<&str>) {
    let block = doc.blocks.iter().find(|block| block.kind == kind).unwrap();
    (doc.text.chars().skip(block.start).take(block.end - block.start).collect(), block.language.as_deref())
}

const PARAGRAPH: &str = "The town council voted on Tuesday to restore the old mill, which has stood empty for forty \
years; work on the wheel, the race and the roof is to begin in spring, and the first flour is promised for the autumn.";

#[test]
fn the_article_is_kept_and_its_surroundings_are_not() {
    let doc = page(include_str!("pages/article.html"));
    holds(&doc, &["The town council voted", "The roof alone will take", "can do so in the library until then."]);
    lacks(
        &doc,
        &[
            "Sport",
            "store cookies",
            "Accept all",
            "Tweet",
            "Bridge closed",
            "About time!",
            "Storm warning",
            "newsletter",
        ],
    );
    lacks(&doc, &["All rights reserved", "Privacy policy", "tracking", "display: none"]);
    assert!(doc.text.starts_with("Old mill to grind again\n\n"), "{}", doc.text);
    assert!(doc.warnings.is_empty());
}

#[test]
fn the_parts_of_an_article_keep_their_kinds() {
    let doc = page(include_str!("pages/article.html"));
    assert_eq!(first(&doc, BlockKind::Heading { level: 1 }).0, "Old mill to grind again");
    assert_eq!(first(&doc, BlockKind::Heading { level: 2 }).0, "What it will cost");
    assert_eq!(first(&doc, BlockKind::Quote).0, "A mill that stands still is a house with too many stairs.");
    holds(
        &doc,
        &["1. the water rights must be renewed,\n2. the race must be dug out,\n3. and a miller must be found."],
    );
    let table = "| Part | Cost |\n| --- | --- |\n| Roof | 120,000 |\n| Wheel and race | 95,000 |";
    assert_eq!(first(&doc, BlockKind::Table).0, table);
}

#[test]
fn a_page_says_who_wrote_it_when_and_where_it_belongs() {
    let Metadata { title, author, created, language, page_count, canonical_url } =
        page(include_str!("pages/article.html")).metadata;
    assert_eq!(title.as_deref(), Some("Old mill to grind again"));
    assert_eq!(author.as_deref(), Some("Jane Miller"));
    assert_eq!(created.unwrap().to_rfc3339(), "2026-03-01T07:00:00+00:00");
    assert_eq!(language.as_deref(), Some("en"));
    assert_eq!(page_count, None);
    assert_eq!(canonical_url.as_deref(), Some("https://news.test/2026/03/01/old-mill"));
}

#[test]
fn a_thread_keeps_all_of_its_posts() {
    let doc = page(include_str!("pages/forum.html"));
    holds(
        &doc,
        &["begins to squeal after about an hour", "Look at the water first.", "running for five hours without a sound"],
    );
    lacks(&doc, &["Log in", "Greasing iron gudgeons", "Privacy policy", "Forum software"]);
    assert_eq!(doc.metadata.title.as_deref(), Some("Bearing squeals after an hour"));
    assert_eq!(doc.metadata.created.unwrap().to_rfc3339(), "2025-11-02T10:00:00+00:00");
}

#[test]
fn documentation_keeps_its_code_and_loses_its_navigation() {
    let doc = page(include_str!("pages/documentation.html"));
    holds(
        &doc,
        &["A job that fails is tried again", "is kept for two weeks", "| --attempts | how often a job is tried |"],
    );
    lacks(&doc, &["Getting started", "Frequently asked", "Next: Cancelling", "Copyright"]);
    let rust = "fn policy() -> Policy {\n    Policy::attempts(5).at_most(minutes(1))\n}";
    assert_eq!(first(&doc, BlockKind::Code), (rust.to_owned(), Some("rust")));
    let shell = doc.blocks.iter().filter(|block| block.kind == BlockKind::Code).nth(1).unwrap();
    assert_eq!(shell.language.as_deref(), Some("sh"));
    assert_eq!(doc.metadata.title.as_deref(), Some("Retrying a job"));
}

#[test]
fn a_product_keeps_its_description_and_not_its_neighbours() {
    let doc = page(include_str!("pages/product.html"));
    holds(&doc, &["Two stones of solid granite", "The stones never touch", "granite, forged steel, beech"]);
    lacks(&doc, &["Flour sieve, fine", "Shipping and returns", "Subscribe to our newsletter"]);
    assert_eq!(doc.metadata.title.as_deref(), Some("Hand mill \"Granite\" with steel handle"));
}

#[test]
fn a_listing_keeps_all_of_its_items() {
    let doc = page(include_str!("pages/listing.html"));
    holds(
        &doc,
        &[
            "Courses for millers",
            "how to read a worn stone",
            "weirs, rights and neighbours",
            "tempering and grinding wheat",
        ],
    );
    holds(&doc, &["Cogs, wedges and mortises", "Dressing stones", "From grain to loaf"]);
    lacks(&doc, &["About us", "registered charity"]);
}

#[test]
fn what_only_json_ld_says_is_read_where_nothing_else_is_there() {
    let body = format!("{PARAGRAPH} {PARAGRAPH}");
    let doc = page(&format!(
        "<title>Mill</title><script type='application/ld+json'>{{\"@type\": \"NewsArticle\", \"articleBody\": \"{body}\"}}</script>
         <div id=app>Loading…</div><script>app()</script>"
    ));
    holds(&doc, &[PARAGRAPH]);
    assert_eq!(doc.warnings, [Warning::MainContentUnclear]);
}

#[test]
fn a_page_of_nothing_but_links_gives_them() {
    let doc = page("<body><nav><a href=/a>Wheels</a> <a href=/b>Stones</a></nav></body>");
    holds(&doc, &["Wheels", "Stones"]);
    assert_eq!(doc.warnings, [Warning::MainContentUnclear]);
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
fn a_charset_that_is_declared_wrongly_is_not_believed() {
    let source = format!(
        "<html><head><meta charset=iso-8859-1><title>Mühle</title></head><body><p>Größe, Übermaß, Äcker. {PARAGRAPH}</p></body></html>"
    );
    let doc = page(&source);
    holds(&doc, &["Größe, Übermaß, Äcker."]);
    assert_eq!(doc.metadata.title.as_deref(), Some("Mühle"));
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

//! Feeds as they occur: well-formed, ill-formed, and not feeds at all.

use super::*;
use proptest::prelude::*;

fn base() -> Url {
    "https://blog.test/feeds/all.xml".parse().unwrap()
}

fn read(source: &str) -> Result<Feed, FeedError> {
    parse_feed(source.as_bytes(), None, &base())
}

#[test]
fn rss_is_read_with_all_its_fields() {
    let feed = read(
        "<?xml version='1.0' encoding='utf-8'?><rss version='2.0' xmlns:content='http://purl.org/rss/1.0/modules/content/'><channel>
         <title>Mill &amp; Stone</title><link>https://blog.test/</link><description>About</description><language>en-us</language><ttl>60</ttl>
         <item><title>First</title><link>/posts/1</link><guid isPermaLink='false'>g1</guid><pubDate>Mon, 02 Mar 2026 10:00:00 GMT</pubDate>
         <description>short</description><content:encoded><![CDATA[<p>long &nbsp; text</p>]]></content:encoded>
         <enclosure url='https://cdn.test/a.mp3' length='123' type='audio/mpeg'/></item>
         <item><title>No id</title></item></channel></rss>",
    )
    .unwrap();
    assert_eq!(feed.title.as_deref(), Some("Mill & Stone"));
    assert_eq!((feed.language.as_deref(), feed.ttl_minutes), (Some("en"), Some(60)));
    let first = &feed.entries[0];
    assert_eq!((first.id.as_str(), first.url.as_deref()), ("g1", Some("https://blog.test/posts/1")));
    assert_eq!(first.published.unwrap().to_rfc3339(), "2026-03-02T10:00:00+00:00");
    assert_eq!(first.content_html.as_deref(), Some("<p>long &nbsp; text</p>"));
    assert_eq!(first.enclosures[0].length, Some(123));
    assert!(feed.entries[1].id.starts_with("sha256:"));
    assert_eq!(
        feed.entries[1].id,
        read("<rss><channel><item><title>No id</title></item></channel></rss>").unwrap().entries[0].id
    );
}

#[test]
fn atom_and_json_are_read() {
    let atom = read(
        "<feed xmlns='http://www.w3.org/2005/Atom'><title>A</title><id>urn:a</id><updated>2026-01-01T00:00:00Z</updated>
         <entry><id>urn:1</id><title>T</title><updated>2026-01-01T00:00:00Z</updated><author><name>Ann</name></author>
         <link href='../p/1'/><content type='html'>&lt;b&gt;x&lt;/b&gt;</content></entry></feed>",
    )
    .unwrap();
    assert_eq!(atom.entries[0].url.as_deref(), Some("https://blog.test/p/1"));
    assert_eq!(atom.entries[0].author.as_deref(), Some("Ann"));
    assert_eq!(atom.entries[0].content_html.as_deref(), Some("<b>x</b>"));
    let json = read(
        r#"{"version":"https://jsonfeed.org/version/1.1","title":"J","items":[{"id":"1","url":"https://blog.test/1","content_html":"<p>x</p>"}]}"#,
    )
    .unwrap();
    assert_eq!(json.entries[0].id, "1");
}

#[test]
fn ill_formed_sources_are_repaired() {
    let item = "<item><title>Caf&eacute; &nbsp;A & B\u{8}</title><link>https://x.test/?a=1&b=2</link></item>";
    let feed = read(&format!("\n junk <!-- <html> --> <rss><channel><title>t</title>{item}</channel></rss>")).unwrap();
    assert_eq!(feed.entries[0].title.as_deref(), Some("Café \u{a0}A & B"));
    assert_eq!(feed.entries[0].url.as_deref(), Some("https://x.test/?a=1&b=2"));
    let latin =
        "<?xml version='1.0' encoding='ISO-8859-1'?><rss version='2.0'><channel><title>Été</title></channel></rss>";
    let (bytes, _, _) = encoding_rs::WINDOWS_1252.encode(latin);
    assert_eq!(parse_feed(&bytes, None, &base()).unwrap().title.as_deref(), Some("Été"));
    let wide: Vec<u8> = [0xfe, 0xff].into_iter().chain(latin.encode_utf16().flat_map(u16::to_be_bytes)).collect();
    assert_eq!(parse_feed(&wide, None, &base()).unwrap().title.as_deref(), Some("Été"));
}

#[test]
fn an_empty_answer_is_doubted() {
    let old = "<feed version='0.3' xmlns='http://purl.org/atom/ns#'><title>t</title><entry><title>x</title><id>1</id></entry></feed>";
    match read(old) {
        Ok(feed) => assert_eq!(feed.entries.len(), 1),
        Err(error) => assert_eq!(error.code(), "entries-unreadable"),
    }
    assert!(read("<rss version='2.0'><channel><title>quiet</title></channel></rss>").unwrap().entries.is_empty());
}

#[test]
fn what_is_no_feed_is_named() {
    assert_eq!(read("<!doctype html><html><head><title>x</title></head></html>").unwrap_err().code(), "not-a-feed");
    assert_eq!(read("hello").unwrap_err().code(), "not-a-feed");
    assert_eq!(read("<?xml version='1.0'?><sitemap/>").unwrap_err().code(), "not-a-feed");
    assert_eq!(read("  \n").unwrap_err(), FeedError::EmptyFeed);
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = parse_feed(&bytes, None, &base());
    }

    #[test]
    fn no_cut_makes_it_panic_and_no_id_is_empty(cut in 0_usize..600) {
        let source = "<rss version='2.0'><channel><title>t</title><item><guid> </guid><title>é</title></item><item><link>/a</link></item></channel></rss>";
        let bytes = &source.as_bytes()[..cut.min(source.len())];
        if let Ok(feed) = parse_feed(bytes, Some("text/xml; charset=utf-8"), &base()) {
            prop_assert!(feed.entries.iter().all(|entry| !entry.id.is_empty()));
        }
    }
}

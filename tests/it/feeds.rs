//! Feeds, from being added to their articles being found.

use gristmill_tests::{
    site::{ALLOWED, Answer, Client, Origin, Parts, Site, eventually},
    world::Travel,
};
use reqwest::Method;
use serde_json::{Value as Json, json};

const RSS: &str = "application/rss+xml";
const CLOSES: (&str, &str, &str) = ("1", "Mill to close", "The mill at Wenbourne closes for repairs in March.");
const OPENS: (&str, &str, &str) = ("2", "Canal opens", "The canal is open to barges of six hundred tonnes again.");

fn feed(items: &[(&str, &str, &str)]) -> String {
    let item = |(guid, title, text): &(&str, &str, &str)| {
        format!(
            "<item><guid>{guid}</guid><title>{title}</title><link>https://example.org/{guid}</link>\
            <pubDate>Mon, 05 Oct 2026 08:00:00 GMT</pubDate><description><![CDATA[<p>{text}</p>]]></description></item>"
        )
    };
    let items: String = items.iter().map(item).collect();
    format!(
        r#"<?xml version="1.0"?><rss version="2.0"><channel><title>The Courier</title>
        <link>https://example.org/</link><description>News</description>{items}</channel></rss>"#
    )
}

async fn site(travel: Travel) -> Site {
    Site::with(travel, Parts::All, &[ALLOWED]).await
}

/// Adds the feed at `origin` and waits for the end of its first poll.
async fn add(client: &Client, origin: &Origin) -> (String, Json) {
    let added = client.post("/v1/feeds", &json!({ "url": origin.url })).await.is(201);
    assert_eq!(added.header("location"), format!("/v1/feeds/{}", added.id()));
    let polls = client.list(&format!("/v1/jobs?kind=feed.poll&subject={}", added.id())).await;
    assert_eq!(polls.len(), 1);
    (added.id(), client.ended(&polls[0]).await)
}

/// Polls a feed now, and waits for the end.
async fn poll(client: &Client, feed: &str) -> Json {
    let request = client.request(Method::POST, &format!("/v1/feeds/{feed}:poll")).header("prefer", "wait=30");
    Answer::to(request).await.is(200).json
}

/// The articles, once the documents of all of them are ready.
async fn articles(client: &Client, feed: &str) -> Vec<Json> {
    let articles = client.list(&format!("/v1/articles?feed={feed}")).await;
    for article in &articles {
        client.ready(&json!({ "document": { "id": article["document_id"] } })).await;
    }
    articles
}

async fn text(client: &Client, article: &Json) -> String {
    let text = client.get(&format!("/v1/documents/{}/text", article["document_id"].as_str().unwrap())).await.is(200);
    String::from_utf8(text.bytes).unwrap()
}

#[tokio::test]
async fn a_long_feed_is_kept_to_its_last_entry() {
    let site = site(Travel::Memory).await;
    let lots: Vec<(String, String, String)> = (0..450)
        .map(|lot| (format!("lot-{lot}"), format!("Lot {lot}"), format!("Lot {lot} was milled in {lot} minutes.")))
        .collect();
    let items: Vec<(&str, &str, &str)> = lots.iter().map(|(id, title, text)| (&**id, &**title, &**text)).collect();
    let origin = Origin::holding(RSS, "\"1\"", &feed(&items)).await;
    let id = site.admin.post("/v1/feeds", &json!({ "url": origin.url })).await.is(201).id();
    // The polls for the rest follow by themselves: the first is the oldest.
    let polls = site.admin.list(&format!("/v1/jobs?kind=feed.poll&subject={id}")).await;
    let first = site.admin.ended(polls.last().unwrap()).await;
    assert_eq!(first["result"], json!({ "not_modified": false, "entries": 450, "changed": 200, "more": true }));
    eventually("the last article", async || (site.count("articles").await == 450).then_some(())).await;
    // Only now is the feed known as it is.
    let again = eventually("the feed's being known", async || {
        let polled = poll(&site.admin, &id).await;
        (polled["result"]["not_modified"] == true).then_some(())
    });
    again.await;
}

#[tokio::test]
async fn entries_of_one_name_do_not_revise_one_another() {
    let site = site(Travel::Memory).await;
    let twice = [("1", "New", "The newer of two entries with one name."), ("1", "Old", "The older one.")];
    let origin = Origin::holding(RSS, "\"1\"", &feed(&twice)).await;
    let (id, first) = add(&site.admin, &origin).await;
    assert_eq!(first["result"]["changed"], 1);
    let articles = articles(&site.admin, &id).await;
    assert!(articles.len() == 1 && articles[0]["title"] == "New", "{articles:?}");
}

on_both! {
    async fn a_feed_is_polled_and_its_articles_are_found(travel: Travel) {
        let site = site(travel).await;
        let origin = Origin::holding(RSS, "\"1\"", &feed(&[CLOSES, OPENS])).await;
        let (id, job) = add(&site.admin, &origin).await;
        assert_eq!(job["result"], json!({ "not_modified": false, "entries": 2, "changed": 2, "more": false }));
        let shown = site.admin.get(&format!("/v1/feeds/{id}")).await.is(200).json;
        assert_eq!((&shown["title"], &shown["site_url"]), (&json!("The Courier"), &json!("https://example.org/")));
        assert!(shown["polled_at"].is_string() && shown["error"].is_null(), "{shown}");

        let articles = articles(&site.admin, &id).await;
        assert_eq!(articles.len(), 2);
        let closes = articles.iter().find(|article| article["guid"] == "1").unwrap();
        assert_eq!((&closes["title"], &closes["url"]), (&json!("Mill to close"), &json!("https://example.org/1")));
        assert_eq!(closes["published_at"], "2026-10-05T08:00:00Z");
        assert_eq!(site.admin.get(&format!("/v1/articles/{}", closes["id"].as_str().unwrap())).await.is(200).json, *closes);
        assert!(text(&site.admin, closes).await.contains(CLOSES.2));
        let found = site.admin.search(&json!({ "query": "repairs", "filters": { "source": "feed" } })).await;
        assert_eq!((&found[0]["article_id"], &found[0]["document_id"]), (&closes["id"], &closes["document_id"]));
        let since = json!({ "query": "repairs", "filters": { "published_after": "2026-10-06T00:00:00Z" } });
        assert!(site.admin.search(&since).await.is_empty());
    }
}

#[tokio::test]
async fn what_did_not_change_is_not_sent_again() {
    let site = site(Travel::Memory).await;
    let origin = Origin::holding(RSS, "\"v1\"", &feed(&[CLOSES])).await;
    let (id, _) = add(&site.admin, &origin).await;
    let again = poll(&site.admin, &id).await;
    assert_eq!(again["result"], json!({ "not_modified": true, "entries": 0, "changed": 0, "more": false }));
    let requests = origin.requests();
    assert_eq!(requests.len(), 2);
    assert!(!requests[0].contains_key("if-none-match") && requests[1]["if-none-match"] == "\"v1\"");
    assert!(requests[0]["user-agent"].to_str().unwrap().starts_with("Gristmill/"));
    // A server without validators sends everything again, and still nothing is new.
    origin.hold(RSS, "\"v2\"", &feed(&[CLOSES]));
    assert_eq!(
        poll(&site.admin, &id).await["result"],
        json!({ "not_modified": false, "entries": 1, "changed": 0, "more": false })
    );
    assert_eq!(articles(&site.admin, &id).await.len(), 1);
}

#[tokio::test]
async fn a_revised_entry_is_a_new_version_of_its_document() {
    let site = site(Travel::Memory).await;
    let origin = Origin::holding(RSS, "\"v1\"", &feed(&[CLOSES, OPENS])).await;
    let (id, _) = add(&site.admin, &origin).await;
    let before = articles(&site.admin, &id).await;
    origin.hold(
        RSS,
        "\"v2\"",
        &feed(&[(CLOSES.0, "Mill to close in April", "The mill closes in April, not before."), OPENS]),
    );
    assert_eq!(poll(&site.admin, &id).await["result"]["changed"], 1);
    let after = articles(&site.admin, &id).await;
    let ids = |articles: &[Json]| {
        articles.iter().map(|one| (one["id"].clone(), one["document_id"].clone())).collect::<Vec<_>>()
    };
    assert_eq!(ids(&before), ids(&after));
    for (guid, versions) in [("1", 2), ("2", 1)] {
        let article = after.iter().find(|article| article["guid"] == guid).unwrap();
        let document =
            site.admin.get(&format!("/v1/documents/{}", article["document_id"].as_str().unwrap())).await.json;
        assert_eq!(document["versions"], versions, "{guid}");
    }
    let closes = after.iter().find(|article| article["guid"] == "1").unwrap();
    assert_eq!(closes["title"], "Mill to close in April");
    assert!(text(&site.admin, closes).await.contains("in April, not before"));
    assert!(site.admin.search(&json!({ "query": "repairs", "mode": "keyword" })).await.is_empty());
}

#[tokio::test]
async fn a_page_instead_of_a_feed_shows_as_the_feeds_error_until_it_is_mended() {
    let site = site(Travel::Memory).await;
    let page = "<!doctype html><html><head><title>Log in</title></head><body><form>Name, password</form></body></html>";
    let origin = Origin::holding("text/html", "\"v1\"", page).await;
    let (id, job) = add(&site.admin, &origin).await;
    assert_eq!(
        (&job["state"], &job["error"]["code"], &job["attempt"]),
        (&json!("failed"), &json!("not-a-feed"), &json!(1))
    );
    let shown = site.admin.get(&format!("/v1/feeds/{id}")).await.is(200).json;
    assert_eq!(shown["error"]["code"], "not-a-feed");
    assert!(shown["error"]["message"].is_string() && shown["polled_at"].is_string(), "{shown}");
    assert!(articles(&site.admin, &id).await.is_empty());
    origin.fail(410);
    assert_eq!(poll(&site.admin, &id).await["error"]["code"], "http-status");
    origin.hold(RSS, "\"v2\"", &feed(&[CLOSES]));
    assert_eq!(poll(&site.admin, &id).await["state"], "succeeded");
    assert_eq!(site.admin.get(&format!("/v1/feeds/{id}")).await.is(200).json["error"], Json::Null);
    assert_eq!(articles(&site.admin, &id).await.len(), 1);
}

#[tokio::test]
async fn a_feed_is_added_once_and_can_be_dropped() {
    let site = site(Travel::Memory).await;
    let origin = Origin::holding(RSS, "\"v1\"", &feed(&[CLOSES])).await;
    let (id, _) = add(&site.admin, &origin).await;
    for same in [origin.url.clone(), format!("{}#news", origin.url)] {
        assert_eq!(site.admin.post("/v1/feeds", &json!({ "url": same })).await.is(200).id(), id);
    }
    assert_eq!(
        (site.admin.list("/v1/feeds").await.len(), site.admin.list("/v1/jobs?kind=feed.poll").await.len()),
        (1, 1)
    );
    let path = format!("/v1/feeds/{id}");
    site.admin.delete(&path).await.is(204);
    site.admin.get(&path).await.problem(404, "not-found");
    site.admin.act(&format!("{path}:poll")).await.problem(404, "not-found");
    assert!(site.admin.list("/v1/feeds").await.is_empty());
    assert_eq!(site.admin.list("/v1/articles").await.len(), 1);
    assert_ne!(site.admin.post("/v1/feeds", &json!({ "url": origin.url })).await.is(201).id(), id);
}

on_both! {
    async fn a_feed_that_is_due_is_polled_once_by_however_many_schedulers(travel: Travel) {
        let site = site(travel).await;
        site.schedule();
        let origin = Origin::holding(RSS, "\"v1\"", &feed(&[CLOSES])).await;
        let (id, _) = add(&site.admin, &origin).await;
        site.sql("UPDATE feeds SET next_poll_at = now()").await;
        let path = format!("/v1/jobs?kind=feed.poll&subject={id}");
        let polls = eventually("a poll by the scheduler", async || {
            let polls = site.admin.list(&path).await;
            (polls.len() > 1).then_some(polls)
        })
        .await;
        let job = site.admin.ended(&polls[0]).await;
        assert_eq!((&job["result"]["not_modified"], &job["request_id"]), (&json!(true), &Json::Null));
        let shown = site.admin.get(&format!("/v1/feeds/{id}")).await.is(200).json;
        assert!(shown["next_poll_at"].as_str() > shown["polled_at"].as_str(), "{shown}");
        // The next time is set, so nobody finds it due again.
        assert_eq!(gristmill_scheduler::feeds::poll_due(&site.engine).await.unwrap(), 0);
        assert_eq!((site.admin.list(&path).await.len(), origin.requests().len()), (2, 2));
    }
}

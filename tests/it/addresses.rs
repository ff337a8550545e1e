//! Documents that are fetched from an address: what the site's owner lets us fetch, and the same page handed in twice.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use axum::{Router, extract::State, http::Uri, response::Html, response::IntoResponse, response::Redirect};
use gristmill_tests::{
    site::{ALLOWED, Origin, Parts, Site, eventually},
    world::Travel,
};
use serde_json::{Value as Json, json};
use tokio::net::TcpListener;

const MILL: &str = "The mill at Wenbourne grinds wheat on two lines. The older line was installed in 1978.";

/// Somebody's site: pages by path and query, and how often each was asked for.
struct Pages {
    base: String,
    asked: Arc<HashMap<String, AtomicUsize>>,
}

impl Pages {
    async fn with(pages: &[(&str, String)]) -> Self {
        let asked = Arc::new(pages.iter().map(|(path, _)| ((*path).to_owned(), AtomicUsize::new(0))).collect());
        let held: HashMap<String, String> =
            pages.iter().map(|(path, body)| ((*path).to_owned(), body.clone())).collect();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new().fallback(page).with_state((Arc::new(held), Arc::clone(&asked)));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { base, asked }
    }

    fn asked(&self, path: &str) -> usize {
        self.asked[path].load(Ordering::SeqCst)
    }
}

type Held = (Arc<HashMap<String, String>>, Arc<HashMap<String, AtomicUsize>>);

/// A body that begins with `->` is a redirect.
async fn page(State((held, asked)): State<Held>, uri: Uri) -> axum::response::Response {
    let at = uri.path_and_query().map_or("/", |at| at.as_str());
    let Some(body) = held.get(at) else { return axum::http::StatusCode::NOT_FOUND.into_response() };
    asked[at].fetch_add(1, Ordering::SeqCst);
    match body.strip_prefix("->") {
        Some(target) => Redirect::temporary(target).into_response(),
        None if at == "/robots.txt" => body.clone().into_response(),
        None => Html(body.clone()).into_response(),
    }
}

fn article(title: &str, head: &str) -> String {
    format!("<title>{title}</title>{head}<article><h1>{title}</h1><p>{MILL}</p></article>")
}

fn source(url: &str) -> Json {
    json!({ "source": { "type": "url", "url": url } })
}

#[tokio::test]
async fn what_a_robots_txt_forbids_is_not_fetched() {
    let site = Site::with(Travel::Memory, Parts::All, &[ALLOWED]).await;
    let pages = Pages::with(&[
        ("/robots.txt", "User-agent: *\nDisallow: /private\n".to_owned()),
        ("/private/plans", article("Plans", "")),
        ("/public", article("Public", "")),
    ])
    .await;
    let accepted = site.admin.post("/v1/documents", &source(&format!("{}/private/plans", pages.base))).await.is(202);
    let job = site.admin.ended(&accepted.json).await;
    assert_eq!((&job["state"], &job["attempt"]), (&json!("failed"), &json!(1)));
    let path = format!("/v1/documents/{}", accepted.json["document"]["id"].as_str().unwrap());
    let document = site.admin.get(&path).await.is(200).json;
    assert_eq!((&document["status"], &document["error"]["code"]), (&json!("failed"), &json!("robots-disallowed")));
    let said = document["error"]["message"].as_str().unwrap();
    assert!(said.contains("robots.txt of 127.0.0.1") && said.contains("as a file"), "{said}");
    assert_eq!((pages.asked("/private/plans"), pages.asked("/robots.txt")), (0, 1));

    site.admin.ready(&site.admin.post("/v1/documents", &source(&format!("{}/public", pages.base))).await.json).await;
    assert_eq!((pages.asked("/public"), pages.asked("/robots.txt")), (1, 1));
}

#[tokio::test]
async fn an_address_handed_in_again_is_a_new_version_of_the_same_document() {
    let site = Site::with(Travel::Memory, Parts::All, &[ALLOWED]).await;
    let origin = Origin::holding("text/html", "\"1\"", &article("First", "")).await;
    origin.open(false);
    let first = site.admin.post("/v1/documents", &source(&origin.url)).await.is(202).json;
    eventually("the fetch", async || (!origin.requests().is_empty()).then_some(())).await;
    // It is being fetched: that is soon enough.
    let meanwhile = site.admin.post("/v1/documents", &source(&format!("{}#part", origin.url))).await.is(200).json;
    assert_eq!(meanwhile["document"]["id"], first["document"]["id"]);
    assert_eq!(meanwhile["job"]["id"], first["job"]["id"]);
    origin.open(true);
    let document = site.admin.ready(&first).await;

    origin.hold("text/html", "\"2\"", &article("Second", ""));
    let again = site.admin.post("/v1/documents", &source(&origin.url)).await.is(202).json;
    let renewed = site.admin.ready(&again).await;
    assert_eq!((&renewed["id"], &renewed["versions"]), (&document["id"], &json!(2)));
    let text = site.admin.get(&format!("/v1/documents/{}/text", document["id"].as_str().unwrap())).await.is(200);
    assert!(String::from_utf8_lossy(&text.bytes).contains("Second"));

    // A name of its owner's is an identity of its own, and what is deleted is gone.
    let mut named = source(&origin.url);
    named["external_id"] = json!("mill");
    assert_ne!(site.admin.ready(&site.admin.post("/v1/documents", &named).await.json).await["id"], document["id"]);
    site.admin.delete(&format!("/v1/documents/{}", document["id"].as_str().unwrap())).await.is(204);
    let new = site.admin.ready(&site.admin.post("/v1/documents", &source(&origin.url)).await.json).await;
    assert_ne!(new["id"], document["id"]);
    // Another organization's documents are no concern of ours.
    let stranger = site.organization("stranger", &["submit", "read"]).await;
    let theirs = stranger.post("/v1/documents", &source(&origin.url)).await.is(202).json;
    assert_ne!(theirs["document"]["id"], new["id"]);
    assert_eq!(stranger.ready(&theirs).await["warnings"], json!([]));
}

#[tokio::test]
async fn one_page_under_several_addresses_is_seen() {
    let site = Site::with(Travel::Memory, Parts::All, &[ALLOWED]).await;
    let canonical = "<link rel=canonical href=/mill>";
    let pages = Pages::with(&[
        ("/mill?utm_source=mail", article("Mill", canonical)),
        ("/mill?utm_source=feed", article("Mill, from the feed", canonical)),
        ("/short", "->/mill?utm_source=mail".to_owned()),
        ("/other", article("Other", "<link rel=canonical href='ftp://elsewhere/x'>")),
    ])
    .await;
    let hand_in = async |path: &str| {
        let accepted = site.admin.post("/v1/documents", &source(&format!("{}{path}", pages.base))).await.is(202).json;
        site.admin.ready(&accepted).await
    };
    let first = hand_in("/mill?utm_source=mail").await;
    let at = |path: &str| json!(format!("{}{path}", pages.base));
    assert_eq!(first["source"]["url"], at("/mill?utm_source=mail"));
    assert_eq!(first["source"]["fetched_url"], at("/mill?utm_source=mail"));
    assert_eq!(first["source"]["canonical_url"], at("/mill"));
    assert_eq!(first["warnings"], json!([]));

    for path in ["/mill?utm_source=feed", "/short"] {
        let twin = hand_in(path).await;
        assert_ne!(twin["id"], first["id"]);
        assert_eq!(twin["source"]["canonical_url"], at("/mill"));
        let warning = &twin["warnings"][0];
        assert_eq!((&warning["code"], &warning["document_id"]), (&json!("same-address"), &first["id"]), "{twin}");
    }
    let other = hand_in("/other").await;
    assert_eq!((&other["warnings"], &other["source"]["canonical_url"]), (&json!([]), &Json::Null));
}

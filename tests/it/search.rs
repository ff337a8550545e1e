//! Search, by words, by meaning and by both.

use std::sync::Arc;

use gristmill_tests::{
    embedding::ShortFirst,
    site::{Answer, Models, Parts, Site},
    world::Travel,
};
use serde_json::{Value as Json, json};

const AUDIT: &[u8] = include_bytes!("../../cli/samples/energy-audit.pdf");

/// Three short texts about related things.
async fn library() -> Site {
    let site = Site::start(Travel::Memory).await;
    let texts = [
        (
            "hose",
            "The fitters replaced the plansifter hose on the sifter floor. It was split since Easter.",
            json!(["air", "repair"]),
        ),
        (
            "leaks",
            "The hose of the third plansifter still leaks, and nobody on the floor has ordered a new one.",
            json!(["air"]),
        ),
        (
            "barges",
            "Three barges waited for four days at the wharf, and the mill had to pay for every hour.",
            json!(["transport"]),
        ),
    ];
    for (category, text, tags) in texts {
        site.admin
            .text(text, json!({ "title": category, "category": category, "tags": tags, "engagement": "HVM" }))
            .await;
    }
    site
}

async fn titles(site: &Site, body: Json) -> Vec<String> {
    let found = site.admin.search(&body).await;
    found.iter().map(|hit| hit["title"].as_str().unwrap().to_owned()).collect()
}

/// The words that a hit highlights.
fn highlighted(hit: &Json) -> Vec<String> {
    let letters: Vec<char> = hit["text"].as_str().unwrap().chars().collect();
    let at = |range: &Json, end: &str| usize::try_from(range[end].as_u64().unwrap()).unwrap();
    let ranges = hit["highlights"].as_array().unwrap().iter();
    ranges.map(|range| letters[at(range, "start")..at(range, "end")].iter().collect()).collect()
}

#[tokio::test]
async fn words_find_what_holds_them_and_those_that_hold_all_come_first() {
    let site = library().await;
    assert_eq!(titles(&site, json!({ "query": "plansifter leaks", "mode": "keyword" })).await, ["leaks", "hose"]);
    assert_eq!(titles(&site, json!({ "query": "barges", "mode": "keyword" })).await, ["barges"]);
    assert!(titles(&site, json!({ "query": "submarine", "mode": "keyword" })).await.is_empty());
}

#[tokio::test]
async fn a_phrase_is_found_as_it_stands_and_a_word_can_be_excluded() {
    let site = library().await;
    assert_eq!(titles(&site, json!({ "query": "\"plansifter hose\"", "mode": "keyword" })).await, ["hose"]);
    assert_eq!(titles(&site, json!({ "query": "plansifter -split", "mode": "keyword" })).await, ["leaks"]);
}

#[tokio::test]
async fn meaning_finds_the_nearest_first() {
    let site = library().await;
    let found =
        titles(&site, json!({ "query": "paying while a barge is waiting at the wharf", "mode": "semantic" })).await;
    assert_eq!((found.len(), found[0].as_str()), (3, "barges"));
    // Parts of words are enough.
    let found = titles(&site, json!({ "query": "leaking hoses of plansifters", "mode": "semantic" })).await;
    assert_eq!(found[0], "leaks");
}

#[tokio::test]
async fn both_together_rank_first_what_both_find() {
    let site = library().await;
    let found = site.admin.search(&json!({ "query": "plansifter leaks", "mode": "hybrid" })).await;
    assert_eq!(found[0]["title"], "leaks");
    let scores: Vec<f64> = found.iter().map(|hit| hit["score"].as_f64().unwrap()).collect();
    assert!(scores.windows(2).all(|pair| pair[0] >= pair[1]) && scores[0] > scores[2], "{scores:?}");
    // It is what is done where nothing is said.
    let unsaid = site.admin.search(&json!({ "query": "plansifter leaks" })).await;
    assert_eq!(unsaid, found);
    assert_eq!(site.admin.search(&json!({ "query": "plansifter leaks", "limit": 1 })).await.len(), 1);
}

#[tokio::test]
async fn highlights_are_the_words_that_were_looked_for() {
    let site = library().await;
    for mode in ["keyword", "hybrid"] {
        let found = site.admin.search(&json!({ "query": "plansifter leaking", "mode": mode })).await;
        assert_eq!(highlighted(&found[0]), ["plansifter", "leaks"], "{mode}");
    }
    // Characters are counted, not bytes.
    site.admin
        .text(
            "Die Mühle in Köln mahlt täglich größere Mengen Weizen durch die neue Öffnung der Mühle.",
            json!({ "title": "de" }),
        )
        .await;
    let found = site.admin.search(&json!({ "query": "Weizen größere", "mode": "keyword" })).await;
    assert_eq!(highlighted(&found[0]), ["größere", "Weizen"]);
}

#[tokio::test]
async fn filters_narrow() {
    let site = library().await;
    let by = async |filters: Json| {
        let mut found = titles(&site, json!({ "query": "the mill", "mode": "semantic", "filters": filters })).await;
        found.sort();
        found
    };
    assert_eq!(by(json!({ "tags": ["air"] })).await, ["hose", "leaks"]);
    assert_eq!(by(json!({ "tags": ["air", "repair"] })).await, ["hose"]);
    assert_eq!(by(json!({ "category": "barges" })).await, ["barges"]);
    assert_eq!(by(json!({ "engagement": "HVM", "category": "leaks" })).await, ["leaks"]);
    assert_eq!(by(json!({ "source": "text" })).await, ["barges", "hose", "leaks"]);
    assert_eq!(by(json!({ "published_after": "2000-01-01T00:00:00Z" })).await.len(), 3);
    for nothing in [
        json!({ "source": "upload" }),
        json!({ "engagement": "x" }),
        json!({ "published_after": "2999-01-01T00:00:00Z" }),
    ] {
        assert!(by(nothing.clone()).await.is_empty(), "{nothing}");
    }
    let both = json!({ "query": "hose", "mode": "keyword", "filters": { "tags": ["repair"] } });
    assert_eq!(titles(&site, both).await, ["hose"]);

    // What is said of a document later counts from then on.
    let named = site.admin.list("/v1/documents?category=barges").await[0]["id"].clone();
    assert_eq!(by(json!({ "document_ids": [named] })).await, ["barges"]);
    assert!(by(json!({ "document_ids": [named], "category": "leaks" })).await.is_empty());
    let text = "The hose of the third plansifter still leaks, and nobody on the floor has ordered a new one.";
    let body = json!({ "source": { "type": "text", "text": text }, "tags": ["urgent"], "category": "repairs" });
    site.admin.post("/v1/documents", &body).await.is(200);
    assert_eq!(by(json!({ "tags": ["urgent"] })).await, ["leaks"]);
    assert_eq!(by(json!({ "tags": ["air"] })).await, ["hose"]);
    assert!(by(json!({ "category": "leaks" })).await.is_empty());
}

#[tokio::test]
async fn the_weights_of_a_request_say_what_each_way_counts() {
    let site = library().await;
    let by = async |keyword: f64, semantic: f64| {
        let weights = json!({ "keyword": keyword, "semantic": semantic });
        titles(&site, json!({ "query": "split", "mode": "hybrid", "weights": weights })).await
    };
    assert_eq!(by(1.0, 0.0).await, ["hose"]);
    assert_eq!(by(0.0, 1.0).await.len(), 3);
    assert_eq!(by(1.0, 1.0).await[0], "hose");
}

#[tokio::test]
async fn a_reranker_puts_the_candidates_in_order_where_it_is_asked_to() {
    let models = Models { embedders: None, reranker: Some(Arc::new(ShortFirst)) };
    let site = Site::asking(Travel::Memory, Parts::All, &[], models).await;
    for text in
        ["Wheat, wheat and wheat again, all of it ground twice.", "Wheat is ground here, and rye.", "Some wheat."]
    {
        site.admin.text(text, json!({ "title": text })).await;
    }
    let ask = async |rerank: bool| {
        let body = json!({ "query": "wheat ground", "mode": "keyword", "rerank": rerank });
        site.admin.post("/v1/search", &body).await.is(200).json
    };
    let (plain, reranked) = (ask(false).await, ask(true).await);
    assert_eq!((&plain["reranked_by"], &reranked["reranked_by"]), (&Json::Null, &json!("test/short-first")));
    let first = |found: &Json| found["results"][0]["title"].as_str().unwrap().to_owned();
    assert_eq!(first(&reranked), "Some wheat.");
    assert_ne!(first(&plain), "Some wheat.");
    let scores: Vec<f64> =
        reranked["results"].as_array().unwrap().iter().map(|hit| hit["score"].as_f64().unwrap()).collect();
    assert!(scores.len() == 3 && scores.is_sorted_by(|one, other| one > other), "{scores:?}");
}

on_both! {
    async fn a_hit_in_a_pdf_names_its_page(travel: Travel) {
        let site = Site::start(travel).await;
        let accepted = site.admin.upload("energy-audit.pdf", "application/pdf", AUDIT).await.is(202);
        let document = site.admin.ready(&accepted.json).await;
        for (mode, query) in [("keyword", "plansifter hose"), ("hybrid", "how much does leaking air cost the mill?")] {
            let found = site.admin.search(&json!({ "query": query, "mode": mode })).await;
            let hit = &found[0];
            assert_eq!((&hit["document_id"], &hit["title"]), (&document["id"], &document["title"]));
            let chunks = format!("/v1/documents/{}/chunks?limit=200", document["id"].as_str().unwrap());
            let chunks = site.admin.list(&chunks).await;
            let chunk = chunks.iter().find(|chunk| chunk["id"] == hit["chunk_id"]).expect("a hit is a chunk");
            assert_eq!((&hit["page"], &hit["text"]), (&chunk["page_first"], &chunk["text"]));
            assert_eq!(hit["heading_path"], chunk["heading_path"]);
            assert!((1..=6).contains(&hit["page"].as_u64().unwrap()), "{hit}");
        }
    }
}

#[tokio::test]
async fn a_search_for_nothing_is_refused() {
    let site = Site::start(Travel::Memory).await;
    for (body, pointer) in [
        (json!({ "query": "" }), "/query"),
        (json!({ "query": " \n" }), "/query"),
        (json!({ "query": "x".repeat(2_001) }), "/query"),
        (json!({ "query": "x", "limit": 0 }), "/limit"),
        (json!({ "query": "x", "limit": 101 }), "/limit"),
        (json!({ "query": "x", "mode": "psychic" }), "/mode"),
        (json!({ "query": "x", "filters": { "colour": "red" } }), "/filters/colour"),
        (json!({ "query": "x", "filters": { "source": "s3" } }), "/filters/source"),
        (json!({ "query": "x", "filters": { "document_ids": ["job_1"] } }), "/filters/document_ids/0"),
        (json!({ "query": "x", "weights": { "keyword": 1, "semantic": -1 } }), "/weights/semantic"),
        (json!({ "query": "x", "rerank": true }), "/rerank"),
    ] {
        site.admin.post("/v1/search", &body).await.problem_at(400, "invalid-request", pointer);
    }
}

#[tokio::test]
async fn whatever_is_typed_into_a_search_is_only_words() {
    let site = library().await;
    for query in [
        "!!!",
        "\"",
        "'; DROP TABLE chunks; --",
        "a & | ! <-> b",
        "-",
        "-hose",
        "\\",
        "%_",
        "🌾",
        "\u{e000}hose\u{e001}",
    ] {
        for mode in ["keyword", "semantic", "hybrid"] {
            let body = json!({ "query": query, "mode": mode });
            let answer: Answer = site.admin.post("/v1/search", &body).await;
            assert_eq!(answer.status, 200, "{mode} {query}: {}", answer.json);
        }
    }
    assert_eq!(titles(&site, json!({ "query": "barges", "mode": "keyword" })).await, ["barges"]);
}

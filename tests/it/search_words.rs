//! Search by words ranks as BM25 does, whatever was added, changed and removed before.

use std::collections::{HashMap, HashSet};

use gristmill_tests::{
    site::{Site, eventually},
    world::Travel,
};
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use serde_json::{Value as Json, json};

/// Sections per document; each becomes a chunk.
const SECTIONS: usize = 700;

/// A document in sections of words that no stemmer changes, a few of them frequent and many rare.
fn document(seed: u64) -> String {
    let mut random = StdRng::seed_from_u64(seed);
    let mut text = String::new();
    for section in 0..SECTIONS {
        text.push_str(&format!("# s{seed}q{section}z\n\n"));
        for _ in 0..random.random_range(3..20) {
            let rank = 300f64.powf(random.random::<f64>());
            text.push_str(&format!("w{rank:.0}x "));
        }
        text.push_str("\n\n");
    }
    text
}

/// What is known of each chunk that search may find: its words.
async fn chunks(site: &Site) -> HashMap<String, Vec<String>> {
    let mut chunks = HashMap::new();
    for document in site.admin.list("/v1/documents").await {
        let path = format!("/v1/documents/{}/chunks?limit=200", document["id"].as_str().unwrap());
        let mut next = String::new();
        loop {
            let page = site.admin.get(&format!("{path}{next}")).await.is(200).json;
            for chunk in page["data"].as_array().unwrap() {
                let headings =
                    chunk["heading_path"].as_array().unwrap().iter().map(|heading| heading.as_str().unwrap());
                let text = format!("{} {}", headings.collect::<Vec<_>>().join(" "), chunk["text"].as_str().unwrap());
                let word = |word: &str| word.trim_matches('#').to_owned();
                let words = text.split_whitespace().map(word).filter(|word| !word.is_empty()).collect();
                chunks.insert(chunk["id"].as_str().unwrap().to_owned(), words);
            }
            let Some(cursor) = page["next_cursor"].as_str() else { break };
            next = format!("&cursor={cursor}");
        }
    }
    chunks
}

/// BM25 as the textbook has it, over every chunk.
fn scores(chunks: &HashMap<String, Vec<String>>, query: &[String]) -> HashMap<String, f64> {
    let count = |number: usize| f64::from(u32::try_from(number).unwrap());
    let (all, words) = (count(chunks.len()), count(chunks.values().map(Vec::len).sum()));
    let mut scores = HashMap::new();
    for term in query {
        let having = count(chunks.values().filter(|words| words.contains(term)).count());
        let weight = (1.0 + (all - having + 0.5) / (having + 0.5)).ln();
        for (id, chunk) in chunks {
            let times = count(chunk.iter().filter(|word| *word == term).count());
            if times > 0.0 {
                let gain = times * 2.2 / (times + 1.2 * (0.25 + 0.75 * count(chunk.len()) / (words / all)));
                *scores.entry(id.clone()).or_default() += weight * gain;
            }
        }
    }
    scores
}

/// The chunks that search finds, best first.
async fn found(site: &Site, query: &str) -> Vec<String> {
    let found = site.admin.search(&json!({ "query": query, "mode": "keyword", "limit": 100 })).await;
    let mut ids: Vec<(i64, String)> =
        found.iter().map(|hit| (order(hit), hit["chunk_id"].as_str().unwrap().to_owned())).collect();
    // The best of each document comes first; scores tell the order by which they were ranked.
    ids.sort();
    ids.into_iter().map(|(_, id)| id).collect()
}

fn order(hit: &Json) -> i64 {
    #[expect(clippy::cast_possible_truncation, reason = "1 / (60 + rank), and ranks are below 1,000")]
    let rank = (1.0 / hit["score"].as_f64().unwrap()).round() as i64;
    rank
}

/// Compares what search finds with what the textbook does, for queries of frequent and of rare words, short and long.
async fn agrees(site: &Site, seed: u64) {
    let chunks = chunks(site).await;
    let mut random = StdRng::seed_from_u64(seed);
    for words in [1, 2, 3, 5, 25] {
        let mut query: Vec<String> =
            (0..words).map(|_| format!("w{:.0}x", 300f64.powf(random.random::<f64>()))).collect();
        query.sort();
        query.dedup();
        let expected = scores(&chunks, &query);
        let found = found(site, &query.join(" ")).await;
        let mut best: Vec<f64> = expected.values().copied().collect();
        best.sort_by(|one, other| other.total_cmp(one));
        best.truncate(100);
        assert_eq!(found.len(), best.len(), "{query:?}");
        assert_eq!(found.iter().collect::<HashSet<_>>().len(), found.len());
        for (place, (id, best)) in found.iter().zip(&best).enumerate() {
            let score = expected.get(id).copied().unwrap_or_default();
            assert!((score - best).abs() < 1e-3, "{query:?}: {score} at {place} instead of {best}");
        }
    }
}

#[tokio::test]
async fn it_ranks_as_the_textbook_does_while_documents_come_and_go() {
    let site = Site::start(Travel::Memory).await;
    // Side by side, as ingests of one organization are.
    let texts: Vec<String> = (1..4).map(document).collect();
    let said: Vec<Json> = ["a", "b", "c"].iter().map(|name| json!({ "external_id": name })).collect();
    let ready = texts.iter().zip(&said).map(|(text, said)| site.admin.markdown(text, said));
    let documents = futures::future::join_all(ready).await;
    agrees(&site, 1).await;
    let gathered = async || {
        eventually("the gathering", async || {
            let left = site.count("postings WHERE fresh").await + site.count("posting_removals").await;
            (left == 0).then_some(())
        })
        .await;
    };
    gathered().await;
    agrees(&site, 2).await;

    site.admin.markdown(&document(4), &said[1]).await;
    let path = format!("/v1/documents/{}?purge=true", documents[2]["id"].as_str().unwrap());
    site.admin.delete(&path).await.is(204);
    gathered().await;
    agrees(&site, 3).await;
    // Nothing is left of what is gone, and no row is fuller than it may be.
    let chunks = "SELECT number FROM chunks";
    let strays =
        format!("postings p WHERE NOT EXISTS (SELECT FROM ({chunks}) AS c WHERE c.number BETWEEN p.first AND p.last)");
    assert_eq!(site.count(&strays).await, 0);
    let entries = "(SELECT sum(entries) AS held FROM postings) AS p,
        (SELECT sum(length(lexemes)) AS there FROM chunks) AS c WHERE held = there";
    assert_eq!(site.count(entries).await, 1, "postings and chunks disagree");
    assert_eq!(site.count("postings WHERE entries > 224 OR length(data) <> 8 * entries").await, 0);
    assert_eq!(site.count("posting_totals WHERE chunks <> (SELECT count(*) FROM chunks)").await, 0);
}

#[tokio::test]
async fn phrases_and_exclusions_hold_however_many_other_chunks_have_the_words() {
    let site = Site::start(Travel::Memory).await;
    let sections = (0..300).map(|number| match number {
        150 => "# Wanted\n\nThe wet bulb thermometer hangs beside the silo.\n\n".to_owned(),
        even if even % 2 == 0 => format!("# Lot {number}\n\nThe bulb is wet, and the bulb was wet before.\n\n"),
        _ => format!("# Lot {number}\n\nA wet bulb, wet bulb, wet bulb without the instrument.\n\n"),
    });
    let text: String = sections.collect();
    site.admin.markdown(&text, &json!({})).await;
    let search = async |query: &str| site.admin.search(&json!({ "query": query, "mode": "keyword" })).await;
    let found = search("\"wet bulb thermometer\"").await;
    assert_eq!((found.len(), &found[0]["heading_path"]), (1, &json!(["Wanted"])));
    let found = search("\"wet bulb\" -instrument").await;
    assert_eq!((found.len(), &found[0]["heading_path"]), (1, &json!(["Wanted"])));
    let found = search("bulb -\"wet bulb\"").await;
    assert_eq!(found.len(), 10);
    assert!(found.iter().all(|hit| hit["text"].as_str().unwrap().contains("The bulb is wet")), "{found:?}");
    assert!(search("\"bulb thermometer wet\"").await.is_empty());
    assert!(search("\"wet submarine\"").await.is_empty());
    assert!(search("-wet").await.is_empty(), "an exclusion alone asks for nothing");
}

#[tokio::test]
async fn what_was_there_before_the_index_of_words_is_taken_over() {
    let site = Site::start(Travel::Memory).await;
    let document = site.admin.markdown(&document(1), &json!({ "tags": ["kept"], "category": "old" })).await;
    let before = found(&site, "w2x w3x w150x").await;
    let url = site.database.reveal();
    gristmill_migrations::revert(url, 1).await.unwrap();
    gristmill_migrations::migrate(url).await.unwrap();
    agrees(&site, 4).await;
    assert_eq!(found(&site, "w2x w3x w150x").await, before);
    for filters in [json!({ "tags": ["kept"] }), json!({ "category": "old" })] {
        let asked = json!({ "query": "w2x", "mode": "semantic", "filters": filters });
        assert_eq!(site.admin.search(&asked).await[0]["document_id"], document["id"]);
    }
    let spaces = site.admin.list("/v1/embedding-spaces").await;
    assert_eq!(
        (spaces.len(), &spaces[0]["model"], &spaces[0]["current"]),
        (1, &json!("local/hashed-ngrams-512"), &json!(true))
    );
}

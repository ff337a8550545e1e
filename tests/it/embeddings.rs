//! What is embedded, how often, and the way from one model to another.

use std::sync::Arc;

use gristmill_ai::{Embedder, Embedders};
use gristmill_tests::{
    embedding::{Counting, LEDGER, MOST_CALLS},
    faults::process::{Recipe, program},
    site::{Models, Parts, Site, eventually},
    world::Travel,
};
use serde_json::json;
use tempfile::TempDir;

/// A site whose models write down what they are paid for.
async fn counting(names: &[&str]) -> (Site, Vec<Counting>, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let model = |(at, name): (usize, &&str)| Counting::new(name, 16 + at, &folder.path().join(at.to_string()));
    let models: Vec<Counting> = names.iter().enumerate().map(model).collect();
    let mut all = models.iter().map(|model| Arc::new(model.clone()) as Arc<dyn Embedder>);
    let embedders = Embedders::new(all.next().unwrap(), all);
    let models_of_site = Models { embedders: Some(embedders), reranker: None };
    (Site::asking(Travel::Memory, Parts::All, &[], models_of_site).await, models, folder)
}

/// A text in sections, each a chunk of its own.
fn sections(words: impl IntoIterator<Item = String>) -> String {
    words.into_iter().map(|word| format!("# About {word}\n\nAll that is known of {word} stands here.\n\n")).collect()
}

fn twenty() -> Vec<String> {
    (0..20).map(|number| format!("mill{number}")).collect()
}

#[tokio::test]
async fn a_changed_paragraph_is_all_that_is_embedded_of_a_new_version() {
    let (site, models, _folder) = counting(&["test/counting"]).await;
    let said = json!({ "external_id": "mills" });
    let mut words = twenty();
    let document = site.admin.markdown(&sections(words.clone()), &said).await;
    assert_eq!((document["chunks"].as_u64(), models[0].paid().len()), (Some(20), 20));

    "canal".clone_into(&mut words[7]);
    let document = site.admin.markdown(&sections(words), &said).await;
    assert_eq!((document["chunks"].as_u64(), document["versions"].as_u64()), (Some(20), Some(2)));
    let paid = models[0].paid();
    assert_eq!(paid.values().sum::<usize>(), 21, "{paid:?}");
    assert!(paid.keys().any(|text| text.contains("canal")));

    // The same passages in another document cost nothing either.
    site.admin.markdown(&sections(twenty()), &json!({ "external_id": "again" })).await;
    assert_eq!(models[0].paid().values().sum::<usize>(), 21);
}

#[tokio::test]
async fn what_was_paid_for_before_a_kill_is_not_paid_for_again() {
    let site = Site::with(Travel::Redis, Parts::NoWorker, &[("GRISTMILL_LEASE_S", "3")]).await;
    let folder = tempfile::tempdir().unwrap();
    let ledger = folder.path().join("ledger");
    let worker = |name: &str, calls: &str| {
        let mut environment: Vec<(String, String)> =
            site.environment().into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        environment.push((LEDGER.to_owned(), ledger.display().to_string()));
        environment.push((MOST_CALLS.to_owned(), calls.to_owned()));
        let (program, logs) = (program("gristmill-embedding-worker"), folder.path().to_owned());
        Recipe { name: name.into(), program, arguments: Vec::new(), environment, logs }
    };
    let text = sections((0..200).map(|number| format!("mill{number}")));
    let accepted = site.admin.upload("mills.md", "text/markdown", text.as_bytes()).await.is(202).json;

    let mut doomed = worker("doomed", "120").start();
    // It waits for its 121st answer now, and has kept all before.
    eventually("120 answers", async || (site.count("embedding_cache").await == 120).then_some(())).await;
    doomed.kill().await.unwrap();

    let _heir = worker("heir", "1000").start();
    let document = site.admin.ready(&accepted).await;
    assert_eq!(document["chunks"], 200);
    let paid = Counting::new("test/counting", 16, &ledger).paid();
    assert_eq!((paid.len(), paid.values().sum::<usize>()), (200, 200), "one call per text");
    assert_eq!(site.count("embeddings").await, 200);
}

#[tokio::test]
async fn search_goes_over_to_another_model_and_back() {
    let (site, models, _folder) = counting(&["test/one", "test/other"]).await;
    let document = site.admin.markdown(&sections(twenty()), &json!({})).await;
    let spaces = site.admin.list("/v1/embedding-spaces").await;
    assert_eq!((spaces.len(), &spaces[0]["model"], &spaces[0]["current"]), (1, &json!("test/one"), &json!(true)));
    let first = spaces[0]["id"].as_str().unwrap().to_owned();

    let asked = json!({ "model": "test/other" });
    let accepted = site.admin.post("/v1/embedding-spaces", &asked).await.is(202);
    assert!(accepted.header("location").starts_with("/v1/jobs/job_"));
    assert_eq!(accepted.json["space"]["current"], false);
    let second = accepted.json["space"]["id"].as_str().unwrap().to_owned();
    let job = site.admin.ended(&accepted.json).await;
    assert_eq!((&job["state"], &job["result"]["embedded"]), (&json!("succeeded"), &json!(20)), "{job}");
    let show = async |id: &str| site.admin.get(&format!("/v1/embedding-spaces/{id}")).await.is(200).json;
    let space = show(&second).await;
    assert_eq!(
        (&space["current"], &space["status"], &space["dimensions"]),
        (&json!(true), &json!("ready"), &json!(17))
    );
    assert_eq!(show(&first).await["current"], false);
    assert_eq!((models[0].paid().len(), models[1].paid().len()), (20, 20));

    // Search asks the other model, ingests fill its space, and the way back embeds only what came since.
    let query = json!({ "query": "All that is known of mill7 stands here.", "mode": "semantic" });
    assert_eq!(site.admin.search(&query).await.len(), 10);
    assert!(models[1].paid().contains_key("All that is known of mill7 stands here."));
    let wharf = site.admin.text("The wharf of the mill.", json!({})).await;
    assert_eq!((models[0].paid().len(), models[1].paid().len()), (20, 22));
    let again = site.admin.act(&format!("/v1/embedding-spaces/{first}:activate")).await.is(202);
    let job = site.admin.ended(&again.json).await;
    assert_eq!((&job["state"], &job["result"]["embedded"]), (&json!("succeeded"), &json!(1)), "{job}");
    assert_eq!((&show(&first).await["current"], models[0].paid().len()), (&json!(true), 21));
    let found = site.admin.search(&json!({ "query": "The wharf of the mill.", "mode": "semantic" })).await;
    assert_eq!(found[0]["document_id"], wharf["id"]);
    assert_ne!(found[0]["document_id"], document["id"]);

    // The one that search uses stays; the other can go, with its vectors.
    site.admin.delete(&format!("/v1/embedding-spaces/{first}")).await.problem(409, "space-in-use");
    site.admin.act(&format!("/v1/embedding-spaces/{first}:activate")).await.problem(409, "space-in-use");
    site.admin.delete(&format!("/v1/embedding-spaces/{second}")).await.is(204);
    site.admin.get(&format!("/v1/embedding-spaces/{second}")).await.problem(404, "not-found");
    assert_eq!(site.count("embeddings").await, 21);
}

#[tokio::test]
async fn a_model_that_is_not_configured_is_refused() {
    let (site, _models, _folder) = counting(&["test/one"]).await;
    let asked = json!({ "model": "test/unheard-of" });
    site.admin.post("/v1/embedding-spaces", &asked).await.problem_at(400, "invalid-request", "/model");
    let reader = site
        .key(
            &format!("/v1/orgs/{}", site.admin.get("/v1/me").await.json["organization"]["id"].as_str().unwrap()),
            &["read"],
        )
        .await;
    reader.post("/v1/embedding-spaces", &json!({})).await.problem(403, "forbidden");
    assert!(reader.list("/v1/embedding-spaces").await.is_empty());
}

#[tokio::test]
async fn a_space_that_grew_is_indexed_and_found_in_all_the_same() {
    let (site, _models, _folder) = counting(&["test/one"]).await;
    site.admin.markdown(&sections(twenty()), &json!({ "tags": ["one"] })).await;
    let space = site.admin.list("/v1/embedding-spaces").await[0]["id"].as_str().unwrap().to_owned();
    // As many more as make an index worth its making, of a document that is not searched for.
    site.admin.text("Filler.", json!({ "tags": ["filler"] })).await;
    let more =
        "INSERT INTO chunks (id, org_id, document_id, version_id, ordinal, text, heading_path, start_char, end_char,
            tokens, hash, text_config, lexemes)
        SELECT gen_random_uuid(), org_id, document_id, version_id, n, 'filler', '{}', 0, 0, 1, '', 'simple', ''
        FROM chunks, generate_series(1, 4200) AS n WHERE text = 'Filler.'";
    site.sql(more).await;
    let vectors = "INSERT INTO embeddings (space_id, chunk_id, org_id, embedding)
        SELECT e.space_id, c.id, c.org_id, (SELECT array_agg(r.v) FROM (SELECT random() AS v FROM generate_series(1, 16) WHERE c.number > 0) AS r)::real[]::halfvec
        FROM chunks c, (SELECT space_id FROM embeddings LIMIT 1) AS e WHERE c.text = 'filler'";
    site.sql(vectors).await;
    site.sql("INSERT INTO posting_totals (org_id, config, chunks, terms) SELECT org_id, 'simple', 4200, 4200 FROM embedding_spaces").await;
    let path = format!("/v1/embedding-spaces/{space}");
    let space = site.admin.until(&path, |space| space["indexed"] == true).await;
    assert_eq!(space["current"], true);
    assert_eq!(site.count("pg_indexes WHERE indexname LIKE 'embeddings_of_%' AND indexdef LIKE '%hnsw%'").await, 1);

    // Neighbours that a filter leaves out must not leave the list empty: rare and far ones are found, too.
    for filter in [json!({ "tags": ["one"] }), json!({ "source": "upload", "tags": ["one"] })] {
        let query = json!({ "query": "mill7", "mode": "semantic", "limit": 20, "filters": filter });
        assert_eq!(site.admin.search(&query).await.len(), 20, "{filter}");
    }
    let all = json!({ "query": "mill7", "mode": "semantic", "limit": 100 });
    assert_eq!(site.admin.search(&all).await.len(), 100);
    site.sql("UPDATE documents SET deleted_at = now() WHERE 'filler' = ANY(tags)").await;
    assert_eq!(site.admin.search(&all).await.len(), 20);
}

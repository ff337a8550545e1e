//! A purged document is gone from every table there is.

use gristmill_store::db::{Tx as _, sql};
use gristmill_tests::{
    site::{Answer, Site, eventually},
    world::Travel,
};
use serde_json::json;

const SECRET: &str = "The zirconium ledger of Wenbourne lies under the quernstone.";

#[derive(sea_orm::FromQueryResult)]
struct Table {
    name: String,
}

/// The tables that hold `needle` anywhere in any row, by the catalogue.
async fn holding(site: &Site, needle: &str) -> Vec<String> {
    let tx = site.engine.db().system().await.unwrap();
    let all = "SELECT relname::text AS name FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')";
    let tables: Vec<Table> = tx.all(sql(all, [])).await.unwrap();
    assert!(tables.len() > 20, "{} tables", tables.len());
    let mut holding = Vec::new();
    for Table { name } in tables {
        let look =
            format!("SELECT '{name}' AS name FROM {name} AS r WHERE strpos(lower(r::text), lower($1)) > 0 LIMIT 1");
        let found: Option<Table> = tx.one(sql(&look, [needle.into()])).await.unwrap();
        holding.extend(found.map(|found| found.name));
    }
    tx.commit().await.unwrap();
    holding
}

#[tokio::test]
async fn nothing_of_it_is_left_in_any_table() {
    let site = Site::start(Travel::Memory).await;
    let shared = "# Shared\n\nThis passage stands in two documents.\n\n";
    let other = site.admin.markdown(&format!("{shared}# Own\n\nBarges wait at the wharf."), &json!({})).await;
    let text = format!("{shared}# Hidden\n\n{SECRET}");
    let said = json!({ "title": "Zirconium", "tags": ["zirconium-tag"], "external_id": "crm/zirconium" });
    let upload = site.admin.uploading("zirconium.md", "text/markdown", text.as_bytes(), Some(&said));
    let accepted = Answer::to(upload.header("idempotency-key", "zirconium-1")).await.is(202);
    let document = site.admin.ready(&accepted.json).await;
    let id = document["id"].as_str().unwrap();
    // An older version with words of its own, and a job that read the document and returned of it.
    let revised = format!("{text}\n\n# More\n\nNobody has found the palimpsest.");
    let said = json!({ "external_id": "crm/zirconium" });
    site.admin.markdown(&revised, &said).await;
    let analysis = json!({ "kind": "analysis.run", "args": { "task": "summary", "input": { "document_id": id } } });
    let job = site.admin.post("/v1/jobs", &analysis).await.is(202);
    assert_eq!(site.admin.ended(&job.json).await["state"], "succeeded");
    eventually("the gathering", async || (site.count("postings WHERE fresh").await == 0).then_some(())).await;

    let uuid = site.uuid(id);
    let version = site.uuid(document["version_id"].as_str().unwrap());
    let needles = [id, &uuid, &version, "zirconium", "palimpsest", "quernstone"];
    for needle in needles {
        assert!(!holding(&site, needle).await.is_empty(), "{needle} is nowhere before the purge");
    }
    assert_eq!(site.count("embedding_cache").await, 4);
    site.admin.delete(&format!("/v1/documents/{id}?purge=true")).await.is(204);
    eventually("the erasure", async || (site.count("erasures").await == 0).then_some(())).await;
    eventually("the file's erasure", async || {
        let jobs = site.admin.list("/v1/jobs?kind=file.erase").await;
        jobs.iter().all(|job| job["state"] == "succeeded").then_some(())
    })
    .await;
    for needle in needles {
        assert_eq!(holding(&site, needle).await, Vec::<String>::new(), "{needle}");
    }
    // What another document has stays, and is found.
    assert_eq!(site.count("embedding_cache").await, 2);
    assert_eq!(site.count("embeddings").await, 2);
    let found = site.admin.search(&json!({ "query": "passage", "mode": "keyword" })).await;
    assert_eq!((found.len(), &found[0]["document_id"]), (1, &other["id"]));
    assert!(site.admin.search(&json!({ "query": "zirconium", "mode": "keyword" })).await.is_empty());
}

//! The wall between organizations, tried from the wrong side.

use gristmill_core::ids::OrgId;
use gristmill_engine::NewJob;
use gristmill_store::{
    db::{Tx, sql},
    documents::{self, NewDocument, Put},
    feeds, idempotency, jobs, keys, orgs, spaces,
};
use gristmill_tests::{
    kinds::Play,
    world::{Travel, World},
};
use sea_orm::FromQueryResult;
use serde_json::json;

#[derive(FromQueryResult)]
struct Count {
    rows: i64,
}

#[derive(FromQueryResult)]
struct Table {
    name: String,
    key: String,
    walled: bool,
}

async fn count(tx: &impl Tx, table: &str) -> i64 {
    tx.one::<Count>(sql(&format!("SELECT count(*) AS rows FROM {table}"), [])).await.unwrap().unwrap().rows
}

/// Tables that belong to the installation, not to an organization.
const COMMON: [&str; 4] = ["job_kinds", "workers", "seaql_migrations", "ledger"];

/// Every table but those that are named as common, from the catalogue: a new one is covered by itself.
async fn tables(world: &World) -> Vec<Table> {
    let tx = world.engine.db().system().await.unwrap();
    let tables = tx
        .all::<Table>(sql(
            "SELECT c.relname::text AS name, c.relrowsecurity AND c.relforcerowsecurity AS walled,
                    CASE WHEN c.relname = 'organizations' THEN 'id' ELSE 'org_id' END AS key
             FROM pg_class c WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace
                 AND c.relname <> ALL($1)",
            [COMMON.map(str::to_owned).to_vec().into()],
        ))
        .await
        .unwrap();
    assert!(tables.len() >= 10);
    tables
}

/// Puts at least one row of the world's organization into every table of tenants.
async fn furnish(world: &World) {
    let tx = world.engine.db().org(world.org).await.unwrap();
    keys::create(&tx, world.org, "key", &[keys::Scope::Read]).await.unwrap();
    let job = NewJob::of(&Play { name: "x".into(), acts: vec![] }).unwrap();
    let answer = idempotency::Answer { status: 202, location: None, body: json!({}) };
    idempotency::keep(&tx, world.org, "key", b"x", &answer).await.unwrap();
    let source = json!({ "type": "url", "url": "https://example.org/plans" });
    let document = NewDocument {
        title: Some("Secret plans".into()),
        tags: vec!["secret".into()],
        source,
        ..NewDocument::default()
    };
    let Put::Made { document, version } = documents::put(&tx, &document, job.id).await.unwrap() else { panic!() };
    world.engine.submit(&tx, job).await.unwrap();
    let chunk = gristmill_store::chunks::NewChunk {
        ordinal: 0,
        text: "secret plans".into(),
        heading_path: vec![],
        page_first: None,
        page_last: None,
        start_char: 0,
        end_char: 12,
        tokens: 2,
        hash: [0; 32],
        embedding: vec![1.0; 512],
    };
    let kind = spaces::Kind { model: "test".into(), dimensions: 512, chunker: 1 };
    let space = spaces::current_or_first(&tx, &kind).await.unwrap().id;
    gristmill_store::chunks::insert(&tx, document, version, space, Some("en"), &[chunk]).await.unwrap();
    let feed = feeds::create(&tx, "https://example.org/feed").await.unwrap().unwrap();
    let article = gristmill_store::articles::NewArticle {
        feed_id: feed.id,
        guid: "1".into(),
        url: None,
        title: None,
        author: None,
        published_at: None,
        content_hash: vec![],
        document_id: document,
    };
    gristmill_store::articles::upsert(&tx, &article).await.unwrap();
    for row in [
        "job_events (org_id, job_id, id, type, attempt, data) VALUES ($1, $1, 1, 'log', 1, '{}')",
        "window_slots (org_id, slot, queue) VALUES ($1, 1, 'ingest')",
        "limits (org_id, scope, name) VALUES ($1, 'queue', 'ingest')",
        "job_edges (org_id, job_id, after_id) VALUES ($1, $1, $1)",
        "job_batches (org_id, id, total) VALUES ($1, $1, 1)",
        "job_ends (org_id, job_id, state, change) VALUES ($1, $1, 'failed', 1)",
        "job_steps (org_id, job_id, name, attempt, output, started_at, finished_at) VALUES ($1, $1, 'pay', 1, '{}', now(), now())",
        "posting_removals (org_id, number, config, terms) VALUES ($1, 0, 'english', '{secret}')",
        "embedding_cache (org_id, model, dimensions, text_hash, embedding) VALUES ($1, 'test', 1, '', '[1]')",
        "embedding_uses (org_id, text_hash, document_id) SELECT $1, '', id FROM documents",
        "search_history (org_id, id, query, mode, hits, took_ms) VALUES ($1, $1, 'plans', 'keyword', 1, 1)",
        "erasures (org_id, id, document_id) VALUES ($1, $1, $1)",
        "job_counts (org_id, minute, queue, kind) VALUES ($1, now(), 'ingest', 'test.play')",
    ] {
        tx.execute(sql(&format!("INSERT INTO {row}"), [tx.org().into()])).await.unwrap();
    }
    tx.commit().await.unwrap();
}

async fn stranger(world: &World) -> OrgId {
    let tx = world.engine.db().system().await.unwrap();
    let org = orgs::create(&tx, "stranger").await.unwrap().unwrap().id;
    tx.commit().await.unwrap();
    org
}

#[tokio::test]
async fn every_table_of_tenants_is_behind_the_wall() {
    let world = World::still(Travel::Memory).await;
    furnish(&world).await;
    let stranger = stranger(&world).await;
    for table in tables(&world).await {
        assert!(table.walled, "{} has no row-level security, or its owner may pass it", table.name);
        let own = world.engine.db().org(world.org).await.unwrap();
        assert!(count(&own, &table.name).await > 0, "the scene has nothing in {}", table.name);
        let tx = world.engine.db().org(stranger).await.unwrap();
        let seen = if table.name == "organizations" { 1 } else { 0 };
        assert_eq!(count(&tx, &table.name).await, seen, "a stranger sees rows of {}", table.name);
        let key = &table.key;
        let taken = sql(&format!("UPDATE {} SET {key} = {key} WHERE {key} = $1", table.name), [world.org.into()]);
        assert_eq!(tx.execute(taken).await.unwrap(), 0, "a stranger changes rows of {}", table.name);
        let gone = sql(&format!("DELETE FROM {} WHERE {key} = $1", table.name), [world.org.into()]);
        assert_eq!(tx.execute(gone).await.unwrap(), 0, "a stranger deletes rows of {}", table.name);
    }
}

#[tokio::test]
async fn rows_cannot_be_given_to_a_stranger() {
    let world = World::still(Travel::Memory).await;
    furnish(&world).await;
    let stranger = stranger(&world).await;
    for table in tables(&world).await.into_iter().filter(|table| table.name != "organizations") {
        let tx = world.engine.db().org(world.org).await.unwrap();
        let given = sql(&format!("UPDATE {} SET org_id = $1", table.name), [stranger.into()]);
        let error = tx.execute(given).await.unwrap_err().to_string();
        assert!(error.contains("row-level security"), "{}: {error}", table.name);
    }
}

#[tokio::test]
async fn the_walls_hold_where_a_query_forgets_the_organization() {
    let world = World::still(Travel::Memory).await;
    furnish(&world).await;
    let stranger = stranger(&world).await;
    let tx = world.engine.db().org(world.org).await.unwrap();
    let page = gristmill_store::Page { limit: 10, cursor: None };
    let job = jobs::list(&tx, &jobs::Filter::default(), page).await.unwrap().remove(0);
    drop(tx);
    let tx = world.engine.db().org(stranger).await.unwrap();
    assert!(jobs::find(&tx, job.id).await.unwrap().is_none());
    let bare = sql("SELECT count(*) AS rows FROM jobs WHERE id = $1", [job.id.into()]);
    assert_eq!(tx.one::<Count>(bare).await.unwrap().unwrap().rows, 0);
}

#[tokio::test]
async fn outside_of_any_transaction_of_ours_nothing_is_visible() {
    let world = World::still(Travel::Memory).await;
    furnish(&world).await;
    let pool = world.engine.db().pool();
    for table in tables(&world).await {
        let statement = sql(&format!("SELECT count(*) AS rows FROM {}", table.name), []);
        let row = Count::find_by_statement(statement).one(pool).await.unwrap().unwrap();
        assert_eq!(row.rows, 0, "{}", table.name);
    }
}

#[tokio::test]
async fn no_connection_can_pass_the_wall() {
    let world = World::still(Travel::Memory).await;
    #[derive(FromQueryResult)]
    struct Role {
        free: bool,
    }
    let statement = "SELECT rolsuper OR rolbypassrls AS free FROM pg_roles WHERE rolname = current_user";
    let role = Role::find_by_statement(sql(statement, [])).one(world.engine.db().pool()).await.unwrap().unwrap();
    assert!(!role.free);
}

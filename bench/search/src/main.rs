//! Measures search on a library of its own: `gristmill-search-bench --postgres URL [--chunks N] [--dimensions D]`.
//!
//! URL names an empty database. What is measured is what `POST /v1/search` does between the query's embedding and the
//! highlights: opening the transaction, narrowing by the filters, ranking. Prints a line of JSON for each way of searching.

mod library;

use std::{
    collections::HashSet,
    process::ExitCode,
    time::{Duration, Instant},
};

use clap::{Parser, ValueEnum};
use gristmill_core::{
    ids::{ChunkId, OrgId},
    secret::Secret,
};
use gristmill_store::{
    Db, orgs,
    search::{self, Filters},
    spaces::{self, Space},
};
use library::Size;
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use serde_json::json;
use tokio::task::JoinSet;

type Error = Box<dyn std::error::Error + Send + Sync>;
type Result<T> = std::result::Result<T, Error>;

/// Measures search.
#[derive(Debug, Parser)]
struct Asked {
    /// An empty database, or one that an earlier step left
    #[arg(long)]
    postgres: String,
    /// Which step; all, one after the other, if not given
    #[arg(long)]
    step: Option<Step>,
    /// Chunks in the library
    #[arg(long, default_value_t = 100_000)]
    chunks: usize,
    /// Length of vectors
    #[arg(long, default_value_t = 1_024)]
    dimensions: usize,
    /// Searches per way of searching
    #[arg(long, default_value_t = 800)]
    searches: usize,
    /// Only ways whose name has this in it
    #[arg(long, default_value = "")]
    only: String,
    /// Searches under way at once
    #[arg(long, default_value_t = 8)]
    in_flight: usize,
}

/// A step, for machines on which all at once takes too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Step {
    Load,
    Gather,
    Index,
    Search,
}

/// A way of searching.
#[derive(Debug, Clone, Copy)]
struct Way {
    name: &'static str,
    words: usize,
    meaning: bool,
    tag: Option<&'static str>,
    source: Option<&'static str>,
}

const WAYS: [Way; 9] = [
    Way { name: "semantic", words: 0, meaning: true, tag: None, source: None },
    Way { name: "semantic, a tag on 1 %", words: 0, meaning: true, tag: Some("rare"), source: None },
    Way { name: "semantic, a tag on 50 %", words: 0, meaning: true, tag: Some("half"), source: None },
    Way { name: "semantic, a source of 2 %", words: 0, meaning: true, tag: None, source: Some("url") },
    Way { name: "keyword, 3 words", words: 3, meaning: false, tag: None, source: None },
    Way { name: "keyword, 10 words", words: 10, meaning: false, tag: None, source: None },
    Way { name: "keyword, 3 words, a tag on 1 %", words: 3, meaning: false, tag: Some("rare"), source: None },
    Way { name: "keyword, 3 words, a source of 2 %", words: 3, meaning: false, tag: None, source: Some("url") },
    Way { name: "hybrid, 3 words", words: 3, meaning: true, tag: None, source: None },
];

/// As many as hybrid search asks of each way for ten results.
const DEPTH: usize = 50;
/// Of which recall is taken.
const TOP: usize = 10;

#[tokio::main]
async fn main() -> ExitCode {
    match run(&Asked::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(asked: &Asked) -> Result<()> {
    let does = |step| asked.step.is_none_or(|only| only == step);
    let url = Secret::new(asked.postgres.clone());
    if does(Step::Load) {
        gristmill_migrations::migrate(url.reveal()).await?;
    }
    let db = Db::connect(&url, u32::try_from(asked.in_flight * 2)?).await?;
    if does(Step::Load) {
        let (started, size) = (Instant::now(), Size { chunks: asked.chunks, dimensions: asked.dimensions });
        library::make(&db, size).await?;
        println!("{}", json!({ "step": "load", "chunks": asked.chunks, "s": started.elapsed().as_secs_f64() }));
    }
    let tx = db.system().await?;
    let org = orgs::by_name(&tx, "library").await?.ok_or("there is no library; load one first")?.id;
    tx.commit().await?;
    if does(Step::Gather) {
        let started = Instant::now();
        let rounds = library::gather(&db, org).await?;
        println!("{}", json!({ "step": "gather", "rounds": rounds, "s": started.elapsed().as_secs_f64() }));
    }
    if does(Step::Index) {
        let started = Instant::now();
        let space = space(&db, org).await?;
        spaces::make_index(&db, &space).await?;
        let tx = db.org(org).await?;
        spaces::indexed(&tx, space.id).await?;
        tx.commit().await?;
        db.define(&["VACUUM ANALYZE"]).await?;
        println!("{}", json!({ "step": "index", "s": started.elapsed().as_secs_f64() }));
    }
    if does(Step::Search) {
        for way in WAYS.into_iter().filter(|way| way.name.contains(&asked.only)) {
            println!("{}", measure(&db, org, way, asked).await?);
        }
    }
    Ok(())
}

async fn space(db: &Db, org: OrgId) -> Result<Space> {
    let tx = db.org(org).await?;
    let space = spaces::current(&tx).await?.ok_or("there is no space")?;
    tx.commit().await?;
    Ok(space)
}

/// Searches warm, `in_flight` at once, and compares some of what was found with what comparing all finds.
async fn measure(db: &Db, org: OrgId, way: Way, asked: &Asked) -> Result<serde_json::Value> {
    let space = space(db, org).await?;
    let each = asked.searches / asked.in_flight;
    let mut all = Vec::new();
    // The first round warms up what the second measures.
    for round in 0..2u64 {
        let mut searchers = JoinSet::new();
        for searcher in 0..asked.in_flight {
            let (db, space) = (db.clone(), space.clone());
            let seed = 7_000_000 + round * 1_000 + searcher as u64;
            searchers.spawn(async move {
                let mut random = StdRng::seed_from_u64(seed);
                let mut took = Vec::with_capacity(each);
                for _ in 0..each {
                    let query = Query::new(way, &space, &mut random);
                    let started = Instant::now();
                    query.search(&db, org, &space).await.map_err(|error| error.to_string())?;
                    took.push(started.elapsed());
                }
                Ok::<_, String>(took)
            });
        }
        all.clear();
        while let Some(done) = searchers.join_next().await {
            all.extend(done??);
        }
    }
    all.sort_unstable();
    let at = |share: f64| {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "an index"
        )]
        let index = ((all.len() as f64 * share) as usize).min(all.len() - 1);
        (all[index].as_secs_f64() * 10_000.0).round() / 10.0
    };
    let recall = if way.meaning && way.words == 0 { Some(recall(db, org, way, &space).await?) } else { None };
    let mean = all.iter().sum::<Duration>().as_secs_f64() * 1_000.0 / f64::from(u32::try_from(all.len())?);
    Ok(json!({
        "way": way.name, "searches": all.len(), "in_flight": asked.in_flight, "p50_ms": at(0.5), "p95_ms": at(0.95),
        "p99_ms": at(0.99), "mean_ms": (mean * 10.0).round() / 10.0, "recall_at_10": recall,
    }))
}

/// The share of the ten nearest that are found.
async fn recall(db: &Db, org: OrgId, way: Way, space: &Space) -> Result<f64> {
    let mut random = StdRng::seed_from_u64(99);
    let unindexed = Space { indexed_at: None, ..space.clone() };
    let (mut found, mut there) = (0, 0);
    for _ in 0..60 {
        let query = Query::new(way, space, &mut random);
        let near = |ids: Vec<ChunkId>| ids.into_iter().take(TOP).collect::<HashSet<_>>();
        let exact = near(query.search(db, org, &unindexed).await?);
        found += near(query.search(db, org, space).await?).intersection(&exact).count();
        there += exact.len();
    }
    Ok(f64::from(u32::try_from(found)?) / f64::from(u32::try_from(there.max(1))?))
}

struct Query {
    words: String,
    embedding: Option<Vec<f32>>,
    filters: Filters,
}

impl Query {
    fn new(way: Way, space: &Space, random: &mut StdRng) -> Self {
        let words: Vec<String> = (0..way.words).map(|_| library::word(random)).collect();
        let dimensions = usize::try_from(space.dimensions).unwrap_or_default();
        let embedding = way.meaning.then(|| library::vector(library::cluster(random), dimensions, random));
        let filters = Filters {
            tags: way.tag.iter().map(|tag| (*tag).to_owned()).collect(),
            source: way.source.map(str::to_owned),
            ..Filters::default()
        };
        let _turn: u8 = random.random();
        Self { words: words.join(" "), embedding, filters }
    }

    async fn search(&self, db: &Db, org: OrgId, space: &Space) -> Result<Vec<ChunkId>> {
        let tx = db.org_reading(org).await?;
        let narrowed = self.filters.narrow(&tx).await?;
        let mut found = Vec::new();
        if !self.words.is_empty() {
            found.extend(search::by_words(&tx, &self.words, &self.filters, &narrowed, DEPTH).await?);
        }
        if let Some(embedding) = &self.embedding {
            found.extend(search::by_meaning(&tx, space, embedding, &self.filters, &narrowed, DEPTH).await?);
        }
        tx.commit().await?;
        Ok(found.into_iter().map(|found| found.id).collect())
    }
}

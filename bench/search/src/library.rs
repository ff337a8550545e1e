//! A made-up library: documents with words as rare as words are, and vectors in clusters.

use gristmill_core::ids::{DocumentId, JobId, OrgId, VersionId};
use gristmill_store::{
    Db, OrgTx,
    chunks::{self, NewChunk},
    documents::{self, Ingested, NewDocument, Put},
    orgs, postings,
    spaces::{self, Kind, Space},
};
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use serde_json::json;
use tokio::task::JoinSet;

use crate::Result;

/// Chunks per document.
pub(crate) const CHUNKS: usize = 10;
/// Words per chunk.
const WORDS: usize = 120;
/// Words there are.
const VOCABULARY: u32 = 60_000;
/// Clusters of vectors.
const CLUSTERS: u64 = 500;
/// Writers at once.
const WRITERS: usize = 4;

/// How large the library is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Size {
    pub(crate) chunks: usize,
    pub(crate) dimensions: usize,
}

/// A word: the more frequent, the lower its number (Zipf's law, by inverting its distribution).
pub(crate) fn word(random: &mut StdRng) -> String {
    let rank = f64::from(VOCABULARY).powf(random.random::<f64>());
    // Digits keep stemmers away.
    format!("w{:.0}x", rank)
}

/// A vector near the centre of `cluster`.
pub(crate) fn vector(cluster: u64, dimensions: usize, random: &mut StdRng) -> Vec<f32> {
    let mut centre = StdRng::seed_from_u64(cluster);
    let normal = |random: &mut StdRng| (0..4).map(|_| random.random::<f32>() - 0.5).sum::<f32>();
    (0..dimensions).map(|_| normal(&mut centre) + 0.7 * normal(random)).collect()
}

/// A cluster.
pub(crate) fn cluster(random: &mut StdRng) -> u64 {
    random.random_range(0..CLUSTERS)
}

/// Makes the library in an organization of its own. Every hundredth document has the tag `rare`, every second `half`.
pub(crate) async fn make(db: &Db, size: Size) -> Result<OrgId> {
    let tx = db.system().await?;
    let org = orgs::create(&tx, "library").await?.ok_or("there is a library already")?.id;
    tx.commit().await?;
    let tx = db.org(org).await?;
    let kind = Kind { model: "bench".into(), dimensions: i32::try_from(size.dimensions)?, chunker: 1 };
    let space = spaces::current_or_first(&tx, &kind).await?;
    tx.commit().await?;
    let mut writers = JoinSet::new();
    let documents = size.chunks / CHUNKS;
    for writer in 0..WRITERS {
        let (db, space) = (db.clone(), space.clone());
        writers.spawn(async move {
            for number in (writer..documents).step_by(WRITERS) {
                let tx = db.org(org).await.map_err(|error| error.to_string())?;
                document(&tx, &space, number).await.map_err(|error| error.to_string())?;
                tx.commit().await.map_err(|error| error.to_string())?;
            }
            Ok::<(), String>(())
        });
    }
    while let Some(done) = writers.join_next().await {
        done??;
    }
    Ok(org)
}

async fn document(tx: &OrgTx, space: &Space, number: usize) -> Result<()> {
    let mut random = StdRng::seed_from_u64(1_000_000 + number as u64);
    let tags = [("rare", 100), ("half", 2)];
    let tags = tags.iter().filter(|(_, every)| number.is_multiple_of(*every)).map(|(tag, _)| (*tag).to_owned());
    let new = NewDocument {
        external_id: Some(number.to_string()),
        tags: tags.collect(),
        source: json!({ "type": if number.is_multiple_of(50) { "url" } else { "text" } }),
        ..NewDocument::default()
    };
    let Put::Made { document, version } = documents::put(tx, &new, JobId::generate()).await? else {
        return Err("the document was there already".into());
    };
    let chunks: Vec<NewChunk> = (0..CHUNKS).map(|ordinal| chunk(ordinal, space, &mut random)).collect();
    keep(tx, document, version, space, &chunks).await
}

async fn keep(tx: &OrgTx, document: DocumentId, version: VersionId, space: &Space, chunks: &[NewChunk]) -> Result<()> {
    chunks::insert(tx, document, version, space.id, Some("en"), chunks).await?;
    let found = Ingested { media_type: "text/plain".into(), warnings: json!([]), ..Ingested::default() };
    documents::ready(tx, document, version, &found).await?;
    Ok(())
}

fn chunk(ordinal: usize, space: &Space, random: &mut StdRng) -> NewChunk {
    let words: Vec<String> = (0..WORDS).map(|_| word(random)).collect();
    let dimensions = usize::try_from(space.dimensions).unwrap_or_default();
    NewChunk {
        ordinal: i32::try_from(ordinal).unwrap_or_default(),
        text: words.join(" "),
        heading_path: Vec::new(),
        page_first: None,
        page_last: None,
        start_char: 0,
        end_char: 0,
        tokens: 0,
        hash: [0; 32],
        embedding: vector(cluster(random), dimensions, random),
    }
}

/// Gathers all postings, and says in how many transactions.
pub(crate) async fn gather(db: &Db, org: OrgId) -> Result<usize> {
    let mut rounds = 0;
    loop {
        let tx = db.org(org).await?;
        let more = postings::gather(&tx, true).await?;
        tx.commit().await?;
        rounds += 1;
        if !more {
            return Ok(rounds);
        }
    }
}

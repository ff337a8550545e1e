//! Texts become vectors, and none is paid for twice.
//!
//! What was embedded before comes from the cache. The rest goes out in calls of the size that the model accepts, several at
//! once, and each answer is stored as it lands: whoever takes over from a process that died asks for what is missing.

use std::collections::{HashMap, HashSet};

use futures::{StreamExt as _, TryStreamExt as _, stream};
use gristmill_ai::{AiError, Embedder};
use gristmill_core::ids::DocumentId;
use gristmill_engine::JobError;
use gristmill_store::embedding_cache::{self, Entry, TextHash};
use sha2::{Digest as _, Sha256};

use crate::{Ctx, jobs::errors};

/// Texts looked up in one statement.
const LOOKED_UP: usize = 500;

/// A text that is to be embedded, and the document that has it.
pub(crate) struct Wanted {
    pub(crate) document: DocumentId,
    pub(crate) text: String,
}

/// The text that a chunk is embedded as: with the headings it stands under, which often name what its sentences only
/// refer to.
pub(crate) fn embedded_text(heading_path: &[String], text: &str) -> String {
    if heading_path.is_empty() {
        return text.to_owned();
    }
    format!("{}\n\n{text}", heading_path.join(" › "))
}

/// A text that no vector is known of yet, for the first of those that want it.
struct Unknown<'a> {
    hash: TextHash,
    wanted: &'a Wanted,
}

/// The vector of each text, in their order.
///
/// # Errors
/// When the model gave no answer, the database cannot be asked, or the job was called off. What was answered so far is kept.
pub(crate) async fn embed(ctx: &Ctx, embedder: &dyn Embedder, wanted: &[Wanted]) -> Result<Vec<Vec<f32>>, JobError> {
    let hashes: Vec<TextHash> = wanted.iter().map(|wanted| Sha256::digest(wanted.text.as_bytes()).into()).collect();
    let mut known = look_up(ctx, embedder, wanted, &hashes).await?;
    let mut unknown: Vec<Unknown<'_>> = Vec::new();
    let mut seen: HashSet<TextHash> = HashSet::new();
    for (wanted, hash) in wanted.iter().zip(&hashes) {
        if !known.contains_key(hash) && seen.insert(*hash) {
            unknown.push(Unknown { hash: *hash, wanted });
        }
    }
    let (total, mut done) = (hashes.len() as u64, (hashes.len() - unknown.len()) as u64);
    ctx.progress(done, total, "embed");
    let batching = embedder.batching();
    let (mut rest, mut calls) = (unknown.as_slice(), Vec::new());
    for texts in batching.cut(unknown.iter().map(|unknown| unknown.wanted.text.len())) {
        let (call, later) = rest.split_at(texts);
        calls.push(ask(ctx, embedder, call));
        rest = later;
    }
    let mut answers = stream::iter(calls).buffer_unordered(batching.in_flight.max(1));
    while let Some(answered) = answers.try_next().await? {
        done += answered.len() as u64;
        ctx.progress(done, total, "embed");
        known.extend(answered);
    }
    let vector = |hash: &TextHash| known.get(hash).cloned();
    let vectors: Option<Vec<Vec<f32>>> = hashes.iter().map(vector).collect();
    vectors.ok_or_else(|| JobError::transient("vectors-missing", "The model left texts out."))
}

/// What was embedded before. That the documents use it, and what will be embedded for them, is noted first: so nothing is
/// kept that a purge does not find.
async fn look_up(
    ctx: &Ctx,
    embedder: &dyn Embedder,
    wanted: &[Wanted],
    hashes: &[TextHash],
) -> Result<HashMap<TextHash, Vec<f32>>, JobError> {
    let mut known = HashMap::new();
    for (wanted, hashes) in wanted.chunks(LOOKED_UP).zip(hashes.chunks(LOOKED_UP)) {
        let uses: Vec<_> = wanted.iter().map(|wanted| wanted.document).zip(hashes.iter().copied()).collect();
        let tx = ctx.begin().await?;
        embedding_cache::note_uses(&tx, &uses).await?;
        known.extend(embedding_cache::find(&tx, embedder.model(), dimensions(embedder)?, hashes).await?);
        tx.commit().await?;
    }
    Ok(known)
}

/// Asks the model once and keeps what it answered.
async fn ask(ctx: &Ctx, embedder: &dyn Embedder, call: &[Unknown<'_>]) -> Result<Vec<(TextHash, Vec<f32>)>, JobError> {
    ctx.check()?;
    let texts: Vec<String> = call.iter().map(|unknown| unknown.wanted.text.clone()).collect();
    let vectors = embedder.embed(&texts).await.map_err(|error| errors::ai(&error))?;
    let unexpected = |expected: String, found: String| {
        errors::ai(&AiError::Unexpected { model: embedder.model().to_owned(), expected, found })
    };
    if vectors.len() != texts.len() {
        return Err(unexpected(format!("{} vectors", texts.len()), format!("{} vectors", vectors.len())));
    }
    if let Some(vector) = vectors.iter().find(|vector| vector.len() != embedder.dimensions()) {
        return Err(unexpected(
            format!("{} dimensions", embedder.dimensions()),
            format!("{} dimensions", vector.len()),
        ));
    }
    let entry = |(unknown, vector): (&Unknown<'_>, _)| Entry {
        hash: unknown.hash,
        document: unknown.wanted.document,
        embedding: vector,
    };
    let entries: Vec<Entry<'_>> = call.iter().zip(vectors.iter().map(Vec::as_slice)).map(entry).collect();
    let tx = ctx.begin().await?;
    embedding_cache::keep(&tx, embedder.model(), dimensions(embedder)?, &entries).await?;
    tx.commit().await?;
    Ok(call.iter().map(|unknown| unknown.hash).zip(vectors).collect())
}

/// The length of the model's vectors as the database has it.
pub(crate) fn dimensions(embedder: &dyn Embedder) -> Result<i32, JobError> {
    Ok(i32::try_from(embedder.dimensions())?)
}

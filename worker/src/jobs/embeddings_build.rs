//! `embeddings.build`: an embedding space is brought up to date, indexed, and taken into use.
//!
//! Search and ingests use the space before until this one has what they have. However often the job is run, what was
//! embedded stays, and the space that is in use loses nothing.

use std::time::Duration;

use gristmill_ai::Embedder;
use gristmill_core::ids::SpaceId;
use gristmill_engine::{Job, JobError, Queue};
use gristmill_store::spaces::{self, Space, WORTH_AN_INDEX};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::errors;
use crate::{
    Ctx, Services,
    embedding::{self, Wanted},
};

/// Chunks embedded and written in one go.
const PAGE: i64 = 256;
/// Rows per statement.
const BATCH: usize = 64;

/// Fills an embedding space from the chunks that are there, and lets search use it.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BuildEmbeddings {
    /// The space.
    pub space_id: SpaceId,
}

/// What was done.
#[derive(Debug, Serialize)]
pub struct BuildReport {
    space_id: SpaceId,
    /// Chunks that were embedded by this attempt.
    embedded: u64,
    /// Whether the space has an index: a small one is faster without.
    indexed: bool,
}

impl Job<Services> for BuildEmbeddings {
    const KIND: &'static str = "embeddings.build";
    const ABOUT: &'static str = "Embeds the stored chunks with another model, and lets search use that from then on.";
    const QUEUE: Queue = Queue::Ingest;
    const MAX_ATTEMPTS: u16 = 10;
    const TIMEOUT: Duration = Duration::from_hours(24);

    type Output = BuildReport;

    async fn run(self, ctx: &Ctx) -> Result<BuildReport, JobError> {
        let space = self.find(ctx).await?;
        let embedder = ctx.embedders.get(&space.model).ok_or_else(|| errors::model_gone(&space.model))?.clone();
        let mut embedded = self.fill(ctx, embedder.as_ref()).await?;
        let indexed = self.index(ctx, &space).await?;
        // Making the index took its time; what was ingested meanwhile is little.
        embedded += self.fill(ctx, embedder.as_ref()).await?;
        let tx = ctx.begin().await?;
        spaces::hold(&tx, self.space_id).await?.ok_or_else(gone)?;
        spaces::flip(&tx, self.space_id).await?;
        tx.commit().await?;
        // From here on ingests write to this space; before, some may have ended that were not seen yet.
        embedded += self.fill(ctx, embedder.as_ref()).await?;
        ctx.finish(async |_| Ok(BuildReport { space_id: self.space_id, embedded, indexed })).await
    }
}

impl BuildEmbeddings {
    async fn find(&self, ctx: &Ctx) -> Result<Space, JobError> {
        let tx = ctx.begin().await?;
        let space = spaces::find(&tx, self.space_id).await?.ok_or_else(gone)?;
        tx.commit().await?;
        if space.job_id != Some(ctx.job_id()) {
            let message = "This job was not made for this space; ask for one by POST /v1/embedding-spaces.";
            return Err(JobError::permanent("space-not-ours", message));
        }
        Ok(space)
    }

    /// Embeds every chunk that search uses and that has no vector in the space, and says how many.
    async fn fill(&self, ctx: &Ctx, embedder: &dyn Embedder) -> Result<u64, JobError> {
        let tx = ctx.begin().await?;
        let total = u64::try_from(spaces::chunks(&tx).await?)?;
        tx.commit().await?;
        let (mut embedded, mut after) = (0, 0);
        loop {
            ctx.check()?;
            let tx = ctx.begin().await?;
            let missing = spaces::missing(&tx, self.space_id, after, PAGE).await?;
            tx.commit().await?;
            let Some(last) = missing.last() else { return Ok(embedded) };
            after = last.number;
            let wanted: Vec<Wanted> = missing
                .iter()
                .map(|chunk| Wanted {
                    document: chunk.document_id,
                    text: embedding::embedded_text(&chunk.heading_path, &chunk.text),
                })
                .collect();
            let vectors = embedding::embed(ctx, embedder, &wanted).await?;
            let ids: Vec<_> = missing.iter().map(|chunk| chunk.id.uuid()).collect();
            let vectors: Vec<&[f32]> = vectors.iter().map(Vec::as_slice).collect();
            let tx = ctx.begin().await?;
            for (ids, vectors) in ids.chunks(BATCH).zip(vectors.chunks(BATCH)) {
                spaces::keep(&tx, self.space_id, ids, vectors).await?;
            }
            tx.commit().await?;
            embedded += ids.len() as u64;
            ctx.progress(embedded, total.max(embedded), "embed");
        }
    }

    /// Makes the space's index if it is worth one and has none.
    async fn index(&self, ctx: &Ctx, space: &Space) -> Result<bool, JobError> {
        if space.indexed_at.is_some() {
            return Ok(true);
        }
        let tx = ctx.begin().await?;
        let vectors = spaces::vectors(&tx, self.space_id, WORTH_AN_INDEX).await?;
        tx.commit().await?;
        if vectors < WORTH_AN_INDEX {
            return Ok(false);
        }
        ctx.progress(0, 1, "index");
        spaces::make_index(ctx.db(), space).await?;
        let tx = ctx.begin().await?;
        spaces::indexed(&tx, self.space_id).await?;
        tx.commit().await?;
        Ok(true)
    }
}

fn gone() -> JobError {
    JobError::permanent("space-gone", "The embedding space was deleted.")
}

//! Postings are gathered: what ingests appended is joined with its neighbours, and what is gone is taken out.

use std::time::Duration;

use gristmill_core::ids::OrgId;
use gristmill_engine::{Engine, NewJob, submit::SubmitError};
use gristmill_store::{Result, postings, spaces};
use serde_json::json;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

const EVERY: Duration = Duration::from_secs(10);

/// Gathers until `stop`.
pub async fn run(engine: &Engine, stop: CancellationToken) {
    let mut ticks = tokio::time::interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = ticks.tick() => {}
        }
        let gathered = tokio::select! {
            () = stop.cancelled() => return,
            gathered = gather(engine) => gathered,
        };
        if let Err(error) = gathered {
            tracing::warn!(%error, "postings cannot be gathered; trying again");
        }
        if let Err(error) = index(engine).await {
            tracing::warn!(%error, "embedding spaces that have grown cannot be indexed; trying again");
        }
    }
}

/// Gathers what there is to be gathered of every organization.
///
/// # Errors
/// When the database cannot be asked; what was gathered so far stays so.
pub async fn gather(engine: &Engine) -> Result<()> {
    let tx = engine.db().system().await?;
    let orgs: Vec<OrgId> = postings::ungathered(&tx).await?;
    tx.commit().await?;
    for org in orgs {
        loop {
            let tx = engine.db().org(org).await?;
            let more = postings::gather(&tx, false).await?;
            tx.commit().await?;
            if !more {
                break;
            }
        }
    }
    Ok(())
}

/// Hands in a job for every embedding space that has grown to be worth an index.
async fn index(engine: &Engine) -> std::result::Result<(), SubmitError> {
    let tx = engine.db().system().await?;
    let outgrown = spaces::outgrown(&tx).await?;
    tx.commit().await?;
    for (org, space) in outgrown {
        let tx = engine.db().org(org).await?;
        let job = NewJob::new("embeddings.build", json!({ "space_id": space })).about(&space);
        let id = engine.submit(&tx, job).await?;
        spaces::assign(&tx, space, id).await?;
        tx.commit().await?;
        engine.nudge();
    }
    Ok(())
}

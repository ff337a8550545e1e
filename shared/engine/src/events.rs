//! Writing the history of jobs.
//!
//! A job's row tells when it was made, when it last started and that it succeeded; the store reads these out of the row.
//! Written are the events that the row cannot tell. Their ids are the time in microseconds, taken here while the job's
//! row is locked, so that a job's events become visible in their order.

use chrono::{DateTime, Utc};
use gristmill_core::ids::{JobId, OrgId};
use gristmill_store::{
    Result,
    db::{Tx, sql},
};
use serde_json::{Value as Json, json};

/// Something that happened to a job.
#[derive(Debug, Clone)]
pub(crate) struct Event {
    pub(crate) org: OrgId,
    pub(crate) job: JobId,
    pub(crate) name: &'static str,
    pub(crate) attempt: i32,
    pub(crate) data: Json,
    /// When, if not now.
    pub(crate) at: Option<DateTime<Utc>>,
}

impl Event {
    /// Something that happens now.
    pub(crate) fn now(org: OrgId, job: JobId, name: &'static str, attempt: i32, data: Json) -> Self {
        Self { org, job, name, attempt, data, at: None }
    }

    /// The start of an attempt that the row is about to forget.
    pub(crate) fn started(org: OrgId, job: JobId, attempt: i32, worker: &str, at: DateTime<Utc>) -> Self {
        let data = json!({ "worker_id": worker });
        Self { org, job, name: "started", attempt, data, at: Some(at) }
    }
}

/// Writes events in the given order, in one statement. The jobs' rows must be locked. A job's events of one moment get
/// ids up to that moment, a microsecond apart: what happens later has a later id.
pub(crate) async fn write(tx: &impl Tx, events: &[Event]) -> Result<()> {
    if events.is_empty() {
        return Ok(());
    }
    let rows: Vec<Json> = events
        .iter()
        .map(|event| {
            json!({ "org_id": event.org.uuid(), "job_id": event.job.uuid(), "type": event.name,
                    "attempt": event.attempt, "data": event.data,
                    "at": event.at.map(|at| at.timestamp_micros()) })
        })
        .collect();
    tx.execute(sql(
        "INSERT INTO job_events (org_id, job_id, id, type, attempt, data)
         SELECT org_id, job_id,
             coalesce(at, (extract(epoch FROM (SELECT clock_timestamp())) * 1000000)::bigint
                 - (row_number() OVER (PARTITION BY job_id ORDER BY ordinality DESC) - 1)),
             type, attempt, data FROM ROWS FROM (
             jsonb_to_recordset($1) AS (org_id uuid, job_id uuid, type text, attempt int, data jsonb, at bigint))
             WITH ORDINALITY
         ORDER BY ordinality",
        [storable(Json::Array(rows)).into()],
    ))
    .await?;
    Ok(())
}

/// The same JSON without the one character that Postgres cannot keep in `jsonb`: U+0000 becomes U+FFFD.
pub(crate) fn storable(json: Json) -> Json {
    match json {
        Json::String(text) if text.contains('\0') => Json::String(text.replace('\0', "\u{fffd}")),
        Json::Array(items) => Json::Array(items.into_iter().map(storable).collect()),
        Json::Object(fields) => Json::Object(
            fields.into_iter().map(|(name, value)| (name.replace('\0', "\u{fffd}"), storable(value))).collect(),
        ),
        other => other,
    }
}

//! Writing the history of jobs.

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
}

/// Writes events in the given order, in one statement.
pub(crate) async fn write(tx: &impl Tx, events: &[Event]) -> Result<()> {
    if events.is_empty() {
        return Ok(());
    }
    let rows: Vec<Json> = events
        .iter()
        .map(|event| {
            json!({ "org_id": event.org.uuid(), "job_id": event.job.uuid(), "type": event.name,
                    "attempt": event.attempt, "data": event.data })
        })
        .collect();
    tx.execute(sql(
        "INSERT INTO job_events (org_id, job_id, type, attempt, data)
         SELECT org_id, job_id, type, attempt, data FROM ROWS FROM (
             jsonb_to_recordset($1) AS (org_id uuid, job_id uuid, type text, attempt int, data jsonb)) WITH ORDINALITY
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

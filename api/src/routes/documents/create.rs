//! `POST /v1/documents`: handing a document in.

use axum::{
    extract::{Request, State},
    http::StatusCode,
    response::{IntoResponse as _, Response},
};
use gristmill_core::ids::{DocumentId, JobId, OrgId};
use gristmill_engine::{NewJob, submit::SubmitError};
use gristmill_files::FilesError;
use gristmill_store::{
    OrgTx,
    documents::{self, NewDocument, Put},
    jobs,
};
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;

use super::{
    DocumentBody,
    upload::{self, DocumentParts, DocumentRequest},
};
use crate::{
    app::Shared,
    auth::{Caller, Submit},
    idempotency::{Answer, Done, Repeat, once},
    observe::RequestId,
    openapi::{IdempotencyHeader, PreferHeader},
    problem::ApiError,
    routes::jobs::{JobBody, location},
    wait::{Prefer, Stopping},
};

/// The kind of job that reads documents.
const INGEST: &str = "document.ingest";

/// A document and the job that reads it.
#[derive(Debug, Serialize, ToSchema)]
pub struct DocumentAndJob {
    /// The document.
    pub document: DocumentBody,
    /// The job; null where it was pruned since.
    pub job: Option<JobBody>,
}

/// Hand in a document: a file in a form, or a text or an address in JSON. The same `external_id` again makes a new
/// version, or none if nothing changed; without one, so do the same bytes, or the same address.
#[utoipa::path(post, path = "/v1/documents", tag = "Documents",
    params(IdempotencyHeader, PreferHeader),
    request_body(content((DocumentParts = "multipart/form-data"), (DocumentRequest = "application/json"))),
    responses((status = 202, description = "Accepted; the job reads it", body = DocumentAndJob,
                  headers(("location", description = "Where the job is found"))),
              (status = 200, description = "Nothing changed, or the job ended within the time given by `Prefer: wait`",
                  body = DocumentAndJob),
              (status = 422, description = "`empty-document`, `invalid-url` or `address-not-allowed`")))]
pub(crate) async fn create(
    caller: Caller<Submit>,
    State(app): State<Shared>,
    repeat: Repeat,
    prefer: Prefer,
    stop: Stopping,
    request_id: RequestId,
    request: Request,
) -> Result<Response, ApiError> {
    let upload::Handed { new, content } = upload::read(&app, caller.org, request).await?;
    let id = JobId::generate();
    let tx = app.engine.db().org(caller.org).await?;
    let mut made = None;
    let done = once(&tx, caller.org, &repeat, content, async {
        match documents::put(&tx, &new, id).await? {
            Put::Unchanged(document) => Answer::new(StatusCode::OK, &both(&tx, &caller, document).await?),
            Put::Made { document, version } => {
                still_there(&app, caller.org, &new).await?;
                let args = json!({ "document_id": document, "version_id": version });
                let job = NewJob { id, request_id: Some(request_id.0), ..NewJob::new(INGEST, args) };
                ours(INGEST, app.engine.submit(&tx, job.about(&document)).await)?;
                made = Some(document);
                Ok(Answer::new(StatusCode::ACCEPTED, &both(&tx, &caller, document).await?)?.at(location(id)))
            }
        }
    })
    .await?;
    tx.commit().await?;
    app.engine.nudge();
    let (Some(document), Done::New(answer)) = (made, &done) else { return Ok(done.into_response()) };
    if prefer.until_over(&app.engine, &stop, caller.org, id).await?.is_none() {
        return Ok(prefer.applied(done.into_response()));
    }
    let tx = app.engine.db().org(caller.org).await?;
    let body = both(&tx, &caller, document).await?;
    tx.commit().await?;
    let finished = Answer { location: answer.location.clone(), ..Answer::new(StatusCode::OK, &body)? };
    Ok(prefer.applied(finished.into_response()))
}

/// A purge of the same bytes may have erased the file between its arrival and this transaction, which from now on keeps
/// it. Then the caller has to send it again.
async fn still_there(app: &Shared, org: OrgId, new: &NewDocument) -> Result<(), ApiError> {
    let Some(file) = &new.file else { return Ok(()) };
    match app.files.stream(&org.to_string(), &super::digest(&file.sha256)?).await {
        Ok(_) => Ok(()),
        Err(FilesError::NotFound { .. }) => {
            let (doing, source) = ("keep a file that is being erased", "its document was purged meanwhile".into());
            Err(FilesError::Unavailable { doing, source }.into())
        }
        Err(error) => Err(error.into()),
    }
}

async fn both(tx: &OrgTx, caller: &Caller<Submit>, id: DocumentId) -> Result<DocumentAndJob, ApiError> {
    let document = documents::find(tx, id).await?.ok_or(ApiError::NotFound("document"))?;
    let job = jobs::find(tx, document.job_id).await?.map(|job| JobBody::seen_by(job, caller));
    Ok(DocumentAndJob { document: document.into(), job })
}

/// A job that the server itself submits is refused through no fault of the caller.
pub(crate) fn ours(kind: &'static str, submitted: Result<JobId, SubmitError>) -> Result<JobId, ApiError> {
    submitted.map_err(|error| match error {
        SubmitError::UnknownKind(_) => ApiError::KindMissing(kind),
        SubmitError::Args(problems) => ApiError::Internal(format!("{kind} does not take our arguments: {problems:?}")),
        SubmitError::Store(error) => ApiError::Store(error),
        other => ApiError::Internal(format!("{kind} was refused: {other}")),
    })
}

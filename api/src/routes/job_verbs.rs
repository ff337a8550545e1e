//! `/v1/jobs/{id}:cancel`, `:retry` and `:promote`; and `DELETE /v1/jobs/{id}`.

use axum::{
    extract::State,
    http::StatusCode,
    response::{IntoResponse as _, Response},
};
use gristmill_core::ids::JobId;
use gristmill_engine::control::{Action, Controlled};
use gristmill_store::{OrgTx, Result};

use crate::{
    app::Shared,
    auth::{Admin, Caller, Operate},
    idempotency::{Answer, Done},
    openapi::PreferHeader,
    params::Id,
    problem::ApiError,
    routes::jobs::{JobBody, accepted, location, submitted},
    wait::{Prefer, Stopping},
};

/// Call a job off. One that runs is asked to stop, and ended if it does not.
#[utoipa::path(post, path = "/v1/jobs/{id}:cancel", tag = "Jobs",
    params(("id" = String, Path, description = "The job's id"), PreferHeader),
    responses((status = 200, description = "It is cancelled", body = JobBody),
              (status = 202, description = "It runs and was asked to stop", body = JobBody),
              (status = 409, description = "It is over already; `state` says how")))]
pub(crate) async fn cancel(
    caller: Caller<Operate>,
    State(app): State<Shared>,
    Id(id): Id<JobId>,
    prefer: Prefer,
    stop: Stopping,
) -> std::result::Result<Response, ApiError> {
    let tx = app.engine.db().org(caller.org).await?;
    let controlled = app.engine.act(&tx, Action::Cancel, id).await;
    done(&app, &caller, tx, id, controlled, "cancelled", prefer, &stop).await
}

/// Let a job that failed or was cancelled run once more.
#[utoipa::path(post, path = "/v1/jobs/{id}:retry", tag = "Jobs",
    params(("id" = String, Path, description = "The job's id"), PreferHeader),
    responses((status = 202, description = "It will run again", body = JobBody),
              (status = 200, description = "It ended within the time given by `Prefer: wait`", body = JobBody),
              (status = 409, description = "It did not fail and was not cancelled, and `state` says where it stands; or \
                  another one has its unique key")))]
pub(crate) async fn retry(
    caller: Caller<Operate>,
    State(app): State<Shared>,
    Id(id): Id<JobId>,
    prefer: Prefer,
    stop: Stopping,
) -> std::result::Result<Response, ApiError> {
    let tx = app.engine.db().org(caller.org).await?;
    let controlled = app.engine.act(&tx, Action::Retry, id).await;
    done(&app, &caller, tx, id, controlled, "retried", prefer, &stop).await
}

/// Let a scheduled job run now.
#[utoipa::path(post, path = "/v1/jobs/{id}:promote", tag = "Jobs",
    params(("id" = String, Path, description = "The job's id"), PreferHeader),
    responses((status = 202, description = "It will run now", body = JobBody),
              (status = 200, description = "It ended within the time given by `Prefer: wait`", body = JobBody),
              (status = 409, description = "It is not scheduled; `state` says where it stands")))]
pub(crate) async fn promote(
    caller: Caller<Operate>,
    State(app): State<Shared>,
    Id(id): Id<JobId>,
    prefer: Prefer,
    stop: Stopping,
) -> std::result::Result<Response, ApiError> {
    let tx = app.engine.db().org(caller.org).await?;
    let controlled = app.engine.act(&tx, Action::Promote, id).await;
    done(&app, &caller, tx, id, controlled, "promoted", prefer, &stop).await
}

/// Remove a job that is over, with its history. Needs the scope admin.
#[utoipa::path(delete, path = "/v1/jobs/{id}", tag = "Jobs",
    params(("id" = String, Path, description = "The job's id")),
    responses((status = 204, description = "It is gone"),
              (status = 409, description = "It is not over; `state` says where it stands")))]
pub(crate) async fn remove(
    caller: Caller<Admin>,
    State(app): State<Shared>,
    Id(id): Id<JobId>,
) -> std::result::Result<StatusCode, ApiError> {
    let tx = app.engine.db().org(caller.org).await?;
    match app.engine.act(&tx, Action::Delete, id).await? {
        Controlled::Done => {}
        Controlled::NotFound => return Err(ApiError::NotFound("job")),
        Controlled::Refused(state) => return Err(ApiError::State { state, wanted: "removed" }),
        Controlled::Duplicate => return Err(ApiError::Rivalled),
        Controlled::Blocked => return Err(ApiError::Blocked),
    }
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Answers what came of it: the job, or why not.
#[expect(clippy::too_many_arguments, reason = "what three handlers have in common")]
async fn done(
    app: &Shared,
    caller: &Caller<Operate>,
    tx: OrgTx,
    id: JobId,
    controlled: Result<Controlled>,
    wanted: &'static str,
    prefer: Prefer,
    stop: &Stopping,
) -> std::result::Result<Response, ApiError> {
    match controlled? {
        Controlled::Done => {}
        Controlled::NotFound => return Err(ApiError::NotFound("job")),
        Controlled::Refused(state) => return Err(ApiError::State { state, wanted }),
        Controlled::Duplicate => return Err(ApiError::Rivalled),
        Controlled::Blocked => return Err(ApiError::Blocked),
    }
    let job = submitted(&tx, id).await?;
    tx.commit().await?;
    app.engine.nudge();
    app.engine.announce_action(id);
    let over = job.is_over();
    let body = JobBody::seen_by(job, caller);
    if over {
        return Ok(Answer::new(StatusCode::OK, &body)?.into_response());
    }
    let answer = Answer::new(StatusCode::ACCEPTED, &body)?.at(location(id));
    accepted(app, caller, stop, prefer, id, Done::New(answer)).await
}

//! Holding an answer until a job has ended: `Prefer: wait=N` (RFC 7240).

use std::{convert::Infallible, time::Duration};

use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, HeaderName, HeaderValue, request::Parts},
    response::Response,
};
use futures::{StreamExt as _, stream::BoxStream};
use gristmill_core::ids::{JobId, OrgId};
use gristmill_engine::{Engine, delivery::Announcement};
use gristmill_store::{
    Db,
    jobs::{self, Job},
};
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::problem::ApiError;

/// The longest that an answer is held, in seconds.
const MOST_S: u64 = 30;
/// Announcements may be lost; so the job is looked at this often in any case.
const LOOK: Duration = Duration::from_secs(1);

/// How long the caller prefers to wait, in whole seconds, at most [`MOST_S`].
#[derive(Debug, Clone, Copy)]
pub(crate) struct Prefer(Option<u64>);

impl<S: Send + Sync> FromRequestParts<S> for Prefer {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self(wait(&parts.headers)))
    }
}

/// A preference that is not understood counts as not stated (RFC 7240, section 2).
fn wait(headers: &HeaderMap) -> Option<u64> {
    let values = headers.get_all("prefer").iter().filter_map(|value| value.to_str().ok());
    let mut preferences = values.flat_map(|value| value.split(',')).filter_map(|preference| {
        let (name, seconds) = preference.split(';').next()?.split_once('=')?;
        let named = name.trim().eq_ignore_ascii_case("wait");
        named.then(|| seconds.trim().trim_matches('"').parse::<u64>().ok()).flatten()
    });
    // Of a preference stated twice the first counts.
    preferences.next().map(|seconds| seconds.min(MOST_S)).filter(|seconds| *seconds > 0)
}

impl Prefer {
    /// The job, if it ends in the time that the caller prefers to wait, and before the server stops.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub(crate) async fn until_over(
        self,
        engine: &Engine,
        stop: &Stopping,
        org: OrgId,
        id: JobId,
    ) -> Result<Option<Job>, ApiError> {
        let Some(seconds) = self.0 else { return Ok(None) };
        let until = Instant::now() + Duration::from_secs(seconds);
        // Listen first, then look: what happens in between is heard.
        let mut changes = Changes::of(engine, id);
        loop {
            match find(engine.db(), org, id).await? {
                Some(job) if job.is_over() => return Ok(Some(job)),
                None => return Ok(None),
                Some(_) => {}
            }
            tokio::select! {
                () = stop.0.cancelled() => return Ok(None),
                heard = timeout_at(until, changes.next()) => if heard.is_err() { return Ok(None) },
            }
        }
    }

    /// Tells in `response` that the preference was honoured, where there was one.
    pub(crate) fn applied(self, mut response: Response) -> Response {
        if let Some(value) = self.0.and_then(|seconds| HeaderValue::try_from(format!("wait={seconds}")).ok()) {
            response.headers_mut().insert(HeaderName::from_static("preference-applied"), value);
        }
        response
    }
}

async fn find(db: &Db, org: OrgId, id: JobId) -> Result<Option<Job>, ApiError> {
    let tx = db.org(org).await?;
    let job = jobs::find(&tx, id).await?;
    tx.commit().await?;
    Ok(job)
}

/// The moments at which a job should be looked at anew.
pub(crate) struct Changes {
    announcements: BoxStream<'static, Announcement>,
    job: JobId,
}

impl Changes {
    /// Those of job `job`, from now on.
    pub(crate) fn of(engine: &Engine, job: JobId) -> Self {
        Self { announcements: engine.delivery().announcements(), job }
    }

    /// Resolves when something about the job was announced, and after a second in any case.
    pub(crate) async fn next(&mut self) {
        let look = tokio::time::sleep(LOOK);
        tokio::pin!(look);
        loop {
            tokio::select! {
                () = &mut look => return,
                heard = self.announcements.next() => match heard {
                    Some(change) if change.job == self.job => return,
                    Some(_) => {}
                    // Nobody announces any more: the look in a second is all there is.
                    None => return look.await,
                },
            }
        }
    }
}

/// Tells a handler that waits or streams that the server stops.
#[derive(Debug, Clone, Default)]
pub(crate) struct Stopping(pub(crate) CancellationToken);

impl<S: Send + Sync> FromRequestParts<S> for Stopping {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        // A router that is called without a server never stops.
        Ok(parts.extensions.get::<Self>().cloned().unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::wait;
    use axum::http::{HeaderMap, HeaderName, HeaderValue};

    fn stated(values: &[&'static str]) -> Option<u64> {
        let header = |value: &&'static str| (HeaderName::from_static("prefer"), HeaderValue::from_static(value));
        wait(&values.iter().map(header).collect::<HeaderMap>())
    }

    #[test]
    fn the_preference_is_read_and_bounded() {
        assert_eq!(stated(&["wait=10"]), Some(10));
        assert_eq!(stated(&["respond-async, Wait=\"7\"; foo"]), Some(7));
        assert_eq!(stated(&["return=minimal", "wait=5", "wait=9"]), Some(5));
        assert_eq!(stated(&["wait=900"]), Some(30));
        for none in [&[][..], &["wait"], &["wait=soon"], &["wait=-1"], &["wait=0"]] {
            assert_eq!(stated(none), None, "{none:?}");
        }
    }
}

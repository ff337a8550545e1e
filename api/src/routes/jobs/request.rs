//! Jobs as they are handed in, one or many: what is asked for, checked as far as no other job matters.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use gristmill_core::{clock, ids::JobId};
use gristmill_engine::{
    NewJob, Queue,
    submit::{FollowUp, Start},
    unique::{OnConflict, Unique, While},
};
use serde::Deserialize;
use serde_json::{Map, Value as Json};
use utoipa::ToSchema;

use crate::{observe::RequestId, params, problem::ApiError, routes::bulk_actions};

/// How far ahead a job may be scheduled.
const FARTHEST: TimeDelta = TimeDelta::days(3_660);
/// The most jobs that one may follow.
const MOST_AFTER: usize = 100;
/// The longest key, in characters.
pub(crate) const LONGEST_KEY: usize = 200;

/// A job to be.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct JobRequest {
    /// What it does; `GET /v1/kinds` lists the kinds.
    #[schema(example = "feed.poll")]
    pub(crate) kind: String,
    /// What the kind is given, as its `args_schema` says.
    #[serde(default)]
    args: Map<String, Json>,
    /// Where it waits, if not where its kind says: `ingest`, `ai`, `io` or `default`.
    queue: Option<String>,
    /// 0 (first) to 9. A level is worth ten minutes of waiting.
    #[serde(default = "five")]
    #[schema(minimum = 0, maximum = 9)]
    priority: i16,
    /// Not before this time.
    run_at: Option<DateTime<Utc>>,
    /// Not before so many seconds from now.
    #[schema(minimum = 0)]
    delay_s: Option<u64>,
    /// Labels to find it by.
    #[serde(default)]
    tags: Vec<String>,
    /// How often it may be started, 1 to 100.
    #[schema(minimum = 1, maximum = 100)]
    max_attempts: Option<u16>,
    /// How long one attempt may take, in seconds, 1 to 86,400.
    #[schema(minimum = 1, maximum = 86_400)]
    timeout_s: Option<u64>,
    /// What makes it the only one of its sort.
    unique: Option<UniqueRequest>,
    /// Ids of jobs that have to succeed before it starts, at most 100. If one does not, it is cancelled; retrying that one
    /// lets it wait again. In a batch, refs of its jobs as well.
    #[serde(default)]
    after: Vec<String>,
    /// A job that is handed in when it succeeded.
    on_success: Option<FollowUpRequest>,
    /// A job that is handed in when it failed or was cancelled.
    on_failure: Option<FollowUpRequest>,
    /// Of the jobs of the organization with this key only `concurrency_limit` run at once.
    #[schema(min_length = 1, max_length = 200, example = "crm:acme")]
    concurrency_key: Option<String>,
    /// How many of its key may run at once, 1 to 10,000; 1 if not given.
    #[schema(minimum = 1, maximum = 10_000)]
    concurrency_limit: Option<i32>,
    /// How much of its limits' rates it uses up, 1 to 1,000,000; 1 if not given.
    #[schema(minimum = 1, maximum = 1_000_000)]
    units: Option<i32>,
    /// In a batch: a name by which other jobs of the batch may follow it.
    #[serde(rename = "ref")]
    #[schema(min_length = 1, max_length = 200)]
    pub(crate) name: Option<String>,
}

fn five() -> i16 {
    5
}

/// What makes a job the only one of its sort.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UniqueRequest {
    /// What they have in common, within the organization.
    #[schema(min_length = 1, max_length = 200)]
    key: String,
    /// How long it keeps others away: while it is `queued` (until it first starts), `running` (until it is over; if not
    /// given), or `until_success` (one that failed has to be retried or cancelled first).
    #[serde(rename = "while", default = "while_running")]
    #[schema(value_type = String, example = "running")]
    lasts: While,
    /// What becomes of another one: `ignore` answers with the existing job (if not given), `replace` lets the existing one
    /// do what the new one was to do unless it has started, `reject` refuses the new one.
    #[serde(default = "ignore")]
    #[schema(value_type = String, example = "ignore")]
    on_conflict: OnConflict,
}

fn while_running() -> While {
    While::Running
}

fn ignore() -> OnConflict {
    OnConflict::Ignore
}

/// A job that is handed in when another one, or a batch, has ended.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct FollowUpRequest {
    /// What it does.
    #[schema(example = "analysis.run")]
    kind: String,
    /// What the kind is given. That it is about the ended job or batch is told by its `subject`.
    #[serde(default)]
    args: Map<String, Json>,
    /// Where it waits, if not where its kind says.
    queue: Option<String>,
    /// 0 (first) to 9; 5 if not given.
    #[schema(minimum = 0, maximum = 9)]
    priority: Option<i16>,
    /// Labels to find it by.
    #[serde(default)]
    tags: Vec<String>,
}

fn within(fits: bool, pointer: &str, detail: &str) -> Result<(), ApiError> {
    if fits { Ok(()) } else { Err(ApiError::field(pointer, detail)) }
}

impl JobRequest {
    /// The job, and the names of what it is to follow.
    ///
    /// # Errors
    /// When something is out of bounds.
    pub(crate) fn check(self, request_id: &RequestId) -> Result<(NewJob, Vec<String>), ApiError> {
        within((0..=9).contains(&self.priority), "/priority", "is 0 to 9")?;
        within(self.max_attempts.is_none_or(|most| (1..=100).contains(&most)), "/max_attempts", "is 1 to 100")?;
        within(self.timeout_s.is_none_or(|most| (1..=86_400).contains(&most)), "/timeout_s", "is 1 to 86400")?;
        within(self.units.is_none_or(|units| (1..=1_000_000).contains(&units)), "/units", "is 1 to 1000000")?;
        within(self.after.len() <= MOST_AFTER, "/after", "has at most 100 jobs")?;
        params::labels("/tags", &self.tags)?;
        bulk_actions::not_by_hand(&self.kind, "/kind")?;
        let job = NewJob {
            queue: queue(self.queue.as_deref(), "/queue")?,
            priority: self.priority,
            start: start(self.run_at, self.delay_s)?,
            tags: self.tags,
            max_attempts: self.max_attempts,
            timeout: self.timeout_s.map(Duration::from_secs),
            request_id: Some(request_id.0.clone()),
            concurrency: concurrency(self.concurrency_key, self.concurrency_limit)?,
            units: self.units.unwrap_or(1),
            unique: self.unique.map(UniqueRequest::check).transpose()?,
            on_success: self.on_success.map(|job| job.check("/on_success")).transpose()?,
            on_failure: self.on_failure.map(|job| job.check("/on_failure")).transpose()?,
            ..NewJob::new(self.kind, Json::Object(self.args))
        };
        Ok((job, self.after))
    }

    /// The same for a job that is handed in by itself: it follows jobs by their ids only.
    ///
    /// # Errors
    /// When something is out of bounds.
    pub(crate) fn alone(self, request_id: &RequestId) -> Result<NewJob, ApiError> {
        within(self.name.is_none(), "/ref", "is for jobs of a batch")?;
        let (job, names) = self.check(request_id)?;
        let id = |(index, name): (usize, &String)| {
            name.parse::<JobId>().map_err(|error| ApiError::field(format!("/after/{index}"), error.to_string()))
        };
        Ok(NewJob { after: names.iter().enumerate().map(id).collect::<Result<_, _>>()?, ..job })
    }
}

impl UniqueRequest {
    fn check(self) -> Result<Unique, ApiError> {
        params::length("/unique/key", Some(&self.key), LONGEST_KEY)?;
        Ok(Unique { key: self.key, lasts: self.lasts, on_conflict: self.on_conflict })
    }
}

impl FollowUpRequest {
    /// The follow-up that stands at `root` in the body.
    ///
    /// # Errors
    /// When something is out of bounds.
    pub(crate) fn check(self, root: &str) -> Result<FollowUp, ApiError> {
        let fits = self.priority.is_none_or(|priority| (0..=9).contains(&priority));
        within(fits, &format!("{root}/priority"), "is 0 to 9")?;
        params::labels(&format!("{root}/tags"), &self.tags)?;
        bulk_actions::not_by_hand(&self.kind, &format!("{root}/kind"))?;
        let queue = queue(self.queue.as_deref(), &format!("{root}/queue"))?;
        let Self { kind, args, priority, tags, .. } = self;
        Ok(FollowUp { kind, args: Json::Object(args), queue, priority, tags })
    }
}

fn queue(name: Option<&str>, pointer: &str) -> Result<Option<Queue>, ApiError> {
    name.map(str::parse::<Queue>).transpose().map_err(|error| ApiError::field(pointer, error.to_string()))
}

fn concurrency(key: Option<String>, limit: Option<i32>) -> Result<Option<(String, i32)>, ApiError> {
    within(limit.is_none_or(|most| (1..=10_000).contains(&most)), "/concurrency_limit", "is 1 to 10000")?;
    params::length("/concurrency_key", key.as_deref(), LONGEST_KEY)?;
    match (key, limit) {
        (Some(key), limit) => Ok(Some((key, limit.unwrap_or(1)))),
        (None, Some(_)) => Err(ApiError::field("/concurrency_limit", "is given with concurrency_key only")),
        (None, None) => Ok(None),
    }
}

fn start(run_at: Option<DateTime<Utc>>, delay_s: Option<u64>) -> Result<Start, ApiError> {
    let farthest_s = FARTHEST.num_seconds().unsigned_abs();
    match (run_at, delay_s) {
        (Some(_), Some(_)) => Err(ApiError::field("/delay_s", "is given instead of run_at, not with it")),
        (None, Some(seconds)) if seconds > farthest_s => Err(ApiError::field("/delay_s", "is at most ten years")),
        (None, Some(seconds)) => Ok(Start::In(Duration::from_secs(seconds))),
        (Some(time), None) if time > clock::now() + FARTHEST => {
            Err(ApiError::field("/run_at", "is at most ten years ahead"))
        }
        (Some(time), None) => Ok(Start::At(params::plausible("/run_at", Some(time))?.unwrap_or(time))),
        (None, None) => Ok(Start::Now),
    }
}

#[cfg(test)]
mod tests {
    use super::{JobRequest, start};
    use crate::{observe::RequestId, problem::ApiError};
    use gristmill_core::clock;
    use gristmill_engine::submit::Start;
    use serde_json::json;
    use std::time::Duration;

    fn wrong(body: serde_json::Value) -> String {
        let request: JobRequest = serde_json::from_value(body).unwrap();
        match request.alone(&RequestId("r1".to_owned())) {
            Err(ApiError::Invalid { errors, .. }) => errors[0].pointer.clone(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_is_out_of_bounds_is_pointed_at() {
        for (field, value) in [("priority", 10), ("max_attempts", 0), ("timeout_s", 86_401), ("delay_s", 1_i64 << 40)] {
            assert_eq!(wrong(json!({ "kind": "x", field: value })), format!("/{field}"));
        }
        for (field, value) in [("queue", json!("y")), ("units", json!(0)), ("concurrency_limit", json!(2))] {
            assert_eq!(wrong(json!({ "kind": "x", field: value })), format!("/{field}"));
        }
        for field in ["ref", "concurrency_key"] {
            assert_eq!(wrong(json!({ "kind": "x", field: "" })), format!("/{field}"));
        }
        assert_eq!(wrong(json!({ "kind": "x", "tags": ["a", ""] })), "/tags/1");
        assert_eq!(wrong(json!({ "kind": "x", "after": ["job_1"] })), "/after/0");
        assert_eq!(wrong(json!({ "kind": "x", "unique": { "key": "" } })), "/unique/key");
        assert_eq!(
            wrong(json!({ "kind": "x", "on_failure": { "kind": "y", "priority": 10 } })),
            "/on_failure/priority"
        );
        assert_eq!(wrong(json!({ "kind": "jobs.bulk" })), "/kind");
        assert_eq!(wrong(json!({ "kind": "x", "on_success": { "kind": "jobs.bulk" } })), "/on_success/kind");
        assert_eq!(wrong(json!({ "kind": "x", "delay_s": 1, "run_at": "2026-01-01T00:00:00Z" })), "/delay_s");
        assert_eq!(wrong(json!({ "kind": "x", "run_at": "2999-01-01T00:00:00Z" })), "/run_at");
    }

    #[test]
    fn a_start_is_now_later_or_at_a_time() {
        assert_eq!(start(None, None).unwrap(), Start::Now);
        assert_eq!(start(None, Some(5)).unwrap(), Start::In(Duration::from_secs(5)));
        let time = clock::now();
        assert_eq!(start(Some(time), None).unwrap(), Start::At(time));
    }
}

//! Why a job that does not run does not: told by the same rules that hold it back.

use chrono::{DateTime, TimeDelta, Utc};
use gristmill_core::ids::JobId;
use gristmill_engine::{
    Engine,
    flow::{Block, EVERYBODY, Lane, Scope, Subject},
    state::State,
};
use gristmill_store::{
    OrgTx,
    jobs::{self, Job},
    workers,
};
use serde::Serialize;
use utoipa::ToSchema;

use crate::problem::ApiError;

/// Jobs that go first are counted no further.
const MOST_AHEAD: i64 = 10_000;

/// Why a job does not run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct WaitingFor {
    /// A word for it: `dependency`, `scheduled`, `no_worker`, `paused_queue`, `paused_kind`, `paused_org`, `paused_key`,
    /// `queue_concurrency`, `kind_concurrency`, `org_concurrency`, `key_concurrency`, `rate_limit` or `behind:N`, N being
    /// how many jobs of its own queue, kind and concurrency key go first (`behind:10000+` for more than are counted).
    #[schema(example = "behind:3")]
    pub code: String,
    /// The same in a sentence, with what can be done about it.
    pub detail: String,
    /// Until when, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<DateTime<Utc>>,
    /// Jobs that it waits for, at most ten of them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<String>)]
    pub jobs: Vec<JobId>,
}

impl WaitingFor {
    fn new(code: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { code: code.into(), detail: detail.into(), until: None, jobs: Vec::new() }
    }
}

/// What one transaction can tell of it.
#[derive(Debug)]
pub(super) enum Look {
    /// Everything; nothing where the job does not wait.
    Told(Option<WaitingFor>),
    /// It may run as far as this organization's rows tell, and so many go first.
    InLine(i64),
}

/// Looks at what stands in the organization's own rows.
pub(super) async fn look(tx: &OrgTx, job: &Job) -> Result<Look, ApiError> {
    let told = match job.state.parse::<State>() {
        Ok(State::Waiting) => dependency(jobs::waits_for(tx, job.id).await?),
        Ok(State::Scheduled) => scheduled(job),
        Ok(State::Queued) if workers::alive_for(tx, &job.queue).await? == 0 => {
            let detail = format!(
                "No living worker has slots for the queue \"{0}\"; start one, or give one slots for it.",
                job.queue
            );
            WaitingFor::new("no_worker", detail)
        }
        Ok(State::Queued) => return Ok(Look::InLine(jobs::ahead_of(tx, job, MOST_AHEAD + 1).await?)),
        Ok(State::Running | State::Succeeded | State::Failed | State::Cancelled) | Err(_) => {
            return Ok(Look::Told(None));
        }
    };
    Ok(Look::Told(Some(told)))
}

/// Why `job` does not run. Holds no connection but while it asks.
pub(super) async fn tell(engine: &Engine, job: &Job, look: Look) -> Result<Option<WaitingFor>, ApiError> {
    let ahead = match look {
        Look::Told(told) => return Ok(told),
        Look::InLine(ahead) => ahead,
    };
    let Ok(queue) = job.queue.parse() else { return Ok(None) };
    let lane = Lane { queue, org: job.org_id, kind: job.kind.clone(), key: job.concurrency_key.clone() };
    let flow = engine.flow_of(&lane, Some(job.id)).await?;
    Ok(Some(match flow.admits(&lane, job.key_limit) {
        Err(block) => blocked(&block),
        Ok(()) => behind(ahead, &job.queue),
    }))
}

fn dependency(jobs: Vec<JobId>) -> WaitingFor {
    let names: Vec<String> = jobs.iter().map(ToString::to_string).collect();
    let detail = match names.as_slice() {
        [] => "The jobs that it follows have succeeded; it goes on in a moment.".to_owned(),
        [one] => format!("It starts when {one} has succeeded."),
        _ => format!("It starts when these have succeeded: {}.", names.join(", ")),
    };
    WaitingFor { jobs, ..WaitingFor::new("dependency", detail) }
}

fn scheduled(job: &Job) -> WaitingFor {
    let at = written(job.run_at);
    let detail = if job.attempt > 0 {
        format!("Attempt {} did not end well; the next is due at {at}.", job.attempt)
    } else {
        format!("It is due at {at}; :promote lets it run at once.")
    };
    WaitingFor { until: Some(job.run_at), ..WaitingFor::new("scheduled", detail) }
}

fn blocked(block: &Block) -> WaitingFor {
    match block {
        Block::Paused(subject, until) => {
            let until = until.and_then(time);
            let (whose, end) = (whose(subject), until.map_or_else(String::new, |at| format!(" until {}", written(at))));
            let who = if subject.org == EVERYBODY { "; an administrator of the installation paused it" } else { "" };
            let detail = format!("{} is paused{end}{who}. {} ends the pause.", capital(&whose), resume(subject));
            WaitingFor { until, ..WaitingFor::new(format!("paused_{}", subject.scope), detail) }
        }
        Block::Full(subject, most) => {
            let detail = format!(
                "As many jobs run as may run at once for {}: {most}. It starts when one of them ends, or the limit is raised.",
                whose(subject)
            );
            WaitingFor::new(format!("{}_concurrency", subject.scope), detail)
        }
        Block::Rate(subject, wait) => {
            let detail = format!(
                "What may start per minute for {} is used up for another {:.1} s.",
                whose(subject),
                wait.as_secs_f64()
            );
            WaitingFor::new("rate_limit", detail)
        }
    }
}

/// What is held back, as an operator calls it.
fn whose(subject: &Subject) -> String {
    let all = if subject.org == EVERYBODY { " for everybody" } else { "" };
    match subject.scope {
        Scope::Org => "your organization".to_owned(),
        Scope::Queue => format!("the queue \"{}\"{all}", subject.name),
        Scope::Kind => format!("the kind \"{}\"{all}", subject.name),
        Scope::Key => format!("the concurrency key \"{}\"", subject.name),
    }
}

fn resume(subject: &Subject) -> String {
    match subject.scope {
        Scope::Queue => format!("POST /v1/queues/{}:resume", subject.name),
        Scope::Org => "POST /v1/limits/org/{id}:resume, by an administrator of the installation,".to_owned(),
        Scope::Kind | Scope::Key => format!("POST /v1/limits/{}/{}:resume", subject.scope, subject.name),
    }
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

/// Seconds since 2000, as limits have them, as a time.
fn time(seconds: f64) -> Option<DateTime<Utc>> {
    let start = DateTime::from_timestamp(946_684_800, 0)?;
    #[expect(clippy::cast_possible_truncation, reason = "a time of the next centuries fits, any other saturates")]
    start.checked_add_signed(TimeDelta::milliseconds((seconds * 1_000.0) as i64))
}

fn written(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(chrono::SecondsFormat::Secs, true)
}

fn behind(ahead: i64, queue: &str) -> WaitingFor {
    let detail = match ahead {
        0 => "It is next in line and starts as soon as a slot is free.".to_owned(),
        1 => format!("One like it in the queue \"{queue}\" goes first."),
        _ if ahead > MOST_AHEAD => format!("More than {MOST_AHEAD} like it in the queue \"{queue}\" go first."),
        _ => format!("{ahead} like it in the queue \"{queue}\" go first."),
    };
    let code = if ahead > MOST_AHEAD { format!("behind:{MOST_AHEAD}+") } else { format!("behind:{ahead}") };
    WaitingFor::new(code, detail)
}

#[cfg(test)]
mod tests {
    use super::{behind, blocked, dependency};
    use gristmill_core::ids::{JobId, OrgId};
    use gristmill_engine::flow::{Block, EVERYBODY, Scope, Subject};
    use std::time::Duration;

    fn subject(scope: Scope, name: &str) -> Subject {
        Subject { org: OrgId::generate().uuid(), scope, name: name.to_owned() }
    }

    #[test]
    fn the_line_is_told_in_words() {
        assert_eq!(behind(0, "ai").code, "behind:0");
        assert!(behind(2, "ai").detail.starts_with("2 like it"));
        assert_eq!(behind(10_001, "ai").code, "behind:10000+");
    }

    #[test]
    fn what_it_waits_for_is_named() {
        let jobs = [JobId::generate(), JobId::generate()];
        let told = dependency(jobs.to_vec());
        assert!(told.code == "dependency" && jobs.iter().all(|job| told.detail.contains(&job.to_string())));
    }

    #[test]
    fn every_block_says_what_it_is_and_how_it_ends() {
        // 2026-01-01 in seconds since 2000.
        let pause = blocked(&Block::Paused(subject(Scope::Queue, "ai"), Some(820_540_800.0)));
        assert_eq!(pause.code, "paused_queue");
        assert!(pause.detail.contains("until 2026-01-01T00:00:00Z") && pause.detail.contains("/v1/queues/ai:resume"));
        assert_eq!(pause.until.unwrap().to_rfc3339(), "2026-01-01T00:00:00+00:00");
        let everybody = Subject { org: EVERYBODY, ..subject(Scope::Kind, "x") };
        assert!(blocked(&Block::Paused(everybody, None)).detail.contains("administrator"));
        let full = blocked(&Block::Full(subject(Scope::Key, "crm"), 2));
        assert!(full.code == "key_concurrency" && full.detail.contains("\"crm\": 2"), "{}", full.detail);
        let rate = blocked(&Block::Rate(subject(Scope::Org, ""), Duration::from_millis(1_500)));
        assert!(rate.code == "rate_limit" && rate.detail.contains("1.5 s"), "{}", rate.detail);
    }
}

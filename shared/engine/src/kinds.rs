//! The kinds of job that exist.
//!
//! Code lives in workers; the API, which does not know workers, learns each kind's queue, limits and arguments from
//! the table `job_kinds`, where workers (and `gristmill migrate`) write what they can run.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, RwLock},
    time::{Duration, Instant},
};

use futures::{FutureExt as _, future::BoxFuture};
use gristmill_store::{
    SystemTx,
    db::{Tx, sql},
};
use sea_orm::FromQueryResult;
use serde_json::Value as Json;

use crate::{
    backoff::Backoff,
    ctx::Ctx,
    job::{Failure, Job, JobError},
    queue::Queue,
};

/// What is known of a kind outside the workers that run it.
#[derive(Debug, Clone)]
pub struct KindInfo {
    /// Its name.
    pub kind: String,
    /// What it does, in a sentence.
    pub about: String,
    /// Where its jobs wait.
    pub queue: Queue,
    /// How often one may be started.
    pub max_attempts: i32,
    /// How long one attempt may take, in seconds.
    pub timeout_s: i32,
    /// The JSON Schema of its arguments.
    pub args_schema: Json,
}

type Runner<S> = Arc<dyn for<'c> Fn(Json, &'c Ctx<S>) -> BoxFuture<'c, Result<Json, JobError>> + Send + Sync>;

/// The kinds a worker can run, with their code.
pub struct Kinds<S> {
    entries: BTreeMap<&'static str, Entry<S>>,
}

pub(crate) struct Entry<S> {
    info: KindInfo,
    pub(crate) backoff: Backoff,
    pub(crate) run: Runner<S>,
}

impl<S> Default for Kinds<S> {
    fn default() -> Self {
        Self { entries: BTreeMap::new() }
    }
}

impl<S: Send + Sync + 'static> Kinds<S> {
    /// Adds a kind. Called by [`job_kinds!`](crate::job_kinds).
    ///
    /// # Panics
    /// When two kinds have one name.
    pub fn add<J: Job<S>>(&mut self) {
        let info = KindInfo {
            kind: J::KIND.to_owned(),
            about: J::ABOUT.to_owned(),
            queue: J::QUEUE,
            max_attempts: i32::from(J::MAX_ATTEMPTS),
            timeout_s: i32::try_from(J::TIMEOUT.as_secs()).unwrap_or(i32::MAX),
            args_schema: schemars::schema_for!(J).to_value(),
        };
        let run: Runner<S> = Arc::new(|args, ctx| {
            async move {
                let job: J = serde_json::from_value(args).map_err(|error| {
                    let message = "This version cannot read the job's arguments; submit it anew.";
                    JobError::Permanent(Failure::new("args-unreadable", message).with_detail(error.to_string()))
                })?;
                Ok(serde_json::to_value(job.run(ctx).await?)?)
            }
            .boxed()
        });
        let twice = self.entries.insert(J::KIND, Entry { info, backoff: J::BACKOFF, run });
        assert!(twice.is_none(), "two kinds of job are called {}", J::KIND);
    }

    /// The names, in order.
    pub fn names(&self) -> Vec<&'static str> {
        self.entries.keys().copied().collect()
    }

    pub(crate) fn get(&self, kind: &str) -> Option<&Entry<S>> {
        self.entries.get(kind)
    }

    /// Writes into the database what these kinds are, for those who submit them.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn publish(&self, tx: &SystemTx) -> gristmill_store::Result<()> {
        for Entry { info, .. } in self.entries.values() {
            tx.execute(sql(
                "INSERT INTO job_kinds (kind, about, queue, max_attempts, timeout_s, args_schema) VALUES ($1, $2, $3, $4, $5, $6)
                 ON CONFLICT (kind) DO UPDATE SET about = excluded.about, queue = excluded.queue, updated_at = now(),
                     max_attempts = excluded.max_attempts, timeout_s = excluded.timeout_s, args_schema = excluded.args_schema",
                [
                    info.kind.clone().into(),
                    info.about.clone().into(),
                    info.queue.name().into(),
                    info.max_attempts.into(),
                    info.timeout_s.into(),
                    info.args_schema.clone().into(),
                ],
            ))
            .await?;
        }
        Ok(())
    }
}

/// A kind as those who submit it see it.
#[derive(Debug)]
pub struct Kind {
    /// What is known of it.
    pub info: KindInfo,
    validator: jsonschema::Validator,
}

/// Something about a job's arguments that its kind does not accept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArgsProblem {
    /// Where in the arguments, as a JSON Pointer (RFC 6901).
    pub pointer: String,
    /// What is wrong there.
    pub detail: String,
}

impl Kind {
    /// Everything about `args` that the kind does not accept.
    pub fn problems(&self, args: &Json) -> Vec<ArgsProblem> {
        let problem = |error: jsonschema::ValidationError<'_>| ArgsProblem {
            pointer: error.instance_path().to_string(),
            detail: error.to_string(),
        };
        self.validator.iter_errors(args).map(problem).collect()
    }
}

/// How long what was read of the kinds is believed.
const BELIEVED: Duration = Duration::from_secs(60);
/// A kind that is not known is looked for in the database at most so often.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

type ByName = HashMap<String, Arc<Kind>>;

/// The kinds that exist, as the database tells them, kept in memory for a minute.
#[derive(Debug, Default)]
pub struct Catalogue {
    /// When they were read, and what was read.
    known: RwLock<Option<(Instant, ByName)>>,
}

impl Catalogue {
    /// The kind called `name`, if any worker has ever said it can run it. Reads through the caller's transaction: one that
    /// waited for a second connection while it holds the first would starve its neighbours, and they it.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn find(&self, tx: &impl Tx, name: &str) -> gristmill_store::Result<Option<Arc<Kind>>> {
        if let Some((read_at, kinds)) = &*self.known.read().unwrap_or_else(std::sync::PoisonError::into_inner) {
            let age = read_at.elapsed();
            match kinds.get(name) {
                Some(kind) if age < BELIEVED => return Ok(Some(kind.clone())),
                None if age < LOOK_AGAIN => return Ok(None),
                _ => {}
            }
        }
        let kinds = read(tx).await?;
        let found = kinds.get(name).cloned();
        *self.known.write().unwrap_or_else(std::sync::PoisonError::into_inner) = Some((Instant::now(), kinds));
        Ok(found)
    }

    /// Every kind that exists, by name.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn all(&self, tx: &impl Tx) -> gristmill_store::Result<Vec<Arc<Kind>>> {
        let mut kinds: Vec<_> = read(tx).await?.into_values().collect();
        kinds.sort_by(|one, other| one.info.kind.cmp(&other.info.kind));
        Ok(kinds)
    }
}

async fn read(tx: &impl Tx) -> gristmill_store::Result<ByName> {
    #[derive(FromQueryResult)]
    struct Row {
        kind: String,
        about: String,
        queue: String,
        max_attempts: i32,
        timeout_s: i32,
        args_schema: Json,
    }
    let rows: Vec<Row> =
        tx.all(sql("SELECT kind, about, queue, max_attempts, timeout_s, args_schema FROM job_kinds", [])).await?;
    let mut kinds = ByName::new();
    for row in rows {
        // Kinds of a later version may wait in queues, or have schemas, that this one does not know.
        let (Ok(queue), Ok(validator)) = (row.queue.parse(), jsonschema::validator_for(&row.args_schema)) else {
            tracing::warn!(job.kind = row.kind, "a kind of job that this version does not understand");
            continue;
        };
        let info = KindInfo {
            kind: row.kind.clone(),
            about: row.about,
            queue,
            max_attempts: row.max_attempts,
            timeout_s: row.timeout_s,
            args_schema: row.args_schema,
        };
        kinds.insert(row.kind, Arc::new(Kind { info, validator }));
    }
    Ok(kinds)
}

//! Jobs that leave a trace of every effect, and one that takes its worker along.

use std::time::Duration;

use gristmill_engine::{Ctx, Job, JobError, NewJob, Queue, backoff::Backoff};
use gristmill_store::db::{Tx as _, sql};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The table that [`Write`] writes to. Nothing in it is unique, so that an effect that came twice would show.
pub const LEDGER: [&str; 2] = [
    "CREATE TABLE ledger (
        seq    bigserial PRIMARY KEY,
        job_id uuid NOT NULL,
        n      bigint NOT NULL,
        follow boolean NOT NULL,
        queue  text NOT NULL,
        at     timestamptz NOT NULL DEFAULT clock_timestamp()
    )",
    "CREATE INDEX ledger_by_queue ON ledger (queue, seq)",
];

/// Takes its time, then does what it is told.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Write {
    /// Its number.
    pub n: i64,
    /// Where it waits, for the ledger.
    #[schemars(with = "String")]
    pub queue: Queue,
    /// How long it takes, in milliseconds.
    pub ms: u64,
    /// How it goes.
    pub way: Way,
}

/// How a [`Write`] goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Way {
    /// It writes a line into the ledger in its finishing transaction.
    Plain,
    /// The same, and hands in a follow-up in that transaction.
    Follow,
    /// It is such a follow-up.
    IsFollow,
    /// The first attempt fails, the next writes.
    FailFirst,
    /// The first attempt fails inside the finishing transaction, after it has written; the next writes.
    FailLate,
    /// The first attempt panics, the next writes.
    PanicFirst,
    /// It writes at once, and takes its time inside the finishing transaction.
    Linger,
    /// It writes nothing, and returns its number.
    Value,
}

impl Job<()> for Write {
    const KIND: &'static str = "test.write";
    const ABOUT: &'static str = "Takes its time, then writes a line into the ledger.";
    const QUEUE: Queue = Queue::Default;
    // What is killed in the middle of its work again and again must not run out of attempts.
    const MAX_ATTEMPTS: u16 = 100;
    const TIMEOUT: Duration = Duration::from_secs(60);
    const BACKOFF: Backoff = Backoff { first: Duration::from_millis(100), most: Duration::from_secs(1) };

    type Output = i64;

    async fn run(self, ctx: &Ctx<()>) -> Result<i64, JobError> {
        if self.way != Way::Linger {
            self.dawdle().await;
        }
        let is_first = ctx.attempt() == 1;
        match self.way {
            Way::FailFirst if is_first => Err(JobError::transient("told-to", "It was told to fail.")),
            Way::PanicFirst if is_first => panic!("told to panic"),
            Way::Value => Ok(self.n),
            _ => self.finish(ctx, is_first).await,
        }
    }
}

impl Write {
    async fn dawdle(&self) {
        tokio::time::sleep(Duration::from_millis(self.ms)).await;
    }

    async fn finish(self, ctx: &Ctx<()>, is_first: bool) -> Result<i64, JobError> {
        let id = ctx.job_id();
        ctx.finish(async |tx| {
            let line = "INSERT INTO ledger (job_id, n, follow, queue) VALUES ($1, $2, $3, $4)";
            let follow = self.way == Way::IsFollow;
            let values = [id.into(), self.n.into(), follow.into(), self.queue.name().into()];
            tx.execute(sql(line, values)).await?;
            match self.way {
                Way::FailLate if is_first => {
                    return Err(JobError::transient("told-to", "It was told to fail after writing."));
                }
                Way::Follow => {
                    let next = Self { queue: Queue::Default, way: Way::IsFollow, ..self.clone() };
                    ctx.submit(tx, NewJob::of(&next)?).await?;
                }
                Way::Linger => self.dawdle().await,
                _ => {}
            }
            Ok(self.n)
        })
        .await
    }
}

/// Ends its process.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Abort {}

impl Job<()> for Abort {
    const KIND: &'static str = "test.abort";
    const ABOUT: &'static str = "Ends the process that runs it.";
    const QUEUE: Queue = Queue::Default;
    const MAX_ATTEMPTS: u16 = 3;

    type Output = ();

    async fn run(self, _: &Ctx<()>) -> Result<(), JobError> {
        std::process::abort()
    }
}

gristmill_engine::job_kinds! {
    /// Every kind of job of the test worker.
    pub fn kinds() for () { Write, Abort }
}

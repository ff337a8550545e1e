//! Jobs made for testing. What they do is decided by their arguments, and by the test through [`Stage`].

use std::{collections::HashMap, sync::Mutex, time::Duration};

use gristmill_engine::{Ctx, Failure, Job, JobError, Queue, backoff::Backoff};
use gristmill_store::db::{Tx as _, sql};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

/// What a test and its jobs share.
#[derive(Debug)]
pub struct Stage {
    open: watch::Sender<bool>,
    runs: watch::Sender<HashMap<String, usize>>,
    /// What jobs noticed.
    pub noticed: Mutex<Vec<String>>,
}

impl Default for Stage {
    fn default() -> Self {
        Self { open: watch::Sender::new(false), runs: watch::Sender::default(), noticed: Mutex::default() }
    }
}

impl Stage {
    /// Lets every job go on that waits for the gate.
    pub fn open_gate(&self) {
        self.open.send_replace(true);
    }

    /// Waits until jobs called `name` were started `times` times.
    pub async fn started(&self, name: &str, times: usize) {
        let mut runs = self.runs.subscribe();
        runs.wait_for(|runs| runs.get(name).copied().unwrap_or(0) >= times).await.unwrap();
    }

    /// How often jobs called `name` were started.
    pub fn runs(&self, name: &str) -> usize {
        self.runs.borrow().get(name).copied().unwrap_or(0)
    }

    fn starts(&self, name: &str) {
        self.runs.send_modify(|runs| *runs.entry(name.to_owned()).or_default() += 1);
    }

    async fn gate(&self) {
        self.open.subscribe().wait_for(|open| *open).await.unwrap();
    }
}

/// The services of test workers.
pub type Services = std::sync::Arc<Stage>;

/// Does what it is told.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Play {
    /// By which the test knows it.
    pub name: String,
    /// What happens in each attempt, the last line again and again.
    pub acts: Vec<Act>,
}

/// What happens in an attempt.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Act {
    /// It returns its name.
    Return,
    /// It fails for good.
    GiveUp,
    /// It fails and may be tried again.
    Fail,
    /// It asks to be left alone for some milliseconds.
    Snooze(u64),
    /// It panics.
    Panic,
    /// It waits until the test opens the gate, then returns.
    Wait,
    /// It waits until it is called off.
    WaitForCancel,
    /// It writes a line into the ledger in its finishing transaction.
    Write,
    /// It waits at the gate, then writes.
    WaitAndWrite,
    /// It writes, and fails inside the finishing transaction.
    WriteAndFail,
    /// It reports progress and says a line, then waits at the gate.
    Report,
    /// It says a line and returns at once.
    SayAndReturn,
    /// It does a step that counts how often it is done, and fails.
    StepAndFail,
    /// It does the same step and returns what that returned.
    StepAndReturn,
}

impl Job<Services> for Play {
    const KIND: &'static str = "test.play";
    const ABOUT: &'static str = "Does what it is told.";
    const QUEUE: Queue = Queue::Default;
    const MAX_ATTEMPTS: u16 = 3;
    const TIMEOUT: Duration = Duration::from_secs(60);
    const BACKOFF: Backoff = Backoff { first: Duration::from_millis(20), most: Duration::from_millis(20) };

    type Output = String;

    async fn run(self, ctx: &Ctx<Services>) -> Result<String, JobError> {
        let attempt = usize::try_from(ctx.attempt()).unwrap();
        let act = self.acts.get(attempt - 1).or(self.acts.last()).cloned().unwrap_or(Act::Return);
        ctx.starts(&self.name);
        match act {
            Act::Return => Ok(self.name),
            Act::GiveUp => Err(JobError::permanent("told-to", "It was told to give up.")),
            Act::Fail => {
                Err(JobError::Transient { failure: Failure::new("told-to", "It was told to fail."), after: None })
            }
            Act::Snooze(ms) => Err(JobError::Snooze { wait: Duration::from_millis(ms), why: "It is tired.".into() }),
            Act::Panic => panic!("told to panic"),
            Act::Wait => {
                ctx.gate().await;
                Ok(self.name)
            }
            Act::WaitForCancel => {
                ctx.called_off().await;
                ctx.noticed.lock().unwrap().push(format!("{} was called off", self.name));
                Err(JobError::Cancelled)
            }
            Act::Write => self.write(ctx, false).await,
            Act::WriteAndFail => self.write(ctx, true).await,
            Act::WaitAndWrite => {
                ctx.gate().await;
                self.write(ctx, false).await
            }
            Act::SayAndReturn => {
                ctx.log("nothing more to do");
                Ok(self.name)
            }
            Act::StepAndFail => {
                self.step(ctx).await?;
                Err(JobError::transient("told-to", "It was told to fail after a step."))
            }
            Act::StepAndReturn => self.step(ctx).await,
            Act::Report => {
                ctx.log("half-way there");
                ctx.progress(1, 2, "working");
                ctx.gate().await;
                Ok(self.name)
            }
        }
    }
}

impl Play {
    async fn step(&self, ctx: &Ctx<Services>) -> Result<String, JobError> {
        ctx.step("pay", async || {
            ctx.noticed.lock().unwrap().push("paid".to_owned());
            Ok(format!("receipt of attempt {}", ctx.attempt()))
        })
        .await
    }

    async fn write(self, ctx: &Ctx<Services>, fail: bool) -> Result<String, JobError> {
        let id = ctx.job_id();
        let written = ctx
            .finish(async |tx| {
                tx.execute(sql("INSERT INTO ledger (job_id) VALUES ($1)", [id.into()])).await?;
                if fail {
                    return Err(JobError::transient("told-to", "It was told to fail after writing."));
                }
                Ok(self.name)
            })
            .await;
        if let Err(JobError::Transient { failure, .. }) = &written {
            ctx.noticed.lock().unwrap().push(failure.code.clone());
        }
        written
    }
}

/// A job that may take a second.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Dawdle {}

impl Job<Services> for Dawdle {
    const KIND: &'static str = "test.dawdle";
    const ABOUT: &'static str = "Takes longer than it may.";
    const QUEUE: Queue = Queue::Io;
    const MAX_ATTEMPTS: u16 = 1;
    const TIMEOUT: Duration = Duration::from_secs(1);

    type Output = ();

    async fn run(self, _: &Ctx<Services>) -> Result<(), JobError> {
        std::future::pending().await
    }
}

gristmill_engine::job_kinds! {
    /// Every kind of test job.
    pub fn kinds() for Services { Play, Dawdle }
}

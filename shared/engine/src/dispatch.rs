//! Due rows' ids go to the delivery: a bounded window of them, never the backlog.
//!
//! A look reads what waits lane by lane, lets [`pick`](crate::pick) choose, puts the chosen into the window, and sends
//! them. One dispatcher looks at a time, so limits are exact; any number may run.
//! The scheduler's *leads*: it looks by itself. Those of processes that submit jobs *follow*: they look when nudged, so
//! that a job that meets an idle system is on its way right after its commit.

use std::{collections::HashSet, time::Duration};

use gristmill_core::ids::OrgId;
use gristmill_store::{
    Result,
    db::{SystemTx, Tx, sql},
};
use sea_orm::FromQueryResult;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::{
    Engine,
    backlog::{self, Waiting},
    delivery::Message,
    flow::{Block, Flow, Lane},
    limits,
    pick::{Choice, Pick, Turns, choose, place},
    queue::Queue,
    window,
};

/// Whether a dispatcher looks by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// At least once a second, and as fast as the window empties while there is a backlog.
    Lead,
    /// When nudged.
    Follow,
}

/// The longest a leading dispatcher sleeps: how late a job can be that no nudge told of.
const IDLE: Duration = Duration::from_secs(1);
/// The shortest time between two looks while there is a backlog: a look costs the same for one job and for hundreds.
const BUSY: Duration = Duration::from_millis(10);
/// How many scheduled jobs become due in one statement.
const DUE_BATCH: i64 = 1_000;
/// An arbitrary number that dispatchers agree on.
const LOOKING: i64 = 0x6772_6973_7470_6963;

/// What one look came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Dispatched {
    /// Messages handed to the delivery.
    pub sent: usize,
    /// True where more waits than was sent, or another dispatcher is looking.
    pub more: bool,
    /// When a rate lets the next job go, if one is held back by a rate.
    pub retry_in: Option<Duration>,
}

impl Engine {
    /// Dispatches until `stop`.
    pub async fn run_dispatcher(&self, pace: Pace, stop: CancellationToken) {
        let mut in_vain = 0;
        while !stop.is_cancelled() {
            let began = Instant::now();
            let (pause, wait) = match self.dispatch().await {
                Ok(Dispatched { more: true, sent, .. }) => {
                    in_vain = if sent > 0 { 0 } else { in_vain + 1 };
                    (BUSY, BUSY * (1 << in_vain.min(5)))
                }
                Ok(Dispatched { retry_in: Some(wait), .. }) => (Duration::ZERO, wait.clamp(BUSY, IDLE)),
                Ok(_) if pace == Pace::Lead => {
                    (Duration::ZERO, self.until_next_due().await.unwrap_or(IDLE).clamp(BUSY, IDLE))
                }
                Ok(_) => (Duration::ZERO, Duration::MAX),
                Err(error) => {
                    tracing::warn!(error = %error.0, "jobs cannot be dispatched; trying again");
                    (BUSY, IDLE)
                }
            };
            tokio::select! {
                () = stop.cancelled() => break,
                () = self.nudge.notified() => {}
                () = tokio::time::sleep(wait) => {}
            }
            tokio::time::sleep_until(began + pause).await;
        }
    }

    /// Looks once: makes due what is due, tells those who wait for a job's end, and fills the window.
    ///
    /// # Errors
    /// When the database or the delivery cannot be asked. Nothing is lost by it: what was marked and not sent is found
    /// by the sweeper.
    pub async fn dispatch(&self) -> std::result::Result<Dispatched, DispatchError> {
        let more = self.chores().await.map_err(DispatchError::of)?;
        let (mut dispatched, messages) = self.look().await.map_err(DispatchError::of)?;
        dispatched.more |= more;
        // One queue that cannot be reached (its node of a cluster is down) does not keep the others waiting.
        let mut pushed = Ok(dispatched);
        for (queue, messages) in Queue::ALL.into_iter().zip(&messages) {
            if let Err(error) = self.delivery.push(queue, messages).await {
                pushed = Err(DispatchError::of(error));
            }
        }
        pushed
    }

    /// What has to be done before looking; true where there is more of it.
    async fn chores(&self) -> Result<bool> {
        #[derive(FromQueryResult)]
        struct Row {
            due: bool,
            ended: bool,
        }
        let statement = "SELECT EXISTS (SELECT FROM jobs WHERE state = 'scheduled' AND run_at <= now()) AS due,
            EXISTS (SELECT FROM job_ends) AS ended";
        let Some(row) = self.db.now().one::<Row>(sql(statement, [])).await? else { return Ok(false) };
        // What follows the ends of some jobs must never keep all others from being dispatched.
        let ended = row.ended
            && self.settle().await.unwrap_or_else(|error| {
                tracing::error!(%error, "what follows the end of jobs cannot be done; trying again");
                false
            });
        Ok(row.due && make_due(&self.db.now()).await? || ended)
    }

    async fn look(&self) -> Result<(Dispatched, [Vec<Message>; 4])> {
        let tx = self.db.system().await?;
        let Some(now) = alone(&tx).await? else {
            return Ok((Dispatched { more: true, ..Dispatched::default() }, Default::default()));
        };
        let groups = window::groups(&tx, None).await?;
        let mut room = [self.window; 4];
        let mut turns = Turns::default();
        let mut under_way = Vec::with_capacity(groups.len());
        for group in &groups {
            let (Some(lane), Ok(jobs)) = (group.lane(), usize::try_from(group.jobs)) else { continue };
            let left = &mut room[place(lane.queue)];
            *left = left.saturating_sub(jobs);
            if let (Some(level), Some(lowest), Some(highest)) = (group.level, group.lowest, group.highest) {
                turns.note(lane.queue, level, lane.org, lowest, highest);
            }
            under_way.push((lane, jobs));
        }
        let lanes = self.trail.lanes(&tx, room).await?;
        let (waiting, all) = (&lanes.waiting, lanes.all);
        let nothing = Dispatched { more: !all, ..Dispatched::default() };
        if waiting.is_empty() {
            return Ok((nothing, Default::default()));
        }
        let mut flow = limits::flow(&tx, waiting.iter().map(|one| &one.lane), &under_way, now).await?;
        let (mut open, held) = open(waiting, &flow);
        express(&mut room, &mut open, &under_way, self.window);
        let (candidates, seen) = backlog::candidates(&tx, &open, room).await?;
        let Choice { picks, retry_in } = choose(candidates, &mut flow, &mut turns, room);
        let retry_in = [retry_in, held].into_iter().flatten().min();
        let mut messages: [Vec<Message>; 4] = Default::default();
        for (queue, messages) in Queue::ALL.into_iter().zip(&mut messages) {
            let of_queue: Vec<&Pick> = picks.iter().filter(|pick| pick.lane.queue == queue).collect();
            if !of_queue.is_empty() {
                *messages = window::fill(&tx, queue, &of_queue).await?;
            }
        }
        limits::pay(&tx, &flow).await?;
        tx.commit().await?;
        // A queue whose room is used up may have more waiting; one with room left has nothing that may go.
        let used_up = |queue: Queue| messages[place(queue)].len() >= room[place(queue)];
        let more = !all || waiting.iter().any(|one| used_up(one.lane.queue));
        self.trail.remember(lanes, seen, &picks.iter().map(|pick| pick.id).collect(), room);
        Ok((Dispatched { sent: messages.iter().map(Vec::len).sum(), more, retry_in }, messages))
    }

    async fn until_next_due(&self) -> Option<Duration> {
        #[derive(FromQueryResult)]
        struct Row {
            seconds: Option<f64>,
        }
        let statement = "SELECT extract(epoch FROM min(run_at) - clock_timestamp())::float8 AS seconds
            FROM jobs WHERE state = 'scheduled'";
        let row = self.db.now().one::<Row>(sql(statement, [])).await.ok()??;
        row.seconds.map(|seconds| Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or(IDLE))
    }
}

/// The lanes that nothing holds back, and when the first of those that a rate holds back may go on. The limit of a key
/// stands in its jobs; until they are read, only limits that were set count.
fn open<'l>(waiting: &'l [Waiting], flow: &Flow) -> (Vec<&'l Waiting>, Option<Duration>) {
    let (mut open, mut held) = (Vec::with_capacity(waiting.len()), None);
    for one in waiting {
        match flow.admits(&one.lane, i32::MAX) {
            Ok(()) => open.push(one),
            Err(Block::Rate(_, wait)) => held = Some(held.map_or(wait, |known: Duration| known.min(wait))),
            Err(_) => {}
        }
    }
    (open, held)
}

/// Why a look failed.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct DispatchError(Box<dyn std::error::Error + Send + Sync>);

impl DispatchError {
    fn of(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self(error.into())
    }
}

/// Keeps other dispatchers out until the end of the transaction, and tells the time in seconds since 2000; `None` where
/// another one is at it.
async fn alone(tx: &SystemTx) -> Result<Option<f64>> {
    #[derive(FromQueryResult)]
    struct Row {
        alone: bool,
        now: f64,
    }
    let statement = "SELECT pg_try_advisory_xact_lock($1) AS alone,
        date_part('epoch', now() - '2000-01-01 00:00:00+00'::timestamptz) AS now";
    let row = tx.one::<Row>(sql(statement, [LOOKING.into()])).await?;
    Ok(row.filter(|row| row.alone).map(|row| row.now))
}

async fn make_due(tx: &impl Tx) -> Result<bool> {
    let due = tx
        .execute(sql(
            "UPDATE jobs SET state = 'queued' FROM (
                 SELECT id FROM (SELECT id FROM jobs WHERE state = 'scheduled' AND run_at <= now()
                                 ORDER BY run_at LIMIT $1) AS next
                 JOIN jobs USING (id) WHERE state = 'scheduled' AND run_at <= now() ORDER BY id FOR UPDATE OF jobs SKIP LOCKED) AS due
             WHERE jobs.id = due.id",
            [DUE_BATCH.into()],
        ))
        .await?;
    Ok(due > 0 && i64::try_from(due).is_ok_and(|due| due >= DUE_BATCH))
}

/// A full window must not keep out organizations that have nothing in it: each of their lanes may add one job, up to
/// twice the window in all.
fn express(room: &mut [usize; 4], open: &mut Vec<&Waiting>, under_way: &[(Lane, usize)], window: usize) {
    for (queue, room) in Queue::ALL.into_iter().zip(room).filter(|(_, room)| **room == 0) {
        let inside: HashSet<OrgId> =
            under_way.iter().filter(|(lane, _)| lane.queue == queue).map(|(lane, _)| lane.org).collect();
        let used: usize = under_way.iter().filter(|(lane, _)| lane.queue == queue).map(|(_, jobs)| jobs).sum();
        open.retain(|one| one.lane.queue != queue || !inside.contains(&one.lane.org));
        let quiet = open.iter().filter(|one| one.lane.queue == queue).count();
        *room = quiet.min((2 * window).saturating_sub(used));
    }
}

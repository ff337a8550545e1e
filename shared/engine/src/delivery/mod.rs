//! How ids travel from dispatcher to worker.
//!
//! A delivery may lose, double or delay a message; the database notices each. It never decides anything, and a worker
//! never sees an error from it: it logs, waits and reconnects by itself.

mod memory;
mod redis;

use std::{convert::Infallible, fmt};

use futures::{future::BoxFuture, stream::BoxStream};
use gristmill_core::ids::JobId;
use serde::{Deserialize, Serialize};

pub use self::{memory::MemoryDelivery, redis::RedisDelivery};
use crate::queue::Queue;

/// "This job may run now." Strings and integers only, so that reading one cannot fail half-way through a type.
///
/// Messages sort in the order in which they should be delivered: by priority, then by the time since which the job may
/// run, which the database's clock told.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Message {
    /// 0 (first) to 9.
    pub priority: i16,
    /// Since when the job may run, in milliseconds since 1970.
    pub due_ms: i64,
    /// The job.
    pub job_id: JobId,
    /// Which dispatch of the job this is; an older one is worth nothing.
    pub dispatch_seq: i32,
    /// The job's kind, so that a worker that does not know it leaves it alone.
    pub kind: String,
}

/// "Something about this job changed." Whoever cares looks at the row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Announcement {
    /// The job.
    pub job: JobId,
    /// True where a person acted on it, so that a worker that runs it should look whether it was called off.
    pub by_hand: bool,
}

/// The messages of one queue, for ever. It never yields an error: apalis would end the worker over one.
pub type Messages = BoxStream<'static, Result<Message, Infallible>>;

/// A way for ids to travel.
pub trait Delivery: Send + Sync + fmt::Debug {
    /// Its name, for logs and `/readyz`.
    fn name(&self) -> &'static str;

    /// Hands messages over.
    fn push<'a>(&'a self, queue: Queue, messages: &'a [Message]) -> BoxFuture<'a, Result<(), DeliveryError>>;

    /// How many messages wait in each of [`Queue::ALL`], in that order.
    fn waiting(&self) -> BoxFuture<'_, Result<[usize; 4], DeliveryError>>;

    /// Of each message, whether it waits here still.
    fn holds<'a>(&'a self, queue: Queue, messages: &'a [Message]) -> BoxFuture<'a, Result<Vec<bool>, DeliveryError>>;

    /// The messages of `queue`, each to one of all who listen. Several streams of one queue share its messages.
    fn messages(&self, queue: Queue) -> Messages;

    /// How many streams of one queue a worker should take messages from at once.
    fn streams(&self) -> usize;

    /// Tells everybody that something about a job changed. Best effort: whoever listens also looks from time to time.
    fn announce<'a>(&'a self, changes: &'a [Announcement]) -> BoxFuture<'a, Result<(), DeliveryError>>;

    /// What is announced from now on, by any process.
    fn announcements(&self) -> BoxStream<'static, Announcement>;

    /// Asks for a sign of life.
    fn check(&self) -> BoxFuture<'_, Result<(), DeliveryError>>;
}

/// The delivery could not be reached or refused.
#[derive(Debug, thiserror::Error)]
#[error("the delivery could not be reached: {0}")]
pub struct DeliveryError(#[from] ::redis::RedisError);

//! How ids travel from dispatcher to worker.
//!
//! A delivery may lose, double or delay a message; the database notices each. It never decides anything, and a worker
//! never sees an error from it: it logs, waits and reconnects by itself.

mod apalis;
mod link;
mod memory;
mod outage;
mod redis;
mod relay;
mod servers;

use std::{convert::Infallible, fmt, sync::Arc};

use futures::{future::BoxFuture, stream::BoxStream};
use gristmill_core::ids::JobId;
use serde::{Deserialize, Serialize};

pub use self::{
    apalis::ApalisDelivery,
    memory::MemoryDelivery,
    redis::RedisDelivery,
    servers::{AddressError, Servers},
};
use crate::queue::Queue;

/// "This job may run now." Strings and integers only, so that reading one cannot fail half-way through a type.
///
/// Messages sort in the order in which they should be delivered. A delivery tells them apart by job and dispatch alone:
/// the same dispatch handed over again, with whatever score, is the same message.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Message {
    /// Lower goes first. An integer of at most 2^53 in size, so that a sorted set keeps it exactly.
    pub score: i64,
    /// The job.
    pub job_id: JobId,
    /// Which dispatch of the job this is; a message of an older one is worth nothing.
    pub dispatch_seq: i64,
    /// The job's kind, so that a worker that does not know it leaves it alone.
    pub kind: String,
}

/// How many more messages whoever listens could run at once just now; at least 1. A delivery takes no more than that
/// from its store at a time.
pub type Demand = Arc<dyn Fn() -> usize + Send + Sync>;

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

    /// The messages of `queue`, each to one of all who listen. Several streams of one queue share its messages. What a
    /// stream took and did not pass on when it is dropped goes back, if it can.
    fn messages(&self, queue: Queue, demand: Demand) -> Messages;

    /// Whether messages that wait together come in the order of their scores. Where they do not, a job's priority
    /// counts only until it is dispatched: a small window keeps the difference small.
    fn keeps_order(&self) -> bool {
        true
    }

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
pub enum DeliveryError {
    /// It does not answer, or answers that it cannot.
    #[error("the delivery could not be reached: {0}")]
    Unreachable(::redis::RedisError),
    /// It answers, but not to us.
    #[error("Redis refused the user name or password: {0}")]
    Refused(::redis::RedisError),
    /// The sentinels know no such master, or none that is up.
    #[error("the sentinels know no master of that name that is up: {0}")]
    NoMaster(::redis::RedisError),
    /// The address is none.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// apalis-redis cannot read what it finds there.
    #[error("apalis-redis cannot make sense of its own data: {0}")]
    Garbled(apalis_redis::Error),
    /// It cannot be used in this way.
    #[error("{0}")]
    Unsupported(&'static str),
}

impl From<::redis::RedisError> for DeliveryError {
    fn from(error: ::redis::RedisError) -> Self {
        use ::redis::ErrorKind;
        match (error.kind(), error.code()) {
            (ErrorKind::AuthenticationFailed, _) | (_, Some("NOAUTH" | "WRONGPASS")) => Self::Refused(error),
            (ErrorKind::MasterNameNotFoundBySentinel, _) => Self::NoMaster(error),
            _ => Self::Unreachable(error),
        }
    }
}

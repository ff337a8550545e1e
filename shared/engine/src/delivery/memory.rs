//! Delivery inside one process.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use futures::{FutureExt as _, StreamExt as _, future::BoxFuture, stream::BoxStream};
use gristmill_core::ids::JobId;
use tokio::sync::{Notify, broadcast};
use tokio_stream::wrappers::BroadcastStream;

use super::{Announcement, Delivery, DeliveryError, Demand, Message, Messages, relay};
use crate::queue::Queue;

/// Ordered sets, one per queue. What is in them is gone with the process; the sweeper refills them from the rows.
#[derive(Debug)]
pub struct MemoryDelivery {
    queues: [Arc<Waiting>; 4],
    announcements: broadcast::Sender<Announcement>,
}

#[derive(Debug, Default)]
struct Waiting {
    messages: Mutex<Ordered>,
    arrived: Notify,
}

/// Messages in order, each dispatch once.
#[derive(Debug, Default)]
struct Ordered {
    by_score: BTreeSet<Message>,
    scores: HashMap<(JobId, i64), i64>,
}

impl Ordered {
    fn put(&mut self, message: Message) {
        let score = self.scores.insert((message.job_id, message.dispatch_seq), message.score);
        if let Some(score) = score.filter(|score| *score != message.score) {
            self.by_score.remove(&Message { score, ..message.clone() });
        }
        self.by_score.insert(message);
    }

    fn take_first(&mut self) -> Option<Message> {
        let first = self.by_score.pop_first()?;
        self.scores.remove(&(first.job_id, first.dispatch_seq));
        Some(first)
    }
}

impl Waiting {
    fn lock(&self) -> MutexGuard<'_, Ordered> {
        self.messages.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn next(&self) -> Message {
        loop {
            let arrived = self.arrived.notified();
            let first = {
                let mut messages = self.lock();
                let first = messages.take_first();
                if !messages.by_score.is_empty() {
                    // One wake-up may stand for many messages: pass it on.
                    self.arrived.notify_one();
                }
                first
            };
            match first {
                Some(message) => return message,
                None => arrived.await,
            }
        }
    }
}

impl Default for MemoryDelivery {
    fn default() -> Self {
        Self { queues: Default::default(), announcements: broadcast::channel(relay::BEHIND).0 }
    }
}

impl MemoryDelivery {
    fn of(&self, queue: Queue) -> &Arc<Waiting> {
        &self.queues[queue as usize]
    }
}

impl Delivery for MemoryDelivery {
    fn name(&self) -> &'static str {
        "memory"
    }

    fn push<'a>(&'a self, queue: Queue, messages: &'a [Message]) -> BoxFuture<'a, Result<(), DeliveryError>> {
        let waiting = self.of(queue);
        {
            let mut ordered = waiting.lock();
            messages.iter().for_each(|message| ordered.put(message.clone()));
        }
        waiting.arrived.notify_one();
        async { Ok(()) }.boxed()
    }

    fn waiting(&self) -> BoxFuture<'_, Result<[usize; 4], DeliveryError>> {
        let depths = Queue::ALL.map(|queue| self.of(queue).lock().by_score.len());
        async move { Ok(depths) }.boxed()
    }

    fn holds<'a>(&'a self, queue: Queue, messages: &'a [Message]) -> BoxFuture<'a, Result<Vec<bool>, DeliveryError>> {
        let waiting = self.of(queue).lock();
        let held = messages
            .iter()
            .map(|message| waiting.scores.contains_key(&(message.job_id, message.dispatch_seq)))
            .collect();
        async move { Ok(held) }.boxed()
    }

    // Taking several at a time would save nothing here: a message costs a lock either way.
    fn messages(&self, queue: Queue, _: Demand) -> Messages {
        let waiting = self.of(queue).clone();
        futures::stream::unfold(waiting, |waiting| async move {
            let message = waiting.next().await;
            Some((Ok(message), waiting))
        })
        .boxed()
    }

    fn streams(&self) -> usize {
        1
    }

    fn announce<'a>(&'a self, changes: &'a [Announcement]) -> BoxFuture<'a, Result<(), DeliveryError>> {
        for change in changes {
            // An error only says that nobody listens.
            let _nobody = self.announcements.send(*change);
        }
        async { Ok(()) }.boxed()
    }

    fn announcements(&self) -> BoxStream<'static, Announcement> {
        // Whoever lags misses some, and looks from time to time anyway.
        BroadcastStream::new(self.announcements.subscribe()).filter_map(|change| async { change.ok() }).boxed()
    }

    fn check(&self) -> BoxFuture<'_, Result<(), DeliveryError>> {
        async { Ok(()) }.boxed()
    }
}

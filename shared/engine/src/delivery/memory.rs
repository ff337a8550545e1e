//! Delivery inside one process.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use futures::{FutureExt as _, StreamExt as _, future::BoxFuture, stream::BoxStream};
use tokio::sync::{Notify, broadcast};
use tokio_stream::wrappers::BroadcastStream;

use super::{Announcement, Delivery, DeliveryError, Message, Messages};
use crate::queue::Queue;

/// How many announcements a slow listener may be behind before it misses some.
const ANNOUNCEMENTS: usize = 4_096;

/// Ordered sets, one per queue. What is in them is gone with the process; the sweeper refills them from the rows.
#[derive(Debug)]
pub struct MemoryDelivery {
    queues: [Arc<Waiting>; 4],
    announcements: broadcast::Sender<Announcement>,
}

#[derive(Debug, Default)]
struct Waiting {
    messages: Mutex<BTreeSet<Message>>,
    arrived: Notify,
}

impl Waiting {
    fn lock(&self) -> MutexGuard<'_, BTreeSet<Message>> {
        self.messages.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn next(&self) -> Message {
        loop {
            let arrived = self.arrived.notified();
            let first = {
                let mut messages = self.lock();
                let first = messages.pop_first();
                if !messages.is_empty() {
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
        Self { queues: Default::default(), announcements: broadcast::channel(ANNOUNCEMENTS).0 }
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
        waiting.lock().extend(messages.iter().cloned());
        waiting.arrived.notify_one();
        async { Ok(()) }.boxed()
    }

    fn waiting(&self) -> BoxFuture<'_, Result<[usize; 4], DeliveryError>> {
        let depths = Queue::ALL.map(|queue| self.of(queue).lock().len());
        async move { Ok(depths) }.boxed()
    }

    fn holds<'a>(&'a self, queue: Queue, messages: &'a [Message]) -> BoxFuture<'a, Result<Vec<bool>, DeliveryError>> {
        let waiting = self.of(queue).lock();
        let held = messages.iter().map(|message| waiting.contains(message)).collect();
        async move { Ok(held) }.boxed()
    }

    fn messages(&self, queue: Queue) -> Messages {
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

//! Delivery through apalis-redis' own queues, in the one configuration that survives having its servers and workers
//! killed. The default, sorted sets, is faster and keeps priorities; this is for those who run apalis-redis already.
//!
//! A stream of messages is a worker of apalis whose job is to hand one message over and be done. Whatever ends that
//! worker (and every error of Redis does), another one with another name takes its place after a pause, and what the
//! dead one left in Redis is cleared away.

mod leftovers;
mod settings;
mod worker;

use std::{collections::HashSet, fmt, sync::Arc};

use ::apalis::prelude::{TaskBuilder, TaskId};
use apalis_redis::{Config, RedisTask, queries};
use futures::{FutureExt as _, future::BoxFuture, stream::BoxStream};

use super::{Announcement, Delivery, DeliveryError, Demand, Message, Messages, Servers, link::Link, relay::Relay};
use crate::queue::Queue;

/// The most messages in one script of apalis-redis: it holds everything else up while it runs.
const BATCH: usize = 500;

/// apalis-redis' lists, hashes and sets.
pub struct ApalisDelivery {
    link: Link,
    relay: Relay,
    prefix: String,
}

impl fmt::Debug for ApalisDelivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApalisDelivery").field("prefix", &self.prefix).finish_non_exhaustive()
    }
}

impl ApalisDelivery {
    /// Connects to `servers`. Every key of ours starts with `prefix`; apalis-redis adds one of its own. At most 2,000
    /// messages may wait per queue: a script of apalis-redis passes all of them to Lua's `unpack`, which fails for good
    /// past about 8,000, and several dispatchers may each fill a window.
    ///
    /// # Errors
    /// When they cannot be reached now, refuse the password, or are a cluster: scripts of apalis-redis touch keys that
    /// a cluster keeps on different nodes.
    pub async fn connect_to(servers: Servers, prefix: &str) -> Result<Self, DeliveryError> {
        if servers.is_cluster() {
            let sentence = "apalis-redis does not work on a Redis Cluster; use the delivery \"redis\"";
            return Err(DeliveryError::Unsupported(sentence));
        }
        let servers = Arc::new(servers);
        let relay = Relay::start(servers.clone(), prefix);
        let delivery = Self { link: Link::new(servers), relay, prefix: prefix.to_owned() };
        delivery.check().await?;
        Ok(delivery)
    }

    fn config(&self, queue: Queue) -> Config {
        settings::config(&self.prefix, queue)
    }

    async fn push_some(&self, config: &Config, messages: &[Message]) -> Result<(), DeliveryError> {
        let tasks: Vec<RedisTask> = messages.iter().map(task).collect();
        queries::push_tasks(&mut self.link.clone(), config, &tasks).await?;
        // apalis-redis lets a task wait until the pusher's clock strikes the current second on the fetcher's clock.
        // These places are all in the past, whatever any clock says, and keep what waits together in order.
        let mut command = redis::cmd("ZADD");
        command.arg(config.scheduled_jobs_set()).arg("XX");
        for message in messages {
            command.arg(place(message.score)).arg(id(message));
        }
        Ok(self.link.ask(&command).await?)
    }
}

impl Delivery for ApalisDelivery {
    fn name(&self) -> &'static str {
        "apalis-redis"
    }

    fn push<'a>(&'a self, queue: Queue, messages: &'a [Message]) -> BoxFuture<'a, Result<(), DeliveryError>> {
        async move {
            let config = self.config(queue);
            for some in messages.chunks(BATCH) {
                self.push_some(&config, some).await?;
            }
            Ok(())
        }
        .boxed()
    }

    fn waiting(&self) -> BoxFuture<'_, Result<[usize; 4], DeliveryError>> {
        async move {
            let mut commands = redis::pipe();
            commands.atomic();
            for config in Queue::ALL.map(|queue| self.config(queue)) {
                commands.cmd("ZCARD").arg(config.scheduled_jobs_set());
                commands.cmd("LLEN").arg(config.active_jobs_list());
            }
            let counts: [usize; 8] = self.link.ask_all(&commands).await?;
            Ok([0, 1, 2, 3].map(|queue| counts[2 * queue] + counts[2 * queue + 1]))
        }
        .boxed()
    }

    fn holds<'a>(&'a self, queue: Queue, messages: &'a [Message]) -> BoxFuture<'a, Result<Vec<bool>, DeliveryError>> {
        async move {
            if messages.is_empty() {
                return Ok(Vec::new());
            }
            let config = self.config(queue);
            // In one transaction, or a message that moves from the one to the other between them would be in neither.
            let mut commands = redis::pipe();
            let scores = commands.atomic().cmd("ZMSCORE").arg(config.scheduled_jobs_set());
            for message in messages {
                scores.arg(id(message));
            }
            commands.cmd("LRANGE").arg(config.active_jobs_list()).arg(0).arg(-1);
            let (due, active): (Vec<Option<f64>>, HashSet<String>) = self.link.ask_all(&commands).await?;
            let held = messages.iter().zip(due).map(|(message, due)| due.is_some() || active.contains(&id(message)));
            Ok(held.collect())
        }
        .boxed()
    }

    // apalis-redis is asked for one message at a time, which is never more than is wanted.
    fn messages(&self, queue: Queue, _: Demand) -> Messages {
        worker::messages(self.link.clone(), self.config(queue))
    }

    fn keeps_order(&self) -> bool {
        false
    }

    // Each takes one message at a time: 6,000/s with one stream, 9,000/s with two, no more with four.
    fn streams(&self) -> usize {
        2
    }

    fn announce<'a>(&'a self, changes: &'a [Announcement]) -> BoxFuture<'a, Result<(), DeliveryError>> {
        async move {
            if changes.is_empty() {
                return Ok(());
            }
            Ok(self.link.ask(&self.relay.telling(changes)).await?)
        }
        .boxed()
    }

    fn announcements(&self) -> BoxStream<'static, Announcement> {
        self.relay.announcements()
    }

    fn check(&self) -> BoxFuture<'_, Result<(), DeliveryError>> {
        async move { self.waiting().await.map(drop) }.boxed()
    }
}

impl From<apalis_redis::Error> for DeliveryError {
    fn from(error: apalis_redis::Error) -> Self {
        match error {
            apalis_redis::Error::Database(error) => error.into(),
            other => Self::Garbled(other),
        }
    }
}

/// A dispatch's name in apalis-redis, which ignores one that it knows already.
fn id(message: &Message) -> String {
    format!("{}.{}", message.job_id, message.dispatch_seq)
}

/// Where a score stands among times, in seconds since 1970: between 1970 and 2001.
fn place(score: i64) -> f64 {
    const LARGEST: f64 = 9_007_199_254_740_992.0;
    (score as f64 / LARGEST).clamp(-1.0, 1.0).mul_add(5e8, 5e8)
}

fn task(message: &Message) -> RedisTask {
    let Message { score, job_id, dispatch_seq, kind } = message;
    let text = format!("{job_id} {dispatch_seq} {score} {kind}");
    TaskBuilder::new(text.into_bytes()).task_id(TaskId::from_string(id(message))).build()
}

fn decode(text: &[u8]) -> Option<Message> {
    let mut words = std::str::from_utf8(text).ok()?.splitn(4, ' ');
    Some(Message {
        job_id: words.next()?.parse().ok()?,
        dispatch_seq: words.next()?.parse().ok()?,
        score: words.next()?.parse().ok()?,
        kind: words.next()?.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use gristmill_core::ids::JobId;

    use super::{Message, decode, place, task};

    #[test]
    fn a_message_survives_the_journey_and_junk_is_not_one() {
        let sent = Message { job_id: JobId::generate(), kind: "document.ingest".into(), dispatch_seq: 3, score: -7 };
        assert_eq!(decode(&task(&sent).args), Some(sent));
        for junk in [&b""[..], b"job_1", b"a b c d", b"\xff\xfe"] {
            assert_eq!(decode(junk), None);
        }
    }

    #[test]
    fn every_score_has_its_place_in_the_past() {
        let places = [-(1 << 53), -1_800_000_000_000, 0, 1_800_000_000_000, 1 << 53].map(place);
        assert!(places.is_sorted_by(|a, b| a < b), "{places:?}");
        assert!(places[0] >= 0.0 && places[4] <= 1e9);
    }
}

//! Delivery through Redis: one sorted set per queue, one channel for announcements.
//!
//! Keys are `{prefix:queue}:waiting`; the braces keep all keys of a queue on one node of a cluster.

use std::{fmt, time::Duration};

use futures::{FutureExt as _, StreamExt as _, future::BoxFuture, stream::BoxStream};
use gristmill_core::secret::Secret;
use redis::{
    AsyncConnectionConfig, Client, Cmd, RedisResult,
    aio::{ConnectionManager, ConnectionManagerConfig, MultiplexedConnection},
};
use tokio::sync::broadcast;
use tokio_stream::wrappers::BroadcastStream;

use super::{Announcement, Delivery, DeliveryError, Message, Messages};
use crate::queue::Queue;

/// How long one blocking pop waits, in seconds. Bounds how late a dead connection is noticed.
const POP_WAIT_S: u64 = 5;
/// The library's default of 500 ms would take a stall of the server for its death.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(10);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Pause before a broken connection is made anew.
const RECONNECT: Duration = Duration::from_millis(300);
/// What stands before the id of a job that a person acted on.
const BY_HAND: &str = "!";
/// How many announcements a slow listener may be behind before it misses some.
const ANNOUNCEMENTS: usize = 4_096;

/// Sorted sets in Redis, popped with `BZPOPMIN`.
pub struct RedisDelivery {
    client: Client,
    /// For everything that does not block; reconnects by itself.
    shared: ConnectionManager,
    prefix: String,
    announcements: broadcast::Sender<Announcement>,
}

impl fmt::Debug for RedisDelivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisDelivery").field("prefix", &self.prefix).finish_non_exhaustive()
    }
}

impl RedisDelivery {
    /// Connects to the server at `url`. Every key and channel starts with `prefix`.
    ///
    /// # Errors
    /// When the URL is no Redis URL or the server cannot be reached now. Later on, outages are waited out.
    pub async fn connect(url: &Secret, prefix: &str) -> Result<Self, DeliveryError> {
        let client = Client::open(url.reveal())?;
        let config = ConnectionManagerConfig::new()
            .set_response_timeout(Some(RESPONSE_TIMEOUT))
            .set_connection_timeout(Some(CONNECT_TIMEOUT));
        let shared = client.get_connection_manager_with_config(config).await?;
        let announcements = broadcast::channel(ANNOUNCEMENTS).0;
        let delivery = Self { client, shared, prefix: prefix.to_owned(), announcements };
        tokio::spawn(relay(delivery.client.clone(), delivery.channel(), delivery.announcements.clone()));
        Ok(delivery)
    }

    fn key(&self, queue: Queue) -> String {
        format!("{{{}:{queue}}}:waiting", self.prefix)
    }

    fn channel(&self) -> String {
        format!("{}:changed", self.prefix)
    }

    async fn ask<T: redis::FromRedisValue>(&self, command: &Cmd) -> Result<T, DeliveryError> {
        Ok(command.query_async(&mut self.shared.clone()).await?)
    }
}

impl Delivery for RedisDelivery {
    fn name(&self) -> &'static str {
        "redis"
    }

    fn push<'a>(&'a self, queue: Queue, messages: &'a [Message]) -> BoxFuture<'a, Result<(), DeliveryError>> {
        async move {
            if messages.is_empty() {
                return Ok(());
            }
            let mut command = redis::cmd("ZADD");
            command.arg(self.key(queue));
            for message in messages {
                command.arg(score(message)).arg(encode(message));
            }
            self.ask(&command).await
        }
        .boxed()
    }

    fn waiting(&self) -> BoxFuture<'_, Result<[usize; 4], DeliveryError>> {
        async move {
            let depths = Queue::ALL.map(|queue| async move {
                let mut command = redis::cmd("ZCARD");
                command.arg(self.key(queue));
                self.ask::<usize>(&command).await
            });
            // One connection pipelines what is asked at once.
            let mut counted = [0; 4];
            for (place, depth) in counted.iter_mut().zip(futures::future::try_join_all(depths).await?) {
                *place = depth;
            }
            Ok(counted)
        }
        .boxed()
    }

    fn holds<'a>(&'a self, queue: Queue, messages: &'a [Message]) -> BoxFuture<'a, Result<Vec<bool>, DeliveryError>> {
        async move {
            if messages.is_empty() {
                return Ok(Vec::new());
            }
            let mut command = redis::cmd("ZMSCORE");
            command.arg(self.key(queue));
            for message in messages {
                command.arg(encode(message));
            }
            let scores: Vec<Option<f64>> = self.ask(&command).await?;
            Ok(scores.into_iter().map(|score| score.is_some()).collect())
        }
        .boxed()
    }

    fn messages(&self, queue: Queue) -> Messages {
        let popping = Popping { client: self.client.clone(), key: self.key(queue), connection: None };
        futures::stream::unfold(popping, |mut popping| async move {
            let message = popping.next().await;
            Some((Ok(message), popping))
        })
        .boxed()
    }

    fn streams(&self) -> usize {
        4
    }

    fn announce<'a>(&'a self, changes: &'a [Announcement]) -> BoxFuture<'a, Result<(), DeliveryError>> {
        async move {
            if changes.is_empty() {
                return Ok(());
            }
            let mark = |change: &Announcement| if change.by_hand { BY_HAND } else { "" };
            let ids: Vec<String> = changes.iter().map(|change| format!("{}{}", mark(change), change.job)).collect();
            let mut command = redis::cmd("PUBLISH");
            command.arg(self.channel()).arg(ids.join(" "));
            self.ask(&command).await
        }
        .boxed()
    }

    fn announcements(&self) -> BoxStream<'static, Announcement> {
        BroadcastStream::new(self.announcements.subscribe()).filter_map(|change| async { change.ok() }).boxed()
    }

    fn check(&self) -> BoxFuture<'_, Result<(), DeliveryError>> {
        async move { self.ask(&redis::cmd("PING")).await }.boxed()
    }
}

/// A connection that does nothing but pop: a blocking command would hold up whatever shared it.
struct Popping {
    client: Client,
    key: String,
    connection: Option<MultiplexedConnection>,
}

impl Popping {
    async fn next(&mut self) -> Message {
        loop {
            match self.pop().await {
                Ok(Some(text)) => match decode(&text) {
                    Some(message) => return message,
                    // Lost like any other message that is lost: the sweeper dispatches its job again.
                    None => tracing::error!(redis.member = text, "a message that this version cannot read was dropped"),
                },
                Ok(None) => {}
                Err(error) => {
                    tracing::warn!(%error, redis.key = self.key, "Redis cannot be asked for jobs; trying again");
                    self.connection = None;
                    tokio::time::sleep(RECONNECT).await;
                }
            }
        }
    }

    async fn pop(&mut self) -> RedisResult<Option<String>> {
        let connection = match &mut self.connection {
            Some(connection) => connection,
            None => {
                let config = AsyncConnectionConfig::new()
                    .set_connection_timeout(Some(CONNECT_TIMEOUT))
                    .set_response_timeout(Some(RESPONSE_TIMEOUT));
                self.connection.insert(self.client.get_multiplexed_async_connection_with_config(&config).await?)
            }
        };
        let popped: Option<(String, String, f64)> =
            redis::cmd("BZPOPMIN").arg(&self.key).arg(POP_WAIT_S).query_async(connection).await?;
        Ok(popped.map(|(_, member, _)| member))
    }
}

/// Passes what is published on to listeners in this process, for ever.
async fn relay(client: Client, channel: String, announcements: broadcast::Sender<Announcement>) {
    loop {
        let listening = async {
            let mut subscription = client.get_async_pubsub().await?;
            subscription.subscribe(&channel).await?;
            let mut messages = subscription.on_message();
            while let Some(message) = messages.next().await {
                let text: String = message.get_payload()?;
                for word in text.split(' ') {
                    let id = word.strip_prefix(BY_HAND);
                    let Ok(job) = id.unwrap_or(word).parse() else { continue };
                    // An error only says that nobody listens.
                    let _nobody = announcements.send(Announcement { job, by_hand: id.is_some() });
                }
            }
            RedisResult::Ok(())
        };
        if let Err(error) = listening.await {
            tracing::debug!(%error, "Redis cannot be listened to; trying again");
        }
        tokio::time::sleep(RECONNECT).await;
    }
}

/// Priority first, then the time since which the job may run. Both fit the 53 bits of a score: 2^53 is 9.007e15, and
/// nine times 1e15 and the milliseconds of the next two hundred years are less.
fn score(message: &Message) -> f64 {
    let (seconds, millis) = (message.due_ms.div_euclid(1_000), message.due_ms.rem_euclid(1_000));
    let seconds = u32::try_from(seconds).unwrap_or(if seconds < 0 { 0 } else { u32::MAX });
    let millis = u16::try_from(millis).unwrap_or(0);
    f64::from(message.priority) * 1e15 + f64::from(seconds) * 1e3 + f64::from(millis)
}

fn encode(message: &Message) -> String {
    let Message { priority, due_ms, job_id, dispatch_seq, kind } = message;
    format!("{job_id} {dispatch_seq} {priority} {due_ms} {kind}")
}

fn decode(text: &str) -> Option<Message> {
    let mut words = text.splitn(5, ' ');
    Some(Message {
        job_id: words.next()?.parse().ok()?,
        dispatch_seq: words.next()?.parse().ok()?,
        priority: words.next()?.parse().ok()?,
        due_ms: words.next()?.parse().ok()?,
        kind: words.next()?.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::{Message, decode, encode, score};
    use gristmill_core::ids::JobId;

    fn message(priority: i16, due_ms: i64) -> Message {
        Message { job_id: JobId::generate(), kind: "document.ingest".into(), dispatch_seq: 3, priority, due_ms }
    }

    #[test]
    fn a_message_survives_the_journey_and_junk_is_not_one() {
        let sent = message(5, 1_800_000_000_123);
        assert_eq!(decode(&encode(&sent)), Some(sent));
        for junk in ["", "job_1", "a b c d e", "{\"json\":true}"] {
            assert_eq!(decode(junk), None, "{junk}");
        }
    }

    #[test]
    fn scores_order_by_priority_then_age() {
        let (older, newer, urgent) =
            (message(5, 1_800_000_000_122), message(5, 1_800_000_000_123), message(0, i64::MAX));
        assert!(score(&urgent) < score(&older) && score(&older) < score(&newer));
        assert!(score(&message(9, i64::MAX)) < 2_f64.powi(53) && score(&message(0, -5)) >= 0.0);
    }
}

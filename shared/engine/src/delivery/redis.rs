//! Delivery through Redis: one sorted set per queue, one channel for announcements.
//!
//! Keys are `{prefix:queue}:waiting`; the braces keep all keys of a queue on one node of a cluster. A member is a
//! dispatch of a job, its score is where it stands in the queue.

use std::{
    collections::VecDeque,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use futures::{FutureExt as _, StreamExt as _, future::BoxFuture, stream::BoxStream};
use gristmill_core::secret::Secret;
use redis::{Cmd, RedisError, RedisResult, aio::MultiplexedConnection};

use super::{
    Announcement, Delivery, DeliveryError, Demand, Message, Messages,
    link::Link,
    outage::Outage,
    relay::{RECONNECT, Relay},
    servers::{Node, Servers},
};
use crate::queue::Queue;

/// How long one blocking pop waits, in seconds. Bounds how late a dead connection is noticed.
const POP_WAIT_S: u64 = 5;
/// The most messages that one pop takes, however many the worker could run: they are lost for some seconds if it dies.
const MOST: usize = 64;
/// How many redirections are followed without a pause, while the nodes of a cluster disagree.
const HOPS: u32 = 3;

/// Sorted sets in Redis, popped with `BZMPOP`: on one server, behind Sentinel or on a cluster.
pub struct RedisDelivery {
    servers: Arc<Servers>,
    /// For everything that does not block, per queue: in a cluster each may be on another node.
    links: [Link; 4],
    relay: Relay,
    prefix: String,
    /// Whether the server does not know `BZMPOP`, which came with Redis 7.
    old: Arc<AtomicBool>,
}

impl fmt::Debug for RedisDelivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisDelivery").field("prefix", &self.prefix).finish_non_exhaustive()
    }
}

impl RedisDelivery {
    /// Connects to the server at `url`; see [`Servers`] for what it may be. Every key and channel starts with `prefix`.
    ///
    /// # Errors
    /// As [`RedisDelivery::connect_to`], and when the URL is none.
    pub async fn connect(url: &Secret, prefix: &str) -> Result<Self, DeliveryError> {
        Self::connect_to(Servers::parse(url, None)?, prefix).await
    }

    /// Connects to `servers`. Every key and channel starts with `prefix`.
    ///
    /// # Errors
    /// When they cannot be reached now, or refuse the password. Later on, outages are waited out.
    pub async fn connect_to(servers: Servers, prefix: &str) -> Result<Self, DeliveryError> {
        let servers = Arc::new(servers);
        let link = Link::new(servers.clone());
        let links = if servers.is_cluster() {
            Queue::ALL.map(|_| Link::new(servers.clone()))
        } else {
            Queue::ALL.map(|_| link.clone())
        };
        let relay = Relay::start(servers.clone(), prefix);
        let delivery = Self { servers, links, relay, prefix: prefix.to_owned(), old: Arc::default() };
        delivery.check().await?;
        Ok(delivery)
    }

    fn key(&self, queue: Queue) -> String {
        format!("{{{}:{queue}}}:waiting", self.prefix)
    }

    fn link(&self, queue: Queue) -> &Link {
        &self.links[queue as usize]
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
            Ok(self.link(queue).ask(&adding(&self.key(queue), messages)).await?)
        }
        .boxed()
    }

    fn waiting(&self) -> BoxFuture<'_, Result<[usize; 4], DeliveryError>> {
        async move {
            let depths = Queue::ALL.map(|queue| async move {
                let mut command = redis::cmd("ZCARD");
                command.arg(self.key(queue));
                self.link(queue).ask::<usize>(&command).await
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
                command.arg(member(message));
            }
            let scores: Vec<Option<f64>> = self.link(queue).ask(&command).await?;
            Ok(scores.into_iter().map(|score| score.is_some()).collect())
        }
        .boxed()
    }

    fn messages(&self, queue: Queue, demand: Demand) -> Messages {
        let popping = Popping {
            servers: self.servers.clone(),
            link: self.link(queue).clone(),
            key: self.key(queue),
            demand,
            old: self.old.clone(),
            open: None,
            hint: None,
            taken: VecDeque::new(),
            hops: 0,
            outage: Outage::default(),
        };
        futures::stream::unfold(popping, |mut popping| async move {
            let message = popping.next().await;
            Some((Ok(message), popping))
        })
        .boxed()
    }

    // One takes as many messages at once as are wanted: more than 100,000/s, and 10,000/s where a single one is wanted at
    // a time. Two would each take what only one of them has slots for.
    fn streams(&self) -> usize {
        1
    }

    fn announce<'a>(&'a self, changes: &'a [Announcement]) -> BoxFuture<'a, Result<(), DeliveryError>> {
        async move {
            if changes.is_empty() {
                return Ok(());
            }
            Ok(self.link(Queue::Default).ask(&self.relay.telling(changes)).await?)
        }
        .boxed()
    }

    fn announcements(&self) -> BoxStream<'static, Announcement> {
        self.relay.announcements()
    }

    fn check(&self) -> BoxFuture<'_, Result<(), DeliveryError>> {
        // A ping would not tell whether every queue's node of a cluster is there.
        async move { self.waiting().await.map(drop) }.boxed()
    }
}

/// A member and its score.
type Scored = (String, f64);

/// One stream: a connection that does nothing but pop, because a blocking command would hold up whatever shared it.
struct Popping {
    servers: Arc<Servers>,
    /// For giving back.
    link: Link,
    key: String,
    demand: Demand,
    old: Arc<AtomicBool>,
    open: Option<(MultiplexedConnection, Node)>,
    hint: Option<Node>,
    /// What was popped and not passed on yet.
    taken: VecDeque<Message>,
    hops: u32,
    outage: Outage,
}

impl Popping {
    async fn next(&mut self) -> Message {
        loop {
            if let Some(message) = self.taken.pop_front() {
                return message;
            }
            match self.pop().await {
                Ok(members) => {
                    self.hops = 0;
                    if self.outage.is_over() {
                        tracing::info!(redis.key = self.key, "Redis answers again");
                    }
                    // One that cannot be read is lost like any other: the sweeper dispatches its job again.
                    self.taken.extend(members.iter().filter_map(|(member, score)| decode(member, *score)));
                }
                Err(error) => self.wait_after(&error).await,
            }
        }
    }

    async fn wait_after(&mut self, error: &RedisError) {
        let answered = self.open.take().map(|(_, node)| node);
        self.hint = answered.and_then(|node| Node::named_by(error, &node));
        if self.hint.is_some() && self.hops < HOPS {
            // The cluster said where to go.
            self.hops += 1;
            return;
        }
        if self.outage.goes_on() {
            tracing::warn!(%error, redis.key = self.key, "Redis cannot be asked for jobs; trying until it can");
        }
        tokio::time::sleep(RECONNECT).await;
    }

    /// Waits for messages for some seconds, and takes as many of the first ones as are wanted.
    async fn pop(&mut self) -> RedisResult<Vec<Scored>> {
        let (connection, _) = match &mut self.open {
            Some(open) => open,
            None => self.open.insert(self.servers.connect(self.hint.take().as_ref()).await?),
        };
        let most = (self.demand)().clamp(1, MOST);
        if self.old.load(Ordering::Relaxed) {
            return pop_the_old_way(connection, &self.key, most).await;
        }
        let mut command = redis::cmd("BZMPOP");
        command.arg(POP_WAIT_S).arg(1).arg(&self.key).arg("MIN").arg("COUNT").arg(most);
        let popped: RedisResult<Option<(String, Vec<Scored>)>> = command.query_async(connection).await;
        match popped {
            Err(error) if error.to_string().contains("unknown command") => {
                tracing::warn!(
                    "this Redis does not know BZMPOP, which came with version 7; jobs are fetched more slowly"
                );
                self.old.store(true, Ordering::Relaxed);
                Ok(Vec::new())
            }
            popped => Ok(popped?.map_or_else(Vec::new, |(_, members)| members)),
        }
    }
}

impl Drop for Popping {
    /// Gives back what was not passed on, so that others need not wait for the sweeper to miss it.
    fn drop(&mut self) {
        let left: Vec<Message> = self.taken.drain(..).collect();
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        if left.is_empty() {
            return;
        }
        let (link, command) = (self.link.clone(), adding(&self.key, &left));
        runtime.spawn(async move {
            if let Err(error) = link.ask::<redis::Value>(&command).await {
                tracing::debug!(%error, "messages cannot be given back; their jobs are dispatched again");
            }
        });
    }
}

async fn pop_the_old_way(connection: &mut MultiplexedConnection, key: &str, most: usize) -> RedisResult<Vec<Scored>> {
    let first: Option<(String, String, f64)> =
        redis::cmd("BZPOPMIN").arg(key).arg(POP_WAIT_S).query_async(connection).await?;
    let Some((_, member, score)) = first else { return Ok(Vec::new()) };
    let mut popped = vec![(member, score)];
    if most > 1 {
        // The first one is in our hands: an error now must not lose it.
        let more = redis::cmd("ZPOPMIN").arg(key).arg(most - 1).query_async::<Vec<Scored>>(connection).await;
        popped.extend(more.unwrap_or_default());
    }
    Ok(popped)
}

fn adding(key: &str, messages: &[Message]) -> Cmd {
    let mut command = redis::cmd("ZADD");
    command.arg(key);
    for message in messages {
        command.arg(message.score).arg(member(message));
    }
    command
}

fn member(message: &Message) -> String {
    let Message { score: _, job_id, dispatch_seq, kind } = message;
    format!("{job_id} {dispatch_seq} {kind}")
}

fn decode(member: &str, score: f64) -> Option<Message> {
    let read = || {
        let mut words = member.splitn(3, ' ');
        Some(Message {
            job_id: words.next()?.parse().ok()?,
            dispatch_seq: words.next()?.parse().ok()?,
            kind: words.next()?.to_owned(),
            // Scores are whole numbers below 2^53, which a double holds exactly.
            score: score as i64,
        })
    };
    let message = read();
    if message.is_none() {
        tracing::error!(redis.member = member, "a message that this version cannot read was dropped");
    }
    message
}

#[cfg(test)]
mod tests {
    use gristmill_core::ids::JobId;

    use super::{Message, decode, member};

    #[test]
    fn a_message_survives_the_journey_and_junk_is_not_one() {
        for score in [-(1_i64 << 53), -1, 0, 1_800_000_000_123, 1 << 53] {
            let sent = Message { job_id: JobId::generate(), kind: "document.ingest".into(), dispatch_seq: 3, score };
            assert_eq!(decode(&member(&sent), score as f64), Some(sent));
        }
        for junk in ["", "job_1", "a b c d e", "{\"json\":true}"] {
            assert_eq!(decode(junk, 0.0), None, "{junk}");
        }
    }
}

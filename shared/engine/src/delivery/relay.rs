//! Announcements through Redis' publish and subscribe. In a cluster, whatever is published on one node is heard on all.

use std::{sync::Arc, time::Duration};

use futures::{StreamExt as _, stream::BoxStream};
use redis::{Client, Cmd, Msg, RedisResult};
use tokio::{sync::broadcast, time::timeout};
use tokio_stream::wrappers::BroadcastStream;
use tokio_util::task::AbortOnDropHandle;

use super::{
    Announcement,
    servers::{CONNECT_TIMEOUT, RESPONSE_TIMEOUT, Servers},
};

/// How many announcements a slow listener may be behind before it misses some.
pub(super) const BEHIND: usize = 4_096;
/// Pause before a broken connection is made anew.
pub(super) const RECONNECT: Duration = Duration::from_millis(300);
/// What stands before the id of a job that a person acted on.
const BY_HAND: &str = "!";
/// How often a silent connection is asked whether it is one still.
const PING_EVERY: Duration = Duration::from_secs(10);

/// What passes announcements on to the listeners of this process, for as long as it lives.
#[derive(Debug)]
pub(super) struct Relay {
    channel: String,
    announcements: broadcast::Sender<Announcement>,
    _task: AbortOnDropHandle<()>,
}

impl Relay {
    pub(super) fn start(servers: Arc<Servers>, prefix: &str) -> Self {
        let channel = format!("{prefix}:changed");
        let announcements = broadcast::channel(BEHIND).0;
        let task = tokio::spawn(pass_on(servers, channel.clone(), announcements.clone()));
        Self { channel, announcements, _task: AbortOnDropHandle::new(task) }
    }

    /// The command that tells everybody of `changes`.
    pub(super) fn telling(&self, changes: &[Announcement]) -> Cmd {
        let mark = |change: &Announcement| if change.by_hand { BY_HAND } else { "" };
        let ids: Vec<String> = changes.iter().map(|change| format!("{}{}", mark(change), change.job)).collect();
        let mut command = redis::cmd("PUBLISH");
        command.arg(&self.channel).arg(ids.join(" "));
        command
    }

    pub(super) fn announcements(&self) -> BoxStream<'static, Announcement> {
        BroadcastStream::new(self.announcements.subscribe()).filter_map(|change| async { change.ok() }).boxed()
    }
}

async fn pass_on(servers: Arc<Servers>, channel: String, announcements: broadcast::Sender<Announcement>) {
    loop {
        let listening = async {
            for client in servers.clients(None).await? {
                if let Err(error) = listen(&client, &channel, &announcements).await {
                    tracing::debug!(%error, "Redis cannot be listened to; trying again");
                }
            }
            RedisResult::Ok(())
        };
        if let Err(error) = listening.await {
            tracing::debug!(%error, "no Redis server can be found to listen to; trying again");
        }
        tokio::time::sleep(RECONNECT).await;
    }
}

async fn listen(client: &Client, channel: &str, announcements: &broadcast::Sender<Announcement>) -> RedisResult<()> {
    let subscribing = async {
        let mut subscription = client.get_async_pubsub().await?;
        subscription.subscribe(channel).await?;
        RedisResult::Ok(subscription)
    };
    let (mut asking, mut messages) = within(CONNECT_TIMEOUT, subscribing).await?.split();
    let mut silence = tokio::time::interval(PING_EVERY);
    loop {
        tokio::select! {
            message = messages.next() => match message {
                Some(message) => announce(&message, announcements)?,
                None => return Ok(()),
            },
            _ = silence.tick() => within(RESPONSE_TIMEOUT, asking.ping::<redis::Value>()).await.map(drop)?,
        }
    }
}

async fn within<T>(limit: Duration, asking: impl Future<Output = RedisResult<T>>) -> RedisResult<T> {
    timeout(limit, asking).await.unwrap_or_else(|_| Err(std::io::Error::from(std::io::ErrorKind::TimedOut).into()))
}

fn announce(message: &Msg, announcements: &broadcast::Sender<Announcement>) -> RedisResult<()> {
    let text: String = message.get_payload()?;
    for word in text.split(' ') {
        let id = word.strip_prefix(BY_HAND);
        let Ok(job) = id.unwrap_or(word).parse() else { continue };
        // An error only says that nobody listens.
        let _nobody = announcements.send(Announcement { job, by_hand: id.is_some() });
    }
    Ok(())
}

//! A stream of messages over a worker of apalis.

use std::{
    convert::Infallible,
    panic::AssertUnwindSafe,
    sync::Arc,
    task::{Context, Poll, ready},
};

use ::apalis::prelude::{BackendExt as _, BoxDynError, Codec, Task, WorkerBuilder};
use apalis_redis::{Config, RedisStorage};
use futures::{
    FutureExt as _, StreamExt as _,
    future::{Ready, ready as done},
};
use tokio::sync::{
    OwnedSemaphorePermit, Semaphore,
    mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
};
use tokio_util::sync::{CancellationToken, DropGuard, PollSemaphore};
use uuid::Uuid;

use super::{
    super::{Message, Messages, link::Link, outage::Outage},
    decode,
    leftovers::{InFlight, clear_away, sign_off},
    settings::{POLL_EVERY, RESTART},
};

/// The messages of the queue that `config` is of.
pub(super) fn messages(link: Link, config: Config) -> Messages {
    let wanted = Arc::new(Semaphore::new(0));
    let (hand, messages) = unbounded_channel();
    let stop = CancellationToken::new();
    tokio::spawn(keep_working(link, config, wanted.clone(), hand, stop.clone()));
    let listening = Listening { wanted, messages, _stop: stop.drop_guard() };
    futures::stream::unfold(listening, |mut listening| async move {
        // One permit per message that is asked for: nothing is fetched that nobody waits for.
        listening.wanted.add_permits(1);
        let message = listening.messages.recv().await?;
        Some((Ok(message), listening))
    })
    .boxed()
}

struct Listening {
    wanted: Arc<Semaphore>,
    messages: UnboundedReceiver<Message>,
    _stop: DropGuard,
}

/// One worker after the other, each with a name of its own: a name that Redis still counts as alive is refused.
async fn keep_working(
    link: Link,
    config: Config,
    wanted: Arc<Semaphore>,
    hand: UnboundedSender<Message>,
    stop: CancellationToken,
) {
    let mut outage = Outage::default();
    while !stop.is_cancelled() {
        let name = Uuid::now_v7().simple().to_string();
        let storage = RedisStorage::<Vec<u8>, Link>::new(link.clone()).with_config(config.clone());
        let handing = Handing { wanted: PollSemaphore::new(wanted.clone()), permit: None, hand: hand.clone() };
        let backend = storage.poll_with_interval(POLL_EVERY).with_codec(Verbatim);
        let worker = WorkerBuilder::new(name.clone()).backend(backend).build(handing);
        let in_flight = tokio::select! {
            ended = AssertUnwindSafe(worker.run()).catch_unwind() => {
                if outage.goes_on() {
                    let error = match ended {
                        Ok(Ok(())) => "none".to_owned(),
                        Ok(Err(error)) => error.to_string(),
                        Err(_) => "it panicked".to_owned(),
                    };
                    tracing::warn!(error, "a worker of apalis-redis ended; others are tried until one stays");
                }
                InFlight::Lost
            }
            () = clear_away(link.clone(), config.clone(), &name) => InFlight::Lost,
            () = stop.cancelled() => InFlight::Back,
        };
        if let Err(error) = sign_off(link.clone(), config.clone(), &name, in_flight).await {
            tracing::debug!(%error, "a worker of apalis-redis could not be signed off; others will notice");
        }
        if in_flight == InFlight::Lost {
            tokio::select! { () = tokio::time::sleep(RESTART) => {}, () = stop.cancelled() => {} }
        }
    }
}

/// Bytes as they are, so that no payload can fail to decode and end the worker.
#[derive(Debug, Clone, Copy)]
struct Verbatim;

impl Codec<Vec<u8>> for Verbatim {
    type Error = Infallible;
    type Compact = Vec<u8>;

    fn encode(&self, bytes: &Vec<u8>) -> Result<Vec<u8>, Infallible> {
        Ok(bytes.clone())
    }

    fn decode(&self, bytes: &Vec<u8>) -> Result<Vec<u8>, Infallible> {
        Ok(bytes.clone())
    }
}

/// The leaf service: hands a message over when somebody waits for one.
struct Handing {
    wanted: PollSemaphore,
    permit: Option<OwnedSemaphorePermit>,
    hand: UnboundedSender<Message>,
}

impl tower::Service<Task<Vec<u8>>> for Handing {
    type Response = ();
    type Error = BoxDynError;
    type Future = Ready<Result<(), BoxDynError>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxDynError>> {
        if self.permit.is_none() {
            self.permit = ready!(self.wanted.poll_acquire(cx));
        }
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, task: Task<Vec<u8>>) -> Self::Future {
        let permit = self.permit.take();
        match decode(&task.args) {
            Some(message) => {
                // The channel is closed when nobody listens any more, and then this ends as well.
                let _nobody = self.hand.send(message);
                if let Some(permit) = permit {
                    permit.forget();
                }
            }
            // The permit goes back: somebody still waits.
            None => tracing::error!("a message that this version cannot read was dropped"),
        }
        done(Ok(()))
    }
}

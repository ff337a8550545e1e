//! Many small requests to the database become few large ones, without delay.
//!
//! A request that finds nobody under way goes at once, alone. Those that come while it is under way go together, next.
//! So an idle system adds no wait, and a busy one does as many jobs per round trip as it has waiting. After a large round
//! the next one waits a moment: where many came, more are coming, and a statement costs nearly the same for few.

use std::{sync::Arc, time::Duration};

use futures::future::BoxFuture;
use gristmill_store::StoreError;
use tokio::sync::{mpsc, oneshot};

/// How long one round trip may take: a connection that hangs must not hold up everybody for as long as TCP does.
const LIMIT: Duration = Duration::from_secs(10);

/// A round of so many is followed by a moment's wait for more.
const LARGE: usize = 16;
const MOMENT: Duration = Duration::from_millis(1);

/// Why a question was not answered.
#[derive(Debug, Clone, thiserror::Error)]
pub enum AskError {
    /// The database refused, or could not be reached.
    #[error(transparent)]
    Store(Arc<StoreError>),
    /// The database did not answer in time.
    #[error("the database did not answer within {} s", LIMIT.as_secs())]
    TimedOut,
    /// Nobody takes questions any more.
    #[error("the task that asks the database is gone")]
    Gone,
}

impl AskError {
    /// True where the database was reached and refuses this very question.
    pub fn is_refusal(&self) -> bool {
        matches!(self, Self::Store(error) if !error.is_unavailable())
    }
}

type Reply<A> = oneshot::Sender<Result<A, AskError>>;
type Answers<A> = BoxFuture<'static, Result<Vec<A>, StoreError>>;

/// Takes requests from anywhere and hands them to one function, many at a time.
#[derive(Debug)]
pub struct Coalescer<Q, A> {
    requests: mpsc::Sender<(Q, Reply<A>)>,
}

impl<Q: Send + Clone + 'static, A: Send + 'static> Coalescer<Q, A> {
    /// Starts a task that hands at most `most` requests at a time to `flush`, which answers each, in order.
    /// The task ends when the last clone is dropped.
    pub fn start(most: usize, flush: impl Fn(Vec<Q>) -> Answers<A> + Send + Sync + 'static) -> Self {
        let (requests, mut received) = mpsc::channel::<(Q, Reply<A>)>(most);
        tokio::spawn(async move {
            let mut batch = Vec::with_capacity(most);
            let mut busy = false;
            while received.recv_many(&mut batch, most).await > 0 {
                if busy && batch.len() < LARGE {
                    tokio::time::sleep(MOMENT).await;
                    while batch.len() < most
                        && let Ok(more) = received.try_recv()
                    {
                        batch.push(more);
                    }
                }
                busy = batch.len() >= LARGE;
                let (questions, replies): (Vec<Q>, Vec<Reply<A>>) = batch.drain(..).unzip();
                answer(&flush, questions, replies).await;
            }
        });
        Self { requests }
    }

    /// Asks, and waits for the round trip that carries the question.
    ///
    /// # Errors
    /// What became of the whole round trip. Whether anything was written is then unknown.
    pub async fn ask(&self, question: Q) -> Result<A, AskError> {
        let (reply, answer) = oneshot::channel();
        self.requests.send((question, reply)).await.map_err(|_| AskError::Gone)?;
        answer.await.map_err(|_| AskError::Gone)?
    }
}

/// Answers a batch. Where the database refuses it (as opposed to not being there), each question is asked alone, so
/// that one that cannot be answered does not take its neighbours along.
async fn answer<Q: Clone, A>(
    flush: &(impl Fn(Vec<Q>) -> Answers<A> + Send + Sync),
    questions: Vec<Q>,
    replies: Vec<Reply<A>>,
) {
    let several = questions.len() > 1;
    match within(flush(questions.clone())).await {
        Ok(answers) => {
            for (reply, answer) in replies.into_iter().zip(answers) {
                // Whoever asked may be gone; then nobody minds.
                let _gone = reply.send(Ok(answer));
            }
        }
        Err(error) if several && error.is_refusal() => {
            for (reply, question) in replies.into_iter().zip(questions) {
                let answer = within(flush(vec![question])).await.map(|mut answers| answers.pop());
                if let Some(answer) = answer.transpose() {
                    let _gone = reply.send(answer);
                }
            }
        }
        Err(error) => {
            for reply in replies {
                let _gone = reply.send(Err(error.clone()));
            }
        }
    }
}

async fn within<A>(answers: Answers<A>) -> Result<Vec<A>, AskError> {
    match tokio::time::timeout(LIMIT, answers).await {
        Ok(answers) => answers.map_err(|error| AskError::Store(Arc::new(error))),
        Err(_) => Err(AskError::TimedOut),
    }
}

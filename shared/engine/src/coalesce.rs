//! Many small requests to the database become few large ones, without delay.
//!
//! A request that finds nobody under way goes at once, alone. Those that come while it is under way go together, next.
//! So an idle system adds no wait, and a busy one does as many jobs per round trip as it has waiting.

use std::sync::Arc;

use futures::future::BoxFuture;
use gristmill_store::StoreError;
use tokio::sync::{mpsc, oneshot};

/// A failure that every request of one round trip shares.
pub type SharedError = Arc<StoreError>;

type Reply<A> = oneshot::Sender<Result<A, SharedError>>;

/// Takes requests from anywhere and hands them to one function, many at a time.
#[derive(Debug)]
pub struct Coalescer<Q, A> {
    requests: mpsc::Sender<(Q, Reply<A>)>,
}

impl<Q, A> Clone for Coalescer<Q, A> {
    fn clone(&self) -> Self {
        Self { requests: self.requests.clone() }
    }
}

impl<Q: Send + Clone + 'static, A: Send + 'static> Coalescer<Q, A> {
    /// Starts a task that hands at most `most` requests at a time to `flush`, which answers each, in order.
    /// The task ends when the last clone is dropped.
    pub fn start(
        most: usize,
        flush: impl Fn(Vec<Q>) -> BoxFuture<'static, Result<Vec<A>, StoreError>> + Send + Sync + 'static,
    ) -> Self {
        let (requests, mut received) = mpsc::channel::<(Q, Reply<A>)>(most);
        tokio::spawn(async move {
            let mut batch = Vec::with_capacity(most);
            while received.recv_many(&mut batch, most).await > 0 {
                let (questions, replies): (Vec<Q>, Vec<Reply<A>>) = batch.drain(..).unzip();
                answer(&flush, questions, replies).await;
            }
        });
        Self { requests }
    }

    /// Asks, and waits for the round trip that carries the question.
    ///
    /// # Errors
    /// What the database said to the whole round trip; `None` when the process is ending.
    pub async fn ask(&self, question: Q) -> Result<A, Option<SharedError>> {
        let (reply, answer) = oneshot::channel();
        self.requests.send((question, reply)).await.map_err(|_| None)?;
        answer.await.map_err(|_| None)?.map_err(Some)
    }
}

/// Answers a batch. Where the database refuses it (as opposed to not being there), each question is asked alone, so
/// that one that cannot be answered does not take its neighbours along.
async fn answer<Q: Clone, A>(
    flush: &(impl Fn(Vec<Q>) -> BoxFuture<'static, Result<Vec<A>, StoreError>> + Send + Sync),
    questions: Vec<Q>,
    replies: Vec<Reply<A>>,
) {
    let alone = questions.len() > 1;
    match flush(questions.clone()).await {
        Ok(answers) => {
            for (reply, answer) in replies.into_iter().zip(answers) {
                // Whoever asked may be gone; then nobody minds.
                let _gone = reply.send(Ok(answer));
            }
        }
        Err(error) if alone && !error.is_unavailable() => {
            for (reply, question) in replies.into_iter().zip(questions) {
                let answer = flush(vec![question]).await.map_err(Arc::new).map(|mut answers| answers.pop());
                if let Some(answer) = answer.transpose() {
                    let _gone = reply.send(answer);
                }
            }
        }
        Err(error) => {
            let error = Arc::new(error);
            for reply in replies {
                let _gone = reply.send(Err(error.clone()));
            }
        }
    }
}

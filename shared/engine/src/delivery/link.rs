//! A connection to Redis that is made anew when it breaks, for everything that does not block.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use redis::{
    Cmd, ErrorKind, FromRedisValue, Pipeline, RedisError, RedisFuture, RedisResult, ServerErrorKind, Value,
    aio::{ConnectionLike, MultiplexedConnection},
};
use tokio::sync::Mutex;

use super::servers::{Node, Servers};

/// How often one command is tried: as it is, on a connection made anew, and where the cluster says that its key went.
const TRIES: usize = 3;

/// One connection, shared by all who hold a clone. It asks anew where to connect whenever it breaks: the sentinels may
/// name another master, the cluster another node.
#[derive(Clone)]
pub(super) struct Link {
    shared: Arc<Shared>,
}

struct Shared {
    servers: Arc<Servers>,
    state: Mutex<State>,
    /// How often a connection was tried for, so that those who waited for a try that failed need not try again.
    tried: AtomicU64,
}

#[derive(Default)]
struct State {
    open: Option<Open>,
    hint: Option<Node>,
    failure: Option<RedisError>,
}

#[derive(Clone)]
struct Open {
    number: u64,
    node: Node,
    connection: MultiplexedConnection,
}

impl Link {
    pub(super) fn new(servers: Arc<Servers>) -> Self {
        Self { shared: Arc::new(Shared { servers, state: Mutex::default(), tried: AtomicU64::new(0) }) }
    }

    /// Sends `command`, again where the connection turns out to be broken or to lead to the wrong server. Only for
    /// commands that may be carried out twice.
    pub(super) async fn ask<T: FromRedisValue>(&self, command: &Cmd) -> RedisResult<T> {
        let (mut link, mut tries) = (self.clone(), 1);
        loop {
            match command.query_async(&mut link).await {
                Err(error) if tries < TRIES && is_stale(&error) => tries += 1,
                answer => return answer,
            }
        }
    }

    /// The same for several commands.
    pub(super) async fn ask_all<T: FromRedisValue>(&self, commands: &Pipeline) -> RedisResult<T> {
        let (mut link, mut tries) = (self.clone(), 1);
        loop {
            match commands.query_async(&mut link).await {
                Err(error) if tries < TRIES && is_stale(&error) => tries += 1,
                answer => return answer,
            }
        }
    }

    async fn open(&self) -> RedisResult<Open> {
        let shared = &self.shared;
        let tried = shared.tried.load(Ordering::Acquire);
        let mut state = shared.state.lock().await;
        if let Some(open) = &state.open {
            return Ok(open.clone());
        }
        if let (Some(failure), true) = (&state.failure, shared.tried.load(Ordering::Acquire) != tried) {
            return Err(failure.clone());
        }
        let made = shared.servers.connect(state.hint.take().as_ref()).await;
        let number = shared.tried.fetch_add(1, Ordering::AcqRel);
        match made {
            Ok((connection, node)) => {
                let open = Open { number, node, connection };
                (state.open, state.failure) = (Some(open.clone()), None);
                Ok(open)
            }
            Err(error) => {
                state.failure = Some(error.clone());
                Err(error)
            }
        }
    }

    /// Lets go of the connection that `error` came through, if it is of no more use.
    async fn judge(&self, open: &Open, error: &RedisError) {
        if !breaks(error) {
            return;
        }
        let mut state = self.shared.state.lock().await;
        if state.open.as_ref().is_some_and(|now| now.number == open.number) {
            state.open = None;
            state.hint = Node::named_by(error, &open.node);
        }
    }
}

impl ConnectionLike for Link {
    fn req_packed_command<'a>(&'a mut self, cmd: &'a Cmd) -> RedisFuture<'a, Value> {
        Box::pin(async move {
            let mut open = self.open().await?;
            let answer = open.connection.req_packed_command(cmd).await.and_then(Value::extract_error);
            if let Err(error) = &answer {
                self.judge(&open, error).await;
            }
            answer
        })
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        Box::pin(async move {
            let mut open = self.open().await?;
            let answers = open.connection.req_packed_commands(pipeline, offset, count).await;
            let answers = answers.and_then(|all| all.into_iter().map(Value::extract_error).collect());
            if let Err(error) = &answers {
                self.judge(&open, error).await;
            }
            answers
        })
    }

    fn get_db(&self) -> i64 {
        0
    }
}

/// Whether the same command on a connection made anew may well succeed at once.
fn is_stale(error: &RedisError) -> bool {
    use ServerErrorKind::{Moved, ReadOnly};
    // A server that refuses connections is down; one that hung up has perhaps only been restarted.
    (error.is_connection_dropped() && !error.is_connection_refusal())
        || matches!(error.kind(), ErrorKind::Server(Moved | ReadOnly))
}

/// Whether a connection is of no use after `error`: it is dead, hangs, or leads to a server that is not in charge.
fn breaks(error: &RedisError) -> bool {
    use ServerErrorKind::{ClusterDown, MasterDown, Moved, ReadOnly};
    error.is_io_error()
        || error.is_connection_dropped()
        || error.is_unrecoverable_error()
        || matches!(error.kind(), ErrorKind::Server(ClusterDown | MasterDown | Moved | ReadOnly))
}

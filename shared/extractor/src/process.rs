//! One child as its parent sees it.

use std::io;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use gristmill_content::{ContentError, Extracted};
use rustix::process::Signal;
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::task::JoinHandle;

use crate::ExtractorError;
use crate::serve::ARGUMENTS;
use crate::wire::{self, Reply, Request};

/// What is kept of a child's last words, in bytes.
const LAST_WORDS: usize = 4 << 10;

/// How long a child that is dying may take to be dead.
const DYING: Duration = Duration::from_secs(5);

/// A child that waits for documents. Dropping it kills it.
pub(crate) struct Process {
    child: Child,
    input: ChildStdin,
    output: ChildStdout,
    words: JoinHandle<Vec<u8>>,
}

/// What became of a document, and whether the child can read another.
pub(crate) type Read = (Result<Extracted, ContentError>, bool);

impl Process {
    /// Starts `program` as a child: in a process group of its own, so that a signal from the terminal leaves it to its
    /// parent, and with nothing of the environment.
    pub(crate) fn start(program: &Path) -> io::Result<Self> {
        let mut command = Command::new(program);
        command.args(ARGUMENTS).arg0("gristmill-extractor").env_clear().current_dir("/").process_group(0);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn()?;
        let piped = || io::Error::other("a pipe is missing");
        let input = child.stdin.take().ok_or_else(piped)?;
        let output = child.stdout.take().ok_or_else(piped)?;
        let words = tokio::spawn(last_words(child.stderr.take().ok_or_else(piped)?));
        Ok(Self { child, input, output, words })
    }

    /// Whether it still runs.
    pub(crate) fn is_alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Lets the child read a document. After an error it is dead.
    pub(crate) async fn read(
        &mut self,
        request: &Request,
        document: &[u8],
        limit: Duration,
    ) -> Result<Read, ExtractorError> {
        let asking = async {
            wire::send_request(&mut self.input, request, document).await?;
            let (reply, body) = wire::receive_reply(&mut self.output).await?;
            understood(&reply, &body).map(|read| (read, reply.last))
        };
        match tokio::time::timeout(limit, asking).await {
            Ok(Ok((read, last))) => Ok((read, !last)),
            Ok(Err(error)) => Err(self.autopsy(&error, request).await),
            Err(_) => {
                self.end().await;
                Err(timeout(request))
            }
        }
    }

    /// Why a child that gave no proper answer did so.
    async fn autopsy(&mut self, error: &io::Error, request: &Request) -> ExtractorError {
        // One that broke off is dead or about to be; one that talks nonsense has to be told to go.
        let nonsense = error.kind() == io::ErrorKind::InvalidData;
        let status = if nonsense { None } else { tokio::time::timeout(DYING, self.child.wait()).await.ok() };
        let Some(Ok(status)) = status else {
            self.end().await;
            return ExtractorError::Crashed { detail: format!("the reader answered out of turn: {error}") };
        };
        let words = (&mut self.words).await.unwrap_or_default();
        cause(status, &String::from_utf8_lossy(&words), request)
    }

    /// Kills the child and waits for its end.
    async fn end(&mut self) {
        if let Err(error) = self.child.kill().await {
            tracing::warn!(%error, "an extractor could not be killed");
        }
    }
}

/// What a reply says. One that does not say what it announces is nonsense.
fn understood(reply: &Reply, body: &[u8]) -> io::Result<Result<Extracted, ContentError>> {
    let nonsense = |error| io::Error::new(io::ErrorKind::InvalidData, error);
    Ok(if reply.read {
        Ok(serde_json::from_slice(body).map_err(nonsense)?)
    } else {
        Err(serde_json::from_slice(body).map_err(nonsense)?)
    })
}

/// What the end of a child says of the document.
fn cause(status: ExitStatus, words: &str, request: &Request) -> ExtractorError {
    let signal = status.signal();
    let is = |wanted: Signal| signal == Some(wanted.as_raw());
    // What Rust's allocator says before it aborts.
    if words.contains("memory allocation of") {
        return ExtractorError::Memory { limit_mb: request.memory_mb };
    }
    if is(Signal::XCPU) {
        return timeout(request);
    }
    if is(Signal::KILL) || is(Signal::TERM) {
        return ExtractorError::Killed;
    }
    let last = words.lines().map(str::trim).rfind(|line| !line.is_empty()).unwrap_or("it said nothing");
    ExtractorError::Crashed { detail: format!("the reader ended with {status}: {last}") }
}

fn timeout(request: &Request) -> ExtractorError {
    ExtractorError::Timeout { limit_s: request.cpu_s }
}

/// Reads to the end and keeps what came last: a child that cannot write would stand still.
async fn last_words(mut pipe: impl AsyncRead + Unpin) -> Vec<u8> {
    let (mut words, mut piece) = (Vec::new(), vec![0; LAST_WORDS]);
    while let Ok(length @ 1..) = pipe.read(&mut piece).await {
        words.extend_from_slice(&piece[..length]);
        let surplus = words.len().saturating_sub(LAST_WORDS);
        words.drain(..surplus);
    }
    words
}

/// The program that runs, even if its file has been replaced by a newer one since.
pub(crate) fn itself() -> PathBuf {
    let running = PathBuf::from("/proc/self/exe");
    if running.exists() { running } else { std::env::current_exe().unwrap_or(running) }
}

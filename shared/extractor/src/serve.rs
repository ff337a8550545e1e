//! The child: limits itself, then reads one document after the other until the pipe ends.

use std::fs::File;
use std::io::{self, Read, Write as _};
use std::process::ExitCode;
use std::thread;

use gristmill_content::{ContentError, ExtractOptions, Extracted};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::dup;
use rustix::stdio::{dup2_stdout, stderr, stdin, stdout};

use crate::limits;
use crate::wire::{self, Reply, Request};

/// The arguments that make a program a child.
pub(crate) const ARGUMENTS: [&str; 2] = ["extract", "--serve"];

/// Documents after which a child makes room for a fresh one: what parsers leave behind adds up.
const MAX_DOCUMENTS: u32 = 500;

/// Share of its memory limit that a child may keep between documents.
const KEPT: u64 = 4;

/// Serves as a child if this program was called as one, and tells how it should exit then. Whatever program runs an
/// [`Extractor`](crate::Extractor) calls this first.
pub fn serve_if_asked() -> Option<ExitCode> {
    let asked = std::env::args_os().skip(1).take(2).eq(ARGUMENTS);
    asked.then(|| serve_with(gristmill_content::extract))
}

/// Serves as a child that reads documents by `read`.
pub fn serve_with(read: impl Fn(&[u8], &ExtractOptions) -> Result<Extracted, ContentError>) -> ExitCode {
    match serve(read) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("The extractor ends: {error}");
            ExitCode::FAILURE
        }
    }
}

fn serve(read: impl Fn(&[u8], &ExtractOptions) -> Result<Extracted, ContentError>) -> io::Result<()> {
    let mut input = File::from(dup(stdin())?);
    let mut output = File::from(dup(stdout())?);
    // Whatever a parser prints must not get among the replies.
    dup2_stdout(stderr())?;
    watch(dup(stdin())?)?;
    limits::for_good()?;
    // Panics of parsers are caught, and told by their error.
    std::panic::set_hook(Box::new(|_| {}));
    let before = limits::resident();
    for number in 1.. {
        let Some(request) = wire::receive::<Request>(&mut input)? else { break };
        let memory = request.memory_mb << 20;
        limits::for_one(memory.saturating_add(request.bytes), request.cpu_s)?;
        let (read, body) = answer(&mut input, &request, &read)?;
        let grown = limits::resident().zip(before).is_some_and(|(now, before)| now > before + memory / KEPT);
        let last = number >= MAX_DOCUMENTS || grown;
        wire::send(&mut output, &Reply { bytes: body.len() as u64, read, last }, &body)?;
        output.flush()?;
        if last {
            break;
        }
    }
    Ok(())
}

/// Reads the document that a request announces. All that it took is free again when this returns, but for the answer.
fn answer(
    input: &mut impl Read,
    request: &Request,
    read: impl Fn(&[u8], &ExtractOptions) -> Result<Extracted, ContentError>,
) -> io::Result<(bool, Vec<u8>)> {
    let length = usize::try_from(request.bytes).map_err(|_| io::ErrorKind::InvalidData)?;
    let mut document = vec![0; length];
    input.read_exact(&mut document)?;
    Ok(match read(&document, &request.options) {
        Ok(extracted) => (true, serde_json::to_vec(&extracted)?),
        Err(error) => (false, serde_json::to_vec(&error)?),
    })
}

/// Ends the process as soon as nobody can write into its pipe any more, also in the midst of a document.
fn watch(input: rustix::fd::OwnedFd) -> io::Result<()> {
    let watching = thread::Builder::new().name("watch".to_owned()).stack_size(64 << 10);
    watching.spawn(move || {
        loop {
            // No event is asked for: a hang-up is told unasked, and only when all of the other ends are closed.
            let mut pipe = [PollFd::new(&input, PollFlags::empty())];
            let hung_up = match poll(&mut pipe, None) {
                Ok(_) => pipe[0].revents().intersects(PollFlags::HUP | PollFlags::ERR | PollFlags::NVAL),
                Err(rustix::io::Errno::INTR) => false,
                Err(_) => true,
            };
            if hung_up {
                std::process::exit(0);
            }
        }
    })?;
    Ok(())
}

//! Reads documents in processes of their own, which can be stopped: a crash, a hang or a balloon costs one typed error on
//! one document, and nothing else.
//!
//! ```text
//! Extractor::extract ── request ──> `gristmill extract --serve`: limits on itself, gristmill_content::extract
//!                    <── reply ───
//! ```
//!
//! | module | holds |
//! |---|---|
//! | `pool` | [`Extractor`]: children kept warm, as many as documents are read at once |
//! | `process` | one child as its parent sees it: asked, timed, killed, and why it died |
//! | `serve` | the child: reads requests until the pipe ends |
//! | `limits` | what the child allows itself |
//! | `wire` | what travels through the pipes |
//!
//! The child is the same program, called with the arguments `extract --serve`. It is given no environment, no files and
//! no address: a document comes in by one pipe and leaves by the other. Its wall-clock time is kept by the parent, its
//! memory and processor time by the kernel, through limits the child sets on itself. When the parent dies by whatever
//! cause the pipe closes, and the child ends even in the midst of a document.

mod error;
mod limits;
mod pool;
mod process;
mod serve;
mod wire;

pub use error::ExtractorError;
pub use pool::Extractor;
pub use serve::{serve_if_asked, serve_with};

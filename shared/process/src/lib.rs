//! What every Gristmill process does besides its work: it obeys signals, counts, and tells whether it is ready.
//!
//! | module | holds |
//! |---|---|
//! | [`Process`] | what `api`, `worker` and `scheduler` do alike |
//! | [`connect`] | from configuration to database, delivery and files |
//! | [`signals`] | being asked to stop |
//! | [`recorder`] | the Prometheus metrics of this process |
//! | [`probe`] | `/healthz`, `/readyz` and `/metrics` for a process that serves nothing else |

pub mod connect;
pub mod probe;
mod process;
pub mod recorder;
pub mod signals;

pub use process::{Process, run};

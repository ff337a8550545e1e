//! What every Gristmill process does besides its work: it obeys signals, counts, and tells whether it is ready.
//!
//! | module | holds |
//! |---|---|
//! | [`connect`] | from configuration to database, delivery and files |
//! | [`signals`] | being asked to stop |
//! | [`recorder`] | the Prometheus metrics of this process |
//! | [`probe`] | `/healthz`, `/readyz` and `/metrics` for a process that serves nothing else |

pub mod connect;
pub mod probe;
pub mod recorder;
pub mod signals;

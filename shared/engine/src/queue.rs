//! The queues: one per scarce resource, so that work that waits for one never holds slots of another.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// A queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Queue {
    /// Reading documents: bound by the processor.
    Ingest,
    /// Model calls: bound by providers.
    Ai,
    /// Feeds and webhooks: bound by other people's servers.
    Io,
    /// Everything else.
    Default,
}

impl Queue {
    /// Every queue.
    pub const ALL: [Self; 4] = [Self::Ingest, Self::Ai, Self::Io, Self::Default];

    /// Its name in the database, in Redis and over HTTP.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ingest => "ingest",
            Self::Ai => "ai",
            Self::Io => "io",
            Self::Default => "default",
        }
    }
}

impl fmt::Display for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A name that no queue has.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no queue \"{0}\"; the queues are ingest, ai, io and default")]
pub struct UnknownQueue(pub String);

impl FromStr for Queue {
    type Err = UnknownQueue;

    fn from_str(text: &str) -> Result<Self, UnknownQueue> {
        Self::ALL.into_iter().find(|queue| queue.name() == text).ok_or_else(|| UnknownQueue(text.to_owned()))
    }
}

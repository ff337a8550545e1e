//! Server-sent events, as an `EventSource` reads them.

use futures::{StreamExt as _, stream::BoxStream};
use reqwest::{Response, header::CONTENT_TYPE};
use serde_json::Value as Json;

/// One event.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// What to resume after.
    pub id: String,
    /// What happened.
    pub name: String,
    /// The particulars.
    pub data: Json,
}

/// A stream of events.
pub struct Events {
    /// The HTTP status.
    pub status: u16,
    bytes: BoxStream<'static, reqwest::Result<Vec<u8>>>,
    unread: String,
}

impl std::fmt::Debug for Events {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Events").field("status", &self.status).field("unread", &self.unread).finish_non_exhaustive()
    }
}

impl Events {
    pub(super) fn new(response: Response) -> Self {
        let status = response.status().as_u16();
        if status == 200 {
            let kind = response.headers()[CONTENT_TYPE].to_str().unwrap();
            assert!(kind.starts_with("text/event-stream"), "{kind}");
        }
        let bytes = response.bytes_stream().map(|bytes| bytes.map(|bytes| bytes.to_vec())).boxed();
        Self { status, bytes, unread: String::new() }
    }

    /// The next event; none once the stream has ended.
    pub async fn next(&mut self) -> Option<Event> {
        loop {
            while let Some((block, rest)) = self.unread.split_once("\n\n") {
                let (event, rest) = (read(block), rest.to_owned());
                self.unread = rest;
                if event.is_some() {
                    return event;
                }
            }
            let bytes = self.bytes.next().await?.expect("the stream does not break off");
            // Events are ASCII here unless a job's own texts are not; no test cuts one of those.
            self.unread.push_str(std::str::from_utf8(&bytes).unwrap());
        }
    }

    /// Every event that is still to come.
    pub async fn rest(mut self) -> Vec<Event> {
        let mut events = Vec::new();
        while let Some(event) = self.next().await {
            events.push(event);
        }
        events
    }
}

/// Reads a block; comments and fields that are not known are passed over.
fn read(block: &str) -> Option<Event> {
    let field = |name: &str| {
        let value = block.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        value.map(|value| value.strip_prefix(' ').unwrap_or(value).to_owned())
    };
    let data = serde_json::from_str(&field("data")?).expect("the data of an event is JSON");
    Some(Event { id: field("id").unwrap_or_default(), name: field("event").unwrap_or_default(), data })
}

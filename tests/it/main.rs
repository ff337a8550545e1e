//! Every story, in one binary.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

/// Tells a story on both deliveries.
macro_rules! on_both {
    ($($(#[$doc:meta])* async fn $name:ident($travel:ident: Travel) $body:block)*) => { $(
        mod $name {
            use super::*;

            $(#[$doc])*
            async fn story($travel: Travel) $body

            #[tokio::test]
            async fn memory() {
                story(Travel::Memory).await;
            }

            #[tokio::test]
            async fn redis() {
                story(Travel::Redis).await;
            }
        }
    )* };
}

mod addresses;
mod bad_input;
mod crash;
mod documents;
mod embeddings;
mod engine;
mod extractor;
mod faults;
mod feeds;
mod flow;
mod flow_http;
mod idempotency;
mod jobs_http;
mod migrations;
mod purge;
mod search;
mod search_history;
mod search_words;
mod service;
mod states;
mod strangers;
mod tenancy;

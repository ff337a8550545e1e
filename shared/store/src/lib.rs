//! What Gristmill keeps in Postgres: one file per aggregate, every query inside its organization.
//!
//! A query is handed an [`OrgTx`], a transaction that belongs to one organization. It names the organization in its
//! own `WHERE` (the first wall) and row-level security stands behind it (the second). Only what belongs to nobody or
//! to everybody, such as finding whose an API key is, runs in a [`SystemTx`].
//!
//! | module | keeps |
//! |---|---|
//! | [`db`] | connections and the two kinds of transaction |
//! | [`orgs`], [`keys`] | organizations and their API keys |
//! | [`idempotency`] | answers to requests that may be repeated |
//! | [`jobs`], [`job_events`], [`job_steps`] | jobs, their history and their steps, for reading; the engine moves them |
//! | [`batches`] | jobs that were handed in together |
//! | [`queues`] | queues as numbers |
//! | [`workers`] | worker processes and when they were last seen |
//! | [`documents`], [`chunks`] | documents, their versions, chunks and embeddings |
//! | [`addresses`] | at which addresses documents are found |
//! | [`erasure`] | erasing documents and their files for good |
//! | [`postings`] | which chunks hold a term, and how often |
//! | [`spaces`], [`embedding_cache`] | vectors by model, and what was embedded before |
//! | [`search`], [`search_history`] | finding chunks by words and by meaning, and what was searched for |
//! | [`feeds`], [`articles`] | feeds and what was found in them |

pub mod addresses;
pub mod articles;
pub mod batches;
mod bm25;
pub mod chunks;
pub mod db;
pub mod documents;
pub mod embedding_cache;
pub mod erasure;
pub mod error;
pub mod feeds;
pub mod idempotency;
pub mod job_events;
pub mod job_steps;
pub mod jobs;
pub mod keys;
pub mod orgs;
pub mod page;
pub mod postings;
pub mod queues;
pub mod search;
pub mod search_history;
pub mod spaces;
pub mod workers;

pub use db::{Db, OrgTx, SystemTx};
pub use error::{Result, StoreError};
pub use page::{Cursor, Page};

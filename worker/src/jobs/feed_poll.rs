//! `feed.poll`: a feed is fetched, and its new and revised entries become articles and documents.

use std::{collections::HashSet, time::Duration};

use bytes::Bytes;
use gristmill_content::{Entry, Feed, parse_feed};
use gristmill_core::ids::FeedId;
use gristmill_engine::{Job, JobError, NewJob, Queue};
use gristmill_fetch::{FetchRequest, Fetched};
use gristmill_store::{
    OrgTx,
    articles::{self, NewArticle},
    documents::{self, FileRef, NewDocument, Put},
    feeds::{self, Polled},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use url::Url;

use super::{IngestDocument, errors};
use crate::{Ctx, Services};

/// The longest article that is kept, in bytes of HTML.
const MOST_BYTES: u64 = 16 << 20;
/// Entries that are kept in one transaction; a feed with more that changed is polled again at once.
const BATCH: usize = 200;
const ACCEPT: &str = "application/atom+xml, application/rss+xml, application/feed+json, application/xml;q=0.9, text/xml;q=0.9, */*;q=0.1";

/// Polls a feed once.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PollFeed {
    /// The feed.
    pub feed_id: FeedId,
}

/// What a poll found.
#[derive(Debug, Serialize)]
pub struct PollReport {
    not_modified: bool,
    entries: usize,
    /// Entries that are new or were revised, each of which is being ingested.
    changed: usize,
    /// True where more had changed than are kept at once: another poll follows.
    more: bool,
}

/// An entry that is new or was revised, with its file already stored.
struct Changed {
    entry: Entry,
    content_hash: Vec<u8>,
    file: FileRef,
}

impl Job<Services> for PollFeed {
    const KIND: &'static str = "feed.poll";
    const ABOUT: &'static str = "Fetches a feed and ingests what is new in it.";
    const QUEUE: Queue = Queue::Io;
    const MAX_ATTEMPTS: u16 = 3;
    const TIMEOUT: Duration = Duration::from_mins(5);

    type Output = PollReport;

    async fn run(self, ctx: &Ctx) -> Result<PollReport, JobError> {
        let polled = self.poll(ctx).await;
        // The feed shows its trouble although the job that met it fails.
        if let Err(JobError::Permanent(failure) | JobError::Transient { failure, .. }) = &polled
            && failure.code != "lease-lost"
        {
            let tx = ctx.begin().await?;
            feeds::failed(&tx, self.feed_id, &json!({ "code": failure.code, "message": failure.message })).await?;
            tx.commit().await?;
        }
        polled
    }
}

impl PollFeed {
    async fn poll(&self, ctx: &Ctx) -> Result<PollReport, JobError> {
        let tx = ctx.begin().await?;
        let feed = feeds::find(&tx, self.feed_id).await?;
        tx.commit().await?;
        let feed = feed.ok_or_else(|| JobError::permanent("feed-gone", "The feed was deleted."))?;
        let url: Url = feed.url.parse()?;
        let mut request = FetchRequest::new(url);
        request.accept = Some(ACCEPT.to_owned());
        (request.etag, request.last_modified) = (feed.etag, feed.last_modified);
        let fetched = ctx.unless_called_off(ctx.fetcher.get(&request)).await?.map_err(|error| errors::fetch(&error))?;
        if fetched.not_modified {
            return ctx
                .finish(async |tx| {
                    feeds::polled(tx, self.feed_id, &Polled::default()).await?;
                    Ok(PollReport { not_modified: true, entries: 0, changed: 0, more: false })
                })
                .await;
        }
        let parsed = parse_feed(&fetched.body, fetched.content_type.as_deref(), &fetched.url)
            .map_err(|error| errors::feed(&error))?;
        let (changed, more) = self.changed(ctx, &parsed).await?;
        ctx.progress(0, changed.len() as u64, "store");
        // Validators are kept with the last batch: the feed is not read until all of it is.
        let polled = if more { Polled::default() } else { polled(&parsed, &fetched) };
        ctx.finish(async |tx| {
            for changed in &changed {
                self.keep(ctx, tx, &parsed, changed).await?;
            }
            feeds::polled(tx, self.feed_id, &polled).await?;
            if more {
                let rest = NewJob::new(Self::KIND, serde_json::to_value(self)?);
                ctx.submit(tx, rest.about(&self.feed_id)).await?;
            }
            Ok(PollReport { not_modified: false, entries: parsed.entries.len(), changed: changed.len(), more })
        })
        .await
    }

    /// The first entries that are not known as they are now, and whether there are more. Their files are stored here,
    /// before the finishing transaction, which should not wait for disks or buckets; storing the same bytes again is
    /// nothing.
    async fn changed(&self, ctx: &Ctx, feed: &Feed) -> Result<(Vec<Changed>, bool), JobError> {
        let (mut fresh, mut seen) = (Vec::new(), HashSet::new());
        let tx = ctx.begin().await?;
        for entry in &feed.entries {
            // Of several entries of one name the first counts, which is the newest by custom; taking turns they would
            // revise one another at every poll.
            if !seen.insert(guid(entry)) {
                continue;
            }
            if page(entry).len() as u64 > MOST_BYTES {
                ctx.log(format!(
                    "An entry is too long and was left out: {}",
                    entry.title.as_deref().unwrap_or(&entry.id)
                ));
                continue;
            }
            let content_hash = hash(entry);
            let known = articles::by_guid(&tx, self.feed_id, &guid(entry)).await?;
            if known.is_none_or(|article| article.content_hash != content_hash) {
                fresh.push((entry, content_hash));
            }
        }
        tx.commit().await?;
        let more = fresh.len() > BATCH;
        let mut changed = Vec::new();
        for (entry, content_hash) in fresh.into_iter().take(BATCH) {
            ctx.check()?;
            let mut staged = ctx.files.stage(MOST_BYTES).await.map_err(|error| errors::files(&error))?;
            staged.write(Bytes::from(page(entry))).await.map_err(|error| errors::files(&error))?;
            let stored =
                ctx.files.store(&ctx.org().to_string(), staged).await.map_err(|error| errors::files(&error))?;
            let bytes = i64::try_from(stored.size_bytes)?;
            let file = FileRef { sha256: stored.sha256.as_bytes().to_vec(), bytes };
            changed.push(Changed { entry: entry.clone(), content_hash, file });
        }
        Ok((changed, more))
    }

    async fn keep(&self, ctx: &Ctx, tx: &OrgTx, feed: &Feed, changed: &Changed) -> Result<(), JobError> {
        let Changed { entry, content_hash, file } = changed;
        let guid = guid(entry);
        let document = NewDocument {
            external_id: Some(format!("{}/{guid}", self.feed_id)),
            title: entry.title.clone(),
            source: json!({ "type": "feed", "media_type": "text/html", "url": entry.url, "feed": feed.title }),
            file: Some(file.clone()),
            ..NewDocument::default()
        };
        let mut job = NewJob::new(IngestDocument::KIND, json!({}));
        let document_id = match documents::put(tx, &document, job.id).await? {
            Put::Unchanged(document_id) => document_id,
            Put::Made { document, version } => {
                let ingest = IngestDocument { document_id: document, version_id: version };
                job.args = serde_json::to_value(&ingest)?;
                ctx.submit(tx, job.about(&document)).await?;
                document
            }
        };
        let article = NewArticle {
            feed_id: self.feed_id,
            guid,
            url: entry.url.clone(),
            title: entry.title.clone(),
            author: entry.author.clone(),
            published_at: entry.published.or(entry.updated),
            content_hash: content_hash.clone(),
            document_id,
        };
        Ok(articles::upsert(tx, &article).await?)
    }
}

fn polled(feed: &Feed, fetched: &Fetched) -> Polled {
    Polled {
        title: feed.title.clone(),
        site_url: feed.link.clone(),
        etag: fetched.etag.clone(),
        last_modified: fetched.last_modified.clone(),
    }
}

/// What the feed says of an entry, as a page that the HTML reader understands.
fn page(entry: &Entry) -> String {
    let title = escaped(entry.title.as_deref().unwrap_or_default());
    let body = entry.content_html.as_deref().or(entry.summary_html.as_deref()).unwrap_or_default();
    format!(
        "<!doctype html><html><head><meta charset=\"utf-8\"><title>{title}</title></head>\
         <body><article><h1>{title}</h1>\n{body}</article></body></html>"
    )
}

/// What the feed calls an entry; a hash of that where it is too long for an index to hold.
fn guid(entry: &Entry) -> String {
    const MOST: usize = 500;
    if entry.id.len() <= MOST {
        return entry.id.clone();
    }
    let hash = Sha256::digest(entry.id.as_bytes());
    format!("sha256:{}", hash.iter().map(|byte| format!("{byte:02x}")).collect::<String>())
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

fn hash(entry: &Entry) -> Vec<u8> {
    let mut hash = Sha256::new();
    hash.update(page(entry));
    hash.update(entry.url.as_deref().unwrap_or_default());
    hash.finalize().to_vec()
}

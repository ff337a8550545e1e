//! RSS, Atom and JSON Feed, read leniently.
//!
//! The bytes are repaired first, as browsers and feed readers would; then `feed-rs` reads them; then its answer is
//! doubted: no entries though the source holds some is an error, not an empty feed.

mod repair;

use chrono::{DateTime, Utc};
use feed_rs::model;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use url::Url;

use crate::{clean, guard, html};

/// Longest complaint of a parser that is passed on, in characters.
const MAX_DETAIL: usize = 200;

/// A feed after reading. No string in it holds a control character, save line feeds and tabs in summary and content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Feed {
    /// Its title, without markup.
    pub title: Option<String>,
    /// The page it belongs to.
    pub link: Option<String>,
    /// What it says about itself.
    pub description: Option<String>,
    /// ISO 639-1 code of its language.
    pub language: Option<String>,
    /// How long it asks to be left alone between two polls, in minutes (RSS `ttl`).
    pub ttl_minutes: Option<u32>,
    /// Its entries in the order of the source.
    pub entries: Vec<Entry>,
}

/// One entry of a feed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// What names it within its feed: its own id, else its address, else a hash of its content. Never empty.
    pub id: String,
    /// Its title, without surrounding white space.
    pub title: Option<String>,
    /// The article's address, absolute.
    pub url: Option<String>,
    /// Its authors, comma-separated.
    pub author: Option<String>,
    /// When it was published.
    pub published: Option<DateTime<Utc>>,
    /// When it was last changed.
    pub updated: Option<DateTime<Utc>>,
    /// Its summary, as HTML or text. Not sanitised.
    pub summary_html: Option<String>,
    /// Its content, as HTML or text. Not sanitised.
    pub content_html: Option<String>,
    /// Files attached to it, such as audio.
    pub enclosures: Vec<Enclosure>,
}

/// A file attached to an entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Enclosure {
    /// Its address, absolute.
    pub url: String,
    /// Its declared media type.
    pub media_type: Option<String>,
    /// Its declared length in bytes.
    pub length: Option<u64>,
}

/// Why a feed cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[serde(tag = "code", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum FeedError {
    /// No bytes, or nothing but white space.
    #[error("The feed is empty.")]
    EmptyFeed,
    /// Something else, mostly an HTML page.
    #[error("This is no feed but {found}. Give the address of the feed itself.")]
    NotAFeed {
        /// What was found instead.
        found: String,
    },
    /// It looks like a feed but cannot be parsed.
    #[error("The feed is damaged: {detail}.")]
    FeedDamaged {
        /// The parser's complaint.
        detail: String,
    },
    /// The source holds entries, but none could be read.
    #[error("The feed holds entries, but none of them could be read.")]
    EntriesUnreadable,
}

impl FeedError {
    /// The stable, kebab-case name of this error.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::EmptyFeed => "empty-feed",
            Self::NotAFeed { .. } => "not-a-feed",
            Self::FeedDamaged { .. } => "feed-damaged",
            Self::EntriesUnreadable => "entries-unreadable",
        }
    }
}

/// Reads a feed. `content_type` is the HTTP header, for its charset; `url` is the feed's address, against which
/// relative addresses are resolved.
///
/// # Errors
///
/// See [`FeedError`]. A feed that is well-formed and has no entries is no error.
pub fn parse_feed(bytes: &[u8], content_type: Option<&str>, url: &Url) -> Result<Feed, FeedError> {
    let source = repair::repair(bytes, content_type)?;
    let parser = feed_rs::parser::Builder::new()
        .base_uri(Some(url.as_str()))
        // Ids are chosen here: the parser's own fallback is random and would make every poll look new.
        .id_generator(|_, _, _| String::new())
        .build();
    let parsed = guard::guarded(|| parser.parse(source.as_bytes()))
        .map_err(|panicked| damaged(&panicked.0))?
        .map_err(|error| damaged(&error.to_string()))?;
    if parsed.entries.is_empty() && repair::holds_entries(&source) {
        return Err(FeedError::EntriesUnreadable);
    }
    Ok(Feed {
        title: plain(parsed.title),
        link: site_link(&parsed.links, url),
        description: plain(parsed.description),
        language: parsed.language.as_deref().and_then(crate::language::from_tag),
        ttl_minutes: parsed.ttl,
        entries: parsed.entries.into_iter().map(|entry| convert(entry, url)).collect(),
    })
}

/// A parser's complaint, which may quote the source.
fn damaged(complaint: &str) -> FeedError {
    let detail = clean::line(complaint).unwrap_or_else(|| "it cannot be parsed".to_owned());
    FeedError::FeedDamaged { detail: clean::shortened(&detail, MAX_DETAIL) }
}

fn convert(entry: model::Entry, base: &Url) -> Entry {
    let own_base = entry.base.as_deref().and_then(|own| base.join(own).ok());
    let base = own_base.as_ref().unwrap_or(base);
    let url = article_link(&entry.links, base).or_else(|| permalink(&entry.id));
    let summary_html = entry.summary.and_then(|text| body(&text.content));
    let content_html = entry.content.as_ref().and_then(|content| body(content.body.as_deref()?));
    let title = entry.title.and_then(|text| clean::line(&text.content));
    let authors: Vec<String> = entry.authors.iter().filter_map(|person| clean::line(person.name.as_deref()?)).collect();
    let mut enclosures = link_enclosures(&entry.links, base);
    for media in entry.media.iter().flat_map(|media| &media.content) {
        let Some(address) = media.url.as_ref().map(ToString::to_string) else { continue };
        if enclosures.iter().all(|known| known.url != address) {
            let media_type = media.content_type.as_ref().and_then(|kind| clean::line(kind.as_ref()));
            enclosures.push(Enclosure { url: address, media_type, length: media.size });
        }
    }
    let id = clean::line(&entry.id)
        .or_else(|| url.clone())
        .unwrap_or_else(|| content_id(&[title.as_deref(), summary_html.as_deref(), content_html.as_deref()]));
    Entry {
        id,
        title,
        url,
        author: (!authors.is_empty()).then(|| authors.join(", ")),
        published: entry.published,
        updated: entry.updated,
        summary_html,
        content_html,
        enclosures,
    }
}

/// A guid that is an address, where an entry has no link.
fn permalink(id: &str) -> Option<String> {
    Url::parse(id.trim()).ok().filter(|url| matches!(url.scheme(), "http" | "https")).map(String::from)
}

/// A name made from what the entry says.
fn content_id(parts: &[Option<&str>]) -> String {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update(part.unwrap_or_default().as_bytes());
        hasher.update([0]);
    }
    let digest = hasher.finalize();
    digest.iter().take(16).fold("sha256:".to_owned(), |mut id, byte| {
        id.push_str(&format!("{byte:02x}"));
        id
    })
}

fn article_link(links: &[model::Link], base: &Url) -> Option<String> {
    let usable = |link: &&model::Link| {
        !matches!(link.rel.as_deref(), Some("enclosure" | "self" | "replies" | "edit" | "hub" | "license"))
    };
    let alternate = links.iter().find(|link| matches!(link.rel.as_deref(), None | Some("alternate")));
    alternate.or_else(|| links.iter().find(usable)).and_then(|link| absolute(&link.href, base))
}

fn site_link(links: &[model::Link], base: &Url) -> Option<String> {
    article_link(links, base)
}

fn link_enclosures(links: &[model::Link], base: &Url) -> Vec<Enclosure> {
    let enclosures = links.iter().filter(|link| link.rel.as_deref() == Some("enclosure"));
    enclosures
        .filter_map(|link| {
            let url = absolute(&link.href, base)?;
            let media_type = link.media_type.as_deref().and_then(clean::line);
            Some(Enclosure { url, media_type, length: link.length })
        })
        .collect()
}

fn absolute(href: &str, base: &Url) -> Option<String> {
    let href = href.trim();
    if href.is_empty() {
        return None;
    }
    base.join(href).ok().filter(|url| matches!(url.scheme(), "http" | "https")).map(String::from)
}

/// A summary or content: as it is, but for control characters; none if there is nothing in it.
fn body(markup: &str) -> Option<String> {
    Some(clean::text(markup)).filter(|text| !text.trim().is_empty())
}

/// Titles and descriptions without markup.
fn plain(text: Option<model::Text>) -> Option<String> {
    let content = text?.content;
    let bare = if content.contains(['<', '&']) { html::bare_text(&content)? } else { content };
    clean::line(&bare.split_whitespace().collect::<Vec<_>>().join(" "))
}

#[cfg(test)]
mod tests;

//! What is asked of a server, and what it answered.

use std::time::Duration;

use bytes::Bytes;
use url::Url;

/// One thing to fetch.
#[derive(Debug, Clone)]
pub struct FetchRequest {
    /// Where it is: `http` or `https`, without user name and password.
    pub url: Url,
    /// The `Accept` header; `*/*` without it.
    pub accept: Option<String>,
    /// The `ETag` of the copy at hand; the server answers "not modified" if it is still good.
    pub etag: Option<String>,
    /// The `Last-Modified` of the copy at hand; likewise.
    pub last_modified: Option<String>,
    /// The most bytes of the body, instead of the configured limit.
    pub max_bytes: Option<u64>,
    /// Whether the robots.txt of each site on the way is asked first. Pages are fetched so; what was made to be fetched
    /// by programs, such as feeds, need not be.
    pub obey_robots: bool,
}

impl FetchRequest {
    /// An unconditional request that asks no robots.txt.
    #[must_use]
    pub fn new(url: Url) -> Self {
        Self { url, accept: None, etag: None, last_modified: None, max_bytes: None, obey_robots: false }
    }
}

/// What a server answered: success (2xx), or that the copy at hand is still good (304).
#[derive(Debug, Clone)]
pub struct Fetched {
    /// The URL that answered, after redirects.
    pub url: Url,
    /// The HTTP status.
    pub status: u16,
    /// Whether the copy at hand is still good; the body is empty then.
    pub not_modified: bool,
    /// The `Content-Type` header as it came.
    pub content_type: Option<String>,
    /// The `ETag` header, to be sent back with the next request.
    pub etag: Option<String>,
    /// The `Last-Modified` header, to be sent back with the next request.
    pub last_modified: Option<String>,
    /// The `Cache-Control` header as it came.
    pub cache_control: Option<String>,
    /// The `Expires` header as it came.
    pub expires: Option<String>,
    /// How long the server asks to be left alone, at most 31 days.
    pub retry_after: Option<Duration>,
    /// Where the requested URL has moved for good: the end of an unbroken run of 301 and 308 from the first hop on.
    pub permanent_redirect: Option<Url>,
    /// The body, decompressed.
    pub body: Bytes,
}

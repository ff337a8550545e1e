//! Fetching: one request, its redirects, its time.

use std::error::Error;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use gristmill_core::clock;
use reqwest::header::{self, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, Response};
use url::{Host, Url};

use crate::address::{AddressPolicy, GuardedResolver, ResolveError, system_lookup};
use crate::body::{self, BodyError, Excess};
use crate::ports;
use crate::robots::{self, RobotsRules};
use crate::{FetchConfig, FetchError, FetchRequest, Fetched, Lookup};

const MAX_REDIRECTS: usize = 5;
const MAX_HEADER_BYTES: usize = 64 * 1024;
const MAX_HEADERS: usize = 200;
/// Time to connect to one host, TLS included, within the time of the whole.
const CONNECT: Duration = Duration::from_secs(10);
/// Time without a single byte, within the time of the whole.
const SILENCE: Duration = Duration::from_secs(15);
/// How long a connection is kept for the next fetch from the same host.
const KEEP: Duration = Duration::from_secs(30);
const MAX_RETRY_AFTER: Duration = Duration::from_secs(31 * 24 * 60 * 60);

/// Fetches from addresses that users supply. Cheap to clone; clones share their connections and what they know of
/// each site's robots.txt.
#[derive(Clone)]
pub struct Fetcher {
    client: Client,
    policy: Arc<AddressPolicy>,
    robots: Arc<RobotsRules>,
    timeout: Duration,
    max_bytes: u64,
}

impl Fetcher {
    /// A fetcher that asks the system's resolver for names.
    ///
    /// # Errors
    /// [`FetchError::Setup`] if the user agent is not a header value or the system has no certificate store.
    pub fn new(config: FetchConfig) -> Result<Self, FetchError> {
        Self::with_lookup(config, system_lookup())
    }

    /// A fetcher that asks `lookup` for names, such as a resolver that caches, or one made up for a test.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    #[expect(clippy::disallowed_methods, reason = "this is the client that everything else is sent to")]
    pub fn with_lookup(config: FetchConfig, lookup: Lookup) -> Result<Self, FetchError> {
        let policy = Arc::new(AddressPolicy::new(config.allow));
        let robots = Arc::new(RobotsRules::new(&config.user_agent));
        let client = Client::builder()
            .user_agent(config.user_agent)
            .redirect(reqwest::redirect::Policy::none())
            // A proxy would resolve names itself and connect wherever it likes.
            .no_proxy()
            .dns_resolver(GuardedResolver { policy: Arc::clone(&policy), lookup })
            .referer(false)
            .no_gzip()
            .no_brotli()
            .no_deflate()
            .no_zstd()
            .connect_timeout(CONNECT.min(config.timeout))
            .read_timeout(SILENCE.min(config.timeout))
            .pool_idle_timeout(KEEP)
            .http1_max_headers(MAX_HEADERS)
            .http2_max_header_list_size(u32::try_from(MAX_HEADER_BYTES).unwrap_or(u32::MAX))
            .build()
            .map_err(|error| FetchError::Setup { source: Arc::new(error) })?;
        Ok(Self { client, policy, robots, timeout: config.timeout, max_bytes: config.max_bytes })
    }

    /// Fetches `request.url`, following at most 5 redirects, all within the configured time.
    ///
    /// # Errors
    /// Any [`FetchError`]; every status other than 2xx is [`FetchError::HttpStatus`], except 304 in answer to a
    /// conditional request.
    pub async fn get(&self, request: &FetchRequest) -> Result<Fetched, FetchError> {
        self.within(self.timeout, self.follow(request, Excess::Refuse)).await
    }

    /// Whether a URL can be fetched as far as can be told without asking for its name: its scheme, that it holds no
    /// user name or password, and its host where that is an address in any notation. Meant for refusing it early;
    /// [`get`](Self::get) checks again.
    ///
    /// # Errors
    /// [`FetchError::InvalidUrl`] or [`FetchError::AddressNotAllowed`].
    pub fn check_url(&self, url: &Url) -> Result<(), FetchError> {
        let invalid = |reason| Err(FetchError::InvalidUrl { reason });
        if !matches!(url.scheme(), "http" | "https") {
            return invalid("only http and https addresses are fetched");
        }
        if !url.username().is_empty() || url.password().is_some() {
            return invalid("it holds a user name or a password");
        }
        if url.port().is_some_and(ports::is_blocked) {
            return invalid("its port is one of another protocol than the web's");
        }
        // The url crate has turned every notation of an IPv4 address (decimal, octal, hexadecimal, short) into one.
        let permitted = match url.host() {
            None => return invalid("it names no host"),
            Some(Host::Ipv4(address)) => self.policy.permits(address.into()),
            Some(Host::Ipv6(address)) => self.policy.permits(address.into()),
            Some(Host::Domain(name)) => !is_localhost(name) || self.policy.permits_localhost(),
        };
        if permitted { Ok(()) } else { Err(FetchError::AddressNotAllowed { host: host(url) }) }
    }

    async fn within<T>(
        &self,
        limit: Duration,
        fetch: impl Future<Output = Result<T, FetchError>>,
    ) -> Result<T, FetchError> {
        tokio::time::timeout(limit, fetch).await.unwrap_or(Err(FetchError::Timeout { limit }))
    }

    /// A robots.txt. Boxed, because asking for one happens within a fetch and is a fetch itself.
    fn robots_txt(&self, url: Url) -> BoxFuture<'_, Result<Vec<u8>, FetchError>> {
        async move {
            let request = FetchRequest { max_bytes: Some(robots::MOST_BYTES), ..FetchRequest::new(url) };
            let limit = robots::TIMEOUT.min(self.timeout);
            Ok(self.within(limit, self.follow(&request, Excess::Cut)).await?.body.into())
        }
        .boxed()
    }

    async fn follow(&self, request: &FetchRequest, excess: Excess) -> Result<Fetched, FetchError> {
        let headers = request_headers(request)?;
        let mut url = request.url.clone();
        let mut moved_for_good = None;
        let mut only_permanent = true;
        for _ in 0..=MAX_REDIRECTS {
            self.check_url(&url)?;
            if request.obey_robots {
                self.robots.permit(&url, |at| self.robots_txt(at)).await?;
            }
            let sent = self.client.get(url.clone()).headers(headers.clone()).send().await;
            let response = sent.map_err(|error| self.failed(&url, error))?;
            check_size(response.headers())?;
            let Some(next) = redirect(&url, &response)? else {
                return self.finish(request, url, response, moved_for_good, excess).await;
            };
            only_permanent &= matches!(response.status().as_u16(), 301 | 308);
            if only_permanent {
                moved_for_good = Some(next.clone());
            }
            url = next;
        }
        Err(FetchError::TooManyRedirects { limit: MAX_REDIRECTS })
    }

    async fn finish(
        &self,
        request: &FetchRequest,
        url: Url,
        response: Response,
        permanent_redirect: Option<Url>,
        excess: Excess,
    ) -> Result<Fetched, FetchError> {
        let status = response.status().as_u16();
        let headers = response.headers();
        let retry_after = retry_after(headers);
        let not_modified = status == 304 && (request.etag.is_some() || request.last_modified.is_some());
        if !not_modified && !response.status().is_success() {
            return Err(FetchError::HttpStatus { status, retry_after });
        }
        let mut fetched = Fetched {
            status,
            not_modified,
            content_type: text(headers, &header::CONTENT_TYPE),
            etag: text(headers, &header::ETAG),
            last_modified: text(headers, &header::LAST_MODIFIED),
            cache_control: text(headers, &header::CACHE_CONTROL),
            expires: text(headers, &header::EXPIRES),
            retry_after,
            permanent_redirect,
            body: Bytes::new(),
            url,
        };
        if !not_modified {
            let limit = request.max_bytes.unwrap_or(self.max_bytes);
            fetched.body = body::read(response, limit, excess).await.map_err(|error| match error {
                BodyError::Http(error) => self.failed(&fetched.url, error),
                BodyError::Other(error) => error,
            })?;
        }
        Ok(fetched)
    }

    /// Sorts an error of the HTTP client, and takes the URL out of it.
    fn failed(&self, url: &Url, error: reqwest::Error) -> FetchError {
        let host = host(url);
        match resolve_error(&error) {
            Some(ResolveError::NotAllowed) => return FetchError::AddressNotAllowed { host },
            Some(ResolveError::Failed { kind, message }) => {
                return FetchError::DnsFailed { host, source: Arc::new(io::Error::new(*kind, message.clone())) };
            }
            None => {}
        }
        if error.is_timeout() {
            return FetchError::Timeout { limit: self.timeout };
        }
        if error.is_builder() {
            return FetchError::InvalidUrl { reason: "it is too long or holds characters that no request can" };
        }
        if headers_too_large(&error) {
            return FetchError::HeadersTooLarge { limit_bytes: MAX_HEADER_BYTES };
        }
        let connecting = error.is_connect();
        let source = Arc::new(error.without_url());
        if connecting {
            FetchError::ConnectFailed { host, source }
        } else {
            FetchError::ConnectionLost { host, source }
        }
    }
}

impl fmt::Debug for Fetcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fetcher").field("policy", &self.policy).field("timeout", &self.timeout).finish_non_exhaustive()
    }
}

/// The guard's own verdict, somewhere in the chain of causes.
fn resolve_error(error: &reqwest::Error) -> Option<&ResolveError> {
    causes(error).find_map(|cause| cause.downcast_ref())
}

/// Whether the HTTP client gave up on headers that fill its buffer or are too many.
fn headers_too_large(error: &reqwest::Error) -> bool {
    causes(error).filter_map(|cause| cause.downcast_ref()).any(hyper::Error::is_parse_too_large)
}

fn causes<'a>(error: &'a reqwest::Error) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(error.source(), |cause: &&'a (dyn Error + 'static)| (*cause).source())
}

fn host(url: &Url) -> String {
    url.host_str().unwrap_or_default().to_owned()
}

/// `localhost` and all names below it mean this machine (RFC 6761, section 6.3).
fn is_localhost(name: &str) -> bool {
    let name = name.trim_end_matches('.');
    name == "localhost" || name.ends_with(".localhost")
}

fn request_headers(request: &FetchRequest) -> Result<HeaderMap, FetchError> {
    let given = [
        (header::ACCEPT, "Accept", &request.accept),
        (header::IF_NONE_MATCH, "If-None-Match", &request.etag),
        (header::IF_MODIFIED_SINCE, "If-Modified-Since", &request.last_modified),
    ];
    let mut headers = HeaderMap::new();
    headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static(body::ACCEPT_ENCODING));
    for (name, shown, value) in given {
        if let Some(value) = value {
            let value = HeaderValue::from_str(value).map_err(|_| FetchError::InvalidHeader { header: shown })?;
            headers.insert(name, value);
        }
    }
    Ok(headers)
}

fn check_size(headers: &HeaderMap) -> Result<(), FetchError> {
    let bytes: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    if bytes > MAX_HEADER_BYTES { Err(FetchError::HeadersTooLarge { limit_bytes: MAX_HEADER_BYTES }) } else { Ok(()) }
}

/// Where the answer sends us, if it does. A redirect that names no place is an ordinary answer (and an error later).
fn redirect(from: &Url, response: &Response) -> Result<Option<Url>, FetchError> {
    if !matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
        return Ok(None);
    }
    let Some(location) = response.headers().get(header::LOCATION) else {
        return Ok(None);
    };
    let unreadable = FetchError::InvalidUrl { reason: "it redirects to something that is no URL" };
    let Ok(location) = std::str::from_utf8(location.as_bytes()) else {
        return Err(unreadable);
    };
    from.join(location).map(Some).map_err(|_| unreadable)
}

fn text(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
}

/// Seconds or a date (RFC 9110, section 10.2.3); a date in the past asks for nothing.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let value = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    let wait = match value.parse::<u64>() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => {
            httpdate::parse_http_date(value).ok()?.duration_since(SystemTime::from(clock::now())).unwrap_or_default()
        }
    };
    Some(wait.min(MAX_RETRY_AFTER))
}

//! Why something could not be fetched.

use std::error::Error;
use std::io;
use std::sync::Arc;
use std::time::Duration;

/// Why something could not be fetched. No message repeats a URL's path or query, which may hold tokens, or the address
/// a name resolves to, which is not the asker's to know.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum FetchError {
    /// The host is, or resolves to, an address that may not be reached.
    #[error(
        "the host {host} is at an address that may not be fetched from (private, local or reserved); use a public address, or have the operator allow its network"
    )]
    AddressNotAllowed {
        /// The host as the URL names it.
        host: String,
    },
    /// The URL, or one it redirects to, is not one that can be fetched.
    #[error("the URL cannot be fetched: {reason}")]
    InvalidUrl {
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A header of the request holds characters that headers cannot.
    #[error("the {header} header of the request holds characters that are not allowed there")]
    InvalidHeader {
        /// The header's name.
        header: &'static str,
    },
    /// The site's robots.txt asks not to fetch this address.
    #[error(
        "the robots.txt of {host} does not let {agent} fetch this address; ask the site's owner to allow it, or hand the document in as a file"
    )]
    RobotsDisallowed {
        /// The host as the URL names it.
        host: String,
        /// The name by which a robots.txt calls us.
        agent: String,
    },
    /// The site is there but cannot say what may be fetched, so nothing may (RFC 9309, section 2.3.1.4).
    #[error(
        "the site {host} cannot send its robots.txt at the moment, and until it does nothing is fetched from there"
    )]
    RobotsUnreachable {
        /// The host as the URL names it.
        host: String,
        /// How long to leave it alone.
        retry_after: Option<Duration>,
        /// What came of asking for it.
        #[source]
        source: Arc<Self>,
    },
    /// The host's name does not resolve.
    #[error("the name {host} cannot be resolved; check its spelling")]
    DnsFailed {
        /// The host as the URL names it.
        host: String,
        /// What the resolver said.
        #[source]
        source: Arc<io::Error>,
    },
    /// No connection: nobody listens, the network is down, or the certificate is not good.
    #[error("cannot connect to {host}, or its certificate is not valid")]
    ConnectFailed {
        /// The host as the URL names it.
        host: String,
        /// What the HTTP client said.
        #[source]
        source: Arc<dyn Error + Send + Sync>,
    },
    /// The connection broke before the answer was complete, or the answer is not HTTP.
    #[error("the host {host} broke off its answer, or answered something that is not HTTP")]
    ConnectionLost {
        /// The host as the URL names it.
        host: String,
        /// What the HTTP client said.
        #[source]
        source: Arc<dyn Error + Send + Sync>,
    },
    /// The answer was not complete in time, or nothing came for too long.
    #[error("no complete answer within {limit:?}")]
    Timeout {
        /// The time for the fetch as a whole.
        limit: Duration,
    },
    /// The body is larger than allowed.
    #[error("the answer is larger than {limit_bytes} bytes")]
    TooLarge {
        /// The most bytes allowed, before and after decompression.
        limit_bytes: u64,
    },
    /// The headers are larger than allowed.
    #[error("the headers of the answer are larger than {limit_bytes} bytes")]
    HeadersTooLarge {
        /// The most bytes allowed.
        limit_bytes: usize,
    },
    /// The body unpacks to so many times its size that it is taken for an attack.
    #[error("the answer unpacks to more than {limit} times its size")]
    TooCompressed {
        /// The most times its size a body may unpack to.
        limit: u64,
    },
    /// The body's compression is unknown or its data is damaged.
    #[error("the answer cannot be decompressed ({encoding})")]
    Undecodable {
        /// The `Content-Encoding` it came with.
        encoding: String,
        /// What the decoder said; nothing where the encoding is unknown.
        #[source]
        source: Option<Arc<io::Error>>,
    },
    /// The server redirects again and again.
    #[error("more than {limit} redirects")]
    TooManyRedirects {
        /// The most redirects followed.
        limit: usize,
    },
    /// The server answered with a status other than success.
    #[error("the server answered with HTTP status {status}")]
    HttpStatus {
        /// The HTTP status.
        status: u16,
        /// How long the server asks to be left alone, at most 31 days.
        retry_after: Option<Duration>,
    },
    /// The HTTP client could not be set up, so nothing can be fetched.
    #[error("the HTTP client cannot be set up; check the user agent and the system's certificate store")]
    Setup {
        /// What the HTTP client said.
        #[source]
        source: Arc<dyn Error + Send + Sync>,
    },
}

impl FetchError {
    /// A stable kebab-case name for the kind of failure, fit for rows, metrics and API answers.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::AddressNotAllowed { .. } => "address-not-allowed",
            Self::InvalidUrl { .. } => "invalid-url",
            Self::InvalidHeader { .. } => "invalid-header",
            Self::RobotsDisallowed { .. } => "robots-disallowed",
            Self::RobotsUnreachable { .. } => "robots-unreachable",
            Self::DnsFailed { .. } => "dns-failed",
            Self::ConnectFailed { .. } => "connect-failed",
            Self::ConnectionLost { .. } => "connection-lost",
            Self::Timeout { .. } => "timeout",
            Self::TooLarge { .. } => "too-large",
            Self::HeadersTooLarge { .. } => "headers-too-large",
            Self::TooCompressed { .. } => "too-compressed",
            Self::Undecodable { .. } => "undecodable",
            Self::TooManyRedirects { .. } => "too-many-redirects",
            Self::HttpStatus { .. } => "http-status",
            Self::Setup { .. } => "fetch-setup-failed",
        }
    }

    /// Whether the same fetch may succeed later.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::RobotsUnreachable { .. }
            | Self::DnsFailed { .. }
            | Self::ConnectFailed { .. }
            | Self::ConnectionLost { .. }
            | Self::Timeout { .. } => true,
            // 501 and 505 say that the server never will.
            Self::HttpStatus { status, .. } => {
                matches!(status, 408 | 421 | 425 | 429) || ((500..600).contains(status) && !matches!(status, 501 | 505))
            }
            Self::AddressNotAllowed { .. }
            | Self::InvalidUrl { .. }
            | Self::RobotsDisallowed { .. }
            | Self::InvalidHeader { .. }
            | Self::TooLarge { .. }
            | Self::HeadersTooLarge { .. }
            | Self::TooCompressed { .. }
            | Self::Undecodable { .. }
            | Self::TooManyRedirects { .. }
            | Self::Setup { .. } => false,
        }
    }

    /// How long the server asked to be left alone, if it did.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::HttpStatus { retry_after, .. } | Self::RobotsUnreachable { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}

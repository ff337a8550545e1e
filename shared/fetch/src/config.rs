//! Limits of what is fetched.

use std::time::Duration;

use ipnet::IpNet;

/// What may be fetched, as whom, and how much of it.
#[derive(Debug, Clone)]
pub struct FetchConfig {
    /// Networks that may be reached although they are private, local or reserved. Empty unless the deployment means
    /// to fetch from its own network.
    pub allow: Vec<IpNet>,
    /// Sent with every request; names the software and a URL where its operator can be found.
    pub user_agent: String,
    /// Time for one fetch as a whole: names, connections, redirects and the body.
    pub timeout: Duration,
    /// The most bytes of a body, before as well as after decompression, unless a request says otherwise.
    pub max_bytes: u64,
}

impl Default for FetchConfig {
    /// Public addresses only, 30 seconds, 50 MB.
    fn default() -> Self {
        Self {
            allow: Vec::new(),
            user_agent: concat!("Gristmill/", env!("CARGO_PKG_VERSION"), " (+", env!("CARGO_PKG_REPOSITORY"), ")")
                .to_owned(),
            timeout: Duration::from_secs(30),
            max_bytes: 50_000_000,
        }
    }
}

//! Which addresses may be reached, and the resolver that holds to it.
//!
//! The table of private, local and reserved ranges is `ssrf_guard::is_public`, which judges the embedded forms (mapped,
//! compatible, SIIT, 6to4, Teredo) too. Its fetcher is not used: it builds a TLS client for each hop, so no connection
//! is ever kept for the next poll of a feed, it has no timeout for silence, and it leaves decompression to the HTTP
//! client, where a ratio cannot be held to.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use ipnet::IpNet;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// Azure's wire server, the virtual public address at which every machine there reaches its host: DHCP, DNS, and the
/// extensions' settings with their secrets (Microsoft Learn, "What is IP address 168.63.129.16?"). It lies in a public
/// range, so no registry of special addresses has it. The metadata servers of other clouds do lie in reserved ranges.
const AZURE_WIRE_SERVER: IpAddr = IpAddr::V4(Ipv4Addr::new(168, 63, 129, 16));

/// Turns a host name into addresses. What it returns is checked before anything connects, so it need not filter.
pub type Lookup = Arc<dyn Fn(String) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> + Send + Sync>;

/// The system's own resolver. It runs on a thread that cannot be stopped: a fetch gives up on time, the thread when
/// the system does.
pub(crate) fn system_lookup() -> Lookup {
    Arc::new(|host| {
        async move { Ok(tokio::net::lookup_host((host, 0)).await?.map(|address| address.ip()).collect()) }.boxed()
    })
}

/// Which addresses may be reached.
#[derive(Debug)]
pub(crate) struct AddressPolicy {
    allow: Vec<IpNet>,
}

impl AddressPolicy {
    pub(crate) fn new(allow: Vec<IpNet>) -> Self {
        Self { allow }
    }

    /// An address of an allowed network, or a public one.
    pub(crate) fn permits(&self, address: IpAddr) -> bool {
        self.allow.iter().any(|network| network.contains(&address)) || is_public(address)
    }

    /// Whether a name that always means this machine (RFC 6761, section 6.3) may be reached.
    pub(crate) fn permits_localhost(&self) -> bool {
        self.permits(Ipv4Addr::LOCALHOST.into()) || self.permits(Ipv6Addr::LOCALHOST.into())
    }
}

/// All of IPv6 that is routed publicly lies in 2000::/3 (RFC 4291, section 2.4; IANA's IPv6 address space registry). So
/// the mapped, compatible and NAT64 forms are refused whatever IPv4 address they carry: no public name needs them.
fn is_public(address: IpAddr) -> bool {
    let routed = match address {
        IpAddr::V4(_) => true,
        IpAddr::V6(address) => address.segments()[0] & 0xe000 == 0x2000,
    };
    routed && address != AZURE_WIRE_SERVER && ssrf_guard::is_public(address)
}

/// Why a name gave no address. Travels through the HTTP client's error chain and is found there again.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ResolveError {
    #[error("no address of the name may be reached")]
    NotAllowed,
    #[error("the name does not resolve: {kind:?}: {message}")]
    Failed { kind: io::ErrorKind, message: String },
}

/// Resolves names for the HTTP client and hands it only addresses that may be reached, so that the address checked is
/// the address connected to.
pub(crate) struct GuardedResolver {
    pub(crate) policy: Arc<AddressPolicy>,
    pub(crate) lookup: Lookup,
}

impl fmt::Debug for GuardedResolver {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("GuardedResolver").field("policy", &self.policy).finish_non_exhaustive()
    }
}

impl Resolve for GuardedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let (policy, found) = (Arc::clone(&self.policy), (self.lookup)(name.as_str().to_owned()));
        Box::pin(async move {
            let found =
                found.await.map_err(|error| ResolveError::Failed { kind: error.kind(), message: error.to_string() })?;
            if found.is_empty() {
                return Err(
                    ResolveError::Failed { kind: io::ErrorKind::NotFound, message: "no addresses".to_owned() }.into()
                );
            }
            let permitted: Vec<SocketAddr> = found
                .into_iter()
                .filter(|address| policy.permits(*address))
                .map(|address| SocketAddr::new(address, 0))
                .collect();
            if permitted.is_empty() {
                return Err(ResolveError::NotAllowed.into());
            }
            let addresses: Addrs = Box::new(permitted.into_iter());
            Ok(addresses)
        })
    }
}

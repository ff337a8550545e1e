//! The only outgoing HTTP to addresses that users supply.
//!
//! A user who names an address makes this machine connect from where it stands: beside databases, cloud metadata
//! services and other people's private networks. So every hop is checked three times, and each check alone would
//! leave a hole: the URL's form and literal addresses before anything happens ([`Fetcher::check_url`]), the addresses a
//! name resolves to at the moment of connecting (so what was checked is what is connected to, and a name that
//! changes its answer gains nothing), and again after each redirect, which this crate follows itself.
//!
//! | file | holds |
//! |---|---|
//! | `fetcher.rs` | [`Fetcher`]: hops, redirects, time |
//! | `address.rs` | which addresses may be reached, and the resolver that holds to it |
//! | `ports.rs` | ports that the web never uses |
//! | `robots.rs` | what the owners of sites let programs fetch (RFC 9309) |
//! | `body.rs` | reading and decompressing within caps |
//! | `request.rs`, `config.rs`, `error.rs` | [`FetchRequest`], [`Fetched`], [`FetchConfig`], [`FetchError`] |

mod address;
mod body;
mod config;
mod error;
mod fetcher;
mod ports;
mod request;
mod robots;

pub use address::Lookup;
pub use config::FetchConfig;
pub use error::FetchError;
pub use fetcher::Fetcher;
pub use request::{FetchRequest, Fetched};

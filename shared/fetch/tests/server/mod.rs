//! Servers on this machine for the tests, and a configuration that may reach them.

#![expect(clippy::unwrap_used, reason = "a test ends where it cannot go on")]

use axum::Router;
use gristmill_fetch::FetchConfig;
use tokio::net::TcpListener;
use url::Url;

/// Serves `router` on a free port until the test ends.
pub(crate) async fn serve(router: Router) -> Url {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}/", listener.local_addr().unwrap()).parse().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    base
}

/// Allows 127.0.0.1 and no other refused address.
pub(crate) fn local() -> FetchConfig {
    FetchConfig { allow: vec!["127.0.0.1/32".parse().unwrap()], ..FetchConfig::default() }
}

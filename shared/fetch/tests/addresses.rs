//! Nothing private, local or reserved is reached: not by a literal in any notation, not by a name, not by a redirect.

#![expect(clippy::unwrap_used, reason = "a test ends where it cannot go on")]

mod server;

use std::io;
use std::net::IpAddr;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::http::{StatusCode, header};
use axum::routing::get;
use futures::FutureExt as _;
use gristmill_fetch::{FetchConfig, FetchError, FetchRequest, Fetcher, Lookup};
use url::Url;

use server::{local, serve};

fn url(text: &str) -> Url {
    text.parse().unwrap()
}

/// A lookup that answers each name from `table` and counts how often it is asked.
fn lookup(table: &'static [(&'static str, &'static [&'static str])]) -> (Lookup, Arc<AtomicUsize>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&asked);
    let lookup: Lookup = Arc::new(move |name| {
        counter.fetch_add(1, Ordering::SeqCst);
        let found = table.iter().find(|(known, _)| *known == name).map(|(_, addresses)| {
            addresses.iter().map(|address| address.parse::<IpAddr>().unwrap()).collect::<Vec<_>>()
        });
        async move { found.ok_or_else(|| io::Error::other("no such name")) }.boxed()
    });
    (lookup, asked)
}

#[test]
fn refused_addresses_are_refused_in_every_notation() {
    let fetcher = Fetcher::new(FetchConfig::default()).unwrap();
    for refused in [
        "http://127.0.0.1/",
        "http://127.1/",
        "http://2130706433/",
        "http://0x7f000001/",
        "http://0177.0.0.1/",
        "http://0x7f.0.0.0x1/",
        "http://127.0.0.1./",
        "http://0177.1/",
        "http://017700000001/",
        "http://0x7f.1/",
        "http://127.0x0.01/",
        "http://127。0。0。1/",
        "http://127.0.0.1\\@example.com/",
        "https://127.0.0.1:8443/",
        "http://①②⑦.⓪.⓪.①/",
        "http://%31%32%37.0.0.1/",
        "http://0/",
        "http://0.0.0.0:8080/",
        "http://10.1.2.3/",
        "http://172.16.0.1/",
        "http://172.31.255.255/",
        "http://192.168.1.1/",
        "http://169.254.169.254/latest/meta-data/",
        "http://100.64.0.1/",
        // The metadata servers of Azure (its wire server), Alibaba and, by IPv6, Amazon.
        "http://168.63.129.16/machine?comp=goalstate",
        "http://[::ffff:168.63.129.16]/",
        "http://0xa83f8110/",
        "http://100.100.100.200/latest/meta-data/",
        "http://[fd00:ec2::254]/latest/meta-data/",
        "http://192.0.0.8/",
        "http://192.0.2.1/",
        "http://192.88.99.1/",
        "http://198.18.0.1/",
        "http://198.51.100.1/",
        "http://203.0.113.1/",
        "http://224.0.0.1/",
        "http://240.0.0.1/",
        "http://255.255.255.255/",
        "http://[::]/",
        "http://[::1]/",
        "http://[::127.0.0.1]/",
        "http://[::ffff:127.0.0.1]/",
        "http://[::ffff:7f00:1]/",
        "http://[::ffff:8.8.8.8]/",
        "http://[::ffff:0:10.0.0.1]/",
        "http://[::7f00:1]/",
        "http://[64:ff9b::10.0.0.1]/",
        "http://[64:ff9b::7f00:1]/",
        "http://[64:ff9b::8.8.8.8]/",
        "http://[64:ff9b:1::8.8.8.8]/",
        "http://[2002:7f00:1::]/",
        "http://[2002:c0a8:101::1]/",
        "http://[2001::a9fe:a9fe]/",
        "http://[2002:808:808::]/",
        "http://[2001:0:1:2:3:4:5:6]/",
        "http://[2001:db8::1]/",
        "http://[3fff::1]/",
        "http://[100::1]/",
        "http://[5f00::1]/",
        "http://[fc00::1]/",
        "http://[fd12:3456::1]/",
        "http://[fe80::1]/",
        "http://[fec0::1]/",
        "http://[ff02::1]/",
        "http://[4000::1]/",
        "http://localhost/",
        "http://LOCALHOST./",
        "http://a.localhost:3000/",
    ] {
        let error = fetcher.check_url(&url(refused)).expect_err(refused);
        assert_eq!((error.code(), error.is_transient()), ("address-not-allowed", false), "{refused}");
    }
    for permitted in [
        "http://8.8.8.8/",
        "http://168.63.129.17/",
        "https://[2606:4700::1111]:8443/x?y",
        "https://example.com/",
        "http://localhost.example.com/",
    ] {
        fetcher.check_url(&url(permitted)).expect(permitted);
    }
}

#[test]
fn only_plain_web_addresses_are_taken() {
    let fetcher = Fetcher::new(FetchConfig::default()).unwrap();
    for invalid in [
        "file:///etc/passwd",
        "ftp://example.com/",
        "gopher://example.com/",
        "data:text/plain,hi",
        "javascript:alert(1)",
        "http://user@example.com/",
        "http://user:secret@example.com/",
        "http://:secret@example.com/",
        "http://example.com:0/",
        "http://example.com:22/",
        "http://example.com:25/",
        "https://example.com:993/",
        "http://example.com:6667/",
        "http://:@example.com@127.0.0.1/",
    ] {
        let error = fetcher.check_url(&url(invalid)).expect_err(invalid);
        assert_eq!((error.code(), error.is_transient()), ("invalid-url", false), "{invalid}");
        assert!(!error.to_string().contains("secret"));
    }
}

#[tokio::test]
async fn a_fetch_checks_what_check_url_checks() {
    let base = serve(Router::new().route("/", get(|| async { "inside" }))).await;
    let fetcher = Fetcher::new(FetchConfig::default()).unwrap();
    for (address, code) in [(base.as_str(), "address-not-allowed"), ("file:///etc/passwd", "invalid-url")] {
        assert_eq!(fetcher.get(&FetchRequest::new(url(address))).await.unwrap_err().code(), code);
    }
}

#[tokio::test]
async fn a_redirect_to_what_is_refused_is_refused() {
    let location = |uri: axum::http::Uri| async move {
        let target = uri.query().unwrap_or_default().to_owned();
        (StatusCode::FOUND, [(header::LOCATION, target)])
    };
    let base = serve(Router::new().route("/", get(location))).await;
    let fetcher = Fetcher::new(local()).unwrap();
    for (target, code) in [
        ("http://169.254.169.254/", "address-not-allowed"),
        ("//10.0.0.1/", "address-not-allowed"),
        ("http://2886729729/", "address-not-allowed"),
        ("http://127.0.0.2/", "address-not-allowed"),
        ("http://[::1]/", "address-not-allowed"),
        ("http://[::ffff:127.0.0.1]/", "address-not-allowed"),
        ("file:///etc/passwd", "invalid-url"),
        ("http://user:secret@example.com/", "invalid-url"),
        ("http://:0", "invalid-url"),
        ("http://example.com:25/", "invalid-url"),
        ("ftp://example.com/", "invalid-url"),
        ("gopher://127.0.0.1:70/", "invalid-url"),
        ("http://[64:ff9b::7f00:1]/", "address-not-allowed"),
        ("http://0177.2/", "address-not-allowed"),
    ] {
        let error = fetcher.get(&FetchRequest::new(url(&format!("{base}?{target}")))).await.unwrap_err();
        assert_eq!(error.code(), code, "{target}: {error}");
    }
}

#[tokio::test]
async fn a_name_is_judged_by_the_addresses_connected_to() {
    let base = serve(Router::new().route("/", get(|| async { ([(header::CONNECTION, "close")], "hello") }))).await;
    let port = base.port().unwrap();
    let (lookup, asked) = lookup(&[
        ("good.test", &["127.0.0.1"]),
        ("mixed.test", &["10.0.0.1", "169.254.169.254", "127.0.0.1"]),
        ("inside.test", &["10.0.0.1", "::1", "::ffff:127.0.0.1", "64:ff9b::7f00:1"]),
        ("empty.test", &[]),
    ]);
    let fetcher = Fetcher::with_lookup(local(), lookup).unwrap();
    let fetch = async |name: &str| fetcher.get(&FetchRequest::new(url(&format!("http://{name}:{port}/")))).await;

    assert_eq!(fetch("good.test").await.unwrap().body, "hello");
    // Asked once: a second answer, unlike the one checked, would never be used.
    assert_eq!(asked.load(Ordering::SeqCst), 1);
    // Of several addresses only the permitted one is connected to.
    assert_eq!(fetch("mixed.test").await.unwrap().body, "hello");

    let error = fetch("inside.test").await.unwrap_err();
    assert_eq!(error.code(), "address-not-allowed");
    assert!(error.to_string().contains("inside.test") && !error.to_string().contains("10.0.0.1"), "{error}");
    for name in ["empty.test", "unknown.test"] {
        let error = fetch(name).await.unwrap_err();
        assert_eq!((error.code(), error.is_transient()), ("dns-failed", true));
    }
}

#[tokio::test]
async fn a_name_that_changes_its_answer_gains_nothing() {
    let base = serve(Router::new().route("/", get(|| async { ([(header::CONNECTION, "close")], "hello") }))).await;
    let asked = AtomicUsize::new(0);
    let lookup: Lookup = Arc::new(move |_| {
        let address: IpAddr =
            if asked.fetch_add(1, Ordering::SeqCst) == 0 { "127.0.0.1" } else { "127.0.0.2" }.parse().unwrap();
        async move { Ok(vec![address]) }.boxed()
    });
    let fetcher = Fetcher::with_lookup(local(), lookup).unwrap();
    let request = FetchRequest::new(url(&format!("http://rebind.test:{}/", base.port().unwrap())));
    assert_eq!(fetcher.get(&request).await.unwrap().body, "hello");
    assert!(
        matches!(fetcher.get(&request).await, Err(FetchError::AddressNotAllowed { host }) if host == "rebind.test")
    );
}

#[tokio::test]
async fn the_systems_resolver_is_guarded_too() {
    let base = serve(Router::new().route("/", get(|| async { "hello" }))).await;
    let at = url(&format!("http://localhost:{}/", base.port().unwrap()));
    let fetcher = Fetcher::new(local()).unwrap();
    assert_eq!(fetcher.get(&FetchRequest::new(at)).await.unwrap().body, "hello");
}

/// Run again in a process of its own whose environment names proxies that do not exist.
#[tokio::test]
#[expect(clippy::disallowed_methods, reason = "the variable tells the inner process from the outer one")]
async fn proxies_of_the_environment_are_not_used() {
    let base = serve(Router::new().route("/", get(|| async { "direct" }))).await;
    let fetcher = Fetcher::new(local()).unwrap();
    assert_eq!(fetcher.get(&FetchRequest::new(base)).await.unwrap().body, "direct");

    const INNER: &str = "GRISTMILL_TEST_BEHIND_PROXY";
    if std::env::var_os(INNER).is_some() {
        return;
    }
    let mut inner = Command::new(std::env::current_exe().unwrap());
    inner
        .args(["--exact", "proxies_of_the_environment_are_not_used"])
        .env(INNER, "1")
        .env_remove("NO_PROXY")
        .env_remove("no_proxy");
    for name in ["http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"] {
        inner.env(name, "http://127.0.0.1:9");
    }
    let output = inner.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

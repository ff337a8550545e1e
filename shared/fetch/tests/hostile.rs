//! Servers that mean harm: they never end, lie about lengths, rebind their names, or want to be remembered.

#![expect(clippy::unwrap_used, reason = "a test ends where it cannot go on")]

mod server;

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Redirect};
use axum::routing::get;
use futures::FutureExt as _;
use gristmill_fetch::{FetchConfig, FetchError, FetchRequest, Fetched, Fetcher, Lookup};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use url::Url;

use server::{local, serve};

/// Serves bytes that no library would: `opening` once, then `again` for as long as anybody listens.
async fn speaks(opening: &'static str, again: &'static str) -> Url {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}/", listener.local_addr().unwrap()).parse().unwrap();
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            tokio::spawn(speak(socket, opening, again));
        }
    });
    base
}

async fn speak(mut socket: TcpStream, opening: &'static str, again: &'static str) {
    let mut request = [0; 4096];
    assert!(socket.read(&mut request).await.unwrap() > 0);
    let mut sent = socket.write_all(opening.as_bytes()).await;
    while sent.is_ok() && !again.is_empty() {
        sent = socket.write_all(again.as_bytes()).await;
    }
}

async fn fetch(url: Url) -> Result<Fetched, FetchError> {
    Fetcher::new(local()).unwrap().get(&FetchRequest::new(url)).await
}

/// A lookup that gives the addresses in turn, the last one for good, and counts how often it is asked.
fn turns(addresses: &'static [&'static str]) -> (Lookup, Arc<AtomicUsize>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&asked);
    let lookup: Lookup = Arc::new(move |_| {
        let turn = counter.fetch_add(1, Ordering::SeqCst).min(addresses.len() - 1);
        let address: IpAddr = addresses[turn].parse().unwrap();
        async move { Ok(vec![address]) }.boxed()
    });
    (lookup, asked)
}

#[tokio::test]
async fn headers_without_end_are_told_apart_and_not_tried_again() {
    for (opening, again) in [
        ("HTTP/1.1 200 OK\r\n", "X-More: and more and more\r\n"),
        ("HTTP/1.1 200 OK\r\nX-Long: ", "and longer "),
        ("HTTP/1.1 200 ", "OK OK OK "),
        ("HTTP/1.1 302 Found\r\nLocation: /", "aaaaaaaaaaaaaaaa"),
    ] {
        let error = fetch(speaks(opening, again).await).await.unwrap_err();
        assert_eq!((error.code(), error.is_transient()), ("headers-too-large", false), "{opening}: {error:?}");
    }
}

#[tokio::test]
async fn what_comes_before_between_and_after_a_body_has_an_end_too() {
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    let leak = |text: String| -> &'static str { Box::leak(text.into_boxed_str()) };
    for (opening, again) in [
        (leak(format!("{chunked}1;")), "extension"),
        (leak(format!("{chunked}4\r\nbody\r\n0\r\n")), "X-Trailer: and more\r\n"),
    ] {
        let begun = Instant::now();
        let error = fetch(speaks(opening, again).await).await.unwrap_err();
        assert_eq!(error.code(), "connection-lost", "{opening}: {error:?}");
        assert!(begun.elapsed() < Duration::from_secs(10), "{opening}");
    }
    // Interim answers (RFC 9110, section 15.2, allows any number) and the zeros before a chunk's size have none, but time.
    let limit = Duration::from_millis(400);
    let fetcher = Fetcher::new(FetchConfig { timeout: limit, ..local() }).unwrap();
    let hint = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n";
    for (opening, again) in [(hint, hint), (chunked, "0")] {
        let error = fetcher.get(&FetchRequest::new(speaks(opening, again).await)).await.unwrap_err();
        assert!(matches!(error, FetchError::Timeout { limit: seen } if seen == limit), "{opening}: {error:?}");
    }
}

#[tokio::test]
async fn lengths_that_are_not_true_do_no_harm() {
    for (head, code) in [
        ("Content-Length: 10\r\nContent-Length: 20\r\n\r\n0123456789", "connection-lost"),
        ("Content-Length: -1\r\n\r\nbody", "connection-lost"),
        ("Content-Length: 99999999999999999999999\r\n\r\nbody", "connection-lost"),
        ("Content-Length: 18446744073709551613\r\n\r\nbody", "too-large"),
        ("Content-Length: 50000001\r\n\r\nbody", "too-large"),
        ("Content-Length: 50\r\n\r\nbody", "connection-lost"),
        ("Content-Encoding: gzip\r\nContent-Length: 4\r\n\r\n\x1f\u{b}\u{8}\0", "undecodable"),
        ("Transfer-Encoding: chunked\r\n\r\n8\r\nhalf", "connection-lost"),
        ("Transfer-Encoding: chunked\r\n\r\nxyz\r\nbody\r\n0\r\n\r\n", "connection-lost"),
        ("Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\nbody", "connection-lost"),
    ] {
        let answer: &'static str = Box::leak(format!("HTTP/1.1 200 OK\r\n{head}").into_boxed_str());
        let error = fetch(speaks(answer, "").await).await.unwrap_err();
        assert_eq!(error.code(), code, "{head}: {error:?}");
    }
    // More than was announced is not read, and nothing is nothing in any coding.
    for (head, body) in [
        ("Content-Length: 4\r\n\r\nbody and more", "body"),
        ("Content-Encoding: gzip\r\nContent-Length: 0\r\n\r\n", ""),
    ] {
        let answer: &'static str = Box::leak(format!("HTTP/1.1 200 OK\r\n{head}").into_boxed_str());
        assert_eq!(fetch(speaks(answer, "").await).await.unwrap().body, body, "{head}");
    }
}

#[tokio::test]
async fn redirects_in_a_circle_end() {
    let router = Router::new()
        .route("/self", get(|| async { Redirect::permanent("/self") }))
        .route("/a", get(|| async { Redirect::temporary("/b") }))
        .route("/b", get(|| async { Redirect::temporary("/a#again") }));
    let base = serve(router).await;
    for path in ["self", "a"] {
        let error = fetch(base.join(path).unwrap()).await.unwrap_err();
        assert_eq!((error.code(), error.is_transient()), ("too-many-redirects", false));
    }
}

#[tokio::test]
async fn a_name_cannot_change_between_two_hops() {
    let hits = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&hits);
    let go = move || {
        counter.fetch_add(1, Ordering::SeqCst);
        async { ([(header::CONNECTION, "close")], Redirect::temporary("/secret")).into_response() }
    };
    let base = serve(Router::new().fallback(go)).await;
    let (lookup, asked) = turns(&["127.0.0.1", "127.0.0.2"]);
    let fetcher = Fetcher::with_lookup(local(), lookup).unwrap();
    let url = format!("http://rebind.test:{}/", base.port().unwrap()).parse().unwrap();
    let error = fetcher.get(&FetchRequest::new(url)).await.unwrap_err();
    assert_eq!(error.code(), "address-not-allowed");
    assert_eq!((asked.load(Ordering::SeqCst), hits.load(Ordering::SeqCst)), (2, 1));
}

#[tokio::test]
async fn a_connection_stays_with_the_address_that_was_checked() {
    let base = serve(
        Router::new().fallback(|headers: HeaderMap| async move { headers[header::HOST].to_str().unwrap().to_owned() }),
    )
    .await;
    let (lookup, asked) = turns(&["127.0.0.1", "10.0.0.1"]);
    let fetcher = Fetcher::with_lookup(local(), lookup).unwrap();
    let host = format!("kept.test:{}", base.port().unwrap());
    let request = FetchRequest::new(format!("http://{host}/").parse().unwrap());
    for _ in 0..3 {
        // The host is the name that was asked for, whatever its address.
        assert_eq!(fetcher.get(&request).await.unwrap().body, host);
    }
    assert_eq!(asked.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_resolver_that_dawdles_is_left_in_time() {
    let lookup: Lookup = Arc::new(|_| std::future::pending().boxed());
    let limit = Duration::from_millis(400);
    let fetcher = Fetcher::with_lookup(FetchConfig { timeout: limit, ..local() }, lookup).unwrap();
    let error = fetcher.get(&FetchRequest::new("http://slow.test/".parse().unwrap())).await.unwrap_err();
    assert!(matches!(error, FetchError::Timeout { limit: seen } if seen == limit), "{error:?}");
}

#[tokio::test]
async fn nothing_of_one_answer_goes_into_the_next_request() {
    let echo = |headers: HeaderMap| async move {
        let kept = ["cookie", "referer", "authorization", "origin", "if-none-match"];
        let sent: Vec<&str> = kept.into_iter().filter(|name| headers.contains_key(*name)).collect();
        ([(header::SET_COOKIE, "b=2")], sent.join(" "))
    };
    let go = || async {
        let wants = [(header::SET_COOKIE, "a=1; Path=/"), (header::ETAG, "\"1\""), (header::LOCATION, "/echo")];
        (StatusCode::FOUND, wants, "")
    };
    let base = serve(Router::new().route("/go", get(go)).route("/echo", get(echo))).await;
    let fetcher = Fetcher::new(local()).unwrap();
    for path in ["go", "echo", "go"] {
        let fetched = fetcher.get(&FetchRequest::new(base.join(path).unwrap())).await.unwrap();
        assert_eq!((fetched.body, fetched.url.path()), ("".into(), "/echo"));
    }
}

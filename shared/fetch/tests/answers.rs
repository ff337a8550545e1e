//! What servers answer, well and ill: redirects, conditions, compression, and answers made to exhaust the asker.

#![expect(clippy::unwrap_used, reason = "a test ends where it cannot go on")]

mod server;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use async_compression::tokio::bufread::{BrotliEncoder, DeflateEncoder, GzipEncoder, ZlibEncoder};
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::Path;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use futures::stream;
use gristmill_fetch::{FetchConfig, FetchError, FetchRequest, Fetched, Fetcher};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use url::Url;

use server::{local, serve};

async fn fetch(base: &Url, path: &str) -> Result<Fetched, FetchError> {
    Fetcher::new(local()).unwrap().get(&FetchRequest::new(base.join(path).unwrap())).await
}

/// Serves one answer for every path.
async fn answer(make: impl Fn() -> Response + Clone + Send + Sync + 'static) -> Url {
    serve(Router::new().fallback(move || std::future::ready(make()))).await
}

/// Accepts connections and hands each to `speak`, which speaks no HTTP that a library would.
async fn raw<F: Future<Output = ()> + Send + 'static>(speak: impl Fn(TcpStream) -> F + Send + 'static) -> Url {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}/", listener.local_addr().unwrap()).parse().unwrap();
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            tokio::spawn(speak(socket));
        }
    });
    base
}

async fn packed(encoding: &str, plain: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    match encoding {
        "gzip" => GzipEncoder::new(plain).read_to_end(&mut out).await,
        "br" => BrotliEncoder::new(plain).read_to_end(&mut out).await,
        "zlib" => ZlibEncoder::new(plain).read_to_end(&mut out).await,
        _ => DeflateEncoder::new(plain).read_to_end(&mut out).await,
    }
    .unwrap();
    out
}

fn encoded(encoding: &'static str, body: Vec<u8>) -> impl Fn() -> Response + Clone + Send + Sync + 'static {
    move || ([(header::CONTENT_ENCODING, encoding)], body.clone()).into_response()
}

/// Words that compress about fourfold, as prose does.
fn prose(bytes: usize) -> Vec<u8> {
    let mut text = Vec::with_capacity(bytes + 32);
    let mut n = 1_u64;
    while text.len() < bytes {
        n = n.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        text.extend_from_slice(format!("word{} ", n >> 50).as_bytes());
    }
    text
}

#[tokio::test]
async fn a_body_comes_with_what_is_needed_to_ask_again() {
    let base = answer(|| {
        let headers = [
            (header::CONTENT_TYPE, "application/rss+xml; charset=utf-8"),
            (header::ETAG, "W/\"7\""),
            (header::LAST_MODIFIED, "Sat, 21 Nov 2026 09:00:00 GMT"),
            (header::CACHE_CONTROL, "max-age=600"),
            (header::RETRY_AFTER, "90"),
        ];
        (headers, "<rss/>").into_response()
    })
    .await;
    let fetched = fetch(&base, "feed").await.unwrap();
    assert_eq!((fetched.status, fetched.not_modified, fetched.url), (200, false, base.join("feed").unwrap()));
    assert_eq!(fetched.content_type.as_deref(), Some("application/rss+xml; charset=utf-8"));
    assert_eq!(fetched.etag.as_deref(), Some("W/\"7\""));
    assert_eq!(fetched.last_modified.as_deref(), Some("Sat, 21 Nov 2026 09:00:00 GMT"));
    assert_eq!(fetched.cache_control.as_deref(), Some("max-age=600"));
    assert_eq!(fetched.retry_after, Some(Duration::from_secs(90)));
    assert_eq!((fetched.permanent_redirect, fetched.body), (None, Bytes::from_static(b"<rss/>")));
}

#[tokio::test]
async fn the_request_says_who_asks_and_nothing_else() {
    let echo = |headers: HeaderMap| async move {
        let mut lines: Vec<String> =
            headers.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect();
        lines.sort();
        lines.join("\n")
    };
    let base = serve(Router::new().route("/", get(echo))).await;
    let request = FetchRequest { accept: Some("text/html".to_owned()), ..FetchRequest::new(base.clone()) };
    let fetched = Fetcher::new(local()).unwrap().get(&request).await.unwrap();
    let host = format!("host: 127.0.0.1:{}", base.port().unwrap());
    let agent = format!("user-agent: Gristmill/{} (+https://", env!("CARGO_PKG_VERSION"));
    let lines: Vec<&str> = std::str::from_utf8(&fetched.body).unwrap().lines().collect();
    assert_eq!(lines[..3], ["accept-encoding: gzip, br, deflate", "accept: text/html", host.as_str()]);
    assert!(lines.len() == 4 && lines[3].starts_with(&agent), "{lines:?}");

    let broken = FetchRequest { etag: Some("a\r\nCookie: b".to_owned()), ..FetchRequest::new(base) };
    assert_eq!(Fetcher::new(local()).unwrap().get(&broken).await.unwrap_err().code(), "invalid-header");
}

#[tokio::test]
async fn a_copy_that_is_still_good_is_not_sent_again() {
    let conditional = |headers: HeaderMap| async move {
        let good = headers.get(header::IF_NONE_MATCH).is_some_and(|tag| tag == "\"1\"")
            || headers.get(header::IF_MODIFIED_SINCE).is_some_and(|date| date == "Sat, 21 Nov 2026 09:00:00 GMT");
        if good {
            (StatusCode::NOT_MODIFIED, [(header::ETAG, "\"1\"")], "")
        } else {
            (StatusCode::OK, [(header::ETAG, "\"2\"")], "new")
        }
    };
    let base =
        serve(Router::new().route("/", get(conditional)).route("/moved", get(|| async { Redirect::temporary("/") })))
            .await;
    let fetcher = Fetcher::new(local()).unwrap();
    let by_tag = FetchRequest { etag: Some("\"1\"".to_owned()), ..FetchRequest::new(base.join("moved").unwrap()) };
    let by_date = FetchRequest {
        last_modified: Some("Sat, 21 Nov 2026 09:00:00 GMT".to_owned()),
        ..FetchRequest::new(base.clone())
    };
    for request in [by_tag, by_date] {
        let fetched = fetcher.get(&request).await.unwrap();
        assert_eq!((fetched.status, fetched.not_modified, fetched.body.len()), (304, true, 0));
        assert_eq!(fetched.etag.as_deref(), Some("\"1\""));
    }
    let stale = FetchRequest { etag: Some("\"0\"".to_owned()), ..FetchRequest::new(base) };
    assert_eq!(fetcher.get(&stale).await.unwrap().body, "new");

    let unasked = answer(|| StatusCode::NOT_MODIFIED.into_response()).await;
    assert!(matches!(fetch(&unasked, "").await, Err(FetchError::HttpStatus { status: 304, .. })));
}

#[tokio::test]
async fn redirects_are_followed_and_those_for_good_are_told() {
    let to = |status: StatusCode, location: &'static str| {
        get(move || async move { (status, [(header::LOCATION, location)]) })
    };
    let base = serve(
        Router::new()
            .route("/a/old", to(StatusCode::MOVED_PERMANENTLY, "newer"))
            .route("/a/newer", to(StatusCode::PERMANENT_REDIRECT, "/newest?q=1"))
            .route("/newest", to(StatusCode::FOUND, "/today"))
            .route("/today", to(StatusCode::PERMANENT_REDIRECT, "/end"))
            .route("/see", to(StatusCode::SEE_OTHER, "/end"))
            .route("/nowhere", get(|| async { StatusCode::FOUND }))
            .route("/end", get(|| async { "end" })),
    )
    .await;
    let at = |path: &str| base.join(path).unwrap();
    let fetched = fetch(&base, "/a/old").await.unwrap();
    assert_eq!((fetched.url, fetched.body), (at("/end"), Bytes::from_static(b"end")));
    // What follows the first temporary redirect is not for good.
    assert_eq!(fetched.permanent_redirect, Some(at("/newest?q=1")));
    assert_eq!(fetch(&base, "/newest").await.unwrap().permanent_redirect, None);
    assert_eq!(fetch(&base, "/today").await.unwrap().permanent_redirect, Some(at("/end")));
    assert_eq!(fetch(&base, "/see").await.unwrap().body, "end");
    assert!(matches!(fetch(&base, "/nowhere").await, Err(FetchError::HttpStatus { status: 302, .. })));
}

#[tokio::test]
async fn the_sixth_redirect_is_not_followed() {
    let seen = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&seen);
    let down = move |Path(left): Path<usize>| {
        counter.fetch_add(1, Ordering::SeqCst);
        async move {
            match left.checked_sub(1) {
                Some(left) => Redirect::temporary(&format!("/{left}")).into_response(),
                None => "end".into_response(),
            }
        }
    };
    let base = serve(Router::new().route("/{left}", get(down))).await;
    assert_eq!(fetch(&base, "/5").await.unwrap().body, "end");
    seen.store(0, Ordering::SeqCst);
    let error = fetch(&base, "/1000").await.unwrap_err();
    assert_eq!((error.code(), error.is_transient(), seen.load(Ordering::SeqCst)), ("too-many-redirects", false, 6));
}

#[tokio::test]
async fn statuses_tell_whether_to_try_again() {
    let status = |Path(status): Path<u16>| async move {
        (StatusCode::from_u16(status).unwrap(), [(header::RETRY_AFTER, "Fri, 31 Dec 2100 23:59:59 GMT")])
    };
    let base = serve(Router::new().route("/{status}", get(status))).await;
    for (status, transient) in [
        (400, false),
        (401, false),
        (404, false),
        (408, true),
        (410, false),
        (429, true),
        (500, true),
        (501, false),
        (503, true),
    ] {
        let error = fetch(&base, &format!("/{status}")).await.unwrap_err();
        assert!(matches!(error, FetchError::HttpStatus { status: seen, .. } if seen == status));
        assert_eq!((error.code(), error.is_transient()), ("http-status", transient), "{status}");
        assert_eq!(error.retry_after(), Some(Duration::from_secs(31 * 24 * 60 * 60)));
    }
}

#[tokio::test]
async fn every_compression_is_unpacked() {
    let plain = prose(300_000);
    for (name, method) in
        [("gzip", "gzip"), ("x-gzip", "gzip"), ("GZIP", "gzip"), ("br", "br"), ("deflate", "zlib"), ("deflate", "raw")]
    {
        let body = packed(method, &plain).await;
        assert!(body.len() < plain.len());
        let fetched = fetch(&answer(encoded(name, body)).await, "").await.unwrap();
        assert!(fetched.body == plain, "{name} {method}");
    }
    let two_members = [packed("gzip", b"one ").await, packed("gzip", b"two").await].concat();
    assert_eq!(fetch(&answer(encoded("gzip", two_members)).await, "").await.unwrap().body, "one two");
    assert_eq!(fetch(&answer(encoded("identity", b"plain".to_vec())).await, "").await.unwrap().body, "plain");
}

#[tokio::test]
async fn damaged_or_unknown_compression_is_an_error() {
    let whole = packed("gzip", &prose(10_000)).await;
    let cut = whole[..whole.len() / 2].to_vec();
    for (encoding, body) in [
        ("gzip", cut),
        ("gzip", b"not gzip".to_vec()),
        ("zstd", whole.clone()),
        ("gzip, gzip", whole.clone()),
        ("br", whole),
    ] {
        let error = fetch(&answer(encoded(encoding, body)).await, "").await.unwrap_err();
        assert_eq!((error.code(), error.is_transient()), ("undecodable", false), "{encoding}: {error:?}");
    }
}

#[tokio::test]
async fn a_bomb_is_put_out_early() {
    let zeros = vec![0; 12_000_000];
    for (encoding, method) in [("gzip", "gzip"), ("br", "br"), ("deflate", "raw"), ("deflate", "zlib")] {
        let bomb = packed(method, &zeros).await;
        assert!(bomb.len() < 200_000);
        let error = fetch(&answer(encoded(encoding, bomb)).await, "").await.unwrap_err();
        assert_eq!((error.code(), error.is_transient()), ("too-compressed", false), "{encoding}");
    }
}

#[tokio::test]
async fn the_cap_holds_before_and_after_unpacking() {
    let plain = prose(3_000_000);
    let wire = packed("gzip", &plain).await;
    let limit = u64::try_from(wire.len()).unwrap() + 1_000;
    let base = answer(encoded("gzip", wire)).await;
    let fetcher = Fetcher::new(local()).unwrap();
    for (limit, fits) in [(limit, false), (100, false), (2_999_999, false), (4_000_000, true)] {
        let request = FetchRequest { max_bytes: Some(limit), ..FetchRequest::new(base.clone()) };
        match fetcher.get(&request).await {
            Ok(fetched) => assert!(fits && fetched.body == plain, "{limit}"),
            Err(error) => assert!(
                !fits && matches!(error, FetchError::TooLarge { limit_bytes } if limit_bytes == limit),
                "{error:?}"
            ),
        }
    }
    let exact = answer(|| "12345".into_response()).await;
    let fetcher = Fetcher::new(FetchConfig { max_bytes: 5, ..local() }).unwrap();
    assert_eq!(fetcher.get(&FetchRequest::new(exact)).await.unwrap().body, "12345");
}

#[tokio::test]
async fn an_endless_body_ends_at_the_cap() {
    let base = answer(|| {
        let chunk = Bytes::from(vec![b'x'; 65_536]);
        Body::from_stream(stream::repeat_with(move || Ok::<_, std::io::Error>(chunk.clone()))).into_response()
    })
    .await;
    let fetcher = Fetcher::new(FetchConfig { max_bytes: 5_000_000, ..local() }).unwrap();
    let error = fetcher.get(&FetchRequest::new(base)).await.unwrap_err();
    assert!(matches!(error, FetchError::TooLarge { limit_bytes: 5_000_000 }), "{error:?}");
}

#[tokio::test]
async fn a_server_that_dawdles_is_left_in_time() {
    let limit = Duration::from_millis(400);
    // One never answers, one sends a header a little at a time, one a body.
    let silent = raw(|socket| async move {
        std::future::pending::<()>().await;
        drop(socket);
    })
    .await;
    let headers = raw(|socket| drip(socket, "HTTP/1.1 200 OK\r\nX-Slow: ")).await;
    let body = raw(|socket| drip(socket, "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")).await;
    let fetcher = Fetcher::new(FetchConfig { timeout: limit, ..local() }).unwrap();
    for base in [silent, headers, body] {
        let begun = Instant::now();
        let error = fetcher.get(&FetchRequest::new(base)).await.unwrap_err();
        assert!(matches!(error, FetchError::Timeout { limit: seen } if seen == limit), "{error:?}");
        assert!(error.is_transient() && begun.elapsed() < Duration::from_secs(5));
    }
}

/// Sends `opening`, then a byte every 10 ms for as long as anybody listens.
async fn drip(mut socket: TcpStream, opening: &'static str) {
    read_request(&mut socket).await;
    let mut sent = socket.write_all(opening.as_bytes()).await;
    let mut pace = tokio::time::interval(Duration::from_millis(10));
    while sent.is_ok() {
        pace.tick().await;
        sent = socket.write_all(b"x").await;
    }
}

#[tokio::test]
async fn headers_have_a_cap() {
    let large = answer(|| ([("x-large", "x".repeat(70_000))], "").into_response()).await;
    assert!(matches!(fetch(&large, "").await, Err(FetchError::HeadersTooLarge { .. })));
}

#[tokio::test]
async fn broken_connections_are_told_and_may_be_tried_again() {
    let closed = {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        format!("http://{}/secret?token=1", listener.local_addr().unwrap()).parse::<Url>().unwrap()
    };
    let cut = raw(|socket| speak_once(socket, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")).await;
    let other = raw(|socket| speak_once(socket, "SSH-2.0-OpenSSH_9.2\r\n")).await;
    for (base, code) in [(closed, "connect-failed"), (cut, "connection-lost"), (other, "connection-lost")] {
        let error = Fetcher::new(local()).unwrap().get(&FetchRequest::new(base)).await.unwrap_err();
        assert_eq!((error.code(), error.is_transient()), (code, true), "{error:?}");
        assert!(!format!("{error} {error:?}").contains("token"), "{error:?}");
    }
}

/// Waits for the request, which fits one read: an answer before it would be no answer.
async fn read_request(socket: &mut TcpStream) {
    let mut request = [0; 4096];
    assert!(socket.read(&mut request).await.unwrap() > 0);
}

async fn speak_once(mut socket: TcpStream, answer: &'static str) {
    read_request(&mut socket).await;
    // The asker may have hung up already, which is its right.
    let _ = socket.write_all(answer.as_bytes()).await;
}

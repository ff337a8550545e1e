//! What a site's robots.txt says is obeyed (RFC 9309), and what it means when there is none or it cannot be had.

#![expect(clippy::unwrap_used, reason = "a test ends where it cannot go on")]

mod server;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use futures::{future, stream};
use gristmill_fetch::{FetchConfig, FetchError, FetchRequest, Fetched, Fetcher};
use url::Url;

use server::{local, serve};

/// A site whose every page is `page`, and whose robots.txt can be changed.
struct Site {
    base: Url,
    robots: Arc<Mutex<Robots>>,
    asked: Arc<AtomicUsize>,
    pages: Arc<AtomicUsize>,
}

type Robots = Arc<dyn Fn() -> Response + Send + Sync>;

fn says(text: impl Into<String>) -> Robots {
    let text = text.into();
    Arc::new(move || text.clone().into_response())
}

fn answers(status: u16) -> Robots {
    Arc::new(move || {
        (StatusCode::from_u16(status).unwrap(), [(header::RETRY_AFTER, "900")], "User-agent: *\nDisallow: /")
            .into_response()
    })
}

impl Site {
    async fn with(robots: Robots) -> Self {
        let robots = Arc::new(Mutex::new(robots));
        let (asked, pages) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (said, asking, paging) = (Arc::clone(&robots), Arc::clone(&asked), Arc::clone(&pages));
        let rules = move || {
            asking.fetch_add(1, Ordering::SeqCst);
            future::ready(said.lock().unwrap()())
        };
        let page = move || {
            paging.fetch_add(1, Ordering::SeqCst);
            future::ready("page")
        };
        let router = Router::new().route("/robots.txt", get(rules)).fallback(page);
        Self { base: serve(router).await, robots, asked, pages }
    }

    fn now(&self, robots: Robots) {
        *self.robots.lock().unwrap() = robots;
    }

    fn counts(&self) -> (usize, usize) {
        (self.asked.load(Ordering::SeqCst), self.pages.load(Ordering::SeqCst))
    }

    async fn fetch(&self, fetcher: &Fetcher, path: &str) -> Result<Fetched, FetchError> {
        fetcher.get(&obedient(self.base.join(path).unwrap())).await
    }
}

fn obedient(url: Url) -> FetchRequest {
    FetchRequest { obey_robots: true, ..FetchRequest::new(url) }
}

fn fetcher() -> Fetcher {
    Fetcher::new(local()).unwrap()
}

/// Turns the clock that limits are measured by, while nothing is under way.
async fn pass(time: Duration) {
    tokio::time::pause();
    tokio::time::advance(time).await;
    tokio::time::resume();
}

#[tokio::test]
async fn the_rules_that_apply_are_obeyed() {
    let cases: [(&str, &[&str], &[&str]); 8] = [
        // Everybody's, unless there are some of our own.
        ("User-agent: *\nDisallow: /private/", &["/", "/private"], &["/private/", "/private/a?b=c"]),
        ("User-agent: *\nDisallow: /\n\nUser-agent: GRISTMILL\nDisallow: /no", &["/", "/yes"], &["/no", "/nothing"]),
        ("User-agent: other\nDisallow: /", &["/"], &[]),
        // Groups of one name are one, and a group has several names.
        (
            "User-agent: a\nUser-agent: gristmill\nDisallow: /one\n\nUser-agent: gristmill\nDisallow: /two\n",
            &["/"],
            &["/one", "/two"],
        ),
        // The longest match counts, and of two as long the one that allows.
        (
            "User-agent: *\nDisallow: /\nAllow: /a\nDisallow: /a/b\nDisallow: /c\nAllow: /c",
            &["/a", "/a/x", "/c"],
            &["/a/b", "/x"],
        ),
        (
            "User-agent: *\nDisallow: /*.pdf$\nDisallow: /*/draft/",
            &["/a.pdf?x", "/draft/"],
            &["/a.pdf", "/x/y/draft/z"],
        ),
        ("User-agent: *\nDisallow: /a%7Eb\nDisallow: /größe", &["/b"], &["/a~b", "/gr%C3%B6%C3%9Fe"]),
        ("\u{feff}user-AGENT : * # everybody\r\nDISALLOW:/x # this\r\nDisallow:\r\n", &["/", "/y"], &["/x"]),
    ];
    for (rules, allowed, refused) in cases {
        let site = Site::with(says(rules)).await;
        let fetcher = fetcher();
        for path in allowed {
            assert_eq!(site.fetch(&fetcher, path).await.unwrap().body, "page", "{rules}: {path}");
        }
        for path in refused {
            let error = site.fetch(&fetcher, path).await.unwrap_err();
            assert_eq!((error.code(), error.is_transient()), ("robots-disallowed", false), "{rules}: {path}");
        }
        assert_eq!(site.counts().1, allowed.len(), "{rules}");
    }
}

#[tokio::test]
async fn a_refusal_says_who_refuses_whom_and_what_can_be_done() {
    let site = Site::with(says("User-agent: *\nDisallow: /")).await;
    let error = site.fetch(&fetcher(), "/a?token=secret").await.unwrap_err().to_string();
    assert!(error.contains("127.0.0.1") && error.contains("Gristmill"), "{error}");
    assert!(error.contains("as a file") && !error.contains("secret"), "{error}");

    let other = FetchConfig { user_agent: "Miller_bot/2 (+https://mill.test)".to_owned(), ..local() };
    let site = Site::with(says("User-agent: miller_bot\nDisallow: /")).await;
    let error = site.fetch(&Fetcher::new(other).unwrap(), "/").await.unwrap_err();
    assert!(matches!(error, FetchError::RobotsDisallowed { agent, .. } if agent == "Miller_bot"));
}

#[tokio::test]
async fn who_need_not_ask_does_not() {
    let site = Site::with(says("User-agent: *\nDisallow: /")).await;
    assert_eq!(fetcher().get(&FetchRequest::new(site.base.clone())).await.unwrap().body, "page");
    assert_eq!(site.counts(), (0, 1));
}

#[tokio::test]
async fn a_site_without_rules_allows_everything() {
    let to_nowhere: Robots = Arc::new(|| Redirect::temporary("/robots.txt").into_response());
    let to_inside: Robots = Arc::new(|| Redirect::temporary("http://169.254.169.254/robots.txt").into_response());
    let garbled: Robots =
        Arc::new(|| ([(header::CONTENT_ENCODING, "gzip")], "User-agent: *\nDisallow: /").into_response());
    let page: Robots = Arc::new(|| axum::response::Html("<h1>Not found</h1><p>Disallow: /</p>").into_response());
    for robots in
        [answers(400), answers(401), answers(403), answers(404), answers(410), to_nowhere, to_inside, garbled, page]
    {
        let site = Site::with(robots).await;
        assert_eq!(site.fetch(&fetcher(), "/").await.unwrap().body, "page");
    }
}

#[tokio::test]
async fn a_site_that_cannot_say_is_left_alone_for_a_while() {
    for status in [429, 500, 502, 503] {
        let site = Site::with(answers(status)).await;
        let fetcher = fetcher();
        let error = site.fetch(&fetcher, "/").await.unwrap_err();
        assert_eq!((error.code(), error.is_transient()), ("robots-unreachable", true), "{error}");
        assert_eq!(error.retry_after(), Some(Duration::from_secs(900)));
        assert!(std::error::Error::source(&error).unwrap().to_string().contains(&status.to_string()));
        // It is not asked again at once, and it is after a while.
        site.fetch(&fetcher, "/").await.unwrap_err();
        assert_eq!(site.counts(), (1, 0));
        site.now(says("User-agent: *\nAllow: /"));
        pass(Duration::from_secs(301)).await;
        assert_eq!(site.fetch(&fetcher, "/").await.unwrap().body, "page");
        assert_eq!(site.counts(), (2, 1));
    }
}

#[tokio::test]
async fn a_site_that_does_not_answer_is_tried_again_later() {
    let fetcher = Fetcher::new(FetchConfig { timeout: Duration::from_millis(400), ..local() }).unwrap();
    let base =
        serve(Router::new().route("/robots.txt", get(future::pending::<()>)).fallback(|| async { "page" })).await;
    let error = fetcher.get(&obedient(base)).await.unwrap_err();
    assert_eq!((error.code(), error.is_transient()), ("timeout", true));
}

#[tokio::test]
async fn a_site_is_asked_once() {
    let site = Site::with(says("User-agent: *\nDisallow: /no")).await;
    let fetcher = fetcher();
    let at_once = (0..20).map(|number| site.fetch(&fetcher, if number % 2 == 0 { "/yes" } else { "/no" }));
    let fetched = future::join_all(at_once).await;
    assert_eq!(fetched.iter().filter(|one| one.is_ok()).count(), 10);
    assert_eq!(site.counts(), (1, 10));
}

#[tokio::test]
async fn rules_are_asked_for_again_after_a_day_and_refusals_after_minutes() {
    let site = Site::with(says("User-agent: *\nDisallow: /no")).await;
    let fetcher = fetcher();
    site.fetch(&fetcher, "/yes").await.unwrap();
    pass(Duration::from_hours(23)).await;
    site.fetch(&fetcher, "/yes").await.unwrap();
    assert_eq!(site.counts(), (1, 2));
    site.now(says("User-agent: *\nDisallow: /yes"));
    pass(Duration::from_hours(1)).await;
    assert_eq!(site.fetch(&fetcher, "/yes").await.unwrap_err().code(), "robots-disallowed");
    assert_eq!(site.counts(), (2, 2));

    // Who was refused may have talked to the site's owner.
    site.now(says(""));
    site.fetch(&fetcher, "/yes").await.unwrap_err();
    assert_eq!(site.counts(), (2, 2));
    pass(Duration::from_secs(301)).await;
    site.fetch(&fetcher, "/yes").await.unwrap();
    assert_eq!(site.counts(), (3, 3));
}

#[tokio::test]
async fn old_rules_stand_in_for_those_that_cannot_be_had() {
    let site = Site::with(says("User-agent: *\nDisallow: /no")).await;
    let fetcher = fetcher();
    site.fetch(&fetcher, "/yes").await.unwrap();
    site.now(answers(503));
    for days in [2, 27] {
        pass(Duration::from_hours(24 * days)).await;
        site.fetch(&fetcher, "/yes").await.unwrap();
        assert_eq!(site.fetch(&fetcher, "/no").await.unwrap_err().code(), "robots-disallowed");
    }
    // Not for ever.
    pass(Duration::from_hours(48)).await;
    assert_eq!(site.fetch(&fetcher, "/yes").await.unwrap_err().code(), "robots-unreachable");
}

#[tokio::test]
async fn of_an_endless_file_the_beginning_is_obeyed() {
    const OBEYED: usize = 500 * 1024;
    let first = "User-agent: *\nDisallow: /first\n";
    // The limit falls into the line of the second rule.
    let filler = "#".repeat(OBEYED - first.len() - 5);
    let finite = format!("{first}{filler}\nDisallow: /second\nDisallow: /third\n");
    let site = Site::with(says(finite)).await;
    let fetcher = fetcher();
    assert_eq!(site.fetch(&fetcher, "/first").await.unwrap_err().code(), "robots-disallowed");
    for path in ["/second", "/third"] {
        assert_eq!(site.fetch(&fetcher, path).await.unwrap().body, "page", "{path}");
    }

    let endless: Robots = Arc::new(|| {
        let opening = stream::iter([Ok(Bytes::from_static(b"User-agent: *\nDisallow: /first\n"))]);
        let rest = stream::repeat_with(|| Ok::<_, std::io::Error>(Bytes::from(vec![b'\n'; 4096])));
        Body::from_stream(futures::StreamExt::chain(opening, rest)).into_response()
    });
    let site = Site::with(endless).await;
    assert_eq!(site.fetch(&fetcher, "/first").await.unwrap_err().code(), "robots-disallowed");
    assert_eq!(site.fetch(&fetcher, "/").await.unwrap().body, "page");
}

#[tokio::test]
async fn every_site_on_the_way_is_asked() {
    let strict = Site::with(says("User-agent: *\nDisallow: /")).await;
    let target = strict.base.join("page").unwrap().to_string();
    let open = serve(Router::new().route("/go", get(move || future::ready(Redirect::temporary(&target))))).await;
    let error = fetcher().get(&obedient(open.join("go").unwrap())).await.unwrap_err();
    assert_eq!(error.code(), "robots-disallowed");
    assert_eq!(strict.counts(), (1, 0));
}

#[tokio::test]
async fn a_robots_txt_may_be_elsewhere_and_is_asked_for_by_name() {
    let seen = Arc::new(Mutex::new(String::new()));
    let agent = Arc::clone(&seen);
    let rules = move |headers: HeaderMap| {
        *agent.lock().unwrap() = headers[header::USER_AGENT].to_str().unwrap().to_owned();
        future::ready("User-agent: *\nDisallow: /no")
    };
    let router = Router::new()
        .route("/robots.txt", get(|| future::ready(Redirect::permanent("/rules"))))
        .route("/rules", get(rules))
        .fallback(|| future::ready("page"));
    let base = serve(router).await;
    let error = fetcher().get(&obedient(base.join("no").unwrap())).await.unwrap_err();
    assert_eq!(error.code(), "robots-disallowed");
    assert!(seen.lock().unwrap().starts_with("Gristmill/"));
}

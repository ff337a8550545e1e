//! Somebody else's web server, which documents and feeds are fetched from.

use std::sync::{Arc, Mutex};

use axum::{
    Router,
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse as _, Response},
    routing::any,
};
use tokio::{net::TcpListener, sync::watch};

/// Lets Gristmill fetch from an [`Origin`]: the setting's name and value.
pub const ALLOWED: (&str, &str) = ("GRISTMILL_FETCH_ALLOW", "127.0.0.1/32");

/// A server that answers every request with what it holds. It has no robots.txt, and counts no request for one.
#[derive(Debug)]
pub struct Origin {
    /// Its address, with a path.
    pub url: String,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    held: Mutex<Held>,
    requests: Mutex<Vec<HeaderMap>>,
    open: watch::Sender<bool>,
}

#[derive(Debug, Clone)]
struct Held {
    status: StatusCode,
    content_type: &'static str,
    etag: &'static str,
    body: String,
}

impl Origin {
    /// A server that holds `body` under the validator `etag`.
    pub async fn holding(content_type: &'static str, etag: &'static str, body: &str) -> Self {
        let held = Held { status: StatusCode::OK, content_type, etag, body: body.to_owned() };
        let shared =
            Arc::new(Shared { held: Mutex::new(held), requests: Mutex::default(), open: watch::Sender::new(true) });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/page", listener.local_addr().unwrap());
        let router = Router::new()
            .route("/robots.txt", any(async || StatusCode::NOT_FOUND))
            .fallback(answer)
            .with_state(shared.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { url, shared }
    }

    /// Holds something else from now on.
    pub fn hold(&self, content_type: &'static str, etag: &'static str, body: &str) {
        *self.shared.held.lock().unwrap() = Held { status: StatusCode::OK, content_type, etag, body: body.to_owned() };
    }

    /// Answers with this error from now on.
    pub fn fail(&self, status: u16) {
        self.shared.held.lock().unwrap().status = StatusCode::from_u16(status).unwrap();
    }

    /// Lets requests wait for their answers, or go on.
    pub fn open(&self, open: bool) {
        self.shared.open.send_replace(open);
    }

    /// The headers of every request so far.
    pub fn requests(&self) -> Vec<HeaderMap> {
        self.shared.requests.lock().unwrap().clone()
    }
}

async fn answer(State(shared): State<Arc<Shared>>, headers: HeaderMap) -> Response {
    shared.requests.lock().unwrap().push(headers.clone());
    shared.open.subscribe().wait_for(|open| *open).await.unwrap();
    let Held { status, content_type, etag, body } = shared.held.lock().unwrap().clone();
    let known = headers.get(header::IF_NONE_MATCH).is_some_and(|known| known == etag);
    if known && status == StatusCode::OK {
        return (StatusCode::NOT_MODIFIED, [(header::ETAG, etag)]).into_response();
    }
    (status, [(header::CONTENT_TYPE, content_type), (header::ETAG, etag)], body).into_response()
}

//! Around every request: its id, one log line, its metrics, the bodies of problems, and headers that every answer has.

use std::time::{Duration, Instant};

use axum::{
    body::Body,
    extract::{FromRequestParts, MatchedPath, Request},
    http::{HeaderMap, HeaderName, HeaderValue, Method, header, request::Parts},
    middleware::Next,
    response::Response,
};
use tower_http::timeout::TimeoutBody;
use tracing::Instrument as _;

use crate::{
    auth::Seen,
    problem::{self, ApiError},
    verbs,
};

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// The longest request id that is taken from a caller.
const LONGEST_ID: usize = 128;
/// A client that sends nothing of a body for so long is given up.
const BODY_IDLE: Duration = Duration::from_secs(30);

/// The request's id, taken from the caller or made.
#[derive(Debug, Clone)]
pub(crate) struct RequestId(pub(crate) String);

impl<S: Send + Sync> FromRequestParts<S> for RequestId {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let id = parts.extensions.get::<Self>().cloned();
        id.ok_or_else(|| ApiError::Internal("a request has no id".to_owned()))
    }
}

/// The middleware.
pub(crate) async fn observe(mut request: Request, next: Next) -> Response {
    let started = Instant::now();
    let id = request_id(request.headers());
    let method = method(request.method());
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map_or_else(|| "unmatched".to_owned(), |path| verbs::shown(path.as_str()));
    let seen = Seen::default();
    request.extensions_mut().insert(RequestId(id.clone()));
    request.extensions_mut().insert(seen.clone());
    let request = request.map(|body| Body::new(TimeoutBody::new(BODY_IDLE, body)));

    let span = tracing::info_span!("request", request_id = id, org.id = tracing::field::Empty);
    let response = next.run(request).instrument(span.clone()).await;
    let _in_span = span.enter();
    let mut response = problem::complete(response, &id);
    finish_headers(response.headers_mut(), &id);

    let (status, took) = (response.status().as_u16(), started.elapsed());
    let labels = [("method", method.to_owned()), ("route", route.clone())];
    metrics::histogram!("gristmill_http_request_seconds", &labels).record(took.as_secs_f64());
    let labels = [("method", method.to_owned()), ("route", route.clone()), ("status", status.to_string())];
    metrics::counter!("gristmill_http_requests_total", &labels).increment(1);
    let key = seen.get().map(|(_, key)| tracing::field::display(key));
    let duration_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
    tracing::info!(
        http.method = method,
        http.route = route,
        http.status = status,
        duration_ms,
        key.id = key,
        "answered"
    );
    response
}

/// The caller's request id, if it is short and visible ASCII; else a new one.
fn request_id(headers: &HeaderMap) -> String {
    let sane = |text: &&str| (1..=LONGEST_ID).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
    let given = headers.get(X_REQUEST_ID).and_then(|id| id.to_str().ok()).filter(sane);
    given.map_or_else(|| uuid::Uuid::now_v7().to_string(), str::to_owned)
}

/// The method as a metric's label: callers may invent methods, labels must be few.
fn method(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::HEAD => "HEAD",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}

fn finish_headers(headers: &mut HeaderMap, id: &str) {
    if let Ok(id) = HeaderValue::from_str(id) {
        headers.insert(X_REQUEST_ID, id);
    }
    let always = [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_FRAME_OPTIONS, "DENY"),
        // What is not meant to be shown in a browser may do nothing there.
        (header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'; sandbox"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    for (name, value) in always {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
}

/// The answer to a request whose handler panicked.
#[expect(clippy::needless_pass_by_value, reason = "`CatchPanicLayer` hands it over by value")]
pub(crate) fn panicked(panic: Box<dyn std::any::Any + Send>) -> Response {
    let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    let error = ApiError::Internal(format!("the handler panicked: {}", text.unwrap_or("without a message")));
    axum::response::IntoResponse::into_response(error)
}

#[cfg(test)]
mod tests {
    use super::{X_REQUEST_ID, request_id};
    use axum::http::{HeaderMap, HeaderValue};

    #[test]
    fn a_sane_request_id_is_taken_and_any_other_replaced() {
        let with = |value: &str| HeaderMap::from_iter([(X_REQUEST_ID, HeaderValue::from_str(value).unwrap())]);
        assert_eq!(request_id(&with("abc-1")), "abc-1");
        for wrong in ["", "with space", &"x".repeat(129)] {
            assert!(uuid::Uuid::parse_str(&request_id(&with(wrong))).is_ok(), "{wrong}");
        }
    }
}

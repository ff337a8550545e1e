//! `/openapi.json`, `/docs` and `/`: the interface's description, and a page to read and try it.
//!
//! The page is Swagger UI 5.35.0 (Apache-2.0, SmartBear Software), embedded compressed, so that it works without a
//! network. Measured compressed: Swagger UI 485 kB, Scalar 1.46.4 989 kB; and Scalar writes style sheets into the
//! page at run time, which the strict policy below forbids.

use std::sync::Arc;

use axum::{
    Router,
    body::Bytes,
    http::{HeaderName, HeaderValue, header},
    response::{IntoResponse, Redirect, Response},
    routing::get,
};

use crate::app::Shared;

const SCRIPT: &[u8] = include_bytes!("../assets/swagger-ui-bundle.js.gz");
const STYLE: &[u8] = include_bytes!("../assets/swagger-ui.css.gz");
const START: &str = include_str!("../assets/docs.js");
const PAGE: &str = include_str!("../assets/docs.html");

/// Everything comes from this server and nothing runs that is not in one of its files.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
    connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
/// Assets change with the version, which is part of their address.
const FOR_EVER: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");
const REVALIDATE: HeaderValue = HeaderValue::from_static("no-cache");

/// The routes, showing `document`.
pub(crate) fn routes(document: &utoipa::openapi::OpenApi) -> Result<Router<Shared>, serde_json::Error> {
    let document = Arc::new(Bytes::from(serde_json::to_vec(document)?));
    let openapi = move || async move { asset("application/json", REVALIDATE, document.as_ref().clone()) };
    Ok(Router::new()
        .route("/", get(|| async { Redirect::temporary("/docs") }))
        .route("/openapi.json", get(openapi))
        .route("/docs", get(page))
        .route("/docs/start.js", get(|| async { asset("text/javascript; charset=utf-8", REVALIDATE, START) }))
        .route("/docs/swagger-ui-5.35.0.js", get(|| async { compressed("text/javascript; charset=utf-8", SCRIPT) }))
        .route("/docs/swagger-ui-5.35.0.css", get(|| async { compressed("text/css; charset=utf-8", STYLE) })))
}

async fn page() -> Response {
    let mut response = asset("text/html; charset=utf-8", REVALIDATE, PAGE);
    response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    response
}

fn asset(kind: &'static str, keep: HeaderValue, body: impl IntoResponse) -> Response {
    let mut response = body.into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    response.headers_mut().insert(header::CACHE_CONTROL, keep);
    response
}

/// A file that is kept compressed, and sent so: every browser reads gzip.
fn compressed(kind: &'static str, body: &'static [u8]) -> Response {
    let mut response = asset(kind, FOR_EVER, body);
    response.headers_mut().insert(HeaderName::from_static("content-encoding"), HeaderValue::from_static("gzip"));
    response
}

//! The HTTP API, version 1: thin. A handler checks, writes one transaction, and answers.
//!
//! | module | holds |
//! |---|---|
//! | `app` | [`App`], what every request can reach |
//! | [`routes`] | one file per resource |
//! | `auth` | the caller, and the scope a handler needs |
//! | `body`, `params`, `etag` | reading requests strictly, tagging answers |
//! | `idempotency` | requests that may be repeated |
//! | `wait` | `Prefer: wait`, and noticing that a job changed |
//! | [`problem`] | errors: one table |
//! | `observe` | request ids, the log line, metrics, headers |
//! | `verbs` | addresses such as `/v1/jobs/{id}:cancel` |
//! | `openapi`, `docs` | the interface's description |
//! | [`serve()`] | listening |

mod app;
mod auth;
mod body;
mod docs;
mod etag;
mod idempotency;
mod observe;
mod openapi;
mod params;
pub mod problem;
pub mod routes;
mod serve;
mod verbs;
mod wait;

use std::sync::Arc;

use axum::{
    Extension, Router,
    middleware::from_fn,
    response::{IntoResponse as _, Response},
};
use tower::ServiceBuilder;
use tower_http::catch_panic::CatchPanicLayer;

pub use app::App;
pub use serve::serve;

use crate::{app::Shared, problem::ApiError};

/// Every route over `app`.
///
/// # Errors
/// When the OpenAPI document cannot be written as JSON, which is a mistake in this crate that its tests find.
pub fn router(app: App) -> Result<Router, serde_json::Error> {
    let (routes, document) = documented();
    let routed = routes
        .merge(docs::routes(&document)?)
        .fallback(no_route)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(Extension(routes::service::LastChecks::default()))
        .layer(Extension(routes::events::Hub::default()))
        .layer(CatchPanicLayer::custom(observe::panicked))
        .layer(from_fn(observe::observe))
        .with_state(Arc::new(app));
    // A layer of the router itself would run after the route was chosen.
    Ok(Router::new().fallback_service(ServiceBuilder::new().map_request(verbs::separate).service(routed)))
}

/// The routes of the contract and their description.
fn documented() -> (Router<Shared>, utoipa::openapi::OpenApi) {
    let (router, mut document) =
        utoipa_axum::router::OpenApiRouter::with_openapi(openapi::base()).merge(routes::all()).split_for_parts();
    openapi::complete(&mut document);
    (router, document)
}

async fn no_route() -> Response {
    ApiError::NoRoute.into_response()
}

async fn method_not_allowed() -> Response {
    ApiError::MethodNotAllowed.into_response()
}

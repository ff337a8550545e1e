//! One file per resource. To add an endpoint, copy a neighbour and add its line in `all`.

pub mod articles;
pub mod documents;
pub mod feeds;
pub mod job_events;
pub mod job_verbs;
pub mod jobs;
pub mod kinds;
pub mod me;
pub mod orgs;
pub mod search;
pub mod service;

use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{app::Shared, verbs::VerbRoutes as _};

/// Every documented route.
pub(crate) fn all() -> OpenApiRouter<Shared> {
    OpenApiRouter::new()
        .routes(routes!(jobs::submit, jobs::list))
        .routes(routes!(jobs::show))
        .routes(routes!(job_events::list))
        .verb(routes!(job_verbs::cancel))
        .verb(routes!(job_verbs::retry))
        .verb(routes!(job_verbs::promote))
        .routes(routes!(kinds::list))
        .routes(routes!(documents::create::create, documents::list))
        .routes(routes!(documents::show, documents::delete))
        .routes(routes!(documents::content::chunks))
        .routes(routes!(documents::content::text))
        .routes(routes!(documents::content::file))
        .routes(routes!(search::search))
        .routes(routes!(feeds::create, feeds::list))
        .routes(routes!(feeds::show, feeds::delete))
        .verb(routes!(feeds::poll))
        .routes(routes!(articles::list))
        .routes(routes!(articles::show))
        .routes(routes!(orgs::create))
        .routes(routes!(orgs::create_key))
        .routes(routes!(orgs::revoke_key))
        .routes(routes!(me::show))
        .routes(routes!(service::live))
        .routes(routes!(service::ready))
        .routes(routes!(service::metrics))
}

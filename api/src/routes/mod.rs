//! One file per resource. To add an endpoint, copy a neighbour and add its line in `all`.

pub mod articles;
pub mod batches;
pub mod bulk_actions;
pub mod documents;
pub mod embedding_spaces;
pub mod events;
pub mod feeds;
pub mod job_events;
pub mod job_steps;
pub mod job_verbs;
pub mod jobs;
pub mod jobs_batch;
pub mod kinds;
pub mod limits;
pub mod me;
pub mod orgs;
pub mod queues;
pub mod search;
pub mod search_history;
pub mod service;
pub mod task_stats;

use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{app::Shared, verbs::VerbRoutes as _};

/// Every documented route.
pub(crate) fn all() -> OpenApiRouter<Shared> {
    OpenApiRouter::new()
        .routes(routes!(jobs::submit, jobs::list))
        .verb(routes!(jobs_batch::batch))
        .routes(routes!(jobs::show, job_verbs::remove))
        .routes(routes!(job_events::list))
        .routes(routes!(job_steps::list))
        .verb(routes!(job_verbs::cancel))
        .verb(routes!(job_verbs::retry))
        .verb(routes!(job_verbs::promote))
        .routes(routes!(batches::list))
        .routes(routes!(batches::show))
        .routes(routes!(bulk_actions::create))
        .routes(routes!(events::list))
        .routes(routes!(queues::list))
        .verb(routes!(queues::pause))
        .verb(routes!(queues::resume))
        .routes(routes!(task_stats::show))
        .routes(routes!(limits::list))
        .routes(routes!(limits::set, limits::remove))
        .verb(routes!(limits::pause))
        .verb(routes!(limits::resume))
        .routes(routes!(kinds::list))
        .routes(routes!(documents::create::create, documents::list))
        .routes(routes!(documents::show, documents::delete))
        .routes(routes!(documents::content::chunks))
        .routes(routes!(documents::content::text))
        .routes(routes!(documents::content::file))
        .routes(routes!(search::search))
        .routes(routes!(search_history::list, search_history::erase))
        .routes(routes!(embedding_spaces::create, embedding_spaces::list))
        .routes(routes!(embedding_spaces::show, embedding_spaces::delete))
        .verb(routes!(embedding_spaces::activate))
        .routes(routes!(feeds::create, feeds::list))
        .routes(routes!(feeds::show, feeds::delete))
        .verb(routes!(feeds::poll))
        .routes(routes!(articles::list))
        .routes(routes!(articles::show))
        .routes(routes!(orgs::create))
        .routes(routes!(orgs::change))
        .routes(routes!(orgs::create_key))
        .routes(routes!(orgs::revoke_key))
        .routes(routes!(me::show))
        .routes(routes!(service::live))
        .routes(routes!(service::ready))
        .routes(routes!(service::metrics))
}

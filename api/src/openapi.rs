//! The OpenAPI document: made from the code of the routes, completed with what holds for all of them.

use utoipa::{
    IntoParams, OpenApi,
    openapi::{
        Components, Content, ContentBuilder, HeaderBuilder, OpenApi as Document, Ref, RefOr, Response, ResponseBuilder,
        path::{Operation, PathItem},
        schema::{Object, Type},
        security::{Http, HttpAuthScheme, SecurityScheme},
    },
};

use crate::problem::{MEDIA_TYPE, Problem, ProblemType};

/// A key that makes it safe to send a request again.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "described here, read by `idempotency::Repeat`")]
pub(crate) struct IdempotencyHeader {
    /// 1 to 255 printable ASCII characters, new for each request. Sent again with the same key within 24 hours, the
    /// request does nothing and gets the first answer, with `Idempotency-Replayed: true`.
    #[param(rename = "idempotency-key", required = false)]
    key: Option<String>,
}

/// How long to hold the answer.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "described here, read by `wait::Prefer`")]
pub(crate) struct PreferHeader {
    /// `wait=N` holds the answer up to N seconds (at most 30) for the job to end.
    #[param(rename = "prefer", required = false, example = "wait=10")]
    prefer: Option<String>,
}

#[derive(OpenApi)]
#[openapi(
    info(title = "Gristmill", description = "Background jobs for AI knowledge products. Lists have pages (`limit`, \
        `cursor`, `next_cursor`), errors are problems (RFC 9457), every answer has an `X-Request-Id`."),
    components(schemas(Problem)),
    security(("api_key" = [])),
    tags((name = "Jobs", description = "Work in the background"),
         (name = "Flow", description = "Queues, limits and pauses"),
         (name = "Documents", description = "What was handed in and what was made of it"),
         (name = "Search", description = "Finding passages"),
         (name = "Feeds", description = "Feeds and their articles"),
         (name = "Organizations", description = "Who may do what"),
         (name = "Service", description = "For those who run Gristmill")))]
struct Base;

/// What the routes' own descriptions are added to.
pub(crate) fn base() -> Document {
    let mut document = Base::openapi();
    let mut scheme = Http::new(HttpAuthScheme::Bearer);
    scheme.description = Some("An API key, `gm_…`".to_owned());
    document
        .components
        .get_or_insert_with(Components::new)
        .add_security_scheme("api_key", SecurityScheme::Http(scheme));
    document
}

/// Adds the problems that each operation may answer with, as far as its method and address tell.
pub(crate) fn complete(document: &mut Document) {
    for (path, item) in &mut document.paths.paths {
        for operation in operations(item) {
            operation.operation_id = operation.operation_id.take().map(|handler| operation_id(path, &handler));
            if path.starts_with("/v1/") {
                describe_problems(path, operation);
            }
        }
    }
}

/// A name for generated clients, such as `jobs_cancel`: handlers of several resources have the same name.
fn operation_id(path: &str, handler: &str) -> String {
    let path = path.split(':').next().unwrap_or_default();
    let mut words: Vec<&str> =
        path.split('/').filter(|word| !word.is_empty() && *word != "v1" && !word.starts_with('{')).collect();
    if words.last() != Some(&handler) {
        words.push(handler);
    }
    words.join("_").replace('-', "_")
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    let PathItem { get, put, post, delete, patch, .. } = item;
    [get, put, post, delete, patch].into_iter().flatten()
}

fn describe_problems(path: &str, operation: &mut Operation) {
    let takes_body = operation.request_body.is_some();
    let repeatable = operation
        .parameters
        .iter()
        .flatten()
        .any(|parameter| matches!(parameter, RefOr::T(parameter) if parameter.name == "idempotency-key"));
    let mut expected = vec![
        ProblemType::InvalidRequest,
        ProblemType::Unauthorized,
        ProblemType::Forbidden,
        ProblemType::Internal,
        ProblemType::Unavailable,
    ];
    if path.contains('{') {
        expected.push(ProblemType::NotFound);
    }
    if takes_body {
        expected.extend([ProblemType::TooLarge, ProblemType::UnsupportedMedia, ProblemType::BodyIncomplete]);
    }
    if takes_body && ["/v1/jobs", "/v1/jobs:batch"].contains(&path) {
        expected.extend([ProblemType::UnknownKind, ProblemType::InvalidArgs]);
    }
    if path == "/v1/jobs" && takes_body {
        expected.extend([ProblemType::InvalidDependency, ProblemType::DuplicateJob]);
    }
    if repeatable {
        expected.extend([ProblemType::IdempotencyInFlight, ProblemType::IdempotencyKeyReused]);
    }
    for kind in ProblemType::ALL.iter().filter(|kind| expected.contains(kind)) {
        let status = kind.status().to_string();
        let named = format!("`{}`: {}", kind.name(), kind.title());
        match operation.responses.responses.get_mut(&status) {
            None => {
                operation.responses.responses.insert(status, RefOr::T(problem(named)));
            }
            Some(RefOr::T(known)) => known.description = format!("{}; {named}", known.description),
            Some(RefOr::Ref(_)) => {}
        }
    }
    // Whatever a route itself says of its errors, their bodies are problems.
    for (status, response) in &mut operation.responses.responses {
        if let RefOr::T(response) = response
            && status.as_str() >= "400"
            && response.content.is_empty()
        {
            *response = problem(std::mem::take(&mut response.description));
        }
    }
}

fn problem(description: String) -> Response {
    let content: Content = ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).build();
    let id = HeaderBuilder::new().schema(Some(Object::with_type(Type::String))).build();
    ResponseBuilder::new().description(description).content(MEDIA_TYPE, content).header("x-request-id", id).build()
}

#[cfg(test)]
mod tests {
    use crate::{app::Shared, documented, routes, verbs::shown};
    use std::collections::BTreeSet;

    /// The paths that a router answers, read from its `Debug` form: axum lists them nowhere else.
    fn paths(router: &axum::Router<Shared>) -> BTreeSet<String> {
        let text = format!("{router:?}");
        let quoted = text.split('"').skip(1).step_by(2);
        // "/" and "/{*__private…}" are where axum keeps a router's fallback.
        quoted
            .filter(|text| text.len() > 1 && text.starts_with('/') && !text.contains("__private"))
            .map(shown)
            .collect()
    }

    #[test]
    fn the_document_has_every_route_and_no_other() {
        let (router, document) = documented();
        let described: BTreeSet<String> = document.paths.paths.keys().cloned().collect();
        assert_eq!(paths(&router), described);
        assert!(described.contains("/v1/jobs/{id}:cancel") && described.len() > 20, "{described:?}");
        let (_, without_problems) = routes::all().split_for_parts();
        assert_eq!(without_problems.paths.paths.len(), described.len());
    }

    #[test]
    fn every_operation_describes_its_problems_and_has_a_summary() {
        let (_, document) = documented();
        let json = serde_json::to_value(&document).unwrap();
        let mut ids = BTreeSet::new();
        for (path, item) in json["paths"].as_object().unwrap() {
            for (method, operation) in item.as_object().unwrap() {
                assert!(ids.insert(operation["operationId"].as_str().unwrap().to_owned()), "{method} {path}");
                assert!(operation["summary"].is_string(), "{method} {path}");
                let responses = operation["responses"].as_object().unwrap();
                if path.starts_with("/v1/") {
                    let at = |status: &str| responses[status]["content"]["application/problem+json"]["schema"].clone();
                    assert_eq!(at("401")["$ref"], "#/components/schemas/Problem", "{method} {path}");
                    assert_eq!(responses.contains_key("404"), path.contains('{'), "{method} {path}");
                    let errors = responses.iter().filter(|(status, _)| status.as_str() >= "400");
                    assert!(
                        errors.map(|(status, _)| at(status)).all(|schema| schema["$ref"].is_string()),
                        "{method} {path}"
                    );
                    assert_eq!(responses.contains_key("415"), operation["requestBody"].is_object(), "{method} {path}");
                }
            }
        }
    }

    #[test]
    fn every_schema_that_is_referred_to_is_there() {
        let (_, document) = documented();
        let json = serde_json::to_value(&document).unwrap();
        let text = json.to_string();
        for reference in text.split("#/components/schemas/").skip(1).map(|rest| rest.split('"').next().unwrap()) {
            assert!(json["components"]["schemas"][reference].is_object(), "{reference}");
        }
    }
}

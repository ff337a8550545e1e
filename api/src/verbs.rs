//! Addresses that end in a verb, such as `/v1/jobs/{id}:cancel`.
//!
//! The router knows no text after a parameter within one segment. So before routing the verb is moved to a segment of
//! its own, `/v1/jobs/{id}/!cancel`, which is what routes are registered under; the documentation and the metrics show
//! the address as callers write it.

use axum::http::{Request, Uri, uri::PathAndQuery};
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouter};

/// What stands before a verb in the router.
const MARK: &str = "/!";

/// Moves a verb at the end of the path to a segment of its own.
pub(crate) fn separate<B>(mut request: Request<B>) -> Request<B> {
    if let Some(uri) = separated(request.uri()) {
        *request.uri_mut() = uri;
    }
    request
}

fn separated(uri: &Uri) -> Option<Uri> {
    let path = uri.path();
    if !path.starts_with("/v1/") {
        return None;
    }
    // The inner form is not an address of its own.
    let routed = if path.contains(MARK) { "/v1".to_owned() } else { routed(path)? };
    let text = uri.query().map_or_else(|| routed.clone(), |query| format!("{routed}?{query}"));
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(PathAndQuery::try_from(text).ok()?);
    Uri::from_parts(parts).ok()
}

/// Names of limits may hold colons themselves (`/v1/limits/key/crm:acme`): only these are verbs there, and only when the
/// colon is written as such. A name that ends like a verb is written with `%3A`.
const NAMES: &str = "/v1/limits/";
const VERBS_OF_NAMES: [&str; 2] = [":pause", ":resume"];

/// The path as the router has it; `None` where it has no verb.
fn routed(path: &str) -> Option<String> {
    if path.starts_with(NAMES) {
        let (name, verb) = VERBS_OF_NAMES.iter().find_map(|verb| Some((path.strip_suffix(verb)?, &verb[1..])))?;
        return Some(format!("{name}{MARK}{verb}"));
    }
    let segment = path.rfind('/')? + 1;
    // Some clients percent-encode the colon.
    let (colon, width) = ["%3A", "%3a", ":"]
        .into_iter()
        .filter_map(|colon| path[segment..].rfind(colon).map(|place| (place + segment, colon.len())))
        .max()?;
    (colon > segment).then(|| format!("{}{MARK}{}", &path[..colon], &path[colon + width..]))
}

/// A path of the router as callers write it.
pub(crate) fn shown(path: &str) -> String {
    path.replace(MARK, ":")
}

/// Registers routes whose addresses end in a verb.
pub(crate) trait VerbRoutes<S> {
    /// Registers `routes`, made by `routes!`, under the form that the router knows.
    fn verb(self, routes: UtoipaMethodRouter<S>) -> Self;
}

impl<S: Send + Sync + Clone + 'static> VerbRoutes<S> for OpenApiRouter<S> {
    fn verb(self, (schemas, mut paths, methods): UtoipaMethodRouter<S>) -> Self {
        let rename = |paths: &mut utoipa::openapi::Paths, name: &dyn Fn(&str) -> Option<String>| {
            let renamed = std::mem::take(&mut paths.paths).into_iter();
            paths.paths = renamed.map(|(path, item)| (name(&path).unwrap_or(path), item)).collect();
        };
        rename(&mut paths, &routed);
        let mut router = self.routes((schemas, paths, methods));
        rename(&mut router.get_openapi_mut().paths, &|path| Some(shown(path)));
        router
    }
}

#[cfg(test)]
mod tests {
    use super::{separated, shown};
    use axum::http::Uri;

    fn routed(uri: &str) -> Option<String> {
        separated(&uri.parse::<Uri>().unwrap()).map(|uri| uri.to_string())
    }

    #[test]
    fn a_verb_becomes_a_segment() {
        assert_eq!(routed("/v1/jobs/job_1:cancel?a=b:c").as_deref(), Some("/v1/jobs/job_1/!cancel?a=b:c"));
        assert_eq!(routed("/v1/jobs/job_1%3Acancel").as_deref(), Some("/v1/jobs/job_1/!cancel"));
        assert_eq!(routed("http://host/v1/jobs:batch").as_deref(), Some("http://host/v1/jobs/!batch"));
        assert_eq!(shown("/v1/jobs/{id}/!cancel"), "/v1/jobs/{id}:cancel");
    }

    #[test]
    fn a_name_may_hold_colons() {
        assert_eq!(routed("/v1/limits/key/crm:acme"), None);
        assert_eq!(routed("/v1/limits/key/a:b:pause").as_deref(), Some("/v1/limits/key/a:b/!pause"));
        assert_eq!(routed("/v1/limits/key/a%3Apause"), None);
        assert_eq!(routed("/v1/queues/ai:resume?x=1").as_deref(), Some("/v1/queues/ai/!resume?x=1"));
    }

    #[test]
    fn other_paths_stay_and_the_inner_form_is_no_address() {
        assert_eq!(routed("/v1/jobs/job_1"), None);
        assert_eq!(routed("/v1/jobs/:cancel"), None);
        assert_eq!(routed("/docs:x"), None);
        assert_eq!(routed("/v1/jobs/job_1/!cancel").as_deref(), Some("/v1"));
    }
}

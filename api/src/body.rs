//! Reading JSON bodies: strictly, and saying where they are wrong.

use std::error::Error as _;

use axum::{
    body::Bytes,
    extract::{DefaultBodyLimit, FromRequest, Request, rejection::BytesRejection},
    http::{HeaderMap, header},
};
use serde::de::DeserializeOwned;
use serde_json::Value as Json;

use crate::problem::{ApiError, FieldError};

/// The largest JSON body where a route does not say otherwise, in bytes.
const LIMIT: u64 = 2 * 1024 * 1024;

/// A JSON body, and the bytes it came in.
#[derive(Debug)]
pub(crate) struct JsonBody<T> {
    pub(crate) value: T,
    pub(crate) bytes: Bytes,
}

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for JsonBody<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        Self::read(request, state, LIMIT).await
    }
}

impl<T: DeserializeOwned> JsonBody<T> {
    /// Reads a body of at most `limit_bytes`.
    ///
    /// # Errors
    /// When it is not JSON, not a `T`, larger than that, or breaks off.
    pub(crate) async fn read<S: Send + Sync>(
        mut request: Request,
        state: &S,
        limit_bytes: u64,
    ) -> Result<Self, ApiError> {
        if !is_json(request.headers()) {
            return Err(ApiError::UnsupportedMedia("application/json"));
        }
        bound(&mut request, limit_bytes)?;
        let bytes = Bytes::from_request(request, state).await.map_err(|rejection| unread(&rejection, limit_bytes))?;
        Ok(Self { value: parse(&bytes, "")?, bytes })
    }
}

/// A JSON body that may be left out.
#[derive(Debug)]
pub(crate) struct MaybeJson<T>(pub(crate) T);

impl<T: DeserializeOwned + Default, S: Send + Sync> FromRequest<S> for MaybeJson<T> {
    type Rejection = ApiError;

    async fn from_request(mut request: Request, state: &S) -> Result<Self, ApiError> {
        let (json, announced) = (is_json(request.headers()), request.headers().contains_key(header::CONTENT_TYPE));
        bound(&mut request, LIMIT)?;
        let bytes = Bytes::from_request(request, state).await.map_err(|rejection| unread(&rejection, LIMIT))?;
        match (bytes.is_empty(), json) {
            (true, _) if !announced => Ok(Self(T::default())),
            (_, true) => Ok(Self(parse(&bytes, "")?)),
            (_, false) => Err(ApiError::UnsupportedMedia("application/json")),
        }
    }
}

/// The bytes of a JSON body of at most `limit_bytes`, not read yet.
///
/// # Errors
/// When it does not say that it is JSON, is larger than that, or breaks off.
pub(crate) async fn json_bytes(mut request: Request, limit_bytes: u64) -> Result<Bytes, ApiError> {
    if !is_json(request.headers()) {
        return Err(ApiError::UnsupportedMedia("application/json"));
    }
    bound(&mut request, limit_bytes)?;
    Bytes::from_request(request, &()).await.map_err(|rejection| unread(&rejection, limit_bytes))
}

/// Lets at most `limit_bytes` of the body be read.
///
/// # Errors
/// When the body says itself that it is larger, before a byte of it is read.
pub(crate) fn bound(request: &mut Request, limit_bytes: u64) -> Result<(), ApiError> {
    let length =
        request.headers().get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if length.is_some_and(|length| length > limit_bytes) {
        return Err(ApiError::TooLarge { limit_bytes });
    }
    DefaultBodyLimit::max(usize::try_from(limit_bytes).unwrap_or(usize::MAX)).apply(request);
    Ok(())
}

fn unread(rejection: &BytesRejection, limit_bytes: u64) -> ApiError {
    if rejection.status() == axum::http::StatusCode::PAYLOAD_TOO_LARGE {
        return ApiError::TooLarge { limit_bytes };
    }
    tracing::debug!(error = ?rejection.source(), "a body broke off");
    ApiError::BodyIncomplete
}

/// True where the headers announce JSON: `application/json` or a type that ends in `+json`.
pub(crate) fn is_json(headers: &HeaderMap) -> bool {
    let essence = media_type(headers);
    essence == "application/json" || (essence.starts_with("application/") && essence.ends_with("+json"))
}

/// The content type without its parameters, in lower case; empty where there is none.
pub(crate) fn media_type(headers: &HeaderMap) -> String {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

/// Reads `bytes` as JSON. `root` is the JSON Pointer of where they stand in the request.
///
/// # Errors
/// What is wrong, and where.
pub(crate) fn parse<T: DeserializeOwned>(bytes: &[u8], root: &str) -> Result<T, ApiError> {
    let value = whole(bytes, root)?;
    // Postgres can keep U+0000 in no text. Only a body that spells it out needs to be looked through.
    if bytes.windows(6).any(|window| window == b"\\u0000") {
        let whole: Json = serde_json::from_slice(bytes).map_err(|error| not_json(root, &error))?;
        no_zero(&whole, root)?;
    }
    Ok(value)
}

/// The same, except that U+0000 is not looked for: what is read may hold it.
///
/// # Errors
/// What is wrong, and where.
pub(crate) fn whole<T: DeserializeOwned>(bytes: &[u8], root: &str) -> Result<T, ApiError> {
    // Keeping track of where one is costs as much as the reading: it is done only where there is something to tell.
    match serde_json::from_slice(bytes) {
        Ok(value) => Ok(value),
        Err(_) => traced(bytes, root),
    }
}

/// The same, keeping track of where it is.
fn traced<T: DeserializeOwned>(bytes: &[u8], root: &str) -> Result<T, ApiError> {
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut reader).map_err(|error| misfit(&error, root))?;
    reader.end().map_err(|error| not_json(root, &error))?;
    Ok(value)
}

/// Reads a part of a body that was read as JSON already. `root` is the JSON Pointer of where it stands.
///
/// # Errors
/// What is wrong, and where.
pub(crate) fn part<T: DeserializeOwned>(json: Json, root: &str) -> Result<T, ApiError> {
    no_zero(&json, root)?;
    serde_path_to_error::deserialize(json).map_err(|error| misfit(&error, root))
}

fn misfit(error: &serde_path_to_error::Error<serde_json::Error>, root: &str) -> ApiError {
    let inner = error.inner();
    let text = inner.to_string();
    // The pointer says where; a line of a body that a program wrote says nothing.
    let detail = text.rsplit_once(" at line ").map_or(text.as_str(), |(detail, _)| detail).to_owned();
    match inner.classify() {
        serde_json::error::Category::Data => ApiError::field(format!("{root}{}", pointer(error.path())), detail),
        _ => not_json(root, inner),
    }
}

fn no_zero(json: &Json, root: &str) -> Result<(), ApiError> {
    match zero(json, root) {
        Some(pointer) => Err(ApiError::field(pointer, "the character U+0000 cannot be kept; leave it out")),
        None => Ok(()),
    }
}

fn not_json(pointer: &str, error: &serde_json::Error) -> ApiError {
    let detail = format!("The body is not JSON: {error}.");
    ApiError::Invalid { detail: detail.clone(), errors: vec![FieldError::new(pointer, detail)] }
}

fn pointer(path: &serde_path_to_error::Path) -> String {
    use serde_path_to_error::Segment;
    path.iter()
        .filter_map(|segment| match segment {
            Segment::Seq { index } => Some(format!("/{index}")),
            Segment::Map { key } => Some(format!("/{}", escape(key))),
            // An enum's variant is no place in the body.
            Segment::Enum { .. } | Segment::Unknown => None,
        })
        .collect()
}

/// A name as it stands in a JSON Pointer (RFC 6901, section 3).
fn escape(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

/// Where the first U+0000 stands.
fn zero(json: &Json, at: &str) -> Option<String> {
    match json {
        Json::String(text) => text.contains('\0').then(|| at.to_owned()),
        Json::Array(items) => items.iter().enumerate().find_map(|(index, item)| zero(item, &format!("{at}/{index}"))),
        Json::Object(fields) => fields.iter().find_map(|(name, value)| {
            if name.contains('\0') { Some(at.to_owned()) } else { zero(value, &format!("{at}/{}", escape(name))) }
        }),
        Json::Null | Json::Bool(_) | Json::Number(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::{is_json, parse};
    use crate::problem::ApiError;
    use axum::http::{HeaderMap, HeaderValue, header::CONTENT_TYPE};

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Outer {
        #[serde(rename = "in/ner")]
        inner: Vec<Inner>,
    }

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Inner {
        number: i32,
    }

    fn pointer(body: &str) -> String {
        match parse::<Outer>(body.as_bytes(), "") {
            Err(ApiError::Invalid { errors, .. }) => errors[0].pointer.clone(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_is_wrong_is_pointed_at() {
        assert_eq!(pointer(r#"{"in/ner":[{"number":1},{"number":"x"}]}"#), "/in~1ner/1/number");
        assert_eq!(pointer(r#"{"in/ner":[],"more":1}"#), "/more");
        assert_eq!(pointer(r#"{"in/ner":[{"number":1}]} x"#), "");
        assert_eq!(pointer("nonsense"), "");
        assert_eq!(parse::<Outer>(br#"{"in/ner":[{"number":7}]}"#, "").unwrap().inner[0].number, 7);
    }

    #[test]
    fn the_character_zero_is_refused_wherever_it_hides() {
        let refused = |body: &str| parse::<serde_json::Value>(body.as_bytes(), "").is_err();
        assert!(refused("{\"a\":[\"x\\u0000\"]}") && refused("{\"\\u0000\":1}"));
        // An escaped backslash before u0000 is harmless.
        assert!(!refused("{\"a\":\"\\\\u0000\"}"));
    }

    #[test]
    fn only_json_types_are_json() {
        let with = |value: &'static str| HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(value))]);
        assert!(is_json(&with("application/json; charset=utf-8")) && is_json(&with("Application/Merge-Patch+JSON")));
        assert!(!is_json(&with("text/json")) && !is_json(&HeaderMap::new()));
    }
}

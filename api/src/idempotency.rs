//! Requests that may be repeated: `Idempotency-Key`, kept in the transaction of what it guards.
//!
//! The draft standard "The Idempotency-Key HTTP Header Field" (draft-ietf-httpapi-idempotency-key-header) gives the
//! answers: a repetition gets the stored one, a key used for another request 422, one still under way 409.

use axum::{
    extract::FromRequestParts,
    http::{HeaderName, HeaderValue, StatusCode, header, request::Parts},
    response::{IntoResponse, Response},
};
use gristmill_core::ids::OrgId;
use gristmill_store::{
    db::Tx,
    idempotency::{self, Answer as Stored, Known},
};
use serde::Serialize;
use serde_json::Value as Json;
use sha2::{Digest as _, Sha256};

use crate::problem::ApiError;

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");
/// The longest key.
const LONGEST: usize = 255;

/// Which request this is, as far as repeating it goes.
#[derive(Debug)]
pub(crate) struct Repeat {
    key: Option<String>,
    method: String,
    path: String,
}

impl Repeat {
    /// The content of a JSON body; nothing where the request has no key, so that nobody asks.
    pub(crate) fn json(&self, body: &[u8]) -> Content {
        if self.key.is_some() { Content::json(body) } else { Content::default() }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Repeat {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let mut values = parts.headers.get_all(IDEMPOTENCY_KEY).iter();
        let key = match (values.next(), values.next()) {
            (None, _) => None,
            (Some(value), None) => Some(checked(value)?),
            (Some(_), Some(_)) => return Err(ApiError::field("Idempotency-Key", "is sent once, not twice")),
        };
        Ok(Self { key, method: parts.method.to_string(), path: parts.uri.path().to_owned() })
    }
}

fn checked(value: &HeaderValue) -> Result<String, ApiError> {
    let key = value.to_str().ok().filter(|key| (1..=LONGEST).contains(&key.len()));
    key.map(str::to_owned)
        .ok_or_else(|| ApiError::field("Idempotency-Key", format!("is 1 to {LONGEST} printable ASCII characters")))
}

/// What a request asks for, as a hash that does not depend on how it was written down.
#[derive(Debug, Clone)]
pub(crate) struct Content(Sha256);

impl Content {
    /// The content of a JSON body: the order of fields and white space do not count.
    pub(crate) fn json(body: &[u8]) -> Self {
        // What was read as JSON once is JSON; hashing nothing for what is not would only refuse a repetition.
        Self::default().with("json", canonical(serde_json::from_slice(body).unwrap_or(Json::Null)).as_bytes())
    }

    /// Adds a part called `name`.
    pub(crate) fn with(mut self, name: &str, value: &[u8]) -> Self {
        for piece in [name.as_bytes(), value] {
            // Lengths first, so that no two lists of parts run together to the same bytes.
            self.0.update((piece.len() as u64).to_be_bytes());
            self.0.update(piece);
        }
        self
    }
}

impl Default for Content {
    /// No content.
    fn default() -> Self {
        Self(Sha256::new())
    }
}

/// The text of `json` with the fields of every object in order.
pub(crate) fn canonical(json: Json) -> String {
    fn sorted(json: Json) -> Json {
        match json {
            Json::Object(fields) => {
                let mut fields: Vec<_> = fields.into_iter().map(|(name, value)| (name, sorted(value))).collect();
                fields.sort_by(|one, other| one.0.cmp(&other.0));
                Json::Object(fields.into_iter().collect())
            }
            Json::Array(items) => Json::Array(items.into_iter().map(sorted).collect()),
            other => other,
        }
    }
    sorted(json).to_string()
}

/// An answer that can be given again.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) location: Option<String>,
    pub(crate) body: Json,
    /// What repetitions are answered, where that differs.
    pub(crate) body_for_repetitions: Option<Json>,
}

impl Answer {
    /// An answer with a JSON body.
    ///
    /// # Errors
    /// When the body cannot be written as JSON.
    pub(crate) fn new(status: StatusCode, body: &impl Serialize) -> Result<Self, ApiError> {
        let body = serde_json::to_value(body).map_err(|error| ApiError::Internal(error.to_string()))?;
        Ok(Self { status, location: None, body, body_for_repetitions: None })
    }

    /// Says where what was made, or the job that makes it, is found.
    pub(crate) fn at(mut self, location: String) -> Self {
        self.location = Some(location);
        self
    }
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        let mut response = (self.status, axum::Json(self.body)).into_response();
        if let Some(location) = self.location.and_then(|location| HeaderValue::try_from(location).ok()) {
            response.headers_mut().insert(header::LOCATION, location);
        }
        response
    }
}

/// How a request that may be repeated was answered.
#[derive(Debug)]
pub(crate) enum Done {
    /// For the first time: commit the transaction.
    New(Answer),
    /// As it was before: nothing was written.
    Replayed(Answer),
}

impl IntoResponse for Done {
    fn into_response(self) -> Response {
        match self {
            Self::New(answer) => answer.into_response(),
            Self::Replayed(answer) => {
                let mut response = answer.into_response();
                response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
                response
            }
        }
    }
}

/// Does `work` in `tx` unless this request was answered before, and keeps the answer in `tx`. The key belongs to
/// organization `org`. `work` does not begin where there is an answer already.
///
/// # Errors
/// What `work` says, then nothing must be committed; or that the key is in use, or was used for another request.
pub(crate) async fn once(
    tx: &impl Tx,
    org: OrgId,
    repeat: &Repeat,
    content: Content,
    work: impl Future<Output = Result<Answer, ApiError>> + Send,
) -> Result<Done, ApiError> {
    let Some(key) = &repeat.key else { return Ok(Done::New(work.await?)) };
    let asked = Content::default().with("method", repeat.method.as_bytes()).with("path", repeat.path.as_bytes());
    let fingerprint = asked.with("content", &content.0.finalize()).0.finalize();
    match idempotency::begin(tx, org, key, &fingerprint).await? {
        Known::InFlight => Err(ApiError::InFlight),
        Known::OtherRequest => Err(ApiError::KeyReused),
        Known::Answered(stored) => Ok(Done::Replayed(Answer {
            status: u16::try_from(stored.status)
                .ok()
                .and_then(|code| StatusCode::from_u16(code).ok())
                .unwrap_or_default(),
            location: stored.location,
            body: stored.body,
            body_for_repetitions: None,
        })),
        Known::Nothing => {
            let mut answer = work.await?;
            let stored = Stored {
                status: i16::try_from(answer.status.as_u16()).unwrap_or(i16::MAX),
                location: answer.location.clone(),
                body: answer.body_for_repetitions.take().unwrap_or_else(|| answer.body.clone()),
            };
            idempotency::keep(tx, org, key, &fingerprint, &stored).await?;
            Ok(Done::New(answer))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Content, canonical};
    use sha2::Digest as _;

    fn hash(content: Content) -> Vec<u8> {
        content.0.finalize().to_vec()
    }

    #[test]
    fn how_json_is_written_does_not_matter_but_what_it_says_does() {
        let of = |body: &str| hash(Content::json(body.as_bytes()));
        assert_eq!(of(r#"{"a":1,"b":{"d":[1,2],"c":null}}"#), of(r#"{ "b": {"c":null,"d":[1,2]}, "a":1 }"#));
        assert_ne!(of(r#"{"a":[1,2]}"#), of(r#"{"a":[2,1]}"#));
        assert_eq!(canonical(serde_json::json!({"b": 1, "a": 2})), r#"{"a":2,"b":1}"#);
    }

    #[test]
    fn parts_do_not_run_together() {
        let none = Content::default;
        assert_ne!(hash(none().with("ab", b"c")), hash(none().with("a", b"bc")));
        assert_ne!(hash(none().with("a", b"b")), hash(none().with("b", b"a")));
    }
}

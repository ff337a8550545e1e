//! Reading ids from paths and parameters from queries, and the shape of lists.

use std::str::FromStr;

use axum::{
    extract::{FromRequestParts, Path},
    http::request::Parts,
};
use chrono::{DateTime, Datelike as _, Utc};
use gristmill_core::ids::{ArticleId, BatchId, DocumentId, FeedId, IdError, JobId, KeyId, OrgId, SpaceId};
use gristmill_fetch::FetchError;
use gristmill_store::{Cursor, Page};
use serde::{Serialize, de::DeserializeOwned};
use url::Url;
use utoipa::ToSchema;

use crate::problem::{ApiError, FieldError};

/// Rows of a list's page where the caller does not say.
const DEFAULT_LIMIT: u64 = 50;
/// The most rows of a page.
const MOST: u64 = 200;

/// The longest URL, in bytes: a row of an index of Postgres holds less than 2,704.
const LONGEST_URL: usize = 2_000;

/// What an id in a path is of.
pub(crate) trait Named: FromStr<Err = IdError> + Send {
    /// The noun for it.
    const NOUN: &'static str;
}

macro_rules! named {
    ($($id:ty = $noun:literal),* $(,)?) => { $(impl Named for $id { const NOUN: &'static str = $noun; })* };
}

named! {
    JobId = "job", DocumentId = "document", FeedId = "feed", ArticleId = "article",
    OrgId = "organization", KeyId = "key", BatchId = "batch", SpaceId = "embedding space",
}

/// The id in the path. A text that is no such id names nothing, so it answers as an id that nothing has.
#[derive(Debug)]
pub(crate) struct Id<T>(pub(crate) T);

impl<T: Named, S: Send + Sync> FromRequestParts<S> for Id<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let text = Path::<String>::from_request_parts(parts, state).await.map_err(|_| ApiError::NotFound(T::NOUN))?;
        text.parse().map(Self).map_err(|_| ApiError::NotFound(T::NOUN))
    }
}

/// The query's parameters. Ones that the route does not know are refused: a filter misspelt must not list everything.
#[derive(Debug)]
pub(crate) struct Query<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let query = parts.uri.query().unwrap_or_default();
        if url::form_urlencoded::parse(query.as_bytes())
            .any(|(name, value)| name.contains('\0') || value.contains('\0'))
        {
            return Err(invalid("the character U+0000 cannot be searched for"));
        }
        let read = axum::extract::Query::<T>::try_from_uri(&parts.uri);
        read.map(|axum::extract::Query(value)| Self(value)).map_err(|rejection| {
            let text = rejection.body_text();
            invalid(text.strip_prefix("Failed to deserialize query string: ").unwrap_or(&text))
        })
    }
}

fn invalid(problem: &str) -> ApiError {
    let (name, what) = problem.split_once(": ").unwrap_or(("", problem));
    let detail = format!("The query cannot be read: {problem}.");
    ApiError::Invalid { detail, errors: vec![FieldError::new(name, what)] }
}

/// The page that `limit` and `cursor` ask for.
///
/// # Errors
/// When either is out of bounds.
pub(crate) fn page(limit: Option<u64>, cursor: Option<&str>) -> Result<Page, ApiError> {
    let cursor = cursor.map(str::parse::<Cursor>).transpose();
    Ok(Page { limit: limit_of(limit)?, cursor: cursor.map_err(|error| ApiError::field("cursor", error.to_string()))? })
}

/// How many rows `limit` asks for.
///
/// # Errors
/// When it is out of bounds.
pub(crate) fn limit_of(limit: Option<u64>) -> Result<u64, ApiError> {
    match limit.unwrap_or(DEFAULT_LIMIT) {
        limit @ 1..=MOST => Ok(limit),
        _ => Err(ApiError::field("limit", format!("a page has 1 to {MOST} rows"))),
    }
}

/// Checks that a time is one that Postgres can compare with.
///
/// # Errors
/// When its year has not four digits.
pub(crate) fn plausible(name: &str, time: Option<DateTime<Utc>>) -> Result<Option<DateTime<Utc>>, ApiError> {
    match time {
        Some(time) if !(1..=9999).contains(&time.year()) => Err(ApiError::field(name, "the year has four digits")),
        other => Ok(other),
    }
}

/// Checks the length of a text, in characters.
///
/// # Errors
/// When it is empty or longer than `most`.
pub(crate) fn length(pointer: &str, text: Option<&str>, most: usize) -> Result<(), ApiError> {
    let fits = text.is_none_or(|text| !text.is_empty() && text.chars().nth(most).is_none());
    if fits { Ok(()) } else { Err(ApiError::field(pointer, format!("has 1 to {most} characters"))) }
}

/// Checks an owner's labels.
///
/// # Errors
/// When there are more than 50, or one is empty or longer than 100 characters.
pub(crate) fn labels(pointer: &str, tags: &[String]) -> Result<(), ApiError> {
    if tags.len() > 50 {
        return Err(ApiError::field(pointer, "has at most 50 tags"));
    }
    tags.iter().enumerate().try_for_each(|(index, tag)| length(&format!("{pointer}/{index}"), Some(tag), 100))
}

/// The URL that `text` is.
///
/// # Errors
/// When it is none, or is longer than 2,000 bytes.
pub(crate) fn absolute(text: &str) -> Result<Url, ApiError> {
    let url = Url::parse(text).map_err(|_| ApiError::NotAUrl(text.chars().take(200).collect()))?;
    if url.as_str().len() > LONGEST_URL {
        return Err(ApiError::Url(FetchError::InvalidUrl { reason: "it is longer than 2000 bytes" }));
    }
    Ok(url)
}

/// A page of a list.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct List<T> {
    /// The rows.
    pub(crate) data: Vec<T>,
    /// What to pass as `cursor` for the next page; null on the last one.
    pub(crate) next_cursor: Option<String>,
}

impl<T> List<T> {
    /// Cuts `rows` to `page`.
    pub(crate) fn of<R: Into<T>>(page: Page, rows: Vec<R>, id: impl Fn(&R) -> uuid::Uuid) -> Self {
        let (rows, next) = page.cut(rows, id);
        Self { data: rows.into_iter().map(Into::into).collect(), next_cursor: next.map(|cursor| cursor.to_string()) }
    }
}

#[cfg(test)]
mod tests {
    use super::{absolute, length, limit_of, page};

    #[test]
    fn pages_have_bounds() {
        assert_eq!(limit_of(None).unwrap(), 50);
        assert!(limit_of(Some(0)).is_err() && limit_of(Some(201)).is_err() && limit_of(Some(200)).is_ok());
        assert!(page(None, Some("nonsense")).is_err());
    }

    #[test]
    fn lengths_count_characters() {
        assert!(length("/x", Some("äöü"), 3).is_ok() && length("/x", None, 0).is_ok());
        assert!(length("/x", Some("äöüß"), 3).is_err() && length("/x", Some(""), 3).is_err());
    }

    #[test]
    fn a_url_is_absolute_and_not_too_long() {
        assert!(absolute("/relative").is_err() && absolute("https://example.org/a").is_ok());
        assert!(absolute(&format!("https://example.org/{}", "a".repeat(2_000))).is_err());
    }
}

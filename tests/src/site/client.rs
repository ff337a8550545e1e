//! A caller of the API, and what it is answered.

use std::{net::SocketAddr, time::Duration};

use gristmill_core::secret::Secret;
use reqwest::{
    Method, RequestBuilder,
    header::HeaderMap,
    multipart::{Form, Part},
};
use serde_json::{Value as Json, json};

use super::{eventually, stream::Events};

/// Longer than any answer may take, waits included.
const PATIENCE: Duration = Duration::from_secs(60);

/// Somebody who calls the API with a key, or without.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    address: SocketAddr,
    key: Option<Secret>,
}

impl Client {
    #[expect(clippy::disallowed_methods, reason = "it talks to this very process")]
    pub(super) fn new(address: SocketAddr, key: Secret) -> Self {
        // Each call on a connection of its own: what one breaks must not disturb the next.
        let http = reqwest::Client::builder().no_proxy().pool_max_idle_per_host(0).timeout(PATIENCE).build().unwrap();
        Self { http, address, key: Some(key) }
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The same caller with another key.
    pub fn with_key(&self, key: &str) -> Self {
        Self { key: Some(Secret::new(key)), ..self.clone() }
    }

    /// The same caller without a key.
    pub fn without_key(&self) -> Self {
        Self { key: None, ..self.clone() }
    }

    /// A request, to be adorned and then sent by [`Answer::to`].
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.http.request(method, format!("http://{}{path}", self.address));
        match &self.key {
            Some(key) => request.bearer_auth(key.reveal()),
            None => request,
        }
    }

    /// What `GET path` is answered.
    pub async fn get(&self, path: &str) -> Answer {
        Answer::to(self.request(Method::GET, path)).await
    }

    /// What `POST path` with a JSON body is answered.
    pub async fn post(&self, path: &str, body: &Json) -> Answer {
        Answer::to(self.request(Method::POST, path).json(body)).await
    }

    /// What `POST path` without a body is answered.
    pub async fn act(&self, path: &str) -> Answer {
        Answer::to(self.request(Method::POST, path)).await
    }

    /// What `DELETE path` is answered.
    pub async fn delete(&self, path: &str) -> Answer {
        Answer::to(self.request(Method::DELETE, path)).await
    }

    /// An upload of a file, to be adorned and then sent by [`Answer::to`].
    pub fn uploading(&self, name: &str, media_type: &str, bytes: &[u8], meta: Option<&Json>) -> RequestBuilder {
        let file = Part::bytes(bytes.to_vec()).file_name(name.to_owned()).mime_str(media_type).unwrap();
        let mut form = Form::new().part("file", file);
        if let Some(meta) = meta {
            form = form.part("meta", Part::text(meta.to_string()).mime_str("application/json").unwrap());
        }
        self.request(Method::POST, "/v1/documents").multipart(form)
    }

    /// What an upload of a file is answered.
    pub async fn upload(&self, name: &str, media_type: &str, bytes: &[u8]) -> Answer {
        Answer::to(self.uploading(name, media_type, bytes, None)).await
    }

    /// Hands a text in as a document with the other fields of `more`, and waits until it is ready.
    pub async fn text(&self, text: &str, more: Json) -> Json {
        let mut body = json!({ "source": { "type": "text", "text": text } });
        body.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap_or_default());
        let accepted = self.post("/v1/documents", &body).await.is(202);
        self.ready(&accepted.json).await
    }

    /// Uploads a Markdown file of which `more` is said, and waits until it is ready.
    pub async fn markdown(&self, text: &str, more: &Json) -> Json {
        let upload = self.uploading("text.md", "text/markdown", text.as_bytes(), Some(more));
        self.ready(&Answer::to(upload).await.is(202).json).await
    }

    /// The document that was accepted with the answer `accepted`, once it is ready.
    pub async fn ready(&self, accepted: &Json) -> Json {
        let path = format!("/v1/documents/{}", id(&accepted["document"]));
        let document = self.until(&path, |document| document["status"] != "pending").await;
        assert_eq!(document["status"], "ready", "{document}");
        document
    }

    /// The job that was accepted with the answer `accepted` (a job, or something that has one), once it is over.
    pub async fn ended(&self, accepted: &Json) -> Json {
        let job = if accepted["job"].is_object() { &accepted["job"] } else { accepted };
        let over = |job: &Json| ["succeeded", "failed", "cancelled"].contains(&job["state"].as_str().unwrap());
        self.until(&format!("/v1/jobs/{}", id(job)), over).await
    }

    /// What is at `path`, once it is as wanted.
    pub async fn until(&self, path: &str, wanted: impl Fn(&Json) -> bool) -> Json {
        eventually(&format!("what is wanted of {path}"), async || {
            let found = self.get(path).await.is(200).json;
            wanted(&found).then_some(found)
        })
        .await
    }

    /// The results of a search.
    pub async fn search(&self, body: &Json) -> Vec<Json> {
        let found = self.post("/v1/search", body).await.is(200);
        assert!(found.json["took_ms"].is_number(), "{}", found.json);
        found.json["results"].as_array().unwrap().clone()
    }

    /// The rows of a list that fits on one page.
    pub async fn list(&self, path: &str) -> Vec<Json> {
        let list = self.get(path).await.is(200).json;
        assert_eq!(list["next_cursor"], Json::Null, "{path} has more than a page");
        list["data"].as_array().unwrap().clone()
    }

    /// The history of a job as it comes, from after the event `last` if one is named.
    pub async fn follow(&self, job: &str, last: Option<&str>) -> Events {
        self.watch(&format!("/v1/jobs/{job}/events"), last).await
    }

    /// The events at `path` as they come, from after the event `last` if one is named.
    pub async fn watch(&self, path: &str, last: Option<&str>) -> Events {
        let mut request = self.request(Method::GET, path).header("accept", "text/event-stream");
        if let Some(last) = last {
            request = request.header("last-event-id", last);
        }
        Events::new(request.send().await.unwrap())
    }
}

/// What the API answered.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body as it came.
    pub bytes: Vec<u8>,
    /// The body, if it is JSON; else null.
    pub json: Json,
}

impl Answer {
    /// Sends a request and reads the whole answer.
    pub async fn to(request: RequestBuilder) -> Self {
        let response = request.send().await.expect("the API answers");
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let bytes = response.bytes().await.expect("the answer comes to its end").to_vec();
        let json = serde_json::from_slice(&bytes).unwrap_or(Json::Null);
        Self { status, headers, bytes, json }
    }

    /// The same, if it has this status.
    #[track_caller]
    pub fn is(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", String::from_utf8_lossy(&self.bytes));
        self
    }

    /// A header's value; empty if there is none.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The `id` of what was answered.
    #[track_caller]
    pub fn id(&self) -> String {
        id(&self.json)
    }

    /// The body, if it is a problem (RFC 9457) of this type and keeps every promise that problems make.
    #[track_caller]
    pub fn problem(&self, status: u16, name: &str) -> &Json {
        let (problem, shown) = (&self.json, String::from_utf8_lossy(&self.bytes));
        assert_eq!((self.status, problem["type"].as_str()), (status, Some(&*format!("/problems/{name}"))), "{shown}");
        assert_eq!(self.header("content-type"), "application/problem+json", "{shown}");
        assert_eq!(problem["status"], status, "{shown}");
        for field in ["title", "detail", "request_id"] {
            assert!(problem[field].as_str().is_some_and(|text| !text.is_empty()), "{field} is missing: {shown}");
        }
        assert!(problem["retryable"].is_boolean(), "{shown}");
        assert_eq!(problem["request_id"], self.header("x-request-id"), "{shown}");
        problem
    }

    /// The same for a problem whose first part is wrong at `pointer`.
    #[track_caller]
    pub fn problem_at(&self, status: u16, name: &str, pointer: &str) {
        let problem = self.problem(status, name);
        assert_eq!(problem["errors"][0]["pointer"], pointer, "{problem}");
        assert!(problem["errors"][0]["detail"].is_string(), "{problem}");
    }
}

/// The `id` in `json`.
#[track_caller]
pub(super) fn id(json: &Json) -> String {
    json["id"].as_str().unwrap_or_else(|| panic!("there is no id in {json}")).to_owned()
}

//! The few calls of the API that the demonstration makes.

use std::{net::SocketAddr, time::Duration};

use gristmill_core::secret::Secret;
use gristmill_process::connect::StartError;
use reqwest::{Method, RequestBuilder, multipart::Form};
use serde_json::Value as Json;

/// A client of the API in this process.
#[derive(Debug, Clone)]
pub(super) struct Client {
    http: reqwest::Client,
    base: String,
    key: Secret,
}

impl Client {
    #[expect(clippy::disallowed_methods, reason = "it talks to this very process, not to an address a user supplied")]
    pub(super) fn new(address: SocketAddr, key: Secret) -> Result<Self, StartError> {
        let http = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(60)).build();
        let http = http.map_err(|error| StartError::caused("The HTTP client cannot be set up.", error))?;
        Ok(Self { http, base: format!("http://{address}"), key })
    }

    /// The JSON at `path`.
    pub(super) async fn get(&self, path: &str) -> Result<Json, StartError> {
        self.send(self.request(Method::GET, path)).await
    }

    /// What `path` answers to `body`.
    pub(super) async fn post(&self, path: &str, body: &Json) -> Result<Json, StartError> {
        self.send(self.request(Method::POST, path).json(body)).await
    }

    /// The same, once the job that it starts has ended.
    pub(super) async fn post_and_wait(&self, path: &str, body: &Json) -> Result<Json, StartError> {
        self.send(self.request(Method::POST, path).header("Prefer", "wait=30").json(body)).await
    }

    /// What `path` answers to an upload.
    pub(super) async fn upload(&self, path: &str, form: Form) -> Result<Json, StartError> {
        self.send(self.request(Method::POST, path).multipart(form)).await
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}{path}", self.base)).bearer_auth(self.key.reveal())
    }

    async fn send(&self, request: RequestBuilder) -> Result<Json, StartError> {
        let failed = |error| StartError::caused("The API did not answer.", error);
        let response = request.send().await.map_err(failed)?;
        let status = response.status();
        let body: Json = response.json().await.map_err(failed)?;
        if status.is_success() {
            return Ok(body);
        }
        let detail = body["detail"].as_str().unwrap_or("no detail");
        Err(StartError::new(format!("The API answered {status}: {detail}")))
    }
}

//! The API as commands call it: over HTTP, wherever it is.

use std::{io::ErrorKind, path::PathBuf, time::Duration};

use clap::Args;
use gristmill_core::secret::Secret;
use gristmill_process::connect::StartError;
use reqwest::{Method, RequestBuilder, Response};
use serde_json::Value as Json;

/// Longer than any answer is held.
const PATIENCE: Duration = Duration::from_secs(60);

/// Where the API is, and who asks.
#[derive(Debug, Clone, Args)]
pub struct Connection {
    /// The API's address
    #[arg(long, env = "GRISTMILL_URL", value_name = "URL", default_value = "http://127.0.0.1:7171", global = true)]
    url: String,
    /// The API key [default: the first key in the data folder]
    #[arg(long, env = "GRISTMILL_KEY", value_name = "KEY", hide_env_values = true, global = true)]
    key: Option<String>,
    /// The data folder of a local `gristmill up`, where its first key is
    #[arg(long, env = "GRISTMILL_DATA_DIR", value_name = "FOLDER", default_value = "./data", global = true)]
    data_dir: PathBuf,
    /// Print what the API answers, as JSON
    #[arg(long, global = true)]
    pub json: bool,
}

/// A caller of the API.
#[derive(Debug, Clone)]
pub struct Remote {
    http: reqwest::Client,
    base: String,
    key: Secret,
}

impl Connection {
    /// A caller of the API.
    ///
    /// # Errors
    /// When no key is given and none is found.
    #[expect(clippy::disallowed_methods, reason = "it goes to the API whose address the user of this command gave")]
    pub fn open(&self) -> Result<Remote, StartError> {
        let http = reqwest::Client::builder().no_proxy().connect_timeout(Duration::from_secs(5)).build();
        let http = http.map_err(|error| StartError::caused("The HTTP client cannot be set up.", error))?;
        Ok(Remote { http, base: self.url.trim_end_matches('/').to_owned(), key: self.key()? })
    }

    fn key(&self) -> Result<Secret, StartError> {
        if let Some(key) = &self.key {
            return Ok(Secret::new(key.trim()));
        }
        let file = self.data_dir.join("api-key");
        match std::fs::read_to_string(&file) {
            Ok(key) => Ok(Secret::new(key.trim())),
            Err(error) if error.kind() == ErrorKind::NotFound => Err(StartError::new(format!(
                "No API key is given, and there is none in {}. Set GRISTMILL_KEY.",
                file.display()
            ))),
            Err(error) => Err(StartError::caused(format!("The API key in {} cannot be read.", file.display()), error)),
        }
    }
}

impl Remote {
    /// The JSON at `path`.
    ///
    /// # Errors
    /// When the API refuses, or does not answer.
    pub async fn get(&self, path: &str) -> Result<Json, StartError> {
        self.send(self.request(Method::GET, path)).await
    }

    /// What `path` answers to `body`.
    ///
    /// # Errors
    /// When the API refuses, or does not answer.
    pub async fn post(&self, path: &str, body: &Json) -> Result<Json, StartError> {
        self.send(self.request(Method::POST, path).json(body)).await
    }

    /// What `path` answers to `PUT` with `body`.
    ///
    /// # Errors
    /// When the API refuses, or does not answer.
    pub async fn put(&self, path: &str, body: &Json) -> Result<Json, StartError> {
        self.send(self.request(Method::PUT, path).json(body)).await
    }

    /// What `path` answers to `POST` without a body.
    ///
    /// # Errors
    /// When the API refuses, or does not answer.
    pub async fn act(&self, path: &str) -> Result<Json, StartError> {
        self.send(self.request(Method::POST, path)).await
    }

    /// Removes what is at `path`.
    ///
    /// # Errors
    /// When the API refuses, or does not answer.
    pub async fn delete(&self, path: &str) -> Result<(), StartError> {
        self.send(self.request(Method::DELETE, path)).await.map(drop)
    }

    /// The job `id`, once it is over.
    ///
    /// # Errors
    /// When the API refuses, or does not answer.
    pub async fn until_over(&self, id: &str) -> Result<Json, StartError> {
        loop {
            let job = self.get(&format!("/v1/jobs/{}", escaped(id))).await?;
            if matches!(job["state"].as_str(), Some("succeeded" | "failed" | "cancelled")) {
                return Ok(job);
            }
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
    }

    /// A stream of server-sent events at `path`, that has begun.
    ///
    /// # Errors
    /// When the API refuses, or does not answer.
    pub async fn follow(&self, path: &str) -> Result<Response, StartError> {
        let request = self.http.request(Method::GET, format!("{}{path}", self.base)).bearer_auth(self.key.reveal());
        let response =
            request.header("Accept", "text/event-stream").send().await.map_err(|error| self.silent(error))?;
        if response.status().is_success() { Ok(response) } else { Err(refused(response).await) }
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", self.base));
        request.timeout(PATIENCE).bearer_auth(self.key.reveal())
    }

    async fn send(&self, request: RequestBuilder) -> Result<Json, StartError> {
        let response = request.send().await.map_err(|error| self.silent(error))?;
        if !response.status().is_success() {
            return Err(refused(response).await);
        }
        let bytes = response.bytes().await.map_err(|error| self.silent(error))?;
        if bytes.is_empty() {
            return Ok(Json::Null);
        }
        serde_json::from_slice(&bytes).map_err(|error| StartError::caused("The API did not answer in JSON.", error))
    }

    fn silent(&self, error: reqwest::Error) -> StartError {
        StartError::caused(format!("The API at {} does not answer.", self.base), error)
    }
}

/// What the API said against it.
async fn refused(response: Response) -> StartError {
    let status = response.status();
    let problem: Json = response.json().await.unwrap_or_default();
    let detail = problem["detail"].as_str().unwrap_or("it does not say why");
    let mut text = format!("{detail} ({status})");
    for error in problem["errors"].as_array().into_iter().flatten() {
        let word = |name: &str| error[name].as_str().unwrap_or_default().to_owned();
        text.push_str(&format!("\n  {}: {}", word("pointer"), word("detail")));
    }
    StartError::new(text)
}

/// A name as it stands in a path: whatever might mean something there is percent-encoded.
pub fn escaped(name: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~');
    let written = |byte: u8| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    name.bytes().map(written).collect()
}

/// Fields of a query or a body, of those that were given.
pub fn given<'n>(fields: impl IntoIterator<Item = (&'n str, Option<String>)>) -> Vec<(&'n str, String)> {
    fields.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
}

/// The same as a query, with its question mark; empty where nothing was given.
pub fn query(fields: &[(&str, String)]) -> String {
    let written: Vec<String> = fields.iter().map(|(name, value)| format!("{name}={}", escaped(value))).collect();
    if written.is_empty() { String::new() } else { format!("?{}", written.join("&")) }
}

#[cfg(test)]
mod tests {
    use super::{escaped, given, query};

    #[test]
    fn names_are_written_so_that_they_mean_nothing_else() {
        assert_eq!(escaped("crm:acme/1 ü"), "crm%3Aacme%2F1%20%C3%BC");
        assert_eq!(query(&given([("a", Some("x&y".to_owned())), ("b", None)])), "?a=x%26y");
        assert_eq!(query(&[]), "");
    }
}

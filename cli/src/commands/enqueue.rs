//! `gristmill enqueue`: hands a job in.

use std::process::ExitCode;

use clap::Args;
use gristmill_process::connect::StartError;
use serde_json::{Value as Json, json};

use crate::{remote::Connection, table::cell};

/// A job to hand in.
#[derive(Debug, Args)]
pub struct Enqueue {
    /// What it does, such as feed.poll
    kind: String,
    /// What the kind is given, a JSON object
    #[arg(long, value_name = "JSON", value_parser = object)]
    args: Option<Json>,
    /// Where it waits, if not where its kind says
    #[arg(long)]
    queue: Option<String>,
    /// 0 (first) to 9
    #[arg(long)]
    priority: Option<u8>,
    /// Seconds from now before which it does not start
    #[arg(long, value_name = "SECONDS")]
    delay: Option<u64>,
    /// Makes it the only one with this key until it is over; an existing one stands for it
    #[arg(long, value_name = "KEY")]
    unique: Option<String>,
    /// A job that has to succeed first; may be given more than once
    #[arg(long, value_name = "JOB")]
    after: Vec<String>,
    /// A label to find it by; may be given more than once
    #[arg(long)]
    tag: Vec<String>,
    /// Wait for its end, and print what it returned
    #[arg(long)]
    wait: bool,
    #[command(flatten)]
    connection: Connection,
}

fn object(text: &str) -> Result<Json, String> {
    match serde_json::from_str(text) {
        Ok(json @ Json::Object(_)) => Ok(json),
        Ok(_) => Err("it is not a JSON object".to_owned()),
        Err(error) => Err(format!("it is not JSON: {error}")),
    }
}

impl Enqueue {
    fn body(&self) -> Json {
        let mut body = json!({ "kind": self.kind, "args": self.args.clone().unwrap_or_else(|| json!({})) });
        let fields = [
            ("queue", self.queue.as_ref().map(|queue| json!(queue))),
            ("priority", self.priority.map(|priority| json!(priority))),
            ("delay_s", self.delay.map(|seconds| json!(seconds))),
            ("unique", self.unique.as_ref().map(|key| json!({ "key": key }))),
            ("after", (!self.after.is_empty()).then(|| json!(self.after))),
            ("tags", (!self.tag.is_empty()).then(|| json!(self.tag))),
        ];
        for (name, value) in fields {
            if let Some(value) = value {
                body[name] = value;
            }
        }
        body
    }
}

/// Hands the job in; with `--wait` the exit code says whether it succeeded.
///
/// # Errors
/// When the API refuses, or does not answer.
pub async fn run(command: Enqueue) -> Result<ExitCode, StartError> {
    let remote = command.connection.open()?;
    let mut job = remote.post("/v1/jobs", &command.body()).await?;
    if command.wait {
        job = remote.until_over(job["id"].as_str().unwrap_or_default()).await?;
    }
    if command.connection.json {
        println!("{job:#}");
    } else if command.wait {
        println!("{}  {}", cell(&job, "id"), cell(&job, "state"));
        let told = if job["state"] == "succeeded" { &job["result"] } else { &job["error"] };
        println!("{told:#}");
    } else {
        println!("{}", cell(&job, "id"));
    }
    let failed = command.wait && job["state"] != "succeeded";
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

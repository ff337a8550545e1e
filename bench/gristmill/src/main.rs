//! Runs one workload on Gristmill and prints one line of JSON:
//! `gristmill-bench [--api PROGRAM] SYSTEM WORKLOAD [--name number]…`
//!
//! SYSTEM is `gristmill-` and how jobs travel: `memory`, `redis`, `apalis-redis`; or `http`, which hands them in over
//! HTTP, through PROGRAM. The stores are named by BENCH_POSTGRES and BENCH_REDIS.

mod http;
mod in_process;
mod place;
mod scale;
// One way of measuring for Gristmill and the Rust peers, which are a package outside this workspace.
#[path = "../../peers/rust/src/workloads.rs"]
mod workloads;

use std::process::ExitCode;

use serde_json::Value as Json;
use workloads::{Result, measure, say, sizes};

#[tokio::main]
async fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match run(&words).await {
        Ok(figures) => {
            say(&figures);
            // Workers run on; nothing of them is of interest any more.
            std::process::exit(0)
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(words: &[String]) -> Result<Json> {
    let (api, words) = match words {
        [option, api, rest @ ..] if option == "--api" => (Some(api.as_str()), rest),
        _ => (None, words),
    };
    let [system, workload, rest @ ..] = words else {
        return Err("gristmill-bench [--api PROGRAM] SYSTEM WORKLOAD [--name number]…".into());
    };
    let sizes = sizes(rest)?;
    match system.strip_prefix("gristmill-") {
        Some("http") => {
            let api = api.ok_or("--api PROGRAM is missing")?;
            measure(&http::Http::start(api).await?, workload, &sizes).await
        }
        Some(delivery) if workload == "scale" => {
            scale::measure(&in_process::InProcess::open(delivery).await?, &sizes).await
        }
        Some(delivery) => measure(&in_process::InProcess::open(delivery).await?, workload, &sizes).await,
        None => Err(format!("there is no system \"{system}\"").into()),
    }
}

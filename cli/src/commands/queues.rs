//! `gristmill queues`: looks at the queues, pauses them and lets them go on.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use gristmill_process::connect::StartError;
use serde_json::{Value as Json, json};

use crate::{
    remote::{Connection, escaped},
    table::{cell, table},
};

/// What to do with queues.
#[derive(Debug, Args)]
pub struct Queues {
    #[command(subcommand)]
    command: Option<Command>,
    /// For everybody together; needs an administrator of the installation
    #[arg(long, global = true)]
    everyone: bool,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Lets nothing more of a queue start
    Pause {
        /// The queue's name
        name: String,
        /// Until when, such as 2026-12-24T18:00:00Z, if not until it is resumed
        #[arg(long, value_name = "TIME")]
        until: Option<String>,
    },
    /// Ends a pause
    Resume {
        /// The queue's name
        name: String,
    },
}

/// Does what was asked for; lists the queues where nothing was.
///
/// # Errors
/// When the API refuses, or does not answer.
pub async fn run(Queues { command, everyone, connection }: Queues) -> Result<ExitCode, StartError> {
    let remote = connection.open()?;
    let shown = match command {
        None => remote.get(if everyone { "/v1/queues?everyone=true" } else { "/v1/queues" }).await?["data"].clone(),
        Some(Command::Pause { name, until }) => {
            let mut body = json!({ "everyone": everyone });
            if let Some(until) = until {
                body["until"] = json!(until);
            }
            json!([remote.post(&format!("/v1/queues/{}:pause", escaped(&name)), &body).await?])
        }
        Some(Command::Resume { name }) => {
            let path = format!("/v1/queues/{}:resume", escaped(&name));
            json!([remote.post(&path, &json!({ "everyone": everyone })).await?])
        }
    };
    if connection.json {
        println!("{shown:#}");
    } else {
        let rows: Vec<Vec<String>> = shown.as_array().into_iter().flatten().map(row).collect();
        print!("{}", table(&HEADINGS, &rows));
    }
    Ok(ExitCode::SUCCESS)
}

const HEADINGS: [&str; 11] =
    ["QUEUE", "QUEUED", "SCHEDULED", "WAITING", "RUNNING", "FAILED/H", "IN/MIN", "OUT/MIN", "OLDEST", "SLOTS", "STATE"];

fn row(queue: &Json) -> Vec<String> {
    let more = if queue["queued_at_least"] == true { "+" } else { "" };
    let seconds = |name: &str| queue[name].as_f64().map_or_else(|| "-".to_owned(), |seconds| format!("{seconds:.0}s"));
    let state = match (queue["paused"] == true, queue["paused_until"].is_null()) {
        (false, _) => "open".to_owned(),
        (true, true) => "paused".to_owned(),
        (true, false) => format!("paused until {}", cell(queue, "paused_until")),
    };
    vec![
        cell(queue, "name"),
        format!("{}{more}", cell(queue, "queued")),
        cell(queue, "scheduled"),
        cell(queue, "waiting"),
        cell(queue, "running"),
        cell(queue, "failed_last_hour"),
        cell(queue, "in_per_minute"),
        cell(queue, "out_per_minute"),
        seconds("oldest_age_s"),
        cell(queue, "slots"),
        state,
    ]
}

//! `gristmill limits`: looks at limits and sets them.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use gristmill_process::connect::StartError;
use serde_json::{Value as Json, json};

use crate::{
    remote::{Connection, escaped},
    table::{cell, table},
};

/// What to do with limits.
#[derive(Debug, Args)]
pub struct Limits {
    #[command(subcommand)]
    command: Option<Command>,
    /// For everybody together; needs an administrator of the installation
    #[arg(long, global = true)]
    everyone: bool,
    #[command(flatten)]
    connection: Connection,
}

/// What is limited.
#[derive(Debug, Args)]
struct What {
    /// queue, kind, key or org
    scope: String,
    /// The queue, kind or concurrency key, or the organization's id
    name: String,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Sets a limit; what is not given is not limited
    Set {
        #[command(flatten)]
        what: What,
        /// Jobs at once
        #[arg(long, value_name = "N")]
        max_running: Option<u32>,
        /// Units per minute
        #[arg(long, value_name = "N")]
        per_minute: Option<u32>,
        /// An organization's share beside others
        #[arg(long, value_name = "N")]
        weight: Option<u32>,
    },
    /// Removes a limit, and its pause with it
    Rm {
        #[command(flatten)]
        what: What,
    },
    /// Lets nothing more of it start
    Pause {
        #[command(flatten)]
        what: What,
        /// Until when, such as 2026-12-24T18:00:00Z, if not until it is resumed
        #[arg(long, value_name = "TIME")]
        until: Option<String>,
    },
    /// Ends a pause
    Resume {
        #[command(flatten)]
        what: What,
    },
}

/// Does what was asked for; lists the limits where nothing was.
///
/// # Errors
/// When the API refuses, or does not answer.
pub async fn run(Limits { command, everyone, connection }: Limits) -> Result<ExitCode, StartError> {
    let remote = connection.open()?;
    let query = if everyone { "?everyone=true" } else { "" };
    let path = |What { scope, name }: What, verb: &str| {
        format!("/v1/limits/{}/{}{verb}{query}", escaped(&scope), escaped(&name))
    };
    let shown = match command {
        None => remote.get("/v1/limits").await?["data"].clone(),
        Some(Command::Set { what, max_running, per_minute, weight }) => {
            let mut body = json!({});
            for (field, value) in [("max_running", max_running), ("per_minute", per_minute), ("weight", weight)] {
                if let Some(value) = value {
                    body[field] = json!(value);
                }
            }
            json!([remote.put(&path(what, ""), &body).await?])
        }
        Some(Command::Rm { what }) => {
            remote.delete(&path(what, "")).await?;
            return Ok(ExitCode::SUCCESS);
        }
        Some(Command::Pause { what, until }) => {
            let body = until.map_or_else(|| json!({}), |until| json!({ "until": until }));
            json!([remote.post(&path(what, ":pause"), &body).await?])
        }
        Some(Command::Resume { what }) => json!([remote.act(&path(what, ":resume")).await?]),
    };
    if connection.json {
        println!("{shown:#}");
    } else {
        let rows: Vec<Vec<String>> = shown.as_array().into_iter().flatten().map(row).collect();
        print!("{}", table(&["SCOPE", "NAME", "WHOSE", "AT ONCE", "PER MINUTE", "WEIGHT", "STATE"], &rows));
    }
    Ok(ExitCode::SUCCESS)
}

fn row(limit: &Json) -> Vec<String> {
    let whose = if limit["everyone"] == true { "everyone" } else { "own" };
    let state = match (limit["paused"] == true, limit["paused_until"].is_null()) {
        (false, _) => "open".to_owned(),
        (true, true) => "paused".to_owned(),
        (true, false) => format!("paused until {}", cell(limit, "paused_until")),
    };
    vec![
        cell(limit, "scope"),
        cell(limit, "name"),
        whose.to_owned(),
        cell(limit, "max_running"),
        cell(limit, "per_minute"),
        cell(limit, "weight"),
        state,
    ]
}

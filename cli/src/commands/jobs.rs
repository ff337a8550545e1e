//! `gristmill jobs`: looks at jobs and steers them.

mod logs;

use std::process::ExitCode;

use clap::{Args, Subcommand, ValueEnum};
use gristmill_process::connect::StartError;
use serde_json::{Map, Value as Json, json};

use crate::{
    remote::{Connection, Remote, escaped, given, query},
    table::{cell, table},
};

/// What to do with jobs.
#[derive(Debug, Args)]
pub struct Jobs {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Lists jobs, newest first
    Ls {
        #[command(flatten)]
        filter: Filter,
        /// At most so many, up to 200
        #[arg(long, default_value_t = 50)]
        limit: u16,
    },
    /// Shows a job, and why it does not run if it waits
    Show {
        /// The job's id
        id: String,
    },
    /// Prints what happened to a job
    Logs {
        /// The job's id
        id: String,
        /// Go on until it is over
        #[arg(short, long)]
        follow: bool,
    },
    /// Calls jobs off
    Cancel {
        /// Their ids
        #[arg(required = true)]
        ids: Vec<String>,
    },
    /// Lets jobs that failed or were cancelled run once more
    Retry {
        /// Their ids
        #[arg(required = true)]
        ids: Vec<String>,
    },
    /// Lets scheduled jobs run now
    Promote {
        /// Their ids
        #[arg(required = true)]
        ids: Vec<String>,
    },
    /// Removes jobs that are over, with their histories
    Rm {
        /// Their ids
        #[arg(required = true)]
        ids: Vec<String>,
    },
    /// Does one thing to every job that the filter fits
    Bulk {
        /// What
        action: Action,
        /// The new priority, 0 (first) to 9, for set-priority
        #[arg(long, required_if_eq("action", "set-priority"))]
        priority: Option<u8>,
        #[command(flatten)]
        filter: Filter,
        /// Only count
        #[arg(long)]
        dry_run: bool,
        /// Wait until it is done
        #[arg(long)]
        wait: bool,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Action {
    Retry,
    Cancel,
    Delete,
    SetPriority,
}

/// Which jobs; what is not given does not narrow.
#[derive(Debug, Args)]
struct Filter {
    /// In this state
    #[arg(long)]
    state: Option<String>,
    /// Of this kind
    #[arg(long)]
    kind: Option<String>,
    /// In this queue
    #[arg(long)]
    queue: Option<String>,
    /// With this tag
    #[arg(long)]
    tag: Option<String>,
    /// Handed in together
    #[arg(long, value_name = "ID")]
    batch: Option<String>,
    /// About the thing with this id
    #[arg(long, value_name = "ID")]
    subject: Option<String>,
    /// That failed with errors of this sort
    #[arg(long, value_name = "FINGERPRINT")]
    error: Option<String>,
    /// With this text in arguments, error or subject
    #[arg(short = 'q', long = "text", value_name = "TEXT")]
    text: Option<String>,
}

impl Filter {
    fn fields(self) -> Vec<(&'static str, String)> {
        given([
            ("state", self.state),
            ("kind", self.kind),
            ("queue", self.queue),
            ("tag", self.tag),
            ("batch_id", self.batch),
            ("subject", self.subject),
            ("error_fingerprint", self.error),
            ("q", self.text),
        ])
    }
}

/// Does what was asked for.
///
/// # Errors
/// When the API refuses, or does not answer.
pub async fn run(Jobs { command, connection }: Jobs) -> Result<ExitCode, StartError> {
    let (remote, json) = (connection.open()?, connection.json);
    match command {
        Command::Ls { filter, limit } => list(&remote, filter, limit, json).await?,
        Command::Show { id } => show(&remote, &id, json).await?,
        Command::Logs { id, follow: false } => logs::print(&remote, &id, json).await?,
        Command::Logs { id, follow: true } => logs::follow(&remote, &id, json).await?,
        Command::Cancel { ids } => each(&remote, &ids, "cancel", json).await?,
        Command::Retry { ids } => each(&remote, &ids, "retry", json).await?,
        Command::Promote { ids } => each(&remote, &ids, "promote", json).await?,
        Command::Rm { ids } => {
            for id in &ids {
                remote.delete(&format!("/v1/jobs/{}", escaped(id))).await?;
            }
        }
        Command::Bulk { action, priority, filter, dry_run, wait } => {
            let body = bulk_body(action, priority, filter, dry_run);
            return bulk(&remote, &body, wait, json).await;
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn list(remote: &Remote, filter: Filter, limit: u16, json: bool) -> Result<(), StartError> {
    let mut fields = filter.fields();
    fields.push(("limit", limit.to_string()));
    let found = remote.get(&format!("/v1/jobs{}", query(&fields))).await?;
    if json {
        println!("{found:#}");
        return Ok(());
    }
    let columns = ["id", "kind", "queue", "state", "attempt", "created_at", "finished_at"];
    let jobs = found["data"].as_array().into_iter().flatten();
    let rows: Vec<Vec<String>> = jobs.map(|job| columns.map(|column| cell(job, column)).to_vec()).collect();
    print!("{}", table(&["JOB", "KIND", "QUEUE", "STATE", "ATTEMPT", "CREATED", "FINISHED"], &rows));
    if !found["next_cursor"].is_null() {
        eprintln!("There are more; narrow the list, or raise --limit.");
    }
    Ok(())
}

async fn show(remote: &Remote, id: &str, json: bool) -> Result<(), StartError> {
    let job = remote.get(&format!("/v1/jobs/{}", escaped(id))).await?;
    if json {
        println!("{job:#}");
        return Ok(());
    }
    let fields = job.as_object().into_iter().flatten();
    let told = fields.filter(|(name, value)| !value.is_null() && **value != json!([]) && *name != "waiting_for");
    for (name, _) in told {
        println!("{name:<16}  {}", cell(&job, name));
    }
    if let Some(waiting) = job["waiting_for"].as_object() {
        let word = |name: &str| waiting.get(name).and_then(Json::as_str).unwrap_or_default();
        println!("\nIt does not run ({}): {}", word("code"), word("detail"));
    }
    Ok(())
}

async fn each(remote: &Remote, ids: &[String], verb: &str, json: bool) -> Result<(), StartError> {
    for id in ids {
        let job = remote.act(&format!("/v1/jobs/{}:{verb}", escaped(id))).await?;
        if json { println!("{job:#}") } else { println!("{}  {}", cell(&job, "id"), cell(&job, "state")) }
    }
    Ok(())
}

fn bulk_body(action: Action, priority: Option<u8>, filter: Filter, dry_run: bool) -> Json {
    let name = match action {
        Action::Retry => "retry",
        Action::Cancel => "cancel",
        Action::Delete => "delete",
        Action::SetPriority => "set_priority",
    };
    let fields: Map<String, Json> =
        filter.fields().into_iter().map(|(name, value)| (name.to_owned(), json!(value))).collect();
    let mut body = json!({ "action": name, "filter": fields, "dry_run": dry_run });
    if let Some(priority) = priority {
        body["priority"] = json!(priority);
    }
    body
}

async fn bulk(remote: &Remote, body: &Json, wait: bool, json: bool) -> Result<ExitCode, StartError> {
    let mut answer = remote.post("/v1/bulk-actions", body).await?;
    let job = answer["id"].as_str().map(str::to_owned);
    if let (Some(job), true) = (&job, wait) {
        answer = remote.until_over(job).await?;
    }
    if json {
        println!("{answer:#}");
    } else if job.is_none() {
        let more = if answer["at_least"] == true { " or more" } else { "" };
        println!("{}{more} would be changed", cell(&answer, "matches"));
    } else if wait {
        let done = &answer["result"];
        println!("{}: {} changed, {} skipped", cell(&answer, "state"), cell(done, "changed"), cell(done, "skipped"));
    } else {
        println!("{}", cell(&answer, "id"));
    }
    let failed = job.is_some() && wait && answer["state"] != "succeeded";
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

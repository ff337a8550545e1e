//! The long run of the faults harness; `bin/faults` builds what it needs.

use std::{process::ExitCode, time::Duration};

use clap::Parser;
use gristmill_tests::faults::{Run, schedule::Climate};

/// Kills, stops, cuts off and restarts an installation while it works, and looks for what was lost or came twice.
#[derive(Debug, Parser)]
#[command(name = "faults", max_term_width = 100)]
struct Asked {
    /// For how long
    #[arg(long, default_value_t = 10.0, value_name = "N")]
    minutes: f64,
    /// What everything is drawn from; without it, from the process' number
    #[arg(long, value_name = "S")]
    seed: Option<u64>,
    /// Jobs per second
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000), value_name = "R")]
    rate: u32,
    /// Workers
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=20), value_name = "W")]
    workers: u16,
    /// The lease of workers, in seconds [default: 10, or 3 in a short run]
    #[arg(long, value_parser = clap::value_parser!(u64).range(3..=3_600), value_name = "S")]
    lease: Option<u64>,
    /// How ids travel between processes (GRISTMILL_DELIVERY)
    #[arg(long, value_name = "NAME")]
    delivery: Option<String>,
    /// The longest stall of a good run, in seconds
    #[arg(long, default_value_t = 10.0, value_name = "S")]
    stall: f64,
    /// Keep the logs of all processes also of a good run
    #[arg(long)]
    keep_logs: bool,
    /// As in `bin/test`: less than a minute, short outages
    #[arg(long, conflicts_with = "minutes")]
    short: bool,
}

fn main() -> ExitCode {
    gristmill_process::run(async { Ok(run(Asked::parse()).await) })
}

async fn run(asked: Asked) -> ExitCode {
    let stall = Duration::from_secs_f64(asked.stall);
    let climate = if asked.short { Climate::short() } else { Climate::long(asked.minutes) };
    let run = Run {
        seed: asked.seed.unwrap_or_else(|| u64::from(std::process::id())),
        climate: Climate {
            workers: usize::from(asked.workers),
            lease: asked.lease.map_or(climate.lease, Duration::from_secs),
            ..climate
        },
        rate: asked.rate,
        settings: asked.delivery.map(|name| ("GRISTMILL_DELIVERY".to_owned(), name)).into_iter().collect(),
        stall,
        keep_logs: asked.keep_logs,
    };
    let report = run.go(|happens| eprintln!("{happens}")).await;
    eprintln!("faults: {report}");
    match serde_json::to_string(&report) {
        Ok(json) => println!("{json}"),
        Err(error) => eprintln!("the report cannot be written as JSON: {error}"),
    }
    if report.is_good(stall) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

//! Log lines: JSON in production, readable ones on a terminal.

use std::io::IsTerminal;

use tracing_subscriber::{EnvFilter, fmt, layer::SubscriberExt, util::SubscriberInitExt};

use crate::config::{LogConfig, LogFormat};

/// What is logged when nothing is said: ours in full, libraries only when something is wrong.
pub const DEFAULT_FILTER: &str = "info,sqlx=warn,sea_orm=warn,aws=warn,hyper=warn,apalis=warn,lopdf=error,hayro=off";

/// Starts logging to standard error for the whole process. Call once, first thing in `main`.
///
/// Does nothing when a subscriber is already set, so that tests may call it freely.
pub fn init(config: &LogConfig) {
    let filter = EnvFilter::try_new(&config.filter).unwrap_or_else(|problem| {
        eprintln!("GRISTMILL_LOG is not a log filter ({problem}); logging at info");
        EnvFilter::new(DEFAULT_FILTER)
    });
    let json = match config.format {
        LogFormat::Json => true,
        LogFormat::Text => false,
        LogFormat::Auto => !std::io::stderr().is_terminal(),
    };
    let registry = tracing_subscriber::registry().with(filter);
    // A subscriber that is already there (a test's) stays.
    let _already_set = if json {
        let layer = fmt::layer().json().flatten_event(true).with_current_span(true).with_span_list(false);
        registry.with(layer.with_writer(std::io::stderr)).try_init()
    } else {
        let ansi = std::io::stderr().is_terminal();
        registry.with(fmt::layer().compact().with_ansi(ansi).with_writer(std::io::stderr)).try_init()
    };
}

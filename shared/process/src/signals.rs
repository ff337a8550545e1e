//! Being asked to stop.

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// A token that is cancelled by the first SIGINT or SIGTERM. A second one ends the process at once.
///
/// # Errors
/// When the operating system will not tell of signals.
pub fn stop_token() -> std::io::Result<CancellationToken> {
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let stop = CancellationToken::new();
    let token = stop.clone();
    tokio::spawn(async move {
        for last in [false, true] {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            if last {
                tracing::warn!("asked to stop twice; stopping at once");
                // 128 + SIGINT, as shells have it.
                std::process::exit(130);
            }
            tracing::info!("asked to stop");
            token.cancel();
        }
    });
    Ok(stop)
}

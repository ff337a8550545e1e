//! Listening: connections, patience with slow clients, and a graceful end.
//!
//! axum's own `serve` sets no limit on how long a client may take to send its headers, so connections are driven here.

use std::{io, time::Duration};

use axum::{Extension, Router, body::Body};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{conn::auto::Builder, graceful::GracefulShutdown},
    service::TowerToHyperService,
};
use tokio::{net::TcpListener, task::JoinSet};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use crate::wait::Stopping;

/// How long a client may take to send a request's head, idle connections included: longer than the 60 s after which
/// common load balancers drop an idle connection themselves, so that it is not us who hang up on a request.
const HEAD: Duration = Duration::from_secs(75);
/// How long requests under way may go on after the server was told to stop.
const GRACE: Duration = Duration::from_secs(10);
/// Pause after the system refused a connection, as when no file descriptor is free.
const REFUSED: Duration = Duration::from_millis(500);

/// Answers requests with `router` until `stop`. Then no connection is accepted any more, long polls and event streams
/// end, and other requests under way have ten seconds.
pub async fn serve(listener: TcpListener, router: Router, stop: CancellationToken) {
    let service = router
        .layer(Extension(Stopping(stop.clone())))
        .into_service::<Body>()
        .map_request(|request: axum::http::Request<hyper::body::Incoming>| request.map(Body::new));
    let mut builder = Builder::new(TokioExecutor::new()).http1_only();
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEAD);
    let graceful = GracefulShutdown::new();
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => accepted,
            // Connections that ended are forgotten.
            Some(_) = connections.join_next() => continue,
        };
        let Some(stream) = usable(accepted).await else { continue };
        let connection = builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(service.clone()));
        let connection = graceful.watch(connection.into_owned());
        connections.spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection broke");
            }
        });
    }
    drop(listener);
    if tokio::time::timeout(GRACE, graceful.shutdown()).await.is_err() {
        tracing::warn!(connections = connections.len(), "requests that did not end in time are cut off");
    }
    connections.shutdown().await;
}

async fn usable<A>(accepted: io::Result<(tokio::net::TcpStream, A)>) -> Option<tokio::net::TcpStream> {
    match accepted {
        Ok((stream, _)) => {
            // Answers are written whole; waiting for more to send only delays them.
            if let Err(error) = stream.set_nodelay(true) {
                tracing::debug!(%error, "a connection was gone before it began");
            }
            Some(stream)
        }
        Err(error) if matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset) => None,
        Err(error) => {
            tracing::error!(%error, "connections cannot be accepted; trying again");
            tokio::time::sleep(REFUSED).await;
            None
        }
    }
}

//! The admin port: `/healthz`, `/readyz`, `/metrics`. Not for the public internet.

use crate::Health;
use crate::telemetry;
use axum::Router;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use prometheus::{Registry, TEXT_FORMAT, TextEncoder};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tracing::error;

/// Serves the admin port until `stop`.
///
/// It outlives the public port, so that an operator sees a program drain.
pub async fn serve(
    listener: TcpListener,
    registry: Registry,
    health: Health,
    stop: CancellationToken,
) {
    serve_with(Router::new(), listener, registry, health, stop).await;
}

/// The same with further pages beside the three.
pub async fn serve_with(
    pages: Router,
    listener: TcpListener,
    registry: Registry,
    health: Health,
    stop: CancellationToken,
) {
    let process = telemetry::process();
    let pages = pages
        // Live: the process answers. It never depends on a dependency, whose outage no restart mends.
        .route("/healthz", get(async || "live\n"))
        .route("/readyz", get(async move || readiness(&health)))
        .route("/metrics", get(async move || metrics(&[registry, process])));
    let serving = axum::serve(listener, pages).with_graceful_shutdown(stop.cancelled_owned());
    if let Err(why) = serving.await {
        error!("the admin port ended: {why}");
    }
}

fn readiness(health: &Health) -> impl IntoResponse + use<> {
    if health.is_ready() {
        (StatusCode::OK, "ready\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "not ready\n")
    }
}

fn metrics(registries: &[Registry]) -> impl IntoResponse + use<> {
    let families: Vec<_> = registries.iter().flat_map(Registry::gather).collect();
    match TextEncoder::new().encode_to_string(&families) {
        Ok(page) => (StatusCode::OK, [(header::CONTENT_TYPE, TEXT_FORMAT)], page),
        Err(why) => {
            let plain = [(header::CONTENT_TYPE, "text/plain")];
            (StatusCode::INTERNAL_SERVER_ERROR, plain, why.to_string())
        }
    }
}

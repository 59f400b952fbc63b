//! The signal to stop.

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::info;

/// A token that is cancelled by the first SIGTERM (Kubernetes) or SIGINT (Ctrl-C).
///
/// # Errors
/// Where the signals cannot be listened for.
pub fn stop_signal() -> std::io::Result<CancellationToken> {
    let (mut terminate, mut interrupt) = (
        signal(SignalKind::terminate())?,
        signal(SignalKind::interrupt())?,
    );
    let stop = CancellationToken::new();
    let cancel = stop.clone();
    tokio::spawn(async move {
        let name = tokio::select! {
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
        };
        info!("{name}: stopping");
        cancel.cancel();
    });
    Ok(stop)
}

/// Cancels `stop` when standard input ends: whoever started us has let go of it, or is gone.
pub fn stop_when_stdin_ends(stop: &CancellationToken) {
    let stop = stop.clone();
    // A thread of its own, which ends with the process: the runtime would wait for one of its own.
    std::thread::spawn(move || {
        // Whatever comes is not for us, and an error is an end too.
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        info!("standard input has ended: stopping");
        stop.cancel();
    });
}

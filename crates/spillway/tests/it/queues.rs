//! Every queue of ours at once: when a fault is over, nothing waits anywhere.

use std::sync::Mutex;
use std::time::{Duration, Instant};
use testkit::{Management, wait_until};

const PATIENCE: Duration = Duration::from_secs(60);
/// The default virtual host, as the management API wants it written.
pub const DEFAULT_VHOST: &str = "%2f";

/// What lies in all queues, in hands included, as the broker last counted. The journal is a record and not
/// a queue.
pub async fn messages(management: &Management, vhost: &str) -> Option<u64> {
    let queues = management.get(&format!("queues/{vhost}")).await.ok()?;
    let counted = queues.as_array()?.iter();
    counted
        .filter(|queue| queue["name"] != "spillway.journal")
        .map(|queue| queue["messages"].as_u64())
        .sum()
}

/// Nothing waits, at every look for longer than the broker's figures are old (it counts twice a second).
pub async fn all_drained(management: &Management, vhost: &str) {
    let since = Mutex::new(None);
    wait_until("all queues are drained", PATIENCE, async || {
        let messages = messages(management, vhost).await;
        let mut since = since.lock().unwrap();
        if messages != Some(0) {
            *since = None;
            return false;
        }
        since.get_or_insert_with(Instant::now).elapsed() > Duration::from_millis(1_500)
    })
    .await;
}

/// Cuts every connection to this virtual host, as an operator would. How many there were.
pub async fn cut_connections(management: &Management, vhost: &str) -> usize {
    let listed = management.get(&format!("vhosts/{vhost}/connections")).await;
    let listed = listed.unwrap();
    let mut cut = 0;
    for connection in listed.as_array().unwrap() {
        let name = connection["name"].as_str().unwrap_or_default();
        let name = name.replace(' ', "%20").replace('>', "%3E");
        // One that has ended since it was listed is not there to be cut.
        let ended = management.delete(&format!("connections/{name}")).await;
        cut += usize::from(ended.is_ok());
    }
    cut
}

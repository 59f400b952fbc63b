//! The spool: kept, given back in order, bounded, and where it may lie.

use crate::harness::*;
use broker::embedded::Standing;
use broker::{Broker, BrokerUrl, Consumer, KeepError, Settings, Spool, StartError};
use bytes::Bytes;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tempfile::TempDir;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

const MANY_BYTES: u64 = 1 << 30;

/// On a disk, wherever the system's temporary folder lies.
fn folder() -> TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

struct Open {
    spool: Spool,
    stop: CancellationToken,
}

fn open(path: &Path, max_bytes: u64) -> Open {
    let stop = CancellationToken::new();
    let spool = Spool::start(path, max_bytes, stop.clone()).unwrap();
    Open { spool, stop }
}

impl Open {
    async fn keep_all(&self, ids: impl IntoIterator<Item = u32>) {
        for id in ids {
            let kept = self.spool.keep(event(&id.to_string(), "default"));
            let _proof = timeout(DEADLINE, kept).await.unwrap().unwrap();
        }
    }

    async fn stop(self) {
        self.stop.cancel();
        timeout(DEADLINE, self.spool.stopped()).await.unwrap();
    }
}

/// The ids of the next ones, as they come.
async fn in_order(consumer: &mut Consumer, count: usize) -> Vec<u32> {
    take(consumer, count).await.iter().map(id).collect()
}

fn refusal(path: &Path) -> String {
    let refused = Spool::start(path, MANY_BYTES, CancellationToken::new());
    let refused = refused.unwrap_err();
    assert!(matches!(refused, StartError::Spool { .. }));
    refused.to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_kept_comes_back_in_order_after_a_restart_and_leaves_with_its_ack() {
    let folder = folder();
    let path = folder.path().join("spool.db");
    let open_once = open(&path, MANY_BYTES);
    open_once.keep_all(1..=50).await;
    open_once.stop().await;
    assert_eq!(Spool::look(&path).unwrap().events, 50);

    let again = open(&path, MANY_BYTES);
    again.keep_all(51..=60).await;
    let mut consumer = again.spool.consumer(8);
    let mut taken = take(&mut consumer, 8).await;
    assert_eq!(
        taken.iter().map(id).collect::<Vec<_>>(),
        (1..=8).collect::<Vec<_>>()
    );
    let rest = taken.split_off(5);
    ack_all(taken);
    assert_eq!(in_order(&mut consumer, 5).await, [9, 10, 11, 12, 13]);
    drop(rest);
    close(consumer).await;
    again.stop().await;
    assert_eq!(Spool::look(&path).unwrap().events, 55);

    let last = open(&path, MANY_BYTES);
    let mut consumer = last.spool.consumer(64);
    assert_eq!(
        in_order(&mut consumer, 55).await,
        (6..=60).collect::<Vec<_>>()
    );
    last.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_kept_at_once_is_all_kept() {
    let folder = folder();
    let path = folder.path().join("spool.db");
    let open = open(&path, MANY_BYTES);
    let keeping: Vec<_> = (0..500)
        .map(|number| {
            let spool = open.spool.clone();
            tokio::spawn(async move { spool.keep(event(&number.to_string(), "default")).await })
        })
        .collect();
    for kept in keeping {
        assert!(kept.await.unwrap().is_ok());
    }
    // Without an orderly stop: what the file holds is what was promised.
    assert_eq!(Spool::look(&path).unwrap().events, 500);
    open.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_spool_refuses_and_takes_again_once_something_has_left() {
    let folder = folder();
    let open = open(&folder.path().join("spool.db"), 1 << 20);
    let large = |id: u32| {
        let mut large = event(&id.to_string(), "default");
        large.body = Bytes::from(vec![b'x'; 100_000]);
        large
    };
    let mut kept = 0;
    let refused = loop {
        match open.spool.keep(large(kept)).await {
            Ok(_proof) => kept += 1,
            Err(why) => break why,
        }
    };
    assert_eq!(refused, KeepError::Full);
    assert!((8..=10).contains(&kept), "{kept} of 100 kB in 1 MiB");
    let full = open.spool.standing().unwrap();
    assert_eq!(full.events, u64::from(kept));
    assert!(full.bytes <= 1 << 20, "{full:?}");

    let mut consumer = open.spool.consumer(2);
    ack_all(take(&mut consumer, 2).await);
    close(consumer).await;
    let Standing { events, bytes } = open.spool.standing().unwrap();
    assert!(events == full.events - 2 && bytes < full.bytes - 190_000);
    let _proof = open.spool.keep(large(kept)).await.unwrap();
    open.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_belongs_to_one_process_at_a_time() {
    let folder = folder();
    let path = folder.path().join("spool.db");
    let first = open(&path, MANY_BYTES);
    assert!(refusal(&path).ends_with("spool.db: another process is using it"));
    first.stop().await;
    open(&path, MANY_BYTES).stop().await;

    let url = BrokerUrl::Embedded(folder.path().join("broker.db"));
    let (stop, settings) = (CancellationToken::new(), Settings::of("one"));
    let start = || Broker::start(&url, &topology(), settings.clone(), stop.clone());
    let first = start().unwrap();
    let refused = start().unwrap_err().to_string();
    assert!(
        refused.ends_with("broker.db: another process is using it"),
        "{refused}"
    );
    stop.cancel();
    timeout(DEADLINE, first.stopped()).await.unwrap();
}

#[test]
#[cfg(target_os = "linux")]
fn a_spool_in_memory_is_refused() {
    let refused = refusal(Path::new("/dev/shm/spillway-spool.db"));
    assert!(refused.contains("tmpfs"), "{refused}");
    assert!(!PathBuf::from("/dev/shm/spillway-spool.db.lock").exists());
}

#[tokio::test]
async fn a_path_that_cannot_be_a_spool_is_refused_with_its_reason() {
    let folder = folder();
    let refused = refusal(&folder.path().join("not/there/spool.db"));
    assert!(refused.contains("its folder cannot be used"), "{refused}");

    let nowhere = folder.path().join("nowhere.db");
    assert!(Spool::look(&nowhere).is_err() && !nowhere.exists());

    let path = folder.path().join("broker.db");
    let stop = CancellationToken::new();
    let url = BrokerUrl::Embedded(path.clone());
    let broker = Broker::start(&url, &topology(), Settings::of("other"), stop.clone()).unwrap();
    let refused = Spool::look(&path).unwrap_err().to_string();
    assert!(refused.contains("it is no spool"), "{refused}");
    stop.cancel();
    broker.stopped().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_spool_that_has_stopped_keeps_nothing() {
    let folder = folder();
    let open = open(&folder.path().join("spool.db"), MANY_BYTES);
    let spool = open.spool.clone();
    open.stop().await;
    let kept = timeout(Duration::from_secs(1), spool.keep(event("1", "default")));
    assert!(matches!(kept.await.unwrap(), Err(KeepError::Failed(_))));
}

//! Reads the admin pages once a second: how deep the queue is, how much has been applied, by how many workers.

use crate::connection::Connection;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;
use url::Url;

/// What the pages said at one moment. Nothing where none of them knows.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Sample {
    /// Seconds since the run began.
    pub at: f64,
    /// Events ready in the pipelines' queues.
    pub ready: Option<f64>,
    /// Events in the hands of workers.
    pub unacked: Option<f64>,
    /// Events applied since the programs started.
    pub applied: Option<f64>,
    /// Workers that are there.
    pub workers: Option<f64>,
    /// Workers that are wanted.
    pub desired_workers: Option<f64>,
    /// Since the oldest event that is not applied was received.
    pub oldest_age_seconds: Option<f64>,
}

/// All of them so far.
#[derive(Clone, Debug, Default)]
pub struct Samples(Arc<Mutex<Vec<Sample>>>);

/// The pages of a run.
#[derive(Clone, Debug)]
pub struct Page {
    address: SocketAddr,
    request: Vec<u8>,
}

/// A page of ours has some 20 kB.
const PAGE_MAX_BYTES: usize = 4 * 1024 * 1024;
/// A page that is late is left out: the next second comes.
const PATIENCE: Duration = Duration::from_millis(900);

impl Sample {
    /// Ready and unacked.
    pub fn backlog(&self) -> Option<f64> {
        self.ready.map(|ready| ready + self.unacked.unwrap_or(0.0))
    }

    /// Puts together what several pages say. Depths are the same thing seen by each of them; events are applied by
    /// each worker for itself.
    fn of(at: f64, pages: &[String]) -> Self {
        let pages: Vec<BTreeMap<&str, f64>> = pages.iter().map(|page| read(page)).collect();
        let most = |name: &str| {
            pages
                .iter()
                .filter_map(|page| page.get(name).copied())
                .reduce(f64::max)
        };
        let all = |name: &str| {
            pages
                .iter()
                .filter_map(|page| page.get(name).copied())
                .reduce(|a, b| a + b)
        };
        let workers = pages
            .iter()
            .filter(|page| page.contains_key("applied"))
            .count();
        Self {
            at,
            ready: most("ready"),
            unacked: most("unacked"),
            applied: all("applied"),
            workers: most("workers").or((workers > 0).then_some(workers as f64)),
            desired_workers: most("desired"),
            oldest_age_seconds: most("oldest"),
        }
    }
}

/// What is asked of a page, summed over its labels.
fn read(page: &str) -> BTreeMap<&'static str, f64> {
    let mut found = BTreeMap::new();
    for line in page.lines().filter(|line| !line.starts_with('#')) {
        let Some((series, value)) = line.rsplit_once(' ') else {
            continue;
        };
        let (name, labels) = series.split_once('{').unwrap_or((series, ""));
        let key = match name {
            "spillway_queue_messages" if is_main_queue(labels) && has(labels, "state", "ready") => {
                "ready"
            }
            "spillway_queue_messages" if has(labels, "state", "unacked") => "unacked",
            "spillway_worker_events_total" if has(labels, "outcome", "applied") => "applied",
            "spillway_workers" => "workers",
            "spillway_desired_workers" => "desired",
            "spillway_queue_oldest_age_seconds" => "oldest",
            _ => continue,
        };
        if let Ok(value) = value.parse::<f64>() {
            *found.entry(key).or_insert(0.0) += value;
        }
    }
    found
}

fn has(labels: &str, name: &str, value: &str) -> bool {
    labels.contains(&format!("{name}=\"{value}\""))
}

/// `spillway.payments`, and not its retry queues, its dead ones, or the journal.
fn is_main_queue(labels: &str) -> bool {
    let queue = labels
        .split("queue=\"")
        .nth(1)
        .and_then(|rest| rest.split('"').next());
    let name = queue.and_then(|queue| queue.strip_prefix("spillway."));
    name.is_some_and(|name| !name.contains('.') && !["journal", "unrouted"].contains(&name))
}

impl Samples {
    /// The last one.
    pub fn latest(&self) -> Option<Sample> {
        self.lock().last().copied()
    }

    /// All of them.
    pub fn take(&self) -> Vec<Sample> {
        std::mem::take(&mut *self.lock())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Sample>> {
        // A sample is pushed whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Page {
    /// `http://host:port`, with or without `/metrics`.
    ///
    /// # Errors
    /// Where it is not such a URL, or the host has no address.
    pub fn at(url: &Url) -> anyhow::Result<Self> {
        let (address, host) = crate::door::address(url)?;
        let path = match url.path() {
            "" | "/" => "/metrics",
            path => path,
        };
        let request = format!("GET {path} HTTP/1.1\r\nhost: {host}\r\n\r\n");
        Ok(Self {
            address,
            request: request.into_bytes(),
        })
    }
}

/// Looks at the pages once a second, until told to stop. `clock` is when the run began.
pub async fn watch(pages: Vec<Page>, clock: Instant, samples: Samples, stop: CancellationToken) {
    if pages.is_empty() {
        return;
    }
    let mut connections: Vec<Connection> = pages
        .iter()
        .map(|page| Connection::new(page.address, PAGE_MAX_BYTES))
        .collect();
    let mut second = interval(Duration::from_secs(1));
    second.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = second.tick() => {}
        }
        let at = clock.elapsed().as_secs_f64();
        let mut texts = Vec::new();
        for (connection, page) in connections.iter_mut().zip(&pages) {
            texts.extend(text(connection, page).await);
        }
        samples.lock().push(Sample::of(at, &texts));
    }
}

/// What a page says; nothing where it is away.
async fn text(connection: &mut Connection, page: &Page) -> Option<String> {
    let answer = timeout(PATIENCE, connection.exchange(&page.request))
        .await
        .ok()?
        .ok()?;
    let text = std::str::from_utf8(connection.body(answer)).ok()?;
    (answer.status == 200).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONTROL: &str = r#"# HELP spillway_queue_messages Events in a queue.
spillway_queue_messages{queue="spillway.payments",state="ready"} 120
spillway_queue_messages{queue="spillway.payments",state="unacked"} 30
spillway_queue_messages{queue="spillway.payments.retry.1s",state="ready"} 7
spillway_queue_messages{queue="spillway.journal",state="ready"} 9000
spillway_workers{pipeline="payments"} 2
spillway_desired_workers{pipeline="payments"} 3
spillway_queue_oldest_age_seconds{pipeline="payments"} 1.5
"#;

    fn worker(applied: u64) -> String {
        format!(
            "spillway_worker_events_total{{outcome=\"applied\",pipeline=\"payments\"}} {applied}\n\
             spillway_worker_events_total{{outcome=\"dead\",pipeline=\"payments\"}} 5\n"
        )
    }

    #[test]
    fn what_several_pages_say_is_put_together() {
        let pages = [CONTROL.to_owned(), worker(100), worker(20)];
        let sample = Sample::of(3.0, &pages);
        assert_eq!(
            sample,
            Sample {
                at: 3.0,
                ready: Some(120.0),
                unacked: Some(30.0),
                applied: Some(120.0),
                workers: Some(2.0),
                desired_workers: Some(3.0),
                oldest_age_seconds: Some(1.5),
            }
        );
        assert_eq!(sample.backlog(), Some(150.0));
    }

    #[test]
    fn what_nobody_says_is_nothing_and_not_zero() {
        assert_eq!(
            Sample::of(1.0, &[]),
            Sample {
                at: 1.0,
                ..Sample::default()
            }
        );
        let alone = Sample::of(1.0, &[worker(4)]);
        assert_eq!(
            (alone.ready, alone.applied, alone.workers),
            (None, Some(4.0), Some(1.0))
        );
    }
}

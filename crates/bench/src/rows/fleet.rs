//! 100 → 5,000 → 100 a second, and workers that apply 400 a second each, as many as the policy wants: every ack under a
//! second, nothing lost while the fleet grows or shrinks, and the page of a real Prometheus that fires and clears.

use super::{books_agree, figure, millis, seen};
use crate::lab::{Lab, Node};
use crate::load::{load, window};
use crate::results::Row;
use anyhow::{Context, Result};
use loadtest::Outcome;
use plot::Figure;
use std::fs;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use testkit::{Prometheus, free_port, wait_within};

const WORKERS_MAX: f64 = 8.0;
const ALERT: &str = "QueueDepthHigh";
const RULES: &str = "k8s/components/monitoring/rules/spillway.yaml";
/// Where `docs/scaling.md` shows it.
const PICTURE: &str = "docs/scaling/fleet.svg";
/// A fleet shrinks by one worker a `cool_down`, once it has been calm for a minute.
const SHRINKING: Duration = Duration::from_secs(300);
/// An alert clears with the next look at its rule; Prometheus looks once a second here.
const CLEARING: Duration = Duration::from_secs(30);

pub async fn measure(lab: &Lab) -> Result<Row> {
    let corner = lab.corner(true).await?;
    let folder = tempfile::tempdir()?;
    let admin = free_port();
    let program = corner
        .program("spillway")
        .args(["fleet", "--max", &WORKERS_MAX.to_string()])
        .args(["--admin-listen", &format!("127.0.0.1:{admin}")])
        .arg("--targets")
        .arg(folder.path().join("targets.json"))
        .env("SPILLWAY_WORKER_MAX_RATE", "400");
    let fleet = Node::start(&program, 0, admin).await?;
    let ingest = corner.ingest().await?;
    let page = |node: &Node| vec![node.admin.trim_start_matches("http://").to_owned()];
    let jobs = [
        ("spillway-ingest", page(&ingest)),
        ("spillway-control", page(&fleet)),
    ];
    let rules = fs::canonicalize(RULES).context("run it where the repository is")?;
    let prometheus = Prometheus::start(&jobs, &rules).await?;
    let alert = Arc::new(Alert::default());
    let watching = tokio::spawn(watch(Arc::new(prometheus), alert.clone()));

    let spike = [
        "--metrics",
        &ingest.admin,
        "--metrics",
        &fleet.admin,
        "--profile",
        "spike",
        "--rate",
        "5000",
        "--base-rate",
        "100",
        "--calm",
        lab.choose("20s", "2s"),
        "--duration",
        lab.choose("60s", "3s"),
    ];
    let tester = corner.program("spillway-loadtest");
    let outcome = load(tester, &ingest.url, &spike).await?;
    let cleared = wait_within(CLEARING, async || !alert.is_firing());
    let cleared = cleared.await.is_some() && alert.fired_at().is_some();
    let shrunk = wait_within(SHRINKING, async || {
        let workers = fleet.metric("spillway_workers", "payments").await;
        workers.is_ok_and(|workers| workers <= 1.0)
    });
    let shrunk = shrunk.await.is_some();
    watching.abort();
    ingest.stop().await?;
    fleet.stop().await?;

    if !lab.quick {
        fs::write(PICTURE, picture(&outcome, &alert).to_svg())?;
    }
    let peak = |value: fn(&loadtest::Row) -> Option<f64>| {
        outcome
            .timeline
            .iter()
            .filter_map(value)
            .fold(0.0, f64::max)
    };
    let (workers, longest) = (peak(|row| row.workers), outcome.ack_seconds.max);
    let mut figures = seen(&outcome);
    figures.extend([
        figure("deepest queue", format!("{:.0}", peak(|row| row.ready))),
        figure("most workers", format!("{workers:.0}")),
        figure("one worker again at the end", shrunk.to_string()),
        figure(
            "oldest event",
            format!("{:.0} s", peak(|row| row.oldest_age_seconds)),
        ),
    ]);
    let (from, _) = window(&outcome);
    for (what, at) in [("fired", alert.fired_at()), ("cleared", alert.cleared_at())] {
        let at = at.map_or("never".to_owned(), |at| format!("after {:.0} s", at - from));
        figures.push(figure(&format!("{ALERT} {what}"), at));
    }
    let grown = workers >= WORKERS_MAX;
    Ok(Row {
        asked: format!(
            "every ack < 1 s, lost 0, doubled 0, the fleet grows and shrinks, {ALERT} fires and clears"
        ),
        reached: format!(
            "longest ack {}, {workers:.0} workers, {} of {ALERT}",
            millis(longest),
            if cleared { "both" } else { "not both" }
        ),
        held: longest < 1.0 && books_agree(&outcome) && grown && shrunk && cleared,
        figures,
    })
}

/// When it fired and cleared, in seconds since 1970.
#[derive(Debug, Default)]
struct Alert(Mutex<(Option<f64>, Option<f64>)>);

impl Alert {
    fn fired_at(&self) -> Option<f64> {
        self.locked().0
    }

    fn cleared_at(&self) -> Option<f64> {
        self.locked().1
    }

    fn is_firing(&self) -> bool {
        matches!(*self.locked(), (Some(_), None))
    }

    fn is(&self, firing: bool, at: f64) {
        let mut times = self.locked();
        match *times {
            (None, _) if firing => times.0 = Some(at),
            (Some(_), None) if !firing => times.1 = Some(at),
            _ => {}
        }
    }

    fn locked(&self) -> std::sync::MutexGuard<'_, (Option<f64>, Option<f64>)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Asks once a second, as a page on duty would be told.
async fn watch(prometheus: Arc<Prometheus>, alert: Arc<Alert>) {
    let firing = format!("ALERTS{{alertname=\"{ALERT}\",alertstate=\"firing\"}}");
    let mut second = tokio::time::interval(Duration::from_secs(1));
    loop {
        second.tick().await;
        if let Ok(series) = prometheus.query(&firing).await {
            let now = SystemTime::now().duration_since(UNIX_EPOCH);
            alert.is(!series.is_empty(), now.unwrap_or_default().as_secs_f64());
        }
    }
}

fn picture(outcome: &Outcome, alert: &Alert) -> Figure {
    let (from, _) = window(outcome);
    let mut picture = loadtest::figure(outcome);
    for (at, what) in [
        (alert.fired_at(), "page fires"),
        (alert.cleared_at(), "page clears"),
    ] {
        if let Some(at) = at {
            picture = picture.mark(at - from, what);
        }
    }
    picture
}

//! `spillway serve`, one process, `synchronous=FULL`: at least 5,000 a second accepted and applied, ack p99 under
//! 100 ms.

use super::{books_agree, cost, millis, per_second, seen};
use crate::lab::{Lab, Node, SECRET};
use crate::load::{accepted, load, window};
use crate::meter::Meter;
use crate::results::Row;
use anyhow::Result;
use testkit::{Program, free_port};

const RATE_LEAST: f64 = 5_000.0;
/// Some more, so that what is accepted up to the last answer is no less.
const OFFERED: &str = "5100";

pub async fn measure(lab: &Lab) -> Result<Row> {
    let folder = tempfile::tempdir()?;
    let data_dir = folder.path().to_string_lossy().into_owned();
    let (public, admin) = (free_port(), free_port());
    let program = Program::new("spillway")
        .args([
            "serve",
            "--listen",
            &format!("127.0.0.1:{public}"),
            "--admin-listen",
            &format!("127.0.0.1:{admin}"),
        ])
        .args(["--data-dir", &data_dir])
        .env("WEBHOOK_SECRET", SECRET)
        .env("RUST_LOG", "warn");
    let node = Node::start(&program, public, admin).await?;
    let meter = Meter::start(vec![("serve", node.pid())]);
    let length = lab.choose("60s", "3s");
    let arguments = [
        "--rate",
        OFFERED,
        "--duration",
        length,
        "--data-dir",
        &data_dir,
        "--metrics",
        &node.admin,
    ];
    let outcome = load(Program::new("spillway-loadtest"), &node.url, &arguments).await?;
    let readings = meter.finish();
    node.stop().await?;
    let mut figures = seen(&outcome);
    let cpu = readings.cpu_seconds(window(&outcome));
    figures.extend(cost(&cpu, outcome.run.generator_cpu_seconds, accepted(&outcome)).0);
    let (rate, p99) = (
        outcome.requests.accepted_per_second,
        outcome.ack_seconds.p99,
    );
    let drained = outcome
        .audit
        .as_ref()
        .map_or(f64::NAN, |found| found.drained_seconds);
    Ok(Row {
        asked: "5,000/s accepted and applied, ack p99 < 100 ms".to_owned(),
        reached: format!(
            "{}, ack p99 {}, drained in {}",
            per_second(rate),
            millis(p99),
            millis(drained)
        ),
        held: rate >= RATE_LEAST && p99 < 0.1 && drained < 2.0 && books_agree(&outcome),
        figures,
    })
}

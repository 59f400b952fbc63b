//! Who is measured in turn: our door with the journal and without, and the yardstick.

use crate::lab::{Corner, Lab, Node, SECRET};
use crate::load::{accepted, load, window};
use crate::meter::Meter;
use anyhow::Result;
use loadtest::Outcome;
use serde_json::json;
use std::time::Duration;
use testkit::{Program, Running, free_port, wait_within};
use tokio::net::TcpStream;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Contender {
    Ours,
    OursWithJournal,
    /// Straight to one queue.
    Yardstick,
    /// Through the exchanges of our topology.
    YardstickRouted,
}

/// What one round of one of them came to.
#[derive(Clone, Debug)]
pub struct Round {
    pub outcome: Outcome,
    /// Microseconds of processor for each accepted event.
    pub program_micros: f64,
    pub broker_micros: f64,
    pub generator_micros: f64,
}

/// A door that is open.
enum Standing {
    Ours(Node),
    Yardstick(Running),
}

impl Contender {
    pub fn name(self) -> &'static str {
        match self {
            Self::Ours => "spillway-ingest, journal off",
            Self::OursWithJournal => "spillway-ingest, journal on",
            Self::Yardstick => "yardstick",
            Self::YardstickRouted => "yardstick, through our exchanges",
        }
    }

    /// A fresh door before fresh queues, under this load.
    pub async fn round(self, lab: &Lab, arguments: &[&str]) -> Result<Round> {
        let corner = lab.corner(self == Self::OursWithJournal).await?;
        let (standing, url) = self.open(lab, &corner).await?;
        let mut parts = lab.servers();
        parts.push(("program", standing.pid()));
        let meter = Meter::start(parts);
        let no_audit = ["--no-audit", "--connections", "256"];
        let arguments = [&no_audit[..], arguments].concat();
        let outcome = load(Program::new("spillway-loadtest"), &url, &arguments).await?;
        let cpu = meter.finish().cpu_seconds(window(&outcome));
        let events = accepted(&outcome);
        let micros = |seconds: f64| seconds * 1e6 / events;
        Ok(Round {
            program_micros: micros(cpu.get("program").copied().unwrap_or_default()),
            broker_micros: micros(cpu.get("broker").copied().unwrap_or_default()),
            generator_micros: micros(outcome.run.generator_cpu_seconds.unwrap_or_default()),
            outcome,
        })
    }

    async fn open(self, lab: &Lab, corner: &Corner) -> Result<(Standing, String)> {
        match self {
            Self::Ours | Self::OursWithJournal => {
                let node = corner.ingest().await?;
                let url = node.url.clone();
                Ok((Standing::Ours(node), url))
            }
            Self::Yardstick => {
                let quorum = json!({ "durable": true, "arguments": { "x-queue-type": "quorum" } });
                let path = format!("queues/{}/{QUEUE}", corner.vhost.name());
                corner.vhost.management().put(&path, &quorum).await?;
                yardstick(lab, corner, "", QUEUE).await
            }
            Self::YardstickRouted => {
                // Ours declares them.
                corner.ingest().await?.stop().await?;
                yardstick(lab, corner, "spillway.events", "default").await
            }
        }
    }
}

const QUEUE: &str = "yardstick";

async fn yardstick(
    lab: &Lab,
    corner: &Corner,
    exchange: &str,
    key: &str,
) -> Result<(Standing, String)> {
    let port = free_port();
    let program = match &lab.ceiling {
        Some(path) => Program::at(path),
        None => Program::new("yardstick-door"),
    };
    let running = program
        .env("AMQP_URL", corner.vhost.url())
        .env("EXCHANGE", exchange)
        .env("QUEUE", key)
        .env("SECRET", SECRET)
        .env("PORT", port.to_string())
        .spawn()?;
    let listens = wait_within(Duration::from_secs(30), async || {
        TcpStream::connect(("127.0.0.1", port)).await.is_ok()
    });
    anyhow::ensure!(
        listens.await.is_some(),
        "the yardstick does not listen: {}",
        running.output()
    );
    Ok((
        Standing::Yardstick(running),
        format!("http://127.0.0.1:{port}/hook"),
    ))
}

impl Standing {
    fn pid(&self) -> u32 {
        match self {
            Self::Ours(node) => node.pid(),
            Self::Yardstick(running) => running.pid(),
        }
    }
}

/// The rounds of each contender, in turn.
pub async fn in_turn(
    lab: &Lab,
    contenders: &[Contender],
    arguments: &[&str],
) -> Result<Vec<Vec<Round>>> {
    let mut rounds = vec![Vec::new(); contenders.len()];
    for number in 0..lab.choose(5, 1) {
        for (contender, rounds) in contenders.iter().zip(&mut rounds) {
            let round = contender.round(lab, arguments).await?;
            println!(
                "  round {}: {}: {:.0}/s, ack p99 {:.1} ms, {:.0} µs",
                number + 1,
                contender.name(),
                round.outcome.requests.accepted_per_second,
                round.outcome.ack_seconds.p99 * 1e3,
                round.program_micros
            );
            rounds.push(round);
        }
    }
    Ok(rounds)
}

/// The middle one of what the rounds say.
pub fn median<R>(rounds: &[R], of: impl Fn(&R) -> f64) -> f64 {
    let mut values: Vec<f64> = rounds.iter().map(of).collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

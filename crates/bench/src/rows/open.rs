//! The door alone, open loop at 5,000 a second: p99 at most 1.25 × the yardstick's or 40 ms, every ack under a second.

use super::{Figures, figure, millis};
use crate::contender::{Contender, Round, in_turn, median};
use crate::lab::Lab;
use crate::results::Row;
use anyhow::Result;

const CONTENDERS: [Contender; 2] = [Contender::OursWithJournal, Contender::Yardstick];
const P99_MOST: f64 = 0.040;
const TIMES_MOST: f64 = 1.25;

pub async fn measure(lab: &Lab) -> Result<Row> {
    let length = lab.choose("20s", "3s");
    let rounds = in_turn(lab, &CONTENDERS, &["--rate", "5000", "--duration", length]).await?;
    let [ours, yardstick] = rounds.as_slice() else {
        anyhow::bail!("two were measured");
    };
    let p99 = |rounds: &[Round]| median(rounds, |round| round.outcome.ack_seconds.p99);
    let max = ours
        .iter()
        .map(|round| round.outcome.ack_seconds.max)
        .fold(0.0, f64::max);
    let mut figures = Figures::new();
    for (contender, rounds) in CONTENDERS.iter().zip(&rounds) {
        let each = rounds
            .iter()
            .map(|round| millis(round.outcome.ack_seconds.p99));
        let each: Vec<String> = each.collect();
        figures.push(figure(
            &format!("{}: ack p99 of each round", contender.name()),
            each.join(", "),
        ));
        let worst = rounds
            .iter()
            .map(|round| round.outcome.ack_seconds.max)
            .fold(0.0, f64::max);
        figures.push(figure(
            &format!("{}: longest ack", contender.name()),
            millis(worst),
        ));
        let p50 = median(rounds, |round| round.outcome.ack_seconds.p50);
        figures.push(figure(
            &format!("{}: ack p50", contender.name()),
            millis(p50),
        ));
        figures.push(figure(
            &format!("{}: processor an event", contender.name()),
            format!(
                "program {:.0} µs, broker {:.0} µs, generator {:.0} µs",
                median(rounds, |round| round.program_micros),
                median(rounds, |round| round.broker_micros),
                median(rounds, |round| round.generator_micros)
            ),
        ));
    }
    let most = (p99(yardstick) * TIMES_MOST).max(P99_MOST);
    Ok(Row {
        asked: format!("ack p99 at most {TIMES_MOST} × the yardstick's or 40 ms, every ack < 1 s"),
        reached: format!(
            "p99 {} (yardstick {}), max {}",
            millis(p99(ours)),
            millis(p99(yardstick)),
            millis(max)
        ),
        held: p99(ours) <= most && max < 1.0,
        figures,
    })
}

//! The door alone, closed loop, 256 connections: at least 1.0 × the yardstick's rate at 1.2 × its processor time.

use super::{Figures, figure, per_second};
use crate::contender::{Contender, Round, in_turn, median};
use crate::lab::Lab;
use crate::results::Row;
use anyhow::Result;

const CONTENDERS: [Contender; 4] = [
    Contender::Ours,
    Contender::Yardstick,
    Contender::YardstickRouted,
    Contender::OursWithJournal,
];
const RATE_LEAST: f64 = 1.0;
const MICROS_MOST: f64 = 1.2;

pub async fn measure(lab: &Lab) -> Result<Row> {
    let length = lab.choose("10s", "2s");
    let rounds = in_turn(lab, &CONTENDERS, &["--closed", "--duration", length]).await?;
    let [ours, yardstick, routed, with_journal] = rounds.as_slice() else {
        anyhow::bail!("four were measured");
    };
    let rate =
        |rounds: &[Round]| median(rounds, |round| round.outcome.requests.accepted_per_second);
    let micros = |rounds: &[Round]| median(rounds, |round| round.program_micros);
    let (times, cost) = (
        rate(ours) / rate(yardstick),
        micros(ours) / micros(yardstick),
    );
    let mut figures = Figures::new();
    for (contender, rounds) in CONTENDERS.iter().zip(&rounds) {
        figures.push(figure(
            &format!("{}: rate", contender.name()),
            per_second(rate(rounds)),
        ));
        figures.push(figure(
            &format!("{}: processor an event", contender.name()),
            format!(
                "program {:.0} µs, broker {:.0} µs, generator {:.0} µs",
                micros(rounds),
                median(rounds, |round| round.broker_micros),
                median(rounds, |round| round.generator_micros)
            ),
        ));
    }
    figures.push(figure(
        "what the exchanges alone leave of the yardstick's rate",
        format!("{:.2} ×", rate(routed) / rate(yardstick)),
    ));
    figures.push(figure(
        "ours beside the yardstick through our exchanges",
        format!("{:.2} ×", rate(ours) / rate(routed)),
    ));
    figures.push(figure(
        "with the journal on",
        format!(
            "{:.2} × the yardstick's rate",
            rate(with_journal) / rate(yardstick)
        ),
    ));
    Ok(Row {
        asked: format!(
            "{RATE_LEAST} × the yardstick's rate, {MICROS_MOST} × its processor time an event"
        ),
        reached: format!("{times:.2} × ({}), {cost:.2} ×", per_second(rate(ours))),
        held: times >= RATE_LEAST && cost <= MICROS_MOST,
        figures,
    })
}

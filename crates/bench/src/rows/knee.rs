//! Up in steps, everything on this machine and one worker, until a step does not hold: the knee, and where the
//! processor goes there.

use super::end_to_end::whole;
use super::{Figures, books_agree, cost, figure, per_second};
use crate::lab::Lab;
use crate::load::window;
use crate::results::Row;
use anyhow::Result;
use loadtest::Step;

const STEPS: usize = 24;
const HIGHEST: &str = "12000";

pub async fn measure(lab: &Lab) -> Result<Row> {
    let seconds = lab.choose(10.0, 1.0);
    let (steps, length) = (STEPS.to_string(), format!("{}s", seconds * STEPS as f64));
    let ramp = [
        "--profile",
        "ramp",
        "--rate",
        HIGHEST,
        "--steps",
        &steps,
        "--duration",
        &length,
    ];
    let whole = whole(lab, &ramp).await?;
    let outcome = &whole.outcome;
    let mut figures: Figures = outcome.steps.iter().map(step).collect();
    let knee = outcome
        .knee
        .as_ref()
        .map_or(0.0, |step| step.offered_per_second);
    if let Some(place) = outcome
        .steps
        .iter()
        .position(|step| Some(step) == outcome.knee.as_ref())
    {
        let (began, _) = window(outcome);
        let from = began + place as f64 * seconds;
        let step = (from, from + seconds);
        let events = outcome.steps[place].accepted_per_second * seconds;
        // The generator's own is that of the whole run, a share for each event.
        let generator = outcome
            .run
            .generator_cpu_seconds
            .map(|took| took * events / outcome.requests.sent as f64);
        let (parts, _) = cost(&whole.readings.cpu_seconds(step), generator, events);
        figures.extend(parts);
    }
    let drained = outcome
        .audit
        .as_ref()
        .map_or(f64::NAN, |found| found.drained_seconds);
    figures.push(figure(
        "drained after the end in",
        format!("{drained:.1} s"),
    ));
    Ok(Row {
        asked: "as high as it goes".to_owned(),
        reached: per_second(knee),
        held: knee > 0.0 && books_agree(outcome),
        figures,
    })
}

fn step(step: &Step) -> (String, String) {
    let said = format!(
        "{} accepted, ack p99 {:.0} ms{}",
        per_second(step.accepted_per_second),
        step.ack_p99_seconds * 1e3,
        step.broken
            .as_ref()
            .map(|why| format!(": {why}"))
            .unwrap_or_default()
    );
    figure(&format!("at {}", per_second(step.offered_per_second)), said)
}

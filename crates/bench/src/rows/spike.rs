//! 100 → 5,000 → 100 a second, one worker: every ack under a second, drained within ten seconds after it ends.

use super::end_to_end::whole;
use super::{books_agree, millis, seen};
use crate::lab::Lab;
use crate::results::Row;
use anyhow::Result;

pub async fn measure(lab: &Lab) -> Result<Row> {
    let length = lab.choose("60s", "3s");
    let spike = [
        "--profile",
        "spike",
        "--rate",
        "5000",
        "--base-rate",
        "100",
        "--calm",
        "10s",
        "--duration",
        length,
    ];
    let whole = whole(lab, &spike).await?;
    let outcome = &whole.outcome;
    let max = outcome.ack_seconds.max;
    // Ten seconds of calm follow the spike: whatever is not drained at their end was not in time.
    let drained = outcome
        .audit
        .as_ref()
        .map_or(f64::NAN, |found| found.drained_seconds);
    Ok(Row {
        asked: "every ack < 1 s, drained within 10 s after it ends".to_owned(),
        reached: format!(
            "longest ack {}, drained {} after the calm that follows it",
            millis(max),
            millis(drained)
        ),
        held: max < 1.0 && drained < 1.0 && books_agree(outcome),
        figures: seen(outcome),
    })
}

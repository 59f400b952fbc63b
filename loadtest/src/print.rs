//! What a run says to a person.

use crate::outcome::{Outcome, Quantiles};
use plot::Unit;
use std::fmt::{self, Write};

impl fmt::Display for Outcome {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for verdict in &self.verdicts {
            let word = if verdict.kept { "ok    " } else { "BROKEN" };
            let (value, rule) = (verdict.value_in_words(), verdict.rule());
            writeln!(out, "{word}  {:<18} {value:>10}   {rule}", verdict.name)?;
        }
        out.write_char('\n')?;
        for [what, value] in self.totals() {
            writeln!(out, "{what:<18} {value}")?;
        }
        Ok(())
    }
}

impl Outcome {
    /// What was counted, as rows of a table.
    pub(crate) fn totals(&self) -> Vec<[String; 2]> {
        let mut rows = self.about_requests();
        rows.push(row("ack", quantiles(&self.ack_seconds)));
        rows.push(row("sent late by", quantiles(&self.lag_seconds)));
        rows.extend(self.about_the_ledger());
        rows.extend(self.steps.iter().map(|step| {
            let said = format!(
                "{} accepted, ack p50 {}, p99 {}{}",
                Unit::PerSecond.format(step.accepted_per_second),
                Unit::Seconds.format(step.ack_p50_seconds),
                Unit::Seconds.format(step.ack_p99_seconds),
                step.broken
                    .as_ref()
                    .map(|why| format!(": {why}"))
                    .unwrap_or_default()
            );
            row(
                &format!("at {}", Unit::PerSecond.format(step.offered_per_second)),
                said,
            )
        }));
        if let Some(knee) = &self.knee {
            rows.push(row("knee", Unit::PerSecond.format(knee.offered_per_second)));
        }
        rows
    }

    fn about_requests(&self) -> Vec<[String; 2]> {
        let requests = &self.requests;
        let took = Unit::Seconds.format(self.run.took_seconds);
        let mut rows = vec![
            row("offered", format!("{} in {took}", requests.offered)),
            row(
                "accepted",
                format!(
                    "{} requests, {} events, {}",
                    requests.accepted + requests.spooled,
                    requests.events_accepted,
                    Unit::PerSecond.format(requests.accepted_per_second)
                ),
            ),
        ];
        let refused = requests
            .refused
            .iter()
            .map(|(status, count)| (format!("answered {status}"), *count));
        let others = [
            ("of them spooled", requests.spooled),
            ("copies", requests.copies),
            ("forged, refused", requests.repelled),
            ("forged, accepted", requests.let_in),
            ("unanswered", requests.unanswered),
            ("unsent", requests.unsent),
        ];
        let others = others
            .into_iter()
            .map(|(what, count)| (what.to_owned(), count))
            .chain(refused);
        rows.extend(
            others
                .filter(|(_, count)| *count > 0)
                .map(|(what, count)| row(&what, count.to_string())),
        );
        rows.extend(
            requests
                .first_failure
                .iter()
                .map(|why| row("the first was", why.clone())),
        );
        rows
    }

    fn about_the_ledger(&self) -> Vec<[String; 2]> {
        let Some(found) = &self.audit else {
            return vec![row("ledger", "not asked".to_owned())];
        };
        let mut rows = vec![
            row("applied", format!("{} events", found.applied)),
            row("received → applied", quantiles(&found.age_seconds)),
            row("drained after", Unit::Seconds.format(found.drained_seconds)),
        ];
        let counts = [
            ("dead letters", found.dead, "accepted events"),
            ("  no poison", found.condemned, "of them"),
            (
                "recovered",
                found.recovered,
                "applied, though their sender was told nothing or no",
            ),
        ];
        let counts = counts.into_iter().filter(|(_, count, _)| *count > 0);
        rows.extend(counts.map(|(what, count, of)| row(what, format!("{count} {of}"))));
        let lists = [
            ("lost", &found.lost),
            ("doubled", &found.doubled),
            ("unexpected", &found.unexpected),
            ("crooked orders", &found.crooked_orders),
        ];
        let lists = lists.into_iter().filter(|(_, list)| list.count > 0);
        rows.extend(
            lists.map(|(what, list)| {
                row(what, format!("{}: {}", list.count, list.first.join(", ")))
            }),
        );
        rows
    }
}

fn row(what: &str, value: String) -> [String; 2] {
    [what.to_owned(), value]
}

fn quantiles(of: &Quantiles) -> String {
    let text = |seconds| Unit::Seconds.format(seconds);
    format!(
        "p50 {}, p90 {}, p99 {}, p99.9 {}, max {}",
        text(of.p50),
        text(of.p90),
        text(of.p99),
        text(of.p999),
        text(of.max)
    )
}

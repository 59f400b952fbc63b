//! `spillway doctor`: asks the ledger what an engineer would, and says which known cause the answers fit.
//! The causes, and the same questions in SQL: docs/duplicates.md.

use crate::moment;
use crate::operator::{At, Desk, Errand};
use anyhow::{Context, bail};
use clap::Args;
use envelope::UnixMicros;
use ledger::{Books, Doubled, Ledger, PaidEvent, Resent, Window};
use serde_json::{Value, json};
use std::time::{Duration, SystemTime};

/// Rows of one event written within so long of each other come from tries that overlapped: a storm of copies
/// is over by then, and no worker holds a batch for longer.
const OVERLAP: Duration = Duration::from_secs(60);

/// A row's time is when its transaction began: so close to now more may still appear.
const SETTLING: Duration = Duration::from_secs(30);

/// Arguments of `spillway doctor`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    at: At,
    /// Are payments processed twice? The one thing it knows to ask so far.
    #[arg(long, required = true)]
    duplicates: bool,
    /// From when on to look for events that say the same under other ids, and for payments nobody applied.
    #[arg(long, default_value = "24h", value_name = "WHEN", value_parser = moment::parse)]
    since: UnixMicros,
    /// Findings of each kind at most.
    #[arg(long, default_value_t = 100, value_name = "N")]
    limit: u32,
    /// Prints one JSON object.
    #[arg(long)]
    json: bool,
}

/// What was found, by what it is evidence of.
struct Findings {
    /// Events with more payments than pipelines have applied them.
    doubled: Vec<Doubled>,
    /// Payments of events nobody has applied.
    orphans: Vec<PaidEvent>,
    /// Different events that say the same.
    resent: Vec<Resent>,
}

/// Asks, tells, and fails where an event was paid twice or by somebody else.
pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    arguments.at.clone().run(arguments).await
}

impl Errand for Arguments {
    async fn run<L: Ledger + Books>(self, desk: Desk<L>) -> anyhow::Result<()> {
        let findings = self.look(&desk).await.context("cannot ask the ledger")?;
        if self.json {
            println!("{}", serde_json::to_string_pretty(&findings.as_json())?);
        } else {
            findings.print();
        }
        match (findings.doubled.len(), findings.orphans.len()) {
            (0, 0) => Ok(()),
            (doubled, orphans) => {
                bail!(
                    "{doubled} events have more payments than they should, {orphans} have payments and were not applied"
                )
            }
        }
    }
}

impl Arguments {
    async fn look<L: Books>(&self, desk: &Desk<L>) -> anyhow::Result<Findings> {
        let pipelines: Vec<_> = desk.config.pipelines.keys().cloned().collect();
        let doubled = desk.ledger.doubled_payments(&pipelines, self.limit).await?;
        let orphans = desk
            .ledger
            .payments_without_row(&pipelines, self.since, self.limit)
            .await?;
        let window = Window {
            from: self.since,
            until: UnixMicros::from(SystemTime::now() - SETTLING),
        };
        let resent = desk.ledger.same_body_other_id(window, self.limit).await?;
        Ok(Findings {
            doubled,
            orphans,
            resent,
        })
    }
}

/// A known cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cause {
    NotAtomic,
    NotShared,
    SentAgain,
}

impl Cause {
    /// Close in time means tries that overlapped, far apart means somebody who did not know.
    fn of(event: &Doubled) -> Self {
        let times = || event.payments.iter().map(|payment| payment.created_at);
        let apart = times()
            .max()
            .zip(times().min())
            .map(|(last, first)| last.since(first));
        match apart {
            Some(apart) if apart > OVERLAP => Self::NotShared,
            Some(_) | None => Self::NotAtomic,
        }
    }

    fn explained(self) -> &'static str {
        match self {
            Self::NotAtomic => {
                "a check that is not atomic: written close together, by something beside Spillway, whose own check is one with its write"
            }
            Self::NotShared => {
                "state that is not shared: somebody who does not know of processed_webhooks has paid"
            }
            Self::SentAgain => {
                "the sender sends again under another id: each was processed once, and the sender means one payment"
            }
        }
    }
}

impl Findings {
    fn print(&self) {
        for event in &self.doubled {
            let (source, id) = &event.event;
            println!(
                "doubled     {source}  {id}  {} payments",
                event.payments.len()
            );
            for payment in &event.payments {
                println!(
                    "              payment {} for order {} at {}",
                    payment.amount,
                    payment.order_id,
                    moment::shown(payment.created_at)
                );
            }
            for trace in &event.applied {
                println!(
                    "              applied once in {} by {} at {}, attempt {}",
                    trace.pipeline,
                    trace.worker,
                    moment::shown(trace.processed_at),
                    trace.attempt.number()
                );
            }
            println!("              fits: {}", Cause::of(event).explained());
        }
        for orphan in &self.orphans {
            let (source, id) = &orphan.event;
            println!(
                "not applied {source}  {id}  {} payments, the last at {}",
                orphan.payments,
                moment::shown(orphan.last_at)
            );
            println!("              fits: {}", Cause::NotShared.explained());
        }
        for group in &self.resent {
            let ids: Vec<_> = group
                .events
                .iter()
                .map(|event| event.event_id.as_str())
                .collect();
            let what = if group.same_body {
                "the same body"
            } else {
                "the same payment"
            };
            println!("look alike  {}  {}  {what}", group.source, ids.join(", "));
            println!("              may be: {}", Cause::SentAgain.explained());
        }
        self.print_verdict();
    }

    fn print_verdict(&self) {
        match (self.doubled.len(), self.orphans.len(), self.resent.len()) {
            (0, 0, 0) => println!("each event was applied once: no duplicates"),
            (0, 0, alike) => println!(
                "each event was applied once; {alike} groups of events look alike (ask their sender)"
            ),
            (doubled, orphans, alike) => println!(
                "{doubled} doubled, {orphans} not applied, {alike} look alike. What to do: docs/duplicates.md"
            ),
        }
    }

    fn as_json(&self) -> Value {
        let doubled = self.doubled.iter().map(doubled_json).collect::<Vec<_>>();
        let orphan = |orphan: &PaidEvent| {
            json!({
                "source": orphan.event.0,
                "event_id": orphan.event.1,
                "payments": orphan.payments,
                "last_at": moment::shown(orphan.last_at),
                "fits": Cause::NotShared.explained(),
            })
        };
        let alike = |group: &Resent| {
            let ids = group.events.iter().map(|event| event.event_id.as_str());
            json!({
                "source": group.source,
                "pipeline": group.pipeline,
                "same_body": group.same_body,
                "event_ids": ids.collect::<Vec<_>>(),
                "may_be": Cause::SentAgain.explained(),
            })
        };
        json!({
            "doubled": doubled,
            "not_applied": self.orphans.iter().map(orphan).collect::<Vec<_>>(),
            "look_alike": self.resent.iter().map(alike).collect::<Vec<_>>(),
        })
    }
}

fn doubled_json(event: &Doubled) -> Value {
    let payments = event.payments.iter().map(|payment| {
        json!({
            "order_id": payment.order_id,
            "amount": payment.amount,
            "created_at": moment::shown(payment.created_at),
        })
    });
    let applied = event.applied.iter().map(|trace| {
        json!({
            "pipeline": trace.pipeline,
            "worker": trace.worker,
            "attempt": trace.attempt.number(),
            "received_at": moment::shown(trace.received_at),
            "processed_at": moment::shown(trace.processed_at),
        })
    });
    json!({
        "source": event.event.0,
        "event_id": event.event.1,
        "payments": payments.collect::<Vec<_>>(),
        "applied": applied.collect::<Vec<_>>(),
        "fits": Cause::of(event).explained(),
    })
}

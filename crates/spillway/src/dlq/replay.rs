//! `spillway dlq replay`: published and confirmed first, marked then (I7). Killed in between, an event is in
//! its queue and its letter still dead: replayed again it is a duplicate, and never applied twice.

use super::change::Change;
use super::confirm::progress;
use super::pages::Pages;
use crate::operator::{At, Desk, Errand};
use crate::reconcile::unrouted;
use crate::republish::Republisher;
use anyhow::bail;
use broker::Topology;
use clap::Args;
use envelope::{Envelope, PipelineName, UnixMicros};
use ledger::{Books, FullLetter, Ledger, LetterId, Mark};
use resilience::Reason;
use serde_json::{Value, json};
use std::num::NonZeroU32;
use std::time::SystemTime;

/// Letters read with their bodies, published and marked at once.
const BATCH_MAX: usize = 100;

/// Arguments of `spillway dlq replay`.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    pub(super) at: At,
    #[command(flatten)]
    change: Change,
    /// Events a second at most.
    #[arg(long, value_name = "N")]
    rate: Option<NonZeroU32>,
    /// Lets events through that the replay guard has stopped (`replayed_signature`). Without it they are left
    /// where they are: they would only die again.
    #[arg(long)]
    accept_signature: bool,
}

/// What became of the letters.
#[derive(Debug, Default)]
struct Counts {
    replayed: u64,
    /// Not ours, so nothing says what event it is.
    foreign: u64,
    /// No pipeline takes the source now either.
    unrouted: u64,
    /// Stopped by the replay guard.
    guarded: u64,
}

/// A letter on its way back.
struct Outgoing {
    id: LetterId,
    replays: u32,
    copies: Vec<(PipelineName, Envelope)>,
}

impl Errand for Arguments {
    async fn run<L: Ledger + Books>(self, desk: Desk<L>) -> anyhow::Result<()> {
        let Some(meant) = self.change.ask(&desk.ledger, "replay").await? else {
            return Ok(());
        };
        let republisher = Republisher::new(&desk.broker().await?, self.rate, desk.stop.clone());
        let (mut counts, bar) = (Counts::default(), progress(meant.total));
        let mut pages = Pages::new(&desk.ledger, meant.filter.clone(), self.change.limit);
        while let Some(page) = pages.next().await? {
            let ids: Vec<_> = page.into_iter().map(|letter| letter.id).collect();
            for ids in ids.chunks(BATCH_MAX) {
                let letters = desk.ledger.full_letters(ids).await?;
                let outgoing = self.outgoing(letters, &desk.topology, &mut counts);
                counts.replayed += send(&desk, &republisher, outgoing, &meant.who).await?;
                bar.inc(ids.len() as u64);
                if desk.stop.is_cancelled() {
                    bar.finish_and_clear();
                    let replayed = counts.replayed;
                    bail!("stopped: {replayed} letters replayed, run it again for the rest");
                }
            }
        }
        bar.finish_and_clear();
        if self.change.json {
            println!("{}", counts.as_json(meant.total));
        } else {
            counts.print();
        }
        Ok(())
    }
}

impl Arguments {
    fn outgoing(
        &self,
        letters: Vec<FullLetter>,
        topology: &Topology,
        counts: &mut Counts,
    ) -> Vec<Outgoing> {
        let mut outgoing = Vec::with_capacity(letters.len());
        for full in letters {
            if is_guarded(&full) && !self.accept_signature {
                counts.guarded += 1;
                continue;
            }
            let Some(envelope) = envelope(&full) else {
                counts.foreign += 1;
                continue;
            };
            let copies = copies(&full.letter.id.pipeline, envelope, topology);
            if copies.is_empty() {
                counts.unrouted += 1;
                continue;
            }
            let (id, replays) = (full.letter.id, full.letter.replays);
            outgoing.push(Outgoing {
                id,
                replays,
                copies,
            });
        }
        outgoing
    }
}

/// How many were confirmed and marked.
async fn send<L: Books>(
    desk: &Desk<L>,
    republisher: &Republisher,
    outgoing: Vec<Outgoing>,
    who: &str,
) -> anyhow::Result<u64> {
    let (mut letters, mut batch) = (Vec::new(), Vec::new());
    for Outgoing {
        id,
        replays,
        copies,
    } in outgoing
    {
        letters.push((id, replays, copies.len()));
        batch.extend(copies);
    }
    let mut confirmed = republisher.publish(batch).await.into_iter();
    let mut sent = Vec::with_capacity(letters.len());
    for (id, replays, copies) in letters {
        let of_it = confirmed.by_ref().take(copies);
        let all = of_it.filter(|confirmed| *confirmed).count() == copies;
        sent.extend(all.then_some((id, replays)));
    }
    let now = UnixMicros::from(SystemTime::now());
    Ok(desk.ledger.mark(&sent, Mark::Replayed, who, now).await?)
}

fn is_guarded(full: &FullLetter) -> bool {
    full.letter.reason == Reason::ReplayedSignature.as_str()
}

/// The event as it was received; nothing where our headers were missing.
fn envelope(full: &FullLetter) -> Option<Envelope> {
    if full.letter.reason == Reason::Foreign.as_str() {
        return None;
    }
    let envelope = Envelope::read(&full.headers, full.payload.clone()).ok()?;
    Some(Envelope {
        replays: full.letter.replays.saturating_add(1),
        // Let through by a person: nothing about it is to be recognised any more.
        signature_digest: envelope.signature_digest.filter(|_| !is_guarded(full)),
        ..envelope
    })
}

/// Back to where it died; what no pipeline took goes to those that take it now.
fn copies(
    died_in: &PipelineName,
    envelope: Envelope,
    topology: &Topology,
) -> Vec<(PipelineName, Envelope)> {
    if *died_in != unrouted() {
        return vec![(died_in.clone(), envelope)];
    }
    let takes = |pipeline: &&broker::Pipeline| pipeline.sources.takes(&envelope.source);
    let takers = topology.pipelines.iter().filter(takes);
    takers
        .map(|pipeline| (pipeline.name.clone(), envelope.clone()))
        .collect()
}

impl Counts {
    fn as_json(&self, letters: u64) -> Value {
        json!({
            "letters": letters,
            "changed": true,
            "replayed": self.replayed,
            "foreign": self.foreign,
            "unrouted": self.unrouted,
            "guarded": self.guarded,
        })
    }

    fn print(&self) {
        println!("{} letters replayed", self.replayed);
        let left = |count: u64, why: &str| {
            if count > 0 {
                println!("{count} left: {why}");
            }
        };
        left(
            self.foreign,
            "not messages of ours, so nothing says what event they are",
        );
        left(self.unrouted, "no pipeline takes their source");
        left(
            self.guarded,
            "stopped by the replay guard (--accept-signature lets them through)",
        );
    }
}

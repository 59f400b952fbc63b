//! Asks the ledger how obligations stand, a batch at a time.

use super::judge::{Standing, judge};
use super::obligation::Obligation;
use envelope::{EventId, Key, PipelineName, SourceName};
use ledger::{Account, Books};
use resilience::Fault;
use std::collections::BTreeMap;

/// Obligations of one batch, by how they stand.
#[derive(Debug, Default)]
pub(crate) struct Checked {
    pub(crate) applied: u64,
    pub(crate) dead: u64,
    pub(crate) missing: Vec<Obligation>,
    pub(crate) damaged: Vec<Damaged>,
}

/// An applied event whose rows are not what they have to be.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub(crate) struct Damaged {
    pub(crate) pipeline: PipelineName,
    pub(crate) source: SourceName,
    pub(crate) event_id: EventId,
    #[serde(flatten)]
    pub(crate) damage: Damage,
}

/// What is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(tag = "problem", rename_all = "snake_case")]
pub(crate) enum Damage {
    /// What is stored is not what was received.
    PayloadAltered,
    /// Its handler writes another number of rows.
    PaymentRows { expected: u32, found: u32 },
}

/// Asks about a batch of obligations, which hold all those of an event.
pub(crate) async fn check<B: Books>(ledger: &B, batch: Vec<Obligation>) -> Result<Checked, Fault> {
    let standings = standings(ledger, &batch).await?;
    let mut checked = Checked::default();
    let mut applied = BTreeMap::<(SourceName, EventId), Vec<PipelineName>>::new();
    for (obligation, standing) in batch.into_iter().zip(standings) {
        match standing {
            Standing::Applied => {
                checked.applied += 1;
                let Obligation {
                    pipeline,
                    source,
                    event_id,
                    ..
                } = obligation;
                applied
                    .entry((source, event_id))
                    .or_default()
                    .push(pipeline);
            }
            Standing::Dead => checked.dead += 1,
            Standing::Missing => checked.missing.push(obligation),
            Standing::Altered => checked
                .damaged
                .push(Damaged::of(&obligation, Damage::PayloadAltered)),
        }
    }
    checked.damaged.extend(effects(ledger, applied).await?);
    Ok(checked)
}

async fn standings<B: Books>(ledger: &B, batch: &[Obligation]) -> Result<Vec<Standing>, Fault> {
    let keys: Vec<Key> = batch.iter().map(|obligation| obligation.key).collect();
    let own = ledger.accounts(&keys).await?;
    let shared = |(obligation, account): (&Obligation, &Account)| {
        let missing = judge(obligation, account, None) == Standing::Missing;
        obligation.replayed_key.filter(|_| missing)
    };
    // Only the few that are nowhere under their own key.
    let shared: Vec<Option<Key>> = batch.iter().zip(&own).map(shared).collect();
    let asked: Vec<Key> = shared.iter().flatten().copied().collect();
    let mut replayed = ledger.accounts(&asked).await?.into_iter();
    let mut judged = Vec::with_capacity(batch.len());
    for ((obligation, own), shared) in batch.iter().zip(&own).zip(shared) {
        let replayed = shared.and_then(|_| replayed.next());
        judged.push(judge(obligation, own, replayed.as_ref()));
    }
    Ok(judged)
}

/// Each pipeline that has applied an event has written one payment.
async fn effects<B: Books>(
    ledger: &B,
    applied: BTreeMap<(SourceName, EventId), Vec<PipelineName>>,
) -> Result<Vec<Damaged>, Fault> {
    let (events, pipelines): (Vec<_>, Vec<_>) = applied.into_iter().unzip();
    let found = ledger.effects(&events).await?;
    let mut damaged = Vec::new();
    for (((source, event_id), pipelines), found) in events.into_iter().zip(pipelines).zip(found) {
        let expected = u32::try_from(pipelines.len()).unwrap_or(u32::MAX);
        if let Some(pipeline) = pipelines.into_iter().next().filter(|_| found != expected) {
            let damage = Damage::PaymentRows { expected, found };
            damaged.push(Damaged {
                pipeline,
                source,
                event_id,
                damage,
            });
        }
    }
    Ok(damaged)
}

impl Damaged {
    fn of(obligation: &Obligation, damage: Damage) -> Self {
        Self {
            pipeline: obligation.pipeline.clone(),
            source: obligation.source.clone(),
            event_id: obligation.event_id.clone(),
            damage,
        }
    }
}

impl std::fmt::Display for Damage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::PayloadAltered => f.write_str("the stored payload is not what was received"),
            Self::PaymentRows { expected, found } => {
                write!(f, "{found} payments where there should be {expected}")
            }
        }
    }
}

//! Asks the ledger how obligations stand, a batch at a time.

use super::judge::{Standing, judge};
use super::obligation::Obligation;
use envelope::{EventId, Key, PipelineName, SourceName};
use ledger::{Account, Books, EventName};
use resilience::Fault;
use std::collections::BTreeMap;

/// Obligations of one batch, by how they stand.
#[derive(Debug, Default)]
pub(crate) struct Checked {
    pub(crate) applied: u64,
    pub(crate) dead: Vec<Obligation>,
    pub(crate) missing: Vec<Obligation>,
    pub(crate) damaged: Vec<Damaged>,
}

/// An applied event whose rows are not what they have to be.
#[derive(Clone, Debug, PartialEq, Eq, Hash, serde::Serialize)]
pub(crate) struct Damaged {
    pub(crate) pipeline: PipelineName,
    pub(crate) source: SourceName,
    pub(crate) event_id: EventId,
    #[serde(flatten)]
    pub(crate) damage: Damage,
}

/// What is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(tag = "problem", rename_all = "snake_case")]
pub(crate) enum Damage {
    /// What is stored is not what was received.
    PayloadAltered,
    /// Its handler writes another number of rows.
    PaymentRows { expected: u32, found: u32 },
}

/// Asks about a batch of obligations, which hold all those of an event, and counts its effects too.
pub(crate) async fn check<B: Books>(ledger: &B, batch: Vec<Obligation>) -> Result<Checked, Fault> {
    let own = accounts(ledger, &batch).await?;
    let standings = standings(ledger, &batch, &own).await?;
    let mispaid = mispaid(ledger, &batch, &own).await?;
    let mut checked = Checked::default();
    for (obligation, standing) in batch.into_iter().zip(standings) {
        match standing {
            Standing::Applied => checked.applied += 1,
            Standing::Dead => checked.dead.push(obligation),
            // Published again it would pay once more: its row, which would tell, is gone and its payment is not.
            Standing::Missing if is_paid(&mispaid, &obligation) => {}
            Standing::Missing => checked.missing.push(obligation),
            Standing::Altered => checked
                .damaged
                .push(Damaged::of(&obligation, Damage::PayloadAltered)),
        }
    }
    checked.damaged.extend(mispaid);
    Ok(checked)
}

/// Those of them that have neither a row nor a letter.
pub(crate) async fn missing<B: Books>(
    ledger: &B,
    batch: Vec<Obligation>,
) -> Result<Vec<Obligation>, Fault> {
    let own = accounts(ledger, &batch).await?;
    let standings = standings(ledger, &batch, &own).await?;
    let missing = batch
        .into_iter()
        .zip(standings)
        .filter(|(_, standing)| *standing == Standing::Missing);
    Ok(missing.map(|(obligation, _)| obligation).collect())
}

async fn accounts<B: Books>(ledger: &B, batch: &[Obligation]) -> Result<Vec<Account>, Fault> {
    let keys: Vec<Key> = batch.iter().map(|obligation| obligation.key).collect();
    ledger.accounts(&keys).await
}

async fn standings<B: Books>(
    ledger: &B,
    batch: &[Obligation],
    own: &[Account],
) -> Result<Vec<Standing>, Fault> {
    let shared = |(obligation, account): (&Obligation, &Account)| {
        let missing = judge(obligation, account, None) == Standing::Missing;
        obligation.replayed_key.filter(|_| missing)
    };
    // Only the few that are nowhere under their own key.
    let shared: Vec<Option<Key>> = batch.iter().zip(own).map(shared).collect();
    let asked: Vec<Key> = shared.iter().flatten().copied().collect();
    let mut replayed = ledger.accounts(&asked).await?.into_iter();
    let mut judged = Vec::with_capacity(batch.len());
    for ((obligation, own), shared) in batch.iter().zip(own).zip(shared) {
        let replayed = shared.and_then(|_| replayed.next());
        judged.push(judge(obligation, own, replayed.as_ref()));
    }
    Ok(judged)
}

/// The events of a batch that have made another number of payments than pipelines have applied them: each of
/// those has made one, in the transaction of its row.
async fn mispaid<B: Books>(
    ledger: &B,
    batch: &[Obligation],
    own: &[Account],
) -> Result<Vec<Damaged>, Fault> {
    // By key: an event that was sent twice is in the journal twice.
    let mut events = BTreeMap::<EventName, BTreeMap<Key, (&Obligation, bool)>>::new();
    for (obligation, account) in batch.iter().zip(own) {
        let name = (obligation.source.clone(), obligation.event_id.clone());
        let applied = (obligation, account.applied.is_some());
        events
            .entry(name)
            .or_default()
            .insert(obligation.key, applied);
    }
    let (names, keys): (Vec<_>, Vec<_>) = events.into_iter().unzip();
    let found = ledger.effects(&names).await?;
    let odd = keys.into_iter().zip(found).filter(|(keys, found)| {
        let applied = keys.values().filter(|(_, applied)| *applied);
        applied.count() != *found as usize
    });
    let odd: Vec<_> = odd.collect();
    // Meanwhile one more pipeline may have applied an event, and paid.
    let asked: Vec<Key> = odd
        .iter()
        .flat_map(|(keys, _)| keys.keys().copied())
        .collect();
    let mut now = ledger.accounts(&asked).await?.into_iter();
    let damaged = odd.into_iter().filter_map(|(keys, found)| {
        let before = keys.values().filter(|(_, applied)| *applied).count();
        let now = now.by_ref().take(keys.len());
        let now = now.filter(|account| account.applied.is_some()).count();
        let (first, _) = keys.into_values().next()?;
        let (before, expected) = (before as u32, now as u32);
        let damage = Damage::PaymentRows { expected, found };
        (!(before..=expected).contains(&found)).then(|| Damaged::of(first, damage))
    });
    Ok(damaged.collect())
}

/// Whether there are more payments of its event than rows.
fn is_paid(mispaid: &[Damaged], obligation: &Obligation) -> bool {
    let is_it = |damaged: &&Damaged| {
        damaged.source == obligation.source && damaged.event_id == obligation.event_id
    };
    let damage = mispaid.iter().find(is_it).map(|damaged| &damaged.damage);
    matches!(damage, Some(Damage::PaymentRows { expected, found }) if found > expected)
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

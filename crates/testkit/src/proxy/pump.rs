//! Moves bytes one way, as the rules of the moment have it.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::sync::watch;

use super::rules::{Lane, Rules, Way};

/// The connection is to end with a reset.
#[derive(Debug)]
pub(super) struct Broken;

/// What is read at once, and so what one delay holds back.
const PIECE: usize = 64 * 1024;

/// Until the stream ends (`Ok`, and its end is handed on) or breaks.
pub(super) async fn pump(
    mut from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
    way: Way,
    born: &Rules,
    mut rules: watch::Receiver<Rules>,
) -> Result<(), Broken> {
    let mut budget = Budget::of(&born[way]);
    let mut buffer = vec![0; PIECE];
    loop {
        if rules.borrow()[way].closes != born[way].closes {
            return end(false, to, way, rules).await;
        }
        let read = tokio::select! {
            // The rules first: a hole that opened before the bytes came swallows them.
            biased;
            changed = rules.changed() => {
                changed.map_err(|_| Broken)?;
                0
            }
            read = from.read(&mut buffer), if rules.borrow()[way].open => match read {
                Ok(0) | Err(_) => return end(read.is_err(), to, way, rules).await,
                Ok(read) => read,
            },
        };
        budget.follow(&rules.borrow()[way]);
        hand_on(&buffer[..read], &mut to, way, &mut rules, &mut budget).await?;
    }
}

async fn hand_on(
    mut bytes: &[u8],
    to: &mut WriteHalf<'_>,
    way: Way,
    rules: &mut watch::Receiver<Rules>,
    budget: &mut Budget,
) -> Result<(), Broken> {
    while !bytes.is_empty() {
        let lane = through(way, rules).await?;
        tokio::time::sleep(lane.delay).await;
        // A hole that opened while the piece was held back swallows it.
        let lane = through(way, rules).await?;
        budget.follow(&lane);
        let length = bytes.len().min(lane.slice).min(budget.left);
        let (piece, rest) = bytes.split_at(length);
        to.write_all(piece).await.map_err(|_| Broken)?;
        to.flush().await.map_err(|_| Broken)?;
        budget.spend(length)?;
        bytes = rest;
    }
    Ok(())
}

/// Waits while nothing goes that way.
async fn through(way: Way, rules: &mut watch::Receiver<Rules>) -> Result<Lane, Broken> {
    let open = rules.wait_for(|rules| rules[way].open).await;
    open.map(|rules| rules[way]).map_err(|_| Broken)
}

/// Hands on that the stream has ended, when it may get through.
async fn end(
    broken: bool,
    mut to: WriteHalf<'_>,
    way: Way,
    mut rules: watch::Receiver<Rules>,
) -> Result<(), Broken> {
    through(way, &mut rules).await?;
    if broken {
        return Err(Broken);
    }
    to.shutdown().await.map_err(|_| Broken)
}

/// What is left before a cut.
struct Budget {
    cut: u64,
    left: usize,
}

impl Budget {
    fn of(lane: &Lane) -> Self {
        Self {
            cut: lane.cuts,
            left: lane.cut_after,
        }
    }

    /// Begins again where a new cut has been ordered, or the old one called off.
    fn follow(&mut self, lane: &Lane) {
        if self.cut != lane.cuts {
            *self = Self::of(lane);
        }
    }

    fn spend(&mut self, bytes: usize) -> Result<(), Broken> {
        // No cut is a budget that no connection spends.
        self.left -= bytes;
        if self.left == 0 { Err(Broken) } else { Ok(()) }
    }
}

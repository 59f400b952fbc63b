//! Programs that end themselves at a place in their code: the kills that a random one hardly ever hits.

use super::Thing;
use crate::member::Member;
use crate::site::{ARCHIVER, FIRST_WORKER, INGEST, SPOOLER, Site, WORKERS};
use anyhow::{Result, ensure};
use std::time::Duration;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Place {
    IngestBeforePublish,
    IngestAfterPublish,
    IngestAfterKeep,
    SpoolBetweenPublishAndAck,
    WorkerAfterInsert,
    WorkerBeforeCommit,
    WorkerAfterCommit,
    WorkerBeforeAck,
    WorkerBetweenRetryPublishAndAck,
    ArchiveBeforeCommit,
    ArchiveBetweenCommitAndAck,
}

/// A program comes by within this, or the place is not on its way any more. The rare ones wait for a poison
/// event, of which there is about one a second.
const COMING_BY: Duration = Duration::from_secs(60);

/// How often a program comes by unharmed first, at most: a fault of the hundredth batch is another than
/// one of the first.
const UNHARMED: usize = 20;

impl Place {
    pub const ALL: [Self; 11] = [
        Self::IngestBeforePublish,
        Self::IngestAfterPublish,
        Self::IngestAfterKeep,
        Self::SpoolBetweenPublishAndAck,
        Self::WorkerAfterInsert,
        Self::WorkerBeforeCommit,
        Self::WorkerAfterCommit,
        Self::WorkerBeforeAck,
        Self::WorkerBetweenRetryPublishAndAck,
        Self::ArchiveBeforeCommit,
        Self::ArchiveBetweenCommitAndAck,
    ];

    /// As the code calls it.
    pub fn name(self) -> &'static str {
        match self {
            Self::IngestBeforePublish => "ingest.before_publish",
            Self::IngestAfterPublish => "ingest.after_publish",
            Self::IngestAfterKeep => "ingest.after_keep",
            Self::SpoolBetweenPublishAndAck => "spool.between_publish_and_ack",
            Self::WorkerAfterInsert => "worker.after_insert",
            Self::WorkerBeforeCommit => "worker.before_commit",
            Self::WorkerAfterCommit => "worker.after_commit",
            Self::WorkerBeforeAck => "worker.before_ack",
            Self::WorkerBetweenRetryPublishAndAck => "worker.between_retry_publish_and_ack",
            Self::ArchiveBeforeCommit => "archive.before_commit",
            Self::ArchiveBetweenCommitAndAck => "archive.between_commit_and_ack",
        }
    }

    fn member(self, pick: usize) -> usize {
        match self {
            Self::IngestBeforePublish | Self::IngestAfterPublish => INGEST,
            Self::IngestAfterKeep | Self::SpoolBetweenPublishAndAck => SPOOLER,
            Self::WorkerAfterInsert
            | Self::WorkerBeforeCommit
            | Self::WorkerAfterCommit
            | Self::WorkerBeforeAck
            | Self::WorkerBetweenRetryPublishAndAck => FIRST_WORKER + pick % WORKERS,
            Self::ArchiveBeforeCommit | Self::ArchiveBetweenCommitAndAck => ARCHIVER,
        }
    }

    /// Whether it is reached only while the spool is in use.
    fn needs_the_spool(self) -> bool {
        matches!(
            self,
            Self::IngestAfterKeep | Self::SpoolBetweenPublishAndAck
        )
    }

    pub(super) fn touches(self) -> Vec<Thing> {
        let whose = match self.member(0) {
            INGEST => Thing::Ingest,
            SPOOLER => Thing::Spooler,
            ARCHIVER => Thing::Archiver,
            _ => Thing::Workers,
        };
        vec![whose, Thing::Broker]
    }
}

/// Restarts a program with the place armed, waits until it has ended itself there, and starts it again.
pub(super) async fn crash(site: &Site, place: Place, pick: usize) -> Result<()> {
    let mut member = site.members[place.member(pick)].lock().await;
    member.kill()?;
    // The rare places are armed at once.
    let rare = place.needs_the_spool() || place.member(0) == ARCHIVER;
    let unharmed = if rare || place == Place::WorkerBetweenRetryPublishAndAck {
        0
    } else {
        pick % UNHARMED
    };
    let first = if unharmed == 0 {
        String::new()
    } else {
        format!("{unharmed}*off->")
    };
    member.start_failing(&format!("{}={first}return", place.name()))?;
    let ended = if place.needs_the_spool() {
        with_the_spool_in_use(site, &mut member).await
    } else {
        member.wait_for_its_end(COMING_BY).await
    };
    let said = member.said();
    member.kill()?;
    member.start()?;
    ensure!(
        ended,
        "{} did not come by {} in {COMING_BY:?}:\n{said}",
        member.name,
        place.name()
    );
    Ok(())
}

/// The broker is out of reach, then back, until the program has ended itself.
async fn with_the_spool_in_use(site: &Site, member: &mut Member) -> bool {
    let proxy = &site.links.ingest_broker;
    let mut ended = false;
    for _ in 0..TURNS {
        proxy.refuse();
        proxy.reset();
        ended = member.wait_for_its_end(TURN).await;
        proxy.pass();
        ended = ended || member.wait_for_its_end(TURN).await;
        if ended {
            break;
        }
    }
    ended
}

/// Longer than the longest wait of a reconnect, so that each turn sees the spool filled or emptied.
const TURN: Duration = Duration::from_secs(5);
const TURNS: u32 = 6;

//! Processes that are killed, stopped in order, or frozen.

use super::{Fault, Thing};
use crate::site::{ARCHIVER, FIRST_WORKER, INGEST, SPOOLER, Site, WORKERS};
use anyhow::Result;
use std::fmt;
use std::time::Duration;
use tokio::time::sleep;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Who {
    /// Without a spool.
    Ingest,
    /// The ingest with one.
    Spooler,
    /// One of them.
    Worker,
    Archiver,
    Broker,
    Redis,
    Postgres,
}

pub(super) fn all() -> Vec<Fault> {
    let ours = [Who::Ingest, Who::Spooler, Who::Worker, Who::Archiver];
    let servers = [Who::Broker, Who::Redis, Who::Postgres];
    let mut all: Vec<Fault> = ours.into_iter().chain(servers).map(Fault::Kill).collect();
    all.extend(ours.map(Fault::Terminate));
    all.extend(servers.map(Fault::Freeze));
    all.extend([Fault::Freeze(Who::Worker), Fault::Volley, Fault::Everything]);
    all
}

/// Kills in a row. RabbitMQ 4 gives up on a message after 20 deliveries by default.
const VOLLEY: usize = 25;
/// Between two of them: time to take events in hand.
const RELOADING: Duration = Duration::from_millis(700);

pub(super) async fn kill(site: &Site, who: Who, lasting: Duration, pick: usize) -> Result<()> {
    match who {
        Who::Broker => {
            let mut broker = site.broker.lock().await;
            let broker = broker.one()?;
            broker.kill()?;
            sleep(lasting).await;
            broker.restart().await
        }
        Who::Redis => {
            let mut redis = site.redis.lock().await;
            redis.kill()?;
            sleep(lasting).await;
            redis.restart().await
        }
        Who::Postgres => {
            let mut postgres = site.postgres.lock().await;
            postgres.kill()?;
            sleep(lasting).await;
            postgres.restart().await
        }
        Who::Ingest | Who::Spooler | Who::Worker | Who::Archiver => {
            let mut member = site.members[place(who, pick)].lock().await;
            member.kill()?;
            sleep(lasting).await;
            member.start()
        }
    }
}

pub(super) async fn terminate(site: &Site, who: Who, pick: usize) -> Result<()> {
    let mut member = site.members[place(who, pick)].lock().await;
    let ended = member.terminate().await;
    member.start()?;
    ended
}

pub(super) async fn freeze(site: &Site, who: Who, lasting: Duration, pick: usize) -> Result<()> {
    match who {
        Who::Broker => {
            let mut broker = site.broker.lock().await;
            let broker = broker.one()?;
            broker.freeze()?;
            sleep(lasting).await;
            broker.thaw()
        }
        Who::Redis => {
            let mut redis = site.redis.lock().await;
            redis.freeze()?;
            sleep(lasting).await;
            redis.thaw()
        }
        Who::Postgres => {
            let mut postgres = site.postgres.lock().await;
            postgres.freeze()?;
            sleep(lasting).await;
            postgres.thaw()
        }
        Who::Ingest | Who::Spooler | Who::Worker | Who::Archiver => {
            let mut member = site.members[place(who, pick)].lock().await;
            member.freeze()?;
            sleep(lasting).await;
            member.thaw()
        }
    }
}

pub(super) async fn volley(site: &Site) -> Result<()> {
    for kill in 0..VOLLEY {
        let mut member = site.members[FIRST_WORKER + kill % WORKERS].lock().await;
        member.kill()?;
        member.start()?;
        drop(member);
        sleep(RELOADING).await;
    }
    Ok(())
}

/// The lights go out. Half the time our programs are back before their servers.
pub(super) async fn everything(site: &Site, lasting: Duration, pick: usize) -> Result<()> {
    let mut broker = site.broker.lock().await;
    let broker = broker.one()?;
    let mut redis = site.redis.lock().await;
    let mut postgres = site.postgres.lock().await;
    for member in &site.members {
        member.lock().await.kill()?;
    }
    broker.kill()?;
    redis.kill()?;
    postgres.kill()?;
    sleep(lasting).await;
    let programs_first = pick.is_multiple_of(2);
    if programs_first {
        start_programs(site).await?;
    }
    let started = tokio::join!(broker.restart(), redis.restart(), postgres.restart());
    started.0.and(started.1).and(started.2)?;
    if !programs_first {
        start_programs(site).await?;
    }
    Ok(())
}

async fn start_programs(site: &Site) -> Result<()> {
    for member in &site.members {
        member.lock().await.start()?;
    }
    Ok(())
}

/// Where in [`Site::members`] it is. A server is nowhere there, and nobody asks.
fn place(who: Who, pick: usize) -> usize {
    match who {
        Who::Ingest => INGEST,
        Who::Spooler => SPOOLER,
        Who::Worker => FIRST_WORKER + pick % WORKERS,
        Who::Archiver => ARCHIVER,
        Who::Broker | Who::Redis | Who::Postgres => panic!("{who} is a server"),
    }
}

impl Who {
    pub(super) fn thing(self) -> Thing {
        match self {
            Self::Ingest => Thing::Ingest,
            Self::Spooler => Thing::Spooler,
            Self::Worker => Thing::Workers,
            Self::Archiver => Thing::Archiver,
            Self::Broker => Thing::Broker,
            Self::Redis => Thing::Redis,
            Self::Postgres => Thing::Postgres,
        }
    }
}

impl fmt::Display for Who {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Ingest => "ingest",
            Self::Spooler => "spooler",
            Self::Worker => "worker",
            Self::Archiver => "archiver",
            Self::Broker => "broker",
            Self::Redis => "redis",
            Self::Postgres => "postgres",
        })
    }
}

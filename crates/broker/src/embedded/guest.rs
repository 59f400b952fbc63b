//! Publishing into a file that somebody else may be serving: an operator's command beside `serve`.
//!
//! A guest writes what it publishes and nothing else. It takes no lock but SQLite's own for the length of a
//! transaction, hands nothing out, erases nothing, and leaves the notes of who has what in hand alone.

use super::dispatch::Dispatch;
use super::route::{Routes, queues};
use super::schema::OpenError;
use super::store::{Durability, QueueId, Store};
use super::thread::{Clock, GROUP_MAX};
use super::writer::{Routed, place, verdict};
use crate::{LaneState, PublishError, PublishLane, PublishRequest, QueueName, Topology};
use std::collections::HashMap;
use std::path::Path;
use tokio_util::sync::CancellationToken;

/// The guest's thread.
#[derive(Debug)]
pub(super) struct Guest {
    store: Store,
    routes: Routes,
    lane: PublishLane,
    clock: Clock,
    stop: CancellationToken,
    /// Nobody consumes here: it lends no bodies.
    nobody: Dispatch,
}

impl Guest {
    /// Opens a file that has been served before; nothing where it never was.
    pub fn open(
        path: &Path,
        topology: &Topology,
        lane: PublishLane,
        clock: Clock,
        stop: CancellationToken,
    ) -> Result<Option<Self>, OpenError> {
        let mut store = Store::open(path)?;
        let numbers = numbers(&mut store, topology)?;
        if !numbers.contains_key(&QueueName::unrouted()) {
            return Ok(None);
        }
        let served = served(topology, &numbers);
        Ok(Some(Self {
            store,
            routes: Routes::of(&served, |queue| numbers[queue]),
            lane,
            clock,
            stop,
            nobody: Dispatch::default(),
        }))
    }

    /// Publishes until stopped, and gives everything that came by then its verdict.
    pub async fn run(mut self) {
        let mut waiting = Vec::new();
        self.lane.set_state(LaneState::Up);
        let stop = self.stop.clone();
        loop {
            tokio::select! {
                () = stop.cancelled(), if !self.lane.requests.is_closed() => {
                    self.lane.set_state(LaneState::Away);
                    self.lane.requests.close();
                }
                taken = self.lane.requests.recv_many(&mut waiting, GROUP_MAX) => match taken {
                    0 => break,
                    _ => self.write(std::mem::take(&mut waiting)),
                }
            }
        }
    }

    fn write(&mut self, requests: Vec<PublishRequest>) {
        let publishes = self.routed(requests);
        if publishes.is_empty() {
            return;
        }
        let (nobody, now) = (&self.nobody, (self.clock)());
        let written = self.store.change(Durability::Machine, |change| {
            publishes
                .iter()
                .try_for_each(|publish| place(change, publish, nobody, now).map(drop))
        });
        match written {
            // Committed and fsynced by ourselves; whoever serves the file finds it there (I1).
            Ok(()) => publishes.into_iter().for_each(|it| it.request.confirm()),
            Err(error) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "cannot write into the broker's file"
                );
                let verdict = verdict(&error);
                publishes
                    .into_iter()
                    .for_each(|it| it.request.refuse(verdict));
            }
        }
    }

    fn routed(&self, requests: Vec<PublishRequest>) -> Vec<Routed> {
        let mut routed = Vec::with_capacity(requests.len());
        for request in requests {
            match self.routes.route(&request.to, &request.envelope.source) {
                Some(route) => routed.push(Routed { request, route }),
                None => request.refuse(PublishError::Unroutable),
            }
        }
        routed
    }
}

impl Drop for Guest {
    /// However it ends: nobody is at the other end of the lane any more.
    fn drop(&mut self) {
        self.lane.set_state(LaneState::Away);
    }
}

/// The numbers of those queues that the file has.
fn numbers(
    store: &mut Store,
    topology: &Topology,
) -> Result<HashMap<QueueName, QueueId>, OpenError> {
    let found = store.change(Durability::Process, |change| {
        let number = |queue| Ok((change.number(&queue)?, queue));
        queues(topology)
            .map(number)
            .collect::<rusqlite::Result<Vec<_>>>()
    })?;
    let known = |(id, queue): (Option<QueueId>, QueueName)| Some((queue, id?));
    Ok(found.into_iter().filter_map(known).collect())
}

/// The pipelines that the file has queues for. What a retry queue holds lies with the main queue.
fn served(topology: &Topology, numbers: &HashMap<QueueName, QueueId>) -> Topology {
    let has = |name: &envelope::PipelineName| {
        [QueueName::main(name), QueueName::dead(name)]
            .iter()
            .all(|queue| numbers.contains_key(queue))
    };
    let mut served = topology.clone();
    served.pipelines.retain(|pipeline| has(&pipeline.name));
    served
}

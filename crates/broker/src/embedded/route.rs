//! Where a publish goes: the topology, read once and turned into the file's own numbers.

use super::store::QueueId;
use crate::{Destination, QueueKind, QueueName, SourceFilter, Topology};
use envelope::SourceName;
use std::collections::HashMap;
use std::time::Duration;

/// What each destination of the topology comes down to.
#[derive(Debug)]
pub(super) struct Routes {
    journal: bool,
    pipelines: Vec<(SourceFilter, QueueId)>,
    unrouted: QueueId,
    queues: HashMap<QueueName, Place>,
}

/// Where one event goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Route {
    /// Into the journal.
    pub journaled: bool,
    /// And to these places, of which there is at least one (I1).
    pub places: Vec<Place>,
}

/// One place for an event to wait in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// At the end of a queue.
    Queue(QueueId),
    /// At the end of a queue, once it has waited.
    Later(QueueId, Duration),
}

impl Routes {
    /// The routes of a topology whose queues have these numbers.
    pub fn of(topology: &Topology, number: impl Fn(&QueueName) -> QueueId) -> Self {
        let place = |queue: QueueName| {
            let place = match topology.dead_letter(&queue) {
                Some(to) => to.after.map_or(Place::Queue(number(&queue)), |delay| {
                    Place::Later(number(&to.queue), delay)
                }),
                None => Place::Queue(number(&queue)),
            };
            (queue, place)
        };
        Self {
            journal: topology.journal.is_some(),
            pipelines: topology
                .pipelines
                .iter()
                .map(|pipeline| {
                    let main = number(&QueueName::main(&pipeline.name));
                    (pipeline.sources.clone(), main)
                })
                .collect(),
            unrouted: number(&QueueName::unrouted()),
            queues: queues(topology).map(place).collect(),
        }
    }

    /// Where an event of `source` published to `to` goes; nothing where no queue has that name.
    pub fn route(&self, to: &Destination, source: &SourceName) -> Option<Route> {
        match to {
            Destination::Events => Some(Route {
                journaled: self.journal,
                places: self.of_source(source),
            }),
            Destination::Queue(queue) => Some(Route {
                journaled: false,
                places: vec![*self.queues.get(queue)?],
            }),
        }
    }

    fn of_source(&self, source: &SourceName) -> Vec<Place> {
        let takes = self
            .pipelines
            .iter()
            .filter(|(takes, _)| takes.takes(source));
        let mut places: Vec<_> = takes.map(|(_, queue)| Place::Queue(*queue)).collect();
        if places.is_empty() {
            places.push(Place::Queue(self.unrouted));
        }
        places
    }
}

/// The queues of a topology that hold messages to be consumed; the journal is no queue here.
pub(super) fn queues(topology: &Topology) -> impl Iterator<Item = QueueName> {
    topology
        .queues()
        .into_iter()
        .filter_map(|queue| match queue.kind {
            QueueKind::Quorum => Some(queue.name),
            QueueKind::Stream(_) => None,
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Journal, Pipeline};

    fn routes() -> (Routes, Vec<QueueName>) {
        let pipeline = |name: &str, sources| Pipeline {
            name: name.parse().unwrap(),
            sources,
        };
        let only = SourceFilter::Only(vec!["stripe".parse().unwrap()]);
        let topology = Topology {
            sources: Vec::new(),
            pipelines: vec![pipeline("payments", only.clone()), pipeline("audit", only)],
            journal: Some(Journal::default()),
        };
        let names: Vec<_> = queues(&topology).collect();
        let number = |name: &QueueName| {
            let index = names.iter().position(|known| known == name).unwrap();
            QueueId(i64::try_from(index).unwrap())
        };
        (Routes::of(&topology, number), names)
    }

    fn check(to: &Destination, source: &str, expected: &[(&str, u64)]) {
        let (routes, names) = routes();
        let route = routes.route(to, &source.parse().unwrap()).unwrap();
        let name = |queue: QueueId| names[usize::try_from(queue.0).unwrap()].as_str();
        let found: Vec<_> = route
            .places
            .iter()
            .map(|place| match place {
                Place::Queue(queue) => (name(*queue), 0),
                Place::Later(queue, delay) => (name(*queue), delay.as_secs()),
            })
            .collect();
        assert_eq!(found, expected);
        assert_eq!(route.journaled, *to == Destination::Events);
    }

    #[test]
    fn every_destination_has_its_places() {
        let payments = "payments".parse().unwrap();
        let both = [("spillway.payments", 0), ("spillway.audit", 0)];
        check(&Destination::Events, "stripe", &both);
        check(&Destination::Events, "other", &[("spillway.unrouted", 0)]);
        let retry = QueueName::retry(&payments, Duration::from_secs(4));
        check(&Destination::Queue(retry), "x", &[("spillway.payments", 4)]);
        let dead = QueueName::dead(&payments);
        check(
            &Destination::Queue(dead),
            "x",
            &[("spillway.payments.dead", 0)],
        );
    }

    #[test]
    fn a_queue_that_is_not_declared_has_no_place() {
        let (routes, _) = routes();
        for queue in [
            QueueName::journal(),
            QueueName::main(&"gone".parse().unwrap()),
        ] {
            let to = Destination::Queue(queue);
            assert_eq!(routes.route(&to, &"x".parse().unwrap()), None);
        }
    }
}

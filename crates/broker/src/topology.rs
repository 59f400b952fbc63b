//! Exchanges, queues and bindings, as data. Both brokers read the same.
//!
//! ```text
//! spillway.events (fanout) ─┬─► spillway.journal (stream)
//!                           └─► spillway.route (direct, by source) ─► spillway.<pipeline>
//!                                  └─ alternate ► spillway.unrouted ─► spillway.unrouted (queue)
//! spillway.direct (direct, by queue name) ─► any queue              └─ alternate, the same
//! spillway.pulse (fanout) ─► whoever listens
//! ```
//!
//! The alternate belongs to `spillway.route` and not to `spillway.events`: an exchange is asked for its
//! alternate when *it* routes nowhere, and the fanout always reaches the journal. A stream does not fsync,
//! so an event that were confirmed on the journal alone could be lost.
//!
//! `spillway.route` compares whole keys and knows no patterns, which cost the broker more for every event: make it a
//! topic exchange and compare `cargo xtask bench --only ingest-alone`. So a pipeline of every source is bound by each.

use envelope::{PipelineName, SourceName};
use resilience::RETRY_DELAYS;
use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

/// The exchanges, queues and bindings that a configuration asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topology {
    /// Whose events may come, apart from those that pipelines name.
    pub sources: Vec<SourceName>,
    /// Who takes which events.
    pub pipelines: Vec<Pipeline>,
    /// How much of the past is kept for replay and reconcile; nothing keeps none.
    pub journal: Option<Journal>,
}

/// One consumer of events with its own queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pipeline {
    /// Its name.
    pub name: PipelineName,
    /// Whose events it takes.
    pub sources: SourceFilter,
}

/// Whose events a pipeline takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SourceFilter {
    /// Every source's. What routes binds it by all that the topology knows of.
    All,
    /// These sources'.
    Only(Vec<SourceName>),
}

/// The bounds of the journal, whichever comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Journal {
    /// How long an entry is kept.
    pub max_age: Duration,
    /// How many bytes are kept.
    pub max_bytes: u64,
}

impl Default for Journal {
    /// A day and 20 GB: a day is what an operator needs to notice and replay, and 20 GB is half a day of
    /// 330-byte events at 1,000 a second.
    fn default() -> Self {
        Self {
            max_age: Duration::from_secs(24 * 60 * 60),
            max_bytes: 20_000_000_000,
        }
    }
}

/// The name of a queue. Only the topology makes one, so each names a queue that is declared.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct QueueName(String);

/// Where an event is published to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination {
    /// `spillway.events`: into the journal, and by its source to every pipeline that takes it. For the
    /// door, and for nobody else.
    Events,
    /// `spillway.direct`: one queue. For retries, dead letters, repairs and replays, which must reach
    /// neither the journal nor another pipeline a second time.
    Queue(QueueName),
}

/// An exchange to declare.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exchange {
    /// Its name.
    pub name: &'static str,
    /// How it routes.
    pub kind: ExchangeKind,
    /// Where to when it routes nowhere.
    pub alternate: Option<&'static str>,
}

/// How an exchange routes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExchangeKind {
    /// To everything bound.
    Fanout,
    /// By equality.
    Direct,
}

/// A queue to declare.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Queue {
    /// Its name.
    pub name: QueueName,
    /// What keeps its messages.
    pub kind: QueueKind,
}

/// What keeps a queue's messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QueueKind {
    /// A quorum queue: the only type that fsyncs before it confirms.
    Quorum,
    /// A stream: it keeps what was read, and does not fsync. A witness, never a proof.
    Stream(Journal),
}

/// When and where a queue's messages move on without having been consumed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetterTo {
    /// The queue they go to.
    pub queue: QueueName,
    /// After this long; without it only when the broker gives a message up.
    pub after: Option<Duration>,
}

/// A binding to declare.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binding {
    /// The exchange that routes.
    pub from: &'static str,
    /// By this key.
    pub key: String,
    /// To this queue; nothing binds the exchange `spillway.route`.
    pub to: Option<QueueName>,
}

impl QueueName {
    /// The main queue of a pipeline.
    pub fn main(pipeline: &PipelineName) -> Self {
        Self(format!("spillway.{pipeline}"))
    }

    /// The queue in which a pipeline's events wait for `delay`, one of [`RETRY_DELAYS`].
    pub fn retry(pipeline: &PipelineName, delay: Duration) -> Self {
        Self(format!("spillway.{pipeline}.retry.{}s", delay.as_secs()))
    }

    /// Where a pipeline's dead letters wait to be archived.
    pub fn dead(pipeline: &PipelineName) -> Self {
        Self(format!("spillway.{pipeline}.dead"))
    }

    /// Where events wait that no pipeline takes.
    pub fn unrouted() -> Self {
        Self("spillway.unrouted".to_owned())
    }

    /// The stream of everything accepted.
    pub fn journal() -> Self {
        Self("spillway.journal".to_owned())
    }

    /// The name as text; at most 84 bytes, since a pipeline's name has at most 64.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for QueueName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl SourceFilter {
    /// Whether the pipeline takes this source's events.
    pub fn takes(&self, source: &SourceName) -> bool {
        match self {
            Self::All => true,
            Self::Only(sources) => sources.contains(source),
        }
    }
}

impl Topology {
    /// Where the door publishes.
    pub const EVENTS: &'static str = "spillway.events";
    /// Routes by source.
    pub const ROUTE: &'static str = "spillway.route";
    /// Routes by queue name.
    pub const DIRECT: &'static str = "spillway.direct";
    /// Carries the pulses of the workers; not on the event path.
    pub const PULSE: &'static str = "spillway.pulse";
    /// Takes what `spillway.route` and `spillway.direct` route nowhere.
    pub const UNROUTED: &'static str = "spillway.unrouted";

    /// Every source that is known of.
    fn known_sources(&self) -> BTreeSet<&SourceName> {
        let named = |pipeline| Pipeline::named(pipeline).iter();
        let named = self.pipelines.iter().flat_map(named);
        self.sources.iter().chain(named).collect()
    }

    /// Every pipeline's main queue.
    pub fn main_queues(&self) -> Vec<QueueName> {
        let main = |pipeline: &Pipeline| QueueName::main(&pipeline.name);
        self.pipelines.iter().map(main).collect()
    }

    /// The part that belongs to no pipeline: with it alone no event goes nowhere.
    pub fn backbone(&self) -> Self {
        Self {
            pipelines: Vec::new(),
            ..self.clone()
        }
    }

    /// The exchanges, each after the one it refers to.
    pub fn exchanges(&self) -> Vec<Exchange> {
        let exchange = |name, kind, alternate| Exchange {
            name,
            kind,
            alternate,
        };
        vec![
            exchange(Self::UNROUTED, ExchangeKind::Fanout, None),
            exchange(Self::ROUTE, ExchangeKind::Direct, Some(Self::UNROUTED)),
            exchange(Self::EVENTS, ExchangeKind::Fanout, None),
            // A retry whose queue an operator has deleted lands among the unrouted, not nowhere.
            exchange(Self::DIRECT, ExchangeKind::Direct, Some(Self::UNROUTED)),
            // Without an alternate: a pulse that nobody listens to is nothing.
            exchange(Self::PULSE, ExchangeKind::Fanout, None),
        ]
    }

    /// The queues.
    pub fn queues(&self) -> Vec<Queue> {
        let quorum = |name| Queue {
            name,
            kind: QueueKind::Quorum,
        };
        let mut queues = vec![quorum(QueueName::unrouted())];
        queues.extend(self.journal.map(|journal| Queue {
            name: QueueName::journal(),
            kind: QueueKind::Stream(journal),
        }));
        for pipeline in &self.pipelines {
            queues.extend(pipeline.queues().map(quorum));
        }
        queues
    }

    /// The bindings.
    pub fn bindings(&self) -> Vec<Binding> {
        let bind = |from, key: &str, to| Binding {
            from,
            key: key.to_owned(),
            to,
        };
        let mut bindings = vec![
            bind(Self::UNROUTED, "", Some(QueueName::unrouted())),
            bind(Self::EVENTS, "", None),
        ];
        if self.journal.is_some() {
            bindings.push(bind(Self::EVENTS, "", Some(QueueName::journal())));
        }
        for pipeline in &self.pipelines {
            let main = QueueName::main(&pipeline.name);
            let known = self.known_sources().into_iter();
            let taken = known.filter(|source| pipeline.sources.takes(source));
            bindings.extend(taken.map(|key| bind(Self::ROUTE, key.as_str(), Some(main.clone()))));
            let direct = |queue: QueueName| bind(Self::DIRECT, &queue.0.clone(), Some(queue));
            bindings.extend(pipeline.queues().map(direct));
        }
        bindings
    }

    /// When and where the messages of a queue move on unconsumed.
    pub fn dead_letter(&self, queue: &QueueName) -> Option<DeadLetterTo> {
        self.pipelines.iter().find_map(|pipeline| {
            let main = QueueName::main(&pipeline.name);
            if *queue == main {
                return Some(DeadLetterTo {
                    queue: QueueName::dead(&pipeline.name),
                    after: None,
                });
            }
            let waits = |delay: &Duration| *queue == QueueName::retry(&pipeline.name, *delay);
            let delay = RETRY_DELAYS.into_iter().find(waits)?;
            Some(DeadLetterTo {
                queue: main,
                after: Some(delay),
            })
        })
    }
}

impl Pipeline {
    /// The sources that it names.
    fn named(&self) -> &[SourceName] {
        match &self.sources {
            SourceFilter::All => &[],
            SourceFilter::Only(sources) => sources,
        }
    }

    fn queues(&self) -> impl Iterator<Item = QueueName> {
        let retries = RETRY_DELAYS.map(|delay| QueueName::retry(&self.name, delay));
        [QueueName::main(&self.name)]
            .into_iter()
            .chain(retries)
            .chain([QueueName::dead(&self.name)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fmt::Write;

    #[test]
    fn the_topology_is_what_operators_rely_on() {
        let topology = Topology {
            sources: vec!["default".parse().unwrap()],
            pipelines: vec![
                Pipeline {
                    name: "payments".parse().unwrap(),
                    sources: SourceFilter::All,
                },
                Pipeline {
                    name: "audit".parse().unwrap(),
                    sources: SourceFilter::Only(vec!["stripe-eu".parse().unwrap()]),
                },
            ],
            journal: Some(Journal::default()),
        };
        let mut text = String::new();
        for exchange in topology.exchanges() {
            writeln!(
                text,
                "exchange {} {:?} alternate={:?}",
                exchange.name, exchange.kind, exchange.alternate
            )
            .unwrap();
        }
        for queue in topology.queues() {
            write!(text, "queue {} {:?}", queue.name, queue.kind).unwrap();
            if let Some(to) = topology.dead_letter(&queue.name) {
                write!(text, " then {} after {:?}", to.queue, to.after).unwrap();
            }
            text.push('\n');
        }
        for binding in topology.bindings() {
            let to = binding
                .to
                .map_or(Topology::ROUTE.to_owned(), |queue| queue.to_string());
            writeln!(text, "bind {} [{}] {to}", binding.from, binding.key).unwrap();
        }
        insta::assert_snapshot!(text);
    }
}

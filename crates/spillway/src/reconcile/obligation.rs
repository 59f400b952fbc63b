//! What an event in the journal obliges us to: in each pipeline that takes it, a row or a letter. Pure.

use broker::Topology;
use envelope::{BodyHash, Envelope, EventId, Key, PipelineName, SourceName, UnixMicros};

/// One event in one pipeline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Obligation {
    pub(crate) pipeline: PipelineName,
    pub(crate) source: SourceName,
    pub(crate) event_id: EventId,
    pub(crate) received_at: UnixMicros,
    pub(crate) body: BodyHash,
    pub(crate) key: Key,
    /// The letter it shares with other copies, should it be a captured request.
    pub(crate) replayed_key: Option<Key>,
}

/// What a journal entry obliges us to. An event no pipeline takes is a letter of `unrouted`.
pub(crate) fn obligations(topology: &Topology, envelope: &Envelope) -> Vec<Obligation> {
    let takes = |pipeline: &&broker::Pipeline| pipeline.sources.takes(&envelope.source);
    let takers: Vec<_> = topology.pipelines.iter().filter(takes).collect();
    if takers.is_empty() {
        return vec![Obligation::new(unrouted(), envelope)];
    }
    let of = |pipeline: &broker::Pipeline| Obligation::new(pipeline.name.clone(), envelope);
    takers.into_iter().map(of).collect()
}

/// The name under which letters are filed that no pipeline takes.
pub(crate) fn unrouted() -> PipelineName {
    "unrouted".parse().expect("a name of ours")
}

impl Obligation {
    fn new(pipeline: PipelineName, envelope: &Envelope) -> Self {
        let replayed = |digest| Key::of_replayed(&pipeline, &envelope.source, digest);
        Self {
            key: envelope.key(&pipeline),
            replayed_key: envelope.signature_digest.as_ref().map(replayed),
            source: envelope.source.clone(),
            event_id: envelope.event_id.clone(),
            received_at: envelope.received_at,
            body: BodyHash::of(&envelope.body),
            pipeline,
        }
    }
}

//! Dead letters to archive.

use crate::batch::{Deed, RECEIVED};
use envelope::{Key, Wire, WireValue, header};
use ledger::{Candidate, DeadLetter};

/// The letter of an event that died after so many replays.
pub fn letter(candidate: &Candidate<Deed>, replays: u32) -> DeadLetter {
    let mut headers = Wire::default();
    let replays_header = WireValue::Int(i64::from(replays));
    headers
        .headers
        .insert(header::REPLAYS.into(), replays_header);
    DeadLetter {
        pipeline: candidate.pipeline.clone(),
        key: candidate.key,
        replays,
        event_id: Some(candidate.event_id.clone()),
        source: Some(candidate.source.clone()),
        reason: "schema".into(),
        class: "poison".into(),
        error: format!("failed after {replays} replays"),
        attempts: 1,
        payload: candidate.payload.clone(),
        headers,
        first_seen: RECEIVED,
        dead_at: RECEIVED,
    }
}

/// The letter of something that is not of ours, with as much nonsense in it as a broker lets through.
pub fn foreign(body: &'static [u8]) -> DeadLetter {
    let mut headers = Wire::default();
    let nonsense = WireValue::Text("a\0b\u{1f4a9}".into());
    headers.headers.insert("x-\0".into(), nonsense);
    DeadLetter {
        pipeline: "payments".parse().unwrap(),
        key: Key::of_foreign(body),
        replays: 0,
        event_id: None,
        source: None,
        reason: "foreign".into(),
        class: "poison".into(),
        error: "nul\0byte".into(),
        attempts: u16::MAX,
        payload: body.into(),
        headers,
        first_seen: envelope::UnixMicros(i64::MIN),
        dead_at: envelope::UnixMicros(i64::MAX),
    }
}

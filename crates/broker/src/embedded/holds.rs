//! Whether events lie in any queue: for whoever finds no trace of them elsewhere.

use super::schema;
use envelope::{EventId, SourceName, header};
use serde::Deserialize;
use std::borrow::Cow;
use std::collections::HashMap;
use std::path::Path;

/// The part of a wire form that names the event.
#[derive(Deserialize)]
struct Named<'a> {
    #[serde(borrow)]
    message_id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    headers: HashMap<Cow<'a, str>, serde_json::Value>,
}

/// Asks for all of them at one look. For a thread that may block: it reads the headers of everything queued.
pub(super) fn holds(path: &Path, events: &[(SourceName, EventId)]) -> rusqlite::Result<Vec<bool>> {
    let mut asked: HashMap<&str, Vec<usize>> = HashMap::new();
    for (index, (_, id)) in events.iter().enumerate() {
        asked.entry(id.as_str()).or_default().push(index);
    }
    let mut found = vec![false; events.len()];
    if events.is_empty() {
        return Ok(found);
    }
    let db = schema::open_to_read(path)?;
    // One statement, so an event that moves from one table to the other meanwhile is in one of them.
    let mut select = db.prepare(concat!(
        "SELECT coalesce(q.wire, e.wire) FROM queued q JOIN event e ON e.id = q.event UNION ALL ",
        "SELECT coalesce(d.wire, e.wire) FROM delayed d JOIN event e ON e.id = d.event"
    ))?;
    let mut rows = select.query([])?;
    while let Some(row) = rows.next()? {
        // What cannot be read names no event of ours.
        let Ok(named) = serde_json::from_slice::<Named<'_>>(row.get_ref(0)?.as_bytes()?) else {
            continue;
        };
        let named_so = named.message_id.as_deref().and_then(|id| asked.get(id));
        for &index in named_so.into_iter().flatten() {
            found[index] |= named.is_of(&events[index].0);
        }
    }
    Ok(found)
}

impl Named<'_> {
    fn is_of(&self, source: &SourceName) -> bool {
        let said = self.headers.get(header::SOURCE);
        said.and_then(serde_json::Value::as_str) == Some(source.as_str())
    }
}

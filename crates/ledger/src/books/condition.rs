//! The WHERE clause of a filter, in the words of both databases.

use super::{LetterCursor, LetterFilter, LetterState};
use envelope::{Key, UnixMicros};

/// Whether a letter's event has been applied. For one value, not EXISTS, so that it is asked by key for each
/// letter and never becomes a hash of the whole table. The bodies are compared only where the key is there:
/// another body (`conflicting_body`) is evidence, and stays dead.
pub(crate) const APPLIED: &str = "COALESCE((SELECT a.payload = l.payload \
    FROM processed_webhooks AS a WHERE a.key = l.key), false)";

/// Newest first. All in one direction, so that a page begins in the index where the last one ended.
pub(crate) const ORDER: &str = "l.dead_at DESC, l.pipeline DESC, l.key DESC";

/// What a list shows of `dead_letters AS l`.
pub(crate) fn columns() -> String {
    format!(
        "l.pipeline, l.key, l.replays, l.copies, l.event_id, l.source, l.reason, l.class, l.error, \
         l.attempts, length(l.payload), l.first_seen, l.dead_at, \
         CASE WHEN l.state = 'dead' AND {APPLIED} THEN 'superseded' ELSE l.state END"
    )
}

/// Where the two databases say the same differently.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Dialect {
    /// What a numbered parameter begins with.
    pub parameter: char,
    /// The function that finds the place of one text in another.
    pub place_of: &'static str,
}

/// A parameter of a statement that is put together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    Text(String),
    Moment(UnixMicros),
    Key(Key),
}

/// Conditions on `dead_letters AS l`, and their parameters from the first on.
///
/// Only the conditions that are asked for: in a statement with all of them (`$1 IS NULL OR …`) a plan
/// that is kept finds no index.
#[derive(Debug)]
pub(crate) struct Condition {
    dialect: Dialect,
    sql: String,
    values: Vec<Value>,
}

impl Condition {
    pub(crate) fn new(dialect: Dialect) -> Self {
        Self {
            dialect,
            sql: "true".to_owned(),
            values: Vec::new(),
        }
    }

    /// What a filter asks for.
    pub(crate) fn of(dialect: Dialect, filter: &LetterFilter) -> Self {
        let mut it = Self::new(dialect);
        it.stand(filter.state);
        if filter.state == Some(LetterState::Dead) {
            it.and(&format!("NOT {APPLIED}"));
        }
        it.equals("source", filter.source.as_ref().map(|it| it.as_str()));
        it.equals("event_id", filter.event_id.as_ref().map(|it| it.as_str()));
        it.equals("pipeline", filter.pipeline.as_ref().map(|it| it.as_str()));
        it.equals("reason", filter.reason.as_deref());
        it.equals("class", filter.class.as_deref());
        it.moment("l.dead_at >= ", filter.since);
        it.moment("l.dead_at < ", filter.until);
        it.contains("error", filter.text.as_deref());
        it
    }

    /// As it is written down. A word of ours in the text, not a parameter: only so is the index of the dead
    /// ones known to fit.
    pub(crate) fn stand(&mut self, state: Option<LetterState>) {
        let Some(state) = state else { return };
        self.and(&format!("l.state = '{state}'"));
    }

    /// Behind this letter, in the order of [`ORDER`].
    pub(crate) fn after(&mut self, cursor: Option<&LetterCursor>) {
        let Some(cursor) = cursor else { return };
        let at = self.bind(Value::Moment(cursor.dead_at));
        let pipeline = self.bind(Value::Text(cursor.id.pipeline.to_string()));
        let key = self.bind(Value::Key(cursor.id.key));
        self.and(&format!(
            "(l.dead_at, l.pipeline, l.key) < ({at}, {pipeline}, {key})"
        ));
    }

    pub(crate) fn sql(&self) -> &str {
        &self.sql
    }

    pub(crate) fn values(&self) -> &[Value] {
        &self.values
    }

    fn equals(&mut self, column: &str, text: Option<&str>) {
        let Some(text) = text else { return };
        let place = self.bind(Value::Text(text.to_owned()));
        self.and(&format!("l.{column} = {place}"));
    }

    fn moment(&mut self, condition: &str, moment: Option<UnixMicros>) {
        let Some(moment) = moment else { return };
        let place = self.bind(Value::Moment(moment));
        self.and(&format!("{condition}{place}"));
    }

    /// Both in lower case: what a database makes of letters beyond ASCII is its own affair.
    fn contains(&mut self, column: &str, text: Option<&str>) {
        let Some(text) = text else { return };
        let place_of = self.dialect.place_of;
        let place = self.bind(Value::Text(text.to_owned()));
        self.and(&format!(
            "{place_of}(lower(l.{column}), lower({place})) > 0"
        ));
    }

    fn bind(&mut self, value: Value) -> String {
        self.values.push(value);
        format!("{}{}", self.dialect.parameter, self.values.len())
    }

    fn and(&mut self, condition: &str) {
        self.sql.push_str(" AND ");
        self.sql.push_str(condition);
    }
}

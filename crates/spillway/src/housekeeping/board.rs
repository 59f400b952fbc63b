//! `/scaling/{pipeline}`: how many workers a pipeline should have, and why, for whoever runs them.

use super::sight::Sight;
use axum::Router;
use axum::extract::Path;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use envelope::PipelineName;
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// A look that is older says nothing any more.
const FRESH_FOR: Duration = Duration::from_secs(5);

/// What is known of each pipeline now. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Board(Arc<Mutex<BTreeMap<PipelineName, Entry>>>);

#[derive(Clone, Copy, Debug, Default)]
struct Entry {
    sight: Option<(Sight, Duration)>,
    desired: Option<u32>,
    held: Option<&'static str>,
}

/// The page; its fields are what operators and autoscalers rely on.
#[derive(Debug, Serialize)]
struct Page<'a> {
    pipeline: &'a str,
    /// How many workers there should be; nothing until the ledger has said which number was the last.
    desired_workers: Option<u32>,
    /// Why the number stands; nothing where it has just changed.
    held: Option<&'static str>,
    /// Workers heard of in the last five seconds. This and what follows is nothing while the broker is away.
    workers: Option<u64>,
    /// What the policy goes by: ready and in hand.
    backlog: Option<u64>,
    ready: Option<u64>,
    unacked: Option<u64>,
    /// Waiting for another try; no reason to grow.
    parked: Option<u64>,
    oldest_age_seconds: Option<f64>,
}

impl Board {
    /// For these pipelines.
    pub(super) fn new(pipelines: impl IntoIterator<Item = PipelineName>) -> Self {
        let entries = pipelines.into_iter().map(|name| (name, Entry::default()));
        Self(Arc::new(Mutex::new(entries.collect())))
    }

    /// The page of each pipeline, for the admin port.
    pub(crate) fn pages(&self) -> Router {
        let board = self.clone();
        let answer = async move |Path(name): Path<String>| board.answer(&name, Instant::now());
        Router::new().route("/scaling/{pipeline}", get(answer))
    }

    /// A look, and the age of what waits.
    pub(super) fn saw(&self, pipeline: &PipelineName, sight: Sight, oldest_age: Duration) {
        if let Some(entry) = self.entries().get_mut(pipeline) {
            entry.sight = Some((sight, oldest_age));
        }
    }

    /// What the policy has said; where the ledger is away the last number stands.
    pub(super) fn decided(
        &self,
        pipeline: &PipelineName,
        desired: Option<u32>,
        held: Option<&'static str>,
    ) {
        if let Some(entry) = self.entries().get_mut(pipeline) {
            entry.desired = desired.or(entry.desired);
            entry.held = held;
        }
    }

    /// The last look, if it is fresh.
    pub(super) fn sight(&self, pipeline: &PipelineName, now: Instant) -> Option<Sight> {
        let entries = self.entries();
        let (sight, _) = entries.get(pipeline)?.fresh(now)?;
        Some(sight)
    }

    /// How many workers there should be, once that is known.
    pub(crate) fn desired(&self, pipeline: &PipelineName) -> Option<u32> {
        self.entries().get(pipeline)?.desired
    }

    fn answer(&self, name: &str, now: Instant) -> impl IntoResponse + use<> {
        let entries = self.entries();
        let entry = entries.iter().find(|(known, _)| known.as_str() == name);
        let (status, page) = match entry {
            Some((_, entry)) => entry.page(name, now),
            None => (
                StatusCode::NOT_FOUND,
                "{\"error\": \"there is no such pipeline\"}\n".to_owned(),
            ),
        };
        (status, [(header::CONTENT_TYPE, "application/json")], page)
    }

    /// Whoever panicked with it has at worst left an old number.
    fn entries(&self) -> MutexGuard<'_, BTreeMap<PipelineName, Entry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entry {
    fn fresh(&self, now: Instant) -> Option<(Sight, Duration)> {
        self.sight
            .filter(|(sight, _)| now.duration_since(sight.at) < FRESH_FOR)
    }

    /// 503 until the number is known: an autoscaler then leaves the workers as they are.
    fn page(&self, name: &str, now: Instant) -> (StatusCode, String) {
        let fresh = self.fresh(now);
        let seen = |part: fn(&Sight) -> u64| fresh.map(|(sight, _)| part(&sight));
        let page = Page {
            pipeline: name,
            desired_workers: self.desired,
            held: self.held,
            workers: seen(|sight| sight.workers),
            backlog: seen(|sight| sight.ready + sight.unacked),
            ready: seen(|sight| sight.ready),
            unacked: seen(|sight| sight.unacked),
            parked: seen(|sight| sight.parked),
            oldest_age_seconds: fresh.map(|(_, age)| age.as_secs_f64()),
        };
        let status = match self.desired {
            Some(_) => StatusCode::OK,
            None => StatusCode::SERVICE_UNAVAILABLE,
        };
        let text = serde_json::to_string_pretty(&page).expect("strings and numbers");
        (status, text + "\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(board: &Board, name: &str, now: Instant) -> (StatusCode, String) {
        let answer = board.answer(name, now).into_response();
        let status = answer.status();
        let body =
            futures_util::FutureExt::now_or_never(axum::body::to_bytes(answer.into_body(), 10_000));
        let body = body.expect("all of it is there").unwrap();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    #[test]
    fn the_page_is_what_autoscalers_rely_on() {
        let (name, now): (PipelineName, _) = ("payments".parse().unwrap(), Instant::now());
        let board = Board::new([name.clone()]);
        assert_eq!(shown(&board, "payment", now).0, StatusCode::NOT_FOUND);
        let (status, page) = shown(&board, "payments", now);
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        assert!(page.contains(r#""desired_workers": null"#), "{page}");
        let sight = Sight::for_tests(5_800, 323, 12, 5);
        board.saw(&name, sight, Duration::from_millis(3_250));
        board.decided(&name, Some(7), Some("cooling_down"));
        let (status, page) = shown(&board, "payments", sight.at);
        assert_eq!(status, StatusCode::OK);
        insta::assert_snapshot!(page);
        board.decided(&name, None, Some("ledger_away"));
        let (status, page) = shown(&board, "payments", sight.at + FRESH_FOR);
        assert_eq!(status, StatusCode::OK, "the last number stands");
        insta::assert_snapshot!(page);
    }
}

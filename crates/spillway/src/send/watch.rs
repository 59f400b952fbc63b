//! Watches the ledger until an event is applied, or dead, or too long under way.

use crate::data_dir::DataDir;
use anyhow::Context;
use envelope::{EventId, Key, PipelineName, SourceName};
use ledger::{Found, Ledger, LedgerSettings, LedgerUrl, PostgresLedger, SqliteLedger};
use ops::config::{self, Config};
use std::time::{Duration, Instant};
use tokio::time::sleep;

/// How often the ledger is asked about one event.
const POLL_INTERVAL: Duration = Duration::from_millis(5);

/// A ledger, whichever it is, and the pipelines that take the source's events.
pub(super) struct Ledgers {
    ledger: Either,
    source: SourceName,
    pipelines: Vec<PipelineName>,
}

enum Either {
    Postgres(Box<PostgresLedger>),
    Sqlite(SqliteLedger),
}

/// What became of an event in every pipeline that takes it.
pub(super) enum Fate {
    /// All have applied it.
    Applied { after: Duration },
    /// One has given it up.
    Dead {
        pipeline: PipelineName,
        reason: String,
        error: String,
    },
    /// Not all have, in the time given.
    Waiting { pipelines: Vec<PipelineName> },
}

impl Ledgers {
    /// The ledger of the configuration, else the one of `serve`; nothing where there is neither.
    pub(super) async fn find(
        config: &Config,
        data_dir: &DataDir,
        source: SourceName,
    ) -> anyhow::Result<Option<Self>> {
        let settings = LedgerSettings::new("spillway-send");
        let ledger = match config
            .ledger
            .url
            .as_deref()
            .map(str::parse::<LedgerUrl>)
            .transpose()?
        {
            Some(LedgerUrl::Postgres(url)) => {
                Either::Postgres(Box::new(PostgresLedger::connect(&url, settings).await?))
            }
            Some(LedgerUrl::Sqlite(path)) => {
                Either::Sqlite(SqliteLedger::open_read_only(&path, &settings)?)
            }
            None if data_dir.ledger().exists() => {
                Either::Sqlite(SqliteLedger::open_read_only(&data_dir.ledger(), &settings)?)
            }
            None => return Ok(None),
        };
        let takes = |pipeline: &&broker::Pipeline| pipeline.sources.takes(&source);
        let pipelines = config::topology(config).pipelines;
        let pipelines = pipelines
            .iter()
            .filter(takes)
            .map(|pipeline| pipeline.name.clone())
            .collect();
        Ok(Some(Self {
            ledger,
            source,
            pipelines,
        }))
    }

    pub(super) async fn watch(&self, id: &EventId, patience: Duration) -> anyhow::Result<Fate> {
        let started = Instant::now();
        let mut waiting = self.pipelines.clone();
        while started.elapsed() < patience {
            while let Some(pipeline) = waiting.last() {
                match self.look_up(pipeline, id).await? {
                    Some(Found::Applied { .. }) => drop(waiting.pop()),
                    Some(Found::Dead { reason, error }) => {
                        return Ok(Fate::Dead {
                            pipeline: pipeline.clone(),
                            reason,
                            error,
                        });
                    }
                    None => break,
                }
            }
            if waiting.is_empty() {
                return Ok(Fate::Applied {
                    after: started.elapsed(),
                });
            }
            sleep(POLL_INTERVAL).await;
        }
        Ok(Fate::Waiting { pipelines: waiting })
    }

    async fn look_up(
        &self,
        pipeline: &PipelineName,
        id: &EventId,
    ) -> anyhow::Result<Option<Found>> {
        let key = Key::of(pipeline, &self.source, id);
        let found = match &self.ledger {
            Either::Postgres(ledger) => ledger.look_up(pipeline, key).await,
            Either::Sqlite(ledger) => ledger.look_up(pipeline, key).await,
        };
        found.context("cannot look into the ledger")
    }
}

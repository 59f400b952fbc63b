//! Where an operator's command finds broker and ledger: the same configuration as the programs, or the folder
//! of a `serve`, which may be running.

use crate::data_dir::{self, DataDir};
use anyhow::{Context, bail};
use broker::{Broker, BrokerUrl, Topology};
use clap::Args;
use envelope::UnixMicros;
use ledger::{Books, Ledger, LedgerSettings, LedgerUrl, PostgresLedger, SqliteLedger};
use ops::config::{self, Config};
use std::path::PathBuf;
use std::time::SystemTime;
use tokio_util::sync::CancellationToken;

/// Where broker and ledger are.
#[derive(Clone, Debug, Args)]
pub(crate) struct At {
    /// The configuration file (TOML).
    #[arg(long, env = "SPILLWAY_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// The folder of `serve`, for what the configuration does not name.
    #[arg(long, default_value = data_dir::DEFAULT, value_name = "FOLDER")]
    data_dir: PathBuf,
}

/// A command that needs the ledger.
pub(crate) trait Errand {
    /// Runs it.
    async fn run<L: Ledger + Books>(self, desk: Desk<L>) -> anyhow::Result<()>;
}

/// What a command works with.
pub(crate) struct Desk<L> {
    pub(crate) ledger: L,
    pub(crate) config: Config,
    pub(crate) topology: Topology,
    /// Ctrl-C.
    pub(crate) stop: CancellationToken,
    data_dir: DataDir,
}

impl At {
    /// Runs a command at this broker and ledger.
    pub(crate) async fn run(&self, errand: impl Errand) -> anyhow::Result<()> {
        let config = config::load(self.config.as_deref())?;
        let data_dir = DataDir::new(&self.data_dir);
        let url = match config.ledger.url.as_deref() {
            Some(url) => url.parse()?,
            None if data_dir.ledger().exists() => LedgerUrl::Sqlite(data_dir.ledger()),
            None => bail!(
                "no ledger: set SPILLWAY_LEDGER_URL or [ledger] url, or --data-dir to the folder of a spillway serve"
            ),
        };
        let settings = LedgerSettings::new("spillway");
        match url {
            LedgerUrl::Postgres(url) => {
                let ledger = PostgresLedger::connect(&url, settings).await?;
                ledger.check_schema().await?;
                errand.run(Desk::new(ledger, config, data_dir)?).await
            }
            LedgerUrl::Sqlite(path) if path.exists() => {
                let ledger = SqliteLedger::open(&path, &settings)?;
                errand.run(Desk::new(ledger, config, data_dir)?).await
            }
            // Opened, it would be made, and found empty.
            LedgerUrl::Sqlite(path) => bail!("there is no ledger {}", path.display()),
        }
    }
}

impl<L> Desk<L> {
    fn new(ledger: L, config: Config, data_dir: DataDir) -> anyhow::Result<Self> {
        Ok(Self {
            ledger,
            topology: config::topology(&config),
            config,
            stop: ops::stop_signal()?,
            data_dir,
        })
    }

    /// From when on the ledger is sure to know what it has applied: what was received before this may have been
    /// forgotten by retention, now or while we ask.
    pub(crate) fn remembered_since(&self) -> UnixMicros {
        let kept = self.config.retention.processed * 19 / 20;
        let since = SystemTime::now().checked_sub(kept);
        UnixMicros::from(since.unwrap_or(SystemTime::UNIX_EPOCH))
    }

    /// The broker, to look at and to publish to. Its tasks end with `stop`.
    pub(crate) async fn broker(&self) -> anyhow::Result<Broker> {
        let url = match self.config.broker.url.as_deref() {
            Some(url) => url.parse()?,
            None if self.data_dir.broker().exists() => BrokerUrl::Embedded(self.data_dir.broker()),
            None => bail!(
                "no broker: set SPILLWAY_BROKER_URL or [broker] url, or --data-dir to the folder of a spillway serve"
            ),
        };
        let settings = self.config.broker.settings("spillway");
        let broker = Broker::attach(&url, &self.topology, settings, self.stop.clone())?;
        let ready = tokio::time::timeout(PATIENCE, broker.ready()).await;
        ready.context("the broker does not answer")??;
        Ok(broker)
    }
}

/// A person waits. A broker that answers does so within a second; the first declaration of all settles for
/// five.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(15);

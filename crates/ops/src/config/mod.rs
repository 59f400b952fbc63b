//! Configuration: one TOML file, environment over file, flags over both.
//!
//! Every bound is here with its reason (I8). Secrets are references, never values: `env:NAME`, `file:PATH`
//! or `age:PATH`.

mod age_file;
mod door;
mod hmac;
mod layers;
mod load;
mod network;
mod print;
mod rotation;
mod secrets;
mod topology;

use confique::{Config as Confique, Layer as _};
use envelope::{PipelineName, SourceName};
use resilience::ScalingPolicy;
use serde::Deserialize;
use signing::SchemeName;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

pub use age_file::{AGE_IDENTITY, AGE_IDENTITY_FILE, Recipient, encrypt};
pub use door::{HeaderName, TlsFiles, any_contains};
pub use hmac::{HmacConfig, HmacEncoding};
pub use load::{ConfigError, Problem, load, parse};
pub use network::Network;
pub use print::{effective, reference};
pub use rotation::{Rotation, Turned};
pub use secrets::{SecretRef, Sources, WEBHOOK_SECRET, read_sources, with_default_source};
pub use topology::topology;

/// The whole configuration of any program.
#[derive(Clone, Debug, Confique)]
pub struct Config {
    /// The queue between ingest and worker.
    #[config(nested)]
    pub broker: BrokerConfig,
    /// The business database.
    #[config(nested)]
    pub ledger: LedgerConfig,
    /// The cache of claims; optional.
    #[config(nested)]
    pub recall: RecallConfig,
    /// The door.
    #[config(nested)]
    pub ingest: IngestConfig,
    /// Where the door keeps events while the broker is away; optional.
    #[config(nested)]
    pub spool: SpoolConfig,
    /// The worker.
    #[config(nested)]
    pub worker: WorkerConfig,
    /// The record of everything accepted.
    #[config(nested)]
    pub journal: JournalConfig,
    /// How long rows are kept.
    #[config(nested)]
    pub retention: RetentionConfig,
    /// The comparison of the journal with the ledger.
    #[config(nested)]
    pub reconcile: ReconcileConfig,
    /// How many workers a pipeline should have.
    #[config(nested)]
    pub scaling: ScalingConfig,
    /// The control server.
    #[config(nested)]
    pub control: ControlConfig,
    /// Logs.
    #[config(nested)]
    pub log: LogConfig,
    /// The secrets of the sources.
    #[config(nested)]
    pub secrets: SecretsConfig,
    /// Who may send: `[sources.NAME]`, reached at `/webhooks/NAME`.
    #[config(default = {})]
    pub sources: BTreeMap<SourceName, SourceConfig>,
    /// What is done with events: `[pipelines.NAME]`. None means one named `payments` for every source.
    #[config(default = {})]
    pub pipelines: BTreeMap<PipelineName, PipelineConfig>,
}

/// `[broker]`
#[derive(Clone, Debug, Confique)]
pub struct BrokerConfig {
    /// `amqp://user:password@host:5672/vhost`, or `embedded:PATH`; `file:PATH` reads it from a file and
    /// `age:PATH` from an encrypted one, as with every URL.
    #[config(env = "SPILLWAY_BROKER_URL")]
    pub url: Option<String>,
    /// How long queues that did not exist before are left alone at the first start of all: a RabbitMQ 3.10
    /// killed within three seconds of making them forgets them, with what it had confirmed.
    #[config(
        default = "5s",
        env = "SPILLWAY_BROKER_SETTLE_NEW_QUEUES",
        deserialize_with = humantime_serde::deserialize
    )]
    pub settle_new_queues: Duration,
}

/// `[ledger]`
#[derive(Clone, Debug, Confique)]
pub struct LedgerConfig {
    /// `postgres://user:password@host:5432/database`, or `sqlite:PATH`.
    #[config(env = "SPILLWAY_LEDGER_URL")]
    pub url: Option<String>,
}

/// `[recall]`
#[derive(Clone, Debug, Confique)]
pub struct RecallConfig {
    /// `redis://host:6379`. Without it duplicates meet at the ledger's unique row: correct, and slower
    /// in a storm.
    #[config(env = "SPILLWAY_RECALL_URL")]
    pub url: Option<String>,
}

/// `[ingest]`
#[derive(Clone, Debug, Confique)]
pub struct IngestConfig {
    /// Where webhooks arrive.
    #[config(default = "127.0.0.1:8080", env = "SPILLWAY_INGEST_LISTEN")]
    pub listen: SocketAddr,
    /// Health and metrics.
    #[config(default = "127.0.0.1:9081", env = "SPILLWAY_INGEST_ADMIN_LISTEN")]
    pub admin_listen: SocketAddr,
    /// From the last byte of the body to the answer. Senders are promised under one second; the rest is
    /// for the network.
    #[config(default = "800ms", deserialize_with = humantime_serde::deserialize)]
    pub answer_deadline: Duration,
    /// The largest body. Providers stay under 256 KiB; the broker's own limit is 16 MiB.
    #[config(default = 1_048_576)]
    pub body_max_bytes: usize,
    /// From accepting a connection, or the first byte of a later request, to the end of its head.
    #[config(default = "5s", deserialize_with = humantime_serde::deserialize)]
    pub header_read_timeout: Duration,
    /// For how long a connection may rest between two requests. Longer than whoever connects keeps it: a balancer that
    /// sends a request just as we hang up answers 502 for us. 60 s are usual there. Only a peer that has sent a good
    /// signature on it, or a trusted proxy, has this long; others have `header_read_timeout`.
    #[config(default = "75s", deserialize_with = humantime_serde::deserialize)]
    pub keep_alive_timeout: Duration,
    /// From the head to the last byte of the body.
    #[config(default = "10s", deserialize_with = humantime_serde::deserialize)]
    pub body_read_timeout: Duration,
    /// Open connections; above it the kernel's backlog waits. A stranger who says nothing holds one for
    /// `header_read_timeout`, so this many silent senders every five seconds are what it takes to keep others waiting;
    /// each costs some 22 kB.
    #[config(default = 8192)]
    pub connections_max: usize,
    /// Requests whose body is there and that are being answered; above it 503 at once. Four channels confirm 512 at a time, and as many
    /// again may wait within the deadline.
    #[config(default = 2048)]
    pub requests_max: usize,
    /// Body bytes that have come and are being held; above it 503 at once.
    #[config(default = 67_108_864)]
    pub bytes_in_flight_max: usize,
    /// Events ready in the fullest pipeline's queue above which the answer is 503. The queue itself has no
    /// length, so that retries and dead letters never meet a full one; ten million events of a kilobyte are
    /// 10 GB on the broker's disk.
    #[config(default = 10_000_000, env = "SPILLWAY_INGEST_MAX_BACKLOG")]
    pub max_backlog: u64,
    /// How long an answer may wait for its sender to take it. Answers are short: only who sends many and reads none
    /// of theirs, or is gone, gets that far. Where the system is Linux.
    #[config(default = "10s", deserialize_with = humantime_serde::deserialize)]
    pub answer_write_timeout: Duration,
    /// How long a stop waits for requests in flight.
    #[config(default = "10s", deserialize_with = humantime_serde::deserialize)]
    pub drain_timeout: Duration,
    /// Proxies in front of us, such as `["10.0.0.0/8"]`: what they write into `client_address_header` is believed,
    /// and of nobody else.
    #[config(default = [])]
    pub trusted_proxies: Vec<Network>,
    /// Where they write the addresses they were asked from, such as `X-Forwarded-For`: a list, the last one theirs.
    pub client_address_header: Option<HeaderName>,
    /// TLS to senders, where no proxy ends it before us.
    #[config(nested)]
    pub tls: TlsConfig,
}

/// `[ingest.tls]`
#[derive(Clone, Debug, Confique)]
pub struct TlsConfig {
    /// The certificate and those between it and its authority (PEM, our own first). With it and `key` the door
    /// speaks TLS 1.2 and 1.3, and nothing else; both are read again as `[secrets] reread_every` says.
    #[config(env = "SPILLWAY_INGEST_TLS_CERTIFICATE")]
    pub certificate: Option<PathBuf>,
    /// The certificate's private key (PEM).
    #[config(env = "SPILLWAY_INGEST_TLS_KEY")]
    pub key: Option<PathBuf>,
    /// From accepting a connection to the end of its handshake. It is two round trips and one signature: as long
    /// as a request's head may take, so that to be silent before it is worth no more than after.
    #[config(default = "5s", deserialize_with = humantime_serde::deserialize)]
    pub handshake_timeout: Duration,
}

/// `[spool]`
#[derive(Clone, Debug, Confique)]
pub struct SpoolConfig {
    /// A file on a disk that outlives the machine, such as `/var/lib/spillway/spool.db`; one for each
    /// ingest. Without it there is no spool: most providers send again after a 503, and an ingest that
    /// keeps nothing can be thrown away.
    #[config(env = "SPILLWAY_SPOOL_PATH")]
    pub path: Option<PathBuf>,
    /// How much lies in it at most; above it 503. 1 GiB is 20 minutes of 500-byte events at 1,000 a second,
    /// and beside it the file has a log of at most some 20 MB.
    #[config(default = 1_073_741_824)]
    pub max_bytes: u64,
    /// Events a second that go from the spool to a broker that is back, beside the new ones: a broker
    /// that has just come back should not be met by everything at once.
    #[config(default = 1000)]
    pub drain_rate: NonZeroU32,
}

/// `[worker]`
#[derive(Clone, Debug, Confique)]
pub struct WorkerConfig {
    /// Health and metrics; port 0 takes any free one.
    #[config(default = "127.0.0.1:9082", env = "SPILLWAY_WORKER_ADMIN_LISTEN")]
    pub admin_listen: SocketAddr,
    /// Which pipeline this worker runs; needed only where there are several.
    #[config(env = "SPILLWAY_WORKER_PIPELINE")]
    pub pipeline: Option<PipelineName>,
    /// Deliveries in hand, four batches: one commits, the one before it is acked, the next is made ready, and
    /// one is on its way. RabbitMQ caps it at 2,000 on quorum queues.
    #[config(default = 1024)]
    pub prefetch: u16,
    /// Events in one transaction. Measured: 128 rows a statement are as fast as 512, within a third.
    #[config(default = 256)]
    pub batch_max: usize,
    /// Events a second that one worker applies at most, such as 400: for a small database that others use too.
    #[config(env = "SPILLWAY_WORKER_MAX_RATE")]
    pub max_rate: Option<NonZeroU32>,
    /// How long a stop waits for the batch in hand.
    #[config(default = "20s", deserialize_with = humantime_serde::deserialize)]
    pub drain_timeout: Duration,
}

/// `[journal]`
#[derive(Clone, Copy, Debug, Confique)]
pub struct JournalConfig {
    /// Whether accepted events are also kept in the journal. Without it `reconcile` and `replay` see
    /// nothing, and say so. Every program has to be told the same.
    #[config(default = true, env = "SPILLWAY_JOURNAL_ENABLED")]
    pub enabled: bool,
    /// How long an entry is kept. A day is what an operator needs to notice and replay. A RabbitMQ refuses
    /// another age for a stream that exists: delete `spillway.journal` first.
    #[config(default = "24h", deserialize_with = humantime_serde::deserialize)]
    pub max_age: Duration,
    /// How many bytes are kept: 20 GB is half a day of 330-byte events at 1,000 a second.
    #[config(default = 20_000_000_000u64)]
    pub max_bytes: u64,
}

/// `[retention]`. What brings an event back must be gone before the row that would recognise it.
#[derive(Clone, Copy, Debug, Confique)]
pub struct RetentionConfig {
    /// How long an event is known as applied. A delivery received longer ago than this is a dead letter,
    /// `beyond_retention`, and is never applied: whether it was before, nobody can tell any more.
    #[config(
        default = "30d",
        env = "SPILLWAY_RETENTION_PROCESSED",
        deserialize_with = humantime_serde::deserialize
    )]
    pub processed: Duration,
    /// How long a dead letter is kept, replayed or not.
    #[config(
        default = "30d",
        env = "SPILLWAY_RETENTION_DEAD_LETTERS",
        deserialize_with = humantime_serde::deserialize
    )]
    pub dead_letters: Duration,
}

/// `[reconcile]`
#[derive(Clone, Copy, Debug, Confique)]
pub struct ReconcileConfig {
    /// How often the background run looks at what has come since the last one.
    #[config(
        default = "10s",
        env = "SPILLWAY_RECONCILE_EVERY",
        deserialize_with = humantime_serde::deserialize
    )]
    pub every: Duration,
    /// Whether the background run publishes what is missing again. Off: a person should first know why.
    #[config(default = false, env = "SPILLWAY_RECONCILE_REPAIR")]
    pub repair: bool,
}

/// `[scaling]`: when the desired number of workers changes, and how fast. See docs/scaling.md.
#[derive(Clone, Copy, Debug, Confique)]
pub struct ScalingConfig {
    /// A backlog (ready and in hand) above this wants more workers: one for each so many events. A worker
    /// applies some 2,000 a second, so a thousand is half a second of one's work.
    #[config(default = 1000, env = "SPILLWAY_SCALING_UP_ABOVE")]
    pub up_above: u64,
    /// A backlog below this for a while wants fewer. Far below the other one, so that a fleet that is just
    /// right is left alone.
    #[config(default = 100, env = "SPILLWAY_SCALING_DOWN_BELOW")]
    pub down_below: u64,
    /// Never fewer workers. Not 0: what is left below `down_below` would wait for ever.
    #[config(default = 1, env = "SPILLWAY_SCALING_MIN")]
    pub min: u32,
    /// Never more. Each has some connections to the database: fifty are what a Postgres of a usual size takes.
    #[config(default = 50, env = "SPILLWAY_SCALING_MAX")]
    pub max: u32,
    /// Between two changes. A worker takes some seconds to start, and its share shows in the next look.
    #[config(
        default = "15s",
        env = "SPILLWAY_SCALING_COOL_DOWN",
        deserialize_with = humantime_serde::deserialize
    )]
    pub cool_down: Duration,
    /// How long the backlog has to have been small: senders that come in waves should find the fleet that
    /// the last wave has built.
    #[config(
        default = "60s",
        env = "SPILLWAY_SCALING_CALM",
        deserialize_with = humantime_serde::deserialize
    )]
    pub calm: Duration,
}

impl ScalingConfig {
    /// As the policy wants it.
    pub fn policy(&self) -> ScalingPolicy {
        let &Self {
            up_above,
            down_below,
            min,
            max,
            cool_down,
            calm,
        } = self;
        ScalingPolicy {
            up_above,
            down_below,
            min,
            max,
            cool_down,
            calm,
        }
    }
}

/// `[control]`
#[derive(Clone, Debug, Confique)]
pub struct ControlConfig {
    /// Health and metrics.
    #[config(default = "127.0.0.1:9080", env = "SPILLWAY_CONTROL_LISTEN")]
    pub listen: SocketAddr,
}

/// `[log]`
#[derive(Clone, Copy, Debug, Confique)]
pub struct LogConfig {
    /// `text` for people, `json` for machines.
    #[config(default = "text", env = "SPILLWAY_LOG_FORMAT")]
    pub format: LogFormat,
}

/// `[secrets]`
#[derive(Clone, Copy, Debug, Confique)]
pub struct SecretsConfig {
    /// How often secrets in files are read again, so that one can be replaced without a restart. Kubernetes
    /// takes a minute to bring a new one; the files are small.
    #[config(
        default = "5s",
        env = "SPILLWAY_SECRETS_REREAD_EVERY",
        deserialize_with = humantime_serde::deserialize
    )]
    pub reread_every: Duration,
}

/// How a log line is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Text,
    /// For machines.
    Json,
}

/// `[sources.NAME]`
#[derive(Clone, Debug, Confique)]
pub struct SourceConfig {
    /// How it signs: `spillway`, `standard-webhooks`, `svix`, `stripe`, `github`, `shopify`, `slack`, `hmac` as
    /// `[sources.NAME.hmac]` says, or `none`.
    #[config(default = "spillway", deserialize_with = scheme)]
    pub scheme: SchemeName,
    /// What it signs with: `env:NAME`, `file:PATH`, `age:PATH`. Any of them verifies, so that a secret can be rotated.
    #[config(default = [])]
    pub secrets: Vec<SecretRef>,
    /// Has to be true for `scheme = "none"`: whoever reaches the port is believed.
    #[config(default = false)]
    pub insecure: bool,
    /// The scheme `hmac`: `[sources.NAME.hmac]`.
    pub hmac: Option<HmacConfig>,
    /// What becomes of signed bytes that come again under another event id: `quarantine`, `alarm` or `off`.
    #[config(default = "quarantine")]
    pub replay_guard: ReplayGuard,
    /// For how long the sender sends an event again that was not answered 200. The longest schedule we know, that
    /// of the Standard Webhooks specification, ends after 75 h 35 min.
    #[config(default = "96h", deserialize_with = humantime_serde::deserialize)]
    pub resend_horizon: Duration,
    /// Requests a second that are looked at; above it 429, before the body is read and so before anybody knows who
    /// sends. Without it only what is in flight is bounded, for all sources together.
    pub max_rate: Option<NonZeroU32>,
    /// How many may come at once after a pause; a second's worth where it is not set.
    pub max_burst: Option<NonZeroU32>,
    /// Networks it may send from, such as `["203.0.113.0/24", "2001:db8::/32"]`; from anywhere else 403. Without any,
    /// from everywhere.
    #[config(default = [])]
    pub allow_from: Vec<Network>,
}

impl SourceConfig {
    /// A source with these secrets, and the default of everything else.
    pub fn of(secrets: Vec<SecretRef>) -> Self {
        Self {
            secrets,
            ..Self::default()
        }
    }
}

/// A table among others, whose name is the operator's.
macro_rules! reads_with_defaults {
    ($($table:ident),+) => {$(
        impl<'de> Deserialize<'de> for $table {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let layer = <$table as Confique>::Layer::deserialize(deserializer)?;
                let whole = layer.with_fallback(confique::Layer::default_values());
                Self::from_layer(whole).map_err(serde::de::Error::custom)
            }
        }
    )+};
}

reads_with_defaults!(SourceConfig, PipelineConfig, HmacConfig);

/// What a worker does with signed bytes that come again under another event id, where the signature covers
/// neither the id nor a body that names it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ReplayGuard {
    /// It is a dead letter, `replayed_signature`: whoever holds one captured request cannot have it applied
    /// twice. Two honest events with equal bodies in one second look the same.
    #[default]
    Quarantine,
    /// It is applied, logged and counted: for a source that sends such events, and is to be watched.
    Alarm,
    /// It is applied, and nobody looks.
    Off,
}

fn scheme<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<SchemeName, D::Error> {
    let name = String::deserialize(deserializer)?;
    name.parse().map_err(serde::de::Error::custom)
}

/// `[pipelines.NAME]`
#[derive(Clone, Debug, Confique)]
pub struct PipelineConfig {
    /// Whose events it takes; `*` is every source of this configuration.
    #[config(default = ["*"])]
    pub sources: Vec<String>,
    /// What it does with them: `payments` is built in.
    #[config(default = "payments")]
    pub handler: HandlerName,
}

/// The built-in handlers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HandlerName {
    /// Appends to `payments`, folds into `orders`.
    #[default]
    Payments,
}

impl Default for SourceConfig {
    fn default() -> Self {
        let defaults = <Self as Confique>::Layer::default_values();
        Self::from_layer(defaults).expect("every key has a default")
    }
}

impl Default for PipelineConfig {
    fn default() -> Self {
        let defaults = <Self as Confique>::Layer::default_values();
        Self::from_layer(defaults).expect("every key has a default")
    }
}

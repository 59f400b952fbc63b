//! The command line.

use crate::mix::{Share, Shares};
use crate::profile::{self, Profile, RATE_MOST};
use crate::schedule::Schedule;
use crate::verdict::Thresholds;
use clap::Parser;
use envelope::SourceName;
use ops::config::SecretRef;
use signing::SchemeName;
use std::path::PathBuf;
use std::time::Duration;
use url::Url;

/// Signs events, sends them at a rate, and audits the database for lost or doubled ones.
///
/// Arrivals are due at fixed times, whatever becomes of those before them, and latency counts from when a request
/// was due. Exits 1 when a threshold is broken.
#[derive(Debug, Parser)]
#[command(name = "spillway-loadtest", version)]
pub struct Arguments {
    /// The door
    #[arg(long, default_value = "http://127.0.0.1:8080", value_name = "URL")]
    pub(crate) url: Url,
    /// Whose events: sent to /webhooks/NAME. Default: the source of the URL, else `default`
    #[arg(long, value_name = "NAME")]
    pub(crate) source: Option<SourceName>,
    /// How they are signed: spillway, standard-webhooks, stripe, … Default: as the configuration says of the source
    #[arg(long, value_name = "NAME")]
    pub(crate) scheme: Option<SchemeName>,
    /// What to sign with: env:NAME, file:PATH or age:PATH. Default: that of the configuration, WEBHOOK_SECRET, or `serve`'s
    #[arg(long, value_name = "REFERENCE")]
    pub(crate) secret: Option<SecretRef>,

    /// steady, spike, ramp, storm, mix, or a FILE.csv of `second,rate`
    #[arg(long, default_value = "steady", help_heading = "Load")]
    pub(crate) profile: Profile,
    /// Events a second; of a spike and a ramp the highest
    #[arg(long, default_value_t = 1_000.0, value_name = "N", value_parser = rate, help_heading = "Load")]
    pub(crate) rate: f64,
    /// How long; of a spike, how long the spike lasts
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration, help_heading = "Load")]
    pub(crate) duration: Option<Duration>,
    /// Before and after a spike
    #[arg(long, default_value_t = 100.0, value_name = "N", value_parser = rate, help_heading = "Load")]
    pub(crate) base_rate: f64,
    /// How long before, and how long after a spike
    #[arg(long, default_value = "10s", value_name = "TIME", value_parser = humantime::parse_duration, help_heading = "Load")]
    pub(crate) calm: Duration,
    /// The steps of a ramp
    #[arg(long, default_value_t = 20, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000), help_heading = "Load")]
    pub(crate) steps: u32,
    /// Closed model: each connection sends its next event when the last one is answered, whatever the rate
    #[arg(long, help_heading = "Load")]
    pub(crate) closed: bool,
    /// Requests at a time, each on its own connection
    #[arg(long, default_value_t = 256, value_name = "N", value_parser = clap::value_parser!(u16).range(1..), help_heading = "Load")]
    pub(crate) connections: u16,
    /// At most so many requests
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..), help_heading = "Load")]
    pub(crate) count: Option<u64>,
    /// How long an answer may take, and how long after the end overdue requests are still sent
    #[arg(long, default_value = "10s", value_name = "TIME", value_parser = humantime::parse_duration, help_heading = "Load")]
    pub(crate) timeout: Duration,

    /// Copies of recent events [default: 90% in a storm, 5% in a mix]
    #[arg(long, value_name = "SHARE", help_heading = "What is sent")]
    pub(crate) duplicates: Option<Share>,
    /// Signed with another secret, to be refused [default: 2% in a mix]
    #[arg(long, value_name = "SHARE", help_heading = "What is sent")]
    pub(crate) bad_signatures: Option<Share>,
    /// Signed and no JSON, to be dead letters [default: 1% in a mix]
    #[arg(long, value_name = "SHARE", help_heading = "What is sent")]
    pub(crate) poison: Option<Share>,
    /// With a large body [default: 2% in a mix]
    #[arg(long, value_name = "SHARE", help_heading = "What is sent")]
    pub(crate) large: Option<Share>,
    /// How large
    #[arg(long, default_value_t = 65_536, value_name = "BYTES", value_parser = large_bytes, help_heading = "What is sent")]
    pub(crate) large_bytes: usize,
    /// Different orders that are paid for
    #[arg(long, default_value_t = 10_000, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1_000_000), help_heading = "What is sent")]
    pub(crate) orders: u64,
    /// What the mix and the ids are made from; the same seed against the same database is the same events again
    #[arg(long, value_name = "N", help_heading = "What is sent")]
    pub(crate) seed: Option<u64>,

    /// The configuration file (TOML), to find the ledger by
    #[arg(
        long,
        env = "SPILLWAY_CONFIG",
        value_name = "FILE",
        help_heading = "Audit"
    )]
    pub(crate) config: Option<PathBuf>,
    /// The folder of `serve`, to find its secret and its ledger by
    #[arg(
        long,
        default_value = "./spillway-data",
        value_name = "FOLDER",
        help_heading = "Audit"
    )]
    pub(crate) data_dir: PathBuf,
    /// Do not ask the database
    #[arg(long, help_heading = "Audit")]
    pub(crate) no_audit: bool,
    /// How long to wait for events to be applied while none is
    #[arg(long, default_value = "60s", value_name = "TIME", value_parser = humantime::parse_duration, help_heading = "Audit")]
    pub(crate) patience: Duration,

    /// 99 in 100 acknowledgements; a ramp stops at it [default of a ramp: 1s]
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration, help_heading = "Thresholds")]
    pub(crate) max_p99: Option<Duration>,
    /// Every acknowledgement
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration, help_heading = "Thresholds")]
    pub(crate) max_ack: Option<Duration>,
    /// Requests that are refused, unanswered or not sent
    #[arg(long, value_name = "SHARE", help_heading = "Thresholds")]
    pub(crate) max_failed: Option<Share>,
    /// Accepted events that are neither applied nor dead letters
    #[arg(
        long,
        default_value_t = 0,
        value_name = "N",
        help_heading = "Thresholds"
    )]
    pub(crate) max_lost: u64,
    /// Events that are applied more than once
    #[arg(
        long,
        default_value_t = 0,
        value_name = "N",
        help_heading = "Thresholds"
    )]
    pub(crate) max_doubled: u64,
    /// From the last answer until everything is applied
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration, help_heading = "Thresholds")]
    pub(crate) max_drain: Option<Duration>,

    /// An admin page to read once a second, for the plots; give it once for each program
    #[arg(long, value_name = "URL", help_heading = "Output")]
    pub(crate) metrics: Vec<Url>,
    /// Print JSON instead of a text
    #[arg(long, help_heading = "Output")]
    pub(crate) json: bool,
    /// Write an HTML page with plots
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub(crate) report: Option<PathBuf>,
}

/// Where nobody says how long.
const DURATION: Duration = Duration::from_secs(30);
/// A promise to every sender: under a second.
const RAMP_P99: Duration = Duration::from_secs(1);

impl Arguments {
    /// Whether the outcome is for a program.
    pub fn wants_json(&self) -> bool {
        self.json
    }

    /// When requests are due.
    pub(crate) fn schedule(&self) -> anyhow::Result<Schedule> {
        let length = self.duration.unwrap_or(DURATION);
        Ok(match &self.profile {
            Profile::Steady | Profile::Storm | Profile::Mix => Schedule::steady(self.rate, length),
            Profile::Spike => Schedule::spike(self.base_rate, self.rate, self.calm, length),
            Profile::Ramp => Schedule::ramp(self.rate, self.steps, length),
            Profile::File(path) => profile::read(path, self.duration)?,
        })
    }

    /// What kinds of requests.
    pub(crate) fn shares(&self) -> Shares {
        let (copies, others) = match self.profile {
            Profile::Storm => (0.9, [0.0; 3]),
            Profile::Mix => (0.05, [0.02, 0.01, 0.02]),
            Profile::Steady | Profile::Spike | Profile::Ramp | Profile::File(_) => (0.0, [0.0; 3]),
        };
        let share = |given: Option<Share>, default: f64| given.map_or(default, |share| share.0);
        Shares {
            copies: share(self.duplicates, copies),
            forged: share(self.bad_signatures, others[0]),
            poison: share(self.poison, others[1]),
            large: share(self.large, others[2]),
        }
    }

    /// What is asked of the run. A ramp goes on until it is too slow, so that alone breaks nothing.
    pub(crate) fn thresholds(&self) -> Thresholds {
        let is_ramp = self.profile == Profile::Ramp;
        Thresholds {
            ack_p99: self.max_p99.filter(|_| !is_ramp),
            ack_max: self.max_ack,
            failed: self.max_failed.map(|share| share.0),
            lost: self.max_lost,
            doubled: self.max_doubled,
            drained: self.max_drain,
        }
    }

    /// Where a step of a ramp no longer holds.
    pub(crate) fn ramp_p99(&self) -> Duration {
        self.max_p99.unwrap_or(RAMP_P99)
    }

    /// The load in words.
    pub(crate) fn load_in_words(&self) -> String {
        let rate = plot::Unit::PerSecond.format(self.rate);
        match &self.profile {
            _ if self.closed => format!("closed, {} connections", self.connections),
            Profile::Steady => format!("steady, {rate}"),
            Profile::Storm => format!("storm of duplicates, {rate}"),
            Profile::Mix => format!("mix, {rate}"),
            Profile::Spike => {
                let base = plot::Unit::PerSecond.format(self.base_rate);
                format!("spike, {base} → {rate} → {base}")
            }
            Profile::Ramp => format!("ramp to {rate}"),
            Profile::File(path) => path.display().to_string(),
        }
    }
}

fn rate(text: &str) -> Result<f64, String> {
    let rate: f64 = text.parse().map_err(|_| "it is no number".to_owned())?;
    let is_sound = rate > 0.0 && rate <= RATE_MOST;
    is_sound
        .then_some(rate)
        .ok_or_else(|| format!("it is not within 0 and {RATE_MOST}"))
}

/// Doors take a mebibyte; sixteen are what a broker takes.
fn large_bytes(text: &str) -> Result<usize, String> {
    let bytes = text.parse().ok().filter(|bytes| *bytes <= 16 * 1_048_576);
    bytes.ok_or_else(|| "it is a number of bytes, at most 16 MiB".to_owned())
}

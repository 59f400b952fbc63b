//! `spillway send`: signs events, sends them, and watches until they are applied.

mod body;
mod deliver;
mod report;
mod watch;

use crate::data_dir::{self, DataDir};
use anyhow::{Context, bail};
use body::Template;
use clap::Args;
use deliver::Sender;
use envelope::{EventId, SourceName};
use futures_util::{StreamExt, stream};
use ops::config::{self, Config, ConfigError, SecretRef};
use report::Report;
use signing::{Scheme, SchemeName, Secret};
use std::path::PathBuf;
use std::time::Duration;
use watch::Ledgers;

/// Events under way at a time. `send` is for trying things out; load comes from the load tester.
const CONCURRENT: usize = 16;

/// Arguments of `spillway send`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The body. Without one, `--file` or standard input: a sample payment.
    #[arg(long, conflicts_with = "file", value_name = "JSON")]
    data: Option<String>,
    /// A file with the body; "-" for standard input.
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// The event id; made up where there is none. With --count, each event's id ends in its number.
    #[arg(long, value_name = "ID")]
    event_id: Option<String>,
    /// How many events to send, each with an id of its own, which is also in its body.
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    count: u32,
    /// Where to.
    #[arg(
        long,
        default_value = "http://127.0.0.1:8080/webhook",
        value_name = "URL"
    )]
    url: String,
    /// How to sign; default: as the source is configured, else as `spillway`.
    #[arg(long, value_name = "SCHEME")]
    scheme: Option<SchemeName>,
    /// What to sign with: env:NAME, file:PATH or age:PATH. Default: WEBHOOK_SECRET, else the secret of `serve`.
    // Read by us: the library would repeat what is not one, and somebody may paste a secret here (I9).
    #[arg(long, value_name = "REFERENCE")]
    secret: Option<String>,
    /// The configuration file (TOML), to find the ledger by.
    #[arg(long, env = "SPILLWAY_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// The folder of `serve`, to find its secret and its ledger by.
    #[arg(long, default_value = data_dir::DEFAULT, value_name = "FOLDER")]
    data_dir: PathBuf,
    /// How long to wait for an event to be applied.
    #[arg(long, default_value = "60s", value_name = "TIME", value_parser = humantime::parse_duration)]
    timeout: Duration,
}

/// Sends, watches, reports. Fails unless every event has been applied (or accepted, without a ledger).
pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let config = config::load(arguments.config.as_deref())?;
    let data_dir = DataDir::new(&arguments.data_dir);
    let source = source_of(&arguments.url)?;
    let scheme = scheme(&arguments, &config, &source)?;
    let key = match scheme.is_signed() {
        true => Some(scheme.key(&secret(&arguments, &config, &source, &data_dir)?)?),
        false => None,
    };
    let sender = Sender::new(&arguments.url, scheme, key)?;
    let ledgers = Ledgers::find(&config, &data_dir, source).await?;
    let template = Template::read(arguments.data.as_deref(), arguments.file.as_deref())?;
    let first_id = first_id(arguments.event_id.as_deref(), &template, arguments.count)?;

    let mut report = Report::new(arguments.count, ledgers.is_some());
    let one = async |number| {
        let id = numbered(&first_id, number, arguments.count)?;
        let body = template.body_for(&id);
        // As the receiver will read it: some schemes have the id in the body.
        let id = scheme.known_as(&id, &body);
        let sent = sender.send(&id, body).await;
        let fate = match (&ledgers, sent.was_accepted()) {
            (Some(ledgers), true) => Some(ledgers.watch(&id, arguments.timeout).await?),
            (Some(_) | None, _) => None,
        };
        Ok::<_, anyhow::Error>((id, sent, fate))
    };
    let mut events = stream::iter(0..arguments.count)
        .map(one)
        .buffered(CONCURRENT);
    while let Some(event) = events.next().await {
        let (id, sent, fate) = event?;
        report.add(&id, &sent, fate.as_ref());
    }
    report.finish()
}

/// The source is the end of the path: it is part of what an event is known by.
fn source_of(url: &str) -> anyhow::Result<SourceName> {
    let parsed: reqwest::Url = url.parse().with_context(|| format!("{url} is not a URL"))?;
    match (parsed.scheme(), parsed.path()) {
        ("http", "/webhook") => Ok("default".parse()?),
        ("http", path) => {
            let name = path
                .strip_prefix("/webhooks/")
                .and_then(|name| name.parse().ok());
            name.with_context(|| format!("{url} does not end in /webhook or /webhooks/SOURCE"))
        }
        (scheme, _) => bail!("cannot send over {scheme}: this version speaks http only"),
    }
}

fn scheme(arguments: &Arguments, config: &Config, source: &SourceName) -> anyhow::Result<Scheme> {
    let configured = config.sources.get(source);
    let named = arguments.scheme.and_then(SchemeName::scheme);
    match (named, configured) {
        (Some(scheme), _) => Ok(scheme),
        (None, Some(source_config)) => source_config
            .scheme(source)
            .map_err(|problems| ConfigError(problems).into()),
        (None, None) => arguments
            .scheme
            .unwrap_or_default()
            .scheme()
            .context("the scheme hmac needs a --config that describes it"),
    }
}

fn secret(
    arguments: &Arguments,
    config: &Config,
    source: &SourceName,
    data_dir: &DataDir,
) -> anyhow::Result<Secret> {
    let configured = config
        .sources
        .get(source)
        .and_then(|source| source.secrets.first().cloned());
    let default = || match std::env::var_os(config::WEBHOOK_SECRET) {
        Some(_) => SecretRef::Env(config::WEBHOOK_SECRET.to_owned()),
        None => SecretRef::File(data_dir.secret()),
    };
    let given = arguments.secret.as_deref().map(str::parse).transpose();
    let reference = given
        .map_err(anyhow::Error::msg)?
        .or(configured)
        .unwrap_or_else(default);
    let hint = "is spillway serve running on this folder? else set WEBHOOK_SECRET or --secret";
    reference
        .read()
        .map_err(|why| anyhow::anyhow!("cannot read the secret {reference}: {why} ({hint})"))
}

fn first_id(given: Option<&str>, template: &Template, count: u32) -> anyhow::Result<EventId> {
    let own = template.own_id().filter(|_| count == 1);
    let made_up = || format!("evt_{:016x}", fastrand::u64(..));
    Ok(given
        .map(str::to_owned)
        .or(own)
        .unwrap_or_else(made_up)
        .parse()?)
}

fn numbered(first: &EventId, number: u32, count: u32) -> anyhow::Result<EventId> {
    if count == 1 {
        Ok(first.clone())
    } else {
        Ok(format!("{first}-{}", number + 1).parse()?)
    }
}

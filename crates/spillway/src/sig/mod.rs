//! `spillway sig`: signs a body, verifies a request, and says why one is refused.

mod dump;

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use envelope::{SourceName, UnixSeconds};
use ops::config::{self, Config, ConfigError, SecretRef};
use signing::explain::{Captured, Finding, explain};
use signing::{Scheme, SchemeName, Secret, ToSign};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// Arguments of `spillway sig`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Prints the headers that go with a body, one a line, as curl's -H @FILE takes them.
    Sign {
        #[command(flatten)]
        who: Who,
        /// The event's id. Schemes that have it in the body take it from there.
        #[arg(long, value_name = "ID")]
        event_id: Option<String>,
        /// When it is signed, in unix seconds; now, if it is not given.
        #[arg(long, value_name = "SECONDS")]
        timestamp: Option<i64>,
        /// A file with the body; "-" for standard input.
        #[arg(long, value_name = "FILE", default_value = "-")]
        body: PathBuf,
    },
    /// Says whether a request would be let in; exits 1 if not.
    Verify {
        #[command(flatten)]
        who: Who,
        #[command(flatten)]
        request: RequestFile,
    },
    /// Says why a request is refused: a missing header, a wrong clock, a body that was written again, another
    /// secret. Exits 1 where it is.
    Explain {
        #[command(flatten)]
        who: Who,
        #[command(flatten)]
        request: RequestFile,
    },
}

/// Whose signature it is.
#[derive(Debug, Args)]
struct Who {
    /// A source of the configuration: its scheme, and its secrets.
    #[arg(long, value_name = "NAME", conflicts_with_all = ["scheme", "secret"])]
    source: Option<SourceName>,
    /// The scheme, without a configuration.
    #[arg(long, value_name = "SCHEME", default_value_t = SchemeName::Spillway)]
    scheme: SchemeName,
    /// What it is signed with: env:NAME, file:PATH or age:PATH; may be there several times. Default: WEBHOOK_SECRET.
    // Read by us: the library would repeat what is not one, and somebody may paste a secret here (I9).
    #[arg(long, value_name = "REFERENCE")]
    secret: Vec<String>,
    /// The configuration file (TOML).
    #[arg(long, env = "SPILLWAY_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
}

/// A request as somebody has kept it.
#[derive(Debug, Args)]
struct RequestFile {
    /// The request as it was sent (head, empty line, body), or what curl -v printed; "-" for standard input.
    #[arg(value_name = "FILE")]
    request: PathBuf,
    /// A file with the body, byte for byte, where the other one has none, as curl -v has.
    #[arg(long, value_name = "FILE")]
    body: Option<PathBuf>,
    /// What time it was when the request came, in unix seconds; now, if it is not given.
    #[arg(long, value_name = "SECONDS")]
    at: Option<i64>,
}

pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    match arguments.command {
        Command::Sign {
            who,
            event_id,
            timestamp,
            body,
        } => sign(&who, event_id.as_deref(), timestamp, &read(&body)?),
        Command::Verify { who, request } => {
            let findings = who.findings(&request)?;
            let good = findings.iter().find(|finding| is_good(finding));
            match good {
                Some(finding) => println!("{finding}"),
                None => bail!("refused; spillway sig explain says why"),
            }
            Ok(())
        }
        Command::Explain { who, request } => {
            let findings = who.findings(&request)?;
            findings.iter().for_each(|finding| println!("{finding}"));
            if findings.iter().any(is_good) {
                return Ok(());
            }
            bail!("the request is refused")
        }
    }
}

fn is_good(finding: &Finding) -> bool {
    matches!(finding, Finding::Good { .. })
}

fn sign(
    who: &Who,
    event_id: Option<&str>,
    timestamp: Option<i64>,
    body: &[u8],
) -> anyhow::Result<()> {
    let (scheme, secrets) = who.scheme_and_secrets()?;
    let key = secrets
        .first()
        .map(|secret| scheme.key(secret))
        .transpose()?;
    let made_up = format!("evt_{:016x}", fastrand::u64(..));
    let event = ToSign {
        id: event_id.unwrap_or(&made_up),
        timestamp: moment(timestamp),
        body,
    };
    for (name, value) in scheme.sign(key.as_ref(), &event) {
        println!("{name}: {value}");
    }
    Ok(())
}

impl Who {
    fn findings(&self, file: &RequestFile) -> anyhow::Result<Vec<Finding>> {
        let (scheme, secrets) = self.scheme_and_secrets()?;
        let request = file.read()?;
        explain(scheme, &secrets, &request, moment(file.at)).map_err(anyhow::Error::msg)
    }

    fn scheme_and_secrets(&self) -> anyhow::Result<(Scheme, Vec<Secret>)> {
        let (scheme, references) = match &self.source {
            Some(name) => of_source(&config::load(self.config.as_deref())?, name)?,
            None => (self.named_scheme()?, self.references()?),
        };
        let read = |reference: &SecretRef| {
            let secret = reference.read();
            secret.map_err(|why| anyhow::anyhow!("cannot read the secret {reference}: {why}"))
        };
        if !scheme.is_signed() {
            return Ok((scheme, Vec::new()));
        }
        let secrets = references.iter().map(read).collect::<anyhow::Result<_>>()?;
        Ok((scheme, secrets))
    }

    fn named_scheme(&self) -> anyhow::Result<Scheme> {
        let hint = "the scheme hmac is described in a configuration: name its --source";
        self.scheme.scheme().context(hint)
    }

    fn references(&self) -> anyhow::Result<Vec<SecretRef>> {
        if self.secret.is_empty() {
            return Ok(vec![SecretRef::Env(config::WEBHOOK_SECRET.to_owned())]);
        }
        let references = self.secret.iter().map(|text| text.parse());
        let all: Result<_, String> = references.collect();
        all.map_err(anyhow::Error::msg)
    }
}

fn of_source(config: &Config, name: &SourceName) -> anyhow::Result<(Scheme, Vec<SecretRef>)> {
    let sources = config::with_default_source(config);
    let source = sources
        .get(name)
        .with_context(|| format!("there is no source {name} in the configuration"))?;
    let scheme = source.scheme(name).map_err(ConfigError)?;
    Ok((scheme, source.secrets.clone()))
}

impl RequestFile {
    fn read(&self) -> anyhow::Result<Captured> {
        let mut request = dump::parse(&read(&self.request)?)?;
        if let Some(path) = &self.body {
            request.body = read(path)?;
        }
        Ok(request)
    }
}

fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    if path == Path::new("-") {
        let mut bytes = Vec::new();
        let read = std::io::stdin().read_to_end(&mut bytes);
        return read.map(|_| bytes).context("cannot read standard input");
    }
    std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}

fn moment(given: Option<i64>) -> UnixSeconds {
    let now = || {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        since.unwrap_or_default().as_secs().cast_signed()
    };
    UnixSeconds(given.unwrap_or_else(now))
}

//! Where the books are, and what the source's secret is: found by the same configuration as everything else, or by
//! the folder of a `serve`.

use crate::audit::{Audit, Findings};
use crate::event::Keys;
use anyhow::{Context, bail};
use envelope::{PipelineName, SourceName};
use ledger::{LedgerSettings, LedgerUrl, PostgresLedger, SqliteLedger};
use ops::config::{self, Config, ConfigError, SecretRef};
use signing::{Scheme, SchemeName, Secret, SigningKey};
use std::path::Path;

/// A ledger, whichever it is.
pub(crate) enum Ledger {
    Postgres(Box<PostgresLedger>),
    Sqlite(SqliteLedger),
}

impl Ledger {
    /// That of the configuration, else the one of `serve`; nothing where there is neither.
    pub(crate) async fn find(config: &Config, data_dir: &Path) -> anyhow::Result<Option<Self>> {
        let settings = LedgerSettings::new("spillway-loadtest");
        let of_serve = data_dir.join("ledger.db");
        let url = match config.ledger.url.as_deref() {
            Some(url) => url.parse()?,
            None if of_serve.exists() => LedgerUrl::Sqlite(of_serve),
            None => return Ok(None),
        };
        Ok(Some(match url {
            LedgerUrl::Postgres(url) => {
                Self::Postgres(Box::new(PostgresLedger::connect(&url, settings).await?))
            }
            LedgerUrl::Sqlite(path) => {
                Self::Sqlite(SqliteLedger::open_read_only(&path, &settings)?)
            }
        }))
    }

    pub(crate) async fn audit(&self, audit: &Audit<'_>) -> anyhow::Result<Findings> {
        match self {
            Self::Postgres(ledger) => audit.run(ledger.as_ref()).await,
            Self::Sqlite(ledger) => audit.run(ledger).await,
        }
    }
}

/// Who takes this source's events.
pub(crate) fn pipelines(config: &Config, source: &SourceName) -> anyhow::Result<Vec<PipelineName>> {
    let topology = config::topology(config);
    let takes = topology
        .pipelines
        .iter()
        .filter(|pipeline| pipeline.sources.takes(source));
    let names: Vec<_> = takes.map(|pipeline| pipeline.name.clone()).collect();
    if names.is_empty() {
        bail!("no pipeline takes the source {source}");
    }
    Ok(names)
}

/// How the source's events are signed.
pub(crate) fn scheme(
    given: Option<SchemeName>,
    config: &Config,
    source: &SourceName,
) -> anyhow::Result<Scheme> {
    match (
        given.and_then(SchemeName::scheme),
        config.sources.get(source),
    ) {
        (Some(given), _) => Ok(given),
        (None, Some(configured)) => {
            let scheme = configured.scheme(source);
            scheme.map_err(|problems| ConfigError(problems).into())
        }
        (None, None) => given
            .unwrap_or_default()
            .scheme()
            .context("the scheme hmac needs a --config that describes it"),
    }
}

/// The key to sign with, where the scheme has one: of the reference given, else the source's in the configuration,
/// else `WEBHOOK_SECRET`, else the secret `serve` made. And one that nobody has.
pub(crate) fn keys(
    scheme: Scheme,
    given: Option<&SecretRef>,
    config: &Config,
    source: &SourceName,
    data_dir: &Path,
) -> anyhow::Result<Keys> {
    if !scheme.is_signed() {
        return Ok(Keys {
            honest: None,
            forged: None,
        });
    }
    let secret = secret(given, config, source, data_dir)?;
    let made_up = Secret::new(&format!("{:032x}", fastrand::u128(..)))?;
    Ok(Keys {
        honest: Some(scheme.key(&secret)?),
        forged: Some(SigningKey::new(&made_up)),
    })
}

fn secret(
    given: Option<&SecretRef>,
    config: &Config,
    source: &SourceName,
    data_dir: &Path,
) -> anyhow::Result<Secret> {
    let of_source = || {
        let source = config.sources.get(source)?;
        source.secrets.first().cloned()
    };
    let default = || match std::env::var_os(config::WEBHOOK_SECRET) {
        Some(_) => SecretRef::Env(config::WEBHOOK_SECRET.to_owned()),
        None => SecretRef::File(data_dir.join("webhook-secret")),
    };
    let reference = given.cloned().or_else(of_source).unwrap_or_else(default);
    let secret = reference.read().map_err(anyhow::Error::msg);
    secret.with_context(|| {
        format!("cannot read the secret {reference}; is spillway serve running on this folder? else set WEBHOOK_SECRET or --secret")
    })
}

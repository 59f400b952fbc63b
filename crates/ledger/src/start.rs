//! Which ledger and which recall, by URL.

use resilience::Fault;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use tokio_postgres::config::Host;
use url::Url;

/// Which ledger, and where.
///
/// Shown without its password, so that it may be logged (I9).
#[derive(Clone, PartialEq, Eq)]
pub enum LedgerUrl {
    /// `postgres://user:password@host:port/database`.
    Postgres(String),
    /// `sqlite:PATH`: SQLite in this process, in the file PATH.
    Sqlite(PathBuf),
}

/// `redis://host:port/db`.
///
/// Shown without its password, so that it may be logged (I9).
#[derive(Clone, PartialEq, Eq)]
pub struct RecallUrl(String);

/// Why a ledger could not be started, in one sentence for the operator.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The URL names no ledger we know.
    #[error(
        "{0} is not a ledger URL: write postgres://user:password@host:5432/database, with special \
         characters percent-encoded, or sqlite:PATH"
    )]
    Url(String),
    /// The URL names no recall we know.
    #[error("{0} is not a recall URL: write redis://host:6379")]
    RecallUrl(String),
    /// The schema is not this program's.
    #[error("the ledger's schema does not fit this program: {0}")]
    Schema(String),
    /// The database cannot be used.
    #[error("the ledger cannot be used: {0}")]
    Unusable(String),
    /// The database is away, or busy. The one error here that waiting helps against.
    #[error("the ledger is away: {0}")]
    Away(Fault),
}

impl FromStr for LedgerUrl {
    type Err = StartError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // The text itself may hold a password, so an error names the scheme alone (I9).
        match text.split_once(':') {
            Some(("postgres" | "postgresql", _)) => Ok(Self::Postgres(text.to_owned())),
            Some(("sqlite", path)) => Ok(Self::Sqlite(path.into())),
            Some((scheme, _)) => Err(StartError::Url(format!("{scheme}:…"))),
            None => Err(StartError::Url(text.to_owned())),
        }
    }
}

impl FromStr for RecallUrl {
    type Err = StartError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once(':') {
            Some(("redis", _)) => Ok(Self(text.to_owned())),
            Some((scheme, _)) => Err(StartError::RecallUrl(format!("{scheme}:…"))),
            None => Err(StartError::RecallUrl(text.to_owned())),
        }
    }
}

impl RecallUrl {
    /// The URL with its password, for the client alone.
    pub(crate) fn with_password(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for LedgerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Postgres(url) => f.write_str(&postgres_without_password(url)),
            Self::Sqlite(path) => write!(f, "sqlite:{}", path.display()),
        }
    }
}

impl fmt::Display for RecallUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = Url::parse(&self.0).ok().and_then(|url| {
            let port = url.port().unwrap_or(6379);
            Some(format!("redis://{}:{port}{}", url.host_str()?, url.path()))
        });
        f.write_str(shown.as_deref().unwrap_or("redis:…"))
    }
}

impl fmt::Debug for LedgerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LedgerUrl({self})")
    }
}

impl fmt::Debug for RecallUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RecallUrl({self})")
    }
}

/// What the driver reads out of a URL; nothing where it makes no sense of it.
///
/// It ends the password at the first `@`: with an `@` in the host, half of an unencoded password is there.
pub(crate) fn read_postgres(url: &str) -> Option<tokio_postgres::Config> {
    let config = url.parse::<tokio_postgres::Config>().ok()?;
    let cut = |host: &Host| matches!(host, Host::Tcp(name) if name.contains('@'));
    (!config.get_hosts().iter().any(cut)).then_some(config)
}

/// Built from what the driver reads out of it, never by cutting from the text: a password may also stand
/// among the parameters, and there may be several hosts.
fn postgres_without_password(url: &str) -> String {
    let Some(config) = read_postgres(url) else {
        return "postgres:…".into();
    };
    let ports = config.get_ports();
    let host = |(place, host): (usize, &Host)| {
        let port = ports.get(place).or(ports.first()).unwrap_or(&5432);
        match host {
            Host::Tcp(name) => format!("{name}:{port}"),
            Host::Unix(folder) => format!("{}:{port}", folder.display()),
        }
    };
    let hosts: Vec<_> = config.get_hosts().iter().enumerate().map(host).collect();
    let user = config.get_user().unwrap_or_default();
    let database = config.get_dbname().unwrap_or_default();
    format!("postgres://{user}@{}/{database}", hosts.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check<U: FromStr<Err = StartError> + fmt::Display + fmt::Debug>(url: &str, shown: &str) {
        let url = url.parse::<U>().unwrap();
        assert_eq!(url.to_string(), shown);
        assert!(format!("{url:?}").ends_with(&format!("({shown})")));
    }

    #[test]
    fn a_url_is_shown_without_its_password() {
        check::<LedgerUrl>("postgres://u:secret@h:1/d", "postgres://u@h:1/d");
        check::<LedgerUrl>(
            "postgres://u@a,b:2/d?password=secret",
            "postgres://u@a:5432,b:2/d",
        );
        check::<LedgerUrl>("postgresql://u:se/cret@h/d", "postgres://u@h:5432/d");
        check::<LedgerUrl>("postgres://u:se@cret@h/d", "postgres:…");
        check::<LedgerUrl>("sqlite:data/ledger.db", "sqlite:data/ledger.db");
        check::<RecallUrl>("redis://:secret@h/3", "redis://h:6379/3");
        check::<RecallUrl>("redis:secret", "redis:…");
    }

    #[test]
    fn an_unknown_scheme_is_refused_without_quoting_the_url() {
        for url in ["mysql://u:secret@h/d", "rediss://:secret@h"] {
            assert!(!format!("{:?}", url.parse::<LedgerUrl>()).contains("secret"));
            assert!(!format!("{:?}", url.parse::<RecallUrl>()).contains("secret"));
        }
    }
}

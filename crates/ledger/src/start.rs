//! Which ledger and which recall, by URL.

use std::path::PathBuf;
use std::str::FromStr;

/// Which ledger, and where.
#[derive(Clone, PartialEq, Eq)]
pub enum LedgerUrl {
    /// `postgres://user:password@host:port/database`.
    Postgres(String),
    /// `sqlite:PATH`: SQLite in this process, in the file PATH.
    Sqlite(PathBuf),
}

/// `redis://host:port/db`.
#[derive(Clone, PartialEq, Eq)]
pub struct RecallUrl(String);

/// Why a ledger could not be started, in one sentence for the operator.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The URL names no ledger we know.
    #[error(
        "{0} is not a ledger URL: write postgres://user:password@host:5432/database or sqlite:PATH"
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

//! Secrets by reference.

use super::{Config, ConfigError, Problem, SchemeName, SourceConfig};
use envelope::SourceName;
use serde::Deserialize;
use signing::{Secret, SigningKey};
use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// The variable that configures the source named `default`.
pub const WEBHOOK_SECRET: &str = "WEBHOOK_SECRET";

/// The keys of every source, ready to verify with.
pub type Sources = BTreeMap<SourceName, Vec<SigningKey>>;

/// Where a secret lies: `env:NAME` or `file:PATH`. Never the secret itself.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum SecretRef {
    /// An environment variable.
    Env(String),
    /// A file, as Kubernetes mounts secrets.
    File(PathBuf),
}

impl FromStr for SecretRef {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once(':') {
            Some(("env", name)) => Ok(Self::Env(name.to_owned())),
            Some(("file", path)) => Ok(Self::File(path.into())),
            // The text may be somebody's secret pasted in: it is not repeated (I9).
            _ => Err("a secret is given as env:NAME or file:PATH, never inline".to_owned()),
        }
    }
}

impl TryFrom<String> for SecretRef {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl fmt::Display for SecretRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Env(name) => write!(f, "env:{name}"),
            Self::File(path) => write!(f, "file:{}", path.display()),
        }
    }
}

impl SecretRef {
    /// Reads the secret.
    ///
    /// # Errors
    /// Where it is not there or too short, without repeating it.
    pub fn read(&self) -> Result<Secret, String> {
        let text = match self {
            Self::Env(name) => {
                std::env::var(name).map_err(|_| "the variable is not set".to_owned())
            }
            Self::File(path) => std::fs::read_to_string(path).map_err(|why| why.to_string()),
        }?;
        Secret::new(&text).map_err(|weak| weak.to_string())
    }
}

/// Reads the secrets of every source; `WEBHOOK_SECRET` belongs to the source `default`.
///
/// # Errors
/// A secret that cannot be read or is too short, two sources with one secret (a request to one could be
/// replayed to the other), and no secret at all: without one there is nobody to let in.
pub fn read_sources(config: &Config) -> Result<Sources, ConfigError> {
    let mut named: BTreeMap<&SourceName, Vec<Secret>> = BTreeMap::new();
    let mut problems = Vec::new();
    let with_default = with_default_source(config);
    for (name, source) in &with_default {
        let SchemeName::Spillway = source.scheme;
        for reference in &source.secrets {
            match reference.read() {
                Ok(secret) => named.entry(name).or_default().push(secret),
                Err(why) => problems.push(Problem::new(
                    format!("sources.{name}.secrets"),
                    format!("{reference}: {why}"),
                )),
            }
        }
    }
    problems.extend(shared_secrets(&named));
    if with_default.is_empty() {
        let rule = format!(
            "set {WEBHOOK_SECRET}, or name a source; make a secret with: openssl rand -hex 32"
        );
        problems.push(Problem::new("sources", rule));
    }
    if !problems.is_empty() {
        return Err(ConfigError(problems));
    }
    let keys = |secrets: Vec<Secret>| secrets.iter().map(SigningKey::new).collect();
    Ok(named
        .into_iter()
        .map(|(name, secrets)| (name.clone(), keys(secrets)))
        .collect())
}

fn with_default_source(config: &Config) -> BTreeMap<SourceName, SourceConfig> {
    let mut sources = config.sources.clone();
    if std::env::var_os(WEBHOOK_SECRET).is_some() {
        let default: SourceName = "default".parse().expect("a name of ours");
        let none = || SourceConfig::of(Vec::new());
        let secrets = &mut sources.entry(default).or_insert_with(none).secrets;
        let reference = SecretRef::Env(WEBHOOK_SECRET.to_owned());
        if !secrets.contains(&reference) {
            secrets.push(reference);
        }
    }
    sources
}

fn shared_secrets(named: &BTreeMap<&SourceName, Vec<Secret>>) -> Vec<Problem> {
    let all: Vec<_> = named
        .iter()
        .flat_map(|(name, secrets)| secrets.iter().map(move |secret| (name, secret)))
        .collect();
    let mut problems = Vec::new();
    for (index, (name, secret)) in all.iter().enumerate() {
        for (other, its) in &all[index + 1..] {
            if name != other && secret.same_as(its) {
                let rule = format!("shares a secret with sources.{name}: give each its own");
                problems.push(Problem::new(format!("sources.{other}.secrets"), rule));
            }
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_inline_secret_is_refused_and_not_repeated() {
        let error = "whsec_very_secret".parse::<SecretRef>().unwrap_err();
        assert!(!error.contains("very_secret"), "{error}");
    }

    #[test]
    fn two_sources_with_one_secret_are_a_problem() {
        let (a, b) = ("a".parse().unwrap(), "b".parse().unwrap());
        let secret = || Secret::new("0123456789abcdef").unwrap();
        let named = BTreeMap::from([(&a, vec![secret()]), (&b, vec![secret()])]);
        assert_eq!(shared_secrets(&named).len(), 1);
    }
}

//! Secrets by reference.

use super::age_file;
use super::rotation::Rotation;
use super::{Config, ConfigError, Problem, SourceConfig};
use envelope::SourceName;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use signing::{Scheme, SchemeName, Secret, SigningKey, Verifier};
use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

/// The variable that configures the source named `default`.
pub const WEBHOOK_SECRET: &str = "WEBHOOK_SECRET";

/// Every source, ready to verify with.
pub type Sources = BTreeMap<SourceName, Arc<Verifier>>;

/// Where a secret lies: `env:NAME`, `file:PATH` or `age:PATH`. Never the secret itself.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum SecretRef {
    /// An environment variable.
    Env(String),
    /// A file, as Kubernetes mounts secrets.
    File(PathBuf),
    /// A file encrypted with age; the environment has what opens it.
    Age(PathBuf),
}

impl FromStr for SecretRef {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once(':') {
            Some(("env", name)) => Ok(Self::Env(name.to_owned())),
            Some(("file", path)) => Ok(Self::File(path.into())),
            Some(("age", path)) => Ok(Self::Age(path.into())),
            // The text may be somebody's secret pasted in: it is not repeated (I9).
            _ => {
                Err("a secret is given as env:NAME, file:PATH or age:PATH, never inline".to_owned())
            }
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
            Self::Age(path) => write!(f, "age:{}", path.display()),
        }
    }
}

impl SecretRef {
    /// Reads the secret.
    ///
    /// # Errors
    /// Where it is not there or too short, without repeating it.
    pub fn read(&self) -> Result<Secret, String> {
        let text = self.text()?;
        Secret::new(text.expose_secret()).map_err(|weak| weak.to_string())
    }

    /// What is written there, of any length.
    pub(super) fn text(&self) -> Result<SecretString, String> {
        let text = match self {
            Self::Env(name) => {
                std::env::var(name).map_err(|_| "the variable is not set".to_owned())?
            }
            Self::File(path) => std::fs::read_to_string(path).map_err(|why| why.to_string())?,
            Self::Age(path) => return age_file::open(path, |name| std::env::var(name).ok()),
        };
        Ok(text.into())
    }
}

/// A source whose secrets can be used.
struct Usable {
    scheme: Scheme,
    keys: Vec<SigningKey>,
    secrets: Vec<Secret>,
}

/// Reads the secrets of every source; `WEBHOOK_SECRET` belongs to the source `default`. The rotation reads those
/// in files again, for whoever runs it.
///
/// # Errors
/// A secret that cannot be read or is too short, two sources with one secret (a request to one could be
/// replayed to the other), and no source at all: without one there is nobody to let in.
pub fn read_sources(config: &Config) -> Result<(Sources, Rotation), ConfigError> {
    let with_default = with_default_source(config);
    let (mut usable, mut problems) = (BTreeMap::new(), Vec::new());
    for (name, source) in &with_default {
        match source.read(name) {
            Ok(read) => drop(usable.insert(name, read)),
            Err(theirs) => problems.extend(theirs),
        }
    }
    problems.extend(shared_secrets(
        usable
            .iter()
            .map(|(name, read)| (*name, read.secrets.as_slice())),
    ));
    if with_default.is_empty() {
        let rule = format!(
            "set {WEBHOOK_SECRET}, or name a source; make a secret with: spillway secret generate"
        );
        problems.push(Problem::new("sources", rule));
    }
    if !problems.is_empty() {
        return Err(ConfigError(problems));
    }
    let (mut sources, mut rotation) = (Sources::new(), Rotation::default());
    for (name, read) in usable {
        let verifier = Arc::new(Verifier::new(read.scheme, read.keys));
        let references = with_default[name].secrets.iter().cloned();
        let secrets = references.zip(read.secrets).collect();
        rotation.watch(name.clone(), verifier.clone(), secrets);
        sources.insert(name.clone(), verifier);
    }
    Ok((sources, rotation))
}

impl SourceConfig {
    /// How the source signs.
    ///
    /// # Errors
    /// What is wrong with the description of an `hmac`.
    pub fn scheme(&self, name: &SourceName) -> Result<Scheme, Vec<Problem>> {
        if let Some(scheme) = self.scheme.scheme() {
            return Ok(scheme);
        }
        let Some(hmac) = &self.hmac else {
            let rule = "must describe the signature of scheme = \"hmac\": signature_header = \"X-Signature\"";
            return Err(vec![Problem::new(format!("sources.{name}.hmac"), rule)]);
        };
        let named = |(key, rule)| Problem::new(format!("sources.{name}.hmac.{key}"), rule);
        hmac.settings()
            .scheme()
            .map_err(|problems| problems.into_iter().map(named).collect())
    }

    /// What can be wrong with a source apart from its secrets' contents.
    pub(super) fn check(&self, name: &SourceName) -> Vec<Problem> {
        let mut problems = self.scheme(name).err().unwrap_or_default();
        let mut problem = |key: &str, rule: &str| {
            problems.push(Problem::new(format!("sources.{name}.{key}"), rule));
        };
        let is_signed = self.scheme != SchemeName::None;
        if is_signed && self.secrets.is_empty() {
            problem(
                "secrets",
                "must name at least one secret, such as [\"env:STRIPE_SECRET\"]",
            );
        }
        if !is_signed && !self.insecure {
            let rule = "must be true for scheme = \"none\": whoever reaches the port is believed";
            problem("insecure", rule);
        }
        if !is_signed && !self.secrets.is_empty() {
            problem(
                "secrets",
                "must be empty for scheme = \"none\", which checks none",
            );
        }
        if is_signed && self.insecure {
            problem("insecure", "is for scheme = \"none\" only");
        }
        if self.hmac.is_some() && self.scheme != SchemeName::Hmac {
            problem("hmac", "is for scheme = \"hmac\" only");
        }
        problems
    }

    fn read(&self, name: &SourceName) -> Result<Usable, Vec<Problem>> {
        let mut problems = self.check(name);
        let scheme = self.scheme(name)?;
        let (mut keys, mut secrets) = (Vec::new(), Vec::new());
        for reference in &self.secrets {
            let usable = reference.read().and_then(|secret| {
                let key = scheme.key(&secret).map_err(|why| why.to_string())?;
                Ok((key, secret))
            });
            match usable {
                Ok((key, secret)) => {
                    keys.push(key);
                    secrets.push(secret);
                }
                Err(why) => {
                    let key = format!("sources.{name}.secrets");
                    problems.push(Problem::new(key, format!("{reference}: {why}")));
                }
            }
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        Ok(Usable {
            scheme,
            keys,
            secrets,
        })
    }
}

/// The sources of the configuration, with what `WEBHOOK_SECRET` adds to them.
pub fn with_default_source(config: &Config) -> BTreeMap<SourceName, SourceConfig> {
    let mut sources = config.sources.clone();
    if std::env::var_os(WEBHOOK_SECRET).is_some() {
        let none = || SourceConfig::of(Vec::new());
        let secrets = &mut sources.entry(default_source()).or_insert_with(none).secrets;
        let reference = SecretRef::Env(WEBHOOK_SECRET.to_owned());
        if !secrets.contains(&reference) {
            secrets.push(reference);
        }
    }
    sources
}

/// Whose events come to `/webhook`.
pub(super) fn default_source() -> SourceName {
    "default".parse().expect("a name of ours")
}

fn shared_secrets<'a>(
    sources: impl Iterator<Item = (&'a SourceName, &'a [Secret])>,
) -> Vec<Problem> {
    let all: Vec<_> = sources
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
    fn a_reference_is_shown_as_it_is_written() {
        for text in ["env:NAME", "file:/run/secrets/a", "age:/etc/spillway/a.age"] {
            assert_eq!(text.parse::<SecretRef>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn two_sources_with_one_secret_are_a_problem() {
        let (a, b) = ("a".parse().unwrap(), "b".parse().unwrap());
        let secret = || Secret::new("0123456789abcdef").unwrap();
        let (one, other) = ([secret()], [secret()]);
        let named = [(&a, one.as_slice()), (&b, other.as_slice())];
        assert_eq!(shared_secrets(named.into_iter()).len(), 1);
    }
}

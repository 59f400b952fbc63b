//! Reads the configuration and checks what the types cannot.

use super::layers::Layers;
use super::secrets::SecretRef;
use super::{Config, PipelineConfig, door};
use humantime::format_duration;
use secrecy::ExposeSecret;
use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;
use std::time::Duration;

/// An empty spool takes some 60 kB; less than this is a slip of the keyboard.
const SPOOL_MIN_BYTES: u64 = 1_048_576;

/// Everything that is wrong with a configuration, at once.
#[derive(Debug, thiserror::Error)]
pub struct ConfigError(pub Vec<Problem>);

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The key, as in the file.
    pub key: String,
    /// The rule it breaks, with an example.
    pub rule: String,
}

impl Problem {
    /// A problem with a key.
    pub fn new(key: impl Into<String>, rule: impl Into<String>) -> Self {
        Self {
            key: key.into(),
            rule: rule.into(),
        }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the configuration cannot be used:")?;
        self.0
            .iter()
            .try_for_each(|problem| write!(f, "\n  {}: {}", problem.key, problem.rule))
    }
}

/// Reads the file, where there is one, and the environment over it.
///
/// # Errors
/// A file that cannot be read, and every key that breaks its rule.
pub fn load(file: Option<&Path>) -> Result<Config, ConfigError> {
    usable(layers(file)?, read_urls)
}

/// The configuration that a file of this text is, with nothing else read: no variable, and no file that a URL
/// lies in.
///
/// # Errors
/// Every key that breaks its rule.
pub fn parse(text: &str) -> Result<Config, ConfigError> {
    usable(Layers::read(text, |_| None), |_| Vec::new())
}

fn usable(
    mut layers: Layers,
    read_urls: impl FnOnce(&mut Config) -> Vec<Problem>,
) -> Result<Config, ConfigError> {
    let mut problems = std::mem::take(&mut layers.problems);
    let mut config = match layers.config() {
        Ok(config) => config,
        Err(why) => {
            problems.push(Problem::new("config", why));
            return Err(ConfigError(problems));
        }
    };
    if config.pipelines.is_empty() {
        let payments = "payments".parse().expect("a name of ours");
        config.pipelines.insert(payments, PipelineConfig::default());
    }
    problems.extend(read_urls(&mut config));
    // What was not understood counts as not set, and would be missed a second time.
    let told: BTreeSet<String> = problems.iter().map(|problem| problem.key.clone()).collect();
    let is_new = |problem: &Problem| !told.contains(&problem.key);
    problems.extend(check(&config).into_iter().filter(is_new));
    if problems.is_empty() {
        Ok(config)
    } else {
        Err(ConfigError(problems))
    }
}

/// A URL may lie in a file of its own, `file:PATH` or `age:PATH`: there is a password in it.
fn read_urls(config: &mut Config) -> Vec<Problem> {
    let urls = [
        ("broker.url", &mut config.broker.url),
        ("ledger.url", &mut config.ledger.url),
        ("recall.url", &mut config.recall.url),
    ];
    let mut problems = Vec::new();
    for (key, url) in urls {
        let reference = match url.as_deref().and_then(|url| url.split_once(':')) {
            Some(("file", path)) => SecretRef::File(path.into()),
            Some(("age", path)) => SecretRef::Age(path.into()),
            _ => continue,
        };
        match reference.text() {
            Ok(text) => *url = Some(text.expose_secret().trim().to_owned()),
            Err(why) => {
                let rule = format!("{reference} cannot be read: {why}");
                problems.push(Problem::new(key, rule));
            }
        }
    }
    problems
}

pub(super) fn layers(file: Option<&Path>) -> Result<Layers, ConfigError> {
    let text = match file {
        None => String::new(),
        Some(path) => std::fs::read_to_string(path).map_err(|why| {
            let rule = format!("cannot read {}: {why}", path.display());
            ConfigError(vec![Problem::new("--config", rule)])
        })?,
    };
    Ok(Layers::read(&text, |name| std::env::var(name).ok()))
}

fn check(config: &Config) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut positive = |key: &str, value: usize| {
        if value == 0 {
            problems.push(Problem::new(key, "must be at least 1"));
        }
    };
    positive("ingest.body_max_bytes", config.ingest.body_max_bytes);
    positive("ingest.connections_max", config.ingest.connections_max);
    positive("ingest.requests_max", config.ingest.requests_max);
    positive("worker.prefetch", config.worker.prefetch.into());
    positive("worker.batch_max", config.worker.batch_max);
    if config.worker.prefetch > 2000 {
        problems.push(Problem::new(
            "worker.prefetch",
            "must be at most 2000, RabbitMQ's limit on quorum queues",
        ));
    }
    problems.extend(door::check(&config.ingest));
    problems.extend(check_spool(config));
    problems.extend(check_retention(config));
    problems.extend(check_scaling(config));
    for (name, source) in &config.sources {
        problems.extend(source.check(name));
        problems.extend(door::check_source(name, source));
    }
    for (name, pipeline) in &config.pipelines {
        let invalid = |source: &&String| {
            source.as_str() != "*" && source.parse::<envelope::SourceName>().is_err()
        };
        for source in pipeline.sources.iter().filter(invalid) {
            let rule = format!("{source:?} is not a source name (a-z, 0-9, '-') or \"*\"");
            problems.push(Problem::new(format!("pipelines.{name}.sources"), rule));
        }
    }
    problems
}

/// Each kind has to outlive whatever can bring its events back.
fn check_retention(config: &Config) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut outlives = |(key, kept): (&str, Duration), (other, needed): (String, Duration)| {
        if kept < needed {
            let (kept, needed) = (format_duration(kept), format_duration(needed));
            let rule = format!(
                "{kept} is shorter than {other}, {needed}: an event that comes back later would be applied twice"
            );
            problems.push(Problem::new(key, rule));
        }
    };
    let processed = ("retention.processed", config.retention.processed);
    let letters = ("retention.dead_letters", config.retention.dead_letters);
    outlives(processed, (letters.0.to_owned(), letters.1));
    if config.journal.enabled {
        outlives(
            letters,
            ("journal.max_age".to_owned(), config.journal.max_age),
        );
    }
    for (name, source) in &config.sources {
        let horizon = format!("sources.{name}.resend_horizon");
        outlives(processed, (horizon, source.resend_horizon));
    }
    problems
}

/// Between the thresholds has to be room, or a fleet that is just right would never rest.
fn check_scaling(config: &Config) -> Vec<Problem> {
    let scaling = &config.scaling;
    let mut problems = Vec::new();
    let mut rule = |holds: bool, key: &str, rule: &str| {
        if !holds {
            problems.push(Problem::new(format!("scaling.{key}"), rule));
        }
    };
    rule(
        scaling.down_below >= 1,
        "down_below",
        "must be at least 1, such as 100: nothing is below 0",
    );
    rule(
        scaling.up_above > scaling.down_below,
        "up_above",
        "must be above scaling.down_below, such as 1000 and 100",
    );
    rule(
        scaling.min >= 1,
        "min",
        "must be at least 1: with no worker the last events would wait for ever",
    );
    rule(
        scaling.max >= scaling.min,
        "max",
        "must be at least scaling.min, such as 50",
    );
    problems
}

fn check_spool(config: &Config) -> Vec<Problem> {
    let mut problems = Vec::new();
    if config
        .spool
        .path
        .as_ref()
        .is_some_and(|path| path.as_os_str().is_empty())
    {
        let rule = "must name a file, such as \"/var/lib/spillway/spool.db\", or not be set";
        problems.push(Problem::new("spool.path", rule));
    }
    let body_max_bytes = config.ingest.body_max_bytes as u64;
    if config.spool.max_bytes < SPOOL_MIN_BYTES.max(2 * body_max_bytes) {
        let rule =
            "must be at least 1048576, and twice ingest.body_max_bytes: else it is always full";
        problems.push(Problem::new("spool.max_bytes", rule));
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn load_text(text: &str) -> Result<Config, ConfigError> {
        let mut file = tempfile::Builder::new().suffix(".toml").tempfile().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        load(Some(file.path()))
    }

    #[test]
    fn without_a_file_every_default_holds() {
        let config = load_text("").unwrap();
        assert_eq!(config.ingest.listen.to_string(), "127.0.0.1:8080");
        assert_eq!(
            config
                .pipelines
                .keys()
                .map(|name| name.as_str())
                .collect::<Vec<_>>(),
            ["payments"]
        );
    }

    #[test]
    fn every_problem_is_told_at_once() {
        let text = "[ingest]\nrequests_max = 0\n[spool]\npath = \"\"\nmax_bytes = 5\n[worker]\nprefetch = 5000\n[sources.a]\nsecrets = []\n\
                    [pipelines.p]\nsources = [\"A.b\"]\n";
        let keys: Vec<_> = load_text(text)
            .unwrap_err()
            .0
            .into_iter()
            .map(|problem| problem.key)
            .collect();
        assert_eq!(
            keys,
            [
                "ingest.requests_max",
                "worker.prefetch",
                "spool.path",
                "spool.max_bytes",
                "sources.a.secrets",
                "pipelines.p.sources"
            ]
        );
    }

    #[test]
    fn what_brings_an_event_back_is_gone_before_the_row_that_would_recognise_it() {
        let text = "[retention]\nprocessed = \"2d\"\ndead_letters = \"3d\"\n[journal]\nmax_age = \"4d\"\n\
                    [sources.a]\nsecrets = [\"env:A\"]\nresend_horizon = \"5d\"\n";
        let problems = load_text(text).unwrap_err().0;
        let keys: Vec<_> = problems
            .iter()
            .map(|problem| problem.key.as_str())
            .collect();
        let processed = "retention.processed";
        assert_eq!(keys, [processed, "retention.dead_letters", processed]);
        assert!(problems[2].rule.contains("sources.a.resend_horizon"));
        let text = format!("{text}[reconcile]\nrepair = true\n");
        assert!(load_text(&text.replace("max_age", "enabled = false\nmax_age")).is_err());
    }

    #[test]
    fn thresholds_that_would_never_let_a_fleet_rest_are_refused() {
        let text = "[scaling]\nup_above = 100\ndown_below = 100\nmin = 0\nmax = 0\n";
        let problems = load_text(text).unwrap_err().0;
        let keys: Vec<_> = problems
            .iter()
            .map(|problem| problem.key.as_str())
            .collect();
        assert_eq!(keys, ["scaling.up_above", "scaling.min"]);
        assert!(load_text("[scaling]\nmin = 3\nmax = 2\n").is_err());
        assert!(load_text("[scaling]\nmin = 3\nmax = 3\n").is_ok());
    }

    #[test]
    fn a_url_may_lie_in_a_file_of_its_own() {
        let mut secret = tempfile::NamedTempFile::new().unwrap();
        secret.write_all(b"amqp://a:b@c\n").unwrap();
        let path = secret.path().display();
        let config = load_text(&format!("[broker]\nurl = \"file:{path}\"\n")).unwrap();
        assert_eq!(config.broker.url.as_deref(), Some("amqp://a:b@c"));
        let problems = load_text("[ledger]\nurl = \"file:/not/there\"\n");
        assert_eq!(problems.unwrap_err().0[0].key, "ledger.url");
    }

    #[test]
    fn the_spool_is_off_unless_it_has_a_path() {
        assert_eq!(load_text("").unwrap().spool.path, None);
        let config = load_text("[spool]\npath = \"/disk/spool.db\"\n").unwrap();
        assert_eq!(config.spool.path.unwrap().to_str(), Some("/disk/spool.db"));
        assert!(load_text("[spool]\ndrain_rate = 0\n").is_err());
    }

    #[test]
    fn what_is_said_of_the_door_is_said_completely() {
        for (text, key) in [
            (
                "client_address_header = \"X-Real-IP\"",
                "ingest.trusted_proxies",
            ),
            (
                "trusted_proxies = [\"10.0.0.0/8\"]",
                "ingest.client_address_header",
            ),
            (
                "trusted_proxies = [\"10.0.0.0/8\"]\nclient_address_header = \"Forwarded\"",
                "ingest.client_address_header",
            ),
            (
                "client_address_header = \"X Y\"",
                "ingest.client_address_header",
            ),
            (
                "trusted_proxies = [\"10.0.0.0/40\"]",
                "ingest.trusted_proxies",
            ),
            ("tls = { certificate = \"/c.pem\" }", "ingest.tls.key"),
            ("tls = { key = \"/k.pem\" }", "ingest.tls.certificate"),
            (
                "tls = { handshake_timeout = \"0s\" }",
                "ingest.tls.handshake_timeout",
            ),
            (
                "[sources.a]\nsecrets = [\"env:A\"]\nmax_burst = 3",
                "sources.a.max_burst",
            ),
            (
                "[sources.a]\nsecrets = [\"env:A\"]\nmax_rate = 0",
                "sources.a.max_rate",
            ),
            (
                "[sources.a]\nsecrets = [\"env:A\"]\nallow_from = [\"x\"]",
                "sources.a.allow_from",
            ),
        ] {
            let found = problems(&format!("[ingest]\n{text}\n"));
            let keys: Vec<_> = found.iter().map(|(key, _)| key.as_str()).collect();
            assert_eq!(keys, [key], "{found:?}");
        }
        let right = "[ingest]\ntrusted_proxies = [\"10.0.0.0/8\", \"fd00::1\"]\nclient_address_header = \"X-Forwarded-For\"\n\
                     [ingest.tls]\ncertificate = \"/c.pem\"\nkey = \"/k.pem\"\n[sources.a]\nsecrets = [\"env:A\"]\n\
                     max_rate = 100\nmax_burst = 5\nallow_from = [\"203.0.113.7\"]\n";
        let config = load_text(right).unwrap();
        assert!(config.ingest.tls.files().is_some());
        assert_eq!(config.sources.values().next().unwrap().allow_from.len(), 1);
    }

    fn problems(text: &str) -> Vec<(String, String)> {
        let problems = load_text(text).unwrap_err().0.into_iter();
        problems
            .map(|problem| (problem.key, problem.rule))
            .collect()
    }

    #[test]
    fn an_unknown_key_is_an_error_with_a_suggestion_wherever_it_is() {
        for (text, key, suggestion) in [
            (
                "[sources.a]\nsecret = [\"env:A\"]\n",
                "sources.a.secret",
                "did you mean secrets?",
            ),
            (
                "[ingest]\nlisten_address = 1\n",
                "ingest.listen_address",
                "did you mean listen?",
            ),
            ("[ingress]\n", "ingress", "did you mean ingest?"),
            (
                "[pipelines.p]\nxyz = 1\n",
                "pipelines.p.xyz",
                "but sources, handler",
            ),
            (
                "[sources.a]\nhmac = { signatur_header = \"X\" }\n",
                "sources.a.hmac.signatur_header",
                "did you mean signature_header?",
            ),
        ] {
            let found = problems(text);
            let told = found.iter().find(|(its, _)| its == key);
            let rule = &told.unwrap_or_else(|| panic!("{found:?}")).1;
            assert!(rule.contains(suggestion), "{rule}");
        }
    }

    #[test]
    fn everything_that_cannot_be_read_is_told_together_with_what_breaks_a_rule() {
        let text = "[ingest]\nlisten = \"here\"\nrequests_max = \"many\"\nconnections_max = 0\n[worker]\nprefetch = -1\n\
                    [sources.A]\n[sources.b]\nscheme = \"strip\"\nsecrets = \"whsec_inline\"\n[spool]\ndrain_rate = 0\n[log]\n\
                    format = \"xml\"\n";
        let found = problems(text);
        let keys: Vec<_> = found.iter().map(|(key, _)| key.as_str()).collect();
        let expected = [
            "ingest.listen",
            "ingest.requests_max",
            "log.format",
            "sources.A",
            "sources.b.scheme",
            "sources.b.secrets",
            "spool.drain_rate",
            "worker.prefetch",
            "ingest.connections_max",
        ];
        assert_eq!(keys, expected, "{found:#?}");
        assert!(
            found.iter().all(|(_, rule)| !rule.contains("whsec_inline")),
            "{found:#?}"
        );
    }

    #[test]
    fn a_file_that_is_not_toml_is_told_by_its_line_and_not_quoted() {
        let found = problems("[sources.a]\nsecrets = [\"env:A\", whsec_inline]\n");
        assert_eq!(found.len(), 1, "{found:?}");
        let (key, rule) = &found[0];
        assert!(
            key == "the file" && rule.contains("line 2"),
            "{key}: {rule}"
        );
        assert!(!rule.contains("whsec_inline"), "{rule}");
    }

    #[test]
    fn the_environment_stands_over_the_file_whatever_its_type() {
        let variables = [
            ("SPILLWAY_INGEST_LISTEN", "127.0.0.1:1"),
            ("SPILLWAY_INGEST_MAX_BACKLOG", "7"),
            ("SPILLWAY_RECONCILE_REPAIR", "true"),
            ("SPILLWAY_RECONCILE_EVERY", "3s"),
            ("SPILLWAY_WORKER_PIPELINE", ""),
        ];
        let variable = |name: &str| {
            let found = variables.iter().find(|(its, _)| *its == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        let layers = Layers::read("[ingest]\nmax_backlog = 5\n", variable);
        assert!(layers.problems.is_empty(), "{:?}", layers.problems);
        let config = layers.config().unwrap();
        assert_eq!(config.ingest.listen.port(), 1);
        assert_eq!(config.ingest.max_backlog, 7);
        assert!(config.reconcile.repair);
        assert_eq!(config.reconcile.every, Duration::from_secs(3));
        assert_eq!(config.worker.pipeline, None);
        let wrong = Layers::read("", |name| {
            (name == "SPILLWAY_LOG_FORMAT").then(|| "xml".into())
        });
        assert_eq!(wrong.problems[0].key, "SPILLWAY_LOG_FORMAT");
    }
}

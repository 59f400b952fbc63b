//! A private Prometheus.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use rustix::process::Signal;
use serde_json::Value;

use crate::leash::Leash;
use crate::ports::free_port;
use crate::server::{Server, find_program};

/// A query that takes longer has met a defect: there are a few thousand samples.
const QUERY_TIMEOUT: Duration = Duration::from_secs(10);

/// A Prometheus that reads pages once a second and evaluates rules as often.
#[derive(Debug)]
pub struct Prometheus {
    // Dropped in this order: the server first, then the folder it works in.
    server: Server,
    leash: Leash,
    port: u16,
    client: reqwest::Client,
}

impl Prometheus {
    /// Whether the server and its tool are on this machine.
    #[must_use]
    pub fn is_installed() -> bool {
        ["prometheus", "promtool"]
            .iter()
            .all(|program| find_program(program, &[]).is_ok())
    }

    /// Starts one on a free loopback port that reads the pages of these jobs, each a name and its
    /// `host:port`s, with a file of rules.
    ///
    /// # Errors
    /// When it is not installed or does not start; the error quotes its log.
    pub async fn start(jobs: &[(&str, Vec<String>)], rules: &Path) -> Result<Self> {
        let leash = Leash::new("prometheus")?;
        let mut prometheus = Self {
            server: Server::new(&leash, "prometheus", Signal::KILL),
            leash,
            port: free_port(),
            client: reqwest::Client::builder().timeout(QUERY_TIMEOUT).build()?,
        };
        let config = prometheus.leash.folder().join("prometheus.json");
        fs::write(&config, configuration(jobs, rules).to_string())?;
        prometheus.launch(&config).await?;
        Ok(prometheus)
    }

    async fn launch(&mut self, config: &Path) -> Result<()> {
        let (program, address) = (program()?, format!("127.0.0.1:{}", self.port));
        let mut command = self.leash.command("prometheus", "KILL", &program);
        let data = self.leash.folder().join("data");
        command
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", data.display()))
            .arg(format!("--web.listen-address={address}"));
        let (client, ready) = (self.client.clone(), format!("http://{address}/-/ready"));
        self.server
            .start(&self.leash, command, || {
                let asking = client.get(&ready).send();
                async {
                    asking
                        .await
                        .is_ok_and(|answer| answer.status().is_success())
                }
            })
            .await
    }

    /// The answer to an instant query: one entry for each series, with its labels and its value.
    ///
    /// # Errors
    /// When it does not answer, or finds the expression wrong; the error says how.
    pub async fn query(&self, expression: &str) -> Result<Vec<Value>> {
        let answer = self.ask("query", &[("query", expression)]).await?;
        let result = &answer["data"]["result"];
        match (answer["data"]["resultType"].as_str(), result.as_array()) {
            (Some("vector"), Some(series)) => Ok(series.clone()),
            // A number, such as `time()` gives.
            (Some(_), _) => Ok(vec![serde_json::json!({ "metric": {}, "value": result })]),
            (None, _) => bail!("no result for {expression}: {answer}"),
        }
    }

    /// The groups of rules with their state, as its page of rules shows them.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn rules(&self) -> Result<Vec<Value>> {
        let answer = self.ask("rules", &[]).await?;
        let groups = answer["data"]["groups"].as_array();
        groups.cloned().context("no groups")
    }

    async fn ask(&self, what: &str, parameters: &[(&str, &str)]) -> Result<Value> {
        let mut url = url::Url::parse(&format!("http://127.0.0.1:{}/api/v1/{what}", self.port))?;
        url.query_pairs_mut().extend_pairs(parameters);
        let answer = self.client.get(url).send().await?;
        let answer: Value = answer.json().await?;
        if answer["status"] != "success" {
            bail!("Prometheus refused {parameters:?}: {}", answer["error"]);
        }
        Ok(answer)
    }
}

/// JSON is YAML too.
fn configuration(jobs: &[(&str, Vec<String>)], rules: &Path) -> Value {
    let job = |(name, targets): &(&str, Vec<String>)| {
        serde_json::json!({
            "job_name": name,
            "static_configs": [{ "targets": targets }],
        })
    };
    serde_json::json!({
        "global": {
            "scrape_interval": "1s",
            "scrape_timeout": "1s",
            "evaluation_interval": "1s",
        },
        "rule_files": [rules],
        "scrape_configs": jobs.iter().map(job).collect::<Vec<_>>(),
    })
}

fn program() -> Result<PathBuf> {
    find_program("prometheus", &[])
}

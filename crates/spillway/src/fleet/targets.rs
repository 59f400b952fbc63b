//! Which workers there are, for Prometheus: a file of `file_sd_configs`.

use anyhow::Context;
use envelope::PipelineName;
use serde::Serialize;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// The file, and what was last written to it.
pub(super) struct Targets {
    file: PathBuf,
    pipeline: PipelineName,
    own: SocketAddr,
    written: Option<String>,
}

/// One group of targets (<https://prometheus.io/docs/prometheus/latest/configuration/configuration/#file_sd_config>).
#[derive(Serialize)]
struct Group<'a> {
    targets: Vec<String>,
    labels: BTreeMap<&'a str, &'a str>,
}

impl Targets {
    /// `own` is the fleet's own admin port.
    pub(super) fn new(file: &Path, pipeline: &PipelineName, own: SocketAddr) -> Self {
        Self {
            file: file.to_owned(),
            pipeline: pipeline.clone(),
            own,
            written: None,
        }
    }

    /// Writes it where it has changed.
    pub(super) fn announce(
        &mut self,
        workers: impl Iterator<Item = SocketAddr>,
    ) -> anyhow::Result<()> {
        let mut workers: Vec<String> = workers.map(|worker| worker.to_string()).collect();
        workers.sort();
        let groups = [
            self.group("spillway-fleet", vec![self.own.to_string()]),
            self.group("spillway-worker", workers),
        ];
        let text = serde_json::to_string_pretty(&groups).expect("strings") + "\n";
        if self.written.as_ref() != Some(&text) {
            self.write(&text)?;
            self.written = Some(text);
        }
        Ok(())
    }

    /// Nobody is there any more.
    pub(super) fn withdraw(self) -> anyhow::Result<()> {
        self.write("[]\n")
    }

    fn group(&self, job: &'static str, targets: Vec<String>) -> Group<'_> {
        let labels = BTreeMap::from([("job", job), ("pipeline", self.pipeline.as_str())]);
        Group { targets, labels }
    }

    /// Whoever reads it meanwhile reads the old one or the new one, whole.
    fn write(&self, text: &str) -> anyhow::Result<()> {
        let mut beside = self.file.clone().into_os_string();
        beside.push(".new");
        std::fs::write(&beside, text)
            .and_then(|()| std::fs::rename(&beside, &self.file))
            .with_context(|| format!("cannot write {}", self.file.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_what_prometheus_reads() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("fleet.json");
        let address = |port: u16| SocketAddr::from(([127, 0, 0, 1], port));
        let mut targets = Targets::new(&file, &"payments".parse().unwrap(), address(9083));
        targets
            .announce([address(40002), address(40001)].into_iter())
            .unwrap();
        insta::assert_snapshot!(std::fs::read_to_string(&file).unwrap());
        targets.withdraw().unwrap();
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "[]\n");
    }
}

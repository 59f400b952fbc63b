//! The topology a configuration asks for. Every program declares the same.

use super::secrets::default_source;
use super::{BrokerConfig, Config, JournalConfig};
use broker::{Journal, Pipeline, Settings, SourceFilter, Topology};

/// Exchanges, queues and bindings for the pipelines of this configuration.
pub fn topology(config: &Config) -> Topology {
    let pipelines = config.pipelines.iter().map(|(name, pipeline)| Pipeline {
        name: name.clone(),
        sources: filter(&pipeline.sources),
    });
    // With a secret in the environment the door serves `default` without a word about it here.
    let default = (!config.sources.contains_key(&default_source())).then(default_source);
    Topology {
        sources: config.sources.keys().cloned().chain(default).collect(),
        pipelines: pipelines.collect(),
        journal: journal(&config.journal),
    }
}

fn journal(config: &JournalConfig) -> Option<Journal> {
    config.enabled.then_some(Journal {
        max_age: config.max_age,
        max_bytes: config.max_bytes,
    })
}

fn filter(sources: &[String]) -> SourceFilter {
    if sources.iter().any(|source| source == "*") {
        return SourceFilter::All;
    }
    // Names were checked when the configuration was loaded.
    SourceFilter::Only(
        sources
            .iter()
            .filter_map(|source| source.parse().ok())
            .collect(),
    )
}

impl BrokerConfig {
    /// How a program uses the broker.
    pub fn settings(&self, program: impl Into<String>) -> Settings {
        Settings {
            settle_new_queues: self.settle_new_queues,
            ..Settings::of(program)
        }
    }
}

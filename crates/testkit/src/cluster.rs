//! A private RabbitMQ of three nodes, so that one can be lost.

use anyhow::{Context as _, Result};

use crate::rabbitmq::RabbitMq;

/// Three nodes on loopback. A quorum queue declared on any of them has a replica on each.
#[derive(Debug)]
pub struct Cluster {
    // Dropped in this order: the first node holds the port mapper that all three use.
    others: [RabbitMq; 2],
    first: RabbitMq,
}

impl Cluster {
    /// Starts the nodes (half a minute on two busy cores).
    ///
    /// # Errors
    /// When RabbitMQ is not installed, or a node does not start.
    pub async fn start() -> Result<Self> {
        let first = RabbitMq::start().await?;
        let (second, third) = tokio::join!(
            RabbitMq::start_beside(&first),
            RabbitMq::start_beside(&first)
        );
        let others = [second?, third?];
        Ok(Self { others, first })
    }

    /// The AMQP URL of each node.
    #[must_use]
    pub fn urls(&self) -> Vec<String> {
        self.nodes().map(RabbitMq::url).collect()
    }

    fn nodes(&self) -> impl Iterator<Item = &RabbitMq> {
        std::iter::once(&self.first).chain(&self.others)
    }

    /// The URL of the node that leads `queue` in the default vhost.
    ///
    /// # Errors
    /// When no node that runs knows of one.
    pub async fn leader(&self, queue: &str) -> Result<String> {
        let asked = self.nodes().find(|node| node.pid().is_some());
        let management = asked.context("no node runs")?.management();
        let queue = management.get(&format!("queues/%2F/{queue}")).await?;
        let leader = queue["leader"].as_str().context("it has no leader")?;
        let node = self.nodes().find(|node| node.node() == leader);
        Ok(node
            .with_context(|| format!("{leader} is none of ours"))?
            .url())
    }

    /// The node at this URL.
    pub fn node(&mut self, url: &str) -> Option<&mut RabbitMq> {
        let mut nodes = std::iter::once(&mut self.first).chain(&mut self.others);
        nodes.find(|node| node.url() == url)
    }
}

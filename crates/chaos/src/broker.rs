//! The broker of a site: one node, or three.

use anyhow::{Context as _, Result};
use std::time::Duration;
use testkit::{Cluster, RabbitMq};
use tokio::time::sleep;

#[derive(Debug)]
pub enum Broker {
    One(Box<RabbitMq>),
    /// Our programs know one URL; before it is a proxy that hands each connection to the next node that takes
    /// it, as a load balancer would.
    Three(Box<Cluster>),
}

/// Whose leader is killed.
const QUEUE: &str = "spillway.payments";

impl Broker {
    pub fn urls(&self) -> Vec<String> {
        match self {
            Self::One(node) => vec![node.url()],
            Self::Three(cluster) => cluster.urls(),
        }
    }

    /// For faults of a broker that has one node only.
    pub fn one(&mut self) -> Result<&mut RabbitMq> {
        match self {
            Self::One(node) => Some(&mut **node),
            Self::Three(_) => None,
        }
        .context("this broker has three nodes")
    }

    /// The node that leads the workers' queue dies, and comes back.
    pub(crate) async fn kill_the_leader(&mut self, lasting: Duration) -> Result<()> {
        let cluster = match self {
            Self::Three(cluster) => cluster,
            Self::One(_) => anyhow::bail!("this broker has one node"),
        };
        let url = cluster.leader(QUEUE).await?;
        let leader = cluster.node(&url).context("none of ours")?;
        leader.kill()?;
        sleep(lasting).await;
        leader.restart().await
    }
}

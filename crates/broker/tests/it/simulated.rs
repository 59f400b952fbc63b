//! The suite over the broker of the simulation: what it promises, `crates/sim` relies on.

use crate::harness::{Client, Harness, topology};
use broker::{Consumer, Publisher, QueueName};
use bytes::Bytes;
use envelope::Wire;
use sim::broker::{Latency, Link, Server};
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

impl Harness for Arc<Server> {
    type Client = Link;

    async fn new() -> Self {
        Server::new(topology(), Arc::default(), Latency::None)
    }

    fn connect(&self, stop: CancellationToken) -> Link {
        Link::new(self.clone(), stop)
    }

    async fn inject(&self, queue: &QueueName, wire: Wire, body: Bytes) {
        self.put(queue, wire, body);
    }
}

impl Client for Link {
    fn publisher(&self) -> Publisher {
        self.publisher()
    }

    fn consumer(&self, queue: QueueName, prefetch: u16) -> Consumer {
        self.consumer(queue, prefetch)
    }

    async fn ready(&self) {}

    async fn stopped(&self) {
        self.stopped().await;
    }
}

conformance!(Arc<Server>);

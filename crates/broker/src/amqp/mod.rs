//! stub
use crate::{Consumer, Publisher, QueueName, Settings, StartError, Topology};
use tokio_util::sync::CancellationToken;
/// stub
#[derive(Clone, Debug)]
pub struct Broker;
#[allow(missing_docs, clippy::todo)]
impl Broker {
    pub fn start(_: &url::Url, _: &Topology, _: Settings, _: CancellationToken) -> Self {
        todo!()
    }
    pub async fn ready(&self) -> Result<(), StartError> {
        todo!()
    }
    pub fn publisher(&self) -> Publisher {
        todo!()
    }
    pub fn consumer(&self, _: QueueName, _: u16) -> Consumer {
        todo!()
    }
    pub async fn stopped(&self) {}
}

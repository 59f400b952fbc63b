//! The suite over RabbitMQ.

use crate::books::Books;
use crate::harness::Harness;
use crate::harness::connect;
use broker::Broker;
use broker::{BrokerUrl, QueueName};
use bytes::Bytes;
use envelope::Wire;
use lapin::options::BasicPublishOptions;
use lapin::{BasicProperties, Connection, ConnectionProperties};
use tokio_util::sync::CancellationToken;

/// A vhost of its own.
pub struct RabbitMq {
    pub vhost: testkit::Vhost,
}

impl Harness for RabbitMq {
    type Client = Broker;

    async fn new() -> Self {
        let server = testkit::rabbitmq().await.unwrap();
        Self {
            vhost: server.vhost().await.unwrap(),
        }
    }

    fn connect(&self, stop: CancellationToken) -> Broker {
        connect(&self.vhost.url().parse().unwrap(), stop)
    }

    async fn inject(&self, queue: &QueueName, wire: Wire, body: Bytes) {
        let connection = Connection::connect(self.vhost.url(), ConnectionProperties::default())
            .await
            .unwrap();
        let channel = connection.create_channel().await.unwrap();
        let id = wire.message_id.unwrap_or_default();
        let properties = BasicProperties::default().with_message_id(id.into());
        // The default exchange routes by queue name and asks nothing of a message.
        let options = BasicPublishOptions::default();
        let published =
            channel.basic_publish("".into(), queue.as_str().into(), options, &body, properties);
        published.await.unwrap().await.unwrap();
        connection.close(200, "".into()).await.unwrap();
    }
}

impl Books for RabbitMq {
    fn url(&self) -> BrokerUrl {
        self.vhost.url().parse().unwrap()
    }

    async fn enter_foreign(&self, body: &'static [u8]) {
        let journal = QueueName::journal();
        self.inject(&journal, Wire::default(), Bytes::from_static(body))
            .await;
    }
}

conformance!(RabbitMq);
books!(RabbitMq);

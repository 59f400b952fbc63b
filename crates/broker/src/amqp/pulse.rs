//! Pulses over `spillway.pulse`: transient, unconfirmed, on connections of their own. None of it touches the
//! event path, and nothing waits for it.

use super::session::{Condition, Link, OpenError, Session, SessionWork, bounded};
use crate::pulse::{PULSE_INTERVAL, PULSES_MAX};
use crate::{Pulse, Topology};
use futures_util::StreamExt;
use lapin::options::{
    BasicConsumeOptions, BasicPublishOptions, QueueBindOptions, QueueDeclareOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Consumer};
use std::sync::Arc;
use tokio::sync::broadcast;
use tokio::time::{MissedTickBehavior, interval};
use tracing::warn;

/// Not kept on a disk: five seconds later it means nothing.
const TRANSIENT: u8 = 1;
/// How long a pulse waits for its listener; then it says nothing that is still true.
const PULSE_TTL_MILLIS: i32 = 5_000;

/// Sends what `make` says once a second until we stop.
pub(super) async fn beat<M>(link: Arc<Link>, make: M)
where
    M: Fn() -> Pulse + Send + Sync,
{
    let mut work = Beating {
        link: link.clone(),
        make,
    };
    link.keep_open("its pulse", &mut work).await;
}

struct Beating<M> {
    link: Arc<Link>,
    make: M,
}

impl<M: Fn() -> Pulse + Send + Sync> SessionWork for Beating<M> {
    const CONNECTION: &'static str = "pulsing";
    const CONSUMES: bool = false;

    async fn run(&mut self, session: &Session) -> bool {
        let stop = self.link.stop.clone();
        tokio::select! {
            () = stop.cancelled() => true,
            () = session.ended() => false,
            why = self.send_all(session) => {
                warn!("cannot send pulses: {why}");
                false
            }
        }
    }

    async fn meanwhile(&mut self) {
        std::future::pending().await
    }
}

impl<M: Fn() -> Pulse> Beating<M> {
    /// Once a second until that fails.
    async fn send_all(&self, session: &Session) -> OpenError {
        let channel = match session.channel().await {
            Ok(channel) => channel,
            Err(why) => return why,
        };
        let mut tick = interval(PULSE_INTERVAL);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            // The frames of a blocked connection are never written, and would pile up until it is not.
            if *session.condition.borrow() == Condition::Blocked {
                continue;
            }
            if let Err(why) = send(&channel, &(self.make)()).await {
                return why;
            }
        }
    }
}

async fn send(channel: &Channel, pulse: &Pulse) -> Result<(), OpenError> {
    let body = serde_json::to_vec(pulse).map_err(|why| OpenError::Away(why.to_string()))?;
    let properties = BasicProperties::default()
        .with_delivery_mode(TRANSIENT)
        .with_app_id("spillway".into())
        .with_content_type("application/json".into());
    // Nobody needs to listen, and nobody waits for a confirm.
    let options = BasicPublishOptions {
        mandatory: false,
        immediate: false,
    };
    let (exchange, key) = (Topology::PULSE.into(), "".into());
    let sending = channel.basic_publish(exchange, key, options, &body, properties);
    bounded("sending a pulse", sending).await.map(drop)
}

/// Passes on what comes until nobody listens or we stop.
pub(super) async fn listen(link: Arc<Link>, pulses: broadcast::Sender<Pulse>) {
    let mut work = Listening {
        link: link.clone(),
        pulses,
    };
    link.keep_open("listening to pulses", &mut work).await;
}

struct Listening {
    link: Arc<Link>,
    pulses: broadcast::Sender<Pulse>,
}

impl SessionWork for Listening {
    const CONNECTION: &'static str = "listening";
    const CONSUMES: bool = false;

    async fn run(&mut self, session: &Session) -> bool {
        let stop = self.link.stop.clone();
        tokio::select! {
            () = stop.cancelled() => true,
            () = self.pulses.closed() => true,
            () = session.ended() => false,
            () = pass_on(session, &self.pulses) => false,
        }
    }

    async fn meanwhile(&mut self) {
        self.pulses.closed().await;
    }
}

/// Passes pulses on until the session fails.
async fn pass_on(session: &Session, pulses: &broadcast::Sender<Pulse>) {
    let mut consumer = match subscribe(session).await {
        Ok(consumer) => consumer,
        Err(why) => return warn!("cannot listen to pulses: {why}"),
    };
    while let Some(Ok(delivery)) = consumer.next().await {
        match serde_json::from_slice(&delivery.data) {
            // Nobody listens any more: the select above sees it.
            Ok(pulse) => drop(pulses.send(pulse)),
            // A worker of another version, perhaps.
            Err(why) => warn!("a pulse cannot be read: {why}"),
        }
    }
}

async fn subscribe(session: &Session) -> Result<Consumer, OpenError> {
    let channel = session.channel().await?;
    // Ours alone, and gone with us.
    let options = QueueDeclareOptions {
        exclusive: true,
        auto_delete: true,
        ..Default::default()
    };
    let declaring = channel.queue_declare("".into(), options, bounded_queue());
    let queue = bounded("declaring a queue for pulses", declaring).await?;
    let name = queue.name().clone();
    let exchange = Topology::PULSE.into();
    let options = QueueBindOptions::default();
    let binding = channel.queue_bind(
        name.clone(),
        exchange,
        "".into(),
        options,
        FieldTable::default(),
    );
    bounded("binding a queue for pulses", binding).await?;
    let options = BasicConsumeOptions {
        // A pulse is worth no ack.
        no_ack: true,
        exclusive: true,
        no_local: false,
        nowait: false,
    };
    let consuming = channel.basic_consume(name, "".into(), options, FieldTable::default());
    bounded("consuming pulses", consuming).await
}

/// It never piles up: dropping the oldest is right here, off the event path.
fn bounded_queue() -> FieldTable {
    let mut arguments = FieldTable::default();
    let length = i32::try_from(PULSES_MAX).unwrap_or(i32::MAX);
    arguments.insert("x-max-length".into(), AMQPValue::LongInt(length));
    arguments.insert(
        "x-overflow".into(),
        AMQPValue::LongString("drop-head".into()),
    );
    arguments.insert("x-message-ttl".into(), AMQPValue::LongInt(PULSE_TTL_MILLIS));
    arguments
}

//! What lies on the broker: queues, and what each channel has in hand.

use crate::books::{Books, Place};
use crate::signal::Signal;
use broker::amqp::{Ack, Handed};
use broker::{Content, Destination, QueueName, Tag, Topology};
use bytes::Bytes;
use envelope::{Envelope, Wire};
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

/// The broker's own process.
#[derive(Debug)]
pub struct Server {
    topology: Topology,
    books: Arc<Books>,
    latency: Latency,
    state: Mutex<State>,
    /// Counts up whenever there may be something new to hand out.
    changed: Signal<u64>,
    /// Whether it reads nothing from publishers.
    alarm: Signal<bool>,
}

/// How long the network and the disk take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Latency {
    /// No time at all.
    None,
    /// At most so many milliseconds, at random.
    UpTo(u64),
}

#[derive(Debug, Default)]
struct State {
    queues: BTreeMap<QueueName, VecDeque<Message>>,
    channels: BTreeMap<u64, Channel>,
    opened: u64,
    confirms_to_lose: u32,
    publishes_to_refuse: u32,
}

#[derive(Clone, Debug)]
struct Message {
    wire: Wire,
    body: Bytes,
    delivery_count: u32,
    expires_at: Option<Instant>,
}

#[derive(Debug)]
struct Channel {
    queue: QueueName,
    prefetch: usize,
    next_tag: Tag,
    outstanding: BTreeMap<Tag, Message>,
}

/// What becomes of a publish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Confirmed,
    /// Stored, and the confirm never arrives.
    Unheard,
    Refused,
}

impl Latency {
    /// Lets it pass.
    pub async fn pass(self) {
        match self {
            Self::None => {}
            Self::UpTo(millis) => {
                tokio::time::sleep(Duration::from_millis(fastrand::u64(0..=millis))).await
            }
        }
    }
}

impl Server {
    /// An empty one.
    pub fn new(topology: Topology, books: Arc<Books>, latency: Latency) -> Arc<Self> {
        let queues = topology.queues().into_iter();
        let state = State {
            queues: queues.map(|queue| (queue.name, VecDeque::new())).collect(),
            ..State::default()
        };
        Arc::new(Self {
            topology,
            books,
            latency,
            state: Mutex::new(state),
            changed: Signal::new(0),
            alarm: Signal::new(false),
        })
    }

    pub(super) fn latency(&self) -> Latency {
        self.latency
    }

    pub(super) fn changed(&self) -> &Signal<u64> {
        &self.changed
    }

    pub(super) fn alarm(&self) -> &Signal<bool> {
        &self.alarm
    }

    pub(super) fn fate(&self) -> Fate {
        let mut state = self.state();
        if state.publishes_to_refuse > 0 {
            state.publishes_to_refuse -= 1;
            Fate::Refused
        } else if state.confirms_to_lose > 0 {
            state.confirms_to_lose -= 1;
            Fate::Unheard
        } else {
            Fate::Confirmed
        }
    }

    /// Routes an event and stores it.
    pub(super) fn store(self: &Arc<Self>, to: &Destination, envelope: &Envelope) {
        let routed = match to {
            Destination::Queue(queue) => vec![queue.clone()],
            Destination::Events => {
                let pipelines = self.topology.pipelines.iter();
                let takes = pipelines.filter(|pipeline| pipeline.sources.takes(&envelope.source));
                takes
                    .map(|pipeline| QueueName::main(&pipeline.name))
                    .collect()
            }
        };
        let is_there = |queue: &QueueName| self.state().queues.contains_key(queue);
        let mut routed: Vec<_> = routed.into_iter().filter(is_there).collect();
        if routed.is_empty() {
            routed.push(QueueName::unrouted());
        }
        for queue in routed {
            self.put(&queue, envelope.to_wire(), envelope.body.clone());
        }
    }

    /// Puts a message into a queue.
    pub fn put(self: &Arc<Self>, queue: &QueueName, wire: Wire, body: Bytes) {
        let after = self.topology.dead_letter(queue).and_then(|to| to.after);
        let expires_at = after.map(|after| Instant::now() + after);
        let message = Message {
            wire,
            body,
            delivery_count: 0,
            expires_at,
        };
        self.books.stored(&message.content(), self.place(queue));
        self.state().queue(queue).push_back(message);
        if let Some(at) = expires_at {
            let server = self.clone();
            tokio::spawn(async move {
                sleep_until(at).await;
                server.expire();
            });
        }
        self.has_changed();
    }

    /// Moves on what has waited long enough, from the heads alone. What moves is a new message to its queue.
    fn expire(&self) {
        let mut state = self.state();
        let names: Vec<QueueName> = state.queues.keys().cloned().collect();
        for name in names {
            let Some(to) = self.topology.dead_letter(&name) else {
                continue;
            };
            while let Some(message) = state.pop_expired(&name) {
                state.queue(&to.queue).push_back(Message {
                    delivery_count: 0,
                    expires_at: None,
                    ..message
                });
            }
        }
        drop(state);
        self.has_changed();
    }

    pub(super) fn open(&self, queue: QueueName, prefetch: u16) -> u64 {
        let mut state = self.state();
        state.opened += 1;
        let number = state.opened;
        let channel = Channel {
            queue,
            prefetch: prefetch.into(),
            next_tag: 1,
            outstanding: BTreeMap::new(),
        };
        state.channels.insert(number, channel);
        number
    }

    /// Gives back what the channel has in hand, to where it came from.
    pub(super) fn close(&self, channel: u64) {
        let mut state = self.state();
        let Some(closed) = state.channels.remove(&channel) else {
            return;
        };
        let queue = state.queue(&closed.queue);
        for message in closed.outstanding.into_values().rev() {
            queue.push_front(Message {
                delivery_count: message.delivery_count + 1,
                ..message
            });
        }
        drop(state);
        self.has_changed();
    }

    pub(super) fn is_open(&self, channel: u64) -> bool {
        self.state().channels.contains_key(&channel)
    }

    /// The next message for a channel, where there is one and room in its hand.
    pub(super) fn hand_out(&self, channel: u64) -> Option<Handed> {
        let State {
            queues, channels, ..
        } = &mut *self.state();
        let channel = channels.get_mut(&channel)?;
        if channel.outstanding.len() >= channel.prefetch {
            return None;
        }
        let message = queues.get_mut(&channel.queue)?.pop_front()?;
        let tag = channel.next_tag;
        channel.next_tag += 1;
        let handed = Handed {
            tag,
            content: message.content(),
            delivery_count: message.delivery_count,
        };
        channel.outstanding.insert(tag, message);
        Some(handed)
    }

    /// Erases what an ack covers. False closes the channel: the tag is not outstanding.
    pub(super) fn ack(&self, channel: u64, ack: Ack) -> bool {
        let mut state = self.state();
        let Some(open) = state.channels.get_mut(&channel) else {
            return false;
        };
        if !open.outstanding.contains_key(&ack.tag) {
            drop(state);
            let what = format!("{ack:?} is not outstanding, and closes the channel");
            self.books.violate("I3", what);
            self.close(channel);
            return false;
        }
        let rest = open.outstanding.split_off(&(ack.tag + 1));
        let mut covered = std::mem::replace(&mut open.outstanding, rest);
        if !ack.multiple {
            let last = covered.pop_last();
            open.outstanding.append(&mut covered);
            covered = last.into_iter().collect();
        }
        let place = self.place(&open.queue);
        drop(state);
        for message in covered.into_values() {
            self.books.acked(&message.content(), place);
        }
        self.has_changed();
        true
    }

    /// Stops to read from publishers, or begins again.
    pub fn set_alarm(&self, is_on: bool) {
        self.alarm.change(|alarm| *alarm = is_on);
    }

    /// Stores the next publishes, and never says so.
    pub fn lose_confirms(&self, count: u32) {
        self.state().confirms_to_lose = count;
    }

    /// Refuses the next publishes.
    pub fn refuse_publishes(&self, count: u32) {
        self.state().publishes_to_refuse = count;
    }

    /// Nothing goes wrong any more.
    pub fn heal(&self) {
        self.set_alarm(false);
        self.lose_confirms(0);
        self.refuse_publishes(0);
    }

    /// Shuffles what is ready in the main queues: order is a wish, not a promise.
    pub fn shuffle(&self) {
        for queue in self.topology.main_queues() {
            fastrand::shuffle(self.state().queue(&queue).make_contiguous());
        }
    }

    /// How many messages are on their way: ready in a queue that is read, or in hand.
    pub fn under_way(&self) -> usize {
        let state = self.state();
        let is_read = |queue: &QueueName| self.place(queue) != Place::Dead;
        let ready = state.queues.iter().filter(|(name, _)| is_read(name));
        let in_hand = state
            .channels
            .values()
            .map(|channel| channel.outstanding.len());
        ready.map(|(_, queue)| queue.len()).sum::<usize>() + in_hand.sum::<usize>()
    }

    /// Which events are ready somewhere, in nobody's hand.
    pub fn ready(&self) -> Vec<(String, Bytes)> {
        let state = self.state();
        let id = |message: &Message| Some((message.wire.message_id.clone()?, message.body.clone()));
        state.queues.values().flatten().filter_map(id).collect()
    }

    fn place(&self, queue: &QueueName) -> Place {
        let is_main =
            self.topology.main_queues().contains(queue) || *queue == QueueName::unrouted();
        let is_spool = is_main && self.topology.journal.is_none();
        match self.topology.dead_letter(queue) {
            _ if is_spool => Place::Spool,
            _ if is_main => Place::Main,
            Some(_) => Place::Retry,
            None => Place::Dead,
        }
    }

    fn has_changed(&self) {
        self.changed.change(|changes| *changes += 1);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn queue(&mut self, name: &QueueName) -> &mut VecDeque<Message> {
        self.queues.entry(name.clone()).or_default()
    }

    fn pop_expired(&mut self, name: &QueueName) -> Option<Message> {
        let queue = self.queue(name);
        let expires_at = queue.front()?.expires_at?;
        (expires_at <= Instant::now()).then(|| queue.pop_front())?
    }
}

impl Message {
    fn content(&self) -> Content {
        Content::of_wire(self.wire.clone(), self.body.clone())
    }
}

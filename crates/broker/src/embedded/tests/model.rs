//! Random histories against a model that is simple enough to be believed.

use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;

/// What can happen. Numbers choose among what there is at the time.
#[derive(Clone, Debug)]
enum Step {
    Publish { stripe: bool },
    PublishInVain,
    Open { audit: bool, prefetch: u16 },
    Close(usize),
    Read(usize),
    Ack(usize),
    Release(usize),
    Retry(usize),
    Write,
    Pass { millis: u64 },
    Crash,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => any::<bool>().prop_map(|stripe| Step::Publish { stripe }),
        1 => Just(Step::PublishInVain),
        2 => (any::<bool>(), 1..5_u16).prop_map(|(audit, prefetch)| Step::Open { audit, prefetch }),
        1 => any::<usize>().prop_map(Step::Close),
        6 => any::<usize>().prop_map(Step::Read),
        5 => any::<usize>().prop_map(Step::Ack),
        2 => any::<usize>().prop_map(Step::Release),
        2 => any::<usize>().prop_map(Step::Retry),
        4 => Just(Step::Write),
        2 => (0..1_500_u64).prop_map(|millis| Step::Pass { millis }),
        1 => Just(Step::Crash),
    ]
}

/// One copy of an event: its pipeline, its id, and a number of its own. A crash between a retry and its ack
/// makes two copies with the same attempt.
type Copy = (&'static str, u32, u32);

/// What the model knows of a copy that may still come.
#[derive(Debug, Default)]
struct Expected {
    /// It is in somebody's hands, or on the way there.
    in_hand: bool,
    /// It is acked, and the ack may not be written yet.
    acked: bool,
    /// How often somebody has read it.
    read: u32,
}

struct Open {
    pipeline: &'static str,
    prefetch: usize,
    consumer: Consumer,
}

struct World {
    bench: Bench,
    consumers: Vec<Open>,
    /// What was read and not settled, and by which pipeline.
    hands: Vec<(&'static str, Delivery)>,
    expected: BTreeMap<Copy, Expected>,
    next_id: u32,
    copies: u32,
}

fn copy(pipeline: &'static str, delivery: &Delivery) -> Copy {
    let envelope = envelope(delivery);
    (pipeline, id(delivery), envelope.replays)
}

fn chosen(number: usize, among: usize) -> Option<usize> {
    number.checked_rem(among)
}

impl World {
    fn new() -> Self {
        Self {
            bench: Bench::new(Some(Journal::default())),
            consumers: Vec::new(),
            hands: Vec::new(),
            expected: BTreeMap::new(),
            next_id: 0,
            copies: 0,
        }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Publish { stripe } => self.publish(stripe),
            Step::PublishInVain => self.publish_in_vain(),
            Step::Open { audit, prefetch } => self.open(audit, prefetch),
            Step::Close(number) => self.close(number),
            Step::Read(number) => self.read(number),
            Step::Ack(number) => self.ack(number),
            Step::Release(number) => self.release(number),
            Step::Retry(number) => self.retry(number),
            Step::Write => self.write(),
            Step::Pass { millis } => self.bench.pass(Duration::from_millis(millis)),
            Step::Crash => self.crash(),
        }
    }

    fn publish(&mut self, stripe: bool) {
        let source = if stripe { "stripe" } else { "default" };
        self.next_id += 1;
        self.bench
            .publish(Destination::Events, event(self.next_id, source))
            .unwrap();
        self.written();
        self.expected
            .entry(("payments", self.next_id, 0))
            .or_default();
        if stripe {
            self.expected.entry(("audit", self.next_id, 0)).or_default();
        }
    }

    fn publish_in_vain(&mut self) {
        self.bench.break_disk(true);
        let refused = self
            .bench
            .publish(Destination::Events, event(u32::MAX, "stripe"));
        assert!(refused.is_err());
        self.bench.break_disk(false);
    }

    fn open(&mut self, audit: bool, prefetch: u16) {
        let pipeline = if audit { "audit" } else { "payments" };
        let consumer = self.bench.consumer(pipeline, prefetch);
        self.consumers.push(Open {
            pipeline,
            prefetch: usize::from(prefetch),
            consumer,
        });
    }

    fn close(&mut self, number: usize) {
        if let Some(index) = chosen(number, self.consumers.len()) {
            // Dropped with whatever it had not read.
            drop(self.consumers.remove(index));
        }
    }

    fn read(&mut self, number: usize) {
        let Some(index) = chosen(number, self.consumers.len()) else {
            return;
        };
        let open = &mut self.consumers[index];
        let batch = read(&mut open.consumer);
        assert!(batch.len() <= open.prefetch);
        for delivery in batch {
            let copy = copy(open.pipeline, &delivery);
            let expected = self
                .expected
                .get_mut(&copy)
                .expect("nothing comes that was not published");
            assert!(!expected.acked, "{copy:?} was acked, durably");
            assert!(!expected.in_hand, "{copy:?} is in somebody's hands");
            assert!(
                delivery.delivery_count >= expected.read,
                "{copy:?} was read more often"
            );
            assert_eq!(envelope(&delivery).body, event(copy.1, "any").body);
            expected.in_hand = true;
            expected.read += 1;
            self.hands.push((open.pipeline, delivery));
        }
    }

    fn taken_from_hands(&mut self, number: usize) -> Option<(&'static str, Delivery)> {
        chosen(number, self.hands.len()).map(|index| self.hands.remove(index))
    }

    fn ack(&mut self, number: usize) {
        if let Some((pipeline, delivery)) = self.taken_from_hands(number) {
            let expected = self.expected.get_mut(&copy(pipeline, &delivery)).unwrap();
            expected.acked = true;
            delivery.receipt.ack();
        }
    }

    fn release(&mut self, number: usize) {
        if let Some((pipeline, delivery)) = self.taken_from_hands(number) {
            self.expected
                .get_mut(&copy(pipeline, &delivery))
                .unwrap()
                .in_hand = false;
        }
    }

    /// Publish, confirm, ack (I7).
    fn retry(&mut self, number: usize) {
        let Some(index) = chosen(number, self.hands.len()) else {
            return;
        };
        let (pipeline, delivery) = &self.hands[index];
        let mut retry = envelope(delivery).clone();
        self.copies += 1;
        retry.replays = self.copies;
        let copy = (*pipeline, id(delivery), retry.replays);
        self.bench.publish(retry_queue(pipeline, 1), retry).unwrap();
        self.written();
        self.expected.entry(copy).or_default();
        self.ack(index);
    }

    fn write(&mut self) {
        self.bench.write();
        self.written();
    }

    /// What was acked will never come again.
    fn written(&mut self) {
        self.expected.retain(|_, expected| !expected.acked);
    }

    fn crash(&mut self) {
        self.bench.crash();
        self.consumers.clear();
        self.hands.clear();
        for expected in self.expected.values_mut() {
            // An ack that was not written is lost with the process.
            (expected.in_hand, expected.acked) = (false, false);
        }
    }

    /// All consumers go, in good order.
    fn leave(&mut self) {
        self.consumers.clear();
        (0..self.hands.len()).for_each(|_| self.release(0));
        self.write();
    }

    /// Everything comes that should, and nothing else; then nothing is left.
    fn finish(mut self, with_crash: bool) {
        self.write();
        if with_crash {
            self.crash();
        } else {
            self.leave();
        }
        let expected: Vec<Copy> = self.expected.keys().copied().collect();
        self.bench.pass(Duration::from_secs(60));
        self.open(false, 1_000);
        self.open(true, 1_000);
        self.write();
        self.read(0);
        self.read(1);
        let mut came: Vec<_> = self
            .hands
            .iter()
            .map(|(pipeline, d)| copy(pipeline, d))
            .collect();
        came.sort_unstable();
        assert_eq!(came, expected);
        (0..came.len()).for_each(|_| self.ack(0));
        self.write();
        assert_eq!(
            ["queued", "delayed"].map(|table| self.bench.count(table)),
            [0, 0]
        );
        assert_eq!(self.bench.count("event"), self.bench.count("journal"));
        self.bench.pass(Journal::default().max_age * 2);
        (0..10).for_each(|_| self.write());
        assert_eq!(self.bench.count("event"), 0);
    }
}

proptest! {
    // Each case writes a real file; 64 histories of up to 80 steps take a few seconds.
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn nothing_is_lost_and_nothing_acked_comes_again(
        steps in prop::collection::vec(step(), 0..80), with_crash: bool,
    ) {
        let mut world = World::new();
        steps.into_iter().for_each(|step| world.step(step));
        world.finish(with_crash);
    }
}

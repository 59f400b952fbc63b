//! One run: load, and round after round a fault, its healing, and the wait until nothing of it is left.

mod recovery;

use crate::faults::Fault;
use crate::footprint::Footprints;
use crate::load::Load;
use crate::machine::{Machine, Stalls};
use crate::oracle::{self, Holdings};
use crate::plan::{Round, Strike};
use crate::site::Site;
use crate::verdict::{Toll, Verdict, figures};
use anyhow::{Context as _, Result, ensure};
use recovery::{ACKS_AGAIN, DRAINED};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use testkit::wait_within;
use tokio::time::sleep;

/// What to do.
pub struct Order {
    pub seed: u64,
    /// Events a second.
    pub rate: u32,
    pub nodes: Nodes,
    pub rounds: Box<dyn Iterator<Item = Round> + Send>,
    /// No round begins after this; the run goes on with load alone where there is none left.
    pub until: Duration,
    /// But so many faults there are in any case.
    pub at_least: usize,
}

/// How many nodes the broker has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nodes {
    One,
    Three,
}

/// After this much load the programs have opened what they keep open.
const WARM_UP: Duration = Duration::from_secs(8);
pub async fn run(order: Order) -> Result<Verdict> {
    let site = match order.nodes {
        Nodes::One => Site::start().await?,
        Nodes::Three => Site::start_with_three_nodes().await?,
    };
    Run::start(site, &order).await?.go_on(order).await
}

pub(crate) struct Run {
    site: Site,
    load: Load,
    footprints: Footprints,
    /// Of the round; `stalls` are those of the rounds before.
    machine: Machine,
    stalls: Stalls,
    started: Instant,
    seed: u64,
    tolls: BTreeMap<Fault, Toll>,
    interventions: Vec<String>,
}

impl Run {
    pub(crate) async fn start(site: Site, order: &Order) -> Result<Self> {
        let load = Load::start(site.doors.clone(), order.rate, order.seed);
        let flowing = async || load.account().doors.iter().all(|door| door.count > 0);
        let flows = wait_within(ACKS_AGAIN, flowing).await;
        flows.context("nothing is accepted, and nothing has been broken yet")?;
        sleep(WARM_UP).await;
        let footprints = Footprints::take(&site);
        Ok(Self {
            machine: Machine::watch(site.file()?),
            stalls: Stalls::default(),
            site,
            load,
            footprints,
            started: Instant::now(),
            seed: order.seed,
            tolls: BTreeMap::new(),
            interventions: Vec::new(),
        })
    }

    pub(crate) async fn go_on(mut self, mut order: Order) -> Result<Verdict> {
        let mut faults = 0;
        while self.started.elapsed() < order.until || faults < order.at_least {
            let Some(round) = order.rounds.next() else {
                break;
            };
            faults += round.strikes.len();
            if !self.round(&round).await {
                // What follows would only say the same again.
                break;
            }
        }
        while self.interventions.is_empty() && self.started.elapsed() < order.until {
            self.wait_a_minute(order.until).await;
        }
        self.judge().await
    }

    /// False where the system did not recover.
    async fn round(&mut self, round: &Round) -> bool {
        sleep(round.quiet).await;
        self.footprints.look(&self.site);
        self.load
            .account()
            .doors
            .iter_mut()
            .for_each(|door| door.watch());
        self.stalls = self.stalls.max(self.machine.take());
        for strike in &round.strikes {
            self.say(&describe(strike));
        }
        let failures = tokio::select! {
            failures = strike(&self.site, round) => failures,
            never = self.footprints.watch(&self.site) => match never {},
        };
        for failure in failures {
            self.intervene(format!("{failure:#}"));
        }
        let recovered = self.recover().await;
        let outage = self.longest_gap();
        let healed = Instant::now();
        let drained = recovered && self.drain().await;
        let drain = healed.elapsed();
        self.say(&format!(
            "  healed: longest outage of acks {:.1} s, drained in {:.1} s",
            outage.as_secs_f64(),
            drain.as_secs_f64()
        ));
        self.charge(round, outage, drain);
        drained
    }

    async fn judge(mut self) -> Result<Verdict> {
        self.say("the load stops, and everything has to come to its end");
        self.load.stop().await;
        self.drain().await;
        let books = self.site.books();
        let account = std::mem::replace(
            &mut *self.load.account(),
            crate::account::Account::new("", 0),
        );
        oracle::wait_for_letters(&books, &account, DRAINED).await;
        ensure!(
            account.events.iter().any(|event| event.accepted),
            "nothing was accepted, so nothing was tested"
        );
        let holdings = Holdings::read(&books).await;
        let mut findings = oracle::judge(&account, &holdings);
        match self.site.reconcile().await {
            Ok(reconciled) => findings.compare(&account, &holdings, &reconciled),
            Err(why) => self.interventions.push(format!("reconcile: {why:#}")),
        }
        self.come_to_rest().await;
        let mut names = Vec::new();
        for member in &self.site.members {
            names.push(member.lock().await.name);
        }
        Ok(Verdict {
            seed: self.seed,
            elapsed: self.started.elapsed(),
            tolls: self.tolls,
            findings,
            interventions: self.interventions,
            footprints: self.footprints,
            names,
            figures: format!(
                "{}\n{}",
                figures(&account),
                self.stalls.max(self.machine.stalls())
            ),
        })
    }

    async fn wait_a_minute(&mut self, until: Duration) {
        let left = until.saturating_sub(self.started.elapsed());
        sleep(left.min(Duration::from_secs(60))).await;
        self.footprints.look(&self.site);
        let figures = figures(&self.load.account());
        self.say(&figures);
        if self.recover().await {
            self.drain().await;
        }
    }

    fn charge(&mut self, round: &Round, outage: Duration, drain: Duration) {
        for strike in &round.strikes {
            let toll = self.tolls.entry(strike.fault).or_default();
            if round.strikes.len() > 1 {
                toll.in_pairs += 1;
            } else {
                toll.alone += 1;
            }
            toll.outage = toll.outage.max(outage);
            toll.drain = toll.drain.max(drain);
        }
    }

    fn intervene(&mut self, trouble: String) {
        let trouble = format!("({}) {trouble}", self.machine.stalls());
        self.say(&format!("  NEEDED A PERSON: {trouble}"));
        self.interventions.push(trouble);
    }

    fn say(&self, what: &str) {
        let (elapsed, seed) = (self.started.elapsed().as_secs_f64(), self.seed);
        println!("{elapsed:7.1} s  seed {seed}  {what}");
    }
}

/// One fault, or two at once, each until it is healed. What could not be injected or healed comes back.
async fn strike(site: &Site, round: &Round) -> Vec<anyhow::Error> {
    let one = async |strike: Option<&Strike>| match strike {
        Some(Strike {
            fault,
            lasting,
            pick,
        }) => {
            let struck = Box::pin(fault.strike(site, *lasting, *pick));
            struck.await.with_context(|| fault.to_string())
        }
        None => Ok(()),
    };
    let (first, second) = tokio::join!(one(round.strikes.first()), one(round.strikes.get(1)));
    [first, second]
        .into_iter()
        .filter_map(Result::err)
        .collect()
}

fn describe(strike: &Strike) -> String {
    let lasting = strike.lasting.as_secs_f64();
    if strike.lasting.is_zero() {
        strike.fault.to_string()
    } else {
        format!("{} for {lasting:.1} s", strike.fault)
    }
}

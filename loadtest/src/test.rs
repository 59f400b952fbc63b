//! One test from its beginning to its verdicts.

use crate::agenda::Agenda;
use crate::arguments::Arguments;
use crate::audit::{Audit, Findings};
use crate::books::{self, Ledger};
use crate::door::Door;
use crate::event::{EVENTS_MOST, Maker, Names};
use crate::mix::{Kind, Mix};
use crate::observer::Observer;
use crate::outcome::{About, Outcome, Quantiles, Requests, timeline};
use crate::profile::Profile;
use crate::ramp::{Ramp, knee};
use crate::report;
use crate::run::{Plan, Ran, run};
use crate::schedule::Schedule;
use crate::verdict::judge;
use crate::watch::{Page, Samples, watch};
use anyhow::{Context, bail};
use ops::config::{self, Config};
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// Everything that is settled before the first event is sent.
struct Test {
    arguments: Arguments,
    config: Config,
    door: Door,
    seed: u64,
    names: Names,
    mix: Mix,
    ledger: Option<Ledger>,
}

/// Runs one test, and says how it came out.
///
/// # Errors
/// Where it cannot be begun, or the database cannot be asked.
pub async fn test(arguments: Arguments, stop: CancellationToken) -> anyhow::Result<Outcome> {
    let report = arguments.report.clone();
    let outcome = Test::prepare(arguments).await?.run(stop).await?;
    if let Some(path) = report {
        let written = std::fs::write(&path, report::page(&outcome));
        written.with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(outcome)
}

impl Test {
    async fn prepare(arguments: Arguments) -> anyhow::Result<Self> {
        let config = config::load(arguments.config.as_deref())?;
        let door = Door::at(&arguments.url, arguments.source.clone())?;
        // Found before the load: after it a wrong URL would be a lost run.
        let ledger = match arguments.no_audit {
            true => None,
            false => Ledger::find(&config, &arguments.data_dir).await?,
        };
        let seed = arguments.seed.unwrap_or_else(|| fastrand::u64(..));
        Ok(Self {
            names: Names::of(seed),
            mix: Mix::new(seed, arguments.shares()),
            arguments,
            config,
            door,
            seed,
            ledger,
        })
    }

    async fn run(self, stop: CancellationToken) -> anyhow::Result<Outcome> {
        let schedule = self.arguments.schedule()?;
        if schedule.arrivals() > EVENTS_MOST {
            bail!("that would be more than {EVENTS_MOST} events");
        }
        let pages = self.arguments.metrics.iter().map(Page::at);
        let pages = pages.collect::<anyhow::Result<Vec<_>>>()?;
        let (samples, clock, watched) = (Samples::default(), Instant::now(), stop.child_token());
        let plan = self.plan(&schedule, samples.clone())?;
        let watching = tokio::spawn(watch(pages, clock, samples.clone(), watched.clone()));

        // On a thread of its own: nothing else may come between a request and its moment.
        let ran = tokio::task::spawn_blocking(move || run(plan, clock, &stop));
        let ran = ran.await.context("the run ended early")??;
        let audit = self.audit(&ran).await?;
        watched.cancel();
        watching.await.context("the admin pages")?;
        Ok(self.outcome(ran, audit, &samples))
    }

    fn plan(&self, schedule: &Schedule, samples: Samples) -> anyhow::Result<Plan> {
        let arguments = &self.arguments;
        let maker = self.maker()?;
        let most = arguments.count.unwrap_or(EVENTS_MOST);
        let agenda = match arguments.closed {
            true => Agenda::closed(schedule.length(), self.mix, most),
            false => Agenda::open(schedule, self.mix, most, arguments.timeout),
        };
        let ends = schedule.spans().map(|(stage, until)| (until, stage.rate));
        let is_ramp = arguments.profile == Profile::Ramp && !arguments.closed;
        let ramp = is_ramp.then(|| Ramp::new(ends.collect(), arguments.ramp_p99()));
        Ok(Plan {
            address: self.door.address,
            connections: arguments.connections.into(),
            timeout: arguments.timeout,
            maker,
            mix: self.mix,
            agenda,
            observer: Observer::new(schedule.length(), samples, ramp, arguments.json),
        })
    }

    fn maker(&self) -> anyhow::Result<Maker> {
        let arguments = &self.arguments;
        let scheme = books::scheme(arguments.scheme, &self.config, &self.door.source)?;
        let keys = books::keys(
            scheme,
            arguments.secret.as_ref(),
            &self.config,
            &self.door.source,
            &arguments.data_dir,
        )?;
        let maker = Maker::new(
            scheme,
            &self.door.host,
            &self.door.path,
            self.names.clone(),
            keys,
            arguments.orders,
            arguments.large_bytes,
        );
        let has_poison = arguments.shares().poison > 0.0;
        let kinds = [(Kind::Payment, true), (Kind::Poison, has_poison)];
        let is_unknown = |(kind, sent)| sent && !maker.is_known_by_its_name(kind);
        if self.ledger.is_some() && kinds.into_iter().any(is_unknown) {
            bail!(
                "with this scheme the door gives some of these events an id of its own: \
                 nothing to look for in the ledger; send no poison, or use --no-audit"
            );
        }
        Ok(maker)
    }

    async fn audit(&self, ran: &Ran) -> anyhow::Result<Option<Findings>> {
        let Some(ledger) = &self.ledger else {
            return Ok(None);
        };
        let audit = Audit {
            source: &self.door.source,
            pipelines: &books::pipelines(&self.config, &self.door.source)?,
            names: &self.names,
            mix: &self.mix,
            orders: self.arguments.orders,
            answers: &ran.answers,
            ended_at: ran.ended_at,
            patience: self.arguments.patience,
        };
        let found = ledger.audit(&audit).await;
        found.context("cannot audit the ledger").map(Some)
    }

    fn outcome(&self, ran: Ran, audit: Option<Findings>, samples: &Samples) -> Outcome {
        let verdicts = judge(&self.arguments.thresholds(), &ran.tally, audit.as_ref());
        let took_seconds = ran.took.max(Duration::from_micros(1)).as_secs_f64();
        let model = if self.arguments.closed {
            "closed"
        } else {
            "open"
        };
        Outcome {
            passed: verdicts.iter().all(|verdict| verdict.kept),
            verdicts,
            run: About {
                id: self.names.events(),
                profile: self.arguments.load_in_words(),
                model: model.to_owned(),
                url: format!("http://{}{}", self.door.host, self.door.path),
                source: self.door.source.to_string(),
                connections: self.arguments.connections.into(),
                seed: self.seed,
                took_seconds,
                ended_at: ran.ended_at as f64 / 1e6,
                was_stopped: ran.was_stopped,
                generator_cpu_seconds: ran.cpu_seconds,
            },
            requests: Requests::of(&ran.tally, ran.answers.accepted.len(), took_seconds),
            ack_seconds: Quantiles::of(&ran.tally.ack),
            lag_seconds: Quantiles::of(&ran.tally.lag),
            audit,
            knee: knee(&ran.steps).cloned(),
            steps: ran.steps,
            timeline: timeline(&ran.tally.seconds, &samples.take()),
        }
    }
}

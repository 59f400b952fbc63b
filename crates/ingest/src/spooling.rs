//! What runs beside the door where there is a spool: its way out, and a look at how full it is.

use crate::drain::drain;
use crate::events::Events;
use broker::{Publisher, Spool, StartError};
use ops::config::SpoolConfig;
use std::time::Duration;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

/// Between two looks. Metrics are read every few seconds.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// A spool at work.
#[derive(Debug)]
pub struct Spooling {
    spool: Spool,
    tasks: TaskTracker,
    draining: CancellationToken,
    serving: CancellationToken,
}

impl Spooling {
    /// Opens the spool and begins to drain it to the broker; nothing where none is configured.
    ///
    /// # Errors
    /// Where its file cannot be used: an operator who asked for a spool is not given a door without one.
    pub fn start(
        config: &SpoolConfig,
        publisher: Publisher,
        events: Events,
    ) -> Result<Option<Self>, StartError> {
        let Some(path) = &config.path else {
            return Ok(None);
        };
        let (draining, serving) = (CancellationToken::new(), CancellationToken::new());
        let spool = Spool::start(path, config.max_bytes, serving.clone())?;
        info!("events the broker does not take go to {}", path.display());
        let tasks = TaskTracker::new();
        let rate = config.drain_rate;
        tasks.spawn(drain(spool.clone(), publisher, rate, draining.clone()));
        tasks.spawn(look(spool.clone(), events, draining.clone()));
        tasks.close();
        Ok(Some(Self {
            spool,
            tasks,
            draining,
            serving,
        }))
    }

    /// Where to keep what the broker does not take.
    pub fn spool(&self) -> Spool {
        self.spool.clone()
    }

    /// Stops once the door takes nothing more and while the broker still gives verdicts. What is left stays
    /// for the next start.
    pub async fn finish(self) {
        self.draining.cancel();
        self.tasks.wait().await;
        if let Ok(left) = self.spool.standing()
            && left.events > 0
        {
            warn!("{} events stay in the spool", left.events);
        }
        self.serving.cancel();
        self.spool.stopped().await;
    }
}

async fn look(spool: Spool, events: Events, stop: CancellationToken) {
    let mut ticks = interval(LOOK_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = ticks.tick() => {}
        }
        match spool.standing() {
            Ok(standing) => events.spool_stands(standing),
            Err(why) => warn!("how full the spool is cannot be told: {why}"),
        }
    }
}

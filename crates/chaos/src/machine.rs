//! What the machine itself did meanwhile. A disk that others keep busy, or a processor that nobody gets, stops
//! brokers and databases too; whoever reads a failure has to know whether it did.

use std::fmt;
use std::fs::File;
use std::io::{self, Write as _};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::sleep;

/// The longest of each since the watch began.
#[derive(Clone, Copy, Debug, Default)]
pub struct Stalls {
    /// A few bytes to the disk and the answer that they are there.
    fsync: Duration,
    /// How much later than asked for a timer woke us.
    timer: Duration,
}

/// Measures until it is dropped.
#[derive(Debug)]
pub struct Machine {
    stalls: Arc<Mutex<Stalls>>,
    measuring: JoinHandle<()>,
}

/// Rare enough that the measuring is no load.
const BETWEEN: Duration = Duration::from_millis(500);

impl Machine {
    pub fn watch(file: File) -> Self {
        let stalls = Arc::<Mutex<Stalls>>::default();
        Self {
            measuring: tokio::spawn(measure(Arc::new(file), stalls.clone())),
            stalls,
        }
    }

    pub fn stalls(&self) -> Stalls {
        *self.stalls.lock().unwrap()
    }

    /// What it was until now; from here on anew.
    pub fn take(&self) -> Stalls {
        std::mem::take(&mut self.stalls.lock().unwrap())
    }
}

impl Stalls {
    pub fn max(self, other: Self) -> Self {
        Self {
            fsync: self.fsync.max(other.fsync),
            timer: self.timer.max(other.timer),
        }
    }
}

async fn measure(file: Arc<File>, stalls: Arc<Mutex<Stalls>>) {
    loop {
        let asked = Instant::now();
        sleep(BETWEEN).await;
        let timer = asked.elapsed().saturating_sub(BETWEEN);
        let file = file.clone();
        let fsync = spawn_blocking(move || fsync(&file)).await.unwrap();
        let now = Stalls {
            // A disk that refuses is the programs' to notice.
            fsync: fsync.unwrap_or_default(),
            timer,
        };
        let mut stalls = stalls.lock().unwrap();
        *stalls = stalls.max(now);
    }
}

fn fsync(mut file: &File) -> io::Result<Duration> {
    let started = Instant::now();
    file.write_all(b"spillway")?;
    file.sync_data()?;
    Ok(started.elapsed())
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.measuring.abort();
    }
}

impl fmt::Display for Stalls {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (fsync, timer) = (self.fsync.as_secs_f64(), self.timer.as_secs_f64());
        write!(
            out,
            "the machine's longest fsync {fsync:.1} s, a timer late by {timer:.1} s"
        )
    }
}

//! The workers: started, missed when they die, and told to stop.
//!
//! A worker's standard input is a pipe from us, and it stops when that ends: by our will, or because we are
//! gone, however that came about. Nothing has to run in us for that.

use anyhow::Context;
use envelope::PipelineName;
use resilience::Backoff;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tracing::{info, warn};

/// Above the longest drain: a worker that has not gone by then is ended, and what it held is handed out again.
const FAREWELL: Duration = Duration::from_secs(40);

/// A worker that has lasted so long had not failed to start.
const SETTLED: Duration = Duration::from_secs(10);

/// Starts workers.
pub(super) struct Recruiter {
    program: PathBuf,
    config: Option<PathBuf>,
    pipeline: PipelineName,
}

/// All workers of ours.
pub(super) struct Crew {
    recruiter: Recruiter,
    working: Vec<Member>,
    leaving: Vec<Leaving>,
    /// Workers in a row that ended soon after their start, and when the next may be started.
    failures: u32,
    next_at: Option<Instant>,
}

struct Member {
    child: Child,
    admin: SocketAddr,
    since: Instant,
}

struct Leaving {
    member: Member,
    until: Instant,
}

impl Recruiter {
    /// The worker's program lies beside our own.
    pub(super) fn new(config: Option<PathBuf>, pipeline: &PipelineName) -> anyhow::Result<Self> {
        let own = std::env::current_exe().context("cannot tell where this program lies")?;
        let program = own.with_file_name("spillway-worker");
        anyhow::ensure!(
            program.is_file(),
            "there is no {}: the worker's program has to lie beside this one",
            program.display()
        );
        Ok(Self {
            program,
            config,
            pipeline: pipeline.clone(),
        })
    }

    fn start(&self, now: Instant) -> std::io::Result<Member> {
        let admin = free_address()?;
        let mut command = Command::new(&self.program);
        command
            .args(["--until-stdin-ends", "--admin-listen", &admin.to_string()])
            .args(["--pipeline", self.pipeline.as_str()])
            .stdin(Stdio::piped());
        if let Some(config) = &self.config {
            command.arg("--config").arg(config);
        }
        let child = command.spawn()?;
        Ok(Member {
            child,
            admin,
            since: now,
        })
    }
}

/// A child whose state cannot be asked for is none of ours any more.
fn has_ended(child: &mut Child) -> bool {
    !matches!(child.try_wait(), Ok(None))
}

/// Free a moment ago. Where somebody is faster, the worker ends at once and is started again with another.
fn free_address() -> std::io::Result<SocketAddr> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()
}

impl Crew {
    pub(super) fn new(recruiter: Recruiter) -> Self {
        Self {
            recruiter,
            working: Vec::new(),
            leaving: Vec::new(),
            failures: 0,
            next_at: None,
        }
    }

    /// Makes it so many, as far as that can be done now. To be called again and again.
    pub(super) fn muster(&mut self, desired: usize, now: Instant) {
        self.miss_the_dead(now);
        self.wave_off(now);
        while self.working.len() > desired {
            self.dismiss(now);
        }
        while self.working.len() < desired && self.next_at.is_none_or(|at| at <= now) {
            match self.recruiter.start(now) {
                Ok(member) => {
                    info!(
                        "worker {} started, at http://{}",
                        member.child.id(),
                        member.admin
                    );
                    self.working.push(member);
                }
                Err(why) => {
                    warn!("a worker cannot be started: {why}");
                    self.wait_before_the_next(now);
                }
            }
        }
    }

    /// Where those who work can be asked.
    pub(super) fn addresses(&self) -> impl Iterator<Item = SocketAddr> {
        self.working.iter().map(|member| member.admin)
    }

    /// Whether nobody is there any more.
    pub(super) fn is_gone(&self) -> bool {
        self.working.is_empty() && self.leaving.is_empty()
    }

    fn miss_the_dead(&mut self, now: Instant) {
        let dead = self
            .working
            .extract_if(.., |member| has_ended(&mut member.child));
        let dead: Vec<Member> = dead.collect();
        for member in dead {
            warn!("worker {} ended by itself", member.child.id());
            if now.duration_since(member.since) < SETTLED {
                self.wait_before_the_next(now);
            } else {
                self.failures = 0;
            }
        }
    }

    /// The last one that came: the others have their connections and caches warm.
    fn dismiss(&mut self, now: Instant) {
        if let Some(mut member) = self.working.pop() {
            info!("worker {} is told to stop", member.child.id());
            drop(member.child.stdin.take());
            let until = now + FAREWELL;
            self.leaving.push(Leaving { member, until });
        }
    }

    fn wave_off(&mut self, now: Instant) {
        self.leaving.retain_mut(|leaving| {
            let child = &mut leaving.member.child;
            if has_ended(child) {
                info!("worker {} has ended", child.id());
                return false;
            }
            if now >= leaving.until {
                warn!("worker {} does not end: it is killed", child.id());
                // It has ended meanwhile, then; the next look sees it.
                let _ = child.kill();
            }
            true
        });
    }

    fn wait_before_the_next(&mut self, now: Instant) {
        let wait = Backoff::RECONNECT.wait(self.failures, fastrand::f64());
        self.failures = self.failures.saturating_add(1);
        self.next_at = Some(now + wait);
    }
}

//! One of our programs, watched over as an orchestrator would: killed ones are started again, and whoever
//! dies by itself is remembered.

use std::time::Duration;
use testkit::{Program, Running, wait_within};

/// How long a program may take from its start to readiness, its servers being there.
const READINESS: Duration = Duration::from_secs(60);
/// The longest drain of ours is 20 s.
const FAREWELL: Duration = Duration::from_secs(40);

#[derive(Debug)]
pub struct Member {
    pub name: &'static str,
    pub program: Program,
    pub admin: String,
    running: Option<Running>,
}

impl Member {
    pub fn new(name: &'static str, program: Program, admin: u16) -> Self {
        Self {
            name,
            program,
            admin: format!("http://127.0.0.1:{admin}"),
            running: None,
        }
    }

    pub fn pid(&self) -> Option<u32> {
        self.running.as_ref().map(Running::pid)
    }

    pub fn start(&mut self) -> anyhow::Result<()> {
        self.running = Some(self.program.spawn()?);
        Ok(())
    }

    /// With this place armed to end it.
    pub fn start_failing(&mut self, place: &str) -> anyhow::Result<()> {
        let program = self.program.clone().env("FAILPOINTS", place);
        self.running = Some(program.spawn()?);
        Ok(())
    }

    pub fn kill(&mut self) -> anyhow::Result<()> {
        match self.running.take() {
            Some(mut running) => running.kill(),
            None => Ok(()),
        }
    }

    pub fn freeze(&mut self) -> anyhow::Result<()> {
        self.running.as_mut().map_or(Ok(()), Running::freeze)
    }

    pub fn thaw(&mut self) -> anyhow::Result<()> {
        self.running.as_mut().map_or(Ok(()), Running::thaw)
    }

    /// `SIGTERM`, as at a rollout: it has to end by itself, with success.
    pub async fn terminate(&mut self) -> anyhow::Result<()> {
        let Some(mut running) = self.running.take() else {
            return Ok(());
        };
        running.terminate()?;
        let status = running.wait(FAREWELL).await?;
        anyhow::ensure!(
            status.success(),
            "{} ended with {status} after a SIGTERM:\n{}",
            self.name,
            tail(&running)
        );
        Ok(())
    }

    /// Waits for an end that somebody prepared.
    pub async fn wait_for_its_end(&mut self, within: Duration) -> bool {
        match &mut self.running {
            Some(running) => {
                let ended = running.wait(within).await.is_ok();
                if ended {
                    self.running = None;
                }
                ended
            }
            None => true,
        }
    }

    /// What it said last, where it is dead and nobody killed it. It is started again.
    pub async fn found_dead(&mut self) -> anyhow::Result<Option<String>> {
        let Some(running) = &mut self.running else {
            self.start()?;
            return Ok(None);
        };
        let Ok(status) = running.wait(Duration::ZERO).await else {
            return Ok(None);
        };
        let words = format!(
            "{} died by itself ({status}):\n{}",
            self.name,
            tail(running)
        );
        self.start()?;
        Ok(Some(words))
    }

    /// Nothing once it is ready, else what it said last.
    pub async fn unready(&self) -> Option<String> {
        let url = format!("{}/readyz", self.admin);
        let client = crate::sender::client();
        let ready = wait_within(READINESS, async || {
            let answer = client.get(&url).send().await;
            answer.is_ok_and(|answer| answer.status().is_success())
        });
        if ready.await.is_some() {
            return None;
        }
        let said = self.running.as_ref().map(tail).unwrap_or_default();
        Some(format!(
            "{} was not ready within {READINESS:?}:\n{said}",
            self.name
        ))
    }

    pub fn said(&self) -> String {
        self.running.as_ref().map(tail).unwrap_or_default()
    }
}

/// Enough to see what it was doing.
const LINES: usize = 40;

fn tail(running: &Running) -> String {
    let output = running.output();
    let lines: Vec<&str> = output.lines().collect();
    lines[lines.len().saturating_sub(LINES)..].join("\n")
}

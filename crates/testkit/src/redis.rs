//! A private Redis.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use rustix::process::Signal;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;

use crate::leash::Leash;
use crate::ports::free_port;
use crate::server::{Server, find_program};

/// A Redis without persistence: what it knew is gone after [`kill`](Self::kill), as it may be
/// at any moment in production.
#[derive(Debug)]
pub struct Redis {
    // Dropped in this order: the server first, then the folder it works in.
    server: Server,
    leash: Leash,
    program: PathBuf,
    port: u16,
}

impl Redis {
    /// Whether the server's program is on this machine.
    #[must_use]
    pub fn is_installed() -> bool {
        program().is_ok()
    }

    /// Starts a Redis on a free loopback port and waits until it answers.
    ///
    /// # Errors
    /// When it is not installed or does not start; the error quotes its log.
    pub async fn start() -> Result<Self> {
        let leash = Leash::new("redis")?;
        let server = Server::new(&leash, "redis", Signal::KILL);
        let mut redis = Self {
            server,
            leash,
            program: program()?,
            port: free_port(),
        };
        redis.launch().await?;
        Ok(redis)
    }

    async fn launch(&mut self) -> Result<()> {
        let mut command = self.leash.command("redis", "KILL", &self.program);
        command
            .args(["--port", &self.port.to_string(), "--bind", "127.0.0.1"])
            // No snapshots and no log of writes: nothing here is worth a disk.
            .args(["--save", "", "--appendonly", "no", "--daemonize", "no"]);
        let port = self.port;
        self.server
            .start(&self.leash, command, || answers(port))
            .await
    }

    /// `redis://127.0.0.1:port`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// The loopback port it listens on, the same after every restart.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The server's process, while it runs.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.server.pid()
    }

    /// Sends one command without spaces in its words, for example `CLIENT PAUSE 5000`, and hands back the
    /// first line of the answer.
    ///
    /// # Errors
    /// When it does not answer within a second, or answers with an error.
    pub async fn command(&self, command: &str) -> Result<String> {
        let answer = tokio::time::timeout(Duration::from_secs(1), ask(self.port, command));
        let answer = answer.await.context("Redis does not answer")??;
        if answer.starts_with('-') {
            bail!("Redis refused {command}: {answer}");
        }
        Ok(answer)
    }

    /// `SIGKILL`.
    ///
    /// # Errors
    /// When it is not running.
    pub fn kill(&mut self) -> Result<()> {
        self.server.kill()
    }

    /// `SIGSTOP`: connections stay open and nobody answers.
    ///
    /// # Errors
    /// When it is not running.
    pub fn freeze(&mut self) -> Result<()> {
        self.server.process()?.freeze()
    }

    /// `SIGCONT` after [`freeze`](Self::freeze).
    ///
    /// # Errors
    /// When it is not running.
    pub fn thaw(&mut self) -> Result<()> {
        self.server.process()?.thaw()
    }

    /// An orderly stop.
    ///
    /// # Errors
    /// When it is not running or does not stop in time.
    pub async fn stop(&mut self) -> Result<()> {
        self.server.stop(Signal::TERM).await
    }

    /// Starts it again, empty, on the same port; kills it first where it still runs.
    ///
    /// # Errors
    /// When it does not start; the error quotes its log.
    pub async fn restart(&mut self) -> Result<()> {
        if self.pid().is_some() {
            self.kill()?;
        }
        self.launch().await
    }
}

fn program() -> Result<PathBuf> {
    find_program("redis-server", &[])
}

async fn answers(port: u16) -> bool {
    let ping = tokio::time::timeout(Duration::from_secs(1), ask(port, "PING"));
    matches!(ping.await, Ok(Ok(answer)) if answer == "+PONG")
}

/// One command in Redis' inline form, so that no client library is needed.
async fn ask(port: u16, command: &str) -> std::io::Result<String> {
    let mut stream = BufReader::new(TcpStream::connect(("127.0.0.1", port)).await?);
    stream
        .write_all(format!("{command}\r\n").as_bytes())
        .await?;
    let mut answer = String::new();
    stream.read_line(&mut answer).await?;
    Ok(answer.trim_end().to_owned())
}

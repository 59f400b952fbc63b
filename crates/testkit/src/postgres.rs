//! A private Postgres.

use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use rustix::process::Signal;

use crate::leash::Leash;
use crate::ports::free_port;
use crate::schema::{Database, answers};
use crate::server::{Server, find_program};

/// A Postgres cluster in a temporary folder, with one superuser `postgres` and no password.
#[derive(Debug)]
pub struct Postgres {
    // Dropped in this order: the server first, then the folder it works in.
    server: Server,
    leash: Leash,
    account: Option<Account>,
    durability: Durability,
    port: u16,
}

/// Whether a commit waits for the disk.
#[derive(Debug, Clone, Copy)]
enum Durability {
    /// No: the operating system's memory survives a killed server, and tests are quicker.
    Fast,
    /// Yes.
    Durable,
    /// Yes, with the memory and the log of a server that has rows by the million.
    AsInProduction,
}

/// What operators are told to set (`docs/capacity.md`). As it is installed, Postgres has memory for a machine of 1 GB.
pub const PRODUCTION_SETTINGS: [&str; 4] = [
    "fsync=on",
    "synchronous_commit=on",
    "shared_buffers=4GB",
    "max_wal_size=8GB",
];

impl Postgres {
    /// Whether the server's programs are on this machine.
    #[must_use]
    pub fn is_installed() -> bool {
        program("initdb").is_ok() && program("postgres").is_ok()
    }

    /// Starts a quick Postgres (`fsync=off`) on a free loopback port and waits until it answers.
    ///
    /// # Errors
    /// When it is not installed or does not start; the error quotes its log.
    pub async fn start() -> Result<Self> {
        Self::start_with(Durability::Fast).await
    }

    /// Like [`start`](Self::start), but every commit is on disk before it is answered: for tests
    /// that kill the server and mean it.
    ///
    /// # Errors
    /// When it is not installed or does not start; the error quotes its log.
    pub async fn start_durable() -> Result<Self> {
        Self::start_with(Durability::Durable).await
    }

    /// The same with what a server in production is given. For measurements.
    ///
    /// # Errors
    /// When it is not installed or does not start; the error quotes its log.
    pub async fn start_as_in_production() -> Result<Self> {
        Self::start_with(Durability::AsInProduction).await
    }

    async fn start_with(durability: Durability) -> Result<Self> {
        let leash = Leash::new("postgres")?;
        let account = Account::to_run_as()?;
        if let Some(account) = &account {
            leash.hand_over(account.uid, account.gid)?;
        }
        // An immediate shutdown rather than a kill: only Postgres itself gives its System V
        // shared memory segment back, and the machine has a limited number of them.
        let server = Server::new(&leash, "postgres", Signal::QUIT);
        let mut postgres = Self {
            server,
            leash,
            account,
            durability,
            port: free_port(),
        };
        postgres.init_cluster()?;
        postgres.launch().await?;
        Ok(postgres)
    }

    fn init_cluster(&self) -> Result<()> {
        let mut initdb = Command::new(program("initdb")?);
        initdb
            .arg("--pgdata")
            .arg(self.data())
            .args([
                "--username=postgres",
                "--auth=trust",
                "--encoding=UTF8",
                "--no-locale",
            ])
            .args(["--no-sync", "--no-instructions"])
            .current_dir(self.leash.folder());
        self.drop_privileges(&mut initdb);
        let output = initdb.output().context("cannot run initdb")?;
        if !output.status.success() {
            bail!("initdb failed: {}", String::from_utf8_lossy(&output.stderr));
        }
        Ok(())
    }

    async fn launch(&mut self) -> Result<()> {
        let mut command = self
            .leash
            .command("postgres", "QUIT", &program("postgres")?);
        command
            .arg("-D")
            .arg(self.data())
            .args(["-p", &self.port.to_string()]);
        for setting in self.settings() {
            command.args(["-c", setting]);
        }
        self.drop_privileges(&mut command);
        let url = self.url();
        self.server
            .start(&self.leash, command, || answers(&url))
            .await
    }

    /// A disk of so many megabytes, for the server to fill up. It is gone with the server.
    ///
    /// # Errors
    /// Where this process may not mount anything: only root may.
    pub fn small_disk(&self, megabytes: usize) -> Result<PathBuf> {
        let disk = self.leash.folder().join(crate::leash::DISK);
        fs::create_dir(&disk)?;
        let mut options = format!("size={megabytes}m,mode=0700");
        if let Some(account) = &self.account {
            options.push_str(&format!(",uid={},gid={}", account.uid, account.gid));
        }
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &options, "tmpfs"]);
        let output = mount.arg(&disk).output().context("cannot run mount")?;
        if !output.status.success() {
            bail!(
                "cannot mount a small disk: {}",
                String::from_utf8_lossy(&output.stderr)
            );
        }
        Ok(disk)
    }

    fn settings(&self) -> Vec<&'static str> {
        let mut settings = vec![
            "listen_addresses=127.0.0.1",
            // TCP is all our programs speak; a socket would need a short path and be left behind.
            "unix_socket_directories=",
            // Many tests at a time share one server, each with a pool.
            "max_connections=300",
            // In the data folder, where the leash removes it; not in the machine's /dev/shm.
            "dynamic_shared_memory_type=mmap",
        ];
        match self.durability {
            Durability::Fast => settings.extend(["fsync=off", "full_page_writes=off"]),
            Durability::Durable => settings.extend(["fsync=on", "synchronous_commit=on"]),
            Durability::AsInProduction => settings.extend(PRODUCTION_SETTINGS),
        }
        settings
    }

    fn data(&self) -> PathBuf {
        self.leash.folder().join("data")
    }

    fn drop_privileges(&self, command: &mut Command) {
        if let Some(account) = &self.account {
            command.uid(account.uid).gid(account.gid);
        }
    }

    /// `postgres://postgres@127.0.0.1:port/postgres`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres", self.port)
    }

    /// A new schema of this server, as a URL that selects it.
    ///
    /// # Errors
    /// When the server does not take it.
    pub async fn database(&self) -> Result<Database> {
        Database::create(&self.url()).await
    }

    /// The loopback port it listens on, the same after every restart.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The postmaster's process, while it runs.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.server.pid()
    }

    /// `SIGKILL` to the postmaster and all its children, so that a restart need not wait for them.
    ///
    /// # Errors
    /// When it is not running.
    pub fn kill(&mut self) -> Result<()> {
        self.server.kill()
    }

    /// `SIGSTOP` to the postmaster and all its children: connections stay open, nobody answers.
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

    /// An orderly stop (Postgres' "fast shutdown": open transactions are rolled back).
    ///
    /// # Errors
    /// When it is not running or does not stop in time.
    pub async fn stop(&mut self) -> Result<()> {
        self.server.stop(Signal::INT).await
    }

    /// Postgres' "immediate shutdown": every session is cut, nothing is flushed, and the next start recovers
    /// from the log.
    ///
    /// # Errors
    /// When it is not running or does not stop in time.
    pub async fn stop_immediately(&mut self) -> Result<()> {
        self.server.stop(Signal::QUIT).await
    }

    /// Starts it again on the same port and data; kills it first where it still runs.
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

/// Debian keeps the server's programs off the PATH, in a folder per major version.
pub(crate) fn program(name: &str) -> Result<PathBuf> {
    let mut candidates: Vec<PathBuf> = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .filter_map(|version| Some(version.ok()?.path().join("bin").join(name)))
        .collect();
    // Always the same version of initdb and postgres, the newest.
    candidates.sort();
    candidates.reverse();
    find_program(name, &candidates)
}

/// Whether this process may do everything.
#[must_use]
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Whom Postgres runs as when we are root, which it refuses to be.
#[derive(Debug, PartialEq)]
struct Account {
    uid: u32,
    gid: u32,
}

impl Account {
    fn to_run_as() -> Result<Option<Self>> {
        if !is_root() {
            return Ok(None);
        }
        let accounts = fs::read_to_string(Path::new("/etc/passwd")).context("no /etc/passwd")?;
        ["postgres", "nobody"]
            .iter()
            .find_map(|name| Self::find(&accounts, name))
            .context("neither `postgres` nor `nobody` is an account here; Postgres refuses to run as root")
            .map(Some)
    }

    /// `name:password:uid:gid:…`
    fn find(accounts: &str, name: &str) -> Option<Self> {
        let mut fields = accounts
            .lines()
            .map(|line| line.split(':'))
            .find_map(|mut fields| (fields.next() == Some(name)).then_some(fields))?;
        let uid = fields.nth(1)?.parse().ok()?;
        let gid = fields.next()?.parse().ok()?;
        Some(Self { uid, gid })
    }
}

#[cfg(test)]
mod tests {
    use super::Account;

    #[test]
    fn an_account_is_found_by_its_whole_name() {
        let accounts = "postgresql:x:1:2::/:/bin/sh\npostgres:x:110:118:a,b:/var:/bin/bash\n";
        assert_eq!(
            Account::find(accounts, "postgres"),
            Some(Account { uid: 110, gid: 118 })
        );
        assert_eq!(Account::find(accounts, "nobody"), None);
    }
}

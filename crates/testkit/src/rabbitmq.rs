//! A private RabbitMQ, with a private epmd (the port mapper that Erlang nodes find each other by).

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use rustix::process::Signal;
use tokio::net::TcpStream;

use crate::leash::Leash;
use crate::management::Management;
use crate::ports::free_port;
use crate::server::{Server, find_program};
use crate::vhost::Vhost;
use crate::wait::wait_within;

/// A RabbitMQ node with the management API, user `guest`, password `guest`.
///
/// Several run side by side: every port, folder, name and cookie is its own.
#[derive(Debug)]
pub struct RabbitMq {
    // Dropped in this order: the servers first, then the folder they work in.
    server: Server,
    /// Nothing where the node shares another's.
    epmd: Option<Server>,
    leash: Leash,
    ports: Ports,
    management: Management,
}

#[derive(Debug, Clone, Copy)]
struct Ports {
    amqp: u16,
    management: u16,
    epmd: u16,
    /// Where `rabbitmqctl` talks to the node.
    distribution: u16,
}

impl RabbitMq {
    /// Whether the server's programs are on this machine.
    #[must_use]
    pub fn is_installed() -> bool {
        script("rabbitmq-server").is_ok() && find_program("epmd", &[]).is_ok()
    }

    /// Starts a RabbitMQ on free loopback ports and waits until it takes connections (5 s on an
    /// idle machine).
    ///
    /// # Errors
    /// When it is not installed or does not start; the error quotes its log.
    pub async fn start() -> Result<Self> {
        let leash = Leash::new("rabbitmq")?;
        let epmd = Server::new(&leash, "epmd", Signal::KILL);
        let mut rabbitmq = Self::prepare(leash, Some(epmd), free_port())?;
        rabbitmq.launch_epmd().await?;
        rabbitmq.launch().await?;
        Ok(rabbitmq)
    }

    /// The same as it is run in production: nothing in it is made quicker for those who wait for a count. For
    /// measurements.
    ///
    /// # Errors
    /// When it is not installed or does not start; the error quotes its log.
    pub async fn start_as_in_production() -> Result<Self> {
        let leash = Leash::new("rabbitmq")?;
        let epmd = Server::new(&leash, "epmd", Signal::KILL);
        let mut rabbitmq = Self::prepare(leash, Some(epmd), free_port())?;
        let folder = rabbitmq.leash.folder();
        for (name, text) in [
            ("rabbitmq.conf", listeners(rabbitmq.ports)),
            ("advanced.config", "[].\n".to_owned()),
        ] {
            fs::write(folder.join(name), text).with_context(|| format!("cannot write {name}"))?;
        }
        rabbitmq.launch_epmd().await?;
        rabbitmq.launch().await?;
        Ok(rabbitmq)
    }

    /// A node of one cluster with `first`. It needs that one's port mapper, and so ends before it.
    pub(crate) async fn start_beside(first: &Self) -> Result<Self> {
        let leash = Leash::new("rabbitmq")?;
        // With its permissions: Erlang refuses a cookie that others may read.
        let cookie = |leash: &Leash| leash.folder().join(".erlang.cookie");
        fs::copy(cookie(&first.leash), cookie(&leash)).context("the first node has no cookie")?;
        let mut rabbitmq = Self::prepare(leash, None, first.ports.epmd)?;
        join_at_the_first_start(rabbitmq.leash.folder(), &first.node())?;
        rabbitmq.launch().await?;
        Ok(rabbitmq)
    }

    fn prepare(leash: Leash, epmd: Option<Server>, epmd_port: u16) -> Result<Self> {
        let ports = Ports {
            amqp: free_port(),
            management: free_port(),
            epmd: epmd_port,
            distribution: free_port(),
        };
        write_config(leash.folder(), ports)?;
        Ok(Self {
            server: Server::new(&leash, "rabbitmq", Signal::KILL),
            epmd,
            management: Management::new(&format!(
                "http://guest:guest@127.0.0.1:{}",
                ports.management
            )),
            leash,
            ports,
        })
    }

    /// Left to itself the node would start an epmd that detaches, listens on the machine's
    /// default port and stays for good.
    async fn launch_epmd(&mut self) -> Result<()> {
        let mut command = self
            .leash
            .command("epmd", "KILL", &find_program("epmd", &[])?);
        command.args([
            "-port",
            &self.ports.epmd.to_string(),
            "-address",
            "127.0.0.1",
        ]);
        let port = self.ports.epmd;
        match &mut self.epmd {
            Some(epmd) => epmd.start(&self.leash, command, || listens(port)).await,
            None => Ok(()),
        }
    }

    async fn launch(&mut self) -> Result<()> {
        let mut command = self
            .leash
            .command("rabbitmq", "KILL", &script("rabbitmq-server")?);
        self.environment(&mut command);
        command
            // Makes the start script become the Erlang machine instead of watching over it: the
            // process we hold, freeze and kill is then the broker.
            .env("RUNNING_UNDER_SYSTEMD", "true")
            .env("RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS", ERLANG_ARGUMENTS);
        let (management, amqp) = (self.management.clone(), self.ports.amqp);
        let ready = || {
            let management = management.clone();
            async move { listens(amqp).await && management.get("overview").await.is_ok() }
        };
        self.server.start(&self.leash, command, ready).await
    }

    /// What the node and `rabbitmqctl` must agree on, and the way out of every default path.
    fn environment(&self, command: &mut Command) {
        let folder = self.leash.folder();
        command
            // The Erlang cookie, by which node and tool trust each other, is made here.
            .env("HOME", folder)
            .env("ERL_EPMD_PORT", self.ports.epmd.to_string())
            .env("ERL_EPMD_ADDRESS", "127.0.0.1")
            .env("RABBITMQ_NODENAME", self.node())
            .env("RABBITMQ_DIST_PORT", self.ports.distribution.to_string())
            .env("RABBITMQ_CONF_ENV_FILE", folder.join("rabbitmq-env.conf"))
            .env("RABBITMQ_CONFIG_FILE", folder.join("rabbitmq.conf"))
            .env(
                "RABBITMQ_ADVANCED_CONFIG_FILE",
                folder.join("advanced.config"),
            )
            .env(
                "RABBITMQ_ENABLED_PLUGINS_FILE",
                folder.join("enabled_plugins"),
            )
            .env("RABBITMQ_GENERATED_CONFIG_DIR", folder.join("generated"))
            .env("RABBITMQ_MNESIA_BASE", folder.join("mnesia"))
            .env("RABBITMQ_LOG_BASE", folder.join("log"))
            .env("RABBITMQ_PID_FILE", folder.join("pid"));
    }

    /// `amqp://guest:guest@127.0.0.1:port/%2f`, the default vhost.
    #[must_use]
    pub fn url(&self) -> String {
        format!("amqp://guest:guest@127.0.0.1:{}/%2f", self.ports.amqp)
    }

    /// The management API.
    #[must_use]
    pub fn management(&self) -> &Management {
        &self.management
    }

    /// A new vhost of this broker.
    ///
    /// # Errors
    /// When the broker does not make it.
    pub async fn vhost(&self) -> Result<Vhost> {
        Vhost::create(&self.url(), &self.management).await
    }

    /// Waits until a quorum queue would survive a kill of the broker.
    ///
    /// RabbitMQ 3.10 answers a declaration, and confirms messages, up to three seconds before the
    /// queue's name is on disk (its registry is a `dets` table, which writes with a delay). Killed
    /// in between, it comes back with a queue that has no leader, and its messages are lost. A
    /// test that kills the broker waits here first: what it is after are our faults.
    ///
    /// # Errors
    /// When the name is not on disk in ten times the delay.
    pub async fn wait_until_recorded(&self, vhost: &str, queue: &str) -> Result<()> {
        let name = format!("{}_{queue}", if vhost == "/" { "%2F" } else { vhost });
        let registry = self.registry();
        let recorded = async || contains(&fs::read(&registry).unwrap_or_default(), &name);
        wait_within(10 * RECORDING_DELAY, recorded)
            .await
            .with_context(|| format!("{queue} in {vhost} is not in the registry on disk"))
    }

    /// Where the names of quorum queues are recorded.
    fn registry(&self) -> PathBuf {
        let node = self.node();
        let data = self.leash.folder().join("mnesia").join(&node);
        data.join("quorum").join(node).join("names.dets")
    }

    /// The name by which other nodes know it.
    pub(crate) fn node(&self) -> String {
        format!("spillway-{}@localhost", self.ports.amqp)
    }

    /// Runs `rabbitmqctl` on this node and hands back what it printed. It takes about a second:
    /// prefer [`management`](Self::management) where that can do it.
    ///
    /// # Errors
    /// When it cannot be run or fails.
    pub async fn ctl(&self, arguments: &[&str]) -> Result<String> {
        let mut command = Command::new(script("rabbitmqctl")?);
        command.args(arguments).current_dir(self.leash.folder());
        self.environment(&mut command);
        let output = tokio::task::spawn_blocking(move || command.output())
            .await?
            .context("cannot run rabbitmqctl")?;
        if !output.status.success() {
            bail!(
                "rabbitmqctl {arguments:?} failed: {}",
                String::from_utf8_lossy(&output.stderr)
            );
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// The AMQP port, the same after every restart.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.ports.amqp
    }

    /// The broker's process, while it runs.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.server.pid()
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

    /// An orderly stop, which takes seconds.
    ///
    /// # Errors
    /// When it is not running or does not stop in time.
    pub async fn stop(&mut self) -> Result<()> {
        self.server.stop(Signal::TERM).await
    }

    /// Starts it again on the same ports and data; kills it first where it still runs.
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

/// The node is reachable from this machine only.
const ERLANG_ARGUMENTS: &str = "-kernel inet_dist_use_interface {127,0,0,1}";

/// With the samples of `rabbitmq.conf`: what the management API counts is a second old instead of
/// five, so that a test which waits for a depth does not wait for the counting. (Also: with a file
/// here the machine's own is not read.)
const ADVANCED_CONFIG: &str = "[{rabbit, [{quorum_tick_interval, 500}]}].\n";

/// After which a `dets` table writes what it was given.
const RECORDING_DELAY: Duration = Duration::from_secs(3);

fn contains(bytes: &[u8], name: &str) -> bool {
    bytes
        .windows(name.len())
        .any(|window| window == name.as_bytes())
}

fn write_config(folder: &Path, ports: Ports) -> Result<()> {
    let config = format!(
        "{}\
         collect_statistics_interval = 500\n\
         management.sample_retention_policies.global.minute = 1\n\
         management.sample_retention_policies.basic.minute = 1\n\
         management.sample_retention_policies.detailed.10 = 1\n",
        listeners(ports)
    );
    let files = [
        ("rabbitmq.conf", config.as_str()),
        ("enabled_plugins", "[rabbitmq_management].\n"),
        ("advanced.config", ADVANCED_CONFIG),
        // Empty, but there: otherwise the machine's own is read.
        ("rabbitmq-env.conf", ""),
    ];
    for (name, text) in files {
        fs::write(folder.join(name), text).with_context(|| format!("cannot write {name}"))?;
    }
    Ok(())
}

/// Where it listens, and what no node of ours does without.
fn listeners(ports: Ports) -> String {
    format!(
        "listeners.tcp.1 = 127.0.0.1:{}\n\
         management.tcp.ip = 127.0.0.1\n\
         management.tcp.port = {}\n\
         disk_free_limit.absolute = 50MB\n\
         log.console = false\n",
        ports.amqp, ports.management
    )
}

/// A node that knows nothing yet asks these for everything.
fn join_at_the_first_start(folder: &Path, node: &str) -> Result<()> {
    let path = folder.join("rabbitmq.conf");
    let alone = fs::read_to_string(&path).context("no configuration to add to")?;
    let backend = "cluster_formation.peer_discovery_backend = classic_config";
    let peer = format!("cluster_formation.classic_config.nodes.1 = {node}");
    fs::write(&path, format!("{alone}{backend}\n{peer}\n")).context("cannot write it")
}

/// Debian's wrappers on the PATH switch to the service's account and folder; the scripts behind
/// them do neither.
fn script(name: &str) -> Result<PathBuf> {
    find_program(name, &[Path::new("/usr/lib/rabbitmq/bin").join(name)])
}

async fn listens(port: u16) -> bool {
    TcpStream::connect(("127.0.0.1", port)).await.is_ok()
}

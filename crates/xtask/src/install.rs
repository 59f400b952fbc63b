//! Makes sure that the servers which tests start are on this machine, and `promtool` with them.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::process::Command;

use anyhow::{Result, bail};
use testkit::{Postgres, Prometheus, RabbitMq, Redis, VARIABLES};

use crate::report::Ending;
use crate::servers::is_named;
use crate::steps::finish;

/// Installs what is missing, where we may; says what to do, where we may not.
pub fn servers() -> Result<Ending> {
    if missing().is_empty() {
        return Ok(Ending::Passed);
    }
    if may_install() {
        install(&missing());
    }
    let missing = missing();
    if missing.is_empty() {
        return Ok(Ending::Passed);
    }
    let packages = missing.join(", ");
    let v = VARIABLES;
    if is_named(&[v.amqp, v.amqp_admin, v.postgres, v.redis]) {
        return Ok(Ending::Skipped(format!(
            "no {packages} here, using the servers the environment names; \
             tests that kill a server will fail"
        )));
    }
    bail!(
        "please install {packages} (the names on Debian and Ubuntu, where `cargo xtask test` run \
         as root does it), or point {}, {}, {} and {} at servers that run",
        v.amqp,
        v.amqp_admin,
        v.postgres,
        v.redis
    )
}

/// The Debian packages of the servers that are not there.
fn missing() -> Vec<&'static str> {
    let servers = [
        ("rabbitmq-server", RabbitMq::is_installed()),
        ("redis-server", Redis::is_installed()),
        ("postgresql", Postgres::is_installed()),
        ("prometheus", Prometheus::is_installed()),
    ];
    servers
        .into_iter()
        .filter(|(_, there)| !there)
        .map(|(package, _)| package)
        .collect()
}

fn may_install() -> bool {
    Path::new("/usr/bin/apt-get").exists() && testkit::is_root()
}

/// What counts is whether the programs are there afterwards: a package whose service would not
/// start counts as failed to apt, and does all we want from it.
fn install(packages: &[&str]) {
    let _policy = NoServices::declare();
    for arguments in [
        &["update"][..],
        &[&["install", "-y", "--no-install-recommends"], packages].concat(),
    ] {
        let mut apt = Command::new("apt-get");
        apt.args(arguments)
            .env("DEBIAN_FRONTEND", "noninteractive")
            .env("RUNLEVEL", "1");
        if let Err(error) = finish(apt) {
            println!("{error:#}");
        }
    }
}

/// While this stands, installing a package starts no service of the machine.
struct NoServices {
    /// Whether the policy is ours to remove.
    ours: bool,
}

/// Debian asks this program before it starts a service; 101 means no.
const POLICY: &str = "/usr/sbin/policy-rc.d";

impl NoServices {
    fn declare() -> Self {
        // `create_new`: a policy that is there already is the machine's own, and stays.
        let file = fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o755)
            .open(POLICY);
        let written = file.and_then(|mut file| file.write_all(b"#!/bin/sh\nexit 101\n"));
        Self {
            ours: written.is_ok(),
        }
    }
}

impl Drop for NoServices {
    fn drop(&mut self) {
        if self.ours
            && let Err(error) = fs::remove_file(POLICY)
        {
            println!("please remove {POLICY}: {error}");
        }
    }
}

//! `spillway secret`: makes one, and says whether those of the configuration can be read. Never shows one, but the
//! one it was told to make.

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use ops::config::{self, ConfigError, Recipient};
use signing::{SchemeName, Secret};
use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Arguments of `spillway secret`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Makes a secret of 32 random bytes, as the scheme writes its secrets.
    Generate {
        /// Whose secret it will be.
        #[arg(long, value_name = "SCHEME", default_value_t = SchemeName::Spillway)]
        scheme: SchemeName,
        /// A new file for it, which only its owner can read; without one it is printed.
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
        /// Encrypts it with age for whoever this names; may be there several times. The file is an age:PATH then.
        // Read by us: the library would repeat what is not one, and somebody may paste an identity here (I9).
        #[arg(long, value_name = "AGE1…")]
        age_recipient: Vec<String>,
    },
    /// Reads every secret of the configuration and says of each whether it will do; exits 1 if one will not.
    Check {
        /// The configuration file (TOML).
        #[arg(long, env = "SPILLWAY_CONFIG", value_name = "FILE")]
        config: Option<PathBuf>,
    },
}

pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    match arguments.command {
        Command::Generate {
            scheme,
            out,
            age_recipient,
        } => generate(scheme, out.as_deref(), &age_recipient),
        Command::Check { config } => check(config.as_deref()),
    }
}

fn generate(
    scheme: SchemeName,
    out: Option<&Path>,
    age_recipients: &[String],
) -> anyhow::Result<()> {
    let recipients = age_recipients.iter().map(|text| text.parse());
    let recipients: Vec<Recipient> = recipients
        .collect::<Result<_, _>>()
        .map_err(|why| anyhow::anyhow!("--age-recipient {why}"))?;
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).context("the system gives no random bytes")?;
    let text = scheme.write_secret(&bytes);
    let (kind, text) = if recipients.is_empty() {
        ("file", text)
    } else {
        let encrypted = config::encrypt(&recipients, &text).context("cannot encrypt the secret")?;
        ("age", encrypted)
    };
    match out {
        None => println!("{}", text.trim_end()),
        Some(path) => write(path, kind, text.trim_end())?,
    }
    Ok(())
}

fn write(path: &Path, kind: &str, text: &str) -> anyhow::Result<()> {
    // Never over another one: whoever signs with that would be locked out.
    let opened = OpenOptions::new()
        .create_new(true)
        .write(true)
        .mode(0o600)
        .open(path);
    opened
        .and_then(|mut file| writeln!(file, "{text}").and_then(|()| file.sync_all()))
        .with_context(|| format!("cannot write the secret {}", path.display()))?;
    println!("{kind}:{}", path.display());
    Ok(())
}

fn check(file: Option<&Path>) -> anyhow::Result<()> {
    let config = config::load(file)?;
    let sources = config::with_default_source(&config);
    let mut bad = 0;
    for (name, source) in &sources {
        let scheme = source.scheme(name).map_err(ConfigError)?;
        for reference in &source.secrets {
            let key = reference
                .read()
                .and_then(|secret: Secret| scheme.key(&secret).map_err(|why| why.to_string()));
            match key {
                Ok(_) => println!("{name}: {reference}: good"),
                Err(why) => {
                    bad += 1;
                    println!("{name}: {reference}: {why}");
                }
            }
        }
    }
    if bad > 0 {
        bail!("{bad} of the secrets cannot be used");
    }
    // What only all of them together can break: two sources with one secret, and no source at all.
    config::read_sources(&config)?;
    Ok(())
}

//! The servers that all tests of a run share.

use std::process::Command;

use anyhow::{Context as _, Result};
use testkit::{Postgres, RabbitMq, Redis, VARIABLES};
use tokio::runtime::Runtime;

/// Private servers for whatever the environment does not name already; ended with this value.
#[derive(Debug)]
pub struct Servers {
    rabbitmq: Option<RabbitMq>,
    postgres: Option<Postgres>,
    redis: Option<Redis>,
    /// Dropped last: the servers' handles were made in it.
    _runtime: Runtime,
}

impl Servers {
    /// Starts them side by side: RabbitMQ's five seconds hide the others'.
    pub fn start() -> Result<Self> {
        let runtime = Runtime::new().context("no runtime")?;
        let (rabbitmq, postgres, redis) = runtime.block_on(async {
            tokio::join!(
                unless(
                    is_named(&[VARIABLES.amqp, VARIABLES.amqp_admin]),
                    RabbitMq::start()
                ),
                unless(is_named(&[VARIABLES.postgres]), Postgres::start()),
                unless(is_named(&[VARIABLES.redis]), Redis::start()),
            )
        });
        Ok(Self {
            rabbitmq: rabbitmq?,
            postgres: postgres?,
            redis: redis?,
            _runtime: runtime,
        })
    }

    /// Names the servers in the environment of `command`.
    pub fn name_in(&self, mut command: Command) -> Command {
        if let Some(rabbitmq) = &self.rabbitmq {
            command
                .env(VARIABLES.amqp, rabbitmq.url())
                .env(VARIABLES.amqp_admin, rabbitmq.management().url());
        }
        if let Some(postgres) = &self.postgres {
            command.env(VARIABLES.postgres, postgres.url());
        }
        if let Some(redis) = &self.redis {
            command.env(VARIABLES.redis, redis.url());
        }
        command
    }
}

/// Whether the environment names a server with all of these.
pub fn is_named(variables: &[&str]) -> bool {
    variables
        .iter()
        .all(|name| std::env::var_os(name).is_some_and(|value| !value.is_empty()))
}

async fn unless<S>(named: bool, start: impl Future<Output = Result<S>>) -> Result<Option<S>> {
    if named {
        Ok(None)
    } else {
        start.await.map(Some)
    }
}

//! The servers a whole run shares: those the environment names, else private ones, started once
//! per process and ended by their leash.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result};
use tokio::sync::OnceCell;

use crate::management::Management;
use crate::postgres::Postgres;
use crate::rabbitmq::RabbitMq;
use crate::redis::Redis;
use crate::schema::{self, Database};
use crate::vhost::Vhost;

/// The names of the environment variables that point tests at servers which already run.
#[derive(Debug, Clone, Copy)]
pub struct Variables {
    /// An `amqp://` URL; its vhost is ignored, every test makes its own.
    pub amqp: &'static str,
    /// The `http://` URL of the same broker's management API, with user and password.
    pub amqp_admin: &'static str,
    /// A `postgres://` URL whose user may create schemas.
    pub postgres: &'static str,
    /// A `redis://` URL.
    pub redis: &'static str,
}

/// The names in force. RabbitMQ needs both of its variables.
pub const VARIABLES: Variables = Variables {
    amqp: "SPILLWAY_TEST_AMQP_URL",
    amqp_admin: "SPILLWAY_TEST_AMQP_ADMIN_URL",
    postgres: "SPILLWAY_TEST_POSTGRES_URL",
    redis: "SPILLWAY_TEST_REDIS_URL",
};

/// A RabbitMQ that other tests use too: never kill it, never leave your vhost.
#[derive(Debug)]
pub struct SharedRabbitMq {
    url: String,
    management: Management,
    /// Kept for its leash; `None` where the environment named a server.
    _own: Option<RabbitMq>,
}

impl SharedRabbitMq {
    async fn find() -> Result<Self> {
        if let (Some(url), Some(admin)) = (named(VARIABLES.amqp), named(VARIABLES.amqp_admin)) {
            return Ok(Self {
                url,
                management: Management::new(&admin),
                _own: None,
            });
        }
        let own = RabbitMq::start().await.context("no shared RabbitMQ")?;
        Ok(Self {
            url: own.url(),
            management: own.management().clone(),
            _own: Some(own),
        })
    }

    /// A vhost for one test.
    ///
    /// # Errors
    /// When the broker does not make it.
    pub async fn vhost(&self) -> Result<Vhost> {
        Vhost::create(&self.url, &self.management).await
    }

    /// The management API, beyond the vhosts.
    #[must_use]
    pub fn management(&self) -> &Management {
        &self.management
    }
}

/// A Postgres that other tests use too.
#[derive(Debug)]
pub struct SharedPostgres {
    url: String,
    /// Kept for its leash; `None` where the environment named a server.
    _own: Option<Postgres>,
}

impl SharedPostgres {
    async fn find() -> Result<Self> {
        if let Some(url) = named(VARIABLES.postgres) {
            schema::wait_for(&url).await.context(VARIABLES.postgres)?;
            return Ok(Self { url, _own: None });
        }
        let own = Postgres::start().await.context("no shared Postgres")?;
        Ok(Self {
            url: own.url(),
            _own: Some(own),
        })
    }

    /// A schema for one test.
    ///
    /// # Errors
    /// When the server does not make it.
    pub async fn database(&self) -> Result<Database> {
        Database::create(&self.url).await
    }
}

/// A Redis that other tests use too. There is nothing to make per test: our keys hold the hash
/// of an event's identity, so tests with event ids of their own do not meet.
#[derive(Debug)]
pub struct SharedRedis {
    url: String,
    /// Kept for its leash; `None` where the environment named a server.
    _own: Option<Redis>,
}

impl SharedRedis {
    async fn find() -> Result<Self> {
        if let Some(url) = named(VARIABLES.redis) {
            return Ok(Self { url, _own: None });
        }
        let own = Redis::start().await.context("no shared Redis")?;
        Ok(Self {
            url: own.url(),
            _own: Some(own),
        })
    }

    /// `redis://…`.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }
}

/// The RabbitMQ of this run.
///
/// # Errors
/// When none is named by [`VARIABLES`] and none can be started.
pub async fn rabbitmq() -> Result<&'static SharedRabbitMq> {
    static SHARED: OnceCell<SharedRabbitMq> = OnceCell::const_new();
    SHARED.get_or_try_init(SharedRabbitMq::find).await
}

/// The Postgres of this run.
///
/// # Errors
/// When none is named by [`VARIABLES`] and none can be started.
pub async fn postgres() -> Result<&'static SharedPostgres> {
    static SHARED: OnceCell<SharedPostgres> = OnceCell::const_new();
    SHARED.get_or_try_init(SharedPostgres::find).await
}

/// The Redis of this run.
///
/// # Errors
/// When none is named by [`VARIABLES`] and none can be started.
pub async fn redis() -> Result<&'static SharedRedis> {
    static SHARED: OnceCell<SharedRedis> = OnceCell::const_new();
    SHARED.get_or_try_init(SharedRedis::find).await
}

fn named(variable: &str) -> Option<String> {
    std::env::var(variable)
        .ok()
        .filter(|value| !value.is_empty())
}

/// A name no other test has, in this process, beside it or in an earlier run on the same server.
pub(crate) fn unique_name() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let since_epoch = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    format!(
        "test-{}-{}-{count}",
        std::process::id(),
        since_epoch.as_micros()
    )
}

/// Runs a last request from a `Drop`: on a thread with a runtime of its own, since the test's
/// may be ending. What fails or is late is left to the server's end.
pub(crate) fn tidy_up(request: impl Future<Output = Result<()>> + Send + 'static) {
    let tidy = move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .ok()?;
        runtime.block_on(async { tokio::time::timeout(TIDY_DEADLINE, request).await.ok() })
    };
    // A panic in there is no reason to panic again in a drop.
    let _ = std::thread::spawn(tidy).join();
}

/// A killed server refuses at once; this is for a frozen one.
const TIDY_DEADLINE: Duration = Duration::from_secs(2);

//! Brings the schema up to date, on a connection of its own.

use super::fault;
use crate::{StartError, schema};
use refinery::error::Kind;
use refinery::{Migration, Runner};
use resilience::{Class, Fault};
use std::future::Future;
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio_postgres::{Client, Config, NoTls};

const MIGRATIONS: [(&str, &str); 5] = [
    (
        "V1__ledger",
        include_str!("../../migrations/postgres/V1__ledger.sql"),
    ),
    (
        "V2__suspects",
        include_str!("../../migrations/postgres/V2__suspects.sql"),
    ),
    (
        "V3__copies",
        include_str!("../../migrations/postgres/V3__copies.sql"),
    ),
    (
        "V4__books",
        include_str!("../../migrations/postgres/V4__books.sql"),
    ),
    (
        "V5__scaling",
        include_str!("../../migrations/postgres/V5__scaling.sql"),
    ),
];

/// One of them at a time, per database: "spillway" in ASCII.
const TAKE_TURNS: &str = "SELECT pg_advisory_lock(8318538731834663289)";

/// A migration may rewrite a table, which takes its time; waiting for somebody else's lock it holds up
/// every writer behind it, which must not.
const SETTINGS: &str = "SET statement_timeout = 0; SET lock_timeout = '5s'";

/// How long a connection, or somebody else's migration, is waited for before the caller hears of it.
const PATIENCE: Duration = Duration::from_secs(30);

pub(super) async fn migrate(config: &Config) -> Result<(), StartError> {
    let mut connection = Connection::open(config).await?;
    let runner = schema::runner(&MIGRATIONS);
    wait_for_turn(&connection.client).await?;
    let applied = applied(&mut connection.client, &runner).await?;
    schema::is_a_beginning(&applied, runner.get_migrations())?;
    let migrated = runner.run_async(&mut connection.client).await;
    migrated.map(drop).map_err(|error| refused(&error))
    // Closing the connection gives up the lock.
}

pub(super) async fn check(config: &Config) -> Result<(), StartError> {
    let mut connection = Connection::open(config).await?;
    let runner = schema::runner(&MIGRATIONS);
    let applied = applied(&mut connection.client, &runner).await?;
    schema::is_current(&applied, runner.get_migrations())
}

/// A connection without a pool, closed when dropped.
struct Connection {
    client: Client,
    driver: JoinHandle<()>,
}

impl Connection {
    async fn open(config: &Config) -> Result<Self, StartError> {
        let (client, connection) = patiently(async { config.connect(NoTls).await }, |error| {
            fault::of_connect(&error)
        })
        .await?;
        let driver = tokio::spawn(async move {
            // Its error reaches whoever waits for an answer; there is nobody else to tell.
            let _ = connection.await;
        });
        Ok(Self { client, driver })
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

async fn wait_for_turn(client: &Client) -> Result<(), StartError> {
    // Waiting for others is bounded here; lock_timeout would also cut short the wait for one's turn.
    let turn = async {
        client.batch_execute("SET lock_timeout = 0").await?;
        client.batch_execute("SET statement_timeout = 0").await?;
        client.batch_execute(TAKE_TURNS).await?;
        client.batch_execute(SETTINGS).await
    };
    patiently(turn, |error| fault::of(&error)).await
}

async fn patiently<T>(
    work: impl Future<Output = Result<T, tokio_postgres::Error>>,
    fault: impl Fn(tokio_postgres::Error) -> Fault,
) -> Result<T, StartError> {
    match tokio::time::timeout(PATIENCE, work).await {
        Ok(outcome) => outcome.map_err(|error| StartError::Away(fault(error))),
        Err(_) => Err(StartError::Away(Fault::ours(format!(
            "postgres gave no answer within {PATIENCE:?}, or somebody else is still migrating"
        )))),
    }
}

async fn applied(client: &mut Client, runner: &Runner) -> Result<Vec<Migration>, StartError> {
    let there = client
        .query_one("SELECT to_regclass($1) IS NOT NULL", &[&schema::HISTORY])
        .await
        .map_err(|error| StartError::Away(fault::of(&error)))?;
    if !there.get::<_, bool>(0) {
        return Ok(Vec::new());
    }
    let applied = runner.get_applied_migrations_async(client).await;
    applied.map_err(|error| refused(&error))
}

/// A database that is away is worth waiting for; a migration it refuses is not.
fn refused(error: &refinery::Error) -> StartError {
    let Kind::Connection(_, source) = error.kind() else {
        return StartError::Schema(error.to_string());
    };
    match source
        .downcast_ref::<tokio_postgres::Error>()
        .map(fault::of)
    {
        Some(fault) if matches!(fault.class, Class::Ours | Class::Contention) => {
            StartError::Away(fault)
        }
        Some(fault) => StartError::Unusable(fault.message),
        None => StartError::Unusable("the migration failed for an unknown reason".into()),
    }
}

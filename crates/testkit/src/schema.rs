//! A schema per test in a shared Postgres.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use tokio_postgres::{Client, NoTls};
use url::Url;

use crate::postgres::program;
use crate::server::START_DEADLINE;
use crate::wait::wait_within;

/// A schema of its own, dropped with this value (best effort).
#[derive(Debug)]
pub struct Database {
    server: String,
    schema: String,
    url: String,
}

impl Database {
    /// Creates a schema on the server at `server` (a `postgres://` URL).
    pub(crate) async fn create(server: &str) -> Result<Self> {
        let schema = crate::shared::unique_name().replace('-', "_");
        let url = with_search_path(server, &schema)?;
        run(server, &format!("CREATE SCHEMA {schema}")).await?;
        Ok(Self {
            server: server.to_owned(),
            schema,
            url,
        })
    }

    /// The server's URL with `options=-c search_path=…`: every connection made with it sees this
    /// schema and no other test's.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The schema's name.
    #[must_use]
    pub fn schema(&self) -> &str {
        &self.schema
    }

    /// Writes everything in it to a file, as `pg_dump` does.
    ///
    /// # Errors
    /// When `pg_dump` is not installed, or does not do it.
    pub async fn dump(&self, file: &Path) -> Result<()> {
        let mut command = Command::new(program("pg_dump")?);
        command.args(["--schema", &self.schema, "--file"]);
        finish(command, file, &self.server).await
    }

    /// Makes the schema what it was when it was dumped, and nothing else.
    ///
    /// # Errors
    /// When `psql` is not installed, or does not do it.
    pub async fn restore(&self, file: &Path) -> Result<()> {
        let drop = format!("DROP SCHEMA {} CASCADE", self.schema);
        run(&self.server, &drop).await?;
        let mut command = Command::new(program("psql")?);
        command.args(["--quiet", "--set", "ON_ERROR_STOP=1", "--file"]);
        finish(command, file, &self.server).await
    }

    /// A connection into the schema, for a test's own questions.
    ///
    /// # Errors
    /// When the server does not take it.
    pub async fn connect(&self) -> Result<Client> {
        connect(&self.url).await
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        // A bounded wait for locks: a test that failed may have left a transaction open.
        let sql = format!(
            "SET lock_timeout = '1s'; DROP SCHEMA IF EXISTS {} CASCADE",
            self.schema
        );
        let server = self.server.clone();
        crate::shared::tidy_up(async move { run(&server, &sql).await });
    }
}

/// Whether a Postgres is there and takes statements.
pub(crate) async fn answers(server: &str) -> bool {
    run(server, "SELECT 1").await.is_ok()
}

/// Waits until a server that somebody else started takes statements.
pub(crate) async fn wait_for(server: &str) -> Result<()> {
    wait_within(START_DEADLINE, || answers(server))
        .await
        .with_context(|| format!("no Postgres answers within {START_DEADLINE:?}"))
}

/// Runs a client of Postgres on a file, to its end.
async fn finish(mut command: Command, file: &Path, server: &str) -> Result<()> {
    command.arg(file).arg(server);
    let output = tokio::task::spawn_blocking(move || command.output()).await??;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{}: {said}", output.status);
    Ok(())
}

async fn run(server: &str, sql: &str) -> Result<()> {
    let client = connect(server).await?;
    client
        .batch_execute(sql)
        .await
        .with_context(|| format!("Postgres refused {sql:?}"))
}

async fn connect(url: &str) -> Result<Client> {
    let connecting = tokio_postgres::connect(url, NoTls);
    let (client, connection) = tokio::time::timeout(Duration::from_secs(5), connecting)
        .await
        .context("Postgres does not answer")?
        .context("cannot connect to Postgres")?;
    // Ends when the client is dropped; its errors reach the client's calls.
    tokio::spawn(async { connection.await.ok() });
    Ok(client)
}

/// `?options=-c%20search_path%3D…`, percent-encoded by hand: the drivers read `+` as a plus, and
/// that is how the usual form encoding writes a space.
fn with_search_path(server: &str, schema: &str) -> Result<String> {
    let mut url = Url::parse(server).context("the Postgres URL is not a URL")?;
    let before = url
        .query()
        .map(|query| format!("{query}&"))
        .unwrap_or_default();
    url.set_query(Some(&format!(
        "{before}options=-c%20search_path%3D{schema}"
    )));
    Ok(url.into())
}

#[cfg(test)]
mod tests {
    use super::with_search_path;

    #[test]
    fn a_schema_is_added_to_what_the_url_already_says() {
        let url = with_search_path("postgres://u:p@h:1/d?sslmode=disable", "t_1").expect("a url");
        assert_eq!(
            url,
            "postgres://u:p@h:1/d?sslmode=disable&options=-c%20search_path%3Dt_1"
        );
        let config: tokio_postgres::Config = url.parse().expect("the driver reads it");
        assert_eq!(config.get_options(), Some("-c search_path=t_1"));
    }
}

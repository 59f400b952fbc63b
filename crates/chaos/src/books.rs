//! Reads the ledger as an auditor would: with a client of its own.

use std::collections::BTreeMap;
use std::path::PathBuf;
use tokio_postgres::{NoTls, SimpleQueryMessage};

/// A ledger, by where it is. Every question opens a connection of its own, so that it survives kills.
#[derive(Clone, Debug)]
pub enum Books {
    Postgres(String),
    Sqlite(PathBuf),
}

impl Books {
    /// The rows of a query in which every column is a text. Nothing while the ledger is away.
    pub async fn query(&self, sql: &str) -> Option<Vec<Vec<String>>> {
        match self {
            Self::Postgres(url) => postgres(url, sql).await,
            Self::Sqlite(path) => sqlite(path, sql),
        }
    }

    pub async fn count(&self, table: &str) -> usize {
        let rows = self
            .query(&format!("SELECT CAST(count(*) AS text) FROM {table}"))
            .await;
        rows.map_or(0, |rows| rows[0][0].parse().unwrap())
    }

    /// How often each event was applied, by its payments: no constraint would hide a double.
    pub async fn payments(&self) -> BTreeMap<String, usize> {
        let sql = "SELECT event_id, CAST(count(*) AS text) FROM payments GROUP BY event_id";
        let rows = self.query(sql).await.unwrap_or_default();
        rows.into_iter()
            .map(|row| (row[0].clone(), row[1].parse().unwrap()))
            .collect()
    }

    /// The reason of each dead letter, by event id.
    pub async fn dead(&self) -> BTreeMap<String, String> {
        let sql = "SELECT coalesce(event_id, ''), reason FROM dead_letters";
        let rows = self.query(sql).await.unwrap_or_default();
        rows.into_iter()
            .map(|row| (row[0].clone(), row[1].clone()))
            .collect()
    }

    pub async fn payload(&self, event_id: &str) -> Option<Vec<u8>> {
        let hex = match self {
            Self::Postgres(_) => "encode(payload, 'hex')",
            Self::Sqlite(_) => "lower(hex(payload))",
        };
        let sql = format!("SELECT {hex} FROM processed_webhooks WHERE event_id = '{event_id}'");
        let rows = self.query(&sql).await?;
        let digits = rows.first()?.first()?.clone();
        let byte = |at: usize| u8::from_str_radix(&digits[at..at + 2], 16).unwrap();
        Some((0..digits.len()).step_by(2).map(byte).collect())
    }
}

async fn postgres(url: &str, sql: &str) -> Option<Vec<Vec<String>>> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.ok()?;
    tokio::spawn(async { connection.await.ok() });
    let messages = client.simple_query(sql).await.ok()?;
    let text = |row: &tokio_postgres::SimpleQueryRow| {
        (0..row.len())
            .map(|column| row.get(column).unwrap_or_default().to_owned())
            .collect()
    };
    let rows = messages.iter().filter_map(|message| match message {
        SimpleQueryMessage::Row(row) => Some(text(row)),
        SimpleQueryMessage::CommandComplete(_) | SimpleQueryMessage::RowDescription(_) => None,
        _ => None,
    });
    Some(rows.collect())
}

fn sqlite(path: &PathBuf, sql: &str) -> Option<Vec<Vec<String>>> {
    let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY;
    let connection = rusqlite::Connection::open_with_flags(path, flags).ok()?;
    let mut statement = connection.prepare(sql).ok()?;
    let columns = statement.column_count();
    let rows = statement.query_map([], |row| {
        (0..columns).map(|column| row.get(column)).collect()
    });
    rows.ok()?.collect::<Result<_, _>>().ok()
}

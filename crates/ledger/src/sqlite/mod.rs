//! The ledger of one machine, in an SQLite file.
//!
//! WAL with `synchronous=FULL`: a COMMIT returns after an fsync. One connection writes, one transaction at
//! a time; another reads beside it. The work blocks, and says so to the runtime; on the multi-thread
//! runtime the other tasks go on meanwhile, on a current-thread runtime they wait.

mod archive;
mod books;
mod commit;
mod fault;
mod look_up;
mod migrate;
mod open;
mod suspects;
mod transaction;

use crate::{Candidate, DeadLetter, Found, Handler, Ledger, LedgerSettings, StartError, Verdict};
use envelope::{Key, PipelineName};
use resilience::Fault;
use rusqlite::Connection;
use std::fmt;
use std::path::Path;
use std::sync::Arc;
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::sync::Mutex;

/// The ledger in an SQLite file. Cheap to clone: all clones share its two connections.
#[derive(Clone)]
pub struct SqliteLedger {
    writer: Arc<Mutex<Connection>>,
    reader: Arc<Mutex<Connection>>,
    worker: Arc<str>,
}

impl SqliteLedger {
    /// Opens the file, makes it if it is not there, and brings its schema to this program's version.
    pub fn open(path: &Path, settings: &LedgerSettings) -> Result<Self, StartError> {
        let mut writer = open::read_write(path, settings)?;
        migrate::migrate(&mut writer)?;
        let reader = open::read_only(path, settings)?;
        Ok(Self::over(writer, reader, settings))
    }

    /// Opens the file to look things up, also beside a program that writes to it. Whatever would write
    /// is refused with a fault of ours; a file that is not there, or not up to date, is an error.
    pub fn open_read_only(path: &Path, settings: &LedgerSettings) -> Result<Self, StartError> {
        let mut reader = open::read_only(path, settings)?;
        migrate::check(&mut reader)?;
        let writer = open::read_only(path, settings)?;
        Ok(Self::over(writer, reader, settings))
    }

    fn over(writer: Connection, reader: Connection, settings: &LedgerSettings) -> Self {
        Self {
            writer: Arc::new(Mutex::new(writer)),
            reader: Arc::new(Mutex::new(reader)),
            worker: settings.worker.as_str().into(),
        }
    }
}

impl Ledger for SqliteLedger {
    async fn commit<H: Handler>(
        &self,
        handler: &H,
        batch: &[Candidate<H::Effect>],
    ) -> Result<Vec<Verdict>, Fault> {
        let mut writer = self.writer.lock().await;
        commit::commit(&mut writer, &self.worker, handler, batch).await
    }

    async fn archive(&self, letters: &[DeadLetter]) -> Result<(), Fault> {
        let mut writer = self.writer.lock().await;
        blocking(|| archive::archive(&mut writer, letters))
    }

    async fn suspect_starts(&self, keys: &[Key]) -> Result<Vec<u32>, Fault> {
        let reader = self.reader.lock().await;
        blocking(|| suspects::starts(&reader, keys))
    }

    async fn start_suspect(&self, key: Key, start: u32) -> Result<(), Fault> {
        let mut writer = self.writer.lock().await;
        blocking(|| suspects::start(&mut writer, key, start))
    }

    async fn clear_suspects(&self, keys: &[Key]) -> Result<(), Fault> {
        let mut writer = self.writer.lock().await;
        blocking(|| suspects::clear(&mut writer, keys))
    }

    async fn look_up(&self, pipeline: &PipelineName, key: Key) -> Result<Option<Found>, Fault> {
        let reader = self.reader.lock().await;
        blocking(|| look_up::look_up(&reader, pipeline, key))
    }

    async fn ping(&self) -> Result<(), Fault> {
        let reader = self.reader.lock().await;
        blocking(|| look_up::ping(&reader))
    }
}

impl fmt::Debug for SqliteLedger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteLedger").finish_non_exhaustive()
    }
}

/// Runs work that waits for the disk. The multi-thread runtime moves its other tasks away first; a
/// current-thread runtime has nowhere to move them and would panic if asked.
fn blocking<T>(work: impl FnOnce() -> T) -> T {
    let multi_thread =
        Handle::try_current().is_ok_and(|it| it.runtime_flavor() == RuntimeFlavor::MultiThread);
    if multi_thread {
        tokio::task::block_in_place(work)
    } else {
        work()
    }
}

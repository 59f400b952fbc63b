//! The folder of `serve`: the broker's file, the ledger's, the development secret, and a lock.

use anyhow::{Context, bail};
use std::fs::{File, OpenOptions, TryLockError};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Where it is unless told otherwise.
pub(crate) const DEFAULT: &str = "./spillway-data";

/// The names in the folder.
#[derive(Clone, Debug)]
pub(crate) struct DataDir(PathBuf);

/// The folder, ours alone until dropped.
#[derive(Debug)]
pub(crate) struct Locked {
    _lock: File,
}

impl DataDir {
    pub(crate) fn new(path: &Path) -> Self {
        Self(path.to_owned())
    }

    pub(crate) fn broker(&self) -> PathBuf {
        self.0.join("broker.db")
    }

    pub(crate) fn ledger(&self) -> PathBuf {
        self.0.join("ledger.db")
    }

    pub(crate) fn secret(&self) -> PathBuf {
        self.0.join("webhook-secret")
    }

    /// Makes the folder where it is missing and takes it for this process.
    pub(crate) fn lock(&self) -> anyhow::Result<Locked> {
        let folder = self.0.display();
        std::fs::create_dir_all(&self.0)
            .with_context(|| format!("cannot write to the folder {folder}"))?;
        let opened = OpenOptions::new()
            .create(true)
            .write(true)
            .truncate(false)
            .open(self.0.join("lock"));
        let lock = opened.with_context(|| format!("cannot write to the folder {folder}"))?;
        match lock.try_lock() {
            Ok(()) => Ok(Locked { _lock: lock }),
            Err(TryLockError::WouldBlock) => {
                bail!("another spillway serve is running on the folder {folder}")
            }
            Err(TryLockError::Error(why)) => {
                Err(why).with_context(|| format!("cannot lock the folder {folder}"))
            }
        }
    }

    /// Makes a secret where there is none, in a file only its owner can read.
    pub(crate) fn make_secret(&self) -> anyhow::Result<()> {
        let path = self.secret();
        let context = || format!("cannot write the secret {}", path.display());
        let opened = OpenOptions::new()
            .create_new(true)
            .write(true)
            .mode(0o600)
            .open(&path);
        match opened {
            Ok(mut file) => {
                let mut secret = [0; 32];
                getrandom::fill(&mut secret).context("the system gives no random bytes")?;
                writeln!(file, "{}", hex::encode(secret))
                    .and_then(|()| file.sync_all())
                    .with_context(context)
            }
            Err(why) if why.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
            Err(why) => Err(why).with_context(context),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn the_secret_is_made_once_and_only_its_owner_can_read_it() {
        let folder = tempfile::tempdir().unwrap();
        let data_dir = DataDir::new(folder.path());
        data_dir.make_secret().unwrap();
        let first = std::fs::read_to_string(data_dir.secret()).unwrap();
        data_dir.make_secret().unwrap();
        assert_eq!(std::fs::read_to_string(data_dir.secret()).unwrap(), first);
        assert_eq!(first.trim().len(), 64);
        let mode = std::fs::metadata(data_dir.secret())
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_folder_belongs_to_one_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let data_dir = DataDir::new(folder.path());
        let first = data_dir.lock().unwrap();
        assert!(
            data_dir
                .lock()
                .unwrap_err()
                .to_string()
                .starts_with("another spillway serve is running")
        );
        drop(first);
        assert!(data_dir.lock().is_ok());
    }
}

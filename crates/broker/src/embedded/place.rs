//! Where the file may lie, and who may have it.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

/// Why a file cannot be used where it is.
#[derive(Debug, thiserror::Error)]
pub(super) enum PlaceError {
    #[error("another process is using it")]
    InUse,
    #[error("its folder cannot be used: {0}")]
    Folder(#[from] io::Error),
    #[error(
        "it lies in memory ({0}), where a restart of the machine loses what was promised: use a disk"
    )]
    InMemory(&'static str),
}

/// Held by whoever serves the file; the system gives it back however its process ends.
#[derive(Debug)]
pub(super) struct Lock(#[allow(dead_code, reason = "held, not read")] File);

impl Lock {
    /// Takes the file for this process alone.
    ///
    /// Two processes that serve one file would both hand out each event. The lock is on a file of its own,
    /// since SQLite has locks of its own on the first, and others may still insert and look.
    pub fn take(path: &Path) -> Result<Self, PlaceError> {
        let mut lock = path.as_os_str().to_owned();
        lock.push(".lock");
        // Nothing is ever in it; what is there is not to be emptied under whoever holds it.
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(PathBuf::from(lock))?;
        match file.try_lock() {
            Ok(()) => Ok(Self(file)),
            Err(TryLockError::WouldBlock) => Err(PlaceError::InUse),
            Err(TryLockError::Error(why)) => Err(why.into()),
        }
    }
}

/// Refuses a folder whose files do not survive the machine: an fsync there returns and proves nothing.
#[cfg(target_os = "linux")]
pub(super) fn refuse_memory(path: &Path) -> Result<(), PlaceError> {
    // include/uapi/linux/magic.h. The numbers fit 32 bits; the field's width differs between machines.
    const TMPFS_MAGIC: u32 = 0x0102_1994;
    const RAMFS_MAGIC: u32 = 0x8584_58f6;
    let system = rustix::fs::statfs(folder(path)).map_err(io::Error::from)?;
    match system.f_type as u32 {
        TMPFS_MAGIC => Err(PlaceError::InMemory("tmpfs")),
        RAMFS_MAGIC => Err(PlaceError::InMemory("ramfs")),
        _ => Ok(()),
    }
}

/// Other systems have no tmpfs to find by accident; a folder that is not there is refused all the same.
#[cfg(not(target_os = "linux"))]
pub(super) fn refuse_memory(path: &Path) -> Result<(), PlaceError> {
    std::fs::metadata(folder(path))?;
    Ok(())
}

fn folder(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

//! Bodies on the disk: the folder into which a job streams those that are large, and one file there.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// Where a job streams large bodies.
#[derive(Clone, Debug)]
pub struct Spool {
    /// A folder that exists, on the file system of the output: its files are renamed, not copied.
    pub folder: PathBuf,
    /// Bodies from this size on, as received, go there. At most so much of each is in memory first.
    pub above: u64,
    /// Whether the SHA-256 of each body is computed while it comes.
    pub hashes: bool,
}

/// The folder of one job.
#[derive(Debug)]
pub(crate) struct BodyFolder {
    spool: Spool,
    next: AtomicU64,
    /// Why nothing more can be written there.
    failure: Mutex<Option<String>>,
}

impl BodyFolder {
    pub(crate) fn new(spool: Spool) -> Self {
        Self { spool, next: AtomicU64::new(0), failure: Mutex::default() }
    }

    /// The size from which on bodies go there.
    pub(crate) fn above(&self) -> u64 {
        self.spool.above
    }

    /// Whether bodies are hashed.
    pub(crate) fn hashes(&self) -> bool {
        self.spool.hashes
    }

    /// Creates a file. It is removed with its handle.
    ///
    /// # Errors
    /// The disk failed, or another process writes to the folder.
    pub(crate) fn create(&self) -> io::Result<(File, BodyFile)> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let path = self.spool.folder.join(number.to_string());
        // Exclusive: neither an existing file nor one behind a link is written to.
        let file = OpenOptions::new().write(true).create_new(true).open(&path)?;
        Ok((file, BodyFile { path, bytes: 0, sha256: None }))
    }

    /// Notes the first failure of the disk.
    pub(crate) fn fail(&self, error: &io::Error) {
        let mut failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        failure.get_or_insert_with(|| format!("{}: {error}", self.spool.folder.display()));
    }

    pub(crate) fn failure(&self) -> Option<String> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// A body on the disk. The file is removed with the last row that has it, unless somebody has renamed it by then.
#[derive(Debug)]
pub struct BodyFile {
    path: PathBuf,
    pub(crate) bytes: u64,
    pub(crate) sha256: Option<[u8; 32]>,
}

impl BodyFile {
    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its length.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Its SHA-256, if the job hashes bodies.
    pub fn sha256(&self) -> Option<&[u8; 32]> {
        self.sha256.as_ref()
    }
}

impl Drop for BodyFile {
    fn drop(&mut self) {
        // One that was renamed is not there, and no other file gets its name.
        std::fs::remove_file(&self.path).unwrap_or_default();
    }
}

//! The ledger of requests that must not be sent twice: each is recorded on the disk before its first byte is sent.
//!
//! A record is the request's index, 8 bytes, little-endian. A separate thread writes all records that wait, syncs
//! them once, and releases their requests: however many are in flight, they share a sync. A record that a crash cut
//! off belongs to a request that was still waiting; it is dropped.
//!
//! A request that nobody can have worked on is struck out again while it waits for its next attempt: its index with the
//! highest bit. That needs no sync of its own: one that is lost leaves a request unknown.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, OnceLock};
use std::thread;

use tokio::sync::oneshot;

const RECORD_BYTES: u64 = 8;

/// What strikes a request out.
const STRUCK: u64 = 1 << 63;

#[derive(Debug)]
struct Note {
    record: u64,
    /// Dropped instead of used, it means that the record is not on the disk. None: nobody waits for it.
    written: Option<oneshot::Sender<()>>,
}

/// The ledger of one job. The first record creates file and thread: most jobs have none.
#[derive(Debug)]
pub(crate) struct Ledger {
    path: PathBuf,
    notes: OnceLock<Sender<Note>>,
    failure: Arc<OnceLock<String>>,
}

impl Ledger {
    /// A ledger in the file at `path`, which is appended to if it exists.
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path, notes: OnceLock::new(), failure: Arc::default() }
    }

    /// Records a request; waits until the record is on the disk. False: it is not, and no later one will be.
    ///
    /// # Cancel safety
    /// If it is dropped, there may be a record of a request that is not sent.
    pub(crate) async fn note(&self, index: u64) -> bool {
        let (written, is_written) = oneshot::channel();
        let notes = self.notes.get_or_init(|| self.start());
        // If the thread has ended, the note is returned and dropped, which ends the wait.
        notes.send(Note { record: index, written: Some(written) }).unwrap_or_default();
        is_written.await.is_ok()
    }

    /// Strikes out a request: no server can have worked on it, or one has refused to. It is recorded again before it is
    /// sent again.
    pub(crate) fn strike_out(&self, index: u64) {
        if let Some(notes) = self.notes.get() {
            notes.send(Note { record: index | STRUCK, written: None }).unwrap_or_default();
        }
    }

    /// Why nothing is recorded any more.
    pub(crate) fn failure(&self) -> Option<&str> {
        self.failure.get().map(String::as_str)
    }

    fn start(&self) -> Sender<Note> {
        let (sender, notes) = mpsc::channel();
        let (path, failure) = (self.path.clone(), Arc::clone(&self.failure));
        let keeper = move || {
            let mut waiting = Vec::new();
            if let Err(error) = keep(&path, &notes, &mut waiting) {
                // Set before the waiting requests are released: they may ask for it.
                fail(&failure, &path, &error);
            }
        };
        if let Err(error) = thread::Builder::new().name("hurtle-ledger".to_owned()).spawn(keeper) {
            fail(&self.failure, &self.path, &error);
        }
        sender
    }
}

fn fail(failure: &OnceLock<String>, path: &Path, error: &io::Error) {
    failure.set(format!("{} could not be written: {error}", path.display())).unwrap_or_default();
}

/// Writes records until the job ends. After an error nothing is tried again: the state of the disk is unknown.
fn keep(path: &Path, notes: &Receiver<Note>, waiting: &mut Vec<oneshot::Sender<()>>) -> io::Result<()> {
    let mut records = Vec::new();
    let mut file = None;
    while let Ok(first) = notes.recv() {
        for note in std::iter::once(first).chain(notes.try_iter()) {
            records.extend_from_slice(&note.record.to_le_bytes());
            waiting.extend(note.written);
        }
        let file = match &mut file {
            Some(file) => file,
            None => file.insert(open(path)?),
        };
        file.write_all(&records)?;
        if !waiting.is_empty() {
            file.sync_data()?;
        }
        records.clear();
        for written in waiting.drain(..) {
            written.send(()).unwrap_or_default(); // its request may have been cancelled
        }
    }
    Ok(())
}

/// Opens the file for appending, removes a record that a crash cut off, and syncs its folder.
fn open(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new().append(true).create(true).open(path)?;
    let length = file.metadata()?.len();
    if !length.is_multiple_of(RECORD_BYTES) {
        file.set_len(length - length % RECORD_BYTES)?;
    }
    file.sync_all()?;
    sync_name(path)?;
    Ok(file)
}

#[cfg(unix)]
fn sync_name(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

/// On other systems a folder cannot be synced.
#[cfg(not(unix))]
#[expect(clippy::unnecessary_wraps, reason = "as on the systems that can fail")]
fn sync_name(_path: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// A folder for one test, removed when dropped.
    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("hurtle-ledger-{}-{name}", std::process::id()));
            std::fs::create_dir_all(&path).unwrap();
            Self(path)
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            std::fs::remove_dir_all(&self.0).unwrap_or_default();
        }
    }

    fn noted(path: &Path) -> Vec<u64> {
        let bytes = std::fs::read(path).unwrap();
        bytes.chunks(8).map(|record| u64::from_le_bytes(record.try_into().unwrap())).collect()
    }

    #[tokio::test]
    async fn a_note_is_on_the_disk_when_its_wait_ends() {
        let folder = Folder::new("order");
        let path = folder.0.join("ledger");
        let ledger = Ledger::new(path.clone());
        assert!(!path.exists(), "a job that notes nothing makes no file");
        for index in [7, 3, STRUCK - 1] {
            assert!(ledger.note(index).await);
            assert_eq!(noted(&path).last(), Some(&index));
        }
        assert_eq!(noted(&path), [7, 3, STRUCK - 1]);
    }

    #[tokio::test]
    async fn what_is_struck_out_stays_so_until_it_is_noted_again() {
        let folder = Folder::new("struck");
        let path = folder.0.join("ledger");
        let ledger = Ledger::new(path.clone());
        ledger.strike_out(1);
        assert!(!path.exists(), "nothing was noted");
        assert!(ledger.note(1).await);
        ledger.strike_out(1);
        assert!(ledger.note(2).await && ledger.note(1).await);
        assert_eq!(noted(&path), [1, STRUCK | 1, 2, 1]);
    }

    #[tokio::test]
    async fn notes_of_many_at_once_are_all_written() {
        let folder = Folder::new("many");
        let ledger = Arc::new(Ledger::new(folder.0.join("ledger")));
        let waits = (0..500).map(|index| {
            let ledger = Arc::clone(&ledger);
            tokio::spawn(async move { ledger.note(index).await })
        });
        for wait in waits.collect::<Vec<_>>() {
            assert!(wait.await.unwrap());
        }
        let mut found = noted(&folder.0.join("ledger"));
        found.sort_unstable();
        assert_eq!(found, (0..500).collect::<Vec<u64>>());
    }

    #[tokio::test]
    async fn a_record_that_was_cut_off_is_dropped() {
        let folder = Folder::new("torn");
        let path = folder.0.join("ledger");
        std::fs::write(&path, [&5_u64.to_le_bytes()[..], b"cut"].concat()).unwrap();
        assert!(Ledger::new(path.clone()).note(6).await);
        assert_eq!(noted(&path), [5, 6]);
    }

    #[tokio::test]
    async fn nothing_is_noted_after_a_failure_and_the_failure_is_named() {
        let folder = Folder::new("failure");
        let path = folder.0.join("missing").join("ledger");
        let ledger = Ledger::new(path.clone());
        assert_eq!(ledger.failure(), None);
        assert!(!ledger.note(1).await);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        assert!(!ledger.note(2).await, "what has failed once is not tried again");
        assert!(ledger.failure().unwrap().contains("could not be written"));
        assert!(!path.exists());
    }
}

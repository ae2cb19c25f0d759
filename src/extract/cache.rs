//! What a process remembers of its sources while it runs many intervals: hashes and footers of files, and small
//! tables as they were decoded. A file whose size or time changed is read again.

use std::collections::{HashMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use polars::prelude::DataFrame;

use super::files::reading::{Reading, Rewritten};
use super::files::version::{Known, Stamp};
use crate::digest;
use crate::error::Result;

/// Files written anew that are kept for other intervals: a lookback's.
const MOST_REWRITTEN: usize = 32;

/// A table of Postgres as it was read.
#[derive(Clone, Debug)]
pub struct Table {
    pub frame: DataFrame,
    pub rows: u64,
    pub ignored: Vec<String>,
    pub digest: String,
}

/// What is kept of a file, by the columns it was read as.
type ByFile<T> = HashMap<(String, PathBuf), (Stamp, T)>;

/// Decoded tables, the oldest given up first.
#[derive(Default)]
struct Frames {
    bytes: usize,
    order: VecDeque<(String, PathBuf)>,
    frames: ByFile<DataFrame>,
}

/// Shared by all threads of a process.
#[derive(Default)]
pub struct Cache {
    /// Bytes of decoded tables to keep; 0 keeps none.
    budget: usize,
    files: Mutex<HashMap<PathBuf, Arc<Known>>>,
    /// Of files whose columns are told by their rows, by how they are read.
    texts: Mutex<HashMap<(String, PathBuf), Arc<Known>>>,
    digests: Mutex<HashMap<PathBuf, (Stamp, String)>>,
    frames: Mutex<Frames>,
    /// Files written anew for the engine.
    rewritten: Mutex<ByFile<Arc<Rewritten>>>,
    /// By connection and query; only of queries that are the same for every interval.
    tables: Mutex<HashMap<(String, String), Table>>,
    /// By job: the table whose rows its SQL takes one by one.
    driving: Mutex<HashMap<String, Option<String>>>,
}

fn open<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Cache {
    /// For many intervals: decoded tables of up to `budget` bytes stay in memory.
    pub fn with_budget(budget: usize) -> Cache {
        Cache { budget, ..Cache::default() }
    }

    pub fn keeps(&self) -> bool {
        self.budget > 0
    }

    /// What a look at a file tells, once as long as its stamp holds.
    pub fn file(&self, path: &Path, know: impl FnOnce() -> Result<Known>) -> Result<Arc<Known>> {
        if let Some(known) = open(&self.files).get(path)
            && Stamp::of(path)? == known.stamp
        {
            return Ok(known.clone());
        }
        let known = Arc::new(know()?);
        open(&self.files).insert(path.to_owned(), known.clone());
        Ok(known)
    }

    /// The SHA-256 of a file.
    pub fn digest(&self, stamp: &Stamp) -> Result<String> {
        if let Some((known, digest)) = open(&self.digests).get(stamp.path())
            && known == stamp
        {
            return Ok(digest.clone());
        }
        let digest = digest::file_hex(stamp.path())?;
        self.keep_digest(stamp, &digest);
        Ok(digest)
    }

    /// Whether the SHA-256 of a file is known.
    pub fn has_digest(&self, stamp: &Stamp) -> bool {
        open(&self.digests).get(stamp.path()).is_some_and(|(known, _)| known == stamp)
    }

    pub fn keep_digest(&self, stamp: &Stamp, digest: &str) {
        open(&self.digests).insert(stamp.path().to_owned(), (stamp.clone(), digest.to_owned()));
    }

    /// A file whose columns are told by reading its rows: what is known of it, and the rows. `how` it is read is part of its name.
    pub fn text(
        &self,
        how: &str,
        path: &Path,
        read: impl FnOnce() -> Result<(Known, Reading)>,
    ) -> Result<(Arc<Known>, Reading)> {
        let key = (how.to_owned(), path.to_owned());
        let known = open(&self.texts).get(&key).cloned();
        if let Some(known) = known.filter(|known| Stamp::of(path).is_ok_and(|now| now == known.stamp)) {
            let same = |stamp: &Stamp| *stamp == known.stamp;
            let frame = open(&self.frames).frames.get(&key).filter(|(stamp, _)| same(stamp)).cloned();
            let file = || open(&self.rewritten).get(&key).filter(|(stamp, _)| same(stamp)).cloned();
            let frame = frame.map(|(_, frame)| Reading::Decoded(frame));
            let file = || file().map(|(_, file)| Reading::Rewritten(file));
            if let Some(reading) = frame.or_else(file) {
                return Ok((known, reading));
            }
        }
        let (known, reading) = read()?;
        let known = Arc::new(known);
        self.keep_digest(&known.stamp, &known.sha256);
        if self.keeps() {
            match &reading {
                Reading::Decoded(frame) => self.keep(key.clone(), known.stamp.clone(), frame.clone()),
                Reading::Rewritten(file) => self.keep_rewritten(key.clone(), &known.stamp, file),
                Reading::Engine(_) => {}
            }
            open(&self.texts).insert(key, known.clone());
        }
        Ok((known, reading))
    }

    /// A file's rows as these columns, decoded once as long as they are kept.
    pub fn frame(&self, columns: &str, known: &Known, decode: impl FnOnce() -> Result<DataFrame>) -> Result<DataFrame> {
        let key = (columns.to_owned(), known.stamp.path().to_owned());
        if let Some((stamp, frame)) = open(&self.frames).frames.get(&key)
            && *stamp == known.stamp
        {
            return Ok(frame.clone());
        }
        let frame = decode()?;
        self.keep(key, known.stamp.clone(), frame.clone());
        Ok(frame)
    }

    /// A file as these columns, written anew for the engine; once as long as files are kept.
    pub fn rewritten(
        &self,
        columns: &str,
        known: &Known,
        write: impl FnOnce() -> Result<Rewritten>,
    ) -> Result<Arc<Rewritten>> {
        let key = (columns.to_owned(), known.stamp.path().to_owned());
        if let Some((stamp, file)) = open(&self.rewritten).get(&key)
            && *stamp == known.stamp
        {
            return Ok(file.clone());
        }
        let file = Arc::new(write()?);
        if self.keeps() {
            self.keep_rewritten(key, &known.stamp, &file);
        }
        Ok(file)
    }

    fn keep_rewritten(&self, key: (String, PathBuf), stamp: &Stamp, file: &Arc<Rewritten>) {
        let mut kept = open(&self.rewritten);
        if kept.len() >= MOST_REWRITTEN {
            kept.clear();
        }
        kept.insert(key, (stamp.clone(), file.clone()));
    }

    fn keep(&self, key: (String, PathBuf), stamp: Stamp, frame: DataFrame) {
        let mut frames = open(&self.frames);
        let size = frame.estimated_size();
        if size > self.budget {
            return;
        }
        if let Some((_, old)) = frames.frames.insert(key.clone(), (stamp, frame)) {
            frames.bytes -= old.estimated_size();
        } else {
            frames.order.push_back(key);
        }
        frames.bytes += size;
        while frames.bytes > self.budget {
            let Some(oldest) = frames.order.pop_front() else { break };
            if let Some((_, old)) = frames.frames.remove(&oldest) {
                frames.bytes -= old.estimated_size();
            }
        }
    }

    /// Which table a job's rows may be streamed from; asked once, since only the job's SQL decides it.
    pub fn driving(&self, job: &str, find: impl FnOnce() -> Result<Option<String>>) -> Result<Option<String>> {
        if let Some(known) = open(&self.driving).get(job) {
            return Ok(known.clone());
        }
        let found = find()?;
        open(&self.driving).insert(job.to_owned(), found.clone());
        Ok(found)
    }

    pub fn table(&self, connection: &str, query: &str) -> Option<Table> {
        open(&self.tables).get(&(connection.to_owned(), query.to_owned())).cloned()
    }

    pub fn keep_table(&self, connection: &str, query: &str, table: &Table) {
        if table.frame.estimated_size() <= self.budget {
            open(&self.tables).insert((connection.to_owned(), query.to_owned()), table.clone());
        }
    }
}

impl std::fmt::Debug for Cache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cache").field("budget", &self.budget).finish_non_exhaustive()
    }
}

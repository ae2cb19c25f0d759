//! Which file it was: its stamp (size and time of its last change), its hash, and what both vouch for.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::error::{Error, Result};
use crate::extract::schema::Found;

/// A file as it was when the run listed it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stamp {
    path: PathBuf,
    bytes: u64,
    modified: Option<SystemTime>,
}

/// What is known of a file as long as its stamp holds.
#[derive(Debug)]
pub struct Known {
    pub stamp: Stamp,
    pub sha256: String,
    pub rows: u64,
    /// Rows of each group that is decoded by itself.
    pub groups: Vec<u64>,
    /// Bytes of all columns when they are decompressed.
    pub decoded: u64,
    pub columns: Vec<Found>,
    /// Those that the engine reads as we do.
    pub plain: Vec<String>,
    /// Rows without a value of each column, as far as the file says.
    pub nulls: HashMap<String, u64>,
}

impl Stamp {
    pub fn of(path: &Path) -> Result<Stamp> {
        let metadata = std::fs::metadata(path).map_err(|e| Error::unreadable(path, &e))?;
        Ok(Stamp { path: path.to_owned(), bytes: metadata.len(), modified: metadata.modified().ok() })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Microseconds since 1970.
    pub fn modified_micros(&self) -> Option<i64> {
        let since = self.modified?.duration_since(SystemTime::UNIX_EPOCH).ok()?;
        i64::try_from(since.as_micros()).ok()
    }

    /// The file must still be what the run read.
    pub fn recheck(&self) -> Result<()> {
        match Stamp::of(&self.path) {
            Ok(now) if now == *self => Ok(()),
            _ => Err(self.changed()),
        }
    }

    /// The file is not what it was.
    pub fn changed(&self) -> Error {
        Error::input(format!("{} changed while it was being read", self.path.display()))
            .hint("run again when the writer has finished; writers should rename a whole file into place")
            .transient()
    }
}

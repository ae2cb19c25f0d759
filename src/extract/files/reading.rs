//! Where the rows of a file come from: memory, the file itself, or a temporary file that was written for the engine.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::file::properties::WriterProperties;
use polars::prelude::DataFrame;
use tempfile::TempPath;

use crate::error::{Class, Error, Result};

/// Where the rows of a file come from.
#[derive(Clone, Debug)]
pub enum Reading {
    Decoded(DataFrame),
    Engine(PathBuf),
    Rewritten(Arc<Rewritten>),
}

impl Reading {
    /// The file that must stay as long as the rows are read.
    pub fn temporary(&self) -> Option<Arc<Rewritten>> {
        match self {
            Reading::Rewritten(file) => Some(file.clone()),
            _ => None,
        }
    }
}

/// Bytes of decoded rows that the files of one table may still hold in memory.
#[derive(Debug)]
pub struct Room(AtomicU64);

impl Room {
    pub fn of(bytes: u64) -> Room {
        Room(AtomicU64::new(bytes))
    }

    /// Takes so many bytes, if there are as many left.
    pub fn take(&self, bytes: u64) -> bool {
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(bytes)).is_ok()
    }
}

/// A temporary file that is gone with the last who holds it. Where the system lets an open file be opened again by its number,
/// it has no name from the start: nothing is left behind, however the process ends.
#[derive(Debug)]
pub struct Rewritten {
    path: PathBuf,
    _open: Option<File>,
    _named: Option<TempPath>,
}

impl Rewritten {
    fn of(draft: TempPath) -> Result<Rewritten> {
        let open = File::open(&draft).map_err(|e| Error::io(&draft, "read", &e))?;
        let path = PathBuf::from(format!("/proc/self/fd/{}", open.as_raw_fd()));
        match File::open(&path) {
            Ok(_) => Ok(Rewritten { path, _open: Some(open), _named: None }),
            Err(_) => Ok(Rewritten { path: draft.to_path_buf(), _open: None, _named: Some(draft) }),
        }
    }

    /// Where the engine reads it.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// A temporary Parquet file while it is written.
pub struct Draft {
    path: TempPath,
    writer: ArrowWriter<File>,
}

impl Draft {
    /// In the folder for temporary files, with at most so many rows in a group.
    pub fn new(schema: SchemaRef, group_rows: usize) -> Result<Draft> {
        let folder = std::env::temp_dir();
        let path = tempfile::Builder::new().prefix("daymill-").suffix(".parquet").tempfile_in(&folder);
        let path = path.map_err(|e| Error::io(&folder, "write to", &e))?.into_temp_path();
        let out = File::create(&path).map_err(|e| Error::io(&path, "write", &e))?;
        let properties = WriterProperties::builder()
            .set_compression(Compression::LZ4_RAW)
            .set_max_row_group_row_count(Some(group_rows))
            .build();
        let writer = ArrowWriter::try_new(out, schema, Some(properties)).map_err(|e| failed(&path, &e))?;
        Ok(Draft { path, writer })
    }

    pub fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        self.writer.write(batch).map_err(|e| failed(&self.path, &e))
    }

    /// The whole file, and the rows of each of its groups.
    pub fn finish(self) -> Result<(Rewritten, Vec<u64>)> {
        let footer = self.writer.close().map_err(|e| failed(&self.path, &e))?;
        let groups = footer.row_groups().iter().map(|group| group.num_rows().max(0) as u64).collect();
        Ok((Rewritten::of(self.path)?, groups))
    }
}

fn failed(path: &Path, error: &parquet::errors::ParquetError) -> Error {
    Error::new(Class::Io, format!("cannot write {}", path.display()))
        .cause(error)
        .hint("TMPDIR names another folder for temporary files")
}

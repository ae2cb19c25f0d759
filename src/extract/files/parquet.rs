//! Parquet as a kind of file: its footer tells the columns, and its rows are decoded now or left to the engine.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use polars::prelude::DataFrame;

use super::format::{Column, Format, OpenFile};
use super::reading::{Reading, Room};
use super::version::{Known, Stamp};
use super::{decode, describe, engine, footer};
use crate::digest;
use crate::error::{Error, Result};
use crate::extract::cache::Cache;
use crate::extract::schema::Found;

/// Bytes of small files of one table that are held from the look at them until their rows are read.
const HELD: u64 = 32 << 20;

pub struct Parquet {
    held: Room,
}

impl Default for Parquet {
    fn default() -> Parquet {
        Parquet { held: Room::of(HELD) }
    }
}

struct ParquetFile {
    path: PathBuf,
    known: Arc<Known>,
    /// The bytes of a small file that was hashed just now, until its rows are asked for.
    bytes: Mutex<Option<Bytes>>,
}

impl Format for Parquet {
    fn describe(&self, path: &Path, _: &[Column]) -> Result<Vec<Found>> {
        describe::columns(path, &footer::footer(path)?)
    }

    fn open(&self, path: &Path, _: &[Column], _: &Room, cache: &Cache) -> Result<Box<dyn OpenFile>> {
        let mut bytes = None;
        let known = cache.file(path, || know(path, &self.held, cache, &mut bytes))?;
        Ok(Box::new(ParquetFile { path: path.to_owned(), known, bytes: Mutex::new(bytes) }))
    }
}

impl OpenFile for ParquetFile {
    fn known(&self) -> &Arc<Known> {
        &self.known
    }

    fn rows(&self, columns: &[Column], small: bool, cache: &Cache) -> Result<Reading> {
        let bytes = self.bytes.lock().unwrap_or_else(PoisonError::into_inner).take();
        read(&self.path, &self.known, bytes, columns, small, cache)
    }
}

/// How the rows of a file are read: small ones now, large ones by the engine, from a file that our reader wrote if the
/// engine would not give the same values.
fn read(
    path: &Path,
    known: &Known,
    bytes: Option<Bytes>,
    own: &[Column],
    small: bool,
    cache: &Cache,
) -> Result<Reading> {
    if own.is_empty() {
        // Its folders say everything, and how many rows there are, its footer.
        let rows = DataFrame::new(known.rows as usize, Vec::new());
        return rows.map(Reading::Decoded).map_err(|e| Error::defect("a frame without columns").cause(e));
    }
    if small {
        return Ok(Reading::Decoded(cache.frame(&format!("{own:?}"), known, || {
            let bytes = bytes.map_or_else(|| decode::bytes(path, known), Ok)?;
            decode::decode(path, known, bytes, own)
        })?));
    }
    match own.iter().all(|column| known.plain.contains(&column.name)) && engine::reads(path, own) {
        true => {
            // Of a large file this was done when it was first seen.
            if known.stamp.bytes() <= decode::limit() {
                footer::pages(path, &footer::footer(path)?)?;
            }
            Ok(Reading::Engine(path.to_owned()))
        }
        false => {
            Ok(Reading::Rewritten(cache.rewritten(&format!("{own:?}"), known, || decode::rewrite(path, known, own))?))
        }
    }
}

/// Everything about a file that its stamp vouches for. A small file is read whole while there is room for it.
fn know(path: &Path, room: &Room, cache: &Cache, bytes: &mut Option<Bytes>) -> Result<Known> {
    let stamp = Stamp::of(path)?;
    let sha256 = if stamp.bytes() <= decode::limit() && !cache.has_digest(&stamp) && room.take(stamp.bytes()) {
        let read = std::fs::read(path).map_err(|e| Error::unreadable(path, &e))?;
        let digest = digest::hex(&read);
        cache.keep_digest(&stamp, &digest);
        *bytes = Some(read.into());
        digest
    } else {
        cache.digest(&stamp)?
    };
    let footer = footer::footer(path)?;
    if stamp.bytes() > decode::limit() {
        footer::pages(path, &footer)?;
    }
    let columns = describe::columns(path, &footer)?;
    // Its bytes and its footer were read one after the other.
    stamp.recheck()?;
    Ok(Known {
        plain: describe::plain(&footer, &columns),
        nulls: describe::nulls(&footer),
        columns,
        rows: footer.file_metadata().num_rows().max(0) as u64,
        groups: footer.row_groups().iter().map(|group| group.num_rows().max(0) as u64).collect(),
        decoded: footer.row_groups().iter().map(|group| group.total_byte_size().max(0) as u64).sum(),
        sha256,
        stamp,
    })
}

/// Decodes every page of a file, to find out whether it is the reason why a plan failed.
pub fn verify(path: &Path) -> Result<()> {
    let damaged =
        |e: String| Error::input(format!("{} is damaged", path.display())).cause(e).hint("replace it with a whole one");
    let file = File::open(path).map_err(|e| Error::unreadable(path, &e))?;
    let read = move || -> Result<(), String> {
        for batch in crate::parquet_file::reader(file, |_| true).map_err(|e| e.to_string())? {
            batch.map_err(|e| e.to_string())?;
        }
        Ok(())
    };
    match std::panic::catch_unwind(std::panic::AssertUnwindSafe(read)) {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(damaged(error)),
        Err(_) => Err(damaged("a page makes no sense".into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rows::ColumnType;

    #[test]
    fn a_small_file_is_read_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("planes.parquet");
        std::fs::copy(concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/planes.parquet"), &path).unwrap();
        let columns = ["tailnum"].map(|name| Column {
            name: name.into(),
            kind: ColumnType::Text,
            zone: None,
            uuid: false,
            format: None,
        });
        let rows = |held: u64| {
            let cache = Cache::default();
            let format = Parquet { held: Room::of(held) };
            let file = format.open(&path, &[], &Room::of(0), &cache).unwrap();
            let held = path.with_extension("gone");
            std::fs::rename(&path, &held).unwrap();
            let reading = file.rows(&columns, true, &cache);
            std::fs::rename(&held, &path).unwrap();
            reading.map(|reading| match reading {
                Reading::Decoded(frame) => frame.height(),
                _ => 0,
            })
        };
        assert!(rows(1 << 20).unwrap() > 100);
        // Without room it is read again when its rows are wanted.
        assert!(rows(0).is_err());
    }
}

//! Parquet as a kind of file: its footer tells the columns, and its rows are decoded now or left to the engine.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use polars::prelude::DataFrame;

use super::format::{Column, Format, OpenFile};
use super::reading::{Reading, Room};
use super::version::{Known, Stamp};
use super::{decode, describe, engine, footer};
use crate::error::{Error, Result};
use crate::extract::cache::Cache;
use crate::extract::schema::Found;

pub struct Parquet;

struct ParquetFile {
    path: PathBuf,
    known: Arc<Known>,
}

impl Format for Parquet {
    fn describe(&self, path: &Path, _: &[Column]) -> Result<Vec<Found>> {
        describe::columns(path, &footer::footer(path)?)
    }

    fn open(&self, path: &Path, _: &[Column], _: &Room, cache: &Cache) -> Result<Box<dyn OpenFile>> {
        let known = cache.file(path, || know(path, cache))?;
        Ok(Box::new(ParquetFile { path: path.to_owned(), known }))
    }
}

impl OpenFile for ParquetFile {
    fn known(&self) -> &Arc<Known> {
        &self.known
    }

    fn rows(&self, columns: &[Column], small: bool, cache: &Cache) -> Result<Reading> {
        read(&self.path, &self.known, columns, small, cache)
    }
}

/// How the rows of a file are read: small ones now, large ones by the engine, from a file that our reader wrote if the
/// engine would not give the same values.
fn read(path: &Path, known: &Known, own: &[Column], small: bool, cache: &Cache) -> Result<Reading> {
    if own.is_empty() {
        // Its folders say everything, and how many rows there are, its footer.
        let rows = DataFrame::new(known.rows as usize, Vec::new());
        return rows.map(Reading::Decoded).map_err(|e| Error::defect("a frame without columns").cause(e));
    }
    if small {
        return Ok(Reading::Decoded(cache.frame(&format!("{own:?}"), known, || decode::decode(path, known, own))?));
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

/// Everything about a file that its stamp vouches for.
fn know(path: &Path, cache: &Cache) -> Result<Known> {
    let stamp = Stamp::of(path)?;
    let footer = footer::footer(path)?;
    if stamp.bytes() > decode::limit() {
        footer::pages(path, &footer)?;
    }
    let columns = describe::columns(path, &footer)?;
    Ok(Known {
        plain: describe::plain(&footer, &columns),
        nulls: describe::nulls(&footer),
        columns,
        rows: footer.file_metadata().num_rows().max(0) as u64,
        groups: footer.row_groups().iter().map(|group| group.num_rows().max(0) as u64).collect(),
        decoded: footer.row_groups().iter().map(|group| group.total_byte_size().max(0) as u64).sum(),
        sha256: cache.digest(&stamp)?,
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

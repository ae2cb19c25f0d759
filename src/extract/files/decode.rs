//! The reader that survives any bytes and any type: small files it reads whole into memory, compared with their hash;
//! larger ones that the engine would not read as it does, it writes anew for the engine.

use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::datatypes::{Field, Schema};
use bytes::Bytes;
use parquet::file::reader::ChunkReader;
use polars::prelude::DataFrame;

use super::convert::{convert, uuids};
use super::format::Column;
use super::reading::{Draft, Rewritten};
use super::version::Known;
use crate::arrow_bridge;
use crate::digest;
use crate::error::{Class, Error, Result};
use crate::failpoints;
use crate::parquet_file::{damaged, reader};

/// A file larger than this is scanned by the engine, so that only the needed rows and columns are read.
pub fn limit() -> u64 {
    failpoints::limit("SMALL_FILE", 16 << 20) as u64
}

/// A table whose files decode to more than this together is scanned by the engine too: memory must not follow the day.
pub const TABLE_LIMIT: u64 = 256 << 20;

/// Rows of a group of a rewritten file.
const GROUP_ROWS: usize = 1 << 20;

/// The bytes of a file, which must be those that were hashed.
pub fn bytes(path: &Path, known: &Known) -> Result<Bytes> {
    let bytes = std::fs::read(path).map_err(|e| Error::unreadable(path, &e))?;
    match digest::hex(&bytes) == known.sha256 {
        true => Ok(bytes.into()),
        false => Err(known.stamp.changed()),
    }
}

/// The named columns of a file as their canonical types, from its bytes.
pub fn decode(path: &Path, known: &Known, bytes: Bytes, columns: &[Column]) -> Result<DataFrame> {
    let mut frame = arrow_bridge::to_frame(&RecordBatch::new_empty(Arc::new(schema(columns))))?;
    let rows = each_batch(path, bytes, columns, |batch| {
        let part = arrow_bridge::to_frame(&batch)?;
        frame.vstack_mut_owned(part).map_err(|e| Error::defect("parts of one file differ").cause(e))?;
        Ok(())
    })?;
    whole(path, rows, known)?;
    Ok(frame)
}

/// Writes the named columns of a file into a temporary one that the engine reads as this reader does.
pub fn rewrite(path: &Path, known: &Known, columns: &[Column]) -> Result<Rewritten> {
    let file = File::open(path).map_err(|e| Error::unreadable(path, &e))?;
    let mut draft = Draft::new(Arc::new(schema(columns)), GROUP_ROWS)?;
    // A column that is not there any more: the file was replaced after it was looked at.
    let replaced = |e: Error| if e.class == Class::Defect { known.stamp.changed() } else { e };
    let rows = each_batch(path, file, columns, |batch| draft.write(&batch)).map_err(replaced)?;
    whole(path, rows, known)?;
    Ok(draft.finish()?.0)
}

fn whole(path: &Path, rows: u64, known: &Known) -> Result<()> {
    match rows == known.rows {
        true => Ok(()),
        false => Err(damaged(path, format!("its footer says {} rows, and it holds {rows}", known.rows))),
    }
}

/// Hands over the rows of a file, converted; how many they were. The columns must be there.
fn each_batch(
    path: &Path,
    input: impl ChunkReader + 'static,
    columns: &[Column],
    mut take: impl FnMut(RecordBatch) -> Result<()>,
) -> Result<u64> {
    // The reader trusts what a file says of itself, and may panic on what cannot be.
    let caught = |panic: Box<dyn std::any::Any + Send>| damaged(path, crate::panic_text(&*panic));
    let wanted = |name: &str| columns.iter().any(|column| column.name == name);
    let reader = catch_unwind(AssertUnwindSafe(|| reader(input, wanted)));
    let mut reader = reader.map_err(caught)?.map_err(|e| damaged(path, e))?;
    let mut rows = 0;
    while let Some(batch) = catch_unwind(AssertUnwindSafe(|| reader.next())).map_err(caught)? {
        let batch = batch.map_err(|e| damaged(path, e))?;
        let converted = canonical(path, &batch, columns, rows)?;
        rows += batch.num_rows() as u64;
        take(converted)?;
    }
    Ok(rows)
}

pub fn schema(columns: &[Column]) -> Schema {
    Schema::new(columns.iter().map(|c| Field::new(&c.name, c.kind.arrow(), true)).collect::<Vec<_>>())
}

/// The columns in the declared order, each losslessly as its canonical type. `before` rows of the file came earlier.
fn canonical(path: &Path, batch: &RecordBatch, columns: &[Column], before: u64) -> Result<RecordBatch> {
    let mut arrays = Vec::<ArrayRef>::with_capacity(columns.len());
    for column in columns {
        let array = batch
            .column_by_name(&column.name)
            .ok_or_else(|| Error::defect(format!("column {:?} was not read", column.name)))?;
        let converted = if column.uuid { uuids(array) } else { convert(array, column.kind, column.zone) };
        arrays.push(converted.map_err(|(row, what)| {
            let row = before + row as u64 + 1;
            Error::data(format!("{}: column {:?}, row {row}: {what}", path.display(), column.name))
        })?);
    }
    let rows = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(Arc::new(schema(columns)), arrays, &rows)
        .map_err(|e| Error::defect("columns of one file differ in length").cause(e))
}

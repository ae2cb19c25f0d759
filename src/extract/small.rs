//! Small Parquet files: read whole into memory, compared with their hash, and decoded by a reader that survives any
//! bytes. The engine's own reader trusts what a file says of itself.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use bytes::Bytes;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use polars::prelude::DataFrame;

use super::cache::Known;
use crate::digest;
use crate::error::{Error, Result};
use crate::faults;
use crate::frames;
use crate::project::job::ColumnType;

/// A file larger than this is scanned by the engine, so that only the needed rows and columns are read.
pub fn limit() -> u64 {
    faults::limit("SMALL_FILE", 16 << 20) as u64
}

/// ... and so is every file of a table whose files decode to more than this together: memory must not follow the day.
pub const TABLE_LIMIT: u64 = 256 << 20;
const BATCH_ROWS: usize = 1 << 16;

/// The named columns of a file as their canonical types.
pub fn decode(path: &Path, known: &Known, columns: &[(String, ColumnType)]) -> Result<DataFrame> {
    let bytes = std::fs::read(path).map_err(|e| Error::unreadable(path, &e))?;
    if digest::hex(&bytes) != known.sha256 {
        return Err(known.stamp.changed());
    }
    let damaged = |e: &dyn std::fmt::Display| {
        Error::input(format!("{} is damaged", path.display())).cause(e).hint("replace it with a whole one")
    };
    let batches = catch_unwind(AssertUnwindSafe(|| batches(bytes.into(), columns)));
    let batches = batches.map_err(|panic| damaged(&crate::panic_text(&*panic)))?.map_err(|e| damaged(&e))?;
    let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
    if rows as u64 != known.rows {
        return Err(damaged(&format!("its footer says {} rows, and it holds {rows}", known.rows)));
    }
    let mut frame = DataFrame::empty();
    for (i, batch) in batches.iter().enumerate() {
        let part = frames::to_frame(&canonical(path, batch, columns)?)?;
        match i {
            0 => frame = part,
            _ => {
                frame.vstack_mut_owned(part).map_err(|e| Error::defect("parts of one file differ").cause(e))?;
            }
        }
    }
    Ok(frame)
}

fn batches(bytes: Bytes, columns: &[(String, ColumnType)]) -> parquet::errors::Result<Vec<RecordBatch>> {
    let builder = ParquetRecordBatchReaderBuilder::try_new(bytes)?;
    let names: Vec<&str> = columns.iter().map(|(name, _)| name.as_str()).collect();
    let roots = builder.schema().fields().iter().enumerate().filter(|(_, f)| names.contains(&f.name().as_str()));
    let mask = ProjectionMask::roots(builder.parquet_schema(), roots.map(|(i, _)| i).collect::<Vec<_>>());
    let schema = builder.schema().clone();
    let mut batches: Vec<RecordBatch> =
        builder.with_projection(mask).with_batch_size(BATCH_ROWS).build()?.collect::<Result<_, _>>()?;
    if batches.is_empty() {
        let fields: Vec<_> = schema.fields().iter().filter(|f| names.contains(&f.name().as_str())).cloned().collect();
        batches.push(RecordBatch::new_empty(std::sync::Arc::new(Schema::new(fields))));
    }
    Ok(batches)
}

/// The columns in the declared order, each losslessly as its canonical type.
fn canonical(path: &Path, batch: &RecordBatch, columns: &[(String, ColumnType)]) -> Result<RecordBatch> {
    let options = CastOptions { safe: false, ..CastOptions::default() };
    let (mut fields, mut arrays) = (Vec::new(), Vec::<ArrayRef>::new());
    for (name, kind) in columns {
        let column =
            batch.column_by_name(name).ok_or_else(|| Error::defect(format!("column {name:?} was not read")))?;
        let kind = arrow_type(*kind);
        let cast = cast_with_options(column, &kind, &options).map_err(|e| {
            Error::data(format!("{}: column {name:?} holds a value that is no {kind}", path.display())).cause(e)
        })?;
        fields.push(Field::new(name, kind, true));
        arrays.push(cast);
    }
    let rows = arrow::array::RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(std::sync::Arc::new(Schema::new(fields)), arrays, &rows)
        .map_err(|e| Error::defect("columns of one file differ in length").cause(e))
}

fn arrow_type(kind: ColumnType) -> DataType {
    match kind {
        ColumnType::Int => DataType::Int64,
        ColumnType::Float => DataType::Float64,
        ColumnType::Text => DataType::Utf8View,
        ColumnType::Bool => DataType::Boolean,
        ColumnType::Date => DataType::Date32,
        ColumnType::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
    }
}

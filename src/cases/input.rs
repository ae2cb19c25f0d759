//! The tables of a case: Parquet as it is, CSV read with the declared types.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema, TimeUnit, TimestampMicrosecondType};
use parquet::arrow::ArrowWriter;

use super::rows::read_csv;
use crate::error::{Error, Result};
use crate::project::job::{ColumnType, ParquetSource, TableSource, TableSpec};

/// The case's own file for a table: Parquet as it is, CSV read with the declared types.
pub fn input(folder: &Path, spec: &TableSpec, work: &Path) -> Result<TableSource> {
    let time_column = match &spec.source {
        TableSource::Parquet(source) => source.time_column.clone(),
        TableSource::Postgres { .. } => None,
    };
    let parquet = folder.join(format!("{}.parquet", spec.name));
    let csv = folder.join(format!("{}.csv", spec.name));
    let path = match (parquet.is_file(), csv.is_file()) {
        (true, _) => parquet,
        (_, true) => convert(&csv, spec, work)?,
        _ => return Err(Error::input(format!("the case has neither {} nor {}", parquet.display(), csv.display()))),
    };
    Ok(TableSource::Parquet(ParquetSource { template: path.display().to_string(), time_column, complete: None }))
}

fn convert(csv: &Path, spec: &TableSpec, work: &Path) -> Result<PathBuf> {
    let wrong = |e: &dyn std::fmt::Display| Error::input(format!("cannot read {}", csv.display())).cause(e);
    if spec.columns.is_empty() {
        return Err(Error::config(format!("table {} has a CSV fixture but no declared columns", spec.name))
            .hint("add [extract.TABLE.columns] to the job file"));
    }
    let header = read_csv(csv)?.into_iter().next().unwrap_or_default();
    let declared = |name: &String| spec.columns.iter().find(|(column, _)| column == name).map(|(_, kind)| *kind);
    let schema = |kind: fn(ColumnType) -> DataType| {
        let field = |name: &String| Field::new(name, declared(name).map_or(DataType::Utf8, kind), true);
        Arc::new(Schema::new(header.iter().map(field).collect::<Vec<_>>()))
    };
    let written = schema(arrow_type);
    crate::plain_file::regular(csv)?;
    let file = File::open(csv).map_err(|e| Error::unreadable(csv, &e))?;
    let reader =
        arrow::csv::ReaderBuilder::new(schema(as_read)).with_header(true).build(file).map_err(|e| wrong(&e))?;
    let out = work.join(format!("{}.parquet", spec.name));
    let created = File::create(&out).map_err(|e| Error::io(&out, "write", &e))?;
    let mut writer = ArrowWriter::try_new(created, written.clone(), None).map_err(|e| wrong(&e))?;
    for batch in reader {
        let batch = batch.map_err(|e| wrong(&e))?;
        let zoned = |array: &ArrayRef| match array.as_primitive_opt::<TimestampMicrosecondType>() {
            Some(times) => Arc::new(times.clone().with_timezone("UTC")) as ArrayRef,
            None => array.clone(),
        };
        let batch = RecordBatch::try_new(written.clone(), batch.columns().iter().map(zoned).collect())
            .map_err(|e| wrong(&e))?;
        writer.write(&batch).map_err(|e| wrong(&e))?;
    }
    writer.close().map_err(|e| wrong(&e))?;
    Ok(out)
}

/// A time is read as UTC and gets its zone afterwards.
fn as_read(kind: ColumnType) -> DataType {
    match kind {
        ColumnType::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, None),
        other => arrow_type(other),
    }
}

fn arrow_type(kind: ColumnType) -> DataType {
    match kind {
        ColumnType::Int => DataType::Int64,
        ColumnType::Float => DataType::Float64,
        ColumnType::Text => DataType::Utf8,
        ColumnType::Bool => DataType::Boolean,
        ColumnType::Date => DataType::Date32,
        ColumnType::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
    }
}

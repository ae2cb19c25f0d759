//! Extract: each table of the interval as a lazy frame, from Parquet files or from Postgres, with the same few column
//! types whatever the source: 64-bit integers, floats, text, booleans, dates, and timestamps in microseconds of UTC.

pub mod parquet;
pub mod postgres;
pub mod preflight;

use polars::prelude::*;
use serde::Serialize;

use crate::error::{Error, Result};
use crate::interval::Interval;
use crate::progress::Progress;
use crate::project::job::{ColumnType, TableSource, TableSpec};
use crate::project::{Job, Project};

/// What a run read, for the record and for a second look at the end.
#[derive(Clone, Debug, Serialize)]
pub struct Input {
    pub table: String,
    /// A path, or `postgres://user@host:port/database`.
    pub from: String,
    pub rows: u64,
    /// Columns of the source that the job does not declare.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ignored: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    #[serde(skip)]
    pub file: Option<parquet::Stamp>,
}

#[derive(Default)]
pub struct Extraction {
    pub tables: Vec<(String, LazyFrame)>,
    pub inputs: Vec<Input>,
    pub warnings: Vec<String>,
}

/// Reads every table of the job: Parquet files are listed and checked now and scanned later; a Postgres query is read
/// now, all queries of one connection in one snapshot.
pub async fn extract(project: &Project, job: &Job, interval: &Interval, progress: &Progress) -> Result<Extraction> {
    let mut extraction = Extraction::default();
    let mut queries: Vec<(&str, Vec<&TableSpec>)> = Vec::new();
    for spec in &job.extract {
        match &spec.source {
            TableSource::Parquet { template, time_column } => {
                let files = parquet::list(&project.root, spec, template, interval)?;
                let table = parquet::scan(&project.root, spec, time_column.as_deref(), &files, interval)?;
                extraction.warnings.extend(table.warnings);
                extraction.inputs.extend(table.inputs);
                extraction.tables.push((spec.name.clone(), table.frame));
            }
            TableSource::Postgres { connection, .. } => match queries.iter_mut().find(|(name, _)| name == connection) {
                Some((_, specs)) => specs.push(spec),
                None => queries.push((connection, vec![spec])),
            },
        }
    }
    for (connection, specs) in queries {
        let dsn = project.connection(connection)?.resolve()?;
        for postgres::Read { spec, frame, rows, ignored } in
            postgres::read(&dsn, job, &specs, interval, progress).await?
        {
            extraction.inputs.push(Input {
                table: spec.name.clone(),
                from: dsn.display(),
                rows,
                ignored,
                bytes: None,
                sha256: None,
                file: None,
            });
            extraction.tables.push((spec.name.clone(), frame));
        }
    }
    Ok(extraction)
}

/// The canonical Polars type of a family.
pub fn canonical(column_type: ColumnType) -> DataType {
    match column_type {
        ColumnType::Int => DataType::Int64,
        ColumnType::Float => DataType::Float64,
        ColumnType::Text => DataType::String,
        ColumnType::Bool => DataType::Boolean,
        ColumnType::Date => DataType::Date,
        ColumnType::Timestamp => DataType::Datetime(TimeUnit::Microseconds, Some(TimeZone::UTC)),
    }
}

/// The columns that a source has and nobody asked for.
pub fn ignored<'a>(found: impl Iterator<Item = &'a String>, wanted: &[&String]) -> Vec<String> {
    found.filter(|name| !wanted.contains(name)).cloned().collect()
}

/// Compares what a source has with what the job declares; the columns to take, in the declared order.
pub fn agree(
    spec: &TableSpec,
    source: &str,
    found: &[(String, Option<ColumnType>, String)],
) -> Result<Vec<(String, ColumnType)>> {
    if spec.columns.is_empty() {
        return Ok(found.iter().filter_map(|(name, kind, _)| kind.map(|kind| (name.clone(), kind))).collect());
    }
    let mut faults = Vec::new();
    for (name, declared) in &spec.columns {
        match found.iter().find(|(column, ..)| column == name) {
            Some((_, Some(kind), _)) if kind == declared => {}
            Some((.., type_name)) => {
                faults.push(format!("column {name:?} is declared {} and is {type_name}", declared.name()));
            }
            None => {
                let near = crate::project::reader::meant(name, found.iter().map(|(column, ..)| column.as_str()));
                faults
                    .push(format!("column {name:?} is missing{}", near.map(|n| format!(" ({n})")).unwrap_or_default()));
            }
        }
    }
    if faults.is_empty() {
        return Ok(spec.columns.clone());
    }
    let mut error = Error::data(format!("table {}: {source} does not have the declared columns", spec.name));
    error.causes = faults;
    Err(error.hint("correct the source, or [extract.TABLE.columns] in the job file; nothing was written"))
}

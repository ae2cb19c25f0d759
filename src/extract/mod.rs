//! Extract: each table of the interval as a lazy frame, from Parquet files or from Postgres, with the same few column
//! types whatever the source: 64-bit integers, floats, text, booleans, dates, and timestamps in microseconds of UTC.

pub mod cache;
mod convert;
pub mod copy_stream;
pub mod decode;
mod describe;
pub mod files;
pub mod footer;
pub mod now;
pub mod parquet;
pub mod postgres;
pub mod preflight;
pub mod schema;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use polars::prelude::*;
use serde::Serialize;

pub use cache::{Cache, Sessions};

use crate::error::Result;
use crate::fingerprint::Source;
use crate::interval::Interval;
use crate::progress::Progress;
use crate::project::job::{ColumnType, TableSource, TableSpec};
use crate::project::{Job, Project};

/// What a run read, for the record and for a second look at the end.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Input {
    pub table: String,
    /// A path, or `postgres://user@host:port/database`.
    pub from: String,
    pub rows: u64,
    /// Rows that were left out: their time is not in the span of the table, or they have none.
    #[serde(skip_serializing_if = "is_zero")]
    pub outside: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub without_time: u64,
    /// Columns of the source that the job does not declare.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ignored: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// Of the rows of a query, whatever their order.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rows_digest: Option<String>,
    /// The transform began before its last row had come, and it was never in memory whole.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub streamed: bool,
    #[serde(skip)]
    pub file: Option<parquet::Stamp>,
}

fn is_zero(count: &u64) -> bool {
    *count == 0
}

impl Input {
    /// What of it is remembered, to see later whether it changed.
    pub fn source(&self, root: &Path) -> Source {
        let below = Path::new(&self.from).strip_prefix(root).map(|p| p.display().to_string());
        Source {
            table: self.table.clone(),
            from: below.unwrap_or_else(|_| self.from.clone()),
            bytes: self.bytes,
            modified: self.file.as_ref().and_then(parquet::Stamp::modified_micros),
            digest: self.sha256.clone().or_else(|| self.rows_digest.clone()).unwrap_or_default(),
        }
    }
}

#[derive(Default)]
pub struct Extraction {
    pub tables: Vec<(String, LazyFrame)>,
    pub inputs: Vec<Input>,
    pub warnings: Vec<String>,
    /// The table whose rows the transform takes one by one.
    pub driving: Option<String>,
    /// The driving table in parts, when it is of long files.
    pub pieces: Vec<parquet::Piece>,
    /// Files that the tables are read from and nobody else knows.
    pub temporary: Vec<Arc<decode::Rewritten>>,
    /// The driving table, when its rows are still coming. Among the tables it stands without rows.
    pub arriving: Option<postgres::StreamingTable>,
}

impl Extraction {
    /// Takes a table whose rows are still to come.
    fn stream(&mut self, rows: postgres::StreamingTable, from: &str) {
        self.inputs.push(Input {
            table: rows.table.clone(),
            from: from.to_owned(),
            ignored: rows.ignored.clone(),
            streamed: true,
            ..Input::default()
        });
        self.arriving = Some(rows);
    }

    /// Makes sure that every row of the arriving table came, and completes its record. How long its source took; nothing
    /// when no table was arriving.
    pub async fn arrive(&mut self, cache: &Cache, sessions: &mut Sessions) -> Result<Duration> {
        let Some(rows) = self.arriving.take() else { return Ok(Duration::ZERO) };
        let table = rows.table.clone();
        let arrived = rows.finish(cache, sessions).await?;
        for input in self.inputs.iter_mut().filter(|input| input.table == table) {
            (input.rows, input.rows_digest) = (arrived.rows, Some(arrived.digest.clone()));
        }
        Ok(arrived.busy)
    }

    /// As the job names them.
    fn sort_inputs(&mut self, job: &Job) {
        self.inputs.sort_by_key(|input| job.extract.iter().position(|spec| spec.name == input.table));
    }
}

/// Finds the table, if any, whose rows the transform takes one by one, so that it can begin before the last has come.
pub type FindDriving<'a> = &'a dyn Fn(&[(String, LazyFrame)]) -> Result<Option<String>>;

/// Where an extract reads from besides its own arguments: what the process remembers, and its open sessions.
pub struct ExtractContext<'a> {
    pub cache: &'a Cache,
    pub sessions: &'a mut Sessions,
    pub progress: &'a Progress,
    /// Without it every table is read to its end.
    pub driving: Option<FindDriving<'a>>,
}

/// Reads every table of the job: Parquet files are listed and checked now and scanned later; a Postgres query is read
/// now, all queries of one connection in one snapshot, but for the rows of the driving table, which may come later.
pub async fn extract(
    project: &Project,
    job: &Job,
    interval: &Interval,
    context: ExtractContext<'_>,
) -> Result<Extraction> {
    let mut extraction = Extraction::default();
    let mut queries: Vec<(&str, Vec<&TableSpec>)> = Vec::new();
    let mut pieces = Vec::new();
    for spec in &job.extract {
        match &spec.source {
            TableSource::Parquet(source) => {
                job.require_own_file(spec, interval)?;
                let files = files::list(&project.root, spec, source, interval)?;
                let table = parquet::scan(&project.root, spec, source, &files, interval, context.cache)?;
                extraction.warnings.extend(table.warnings);
                extraction.inputs.extend(table.inputs);
                extraction.temporary.extend(table.temporary);
                extraction.tables.push((spec.name.clone(), table.frame));
                pieces.push((spec.name.clone(), table.pieces));
            }
            TableSource::Postgres { connection, .. } => match queries.iter_mut().find(|(name, _)| name == connection) {
                Some((_, specs)) => specs.push(spec),
                None => queries.push((connection, vec![spec])),
            },
        }
    }
    let ExtractContext { cache, sessions, progress, driving } = context;
    let mut snapshots = Vec::new();
    for (name, specs) in &queries {
        let dsn = project.connection(name)?.resolve()?;
        snapshots.push((dsn, *name, specs));
    }
    let mut opened = Vec::new();
    for (dsn, name, specs) in &snapshots {
        let origin = postgres::Origin { name, dsn, cache, progress };
        opened.push((dsn, postgres::Snapshot::open(origin, sessions, job, specs, interval).await?));
    }
    if let Some(find) = driving {
        extraction.driving = cache.driving(&job.name, || {
            let mut tables = extraction.tables.clone();
            for (_, snapshot) in &opened {
                tables.extend(snapshot.tables()?.into_iter().map(|(name, frame)| (name, frame.lazy())));
            }
            find(&tables)
        })?;
        let driving = pieces.into_iter().find(|(name, _)| Some(name) == extraction.driving.as_ref());
        extraction.pieces = driving.map(|(_, pieces)| pieces).unwrap_or_default();
    }
    for (dsn, snapshot) in opened {
        let schemas = snapshot.tables()?;
        let (tables, arriving) = snapshot.read(extraction.driving.as_deref(), sessions).await?;
        for postgres::Read { spec, table } in tables {
            extraction.inputs.push(Input {
                table: spec.name.clone(),
                from: dsn.display(),
                rows: table.rows,
                ignored: table.ignored,
                rows_digest: Some(table.digest),
                ..Input::default()
            });
            extraction.tables.push((spec.name.clone(), table.frame.lazy()));
        }
        if let Some(rows) = arriving {
            let empty = schemas.into_iter().find(|(name, _)| *name == rows.table);
            extraction.tables.extend(empty.map(|(name, frame)| (name, frame.lazy())));
            extraction.stream(rows, &dsn.display());
        }
    }
    extraction.sort_inputs(job);
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

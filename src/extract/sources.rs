//! The sources of a job, and the extract: everything that an interval needs, opened, and then read.

use polars::prelude::LazyFrame;

use super::cache::Cache;
use super::extraction::Extraction;
use super::files::source::Files;
use super::queries::session::Sessions;
use super::queries::source::Queries;
use super::source::{Reader, Source};
use crate::error::Result;
use crate::interval::Interval;
use crate::progress::Progress;
use crate::project::job::{SqlFile, TableSource, TableSpec};
use crate::project::{Job, Project};

/// The sources of a job's tables: each table of files by itself, and the queries of each connection together.
pub fn of(job: &Job) -> Vec<Box<dyn Source + '_>> {
    let mut sources: Vec<Box<dyn Source + '_>> = Vec::new();
    let mut queries: Vec<(&str, Vec<(&TableSpec, &SqlFile)>)> = Vec::new();
    for spec in &job.extract {
        match &spec.source {
            TableSource::Files(source) => sources.push(Box::new(Files { spec, source })),
            TableSource::Query { connection, sql } => match queries.iter_mut().find(|(name, _)| name == connection) {
                Some((_, tables)) => tables.push((spec, sql)),
                None => queries.push((connection, vec![(spec, sql)])),
            },
        }
    }
    for (connection, tables) in queries {
        sources.push(Box::new(Queries { connection, tables }));
    }
    sources
}

/// Finds the table, if any, whose rows the transform takes one by one, so that it can begin before the last has come.
pub type FindDriving<'a> = &'a (dyn Fn(&[(String, LazyFrame)]) -> Result<Option<String>> + Sync);

/// Where an extract reads from besides its own arguments: what the process remembers, and its open sessions.
pub struct ExtractContext<'a> {
    pub cache: &'a Cache,
    pub sessions: &'a mut Sessions,
    pub progress: &'a Progress,
    /// Without it every table is read to its end.
    pub driving: Option<FindDriving<'a>>,
}

/// Reads every table of the job. All sources are opened before the first row is read: files are listed and checked now and
/// scanned later; all queries of one connection are read now, in one snapshot, but for the rows of the driving table, which
/// may come later.
pub async fn extract(
    project: &Project,
    job: &Job,
    interval: &Interval,
    context: ExtractContext<'_>,
) -> Result<Extraction> {
    let ExtractContext { cache, sessions, progress, driving } = context;
    let reader = Reader { project, job, interval, cache, progress };
    let sources = of(job);
    let mut opened = Vec::with_capacity(sources.len());
    for source in &sources {
        opened.push(source.open(reader, sessions).await?);
    }
    let mut extraction = Extraction::default();
    if let Some(find) = driving {
        extraction.driving = cache.driving(&job.name, || {
            let mut tables = Vec::new();
            for source in &opened {
                tables.extend(source.tables()?);
            }
            find(&tables)
        })?;
    }
    let driving = extraction.driving.clone();
    for source in opened {
        source.read(driving.as_deref(), sessions, &mut extraction).await?;
    }
    extraction.sort_inputs(job);
    for input in &extraction.inputs {
        let (table, from, rows, bytes) = (&input.table, &input.from, input.rows, input.bytes);
        tracing::debug!(table, from, rows, bytes, streamed = input.streamed, "an input");
    }
    Ok(extraction)
}

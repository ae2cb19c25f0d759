//! What can be known of a table without reading it: its columns, from a file's beginning or the server's description.

use polars::prelude::LazyFrame;

use super::cache::Cache;
use super::source::Reader;
use super::sources;
use crate::error::{Error, Result};
use crate::interval::Interval;
use crate::progress::Progress;
use crate::project::job::TableSpec;
use crate::project::{Job, Project};
use crate::rows::ColumnType;

/// The columns of a table as they will be read.
pub async fn columns(
    project: &Project,
    job: &Job,
    spec: &TableSpec,
    interval: &Interval,
) -> Result<Vec<(String, ColumnType)>> {
    let unknown = || Error::input(format!("the columns of the table {} are not known", spec.name));
    let mut frame = table(project, job, spec, interval, false).await?.ok_or_else(unknown)?;
    let schema = frame.collect_schema().map_err(|e| unknown().cause(e))?;
    Ok(schema.iter().filter_map(|(name, kind)| Some((name.to_string(), ColumnType::of_polars(kind)?))).collect())
}

/// An empty frame with the columns that the table will have. `None` when that cannot be known offline.
pub async fn table(
    project: &Project,
    job: &Job,
    spec: &TableSpec,
    interval: &Interval,
    offline: bool,
) -> Result<Option<LazyFrame>> {
    let (cache, progress) = (Cache::default(), Progress::default());
    let reader = Reader { project, job, interval, cache: &cache, progress: &progress };
    for source in sources::of(job) {
        if source.tables().iter().any(|table| table.name == spec.name) {
            return source.describe(reader, spec, offline).await;
        }
    }
    Ok(None)
}

//! The SQL of Postgres sources, run over the relations that a case has for it: `source/RELATION.parquet`, `.csv` or `.jsonl`,
//! and `source/setup.sql`.

use std::path::Path;

use arrow::array::RecordBatch;

use super::case::Case;
use crate::error::{Error, Result};
use crate::extract::files::text::guess;
use crate::extract::queries::trial::{self, Fixtures};
use crate::extract::whole::whole;
use crate::interval::Interval;
use crate::project::connection::Connection;
use crate::project::job::{FileFormat, FileSource, SqlFile, TableSource, TableSpec};
use crate::project::{Job, Project};

/// The rows that the SQL of each Postgres table gives.
pub async fn rows(
    project: &Project,
    job: &Job,
    case: &Case,
    interval: &Interval,
    connection: &Connection,
) -> Result<Vec<(String, RecordBatch)>> {
    let queries: Vec<(&TableSpec, &SqlFile)> = job
        .extract
        .iter()
        .filter_map(|spec| match &spec.source {
            TableSource::Query { sql, .. } => Some((spec, sql)),
            TableSource::Files(_) => None,
        })
        .collect();
    if queries.is_empty() {
        return Ok(Vec::new());
    }
    let fixtures = fixtures(project, job, &case.source(), interval).await?;
    trial::run(&connection.resolve()?, job, interval, &queries, &fixtures).await
}

async fn fixtures(project: &Project, job: &Job, folder: &Path, interval: &Interval) -> Result<Fixtures> {
    let setup = Some(folder.join("setup.sql")).filter(|path| path.is_file());
    let mut specs = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(|e| Error::unreadable(folder, &e))?.flatten() {
        let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
        let Some((name, format)) = named(&name) else { continue };
        let columns = if format.is_text() { guess::columns(&path, &format)? } else { Vec::new() };
        let template = glob::Pattern::escape(&path.display().to_string());
        let source = TableSource::Files(FileSource { format, template, time_column: None, complete: None });
        specs.push(TableSpec { source, columns, snapshot: true, ..TableSpec::loose(&name) });
    }
    specs.sort_by(|a, b| a.name.cmp(&b.name));
    let reading = Job { extract: specs, ..job.clone() };
    Ok(Fixtures { setup, relations: whole(project, &reading, interval).await? })
}

/// The relation that a file stands for.
fn named(file: &str) -> Option<(String, FileFormat)> {
    FileFormat::all()
        .into_iter()
        .find_map(|format| Some((file.strip_suffix(&format!(".{}", format.key()))?.to_owned(), format)))
}

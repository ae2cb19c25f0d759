//! What can be known of a table without reading it: its columns, from a file's footer or the server's description.

use std::path::{Path, PathBuf};

use polars::prelude::{DataFrame, Field, IntoLazy, LazyFrame, Schema};

use super::{agree, canonical, parquet, postgres};
use crate::error::{Error, Result};
use crate::interval::Interval;
use crate::postgres::patience::Backend;
use crate::progress::Progress;
use crate::project::job::{ColumnType, TableSource, TableSpec};
use crate::project::{Job, Project};

/// An empty frame with the columns that the table will have. `None` when that cannot be known offline.
pub async fn table(
    project: &Project,
    job: &Job,
    spec: &TableSpec,
    interval: &Interval,
    offline: bool,
) -> Result<Option<LazyFrame>> {
    match &spec.source {
        TableSource::Parquet { template, .. } => {
            let path = newest(&project.root, template)?
                .ok_or_else(|| Error::input(format!("no file matches {template}, for any date")))?;
            let found = parquet::described(&project.root, &path, spec)?;
            Ok(Some(empty(&agree(spec, &path.display().to_string(), &found)?)))
        }
        TableSource::Postgres { .. } if offline => Ok((!spec.columns.is_empty()).then(|| empty(&spec.columns))),
        TableSource::Postgres { connection, sql } => {
            let dsn = project.connection(connection)?.resolve()?;
            let mut connection = crate::postgres::connect(&dsn, &format!("daymill/{}/check", job.name)).await?;
            let backend = Backend::of(&mut connection, &dsn).await?;
            let found =
                postgres::describe(&mut (connection, backend), sql, interval.date(), interval, &Progress::default())
                    .await
                    .map_err(|e| e.context(sql.path.display()))?;
            let wanted = postgres::wanted(spec, &sql.path.display().to_string(), &found)?;
            Ok(Some(empty(
                &wanted.iter().filter_map(|(name, wire)| Some((name.clone(), wire.column_type()?))).collect::<Vec<_>>(),
            )))
        }
    }
}

/// The last file, by name, that some date would match.
fn newest(root: &Path, template: &str) -> Result<Option<PathBuf>> {
    let pattern = ["{date}", "{year}", "{month}", "{day}", "{hour}"]
        .iter()
        .fold(template.to_owned(), |p, name| p.replace(name, "*"));
    let full = Path::new(&glob::Pattern::escape(&root.to_string_lossy())).join(pattern);
    let paths = glob::glob(&full.to_string_lossy())
        .map_err(|e| Error::config(format!("the pattern {template} is wrong")).cause(e))?;
    Ok(paths.flatten().last())
}

fn empty(columns: &[(String, ColumnType)]) -> LazyFrame {
    let schema: Schema =
        columns.iter().map(|(name, kind)| Field::new(name.as_str().into(), canonical(*kind))).collect();
    DataFrame::empty_with_schema(&schema).lazy()
}

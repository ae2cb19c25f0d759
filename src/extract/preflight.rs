//! What can be known of a table without reading it: its columns, from a file's footer or the server's description.

use polars::prelude::{IntoLazy, LazyFrame};

use super::schema::{self, empty};
use super::{files, parquet, postgres};
use crate::error::{Error, Result};
use crate::interval::Interval;
use crate::postgres::decode::Wire;
use crate::postgres::liveness::Backend;
use crate::progress::Progress;
use crate::project::job::{ParquetSource, TableSource, TableSpec};
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
        TableSource::Parquet(ParquetSource { template, .. }) => {
            let path = files::newest(&project.root, template)?
                .ok_or_else(|| Error::input(format!("no file matches {template}, for any date")))?;
            let found = parquet::described(&project.root, &path, spec)?;
            Ok(Some(empty(&schema::agree(spec, &path.display().to_string(), &found)?).lazy()))
        }
        TableSource::Postgres { .. } if offline => Ok((!spec.columns.is_empty()).then(|| empty(&spec.columns).lazy())),
        TableSource::Postgres { connection, sql } => {
            let dsn = project.connection(connection)?.resolve()?;
            let mut connection = crate::postgres::connect(&dsn, &format!("daymill/{}/check", job.name)).await?;
            let backend = Backend::of(&mut connection, &dsn).await?;
            postgres::begin_snapshot(&mut connection, job).await.map_err(|e| postgres::source_error(&e))?;
            let found =
                postgres::describe(&mut (connection, backend), sql, interval.date(), interval, &Progress::default())
                    .await
                    .map_err(|e| e.context(sql.path.display()))?;
            let wanted = postgres::wanted(spec, &sql.path.display().to_string(), &found)?;
            let column = |(name, wire): &(String, Wire)| Some((name.clone(), wire.column_type()?));
            Ok(Some(empty(&wanted.iter().filter_map(column).collect()).lazy()))
        }
    }
}

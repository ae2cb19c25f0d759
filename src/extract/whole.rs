//! Tables as a whole in memory: for tests of jobs, whose tables are small.

use arrow::array::RecordBatch;
use polars::prelude::{DataFrame, IntoLazy, JoinArgs, JoinType, LazyFrame, col};

use super::cache::Cache;
use super::queries::session::Sessions;
use super::sources::{ExtractContext, extract};
use crate::arrow_bridge;
use crate::error::{Error, Result};
use crate::interval::Interval;
use crate::progress::Progress;
use crate::project::{Job, Project};

/// Every table of an interval.
pub async fn whole(project: &Project, job: &Job, interval: &Interval) -> Result<Vec<(String, RecordBatch)>> {
    batches(&read(project, job, interval).await?)
}

/// Of each table that follows the interval so many rows, and as many of the time before it; other tables whole.
pub async fn sample(
    project: &Project,
    job: &Job,
    interval: &Interval,
    rows: u32,
) -> Result<Vec<(String, RecordBatch)>> {
    let whole = read(project, job, interval).await?;
    let mut alone = job.clone();
    alone.extract.iter_mut().for_each(|spec| spec.lookback_days = 0);
    let looks_back = job.extract.iter().any(|spec| spec.lookback_days > 0);
    let inside = if looks_back { read(project, &alone, interval).await? } else { whole.clone() };
    let mut sampled = Vec::new();
    for ((name, frame), (_, inside)) in whole.into_iter().zip(inside) {
        let spec = job.extract.iter().find(|spec| spec.name == name);
        let follows = spec.is_some_and(|spec| job.told_apart(spec) && !spec.snapshot);
        let few = |frame: DataFrame| frame.head(Some(rows as usize));
        let rows = match spec.is_some_and(|spec| spec.lookback_days > 0) {
            _ if !follows => frame,
            false => few(frame),
            true => {
                let failed = |e| Error::defect(format!("the rows of {name} before the interval")).cause(e);
                let earlier = few(without(frame, &inside).map_err(failed)?);
                earlier.vstack(&few(inside)).map_err(failed)?
            }
        };
        sampled.push((name, rows));
    }
    batches(&sampled)
}

/// The rows of a table that another does not have.
fn without(frame: DataFrame, other: &DataFrame) -> polars::prelude::PolarsResult<DataFrame> {
    let on: Vec<_> = other.get_column_names().into_iter().map(|name| col(name.clone())).collect();
    let args = JoinArgs { nulls_equal: true, ..JoinArgs::new(JoinType::Anti) };
    frame.lazy().join(other.clone().lazy(), &on, &on, args).collect()
}

async fn read(project: &Project, job: &Job, interval: &Interval) -> Result<Vec<(String, DataFrame)>> {
    let context = ExtractContext {
        cache: &Cache::default(),
        sessions: &mut Sessions::new(),
        progress: &Progress::default(),
        driving: None,
    };
    let mut extraction = extract(project, job, interval, context).await?;
    // What the tables are read from must outlive the reading.
    let tables = std::mem::take(&mut extraction.tables);
    let collected = |(name, frame): (String, LazyFrame)| {
        let rows = frame.collect().map_err(|e| Error::input(format!("the table {name} cannot be read")).cause(e))?;
        Ok((name, rows))
    };
    tables.into_iter().map(collected).collect()
}

fn batches(tables: &[(String, DataFrame)]) -> Result<Vec<(String, RecordBatch)>> {
    tables.iter().map(|(name, frame)| Ok((name.clone(), arrow_bridge::to_batch(frame)?))).collect()
}

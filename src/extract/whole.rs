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
use crate::project::job::TableSpec;
use crate::project::{Job, Project};

/// Every table of an interval.
pub async fn whole(project: &Project, job: &Job, interval: &Interval) -> Result<Vec<(String, RecordBatch)>> {
    batches(&read(project, job, interval, |_| None).await?)
}

/// Of each table that follows the interval so many rows, and as many of the time before it; other tables whole.
pub async fn sample(
    project: &Project,
    job: &Job,
    interval: &Interval,
    rows: u32,
) -> Result<Vec<(String, RecordBatch)>> {
    let follows = |spec: &TableSpec| job.told_apart(spec) && !spec.snapshot;
    let few = |spec: &TableSpec| follows(spec) && spec.lookback_days == 0;
    let whole = read(project, job, interval, |spec| few(spec).then_some(rows)).await?;
    // Without its lookback a table is the interval.
    let mut alone = job.clone();
    alone.extract.retain(|spec| follows(spec) && spec.lookback_days > 0);
    alone.extract.iter_mut().for_each(|spec| spec.lookback_days = 0);
    let inside = read(project, &alone, interval, |_| None).await?;
    let mut sampled = Vec::new();
    for (name, frame) in whole {
        let few = |frame: DataFrame| frame.head(Some(rows as usize));
        let failed = |e| Error::defect(format!("the rows of {name} before the interval")).cause(e);
        let frame = match inside.iter().find(|(other, _)| *other == name) {
            None => frame,
            Some((_, inside)) => {
                let earlier = few(without(frame, inside).map_err(failed)?);
                earlier.vstack(&few(inside.clone())).map_err(failed)?
            }
        };
        sampled.push((name, frame));
    }
    batches(&sampled)
}

/// The rows of a table that another does not have.
fn without(frame: DataFrame, other: &DataFrame) -> polars::prelude::PolarsResult<DataFrame> {
    let on: Vec<_> = other.get_column_names().into_iter().map(|name| col(name.clone())).collect();
    let args = JoinArgs { nulls_equal: true, ..JoinArgs::new(JoinType::Anti) };
    frame.lazy().join(other.clone().lazy(), &on, &on, args).collect()
}

/// Every table; of some no more than so many rows.
async fn read(
    project: &Project,
    job: &Job,
    interval: &Interval,
    few: impl Fn(&TableSpec) -> Option<u32>,
) -> Result<Vec<(String, DataFrame)>> {
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
        let spec = job.extract.iter().find(|spec| spec.name == name);
        let rows = match spec.and_then(&few) {
            Some(rows) => frame.limit(rows).collect(),
            None => frame.collect(),
        };
        let rows = rows.map_err(|e| Error::input(format!("the table {name} cannot be read")).cause(e))?;
        Ok((name, rows))
    };
    tables.into_iter().map(collected).collect()
}

fn batches(tables: &[(String, DataFrame)]) -> Result<Vec<(String, RecordBatch)>> {
    tables.iter().map(|(name, frame)| Ok((name.clone(), arrow_bridge::to_batch(frame)?))).collect()
}

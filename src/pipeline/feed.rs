//! What the engine is fed with: everything at once, or one large table of Postgres piece by piece while it is read.

use std::sync::Arc;

use polars::prelude::{DataFrame, IntoLazy, LazyFrame};

use super::flow::{Feed, Pieces};
use super::{Context, Planned, plan};
use crate::error::Result;
use crate::extract::Extraction;
use crate::extract::incoming::chunk_rows;
use crate::interval::Interval;
use crate::project::Job;
use crate::score::Bundle;
use crate::transform;

/// The table of a job whose rows its SQL takes one by one.
pub fn driving(job: &Job, interval: &Interval, tables: &[(String, LazyFrame)]) -> Result<Option<String>> {
    transform::rowwise::driving(transform::plan(&job.transform, tables, interval)?, tables)
}

/// The feed for a plan, which was made of the tables as they stand: a table that is still arriving has no rows there.
pub fn of(
    context: &Context,
    bundle: Option<&Arc<Bundle>>,
    extraction: &mut Extraction,
    planned: Planned,
) -> (Planned, Feed) {
    let whole = Feed::Whole(Box::new(planned.frame.clone()));
    let Some(arriving) = &mut extraction.arriving else { return (planned, whole) };
    let Some((came, coming)) = arriving.rows.rows() else { return (planned, whole) };
    let others: u64 = extraction.inputs.iter().map(|input| input.rows).sum();
    let (job, interval, bundle) = (context.job.clone(), context.interval.clone(), bundle.cloned());
    let (driving, tables) = (arriving.rows.table.clone(), extraction.tables.clone());
    let plan = move |piece: DataFrame| {
        let mut tables = tables.clone();
        for (_, frame) in tables.iter_mut().filter(|(name, _)| *name == driving) {
            *frame = piece.clone().lazy();
        }
        Ok(plan(&job, bundle.as_deref(), &tables, &interval)?.frame)
    };
    let rows = (2 * chunk_rows()).max(2 * others as usize);
    (planned, Feed::Pieces(Pieces { came, coming, plan: Box::new(plan), rows }))
}

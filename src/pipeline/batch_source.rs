//! What the engine is fed with: everything at once, or the driving table piece by piece, so that memory holds a few pieces
//! of a table of any length; and if the table comes from Postgres, work on it begins before its last row has come.

use std::collections::VecDeque;
use std::sync::Arc;

use polars::prelude::{DataFrame, IntoLazy, LazyFrame, UnionArgs, concat};
use tokio::sync::mpsc::Receiver;

use super::context::Context;
use super::flow::BatchSource;
use super::plan::{Planned, plan};
use crate::error::{Error, Result};
use crate::extract::Extraction;
use crate::extract::chunk::chunk_rows;
use crate::extract::files::table::Piece;
use crate::interval::Interval;
use crate::models::Bundle;
use crate::project::Job;
use crate::transform;

/// The table of a job whose rows its SQL takes one by one.
pub fn driving(job: &Job, interval: &Interval, tables: &[(String, LazyFrame)]) -> Result<Option<String>> {
    transform::driving(&job.transform, tables, interval)
}

/// Bytes of a part, however few its rows.
const LARGEST_PART: usize = 256 << 20;

/// Where the parts of the driving table come from.
enum Parts {
    Files(VecDeque<Piece>),
    Rows { came: VecDeque<DataFrame>, coming: Receiver<DataFrame> },
}

impl Parts {
    /// The next part, of at least so many rows; none when no row is left.
    fn next(&mut self, least: u64) -> Result<Option<LazyFrame>> {
        match self {
            Parts::Files(pieces) => files(pieces, least),
            Parts::Rows { came, coming } => {
                let mut part: Option<DataFrame> = None;
                let enough = |part: &DataFrame| part.height() as u64 >= least || part.estimated_size() >= LARGEST_PART;
                while !part.as_ref().is_some_and(enough) {
                    let Some(chunk) = came.pop_front().or_else(|| coming.blocking_recv()) else { break };
                    match &mut part {
                        None => part = Some(chunk),
                        Some(part) => {
                            part.vstack_mut_owned(chunk).map_err(differ)?;
                        }
                    }
                }
                Ok(part.map(IntoLazy::lazy))
            }
        }
    }
}

fn differ(error: impl std::fmt::Display) -> Error {
    Error::defect("parts of one table differ").cause(error)
}

fn files(pieces: &mut VecDeque<Piece>, least: u64) -> Result<Option<LazyFrame>> {
    let mut part: Vec<Piece> = Vec::new();
    while part.iter().map(|piece| piece.rows).sum::<u64>() < least {
        let Some(next) = pieces.pop_front() else { break };
        if !part.last_mut().is_some_and(|last| last.take(&next)) {
            part.push(next);
        }
    }
    let mut frames = part.iter().map(Piece::frame).collect::<Result<Vec<_>>>()?;
    let union = UnionArgs { parallel: false, rechunk: false, ..UnionArgs::default() };
    match frames.len() {
        0 | 1 => Ok(frames.pop()),
        _ => concat(frames, union).map(Some).map_err(differ),
    }
}

/// Up to this many rows may be hashed without asking whether the driving table, once filtered, has fewer.
const HASHED: u64 = 1_000_000;

fn joined(plan: LazyFrame, others: u64) -> LazyFrame {
    if others <= HASHED { transform::driven(plan) } else { plan }
}

/// The source for a plan, which was made of the tables as they stand: a table that is still arriving has no rows there.
pub fn of(
    context: &Context,
    bundle: Option<&Arc<Bundle>>,
    extraction: &mut Extraction,
    planned: Planned,
) -> (Planned, BatchSource) {
    let is_driving = |table: &String| Some(table) == extraction.driving.as_ref();
    let rows = |driving: bool| -> u64 {
        extraction.inputs.iter().filter(|input| is_driving(&input.table) == driving).map(|input| input.rows).sum()
    };
    let (own, others) = (rows(true), rows(false));
    let arriving = extraction.arriving.as_mut().and_then(|arriving| arriving.rows());
    let mut parts = match arriving {
        Some((came, coming)) => Parts::Rows { came: came.into(), coming },
        // A table of which each piece is joined with something larger is better joined at once.
        None if own < 2 * others || extraction.pieces.is_empty() => {
            let whole = planned.frame.clone();
            let known = extraction.driving.is_some() && own >= others;
            return (planned, BatchSource::Whole(Box::new(if known { joined(whole, others) } else { whole })));
        }
        None => Parts::Files(std::mem::take(&mut extraction.pieces).into()),
    };
    // What each plan does once (it hashes the tables that it joins) should stay small beside its rows.
    let least = (2 * chunk_rows() as u64).max(2 * others);
    let (job, interval, bundle) = (context.job.clone(), context.interval.clone(), bundle.cloned());
    let (driving, mut tables) = (extraction.driving.clone(), extraction.tables.clone());
    let pieces = move || {
        let Some(part) = parts.next(least)? else { return Ok(None) };
        for (_, frame) in tables.iter_mut().filter(|(name, _)| driving.as_ref() == Some(name)) {
            *frame = part.clone();
        }
        Ok(Some(joined(plan(&job, bundle.as_ref(), &tables, &interval)?.frame, others)))
    };
    (planned, BatchSource::Partitions(Box::new(pieces)))
}

//! A run that publishes nothing: the interval is read, transformed and scored, every gate is asked, and what would be
//! replaced is looked up. Nothing is written, and nothing is locked.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::util::display::array_value_to_string;
use polars::prelude::{DataFrame, DataType, LazyFrame, PolarsError, SortMultipleOptions, col, len, lit};

use super::context::{Context, Sessions};
use super::evidence::{Evidence, Looks};
use super::flow::{BatchSource, Finished, Work};
use super::gates;
use super::plan::{Planned, plan};
use super::report::{ColumnSummary, Preview, RunReport};
use super::run::{diagnose_failure, no_rows, open_bundle, record_inputs};
use super::sink::{Sink, drain};
use crate::arrow_bridge;
use crate::error::{Error, Result};
use crate::extract;
use crate::ledger::{self, claim, history};
use crate::progress::Stage;
use crate::project::job::OnEmpty;
use crate::quality::checks::CONDITION;
use crate::rows::Tail;
use crate::run_state::RunState;
use crate::transform;
use crate::warehouse::{self, table::TableSchema};

/// Which of the first rows are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sample {
    Features,
    Scores,
}

/// Rows of a sample when no limit is given.
const SAMPLE: usize = 10;

/// Keeps the first rows.
struct First {
    wanted: usize,
    rows: Vec<RecordBatch>,
}

impl Sink for First {
    const STAGE: &'static str = "look";

    async fn take(&mut self, finished: &Finished) -> Result<()> {
        let take = self.wanted.min(finished.batch.num_rows());
        if take > 0 {
            self.rows.push(finished.batch.slice(0, take));
            self.wanted -= take;
        }
        Ok(())
    }
}

/// Runs an interval without publishing it. `limit` takes only the first rows of the transform.
pub async fn preview(
    context: &Context,
    report: &mut RunReport,
    limit: Option<u32>,
    sample: Option<Sample>,
) -> Result<()> {
    let Context { project, job, interval, progress, .. } = context;
    progress.enter(Stage::Prepare);
    job.require_interval()?;
    report.table = Some(job.load.table.clone());
    let bundle = open_bundle(context, report)?;
    let listening = transform::warnings::Listening::begin();
    progress.enter(Stage::Extract);
    let mut sessions = Sessions::default();
    let means = extract::ExtractContext {
        cache: &context.shared.cache,
        sessions: &mut sessions.sources,
        progress,
        driving: None,
    };
    let extraction = extract::extract(project, job, interval, means).await?;
    record_inputs(report, &extraction);
    report.warnings.extend(extraction.warnings.iter().cloned());
    let mut planned = plan(job, bundle.as_ref(), &extraction.tables, interval)?;
    report.lineage = std::mem::take(&mut planned.columns);
    report.warnings.append(&mut planned.notes);
    let mut table = TableSchema::new(&job.load, &planned.schema, &job.key)?;
    let replaces = standing(context, &mut table).await?;
    if !table.added.is_empty() {
        let warning = format!("the table {} lacks {}: a run adds it", job.load.table, table.added.join(", "));
        report.warnings.push(warning);
    }
    if let Some(rows) = limit {
        planned.frame = planned.frame.limit(rows);
    }
    progress.enter(Stage::Score);
    let rows = limit.map_or(SAMPLE, |rows| rows as usize);
    let described = describe(&planned, if sample == Some(Sample::Features) { rows } else { 0 });
    let (columns, features) =
        described.map_err(|e| diagnose_failure(super::flow::Stop::Engine(e), job, &extraction))?;
    let mut first = First { wanted: if sample == Some(Sample::Scores) { rows } else { 0 }, rows: Vec::new() };
    let scores = planned.layout.outputs.clone();
    let looks = Looks::new(job, interval, planned.checked(&scores), planned.looking(&scores))?;
    let work = Work {
        batch_rows: job.batch_rows,
        threads: context.threads,
        scoring: planned.scoring,
        looks: Arc::new(looks),
        layout: planned.layout,
        lineage: Tail::default(),
        progress: progress.clone(),
    };
    let keys = planned.frame.clone();
    let drained = drain(work, BatchSource::Whole(Box::new(planned.frame)), &mut first, report).await;
    let evidence = drained.map_err(|stop| diagnose_failure(stop, job, &extraction))?;
    extraction.inputs.iter().filter_map(|input| input.file.as_ref()).try_for_each(|file| file.recheck())?;
    let (sample_columns, sample) = match &features {
        Some(features) => text(&[arrow_bridge::to_batch(features)?]),
        None => text(&first.rows),
    };
    report.preview = Some(Preview { replaces, limit: limit.map(u64::from), columns, sample_columns, sample });
    report.warnings.extend(listening.end());
    if !job.gates.is_empty() {
        report.warnings.push("the gates on scores are not asked by a dry run".into());
    }
    if limit.is_some() {
        // What holds for a day need not hold for a part of it.
        report.checks = Vec::new();
        return Ok(());
    }
    gated(context, report, evidence, keys).await
}

/// Asks every gate, and names keys that repeat from the rows of the transform.
async fn gated(context: &Context, report: &mut RunReport, mut evidence: Evidence, keys: LazyFrame) -> Result<()> {
    let Context { job, interval, .. } = context;
    let passed = gates::enforce(job, report, &mut evidence, None).await;
    passed.map_err(|mut error| {
        if error.message.starts_with(gates::REPEATED) {
            error.causes = repeated(keys, &job.key).unwrap_or_default();
        }
        error
    })?;
    match (evidence.seen().published, job.on_empty) {
        (0, OnEmpty::Error) => Err(no_rows(job, interval)),
        (0, OnEmpty::Skip) => {
            report.state = RunState::Skipped;
            report.warnings.push(format!("{} has no rows; what is published of it would stay", interval.label()));
            Ok(())
        }
        _ => Ok(()),
    }
}

/// Rows of the interval that stand in the table, by the ledger. Refuses what a load would refuse.
async fn standing(context: &Context, table: &mut TableSchema) -> Result<Option<u64>> {
    let Context { project, job, interval, target, .. } = context;
    let Some(mut db) = ledger::open_to_read(project, target).await? else { return Ok(None) };
    claim::require(&mut db, project, &job.name).await?;
    warehouse::of(project, target).check(&mut db, table).await?;
    let span = Some((interval.start, interval.end));
    let rows = history::intervals(&mut db, project, target, &job.name, span).await?;
    db.close().await;
    let own = rows.into_iter().find(|row| (row.start, row.end) == (interval.start, interval.end));
    Ok(own.and_then(|row| row.published).map(|published| published.rows))
}

/// A few keys that stand on more than one row.
fn repeated(frame: LazyFrame, key: &[String]) -> Result<Vec<String>> {
    const COUNT: &str = "\u{1}rows";
    let names: Vec<_> = key.iter().map(|name| col(name.as_str())).collect();
    let twice = frame.group_by(names.clone()).agg([len().alias(COUNT)]).filter(col(COUNT).gt(lit(1)));
    let few = transform::collect(twice.sort_by_exprs(names, SortMultipleOptions::default()).limit(3));
    let few = few.map_err(|e| Error::defect("keys that repeat").cause(e))?;
    let (_, rows) = text(&[arrow_bridge::to_batch(&few)?]);
    let shown = |row: &Vec<Option<String>>| {
        let value =
            |(name, value): (&String, &Option<String>)| format!("{name}={}", value.as_deref().unwrap_or("NULL"));
        let count = row.last().and_then(|count| count.as_deref()).unwrap_or("2");
        format!("{} on {count} rows", key.iter().zip(row).map(value).collect::<Vec<_>>().join(" "))
    };
    Ok(rows.iter().map(shown).collect())
}

/// The columns of a plan in figures, and its first rows when some are wanted.
fn describe(planned: &Planned, first: usize) -> polars::prelude::PolarsResult<(Vec<ColumnSummary>, Option<DataFrame>)> {
    let mut frame: LazyFrame = planned.frame.clone();
    let schema = frame.collect_schema()?;
    let mut figures = Vec::new();
    let shown = || schema.iter().filter(|(name, _)| !name.starts_with(CONDITION));
    for (at, (name, kind)) in shown().enumerate() {
        let column = || col(name.clone());
        figures.push(column().null_count().alias(format!("{at} nulls")));
        figures.push(column().min().alias(format!("{at} min")));
        figures.push(column().max().alias(format!("{at} max")));
        if kind.is_primitive_numeric() || *kind == DataType::Boolean {
            figures.push(column().cast(DataType::Float64).mean().alias(format!("{at} mean")));
        }
    }
    let found = transform::collect(frame.clone().select(figures))?;
    // As text by Arrow, which has no panic for a time that no calendar has.
    let batch = arrow_bridge::to_batch(&found).map_err(|e| PolarsError::ComputeError(e.to_string().into()))?;
    let (names, rows) = text(&[batch]);
    let figure = |at: usize, what: &str| {
        let place = names.iter().position(|name| *name == format!("{at} {what}"))?;
        rows.first()?.get(place)?.clone()
    };
    let summary = |(at, name): (usize, &polars::prelude::PlSmallStr)| ColumnSummary {
        name: name.to_string(),
        nulls: figure(at, "nulls").and_then(|text| text.parse().ok()).unwrap_or_default(),
        min: figure(at, "min"),
        max: figure(at, "max"),
        mean: figure(at, "mean").and_then(|text| text.parse().ok()),
    };
    let columns = shown().map(|(name, _)| name).enumerate().map(summary).collect();
    let rows = (first > 0).then(|| transform::collect(frame.limit(first as u32))).transpose()?;
    Ok((columns, rows))
}

type Texts = (Vec<String>, Vec<Vec<Option<String>>>);

/// Rows as text.
fn text(batches: &[RecordBatch]) -> Texts {
    let Some(first) = batches.first() else { return Texts::default() };
    let names = first.schema_ref().fields().iter().map(|field| field.name().clone()).collect();
    let cell = |batch: &RecordBatch, column: usize, row: usize| {
        let array = batch.column(column);
        (!array.is_null(row)).then(|| array_value_to_string(array, row).unwrap_or_default())
    };
    let row =
        |batch: &RecordBatch, row: usize| (0..batch.num_columns()).map(|column| cell(batch, column, row)).collect();
    let rows = batches.iter().flat_map(|batch| (0..batch.num_rows()).map(|at| row(batch, at)).collect::<Vec<_>>());
    (names, rows.collect())
}

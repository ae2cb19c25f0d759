//! One stage of an interval at a time.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use polars::prelude::LazyFrame;

use super::metadata::{IDENTITY, MODEL, SCORES, as_mark, marks, open, sources_mark};
use super::writer::{Writer, score_into};
use crate::arrow_bridge;
use crate::error::{Error, Result};
use crate::extract::{self, Extraction};
use crate::fingerprint::{Fingerprint, Source};
use crate::pipeline::evidence::{Evidence, Looks};
use crate::pipeline::flow::{BatchSource, Stop, Work};
use crate::pipeline::plan::select;
use crate::pipeline::report::{RunReport, WrittenFile};
use crate::pipeline::run::{begin_load, diagnose_failure, finish_load, open_bundle, record_inputs, stream};
use crate::pipeline::{Context, gates, score_gates};
use crate::progress::Stage;
use crate::rows::Tail;
use crate::transform;
use crate::warehouse::table::TableSchema;

/// Where the stages of an interval leave their files.
pub fn folder(context: &Context) -> PathBuf {
    let label = context.interval.label().replace(['/', ':'], "_");
    context.project.state_folder().join("stages").join(&context.job.name).join(label)
}

/// Reads every table and leaves one Parquet file each.
pub async fn extract(context: &Context, report: &mut RunReport, out: &Path) -> Result<()> {
    context.progress.enter(Stage::Extract);
    context.job.require_interval()?;
    let at = Instant::now();
    let mut sessions = extract::Sessions::new();
    let means = extract::ExtractContext {
        cache: &context.shared.cache,
        sessions: &mut sessions,
        progress: &context.progress,
        driving: None,
    };
    let extraction = extract::extract(&context.project, &context.job, &context.interval, means).await?;
    record_inputs(report, &extraction);
    report.warnings.extend(extraction.warnings.iter().cloned());
    for (name, frame) in &extraction.tables {
        let inputs = extraction.inputs.iter().filter(|input| input.table == *name);
        let sources: Vec<Source> = inputs.map(|input| input.source(&context.project.root)).collect();
        let file = write_frame(context, frame.clone(), &out.join(format!("{name}.parquet")), as_mark(&sources))
            .map_err(|e| explain_write(e, context, &extraction))?;
        report.rows.published += file.rows;
        report.files.push(file);
    }
    extraction.inputs.iter().filter_map(|input| input.file.as_ref()).try_for_each(|file| file.recheck())?;
    report.stage("extract", at.elapsed().as_secs_f64());
    Ok(())
}

/// Runs the SQL over the tables of `input` and leaves one Parquet file.
pub fn transform(context: &Context, report: &mut RunReport, input: &Path, out: &Path) -> Result<()> {
    context.progress.enter(Stage::Score);
    let at = Instant::now();
    let mut extraction = Extraction::default();
    let mut sources = Vec::new();
    for spec in &context.job.extract {
        let path = input.join(format!("{}.parquet", spec.name));
        let (frame, marks) = open(context, &path, "extract", report)?;
        sources.extend(sources_mark(&marks));
        extraction.tables.push((spec.name.clone(), frame));
    }
    extraction.inputs = report.inputs.clone();
    let plan = transform::plan(&context.job.transform, &extraction.tables, &context.interval)?;
    report.lineage = plan.columns;
    let file =
        write_frame(context, plan.frame, out, as_mark(&sources)).map_err(|e| explain_write(e, context, &extraction))?;
    report.rows.transformed = file.rows;
    report.rows.published = file.rows;
    report.files.push(file);
    report.stage("transform", at.elapsed().as_secs_f64());
    Ok(())
}

/// Scores the features of `input` and leaves what would be published.
pub async fn score(context: &Context, report: &mut RunReport, input: &Path, out: &Path) -> Result<()> {
    let bundle = open_bundle(context, report)?.ok_or_else(|| {
        Error::usage(format!("the job {} has no [score]", context.job.name))
            .hint("load its transform with: daymill load")
    })?;
    let (frame, found) = open(context, input, "transform", report)?;
    let planned = select(&context.job, Some(&bundle), frame)?;
    let mut marks = marks(context);
    marks.push(as_mark(&sources_mark(&found)));
    marks.push((IDENTITY.into(), bundle.id().to_string()));
    marks.push((MODEL.into(), bundle.label()));
    marks.push((SCORES.into(), planned.layout.outputs.join("\n")));
    let looks = Arc::new(Looks::scores(&planned.layout.outputs));
    let work = Work {
        batch_rows: context.job.batch_rows,
        threads: context.threads,
        scoring: planned.scoring,
        layout: planned.layout,
        lineage: Tail::default(),
        looks,
        progress: context.progress.clone(),
    };
    let place = &context.job.transform.path;
    let source = BatchSource::Whole(Box::new(planned.frame));
    let tolerable = |evidence: &Evidence| gates::tolerable(&context.job, evidence);
    score_into((work, source), report, out, &planned.schema, &marks, place, tolerable).await
}

/// Publishes the rows of `input`, which a score stage (or a transform stage, for a job without a model) left.
pub async fn load(context: &Context, report: &mut RunReport, input: &Path) -> Result<()> {
    let (frame, marks) = open(context, input, if context.job.score.is_some() { "score" } else { "transform" }, report)?;
    let mark = |key: &str| marks.iter().find(|(k, _)| k == key).map(|(_, v)| v.clone());
    let model = mark(MODEL);
    if context.job.score.is_some() && model.is_none() {
        return Err(
            Error::input(format!("{} was not left by a score stage", input.display())).hint("run: daymill score")
        );
    }
    let sources = sources_mark(&marks);
    report.fingerprint = Some(Fingerprint::new(&context.project.root, &context.job, mark(IDENTITY), &sources));
    report.sources = Some(sources);
    let mut load = begin_load(context, &mut None, report, model.as_deref()).await?;
    let planned = select(&context.job, None, frame).and_then(|planned| {
        let table = TableSchema::new(&context.job.load, &planned.schema, &context.job.key)?;
        Ok((planned, table))
    });
    let planned = match planned {
        Ok((planned, table)) => load.prepare(table).await.map(|()| planned),
        Err(error) => Err(error),
    };
    let planned = match planned {
        Ok(planned) => planned,
        Err(error) => return Err(load.fail(error).await),
    };
    let scores: Vec<String> =
        mark(SCORES).into_iter().flat_map(|s| s.lines().map(str::to_owned).collect::<Vec<_>>()).collect();
    let version = model.as_deref().and_then(crate::models::reference::label_parts);
    let lineage = load.lineage(version.map(|(name, version)| (name.to_owned(), version)));
    let source = BatchSource::Whole(Box::new(planned.frame.clone()));
    let streamed = stream(context, report, (planned, source), &mut load, (&lineage, &scores)).await;
    let extraction = Extraction { inputs: report.inputs.clone(), ..Extraction::default() };
    let gated = async {
        let mut evidence = streamed.map_err(|stop| diagnose_failure(stop, &context.job, &extraction))?;
        gates::enforce(&context.job, report, &mut evidence, Some(&mut load)).await?;
        let version = model.as_deref().and_then(crate::models::reference::label_parts).map(|(_, version)| version);
        let folder = context
            .job
            .score
            .as_ref()
            .zip(version)
            .map(|(score, version)| score.model.family(&context.project.root).join(version.to_string()));
        score_gates::enforce(context, report, &evidence, &mut load, folder.as_deref()).await?;
        Ok(evidence)
    }
    .await;
    finish_load(context, report, load, gated).await.map(|_| ())
}

enum WriteError {
    Plan(polars::prelude::PolarsError),
    Other(Error),
}

fn explain_write(error: WriteError, context: &Context, extraction: &Extraction) -> Error {
    match error {
        WriteError::Other(error) => error,
        WriteError::Plan(error) => diagnose_failure(Stop::Engine(error), &context.job, extraction),
    }
}

/// Streams a plan into a Parquet file.
fn write_frame(
    context: &Context,
    mut frame: LazyFrame,
    out: &Path,
    sources: (String, String),
) -> Result<WrittenFile, WriteError> {
    let schema = frame.collect_schema().map_err(WriteError::Plan)?;
    let empty =
        arrow_bridge::to_batch(&polars::prelude::DataFrame::empty_with_schema(&schema)).map_err(WriteError::Other)?;
    let writer =
        Writer::create(out, &empty.schema(), &[marks(context), vec![sources]].concat()).map_err(WriteError::Other)?;
    let state = Arc::new(std::sync::Mutex::new((writer, None::<Error>)));
    let (shared, progress) = (state.clone(), context.progress.clone());
    let each: transform::Each = Arc::new(move |batch| {
        let mut state = shared.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        progress.transformed.add(batch.height() as u64);
        let written =
            progress.check().and_then(|()| arrow_bridge::to_batch(&batch)).and_then(|batch| state.0.write(&batch));
        let failed = written.err();
        let go_on = failed.is_none();
        state.1 = state.1.take().or(failed);
        go_on
    });
    let streamed = transform::stream(frame, context.job.batch_rows, each);
    let mutex = Arc::try_unwrap(state).map_err(|_| WriteError::Other(Error::defect("the engine kept a file open")))?;
    let (writer, failed) = mutex.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner());
    match (failed, streamed) {
        (Some(error), _) => Err(WriteError::Other(error)),
        (None, Err(error)) => Err(WriteError::Plan(error)),
        (None, Ok(())) => writer.finish().map_err(WriteError::Other),
    }
}

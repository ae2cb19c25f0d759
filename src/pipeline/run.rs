//! One interval, from records to published rows: the order of things, and what a failure means.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::batch_source;
use super::context::{Context, Sessions};
use super::evidence::{Evidence, Looks};
use super::flow::{BatchSource, Stop, Work};
use super::plan::{Planned, plan};
use super::report::{ModelReport, RunReport};
use super::{gates, score_gates, sink};
use crate::error::{Class, Error, Result};
use crate::extract::{self, Extraction};
use crate::failpoints;
use crate::fingerprint::{Fingerprint, Source};
use crate::interval::Interval;
use crate::ledger::{AttemptId, Db, End};
use crate::load::{Attempt, Load};
use crate::models::Bundle;
use crate::progress::Stage;
use crate::project::Job;
use crate::project::job::OnEmpty;
use crate::quality::profile::StoredProfile;
use crate::rows::Lineage;
use crate::run_state::RunState;
use crate::transform;
use crate::warehouse::table::TableSchema;

/// Between two looks at an interval that another run holds.
const LOOK_AGAIN: Duration = Duration::from_millis(200);

/// Extracts, transforms, scores and loads in one streamed pass.
pub async fn run(context: &Context, sessions: &mut Sessions, report: &mut RunReport) -> Result<()> {
    let Context { project, job, interval, progress, .. } = context;
    progress.enter(Stage::Prepare);
    job.require_interval()?;
    let bundle = open_bundle(context, report)?;
    let model = bundle.as_ref().map(|b| b.label());
    let mut load = begin_load(context, &mut sessions.warehouse, report, model.as_deref()).await?;
    let at = Instant::now();
    let listening = transform::warnings::Listening::begin();
    let prepared = async {
        progress.enter(Stage::Extract);
        let driving = |tables: &[_]| batch_source::driving(job, interval, tables);
        let (cache, sources) = (&context.shared.cache, &mut sessions.sources);
        let means = extract::ExtractContext { cache, sessions: sources, progress, driving: Some(&driving) };
        let extraction = extract::extract(project, job, interval, means).await?;
        record_inputs(report, &extraction);
        report.warnings.extend(extraction.warnings.iter().cloned());
        let mut planned = plan(job, bundle.as_ref(), &extraction.tables, interval)?;
        report.lineage = std::mem::take(&mut planned.columns);
        load.prepare(TableSchema::new(&job.load, &planned.schema, &job.key)?).await?;
        Ok((extraction, planned))
    };
    let (mut extraction, planned) = match prepared.await {
        Ok(prepared) => prepared,
        Err(error) => return Err(load.fail(error).await),
    };
    report.stage("extract", at.elapsed().as_secs_f64());
    let at = Instant::now();
    let (planned, source) = batch_source::of(context, bundle.as_ref(), &mut extraction, planned);
    let scores = planned.layout.outputs.clone();
    let lineage = load.lineage(bundle.as_ref().map(|b| (b.name.clone(), b.version)));
    let streamed = stream(context, report, (planned, source), &mut load, (&lineage, &scores)).await;
    let gated = async {
        let mut evidence = streamed.map_err(|stop| diagnose_failure(stop, job, &extraction))?;
        let busy = extraction.arrive(&context.shared.cache, &mut sessions.sources).await?;
        report.stage("extract", busy.as_secs_f64());
        record_inputs(report, &extraction);
        report.fingerprint = Some(fingerprint(context, bundle.as_deref(), &extraction));
        extraction.inputs.iter().filter_map(|input| input.file.as_ref()).try_for_each(|file| file.recheck())?;
        gates::enforce(job, report, &mut evidence, Some(&mut load)).await?;
        score_gates::enforce(context, report, &evidence, &mut load, bundle.as_ref().map(|b| b.folder.as_path()))
            .await?;
        Ok(evidence)
    }
    .await;
    report.warnings.extend(listening.end());
    report.stage("stream", at.elapsed().as_secs_f64());
    sessions.warehouse = finish_load(context, report, load, gated).await?;
    Ok(())
}

/// Opens the job's model and records which it is.
pub fn open_bundle(context: &Context, report: &mut RunReport) -> Result<Option<Arc<Bundle>>> {
    let Some(score) = &context.job.score else { return Ok(None) };
    let reference = context.model.as_ref().unwrap_or(&score.model);
    let bundle = context.shared.models.open(&context.project.root, reference, chrono::Utc::now())?;
    report.model = Some(ModelReport::of(&bundle));
    Ok(Some(bundle))
}

/// What makes the rows of this run.
fn fingerprint(context: &Context, bundle: Option<&Bundle>, extraction: &Extraction) -> Fingerprint {
    let root = &context.project.root;
    let sources: Vec<Source> = extraction.inputs.iter().map(|input| input.source(root)).collect();
    Fingerprint::new(root, &context.job, bundle.map(|bundle| bundle.id().to_string()), &sources)
}

/// Takes the interval, waiting for it as long as the context says.
pub async fn begin_load(
    context: &Context,
    warehouse: &mut Option<Db>,
    report: &mut RunReport,
    model: Option<&str>,
) -> Result<Load> {
    report.table = Some(context.job.load.table.clone());
    report.config_digest = Some(context.job.config_digest.clone());
    let started = Instant::now();
    loop {
        let attempt = Attempt {
            project: &context.project,
            target: &context.target,
            id: AttemptId {
                run_id: report.run_id.clone(),
                job: context.job.name.clone(),
                interval: context.interval.clone(),
                model: model.map(str::to_owned),
                batch: context.batch.clone(),
            },
            after: report.generation,
            path: context.load_path,
        };
        match Load::begin(warehouse, attempt).await {
            Err(error) if error.class == Class::Locked && started.elapsed() < context.wait => {
                context.progress.check()?;
                tokio::time::sleep(LOOK_AGAIN).await;
            }
            load => {
                let load = load?;
                report.generation = Some(load.generation());
                report.stage("lock", started.elapsed().as_secs_f64());
                failpoints::at("after-lock");
                return Ok(load);
            }
        }
    }
}

pub fn record_inputs(report: &mut RunReport, extraction: &Extraction) {
    report.rows.extracted = extraction.inputs.iter().map(|input| input.rows).sum();
    report.rows.outside = extraction.inputs.iter().map(|input| input.outside + input.without_time).sum();
    report.inputs = extraction.inputs.clone();
}

/// Streams a plan into a load. Every row gets the lineage; `scores` are the published columns that are profiled.
pub async fn stream(
    context: &Context,
    report: &mut RunReport,
    (planned, source): (Planned, BatchSource),
    load: &mut Load,
    (lineage, scores): (&Lineage, &[String]),
) -> Result<Evidence, Stop> {
    let Context { job, progress, interval, .. } = context;
    progress.enter(Stage::Score);
    let looks =
        Looks::new(job, interval, planned.checked(scores), planned.looking(scores).hiding(&job.quarantine.redact))
            .map_err(Stop::Other)?;
    let work = Work {
        batch_rows: job.batch_rows,
        threads: context.threads,
        scoring: planned.scoring,
        layout: planned.layout,
        lineage: lineage.tail(),
        looks: Arc::new(looks),
        progress: progress.clone(),
    };
    sink::drain(work, source, load, report).await
}

/// A day without rows, of a job that has some every day.
pub fn no_rows(job: &Job, interval: &Interval) -> Error {
    Error::data(format!("{} {} gave no rows; nothing was published", job.name, interval.label()))
        .hint("if a day without rows is normal, set on_empty = \"replace\" or \"skip\" in the job file")
}

/// Publishes what was streamed, or ends the attempt; the warehouse's session when it can be used again.
pub async fn finish_load(
    context: &Context,
    report: &mut RunReport,
    load: Load,
    gated: Result<Evidence>,
) -> Result<Option<Db>> {
    let Context { job, interval, progress, .. } = context;
    let evidence = match gated {
        Ok(evidence) => evidence,
        Err(error) => return Err(load.fail(error).await),
    };
    let published = evidence.seen().published;
    let transformed = evidence.seen().transformed;
    if published == 0 && transformed > 0 && job.on_empty != OnEmpty::Replace {
        report.rejected = evidence.bad_rows().iter().take(gates::REJECTED).cloned().collect();
        let error = Error::data(format!(
            "{} {}: all {transformed} rows were put aside, left out or dropped; nothing was published",
            job.name,
            interval.label()
        ));
        let error =
            error.hint("a day of which no row is left is published only with on_empty = \"replace\" in the job file");
        return Err(load.fail(error).await);
    }
    if published == 0 {
        match job.on_empty {
            OnEmpty::Replace => {}
            OnEmpty::Skip => {
                report.state = RunState::Skipped;
                report
                    .warnings
                    .push(format!("{} has no rows; what was published before is untouched", interval.label()));
                let end = ending(context, report, RunState::Skipped, 0, "");
                load.end(End { report: report.value().to_string(), ..end }).await;
                return Ok(None);
            }
            OnEmpty::Error => {
                let error = no_rows(job, interval);
                return Err(load.fail(error).await);
            }
        }
    }
    progress.enter(Stage::Commit);
    let at = Instant::now();
    let content_hash = evidence.content_hash();
    let profiles = evidence.seen().profiles.iter().map(StoredProfile::of).collect();
    let mut quarantined = evidence.bad_rows().to_vec();
    // Rows of a join come in no order of their own.
    quarantined.sort_by_cached_key(|row| serde_json::to_string(&(&row.key, &row.row)).unwrap_or_default());
    let end = End { profiles, quarantined, ..ending(context, report, RunState::Succeeded, published, &content_hash) };
    let unavailable = |e: Error| match e.class {
        Class::Unavailable => e.context(format!("target {}", context.target)),
        _ => e,
    };
    let committed = load.commit(end).await.map_err(unavailable)?;
    report.ledger_head = committed.head.map(|head| head.to_string());
    report.warnings.extend(committed.warnings);
    report.stage("commit", at.elapsed().as_secs_f64());
    Ok(committed.db)
}

/// What the ledger is told at the end of a run that read its sources.
fn ending<'a>(context: &Context, report: &RunReport, state: RunState, rows: u64, content_hash: &'a str) -> End<'a> {
    let text = |value: serde_json::Result<String>| value.unwrap_or_default();
    let read = report.inputs.iter().map(|input| input.source(&context.project.root));
    let sources: Vec<Source> = report.sources.clone().unwrap_or_else(|| read.collect());
    End {
        state,
        rows,
        rows_read: report.rows.extracted,
        content_hash,
        report: report.as_succeeded(),
        fingerprint: report.fingerprint.as_ref().map(|f| text(serde_json::to_string(f))).unwrap_or_default(),
        inputs: text(serde_json::to_string(&sources)),
        millis: report.elapsed().as_millis() as u64,
        ..End::default()
    }
}

/// A plan that failed may have failed because a file is damaged, which the engine does not say.
pub fn diagnose_failure(stop: Stop, job: &Job, extraction: &Extraction) -> Error {
    // A file that was replaced meanwhile explains anything, and will do when the run is made again.
    let changed = || extraction.inputs.iter().filter_map(|input| input.file.as_ref()?.recheck().err()).next();
    match stop {
        Stop::Other(error) if matches!(error.class, Class::Data | Class::Input | Class::Config) => {
            changed().unwrap_or(error)
        }
        Stop::Other(error) => error,
        Stop::Engine(error) => changed().unwrap_or_else(|| {
            let files = extraction.inputs.iter().filter(|input| input.by_engine);
            let damaged = files
                .filter_map(|input| extract::files::parquet::verify(std::path::Path::new(&input.from)).err())
                .next();
            damaged.unwrap_or_else(|| transform::run_error(&job.transform, &error))
        }),
    }
}

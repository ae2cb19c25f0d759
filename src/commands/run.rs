//! `run`, and its four stages apart.

use tracing::Instrument;

use crate::cli::{Global, IntervalArgs, LoadPath, Print, Run, ScoreArgs, StageArgs};
use crate::error::{Error, Result};
use crate::models::ModelRef;
use crate::output;
use crate::pipeline::preview::{Sample, preview};
use crate::pipeline::report::RunReport;
use crate::pipeline::{self, Context, stages};
use crate::progress::Progress;
use crate::project::BATCH_ROWS;
use crate::run_state::RunState;
use crate::warehouse::LoadPath as LoadsBy;

pub fn run(global: &Global, args: &Run) -> Result<u8> {
    let root = super::shared::root(global)?;
    let progress = Progress::default();
    // Who only looks leaves nothing behind.
    let artifacts = (!args.dry_run).then(|| root.join(".daymill"));
    let report = super::shared::reported(global, "run", artifacts, &progress, async |report| {
        let mut context = super::shared::context(global, &root, &args.job, &args.interval, &progress, report)?;
        context.load_path =
            args.load_path.map(|path| if path == LoadPath::Direct { LoadsBy::Direct } else { LoadsBy::Staged });
        context.wait = args.wait.unwrap_or_default();
        context.model = args.model.as_deref().map(ModelRef::required).transpose()?;
        if context.model.is_some() && context.job.score.is_none() {
            return Err(Error::usage(format!("the job {} has no [score], so --model has no meaning", args.job)));
        }
        if let Some(why) = after_the_last(&context) {
            report.state = RunState::Skipped;
            report.warnings.push(why);
            return Ok(());
        }
        if args.dry_run {
            let sample = args.print.map(|print| match print {
                Print::Features => Sample::Features,
                Print::Scores => Sample::Scores,
            });
            return preview(&context, report, args.limit, sample).await;
        }
        let mut sessions = pipeline::Sessions::default();
        let ran = pipeline::attempts::run(&context, &mut sessions, report, &output::warn).await;
        sessions.close().await;
        ran
    })?;
    Ok(if report.state == RunState::Skipped { args.skip_exit_code.unwrap_or(0) } else { 0 })
}

/// Why a scheduler's interval is none of the job's any more. One before the first date is a slip, and the missing source says so.
fn after_the_last(context: &Context) -> Option<String> {
    let job = &context.job;
    let ends = job.ends.filter(|ends| context.interval.date() > *ends)?;
    Some(format!(
        "{} is outside of the job's range (ends = \"{ends}\" in jobs/{}.toml); nothing was run",
        context.interval.label(),
        job.name
    ))
}

pub fn extract(global: &Global, args: &StageArgs) -> Result<u8> {
    if args.input.is_some() {
        return Err(Error::usage("extract reads the job's sources; --in has no meaning here"));
    }
    stage(global, "extract", args, async |context, report| {
        let out = args.out.clone().unwrap_or_else(|| stages::folder(context).join("extract"));
        stages::extract(context, report, &out).await
    })
}

pub fn transform(global: &Global, args: &StageArgs) -> Result<u8> {
    stage(global, "transform", args, async |context, report| {
        let folder = stages::folder(context);
        let input = args.input.clone().unwrap_or_else(|| folder.join("extract"));
        let out = args.out.clone().unwrap_or_else(|| folder.join("features.parquet"));
        stages::transform(context, report, &input, &out)
    })
}

pub fn load(global: &Global, args: &StageArgs) -> Result<u8> {
    if args.out.is_some() {
        return Err(Error::usage("load writes to the target's table; --out has no meaning here")
            .hint("choose the target with --target"));
    }
    stage(global, "load", args, async |context, report| {
        let left = if context.job.score.is_some() { "scores.parquet" } else { "features.parquet" };
        let input = args.input.clone().unwrap_or_else(|| stages::folder(context).join(left));
        stages::load(context, report, &input).await
    })
}

pub fn score(global: &Global, args: &ScoreArgs) -> Result<u8> {
    if args.model.is_some() {
        return score_loose(global, args);
    }
    let interval = IntervalArgs {
        date: args.date.clone(),
        start: args.start.clone(),
        end: args.end.clone(),
        as_of: args.as_of.clone(),
        allow_partial: args.allow_partial,
    };
    let stage_args = StageArgs {
        job: args.job.clone().unwrap_or_default(),
        interval,
        input: args.input.clone(),
        out: args.out.clone(),
    };
    stage(global, "score", &stage_args, async |context, report| {
        let folder = stages::folder(context);
        let input = args.input.clone().unwrap_or_else(|| folder.join("features.parquet"));
        let out = args.out.clone().unwrap_or_else(|| folder.join("scores.parquet"));
        stages::score(context, report, &input, &out).await
    })
}

fn stage(
    global: &Global,
    name: &str,
    args: &StageArgs,
    work: impl AsyncFnOnce(&Context, &mut RunReport) -> Result<()>,
) -> Result<u8> {
    let root = super::shared::root(global)?;
    let progress = Progress::default();
    super::shared::reported(global, name, Some(root.join(".daymill")), &progress, async |report| {
        let context = super::shared::context(global, &root, &args.job, &args.interval, &progress, report)?;
        if let Some(why) = after_the_last(&context) {
            report.state = RunState::Skipped;
            report.warnings.push(why);
            return Ok(());
        }
        let span = report.span();
        progress.work_on(span.clone());
        work(&context, report).instrument(span).await
    })?;
    Ok(0)
}

fn score_loose(global: &Global, args: &ScoreArgs) -> Result<u8> {
    let (Some(model), Some(input), Some(out)) = (&args.model, &args.input, &args.out) else {
        return Err(Error::usage("score --model needs --in and --out"));
    };
    let progress = Progress::default();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    super::shared::reported(global, "score", None, &progress, async |report| {
        let loose = stages::StandaloneScoring {
            bundle: super::shared::named(global, model)?,
            input,
            out,
            keep: &args.keep,
            batch_rows: args.batch_rows.map_or(BATCH_ROWS, |n| n as usize),
            threads: global.threads.map_or(cores, usize::from),
            progress: progress.clone(),
        };
        stages::score_loose(loose, report).await
    })?;
    Ok(0)
}

//! What subcommands share: finding the project, watching for signals, writing run.json.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::terminal;
use crate::cli::{Global, IntervalArgs, Output};
use crate::error::{Class, Error, Result};
use crate::interval::{Selection, resolve};
use crate::models::Bundle;
use crate::models::ModelRef;
use crate::models::cache::find;
use crate::output;
use crate::pipeline::Context;
use crate::pipeline::report::RunReport;
use crate::progress::Progress;
use crate::project::{Job, Project};

/// The project's folder, before anything in it is read.
pub fn root(global: &Global) -> Result<PathBuf> {
    let here = || std::env::current_dir().map_err(|e| Error::new(Class::Io, "there is no current folder").cause(e));
    let start = global.project.clone().map_or_else(here, Ok)?;
    let root = Project::find(&start)?;
    output::below(&root);
    Ok(root)
}

/// An id, or enough of its beginning to mean one.
pub fn id(text: &str) -> Result<&str> {
    match text.len() {
        0..4 => Err(Error::usage(format!("{text:?} is too little of an id")).hint("list them with: daymill runs")),
        _ => Ok(text),
    }
}

/// The project and the name of its target.
pub fn project(global: &Global) -> Result<(Project, String)> {
    let project = Project::open(&root(global)?)?;
    let target = project.target_name(global.target.as_deref())?;
    Ok((project, target))
}

/// The project, the name of its target, and a job of it.
pub fn job(global: &Global, name: &str) -> Result<(Project, String, Job)> {
    let (project, target) = project(global)?;
    let job = project.job(name, &target)?;
    Ok((project, target, job))
}

pub fn threads(global: &Global, project: &Project) -> usize {
    let cores = || std::thread::available_parallelism().map_or(1, usize::from);
    global.threads.map(usize::from).or(Some(project.threads).filter(|n| *n > 0)).unwrap_or_else(cores)
}

pub fn runtime() -> Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|e| Error::new(Class::Io, "cannot start the runtime").cause(e))
}

fn selection(args: &IntervalArgs) -> Selection {
    match (&args.date, &args.start, &args.end, &args.as_of) {
        (Some(date), ..) => Selection::Date(date.clone()),
        (_, Some(start), Some(end), _) => Selection::Span { start: start.clone(), end: end.clone() },
        (.., as_of) => Selection::AsOf(as_of.clone().unwrap_or_default()),
    }
}

/// Project, job and interval, resolved; what is known goes into the report as soon as it is known.
pub fn context(
    global: &Global,
    root: &std::path::Path,
    job: &str,
    interval: &IntervalArgs,
    progress: &Progress,
    report: &mut RunReport,
) -> Result<Context> {
    report.job = Some(job.to_owned());
    let project = Project::open(root)?;
    let target = project.target_name(global.target.as_deref())?;
    report.target = Some(target.clone());
    let job = project.job(job, &target)?;
    let interval = resolve(&selection(interval), job.grain, job.zone, chrono::Utc::now(), interval.allow_partial)?;
    report.of_interval(&interval);
    progress.of(format!("{} {}", job.name, interval.label()));
    let threads = threads(global, &project);
    let context = Context::new(Arc::new(project), Arc::new(job), &target, interval, threads);
    Ok(Context { progress: progress.clone(), ..context })
}

/// What every run of a stage does around its own work: a report on every path, the bar, the signals, the result.
pub fn reported(
    global: &Global,
    command: &str,
    artifacts: Option<PathBuf>,
    progress: &Progress,
    work: impl AsyncFnOnce(&mut RunReport) -> Result<()>,
) -> Result<RunReport> {
    let mut report = RunReport::new(command);
    let runtime = runtime()?;
    let result = runtime.block_on(async {
        terminal::signals(progress);
        let watching = terminal::show(global, progress);
        let result = work(&mut report).await;
        watching.stop().await;
        result
    });
    // A thread that is still scoring a batch nobody waits for does not hold the exit up.
    runtime.shutdown_background();
    report.close(&result);
    // What could not be run at all is no run.
    let ran = result.as_ref().err().is_none_or(|error| error.class != Class::Usage);
    let written = artifacts.filter(|_| ran).map(|folder| keep(&report, &folder)).transpose();
    let span = progress.span().unwrap_or_else(|| report.span());
    let _about = span.enter();
    terminal::ended(global, &report);
    for warning in &report.warnings {
        output::warn(warning);
    }
    if global.output == Output::Json {
        output::json(report.value())?;
    }
    if let Err(error) = result {
        // What was looked at is wanted most when something is wrong with it.
        if report.preview.is_some() && global.output == Output::Human {
            output::result(&output::ended(&report))?;
        }
        if let Ok(Some(path)) = &written {
            tracing::info!("run.json: {}", path.display());
        }
        let interval = report.interval.as_ref().map_or("", |interval| interval.label.as_str());
        output::speak_of(&report.run_id, report.job.as_deref().unwrap_or_default(), interval);
        return Err(error);
    }
    written?;
    if global.output == Output::Human {
        output::result(&output::ended(&report))?;
    }
    Ok(report)
}

/// Writes run.json, and removes the oldest folders of runs beyond those that the project keeps.
fn keep(report: &RunReport, folder: &Path) -> Result<PathBuf> {
    let written = report.write(folder)?;
    if let Some(project) = folder.parent().and_then(|root| Project::open(root).ok()) {
        super::run_folders::prune(folder, project.keep_runs, &report.run_id);
    }
    Ok(written)
}

/// What a command that is proposed must say to mean this target.
pub fn target_flag(project: &Project, target: &str) -> String {
    let said = std::env::var("DAYMILL_TARGET").ok().filter(|name| !name.is_empty());
    match project.target_name(said.as_deref()) {
        Ok(usual) if usual == target => String::new(),
        _ => format!(" --target {target}"),
    }
}

/// Writes a file, and the folders above it.
pub fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).map_err(|e| Error::io(parent, "create", &e))?;
    }
    std::fs::write(path, bytes).map_err(|e| Error::io(path, "write", &e))
}

/// A bundle by its folder, or as `folder@alias` or `folder@version` of the project.
pub fn named(global: &Global, model: &str) -> Result<Bundle> {
    match Path::new(model).join("model.toml").exists() {
        true => Bundle::open(Path::new(model)),
        false => find(&root(global)?, &ModelRef::required(model)?),
    }
}

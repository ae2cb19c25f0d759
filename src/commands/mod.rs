//! One file per subcommand, and what they share: finding the project, watching for signals, writing run.json.

mod backfill;
mod bars;
mod cases;
mod check;
mod init;
mod ledger;
mod models;
mod run;
mod show;
mod status;
mod terminal;

use std::path::PathBuf;
use std::sync::Arc;

use crate::cli::{Cli, Command, Global, IntervalArgs, Output};
use crate::error::{Class, Error, Result};
use crate::interval::{Selection, resolve};
use crate::logging::{self, Verbosity};
use crate::output;
use crate::pipeline::Context;
use crate::pipeline::report::RunReport;
use crate::progress::Progress;
use crate::project::Project;

/// Runs a command; the exit code when it is not an error.
pub fn run(cli: &Cli) -> Result<u8> {
    let json = cli.global.log_format == crate::cli::LogFormat::Json;
    if json {
        output::log_json();
    }
    logging::start(json, if cli.global.quiet { Verbosity::Quiet } else { Verbosity::More(cli.global.verbose) })?;
    crate::postgres::liveness::tell_waits(output::warn);
    engine_threads()?;
    match &cli.command {
        Command::Init { folder } => init::init(folder),
        Command::Run(args) => run::run(&cli.global, args),
        Command::Extract(args) => run::extract(&cli.global, args),
        Command::Transform(args) => run::transform(&cli.global, args),
        Command::Score(args) => run::score(&cli.global, args),
        Command::Load(args) => run::load(&cli.global, args),
        Command::Check { job, offline, lineage } => check::check(&cli.global, job.as_deref(), *offline, *lineage),
        Command::Test { job, case, bless } => cases::test(&cli.global, job.as_deref(), case.as_deref(), *bless),
        Command::Backfill(args) => backfill::backfill(&cli.global, args),
        Command::Plan(args) => backfill::plan(&cli.global, args),
        Command::Apply(args) => backfill::apply(&cli.global, args),
        Command::Retry(args) => backfill::retry(&cli.global, args),
        Command::Status(args) => status::status(&cli.global, args),
        Command::Runs { job, tail: true, .. } => show::tail(&cli.global, job.as_deref()),
        Command::Runs { job, limit, .. } => show::runs(&cli.global, job.as_deref(), *limit),
        Command::Ledger(command) => ledger::ledger(&cli.global, command),
        Command::Models(command) => models::models(&cli.global, command),
        Command::Show { run } => show::show(&cli.global, run),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(*shell, &mut <Cli as clap::CommandFactory>::command(), "daymill", &mut script);
            output::raw(&script);
            Ok(0)
        }
    }
}

/// The engine ends the process at a number of threads that is none.
fn engine_threads() -> Result<()> {
    const NAME: &str = "POLARS_MAX_THREADS";
    match std::env::var(NAME) {
        Ok(text) if !text.parse::<usize>().is_ok_and(|n| n > 0) => {
            Err(Error::config(format!("the environment variable {NAME} is {text:?}, which is no number of threads"))
                .hint("set it to 1 or more, or unset it"))
        }
        _ => Ok(()),
    }
}

/// The project's folder, before anything in it is read.
fn root(global: &Global) -> Result<PathBuf> {
    let here = || std::env::current_dir().map_err(|e| Error::new(Class::Io, "there is no current folder").cause(e));
    let start = global.project.clone().map_or_else(here, Ok)?;
    Project::find(&start)
}

/// An id, or enough of its beginning to mean one.
fn id(text: &str) -> Result<&str> {
    match text.len() {
        0..4 => Err(Error::usage(format!("{text:?} is too little of an id")).hint("list them with: daymill runs")),
        _ => Ok(text),
    }
}

/// The project and the name of its target.
fn project(global: &Global) -> Result<(Project, String)> {
    let project = Project::open(&root(global)?)?;
    let target = project.target_name(global.target.as_deref())?;
    Ok((project, target))
}

fn threads(global: &Global, project: &Project) -> usize {
    let cores = || std::thread::available_parallelism().map_or(1, usize::from);
    global.threads.map(usize::from).or(Some(project.threads).filter(|n| *n > 0)).unwrap_or_else(cores)
}

fn runtime() -> Result<tokio::runtime::Runtime> {
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
fn context(
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
    let threads = threads(global, &project);
    let context = Context::new(Arc::new(project), Arc::new(job), &target, interval, threads);
    Ok(Context { progress: progress.clone(), ..context })
}

/// What every run of a stage does around its own work: a report on every path, the bar, the signals, the result.
fn reported(
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
    let written = artifacts.map(|folder| report.write(&folder)).transpose();
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
        if let Ok(Some(path)) = &written {
            tracing::info!("run.json: {}", path.display());
        }
        let interval = report.interval.as_ref().map_or("", |interval| interval.label.as_str());
        output::speak_of(&report.run_id, report.job.as_deref().unwrap_or_default(), interval);
        return Err(error);
    }
    written?;
    if global.output == Output::Human {
        output::result(&output::summary(&report))?;
    }
    Ok(report)
}

//! Runs the command that was asked for.

use super::{
    backfill, cases, check, drift, init, jobs, ledger, models, new_job, profile, propose, quarantine, report, run,
    schema, show, status,
};
use crate::cli::{Cli, Command, New};
use crate::error::{Error, Result};
use crate::logging::{self, Verbosity};
use crate::output;

/// Runs a command; the exit code when it is not an error.
pub fn dispatch(cli: &Cli) -> Result<u8> {
    let json = cli.global.log_format == crate::cli::LogFormat::Json;
    if json {
        output::log_json();
    }
    logging::start(json, if cli.global.quiet { Verbosity::Quiet } else { Verbosity::More(cli.global.verbose) })?;
    crate::postgres::liveness::tell_waits(output::warn);
    engine_threads()?;
    match &cli.command {
        Command::Init { folder, example } => init::init(folder, *example),
        Command::New(New::Job(args)) => new_job::new_job(&cli.global, args),
        Command::Jobs => jobs::jobs(&cli.global),
        Command::Run(args) => run::run(&cli.global, args),
        Command::Extract(args) => run::extract(&cli.global, args),
        Command::Transform(args) => run::transform(&cli.global, args),
        Command::Score(args) => run::score(&cli.global, args),
        Command::Load(args) => run::load(&cli.global, args),
        Command::Check { job: Some(job), propose: true, .. } => propose::propose(&cli.global, job),
        Command::Check { job, offline, lineage, .. } => check::check(&cli.global, job.as_deref(), *offline, *lineage),
        Command::Profile(args) => profile::profile(&cli.global, args),
        Command::Drift(args) => drift::drift(&cli.global, args),
        Command::Report(args) => report::report(&cli.global, args),
        Command::Quarantine(command) => quarantine::quarantine(&cli.global, command),
        Command::Test(args) => cases::test(&cli.global, args),
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
        Command::Schema { file: Some(file), .. } => schema::print(*file),
        Command::Schema { file: None, .. } => schema::write(&cli.global),
        Command::Man { folder } => {
            std::fs::create_dir_all(folder).map_err(|e| Error::io(folder, "create", &e))?;
            clap_mangen::generate_to(<Cli as clap::CommandFactory>::command(), folder)
                .map_err(|e| Error::io(folder, "write", &e))?;
            Ok(0)
        }
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

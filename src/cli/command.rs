//! The program, what every command takes, and the commands.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use super::models::{Models, New};
use super::quality::{Drift, Profile, Quarantine, Report};
use super::runs::{Apply, Backfill, PlanArgs, Retry, Run, ScoreArgs, StageArgs, Status};
use super::tests::Test;
use super::words::{Example, LogFormat, Output, SchemaOf};

#[derive(Parser, Debug)]
#[command(
    name = "daymill",
    version,
    about = "A day's records in, a day's predictions out, exactly once",
    max_term_width = 100,
    after_help = "Exit codes: 0 done, 1 gaps (status --exit-code), 2 usage, 3 some intervals of a backfill failed, 65 data, 66 model or input file, 69 database unavailable, 70 defect, 74 I/O, \
                  75 locked, 76 fenced, 77 commit in doubt, 78 configuration, 130 and 143 signals."
)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
    #[command(flatten)]
    pub global: Global,
}

#[derive(Args, Debug, Clone)]
pub struct Global {
    /// The project's folder [default: the nearest one with a daymill.toml]
    #[arg(long, global = true, env = "DAYMILL_PROJECT", value_name = "DIR", help_heading = "Global options")]
    pub project: Option<PathBuf>,
    /// Where predictions go: a [target.NAME] of daymill.toml
    #[arg(long, global = true, env = "DAYMILL_TARGET", value_name = "NAME", help_heading = "Global options")]
    pub target: Option<String>,
    /// What stdout carries: a table for people, or one line of JSON
    #[arg(
        long,
        global = true,
        env = "DAYMILL_OUTPUT",
        value_enum,
        default_value = "human",
        help_heading = "Global options"
    )]
    pub output: Output,
    /// How stderr speaks: a bar on a terminal and lines elsewhere, always lines, or lines of JSON
    #[arg(
        long,
        global = true,
        env = "DAYMILL_LOG_FORMAT",
        value_enum,
        default_value = "auto",
        help_heading = "Global options"
    )]
    pub log_format: LogFormat,
    /// More of the log: -v what each stage does, -vv every batch too [env: DAYMILL_LOG=debug]
    #[arg(short, long, global = true, action = clap::ArgAction::Count, conflicts_with = "quiet", help_heading = "Global options")]
    pub verbose: u8,
    /// Only warnings and errors
    #[arg(short, long, global = true, help_heading = "Global options")]
    pub quiet: bool,
    /// Scoring threads [default: one per core]
    #[arg(long, global = true, env = "DAYMILL_THREADS", value_name = "N", value_parser = clap::value_parser!(u16).range(1..=512), help_heading = "Global options")]
    pub threads: Option<u16>,
}

impl Global {
    /// Whether progress is drawn: a bar would be torn by lines.
    pub fn draws_bars(&self) -> bool {
        let asked = std::env::var_os("DAYMILL_LOG").is_some_and(|text| !text.is_empty());
        let plain = self.log_format == LogFormat::Auto && self.verbose == 0 && !self.quiet && !asked;
        plain && std::io::IsTerminal::is_terminal(&std::io::stderr())
    }
}

#[derive(Subcommand, Debug)]
pub enum Command {
    /// Write a new project: an empty one, or an example that runs
    Init {
        /// The new folder
        #[arg(default_value = ".")]
        folder: PathBuf,
        /// A project that runs: eight days of real flights, a trained model, and two jobs
        #[arg(long, value_enum, value_name = "NAME")]
        example: Option<Example>,
    },
    /// Write a new job from what its source and its model say
    #[command(subcommand)]
    New(New),
    /// The jobs of the project, and what each scores with and writes
    Jobs,
    /// Run one interval of a job: extract, transform, score and load in one pass
    Run(Run),
    /// Run many intervals: those that are missing or failed, stale, or all
    Backfill(Backfill),
    /// Say which intervals would run and why, and change nothing
    Plan(PlanArgs),
    /// Run a plan that was written down, if the ledger has not moved since
    Apply(Apply),
    /// Run again exactly the intervals of a run or a backfill
    Retry(Retry),
    /// How every interval of a job stands: a calendar, gaps first
    Status(Status),
    /// Only extract: leave each table of the interval as Parquet
    Extract(StageArgs),
    /// Only transform: leave the features of the interval as Parquet
    Transform(StageArgs),
    /// Only score: a job's interval, or any Parquet file with --model
    Score(ScoreArgs),
    /// Only load: publish the scores of the interval
    Load(StageArgs),
    /// Say everything that can be known without running
    Check {
        /// One job [default: all]
        job: Option<String>,
        /// Do not connect to anything
        #[arg(long)]
        offline: bool,
        /// Also print what each column of the transform is made of
        #[arg(long)]
        lineage: bool,
        /// Print rules that the last 28 published intervals have kept, as they would stand in the job file
        #[arg(long, requires = "job", conflicts_with_all = ["offline", "lineage"])]
        propose: bool,
    },
    /// What the values of each feature, score and column of a published interval are
    Profile(Profile),
    /// Which columns have moved away from what they were
    Drift(Drift),
    /// Write a page about a job: calendar, rows, scores, drift, gates, rows put aside
    Report(Report),
    /// Rows that broke a rule and were put aside
    #[command(subcommand)]
    Quarantine(Quarantine),
    /// Run the fixture cases of the jobs, hermetically
    Test(Test),
    /// The newest runs of the ledger
    Runs {
        /// One job [default: all]
        job: Option<String>,
        /// How many
        #[arg(long, short = 'n', default_value_t = 20, value_name = "N")]
        limit: u16,
        /// Stay, and print each run as it begins and ends
        #[arg(long)]
        tail: bool,
    },
    /// One run in full
    Show {
        /// A run's or a backfill's id, or its beginning; or "latest"
        #[arg(default_value = "latest")]
        run: String,
    },
    /// The ledger itself
    #[command(subcommand)]
    Ledger(Ledger),
    /// Models and which version of them is meant
    #[command(subcommand)]
    Models(Models),
    /// Print the JSON Schema of a kind of file, for editors
    Schema {
        /// Which
        #[arg(value_enum, required_unless_present = "write", conflicts_with = "write")]
        file: Option<SchemaOf>,
        /// Write all of them into schemas/ of the project, where its files look for them
        #[arg(long)]
        write: bool,
    },
    /// Write the man pages into a folder
    #[command(hide = true)]
    Man { folder: PathBuf },
    /// Write a shell's completion script to stdout
    Completions {
        #[arg(value_enum)]
        shell: clap_complete::Shell,
    },
}

#[derive(Subcommand, Debug)]
pub enum Ledger {
    /// Check the chain of events from the first to the last, and the ledger against it
    Verify {
        /// Also read this job's published rows back and compare them with their hashes
        #[arg(long, value_name = "JOB")]
        rows: Option<String>,
        /// A head that was written down elsewhere, as a run printed it (N:HASH)
        #[arg(long, value_name = "N:HASH")]
        head: Option<String>,
    },
    /// Print the head of the chain, to be written down elsewhere
    Head,
}

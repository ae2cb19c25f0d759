//! The command line, declared. No behaviour.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

#[derive(Parser, Debug)]
#[command(
    name = "daymill",
    version,
    about = "A day's records in, a day's predictions out, exactly once",
    max_term_width = 100,
    after_help = "Exit codes: 0 done, 2 usage, 65 data, 66 model or input file, 69 database unavailable, 70 defect, 74 I/O, \
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
    /// Scoring threads [default: one per core]
    #[arg(long, global = true, env = "DAYMILL_THREADS", value_name = "N", value_parser = clap::value_parser!(u16).range(1..=512), help_heading = "Global options")]
    pub threads: Option<u16>,
}

#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    Human,
    Json,
}

#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    Auto,
    Text,
    Json,
}

#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoadPath {
    Direct,
    Staged,
}

#[derive(Subcommand, Debug)]
pub enum Command {
    /// Write a project that runs
    Init {
        /// The new folder
        #[arg(default_value = ".")]
        folder: PathBuf,
    },
    /// Run one interval of a job: extract, transform, score and load in one pass
    Run(Run),
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
    },
    /// Run the fixture cases of the jobs, hermetically
    Test {
        /// One job [default: all]
        job: Option<String>,
        /// Only the cases whose name contains this
        #[arg(long, value_name = "TEXT")]
        case: Option<String>,
        /// Rewrite what is expected with what came out
        #[arg(long)]
        bless: bool,
    },
    /// The newest runs of the ledger
    Runs {
        /// One job [default: all]
        job: Option<String>,
        /// How many
        #[arg(long, short = 'n', default_value_t = 20, value_name = "N")]
        limit: u16,
    },
    /// One run in full
    Show {
        /// A run's id or its beginning; or "latest"
        #[arg(default_value = "latest")]
        run: String,
    },
    /// Write a shell's completion script to stdout
    Completions {
        #[arg(value_enum)]
        shell: clap_complete::Shell,
    },
}

/// Which interval.
#[derive(Args, Debug, Clone)]
#[group(skip)]
pub struct IntervalArgs {
    /// The interval of this date in the job's time zone (2013-06-08; 2013-06-08T13 for an hourly job)
    #[arg(long, value_name = "DATE", required_unless_present_any = ["start", "as_of"], conflicts_with_all = ["start", "as_of"])]
    pub date: Option<String>,
    /// The interval that starts at this instant
    #[arg(long, value_name = "TIME", requires = "end", conflicts_with = "as_of")]
    pub start: Option<String>,
    /// ... and ends before this one
    #[arg(long, value_name = "TIME", requires = "start")]
    pub end: Option<String>,
    /// The last interval complete at this instant: what a scheduler should pass
    #[arg(long, value_name = "TIME")]
    pub as_of: Option<String>,
    /// Process an interval that has not ended
    #[arg(long)]
    pub allow_partial: bool,
}

#[derive(Args, Debug)]
pub struct Run {
    /// The name of a file jobs/JOB.toml
    pub job: String,
    #[command(flatten)]
    pub interval: IntervalArgs,
    /// Exit with this code when an empty interval was skipped (Airflow reads 99 as "skipped")
    #[arg(long, value_name = "CODE")]
    pub skip_exit_code: Option<u8>,
    /// How rows reach a Postgres table
    #[arg(long, value_enum, hide = true)]
    pub load_path: Option<LoadPath>,
}

#[derive(Args, Debug)]
pub struct StageArgs {
    /// The name of a file jobs/JOB.toml
    pub job: String,
    #[command(flatten)]
    pub interval: IntervalArgs,
    /// What the stage before left [default: .daymill/stages/JOB/INTERVAL]
    #[arg(long = "in", value_name = "PATH")]
    pub input: Option<PathBuf>,
    /// Where to leave the result [default: .daymill/stages/JOB/INTERVAL]
    #[arg(long, value_name = "PATH")]
    pub out: Option<PathBuf>,
}

#[derive(Args, Debug)]
#[group(skip)]
pub struct ScoreArgs {
    /// A job; or none, with --model
    #[arg(required_unless_present = "model", conflicts_with = "model")]
    pub job: Option<String>,
    /// The interval of this date in the job's time zone
    #[arg(long, value_name = "DATE", required_unless_present_any = ["start", "as_of", "model"], conflicts_with_all = ["start", "as_of", "model"])]
    pub date: Option<String>,
    /// The interval that starts at this instant
    #[arg(long, value_name = "TIME", requires = "end", conflicts_with_all = ["as_of", "model"])]
    pub start: Option<String>,
    /// ... and ends before this one
    #[arg(long, value_name = "TIME", requires = "start")]
    pub end: Option<String>,
    /// The last interval complete at this instant
    #[arg(long, value_name = "TIME", conflicts_with = "model")]
    pub as_of: Option<String>,
    /// Process an interval that has not ended
    #[arg(long)]
    pub allow_partial: bool,
    /// A bundle's folder: score any Parquet file, without a job
    #[arg(long, value_name = "BUNDLE", requires = "input", requires = "out")]
    pub model: Option<PathBuf>,
    /// The features
    #[arg(long = "in", value_name = "PATH")]
    pub input: Option<PathBuf>,
    /// Where to leave the scores
    #[arg(long, value_name = "PATH")]
    pub out: Option<PathBuf>,
    /// Columns of the input to keep beside the scores
    #[arg(long, value_name = "COLUMNS", value_delimiter = ',', requires = "model")]
    pub keep: Vec<String>,
    /// Rows per batch
    #[arg(long, value_name = "N", requires = "model", value_parser = clap::value_parser!(u32).range(1..))]
    pub batch_rows: Option<u32>,
}

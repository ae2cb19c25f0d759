//! The command line, declared. No behaviour.

use std::path::PathBuf;
use std::time::Duration;

use crate::score::import::Iterations;
use clap::{Args, Parser, Subcommand, ValueEnum};

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
pub enum Only {
    /// Never published
    Missing,
    /// The last attempt failed
    Failed,
    /// Published by another model, SQL or job file, or from a source that changed since
    Stale,
    /// All of them, published or not
    All,
}

#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    Oldest,
    Newest,
}

#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Example {
    Flights,
}

#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Print {
    Features,
    Scores,
}

#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoadPath {
    Direct,
    Staged,
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
    /// The interval of this date in the job's time zone: 2013-06-08, today, yesterday, -3d; of an hourly job 2013-06-08T13, -1h
    #[arg(long, value_name = "DATE", allow_hyphen_values = true, required_unless_present_any = ["start", "as_of"], conflicts_with_all = ["start", "as_of"])]
    pub date: Option<String>,
    /// The interval that starts at this instant
    #[arg(long, value_name = "TIME", requires = "end", conflicts_with = "as_of")]
    pub start: Option<String>,
    /// The instant before which that interval ends
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
    /// Score with this model in place of the job's, as folder@3, folder@champion or a bundle's folder
    #[arg(long, value_name = "MODEL")]
    pub model: Option<String>,
    /// Look before you publish: read, transform, score and ask every check, and write nothing
    #[arg(long, conflicts_with_all = ["wait", "skip_exit_code"])]
    pub dry_run: bool,
    /// Only the first rows of the transform; checks are not asked then
    #[arg(long, value_name = "ROWS", requires = "dry_run", value_parser = clap::value_parser!(u32).range(1..))]
    pub limit: Option<u32>,
    /// Print the first rows too, 10 or as many as --limit says: those of the transform, or those to publish
    #[arg(long, value_enum, value_name = "WHAT", requires = "dry_run")]
    pub print: Option<Print>,
    /// Wait this long for an interval that another run holds, as in 90s or 10m
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub wait: Option<Duration>,
    /// Exit with this code when nothing was run: an empty interval was skipped, or it is outside of the job's range (Airflow
    /// reads 99 as "skipped")
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
    #[arg(long, value_name = "DATE", allow_hyphen_values = true, required_unless_present_any = ["start", "as_of", "model"], conflicts_with_all = ["start", "as_of", "model"])]
    pub date: Option<String>,
    /// The interval that starts at this instant
    #[arg(long, value_name = "TIME", requires = "end", conflicts_with_all = ["as_of", "model"])]
    pub start: Option<String>,
    /// The instant before which that interval ends
    #[arg(long, value_name = "TIME", requires = "start")]
    pub end: Option<String>,
    /// The last interval complete at this instant
    #[arg(long, value_name = "TIME", conflicts_with = "model")]
    pub as_of: Option<String>,
    /// Process an interval that has not ended
    #[arg(long)]
    pub allow_partial: bool,
    /// A model, as folder@3 or a bundle's folder: score any Parquet file, without a job
    #[arg(long, value_name = "MODEL", requires = "input", requires = "out")]
    pub model: Option<String>,
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

/// Which intervals. Without any of these: from the job's `starts` to its `ends` or to now.
#[derive(Args, Debug, Clone, Default)]
#[group(skip)]
pub struct RangeArgs {
    /// The first date, in the job's time zone: 2013-06-08, yesterday, -30d [default: the job's `starts`]
    #[arg(long, value_name = "DATE", allow_hyphen_values = true, conflicts_with_all = ["start", "end"])]
    pub from: Option<String>,
    /// The last date, included [default: the job's `ends`, or the last complete interval]
    #[arg(long, value_name = "DATE", allow_hyphen_values = true, conflicts_with_all = ["start", "end"])]
    pub to: Option<String>,
    /// The last days, up to the last complete interval, as in 30d or 4w
    #[arg(long, value_name = "DAYS", conflicts_with_all = ["from", "to", "month", "start", "end"])]
    pub last: Option<String>,
    /// All of a month, as in 2026-03, up to the last complete interval
    #[arg(long, value_name = "MONTH", conflicts_with_all = ["from", "to", "start", "end"])]
    pub month: Option<String>,
    /// The instant at which the first interval starts
    #[arg(long, value_name = "TIME", requires = "end")]
    pub start: Option<String>,
    /// The instant at which the last interval ends
    #[arg(long, value_name = "TIME", requires = "start")]
    pub end: Option<String>,
}

#[derive(Args, Debug, Clone)]
pub struct PlanArgs {
    /// The name of a file jobs/JOB.toml
    pub job: String,
    #[command(flatten)]
    pub range: RangeArgs,
    /// Which intervals to take
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [Only::Missing, Only::Failed])]
    pub only: Vec<Only>,
    /// Score with this model, as folder@3, folder@champion or a bundle's folder; "as-of" takes for each interval the version that the
    /// job's alias meant when the interval ended [default: the job's, pinned now]
    #[arg(long, value_name = "MODEL")]
    pub model: Option<String>,
    /// Which interval runs first
    #[arg(long, value_enum, default_value = "oldest")]
    pub order: Order,
    /// Compare the rows of Postgres sources too, by reading them again
    #[arg(long)]
    pub deep: bool,
    /// Write the plan to a file, for `daymill apply`
    #[arg(long, short = 'o', value_name = "FILE")]
    pub out: Option<PathBuf>,
}

#[derive(Args, Debug, Clone)]
pub struct Backfill {
    #[command(flatten)]
    pub plan: PlanArgs,
    /// Intervals at a time
    #[arg(long, short = 'j', default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    pub jobs: u16,
    /// Replace published intervals without asking; needed where there is no terminal
    #[arg(long, short = 'y')]
    pub yes: bool,
}

#[derive(Args, Debug)]
pub struct Apply {
    /// What `daymill plan -o FILE` wrote
    pub file: PathBuf,
    /// Intervals at a time
    #[arg(long, short = 'j', default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    pub jobs: u16,
}

#[derive(Args, Debug)]
pub struct Retry {
    /// A run's or a backfill's id, or its beginning
    #[arg(required_unless_present = "last", conflicts_with = "last")]
    pub run: Option<String>,
    /// The newest backfill of the project, or the newest run
    #[arg(long)]
    pub last: bool,
    /// Of a backfill, also the intervals that succeeded
    #[arg(long)]
    pub all: bool,
    /// Intervals at a time
    #[arg(long, short = 'j', default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    pub jobs: u16,
}

#[derive(Args, Debug)]
pub struct Status {
    /// One job [default: all]
    pub job: Option<String>,
    #[command(flatten)]
    pub range: RangeArgs,
    /// Compare the rows of Postgres sources too, by reading them again
    #[arg(long)]
    pub deep: bool,
    /// Exit with 1 when an interval has no rows published
    #[arg(long)]
    pub exit_code: bool,
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

#[derive(Subcommand, Debug)]
pub enum Models {
    /// Make a bundle from a model file of XGBoost, LightGBM or CatBoost, or from ONNX
    Import(ImportModel),
    /// Open a bundle as a run does, ask its oracle, and look for what goes wrong when models move
    Verify {
        /// The model, as models/flight_delay@3, models/flight_delay@champion or a bundle's folder
        model: String,
        /// Rows with the library's own outputs, as Parquet
        #[arg(long, value_name = "FILE", requires = "expected")]
        inputs: Option<PathBuf>,
        /// The columns of the inputs that hold those outputs
        #[arg(long, value_name = "COLUMN", value_delimiter = ',', requires = "inputs")]
        expected: Vec<String>,
    },
    /// The models of the project, their versions, and what each alias means now
    List,
    /// Print a bundle's signature, size, features by gain, and lineage
    Show {
        /// The model, as models/flight_delay@3, models/flight_delay@champion or a bundle's folder
        model: String,
    },
    /// Let an alias mean a version from now on; the record of this is only appended to
    Promote {
        /// The bundle, as models/flight_delay@3
        model: String,
        /// The alias
        #[arg(long, default_value = "champion", value_name = "NAME")]
        alias: String,
        /// Since when [default: now]
        #[arg(long, value_name = "TIME")]
        at: Option<String>,
        /// Why
        #[arg(long, value_name = "TEXT")]
        note: Option<String>,
    },
}

#[derive(Args, Debug)]
pub struct ImportModel {
    /// What the library saved: XGBoost's .ubj or .json, LightGBM's .txt, CatBoost's .json, an .onnx
    pub file: PathBuf,
    /// The bundle's folder, as models/flight_delay/4; its names are those of the model and the version
    #[arg(short, long = "out", value_name = "BUNDLE")]
    pub out: PathBuf,
    /// The model's name [default: the name of the folder above the bundle]
    #[arg(long)]
    pub name: Option<String>,
    /// The version [default: the bundle's folder, when it is a number, else 1]
    #[arg(long, value_name = "N")]
    pub version: Option<i64>,
    /// Boosting rounds: best (up to where training was best), all, or a number
    #[arg(long, default_value = "best", value_name = "N", value_parser = iterations)]
    pub iterations: Iterations,
    /// Rows for the oracle, as Parquet; without them rows are drawn around the model's thresholds
    #[arg(long, value_name = "FILE")]
    pub inputs: Option<PathBuf>,
    /// The columns of the inputs that hold the library's own outputs
    #[arg(long, value_name = "COLUMN", value_delimiter = ',', requires = "inputs")]
    pub expected: Vec<String>,
    /// Names of the outputs [default: score, or score_0, score_1, ...]
    #[arg(long = "output-names", value_name = "NAME", value_delimiter = ',')]
    pub outputs: Vec<String>,
}

fn iterations(text: &str) -> Result<Iterations, String> {
    match text {
        "best" => Ok(Iterations::Best),
        "all" => Ok(Iterations::All),
        number => match number.parse() {
            Ok(n @ 1..) => Ok(Iterations::Exactly(n)),
            _ => Err("best, all, or a number from 1".into()),
        },
    }
}

/// `90s`, `10m`, `2h`; a bare number is seconds.
fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match &text[digits.len()..] {
        "" | "s" => 1,
        "m" => 60,
        "h" => 3600,
        _ => return Err("write it as 90s, 10m or 2h".into()),
    };
    let number: u64 = digits.parse().map_err(|_| "write it as 90s, 10m or 2h")?;
    Ok(Duration::from_secs(number.saturating_mul(unit)))
}

//! Commands about intervals: which, and what is done with them.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::words::{LoadPath, Only, Order, Print, duration};

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
    /// Score with this model in place of the job's, as folder@3, folder@champion or folder/3
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

impl RangeArgs {
    /// Whether any of it was said.
    pub fn is_given(&self) -> bool {
        [&self.from, &self.to, &self.last, &self.month, &self.start, &self.end].iter().any(|text| text.is_some())
    }
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
    /// Score with this model, as folder@3, folder@champion or folder/3; "as-of" takes for each interval the version that the
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

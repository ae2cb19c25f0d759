//! Commands about what is known of the values of a job's columns.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::runs::RangeArgs;
use super::words::Urgent;

#[derive(Args, Debug)]
pub struct Profile {
    /// The name of a file jobs/JOB.toml
    pub job: String,
    /// The published interval of this date, as 2013-06-08 or yesterday; of an hourly job 2013-06-08T13 [default: the newest]
    #[arg(long, value_name = "DATE", allow_hyphen_values = true)]
    pub date: Option<String>,
    /// One column, in full
    #[arg(long, value_name = "COLUMN")]
    pub column: Option<String>,
}

#[derive(Args, Debug)]
pub struct Drift {
    /// The name of a file jobs/JOB.toml
    pub job: String,
    /// The published interval of this date, as 2013-06-08 or yesterday; of an hourly job 2013-06-08T13 [default: the newest]
    #[arg(long, value_name = "DATE", allow_hyphen_values = true)]
    pub date: Option<String>,
    /// What it is compared with: model (what it was trained on), "last 28" (published intervals), or 2013-06-01..2013-06-14
    /// [default: as the job says, else the model's and the last 28]
    #[arg(long, value_name = "WHAT")]
    pub against: Option<String>,
    /// One column
    #[arg(long, value_name = "COLUMN")]
    pub column: Option<String>,
    /// Exit with 65 when a column stands so, or worse
    #[arg(long, value_enum, value_name = "STANDING")]
    pub fail_on: Option<Urgent>,
}

#[derive(Args, Debug)]
pub struct Report {
    /// The name of a file jobs/JOB.toml
    pub job: String,
    /// Which intervals [default: the last 90 that the ledger knows]
    #[command(flatten)]
    pub range: RangeArgs,
    /// Where to write the page [default: JOB.html]
    #[arg(long, short = 'o', value_name = "FILE")]
    pub out: Option<PathBuf>,
}

#[derive(Subcommand, Debug)]
pub enum Quarantine {
    /// How many rows of each rule and interval were put aside
    List {
        /// One job [default: all]
        job: Option<String>,
    },
    /// The rows that were put aside, and why
    Show {
        #[command(flatten)]
        which: BadRows,
        /// Write them as a CSV file
        #[arg(long, short = 'o', value_name = "FILE")]
        out: Option<PathBuf>,
        /// How many to print
        #[arg(long, short = 'n', default_value_t = 20, value_name = "N")]
        limit: u32,
    },
    /// Run the intervals again that have rows put aside: rows that keep the rules now are published
    Replay {
        #[command(flatten)]
        which: BadRows,
    },
    /// Say of rows that nothing will be done about them
    Discard {
        #[command(flatten)]
        which: BadRows,
        /// Why
        #[arg(long, value_name = "TEXT")]
        reason: String,
    },
    /// Delete the rows of intervals that are long past
    Prune {
        /// The name of a file jobs/JOB.toml
        job: String,
        /// Days of which the rows are kept
        #[arg(long, default_value_t = 90, value_name = "DAYS")]
        keep: u32,
    },
}

/// Which rows that were put aside.
#[derive(Args, Debug)]
pub struct BadRows {
    /// The name of a file jobs/JOB.toml
    pub job: String,
    /// The interval of this date [default: all]
    #[arg(long, value_name = "DATE", allow_hyphen_values = true, conflicts_with_all = ["from", "to"])]
    pub date: Option<String>,
    /// The first date
    #[arg(long, value_name = "DATE", allow_hyphen_values = true)]
    pub from: Option<String>,
    /// The last date, included
    #[arg(long, value_name = "DATE", allow_hyphen_values = true)]
    pub to: Option<String>,
    /// One rule
    #[arg(long, value_name = "NAME")]
    pub rule: Option<String>,
}

//! Commands about what is known of the values of a job's columns.

use clap::Args;

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

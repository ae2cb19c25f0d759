//! The command about tests of jobs.

use std::path::PathBuf;

use clap::Args;

#[derive(Args, Debug)]
pub struct Test {
    /// One job [default: all]
    pub job: Option<String>,
    /// Only the cases whose name contains this; with --record, the name of the new case
    #[arg(long, value_name = "TEXT")]
    pub case: Option<String>,
    /// Rewrite what is expected with what came out
    #[arg(long)]
    pub bless: bool,
    /// Also run the SQL of Postgres sources, over the tables in source/ of a case, in a transaction that is rolled back
    #[arg(long, value_name = "URL", env = "DAYMILL_TEST_POSTGRES", hide_env_values = true)]
    pub postgres: Option<String>,
    /// Print the results in the Test Anything Protocol
    #[arg(long)]
    pub tap: bool,
    /// Also write the results as a JUnit file
    #[arg(long, value_name = "FILE")]
    pub junit: Option<PathBuf>,
    /// Make a case of a real day of this job
    #[arg(long, value_name = "JOB", requires = "date", conflicts_with_all = ["job", "bless", "tap", "junit"])]
    pub record: Option<String>,
    /// The day to record
    #[arg(long, value_name = "DATE", requires = "record", allow_hyphen_values = true)]
    pub date: Option<String>,
    /// Rows to record of each table that follows the day, and as many of its lookback; other tables are kept whole
    #[arg(long, value_name = "N", requires = "record", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    pub rows: u32,
    /// Columns whose values are replaced, alike ones by alike ones
    #[arg(long, value_name = "COLUMNS", requires = "record", value_delimiter = ',')]
    pub mask: Vec<String>,
}

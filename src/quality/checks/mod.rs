//! The job's checks: which rows are put aside, what each rule counts in a batch, and its verdict over all of them, before anything
//! is published.

pub mod bad_rows;
mod checks_of_job;
mod rows;
mod tally;

pub use bad_rows::{BadRow, CONDITION};
pub use checks_of_job::{Checks, Columns, Found, Sifted};
pub use tally::{Severity, Tally, Verdict, gate};

//! The command line, declared. No behaviour.

mod command;
mod models;
mod quality;
mod runs;
mod tests;
mod words;

pub use command::{Cli, Command, Global, Ledger};
pub use models::{ImportModel, Models, New, NewJob};
pub use quality::{BadRows, Drift, Profile, Quarantine, Report};
pub use runs::{Apply, Backfill, IntervalArgs, PlanArgs, RangeArgs, Retry, Run, ScoreArgs, StageArgs, Status};
pub use tests::Test;
pub use words::{Example, LoadPath, LogFormat, Only, Order, Output, Print, SchemaOf, Urgent};

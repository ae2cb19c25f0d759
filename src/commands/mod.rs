//! One file per subcommand; which it is, `dispatch` decides, and what they share is in `shared`.

mod backfill;
mod backfill_summary;
mod bars;
mod cases;
mod check;
mod dispatch;
mod drift;
mod init;
mod jobs;
mod ledger;
mod models;
mod models_list;
mod new_job;
mod profile;
mod propose;
mod quarantine;
mod report;
mod run;
mod run_folders;
mod schema;
mod shared;
mod show;
mod status;
mod terminal;

pub use dispatch::dispatch;

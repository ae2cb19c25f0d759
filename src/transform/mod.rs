//! Transform: the job's SQL over the extracted tables, as one lazy plan for the whole interval, run by the streaming
//! engine and handed on in batches.

mod conditions;
mod plan;
pub mod warnings;

pub use conditions::with_conditions;
pub use plan::{Each, Lineage, Plan, collect, compile, driven, driving, plan, require_columns, run_error, stream};

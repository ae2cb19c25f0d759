//! One interval, from records to published rows: the order of things, and what is checked before anything is
//! published. Knows nothing of the terminal, the command line or a particular warehouse.

pub mod attempts;
mod batch_source;
mod context;
pub mod evidence;
pub mod flow;
mod gates;
mod keys;
mod plan;
pub mod preview;
pub mod report;
mod run;
mod score_gates;
mod sink;
pub mod stages;

pub use context::{Context, Sessions, Shared};
pub use plan::{Planned, plan};
pub use run::run;

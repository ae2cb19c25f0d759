//! The four stages apart, with Parquet between them, for schedulers that want a task per stage. They give exactly what
//! a whole run gives: the same plan, the same scoring, the same load.

mod metadata;
mod standalone;
mod steps;
mod writer;

pub use standalone::{StandaloneScoring, score_loose};
pub use steps::{extract, folder, load, score, transform};
pub use writer::Writer;

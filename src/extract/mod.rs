//! Extract: each table of the interval as a lazy frame, from files or from queries, with the same few column types whatever
//! the source: 64-bit integers, floats, text, booleans, dates, and timestamps in microseconds of UTC.

mod cache;
pub mod chunk;
mod extraction;
pub mod files;
mod input;
pub mod preflight;
pub mod queries;
mod schema;
mod source;
pub mod sources;
pub mod versions;
pub mod whole;

pub use cache::Cache;
pub use extraction::Extraction;
pub use input::Input;
pub use queries::session::Sessions;
pub use source::Reader;
pub use sources::{ExtractContext, extract};

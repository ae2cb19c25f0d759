//! Files as a source: which files an interval needs, how each kind of file is read, and all of them as one lazy table.

mod convert;
mod decode;
mod describe;
mod engine;
pub mod footer;
pub mod format;
pub mod formats;
pub mod location;
pub mod parquet;
pub mod reading;
pub mod source;
pub mod table;
pub mod text;
pub mod version;

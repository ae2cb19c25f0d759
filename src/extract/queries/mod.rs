//! Queries as a source: all queries of one connection in one snapshot, their rows streamed in and decoded.

mod copy_stream;
pub mod newest;
pub mod session;
pub mod snapshot;
pub mod source;
pub mod trial;

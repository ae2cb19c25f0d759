//! Text as a kind of file: CSV and JSON lines. Their columns are told by reading the rows, so a file is read once, from its
//! beginning to its end: one thread reads, decompresses and splits, another makes columns of the pieces. What is large goes
//! into a temporary file for the engine.

mod bytes;
mod cells;
mod collect;
mod csv;
mod fault;
mod format;
pub mod guess;
mod json_lines;
mod layout;
mod records;

pub use format::Text;

//! What the program says: the only writer to the terminal, and the words of a summary and of tables.

mod figures;
mod summary;
mod writer;

pub use figures::{count, seconds, table};
pub use summary::summary;
pub use writer::*;

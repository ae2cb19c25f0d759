//! What the program says: the only writer to the terminal, and the words of a summary and of tables.

mod figures;
mod summary;
mod width;
mod writer;

pub use figures::{bars, count, seconds, table, table_without};
pub use summary::{ended, summary};
pub use width::{path, sentence, width, within};
pub use writer::*;

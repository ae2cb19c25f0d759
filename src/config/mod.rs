//! Reads TOML files: every fault of a file at once, each with its line, and what may have been meant.

mod check;
mod reader;
mod similar;
mod source;
mod values;
mod write;

pub use reader::{At, Table};
pub use similar::meant;
pub use source::Source;
pub use write::{toml_key, toml_string};

//! Reads TOML files: every fault of a file at once, each with its line, and what may have been meant.

mod reader;
mod similar;
mod write;

pub use reader::{At, Source, Table};
pub use similar::meant;
pub use write::{toml_key, toml_string};

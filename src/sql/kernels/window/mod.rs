//! Window functions over rows that are sorted by partition and key.

pub mod bounds;
mod evaluate;
mod slide;

pub use evaluate::{Over, evaluate};

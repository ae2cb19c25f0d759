//! Cases: folders with input tables, an interval and the published rows that are expected.

mod compare;
mod input;
mod rows;
mod run;

pub use run::{Case, find, run};

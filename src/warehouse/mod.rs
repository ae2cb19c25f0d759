//! The places to which rows are published. What is asked of one are the traits [`Tables`] and [`Warehouse`]; which
//! implementation it is, is decided once, in [`of`]. Load keeps the order of things and the ledger, a warehouse keeps the rows.

mod contract;
mod lake;
mod place;
mod postgres;
pub mod preflight;
pub mod presence;
pub mod readback;
mod relation;
mod sql;
mod sql_table;
mod sql_tables;
mod sqlite;
pub mod table;
mod words;

pub use contract::{Expected, LoadPath, Rows, RowsByLineage, Step, Tables, Task, Warehouse};
pub use place::of;

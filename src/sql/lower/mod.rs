//! From the plan to Polars' lazy frames. Columns have made-up names, so that none is ever taken for another; text,
//! numbers and times are computed by kernels of ours; joins, groups and sorts are the engine's.

mod aggregate;
mod columns;
mod eval;
pub mod expr;
mod join;
mod lowerer;
mod window;

pub use lowerer::Lowerer;

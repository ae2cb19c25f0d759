//! From the parser's tree to a plan: names find their columns, expressions their types, clauses their place. Whatever
//! cannot have Postgres' meaning is refused here, before any row is read.

mod binder;
pub mod calls;
pub mod exprs;
pub mod from;
pub mod group;
pub mod intervals;
pub mod literals;
pub mod operators;
mod output_names;
pub mod predicates;
pub mod query;
pub mod select;
pub mod setops;
pub mod subquery;
pub mod windows;

pub use binder::{Binder, Bounds, Cte, Cx, Env, Level, Note, Output, Table, place, query_place};

//! The SQL of the transform: Postgres' meaning, or a refusal. Text becomes a tree (parse), names and types are found
//! (bind), the plan (rel) is lowered to Polars' lazy frames (lower) with kernels of ours (kernels).

pub mod aggregate;
pub mod arithmetic;
pub mod bind;
mod compile;
pub mod error;
pub mod expr;
pub mod functions;
pub mod kernels;
mod lower;
mod parse;
pub mod rel;
mod scope;
pub mod types;
pub mod value;

pub use bind::{Bounds, Note, Table};
pub use compile::{Column, Compiled, compile};

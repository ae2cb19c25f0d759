//! Tree ensembles: one form to which every importer lowers, checked once, and a Candle operation that walks it.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod binned;
pub mod catboost;
mod ensemble;
mod kernel;
mod lanes;
pub mod lightgbm;
mod packed;
mod tree;
pub mod ubjson;
mod walk;
#[cfg(target_arch = "x86_64")]
mod wide;
pub mod xgboost;

pub use ensemble::{Parts, Trees};
pub use tree::{Leaves, Node, Set, Split, Sum, Test, Tree};
pub use walk::depth;

//! The catalogue: which functions there are, with which types, and which kernel computes each.

pub mod aggregates;
mod call;
pub mod cast;
pub mod numbers;
mod scalar;
pub mod texts;
pub mod times;
pub mod windows;

pub use call::Call;
pub use scalar::scalar;

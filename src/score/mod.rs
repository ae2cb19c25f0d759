//! Score: the feature contract, and one file per kind of model. A batch of rows goes in as Arrow columns and
//! comes out as f32 outputs, one column per output.

pub mod contract;
pub mod dense;
pub mod foreign;
pub mod imported;
mod kind;
pub mod link;
mod model;
pub mod onnx;
pub mod pickle;
pub mod trees;

pub use kind::ModelKind;
pub use link::{Link, apply_link};
pub use model::Model;

//! Score: bundles, the feature contract, and one file per kind of model. A batch of rows goes in as Arrow columns and
//! comes out as f32 outputs, one column per output.

mod batch;
pub mod bundle;
pub mod contract;
pub mod dense;
pub mod diagnose;
pub mod foreign;
pub mod import;
pub mod imported;
mod kind;
pub mod link;
mod model;
pub mod onnx;
mod pickle;
pub mod trees;

pub use batch::Scores;
pub use bundle::Bundle;
pub use kind::ModelKind;
pub use link::{Link, apply_link};
pub use model::Model;

//! ONNX models of tables: what skl2onnx, onnxmltools and their kin write for a scikit-learn Pipeline, boosted trees and
//! linear models. The graph is run as it stands, on Candle tensors, in tiles of fixed size, because the last bits of a
//! multiplication depend on its shape. Only what leads to the chosen output is run, so a label made of words is no matter.
//! Words are numbers from the start: their place among all words that the graph knows.

mod around;
mod graph;
mod made;
mod math;
mod ml;
mod node;
pub mod proto;
mod read;
mod trees;

pub use graph::Graph;
pub use read::read;

//! One model of any kind.

use super::contract::Features;

/// What turns features into outputs. Every kind takes the features feature-major, `[width, rows]`, and gives
/// `[outputs, rows]`; a row's result depends on that row alone, whatever batch it came in.
#[derive(Debug)]
pub enum Model {
    Dense(super::dense::Dense),
    Trees(super::trees::Trees),
    Graph(super::onnx::Graph),
}

impl Model {
    pub fn outputs(&self) -> usize {
        match self {
            Model::Dense(dense) => dense.outputs(),
            Model::Trees(trees) => trees.outputs(),
            Model::Graph(graph) => graph.outputs(),
        }
    }

    /// Encoded inputs it takes.
    pub fn width(&self) -> usize {
        match self {
            Model::Dense(dense) => dense.width(),
            Model::Trees(trees) => trees.width(),
            Model::Graph(graph) => graph.width(),
        }
    }

    /// NaN is an input with a meaning: missing.
    pub fn takes_missing(&self) -> bool {
        match self {
            Model::Dense(dense) => dense.takes_missing(),
            Model::Trees(_) => true,
            Model::Graph(graph) => graph.takes_missing(),
        }
    }

    /// Whether NaN has that meaning as this input.
    pub fn takes_missing_at(&self, index: usize) -> bool {
        match self {
            Model::Graph(graph) => graph.takes_missing_at(index),
            Model::Dense(_) | Model::Trees(_) => self.takes_missing(),
        }
    }

    /// `[outputs][rows]`
    pub fn score(&self, features: &Features) -> candle_core::Result<Vec<Vec<f32>>> {
        // Of no rows, no kind can tell the largest.
        if features.rows == 0 {
            return Ok(vec![Vec::new(); self.outputs()]);
        }
        match self {
            Model::Dense(dense) => dense.score(features),
            Model::Trees(trees) => trees.score(features),
            Model::Graph(graph) => graph.score(features),
        }
    }
}

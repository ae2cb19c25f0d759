//! Score: bundles, the feature contract, and one file per kind of model. A batch of rows goes in as Arrow columns and
//! comes out as f32 outputs, one column per output.

pub mod bundle;
pub mod contract;
pub mod dense;
pub mod diagnose;
pub mod foreign;
pub mod import;
pub mod imported;
pub mod onnx;
pub mod trees;

use arrow::array::RecordBatch;
use candle_core::Tensor;

pub use bundle::Bundle;
use bundle::pickled;

use crate::error::{Error, Result};
use contract::Features;

/// What turns features into outputs. Every kind takes the features feature-major, `[width, rows]`, and gives
/// `[outputs, rows]`; a row's result depends on that row alone, whatever batch it came in.
#[derive(Debug)]
pub enum Model {
    Dense(dense::Dense),
    Trees(trees::Trees),
    Graph(onnx::Graph),
}

/// The function from margin to output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    Identity,
    Sigmoid,
    Softmax,
    Exp,
    /// 1 above zero, else 0.
    Step,
    /// The number of the largest margin, as the only output.
    ArgMax,
    /// `ln(1 + exp(x))`
    Softplus,
    /// `x * |x|`
    SignedSquare,
}

impl Link {
    /// Outputs that so many margins give.
    pub fn outputs(self, margins: usize) -> usize {
        if self == Link::ArgMax { 1 } else { margins }
    }
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
            _ => self.takes_missing(),
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

/// The outputs of one batch, and the rows that are left of it after the contract dropped some.
#[derive(Debug)]
pub struct Scores {
    pub batch: RecordBatch,
    pub outputs: Vec<Vec<f32>>,
    pub counts: contract::Counts,
}

impl Bundle {
    /// Applies the feature contract and scores what it lets through. A score that is not finite is an error.
    pub fn score(&self, batch: &RecordBatch) -> Result<Scores> {
        let (batch, features, counts) = self.contract.apply(batch)?;
        let outputs = self.outputs_of(&features)?;
        for (name, values) in self.outputs.iter().zip(&outputs) {
            if let Some(row) = values.iter().position(|v| !v.is_finite()) {
                return Err(Error::data(format!(
                    "the model {} gave {} for {name} in row {row} of a batch",
                    self.label(),
                    values[row]
                ))
                .hint("a score that is not finite is never published; look at the features of the row"));
            }
        }
        Ok(Scores { batch, outputs, counts })
    }

    fn outputs_of(&self, features: &Features) -> Result<Vec<Vec<f32>>> {
        self.model.score(features).map_err(|e| Error::defect("Candle failed to score a batch").cause(e))
    }
}

/// Margins `[outputs, rows]` to outputs of the same shape.
fn apply_link(margins: &Tensor, link: Link) -> candle_core::Result<Tensor> {
    match link {
        Link::Identity => Ok(margins.clone()),
        Link::Exp => margins.exp(),
        Link::Sigmoid => (margins.neg()?.exp()? + 1.0)?.recip(),
        Link::Step => margins.gt(&margins.zeros_like()?)?.to_dtype(margins.dtype()),
        Link::ArgMax => margins.argmax_keepdim(0)?.to_dtype(margins.dtype()),
        Link::Softplus => (margins.exp()? + 1.0)?.log(),
        Link::SignedSquare => margins * margins.abs()?,
        Link::Softmax => {
            let shifted = margins.broadcast_sub(&margins.max_keepdim(0)?)?.exp()?;
            shifted.broadcast_div(&shifted.sum_keepdim(0)?)
        }
    }
}

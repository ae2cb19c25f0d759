//! How a batch of rows is scored with a bundle.

use arrow::array::RecordBatch;

use super::bundle::Bundle;
use crate::error::{Error, Result};
use crate::score::contract::{Counts, Features};

/// The outputs of one batch, and the rows that are left of it after the contract dropped some.
#[derive(Debug)]
pub struct Scores {
    pub batch: RecordBatch,
    pub outputs: Vec<Vec<f32>>,
    pub counts: Counts,
}

impl Bundle {
    /// Applies the feature contract and scores what it lets through.
    pub fn score(&self, batch: &RecordBatch) -> Result<Scores> {
        let (batch, features, counts) = self.contract.apply(batch)?;
        Ok(Scores { batch, outputs: self.outputs_of(&features)?, counts })
    }

    /// The outputs of rows that the contract let through, `[outputs][rows]`. A score that is not finite is an error.
    pub fn outputs_of(&self, features: &Features) -> Result<Vec<Vec<f32>>> {
        let outputs =
            self.model.score(features).map_err(|e| Error::defect("Candle failed to score a batch").cause(e))?;
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
        Ok(outputs)
    }
}

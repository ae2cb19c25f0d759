//! What a node holds that is made once, when the graph is read.

use std::collections::HashMap;

use candle_core::DType;

use super::trees::After;
use crate::score::trees::Trees;

#[derive(Debug)]
pub enum Made {
    Nothing,
    Trees(Box<Trees>, After),
    /// The keys as numbers, the values, and the value of what is no key.
    Labels(HashMap<u64, f64>, f64, DType),
    /// The categories as numbers.
    Categories(Vec<f64>, bool),
}

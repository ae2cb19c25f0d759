//! Where a graph's answers change, as far as its steps tell without being run: inputs are drawn from there when none are
//! given. Followed are a scaler of all columns and trees over all columns; a graph that does more is asked around zero.

use super::graph::{Graph, Step};
use super::made::Made;
use super::node::attribute;

/// How far from its middle a scaled column is asked.
const SPREAD: f64 = 2.0;

/// What a scaler takes off each of the columns, and what it then divides them by.
fn scaled(steps: &[Step], width: usize) -> Option<Vec<(f64, f64)>> {
    let scaler = steps.iter().find(|step| step.node.op_type == "Scaler")?;
    let list = |name: &str| -> Vec<f64> {
        let floats = attribute(&scaler.node, name).map(|a| a.floats.as_slice()).unwrap_or_default();
        (0..width).filter_map(|i| floats.get(if floats.len() == 1 { 0 } else { i })).map(|v| f64::from(*v)).collect()
    };
    let (offsets, scales) = (list("offset"), list("scale"));
    let whole = offsets.len() == width && scales.len() == width && scales.iter().all(|scale| *scale != 0.0);
    whole.then(|| offsets.into_iter().zip(scales.into_iter().map(|scale| 1.0 / scale)).collect())
}

/// The least and the greatest value to ask each column for, where a scaler tells.
pub fn ranges(steps: &[Step], width: usize) -> Vec<Option<(f64, f64)>> {
    let around = |(middle, unit): (f64, f64)| (middle - SPREAD * unit.abs(), middle + SPREAD * unit.abs());
    scaled(steps, width).unwrap_or_default().into_iter().map(|column| Some(around(column))).collect()
}

impl Graph {
    /// The columns and the values at which a tree over all columns decides otherwise, before the scaler.
    pub fn cuts(&self) -> impl Iterator<Item = (usize, f32)> {
        let width = self.width();
        let scaled = scaled(&self.steps, width);
        let trees = self.steps.iter().filter_map(move |step| match &step.made {
            Made::Trees(trees, _) if trees.width() <= width => Some(trees),
            _ => None,
        });
        trees.flat_map(|trees| trees.cuts()).map(move |(column, value)| match &scaled {
            Some(columns) => (column, (f64::from(value) * columns[column].1 + columns[column].0) as f32),
            None => (column, value),
        })
    }
}

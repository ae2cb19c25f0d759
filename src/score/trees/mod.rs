//! Tree ensembles: one form to which every importer lowers, checked once, and a Candle operation that walks it.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod binned;
mod kernel;
pub mod ubjson;
mod walk;
pub mod xgboost;

use candle_core::{CpuStorage, CustomOp1, Device, Layout, Shape, Tensor};

use kernel::Kernel;

use super::contract::Features;
use super::{Link, apply_link};
use crate::error::{Error, Result};

/// A node of a tree. A value `x` goes left when `x < threshold`; a missing one goes where `default_left` says.
#[derive(Clone, Copy, Debug)]
pub struct Node {
    pub feature: u32,
    /// The threshold of a split; the value of a leaf.
    pub value: f32,
    /// Children; `left == LEAF` marks a leaf.
    pub left: u32,
    pub right: u32,
    pub default_left: bool,
}

pub const LEAF: u32 = u32::MAX;

/// Nodes in one array, the root first.
#[derive(Clone, Debug)]
pub struct Tree {
    pub nodes: Vec<Node>,
    /// The output that its leaves are added to.
    pub group: u32,
}

#[derive(Debug)]
pub struct Trees {
    ensemble: std::sync::Arc<Ensemble>,
    link: Link,
}

#[derive(Debug)]
struct Ensemble {
    kernel: Kernel,
    /// Base margin of each output.
    base: Vec<f32>,
    width: usize,
}

impl Trees {
    /// Checks that every walk ends in a leaf: children in range, each node reached once, features that exist,
    /// thresholds that compare.
    pub fn new(mut trees: Vec<Tree>, base: Vec<f32>, width: usize, link: Link) -> Result<Trees> {
        for (index, tree) in trees.iter_mut().enumerate() {
            let seen = check(tree, width, base.len()).map_err(|what| Error::input(format!("tree {index}: {what}")))?;
            // Nodes that no walk reaches were not checked, and nothing may be learned from them.
            for (node, _) in tree.nodes.iter_mut().zip(seen).filter(|(_, seen)| !seen) {
                *node = Node { feature: 0, value: 0.0, left: LEAF, right: LEAF, default_left: false };
            }
        }
        let kernel = Kernel::new(&trees, width);
        Ok(Trees { ensemble: std::sync::Arc::new(Ensemble { kernel, base, width }), link })
    }

    pub fn width(&self) -> usize {
        self.ensemble.width
    }

    pub fn outputs(&self) -> usize {
        self.ensemble.base.len()
    }

    pub fn score(&self, features: &Features) -> candle_core::Result<Vec<Vec<f32>>> {
        let inputs = Tensor::from_slice(&features.values, (self.width(), features.rows), &Device::Cpu)?;
        let margins = inputs.apply_op1_arc(std::sync::Arc::new(Box::new(Evaluate(self.ensemble.clone()))))?;
        apply_link(&margins, self.link)?.to_vec2::<f32>()
    }
}

/// Which nodes some walk reaches.
fn check(tree: &Tree, width: usize, groups: usize) -> Result<Vec<bool>, String> {
    if tree.nodes.is_empty() {
        return Err("it has no nodes".into());
    }
    if tree.group as usize >= groups {
        return Err(format!("it belongs to output {} of {groups}", tree.group));
    }
    let mut seen = vec![false; tree.nodes.len()];
    let mut open = vec![0usize];
    while let Some(at) = open.pop() {
        if std::mem::replace(&mut seen[at], true) {
            return Err(format!("node {at} is reached twice"));
        }
        let node = tree.nodes[at];
        if node.left == LEAF {
            if !node.value.is_finite() {
                return Err(format!("leaf {at} is {}", node.value));
            }
            continue;
        }
        if node.value.is_nan() {
            return Err(format!("the threshold of node {at} is NaN"));
        }
        if node.feature as usize >= width {
            return Err(format!("node {at} splits on feature {} of {width}", node.feature));
        }
        for child in [node.left, node.right] {
            if child as usize >= tree.nodes.len() {
                return Err(format!("node {at} has the child {child} of {}", tree.nodes.len()));
            }
            open.push(child as usize);
        }
    }
    Ok(seen)
}

/// `[width, rows]` -> margins `[outputs, rows]`, summed in the order of the trees.
struct Evaluate(std::sync::Arc<Ensemble>);

impl CustomOp1 for Evaluate {
    fn name(&self) -> &'static str {
        "trees"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> candle_core::Result<(CpuStorage, Shape)> {
        let (_, rows) = layout.shape().dims2()?;
        let Some((start, end)) = layout.contiguous_offsets() else {
            candle_core::bail!("the features of trees must be contiguous");
        };
        let values = &storage.as_slice::<f32>()?[start..end];
        let ensemble = &self.0;
        let mut margins: Vec<f32> = ensemble.base.iter().flat_map(|base| std::iter::repeat_n(*base, rows)).collect();
        ensemble.kernel.add(ensemble.width, rows, values, &mut margins);
        Ok((CpuStorage::F32(margins), Shape::from((ensemble.base.len(), rows))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(feature: u32, value: f32, left: u32, right: u32) -> Node {
        Node { feature, value, left, right, default_left: false }
    }

    fn end(value: f32) -> Node {
        Node { feature: 0, value, left: LEAF, right: LEAF, default_left: false }
    }

    #[test]
    fn trees_that_would_not_end_are_refused() {
        let refuse = |nodes: Vec<Node>| {
            Trees::new(vec![Tree { nodes, group: 0 }], vec![0.0], 2, Link::Identity).unwrap_err().to_string()
        };
        assert!(refuse(vec![]).contains("no nodes"));
        assert!(refuse(vec![split(0, 1.0, 0, 1), end(0.0)]).contains("twice"));
        assert!(refuse(vec![split(0, 1.0, 1, 1), end(0.0)]).contains("twice"));
        assert!(refuse(vec![split(0, 1.0, 1, 9), end(0.0)]).contains("child 9"));
        assert!(refuse(vec![split(2, 1.0, 1, 2), end(0.0), end(1.0)]).contains("feature 2"));
        assert!(refuse(vec![split(0, f32::NAN, 1, 2), end(0.0), end(1.0)]).contains("NaN"));
        assert!(refuse(vec![end(f32::INFINITY)]).contains("leaf 0"));
    }

    #[test]
    fn a_walk_goes_where_the_thresholds_say() {
        let mut root = split(1, 0.5, 1, 2);
        root.default_left = true;
        let tree = Tree { nodes: vec![root, end(-1.0), split(0, 3.0, 3, 4), end(2.0), end(5.0)], group: 0 };
        let trees = Trees::new(vec![tree], vec![10.0], 2, Link::Identity).unwrap();
        let features = Features { rows: 4, values: vec![1.0, 2.9, 3.0, f32::NAN, 0.4, 0.5, 0.6, f32::NAN] };
        assert_eq!(trees.score(&features).unwrap(), vec![vec![9.0, 12.0, 15.0, 9.0]]);
    }
}

//! Tree ensembles: one form to which every importer lowers, checked once, and a Candle operation that walks it.

pub mod ubjson;
pub mod xgboost;

use candle_core::{CpuStorage, CustomOp1, Device, Layout, Shape, Tensor};

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
    flat: Vec<Flat>,
    /// Base margin of each output.
    base: Vec<f32>,
    width: usize,
}

impl Trees {
    /// Checks that every walk ends in a leaf: children in range, each node reached once, features that exist,
    /// thresholds that compare.
    pub fn new(trees: Vec<Tree>, base: Vec<f32>, width: usize, link: Link) -> Result<Trees> {
        for (index, tree) in trees.iter().enumerate() {
            check(tree, width, base.len()).map_err(|what| Error::input(format!("tree {index}: {what}")))?;
        }
        let flat = trees.iter().map(Flat::new).collect();
        Ok(Trees { ensemble: std::sync::Arc::new(Ensemble { flat, base, width }), link })
    }

    pub fn width(&self) -> usize {
        self.ensemble.width
    }

    pub fn outputs(&self) -> usize {
        self.ensemble.base.len()
    }

    pub fn score(&self, features: &Features) -> candle_core::Result<Vec<Vec<f32>>> {
        let inputs = Tensor::from_slice(&features.values, (self.width(), features.rows), &Device::Cpu)?;
        let margins = inputs.apply_op1_arc(std::sync::Arc::new(Box::new(Walk(self.ensemble.clone()))))?;
        apply_link(&margins, self.link)?.to_vec2::<f32>()
    }
}

fn check(tree: &Tree, width: usize, groups: usize) -> Result<(), String> {
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
    Ok(())
}

/// `[width, rows]` -> margins `[outputs, rows]`, summed in the order of the trees.
struct Walk(std::sync::Arc<Ensemble>);

/// Rows of a block: their inputs and one tree stay in the first-level cache.
const BLOCK: usize = 64;
/// Rows that go down a tree together, so that one row's cache misses hide behind the others' work.
const LANES: usize = 16;

impl CustomOp1 for Walk {
    fn name(&self) -> &'static str {
        "tree-walk"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> candle_core::Result<(CpuStorage, Shape)> {
        let (width, rows) = layout.shape().dims2()?;
        let Some((start, end)) = layout.contiguous_offsets() else {
            candle_core::bail!("the features of a tree walk must be contiguous");
        };
        let values = &storage.as_slice::<f32>()?[start..end];
        let ensemble = &self.0;
        let mut margins: Vec<f32> = ensemble.base.iter().flat_map(|base| std::iter::repeat_n(*base, rows)).collect();
        let mut block = vec![0.0f32; BLOCK * width];
        for first in (0..rows).step_by(BLOCK) {
            let n = BLOCK.min(rows - first);
            for feature in 0..width {
                let column = &values[feature * rows + first..][..n];
                column.iter().enumerate().for_each(|(row, value)| block[row * width + feature] = *value);
            }
            for tree in &ensemble.flat {
                let out = &mut margins[tree.group * rows + first..][..n];
                for (lanes, inputs) in out.chunks_mut(LANES).zip(block.chunks(LANES * width)) {
                    tree.add(inputs, width, lanes);
                }
            }
        }
        Ok((CpuStorage::F32(margins), Shape::from((ensemble.base.len(), rows))))
    }
}

/// A tree laid out for walking several rows at once: every walk takes `depth` steps, and a leaf is its own child.
#[derive(Debug)]
struct Flat {
    nodes: Vec<FlatNode>,
    depth: usize,
    group: usize,
}

#[derive(Clone, Copy, Debug)]
struct FlatNode {
    /// The children: where a value that is not less goes, and where a lesser one goes.
    children: [u32; 2],
    /// The split's threshold, or the leaf's value.
    value: f32,
    /// The feature, and in the highest bit where a missing value goes.
    feature: u32,
}

const DEFAULT_LEFT: u32 = 1 << 31;

impl Flat {
    fn new(tree: &Tree) -> Flat {
        let flat = |(at, node): (usize, &Node)| match node.left {
            LEAF => FlatNode { children: [at as u32; 2], value: node.value, feature: 0 },
            left => FlatNode {
                children: [node.right, left],
                value: node.value,
                feature: node.feature | if node.default_left { DEFAULT_LEFT } else { 0 },
            },
        };
        Flat {
            nodes: tree.nodes.iter().enumerate().map(flat).collect(),
            depth: depth(tree),
            group: tree.group as usize,
        }
    }

    /// Adds the leaves of up to [`LANES`] rows, given row by row.
    fn add(&self, inputs: &[f32], width: usize, out: &mut [f32]) {
        let mut at = [0u32; LANES];
        let at = &mut at[..out.len()];
        for _ in 0..self.depth {
            for (at, row) in at.iter_mut().zip(inputs.chunks_exact(width)) {
                let node = &self.nodes[*at as usize];
                let value = row[(node.feature & !DEFAULT_LEFT) as usize];
                let left = (value < node.value) | (value.is_nan() & (node.feature >= DEFAULT_LEFT));
                *at = node.children[usize::from(left)];
            }
        }
        for (out, at) in out.iter_mut().zip(at.iter()) {
            *out += self.nodes[*at as usize].value;
        }
    }
}

/// Splits on the longest way down.
fn depth(tree: &Tree) -> usize {
    let mut deepest = 0;
    let mut open = vec![(0usize, 0usize)];
    while let Some((at, depth)) = open.pop() {
        let node = tree.nodes[at];
        deepest = deepest.max(depth);
        if node.left != LEAF {
            open.extend([(node.left as usize, depth + 1), (node.right as usize, depth + 1)]);
        }
    }
    deepest
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

    /// The walk as its definition says it, a row and a tree at a time.
    fn plain(tree: &Tree, row: &[f32]) -> f32 {
        let mut node = tree.nodes[0];
        while node.left != LEAF {
            let value = row[node.feature as usize];
            let left = if value.is_nan() { node.default_left } else { value < node.value };
            node = tree.nodes[if left { node.left } else { node.right } as usize];
        }
        node.value
    }

    /// A random tree of up to `splits` splits, over inputs that often equal a threshold.
    fn random_tree(random: &mut impl FnMut() -> u32, width: u32, splits: u32) -> Tree {
        let mut nodes = vec![end(0.5)];
        for _ in 0..splits {
            let leaves: Vec<usize> = (0..nodes.len()).filter(|i| nodes[*i].left == LEAF).collect();
            let at = leaves[random() as usize % leaves.len()];
            let next = nodes.len() as u32;
            nodes[at] = Node {
                feature: random() % width,
                value: (random() % 8) as f32,
                left: next,
                right: next + 1,
                default_left: random().is_multiple_of(2),
            };
            nodes.extend([end(random() as f32 / 1e9), end(-(random() as f32) / 1e9)]);
        }
        Tree { nodes, group: 0 }
    }

    #[test]
    fn walking_together_is_walking_alone() {
        let mut state = 0x9e37_79b9u32;
        let mut random = move || {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            state >> 1
        };
        for splits in [0, 1, 2, 7, 63, 300] {
            let (width, rows) = (5usize, 1 + random() as usize % 150);
            let trees: Vec<Tree> = (0..20).map(|_| random_tree(&mut random, width as u32, splits)).collect();
            let value = |r: u32| if r.is_multiple_of(9) { f32::NAN } else { (r % 17) as f32 / 2.0 };
            let values: Vec<f32> = (0..width * rows).map(|_| value(random())).collect();
            let together = Trees::new(trees.clone(), vec![0.25], width, Link::Identity)
                .unwrap()
                .score(&Features { rows, values: values.clone() })
                .unwrap();
            for row in 0..rows {
                let inputs: Vec<f32> = (0..width).map(|f| values[f * rows + row]).collect();
                let alone = trees.iter().fold(0.25f32, |sum, tree| sum + plain(tree, &inputs));
                assert_eq!(together[0][row].to_bits(), alone.to_bits(), "{splits} splits, row {row}");
            }
        }
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

//! Walking trees, several rows at once: for trees whose thresholds or leaves are too many for integers, and as the
//! definition that the other kernels are compared with.

use super::{LEAF, Node, Tree};

/// Rows of a block: their inputs and one tree stay in the first-level cache.
const BLOCK: usize = 64;
/// Rows that go down a tree together, so that one row's cache misses hide behind the others' work.
const LANES: usize = 16;

/// Adds every tree's leaves to `margins`, `[outputs, rows]`; `values` are `[width, rows]`.
pub fn walk(trees: &[Flat], width: usize, rows: usize, values: &[f32], margins: &mut [f32]) {
    let mut block = vec![0.0f32; BLOCK * width];
    for first in (0..rows).step_by(BLOCK) {
        let n = BLOCK.min(rows - first);
        for feature in 0..width {
            let column = &values[feature * rows + first..][..n];
            column.iter().enumerate().for_each(|(row, value)| block[row * width + feature] = *value);
        }
        for tree in trees {
            let out = &mut margins[tree.group * rows + first..][..n];
            for (lanes, inputs) in out.chunks_mut(LANES).zip(block.chunks(LANES * width)) {
                tree.add(inputs, width, lanes);
            }
        }
    }
}

/// A tree laid out for walking several rows at once: every walk takes `depth` steps, and a leaf is its own child.
#[derive(Debug)]
pub struct Flat {
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
    pub fn new(tree: &Tree) -> Flat {
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

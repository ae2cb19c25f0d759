//! Walking trees, several rows at once: for trees whose thresholds or leaves are too many for integers, and as the
//! definition that the other kernels are compared with.

use super::{Node, Set, Sum, Test, Tree};

/// Rows of a block: their inputs and one tree stay in the first-level cache.
const BLOCK: usize = 64;
/// Rows that go down a tree together, so that one row's cache misses hide behind the others' work.
const LANES: usize = 16;

/// Adds every tree's leaves to `margins`, `[outputs, rows]`; `values` are `[width, rows]`.
pub fn walk<V: Sum>(trees: &[Flat<V>], width: usize, rows: usize, values: &[f32], margins: &mut [V]) {
    let mut at = [0u32; BLOCK];
    for (first, n, block) in Blocks::new(width, rows, values) {
        for tree in trees {
            for (at, inputs) in at[..n].chunks_mut(LANES).zip(block.chunks(LANES * width.max(1))) {
                tree.descend(inputs, width, at);
            }
            for (group, leaves) in &tree.outputs {
                let out = &mut margins[group * rows + first..][..n];
                out.iter_mut().zip(&at).for_each(|(out, at)| *out += leaves[*at as usize]);
            }
        }
    }
}

/// The number of the leaf in which each row ends, tree by tree: `[trees, rows]`.
pub fn leaves(trees: &[Tree], width: usize, rows: usize, values: &[f32]) -> Vec<Vec<u32>> {
    let flat: Vec<Flat<f32>> = trees.iter().map(Flat::new).collect();
    let mut found = vec![vec![0; rows]; trees.len()];
    let mut at = [0u32; BLOCK];
    for (first, n, block) in Blocks::new(width, rows, values) {
        for (index, (tree, flat)) in trees.iter().zip(&flat).enumerate() {
            for (at, inputs) in at[..n].chunks_mut(LANES).zip(block.chunks(LANES * width.max(1))) {
                flat.descend(inputs, width, at);
            }
            for (out, at) in found[index][first..].iter_mut().zip(&at[..n]) {
                *out = if let Node::Leaf(number) = tree.nodes[*at as usize] { number } else { 0 };
            }
        }
    }
    found
}

/// Blocks of rows, each row by row.
struct Blocks<'a> {
    width: usize,
    rows: usize,
    values: &'a [f32],
    next: usize,
}

impl<'a> Blocks<'a> {
    fn new(width: usize, rows: usize, values: &'a [f32]) -> Blocks<'a> {
        Blocks { width, rows, values, next: 0 }
    }
}

impl Iterator for Blocks<'_> {
    /// The first row, the number of rows, and their inputs.
    type Item = (usize, usize, Vec<f32>);

    fn next(&mut self) -> Option<Self::Item> {
        let first = self.next;
        let n = BLOCK.min(self.rows - first);
        if n == 0 {
            return None;
        }
        self.next += n;
        let mut block = vec![0.0f32; n * self.width.max(1)];
        for feature in 0..self.width {
            let column = &self.values[feature * self.rows + first..][..n];
            column.iter().enumerate().for_each(|(row, value)| block[row * self.width + feature] = *value);
        }
        Some((first, n, block))
    }
}

/// A tree laid out for walking several rows at once: every walk takes `depth` steps, and a leaf is its own child.
#[derive(Debug)]
pub struct Flat<V> {
    nodes: Vec<FlatNode>,
    depth: usize,
    sets: Vec<Set>,
    /// Each output that the tree adds to, with a value for every node that is a leaf.
    outputs: Vec<(usize, Vec<V>)>,
}

#[derive(Clone, Copy, Debug)]
struct FlatNode {
    /// The children: where a value that does not pass goes, and where one that passes goes.
    children: [u32; 2],
    /// The threshold, or the number of the set.
    value: f32,
    /// The feature, and in the highest bits where a missing value goes, and whether a set is asked.
    feature: u32,
}

const DEFAULT_LEFT: u32 = 1 << 31;
const ASKS_SET: u32 = 1 << 30;

impl<V: Sum> Flat<V> {
    pub fn new(tree: &Tree) -> Flat<V> {
        let mut sets = Vec::new();
        let mut flat = |(at, node): (usize, &Node)| match node {
            Node::Leaf(_) => FlatNode { children: [at as u32; 2], value: 0.0, feature: 0 },
            Node::Split(split) => {
                let default = if split.default_left { DEFAULT_LEFT } else { 0 };
                let (value, asks) = match &split.test {
                    Test::Below(threshold) => (*threshold, 0),
                    Test::In(set) => {
                        sets.push(set.clone());
                        (f32::from_bits(sets.len() as u32 - 1), ASKS_SET)
                    }
                };
                FlatNode { children: [split.right, split.left], value, feature: split.feature | default | asks }
            }
        };
        let nodes = tree.nodes.iter().enumerate().map(&mut flat).collect();
        let values = |of: &super::Leaves| {
            let value = |node: &Node| match node {
                Node::Leaf(number) => V::of(of.values[*number as usize]),
                Node::Split(_) => V::default(),
            };
            (of.group as usize, tree.nodes.iter().map(value).collect())
        };
        Flat { nodes, depth: depth(tree), sets, outputs: tree.outputs.iter().map(values).collect() }
    }

    /// Finds the node in which each of up to [`LANES`] rows ends, given row by row.
    fn descend(&self, inputs: &[f32], width: usize, at: &mut [u32]) {
        at.fill(0);
        for _ in 0..self.depth {
            for (at, row) in at.iter_mut().zip(inputs.chunks_exact(width)) {
                let node = &self.nodes[*at as usize];
                let value = row[(node.feature & !(DEFAULT_LEFT | ASKS_SET)) as usize];
                let passes = match node.feature & ASKS_SET {
                    0 => value < node.value,
                    _ => self.sets[node.value.to_bits() as usize].holds(value),
                };
                let left = passes | (value.is_nan() & (node.feature >= DEFAULT_LEFT));
                *at = node.children[usize::from(left)];
            }
        }
    }
}

/// Splits on the longest way down.
pub fn depth(tree: &Tree) -> usize {
    let mut deepest = 0;
    let mut open = vec![(0usize, 0usize)];
    while let Some((at, depth)) = open.pop() {
        deepest = deepest.max(depth);
        if let Node::Split(split) = &tree.nodes[at] {
            open.extend([(split.left as usize, depth + 1), (split.right as usize, depth + 1)]);
        }
    }
    deepest
}

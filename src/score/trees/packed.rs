//! Large trees, walked on bins. From some size on it is cheaper to go down a tree than to evaluate all of it: a node is
//! eight bytes, both children stand side by side, and a step is two loads, a compare and an addition, many rows at a time.

use super::lanes::{BLOCK, Column, Lane, Splits};
use super::{Node, Tree};

/// Rows that go down together, so that one's loads hide behind the others'.
const LANES: usize = 16;
/// A step costs about as much as this many splits in lanes of two bytes.
const SPLITS_OF_A_STEP: usize = 25;
/// Steps between two looks at whether all rows have ended.
const STEPS: usize = 4;

#[derive(Debug)]
pub struct Packed {
    /// From the top: the left child (16 bits), where the column begins among the lanes of all columns (32), and the bin
    /// below which a row goes left (16). The right child follows the left one. A leaf looks at a column of zeros and is its
    /// own left child.
    nodes: Vec<u64>,
    depth: usize,
    /// Columns that nodes look at.
    columns: usize,
}

impl Packed {
    /// The tree and the number of the leaf at each node, when walking pays and the numbers fit.
    pub fn new<L: Lane>(tree: &Tree, splits: &Splits<'_>) -> Option<(Packed, Vec<Option<u32>>)> {
        let count = tree.nodes.iter().filter(|node| node.split().is_some()).count();
        let depth = super::depth(tree);
        let fits = 2 * count < usize::from(u16::MAX) && splits.columns() < usize::from(u16::MAX);
        if L::MOST_LEAVES <= 256 || !fits || count <= SPLITS_OF_A_STEP * depth {
            return None;
        }
        let mut order = vec![0usize];
        let (mut nodes, mut leaves) = (Vec::new(), Vec::new());
        while let Some(at) = order.get(nodes.len()).copied() {
            let here = nodes.len() as u64;
            let (left, column, below) = match &tree.nodes[at] {
                Node::Leaf(_) => (here, splits.columns() as u64, 1),
                Node::Split(split) => {
                    let left = order.len() as u64;
                    order.extend([split.left as usize, split.right as usize]);
                    let (column, below) = splits.place(split);
                    (left, column as u64, below)
                }
            };
            nodes.push(left << 48 | (column * Column::<L>::LANES as u64) << 16 | L::bin(below).index() as u64);
            leaves.push(if let Node::Leaf(number) = tree.nodes[at] { Some(number) } else { None });
        }
        Some((Packed { nodes, depth, columns: splits.columns() + 1 }, leaves))
    }

    /// The node in which each row of a block ends, of as many rows as there are answers, in sixteens. `columns` are those
    /// that the tree was packed for.
    pub fn walk<L: Lane>(&self, columns: &[Column<L>], answers: &mut [L]) {
        assert!(columns.len() >= self.columns && answers.len() <= BLOCK);
        for (lanes, answers) in answers.chunks_exact_mut(LANES).enumerate() {
            // SAFETY: there are that many rows.
            let rows = unsafe { columns.as_ptr().cast::<L>().add(lanes * LANES) };
            let mut at = [0u32; LANES];
            for _ in 0..self.depth.div_ceil(STEPS) {
                for _ in 1..STEPS {
                    // SAFETY: as `step` asks: the first rows of a block, or later ones of it.
                    unsafe { self.step(rows, &mut at) };
                }
                let before = at;
                // SAFETY: as above.
                unsafe { self.step(rows, &mut at) };
                // Deep trees are deep in few places.
                if before == at {
                    break;
                }
            }
            for (answer, at) in answers.iter_mut().zip(at) {
                *answer = L::of(at as usize);
            }
        }
    }

    /// # Safety
    /// `lanes` are the first column's, of as many columns as the tree was packed for, and have `LANES` more rows; the last
    /// column is of zeros.
    #[inline(always)]
    unsafe fn step<L: Lane>(&self, lanes: *const L, at: &mut [u32; LANES]) {
        for (lane, at) in at.iter_mut().enumerate() {
            // SAFETY: rows begin at node 0, and every node's children are nodes: the left one by construction, the
            // right one because it stands behind it. A leaf's column of zeros keeps it where it is.
            let node = unsafe { *self.nodes.get_unchecked(*at as usize) };
            let column = (node >> 16) as u32 as usize;
            // SAFETY: every node's column is below `self.columns`; `walk` has asked for that many, and for no more answers
            // than a column has rows.
            let bin = unsafe { *lanes.add(column + lane) };
            *at = (node >> 48) as u32 + u32::from(!bin.below(L::of(usize::from(node as u16))));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::binned::Program;
    use super::super::walk::leaves;
    use super::super::{Leaves, Split, Test, Tree};
    use super::*;

    /// A tree of two long arms and a bushy middle, walked packed and as it stands.
    #[test]
    fn a_packed_tree_ends_where_the_tree_does() {
        let mut nodes = vec![Node::Leaf(0)];
        let mut open = vec![0usize];
        let mut state = 7u32;
        while nodes.len() < 3001 {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let at = open.swap_remove(if state.is_multiple_of(5) {
                open.len() - 1
            } else {
                (state >> 8) as usize % open.len()
            });
            let next = nodes.len() as u32;
            nodes[at] = Node::Split(Split {
                feature: (state >> 4) % 3,
                test: Test::Below((state >> 10) as f32 / 2e6),
                default_left: state & 1 == 0,
                left: next,
                right: next + 1,
            });
            nodes.extend([Node::Leaf(next), Node::Leaf(next + 1)]);
            open.extend([next as usize, next as usize + 1]);
        }
        let values = (0..nodes.len()).map(|n| n as f64).collect();
        let tree = Tree { nodes, outputs: vec![Leaves { group: 0, values }] };
        let program = Program::<u16, f64>::new(std::slice::from_ref(&tree)).unwrap();
        assert!(program.trees[0].packed.is_some());
        let rows: Vec<f32> =
            (0..3 * 500).map(|i| if i % 17 == 0 { f32::NAN } else { (i * 7919 % 2003) as f32 }).collect();
        let expected = leaves(std::slice::from_ref(&tree), 3, 500, &rows);
        let kernel = super::super::kernel::Kernel::<f64>::new(std::slice::from_ref(&tree), 3);
        let mut sums = vec![0.0; 500];
        kernel.add(3, 500, &rows, &mut sums);
        assert!(sums.iter().zip(&expected[0]).all(|(sum, leaf)| *sum == f64::from(*leaf)));
    }
}

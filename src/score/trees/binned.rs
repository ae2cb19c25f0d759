//! Trees as programs over small integers. Only the order of a value among a feature's thresholds matters, so each value
//! becomes the number of thresholds that are not greater (its bin), and `x < t` becomes `bin < rank(t)`: nothing is
//! approximated. A tree is evaluated from its leaves up, every node for a whole block of rows, without a jump: a node
//! takes one of its two children's answers, lane by lane. A missing value costs nothing: each column exists twice, with
//! missing as the greatest bin (right) and as the least (left), and a node reads the copy that it wants.

use super::{LEAF, Node, Tree};

/// Rows that are evaluated together.
pub const BLOCK: usize = 256;
/// Answers that wait for their parent at once; a tree of 2^16 leaves needs 17.
pub const SLOTS: usize = 18;
/// Leaves that fit four registers of 512 bits.
pub const SMALL_TREE: usize = 64;
/// Thresholds of a feature that two compares of 16 lanes find a value among.
const TWO_COMPARES: usize = 255;

/// The integer that stands for a bin and for a leaf.
pub trait Lane: Copy + Default + PartialOrd + Send + Sync + 'static {
    /// What a missing value is on its way right.
    const MISSING: Self;
    /// Thresholds that a feature may have, and leaves that a tree may have.
    const MOST_CUTS: usize;
    const MOST_LEAVES: usize;
    fn of(value: usize) -> Self;
    fn index(self) -> usize;
}

impl Lane for u8 {
    const MISSING: u8 = u8::MAX;
    const MOST_CUTS: usize = 254;
    const MOST_LEAVES: usize = 256;
    fn of(value: usize) -> u8 {
        value as u8
    }
    fn index(self) -> usize {
        usize::from(self)
    }
}

impl Lane for u16 {
    const MISSING: u16 = u16::MAX;
    const MOST_CUTS: usize = 65_534;
    const MOST_LEAVES: usize = 65_536;
    fn of(value: usize) -> u16 {
        value as u16
    }
    fn index(self) -> usize {
        usize::from(self)
    }
}

/// The thresholds of one feature, ascending and distinct.
#[derive(Debug)]
pub struct Cuts {
    pub all: Vec<f32>,
    /// The last threshold of each full run of 16, padded with infinity.
    pub pivots: [f32; 16],
    /// Runs of 16, padded with NaN, which nothing is greater than.
    pub runs: Vec<[f32; 16]>,
}

impl Cuts {
    fn new(mut all: Vec<f32>) -> Cuts {
        all.sort_by(f32::total_cmp);
        // -0.0 and 0.0 are one threshold.
        all.dedup_by(|a, b| a == b);
        let mut pivots = [f32::INFINITY; 16];
        let mut runs = vec![[f32::NAN; 16]; 16];
        if all.len() <= TWO_COMPARES {
            for (i, cut) in all.iter().enumerate() {
                runs[i / 16][i % 16] = *cut;
                if i % 16 == 15 {
                    pivots[i / 16] = *cut;
                }
            }
        }
        Cuts { all, pivots, runs }
    }

    /// Thresholds that are not greater than a value; 0 for NaN.
    pub fn bin(&self, value: f32) -> usize {
        self.all.partition_point(|cut| *cut <= value)
    }
}

/// One split: `out = if column < threshold { left } else { right }`, for every row of a block.
#[derive(Clone, Copy, Debug)]
pub struct Op<L> {
    /// Feature times two, plus one when a missing value goes left.
    pub column: u32,
    pub threshold: L,
    /// A leaf, or the slot of an answer.
    pub left: L,
    pub right: L,
    pub out: u8,
    /// 1: left is a leaf; 2: right is a leaf.
    pub leaves: u8,
}

#[derive(Debug)]
pub struct TreeProgram<L> {
    pub ops: Vec<Op<L>>,
    /// Leaf values, padded to at least [`SMALL_TREE`].
    pub leaves: Vec<f32>,
    pub small: bool,
    pub group: usize,
}

#[derive(Debug)]
pub struct Program<L> {
    pub cuts: Vec<Cuts>,
    pub trees: Vec<TreeProgram<L>>,
}

impl<L: Lane> Program<L> {
    /// `None` when a feature has too many thresholds or a tree too many leaves for these lanes. The trees have been
    /// checked: every walk ends.
    pub fn new(trees: &[Tree], width: usize) -> Option<Program<L>> {
        let mut cuts = vec![Vec::new(); width];
        for node in trees.iter().flat_map(|tree| &tree.nodes).filter(|node| node.left != LEAF) {
            cuts[node.feature as usize].push(node.value);
        }
        let cuts: Vec<Cuts> = cuts.into_iter().map(Cuts::new).collect();
        if cuts.iter().any(|cuts| cuts.all.len() > L::MOST_CUTS) {
            return None;
        }
        let trees = trees.iter().map(|tree| program(tree, &cuts)).collect::<Option<Vec<_>>>()?;
        Some(Program { cuts, trees })
    }
}

/// How many answers must wait at once below each node (its Strahler number); 0 for a leaf.
fn strahler(tree: &Tree) -> Vec<u8> {
    let mut order = Vec::with_capacity(tree.nodes.len());
    let mut open = vec![0usize];
    while let Some(at) = open.pop() {
        order.push(at);
        let node = tree.nodes[at];
        if node.left != LEAF {
            open.extend([node.left as usize, node.right as usize]);
        }
    }
    let mut numbers = vec![0u8; tree.nodes.len()];
    for at in order.into_iter().rev() {
        let node = tree.nodes[at];
        if node.left != LEAF {
            let (left, right) = (numbers[node.left as usize], numbers[node.right as usize]);
            numbers[at] = if left == right { left + 1 } else { left.max(right) };
        }
    }
    numbers
}

enum Step {
    Visit(usize, u8),
    Emit(usize, u8),
}

/// The splits in an order in which every child comes before its parent, the heavier child first.
fn program<L: Lane>(tree: &Tree, cuts: &[Cuts]) -> Option<TreeProgram<L>> {
    let weights = strahler(tree);
    let is_leaf = |node: &Node| node.left == LEAF;
    let mut answers = vec![0usize; tree.nodes.len()];
    let (mut ops, mut leaves) = (Vec::new(), Vec::new());
    let mut steps = vec![Step::Visit(0, 0)];
    while let Some(step) = steps.pop() {
        match step {
            Step::Visit(at, _) if is_leaf(&tree.nodes[at]) => {
                answers[at] = leaves.len();
                leaves.push(tree.nodes[at].value);
            }
            Step::Visit(at, slot) => {
                let (left, right) = (tree.nodes[at].left as usize, tree.nodes[at].right as usize);
                let (first, second) = if weights[left] >= weights[right] { (left, right) } else { (right, left) };
                let waits = u8::from(!is_leaf(&tree.nodes[first]));
                steps.extend([Step::Emit(at, slot), Step::Visit(second, slot + waits), Step::Visit(first, slot)]);
            }
            Step::Emit(at, slot) => {
                let node = &tree.nodes[at];
                let (left, right) = (node.left as usize, node.right as usize);
                answers[at] = usize::from(slot);
                let leaf = |child: usize| u8::from(is_leaf(&tree.nodes[child]));
                ops.push(Op {
                    column: node.feature * 2 + u32::from(node.default_left),
                    threshold: L::of(cuts[node.feature as usize].bin(node.value)),
                    left: L::of(answers[left]),
                    right: L::of(answers[right]),
                    out: slot,
                    leaves: leaf(left) | (leaf(right) << 1),
                });
            }
        }
    }
    if leaves.len() > L::MOST_LEAVES || usize::from(weights[0]) >= SLOTS {
        return None;
    }
    let small = leaves.len() <= SMALL_TREE;
    leaves.resize(leaves.len().max(SMALL_TREE), 0.0);
    Some(TreeProgram { ops, leaves, small, group: tree.group as usize })
}

/// Room for one block: two copies of every column, and the sums of every output.
pub struct Room<L> {
    pub columns: Vec<L>,
    pub sums: Vec<f32>,
}

impl<L: Lane> Room<L> {
    pub fn new(width: usize, outputs: usize) -> Room<L> {
        Room { columns: vec![L::default(); 2 * width * BLOCK], sums: vec![0.0; outputs * BLOCK] }
    }
}

/// Bins one column of a block; `columns` are its two copies.
#[inline(always)]
pub fn bin_column<L: Lane>(cuts: &Cuts, values: &[f32], columns: &mut [L]) {
    let (right, left) = columns.split_at_mut(BLOCK);
    for ((value, right), left) in values.iter().zip(right).zip(left) {
        let bin = L::of(cuts.bin(*value));
        (*right, *left) = if value.is_nan() { (L::MISSING, L::of(0)) } else { (bin, bin) };
    }
}

/// Adds every tree's leaves to the sums of a block, as any processor can.
#[inline(always)]
pub fn evaluate<L: Lane>(program: &Program<L>, room: &mut Room<L>) {
    let mut slots = [[L::default(); BLOCK]; SLOTS];
    for tree in &program.trees {
        for op in &tree.ops {
            let column = &room.columns[op.column as usize * BLOCK..][..BLOCK];
            let left = if op.leaves & 1 == 1 { [op.left; BLOCK] } else { slots[op.left.index() % SLOTS] };
            let right = if op.leaves & 2 == 2 { [op.right; BLOCK] } else { slots[op.right.index() % SLOTS] };
            let out = &mut slots[usize::from(op.out) % SLOTS];
            for i in 0..BLOCK {
                out[i] = if column[i] < op.threshold { left[i] } else { right[i] };
            }
        }
        let sums = &mut room.sums[tree.group * BLOCK..][..BLOCK];
        match tree.ops.is_empty() {
            true => sums.iter_mut().for_each(|sum| *sum += tree.leaves[0]),
            false => sums.iter_mut().zip(&slots[0]).for_each(|(sum, leaf)| *sum += tree.leaves[leaf.index()]),
        }
    }
}

//! Trees as programs over small integers. Only the order of a value among a feature's thresholds matters, so each value
//! becomes the number of thresholds that are not greater (its bin), and `x < t` becomes `bin < rank(t)`: nothing is
//! approximated. A tree is evaluated from its leaves up, every node for a whole block of rows, without a jump: a node
//! takes one of its two children's answers, lane by lane. A missing value costs nothing: each column exists twice, with
//! missing as the greatest bin (right) and as the least (left), and a node reads the copy that it wants. A split on a set
//! of values reads a column of zeros and ones that is made of the bins once per block.

use std::collections::{BTreeMap, HashMap};

pub use super::lanes::{BLOCK, Column, Cuts, Lane};
use super::lanes::{SEARCHED, Splits, TWO_COMPARES};
use super::packed::Packed;
use super::{Node, Set, Sum, Test, Tree};

/// Rows come in so many, which fill every kind of register.
const STEP: usize = 64;
/// Answers that wait for their parent at once; a tree of 2^16 leaves needs 17.
pub const SLOTS: usize = 18;
/// Leaves that fit four registers of 512 bits.
pub const SMALL_TREE: usize = 64;
/// One split: `out = if column < threshold { left } else { right }`, for every row of a block.
#[derive(Clone, Copy, Debug)]
pub struct Op<L> {
    /// The place of the feature among those that are split on, times two, plus one when a missing value goes left; or
    /// that of a column made of a set.
    pub column: u32,
    pub threshold: L,
    /// A leaf, or the slot of an answer.
    pub left: L,
    pub right: L,
    pub out: u8,
    /// 1: left is a leaf; 2: right is a leaf.
    pub leaves: u8,
    /// Splits that can be evaluated at once from here on: 3 when the next but one takes this answer and the next one's,
    /// 2 when the next takes this answer and a leaf, else 1. The first of them have only leaves.
    pub fused: u8,
}

#[derive(Debug)]
pub struct TreeProgram<L, V> {
    pub ops: Vec<Op<L>>,
    /// Takes the place of the splits where walking pays; a leaf is then known by its node.
    pub packed: Option<Packed>,
    /// Each output that the tree adds to, with the leaves' values, padded to at least [`SMALL_TREE`].
    pub outputs: Vec<(usize, Vec<V>)>,
    pub small: bool,
}

impl<L, V> TreeProgram<L, V> {
    /// Every row ends in the only leaf.
    pub fn is_leaf(&self) -> bool {
        self.ops.is_empty() && self.packed.is_none()
    }
}

/// A column made of another's bins: 0 where the value is in a set, else 1. A split on the set is then `column < 1`.
#[derive(Debug)]
pub struct SetColumn<L> {
    /// The place of its cuts.
    cuts: usize,
    /// The answer for each bin, and last for a missing value.
    answers: Vec<L>,
}

#[derive(Debug)]
pub struct Program<L, V> {
    /// Of the features that are split on.
    pub cuts: Vec<Cuts>,
    pub sets: Vec<SetColumn<L>>,
    pub trees: Vec<TreeProgram<L, V>>,
}

impl<L: Lane, V: Sum> Program<L, V> {
    /// `None` when a feature has too many thresholds or a tree too many leaves for these lanes. The trees have been
    /// checked: every walk ends.
    pub fn new(trees: &[Tree]) -> Option<Program<L, V>> {
        let splits = || trees.iter().flat_map(|tree| &tree.nodes).filter_map(Node::split);
        let mut ends: BTreeMap<u32, Vec<f32>> = BTreeMap::new();
        let mut numbers = HashMap::new();
        for split in splits() {
            let ends = ends.entry(split.feature).or_default();
            match &split.test {
                Test::Below(threshold) => ends.push(*threshold),
                Test::In(set) => {
                    ends.extend(set.ends());
                    let next = numbers.len();
                    numbers.entry((split.feature, split.default_left, set)).or_insert(next);
                }
            }
        }
        let places: HashMap<u32, usize> = ends.keys().zip(0..).map(|(feature, place)| (*feature, place)).collect();
        let cuts: Vec<Cuts> = ends.into_iter().map(|(feature, ends)| Cuts::new(feature as usize, ends)).collect();
        if cuts.iter().any(|cuts| cuts.all.len() > L::MOST_CUTS) {
            return None;
        }
        let made = |feature: &u32, default_left, set| set_column(places[feature], default_left, set, &cuts);
        let mut sets: Vec<(usize, SetColumn<L>)> = numbers
            .iter()
            .map(|((feature, default_left, set), number)| (*number, made(feature, *default_left, set)))
            .collect();
        sets.sort_by_key(|(number, _)| *number);
        let sets = sets.into_iter().map(|(_, column)| column).collect();
        let splits = Splits { cuts: &cuts, places: &places, sets: numbers };
        let trees = trees.iter().map(|tree| program(tree, &splits)).collect::<Option<Vec<_>>>()?;
        Some(Program { cuts, sets, trees })
    }
}

fn set_column<L: Lane>(place: usize, default_left: bool, set: &Set, cuts: &[Cuts]) -> SetColumn<L> {
    let answer = |inside: bool| L::bin(usize::from(!inside));
    let all = &cuts[place].all;
    // A bin begins at its threshold; the first one lies below all of them.
    let mut answers = vec![answer(set.holds(f32::NEG_INFINITY))];
    answers.extend(all.iter().map(|cut| answer(set.holds(*cut))));
    if L::MOST_CUTS < TWO_COMPARES {
        // Among padded thresholds an infinite value finds a bin beyond the last.
        let last = answer(set.holds(f32::INFINITY));
        answers.resize(L::MOST_CUTS + 1, last);
    }
    answers.push(answer(default_left));
    SetColumn { cuts: place, answers }
}

/// Fills the columns made of sets, once the columns of features are there.
pub fn fill_sets<L: Lane, V: Sum>(program: &Program<L, V>, room: &mut Room<L, V>) {
    let (features, made) = room.columns.split_at_mut(2 * program.cuts.len());
    for (set, out) in program.sets.iter().zip(made) {
        let bins = &features[2 * set.cuts].lanes[..room.lanes];
        let last = set.answers.len() - 1;
        for (out, bin) in out.lanes.iter_mut().zip(bins) {
            *out = set.answers[bin.rank().min(last)];
        }
    }
}

/// How many answers must wait at once below each node (its Strahler number); 0 for a leaf.
fn strahler(tree: &Tree) -> Vec<u8> {
    let mut order = Vec::with_capacity(tree.nodes.len());
    let mut open = vec![0usize];
    while let Some(at) = open.pop() {
        order.push(at);
        if let Node::Split(split) = &tree.nodes[at] {
            open.extend([split.left as usize, split.right as usize]);
        }
    }
    let mut numbers = vec![0u8; tree.nodes.len()];
    for at in order.into_iter().rev() {
        if let Node::Split(split) = &tree.nodes[at] {
            let (left, right) = (numbers[split.left as usize], numbers[split.right as usize]);
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
fn program<L: Lane, V: Sum>(tree: &Tree, splits: &Splits<'_>) -> Option<TreeProgram<L, V>> {
    if let Some((packed, leaves)) = Packed::new::<L>(tree, splits) {
        let values = |of: &super::Leaves| {
            let value = |leaf: &Option<u32>| leaf.map_or_else(V::default, |number| V::of(of.values[number as usize]));
            (of.group as usize, leaves.iter().map(value).collect())
        };
        let outputs = tree.outputs.iter().map(values).collect();
        return Some(TreeProgram { ops: Vec::new(), packed: Some(packed), outputs, small: false });
    }
    let weights = strahler(tree);
    let mut answers = vec![0usize; tree.nodes.len()];
    let (mut ops, mut leaves) = (Vec::new(), Vec::new());
    let mut steps = vec![Step::Visit(0, 0)];
    while let Some(step) = steps.pop() {
        let (Step::Visit(at, slot) | Step::Emit(at, slot)) = step;
        let split = match &tree.nodes[at] {
            Node::Leaf(number) => {
                answers[at] = leaves.len();
                leaves.push(*number as usize);
                continue;
            }
            Node::Split(split) => split,
        };
        let (left, right) = (split.left as usize, split.right as usize);
        let leaf = |child: usize| matches!(tree.nodes[child], Node::Leaf(_));
        if let Step::Visit(..) = step {
            let (first, second) = if weights[left] >= weights[right] { (left, right) } else { (right, left) };
            let waits = u8::from(!leaf(first));
            steps.extend([Step::Emit(at, slot), Step::Visit(second, slot + waits), Step::Visit(first, slot)]);
            continue;
        }
        answers[at] = usize::from(slot);
        let (column, threshold) = splits.place(split);
        ops.push(Op {
            column: column as u32,
            threshold: L::bin(threshold),
            left: L::of(answers[left]),
            right: L::of(answers[right]),
            out: slot,
            leaves: u8::from(leaf(left)) | (u8::from(leaf(right)) << 1),
            fused: 1,
        });
    }
    if leaves.len() > L::MOST_LEAVES || usize::from(weights[0]) >= SLOTS {
        return None;
    }
    fuse(&mut ops);
    let padding = SMALL_TREE.saturating_sub(leaves.len());
    let values = |of: &super::Leaves| {
        let picked = leaves.iter().map(|number| V::of(of.values[*number]));
        (of.group as usize, picked.chain(std::iter::repeat_n(V::default(), padding)).collect())
    };
    let outputs = tree.outputs.iter().map(values).collect();
    Some(TreeProgram { ops, packed: None, outputs, small: leaves.len() <= SMALL_TREE })
}

/// Marks the splits that can be evaluated together without a slot between them.
fn fuse<L>(ops: &mut [Op<L>]) {
    let mut at = 0;
    while at < ops.len() {
        let kinds: Vec<u8> = ops[at..].iter().take(3).map(|op| op.leaves).collect();
        // Children stand right before their parent, so whoever follows them with as many open sides takes them.
        ops[at].fused = match kinds.as_slice() {
            [3, 3, 0] => 3,
            [3, 1 | 2, ..] => 2,
            _ => 1,
        };
        at += usize::from(ops[at].fused);
    }
}

/// Room for one block: two copies of every column, the columns made of sets, one of zeros, and the sums of every output.
pub struct Room<L, V> {
    pub columns: Vec<Column<L>>,
    pub sums: Vec<V>,
    /// How many of the block are evaluated.
    pub lanes: usize,
}

impl<L: Lane, V: Sum> Room<L, V> {
    pub fn new(program: &Program<L, V>, outputs: usize) -> Room<L, V> {
        let columns = 2 * program.cuts.len() + program.sets.len() + 1;
        Room {
            columns: vec![Column { lanes: [L::bin(0); BLOCK], _apart: [0; 64] }; columns],
            sums: vec![V::default(); outputs * BLOCK],
            lanes: BLOCK,
        }
    }

    /// What stands behind the last row is evaluated too, and never read.
    pub fn take(&mut self, rows: usize) {
        self.lanes = rows.next_multiple_of(STEP).min(BLOCK);
    }
}

/// Bins one column of a block into its two copies.
#[inline(always)]
pub fn bin_column<L: Lane>(cuts: &Cuts, values: &[f32], [right, left]: [&mut Column<L>; 2]) {
    let columns = right.lanes.chunks_exact_mut(SEARCHED).zip(left.lanes.chunks_exact_mut(SEARCHED));
    for (values, (right, left)) in values.chunks(SEARCHED).zip(columns) {
        let mut whole = [f32::NAN; SEARCHED];
        whole[..values.len()].copy_from_slice(values);
        for (i, bin) in cuts.bins(&whole).into_iter().enumerate() {
            (right[i], left[i]) = L::bins(bin, whole[i].is_nan());
        }
    }
}

/// Adds the leaves with these numbers to the sums of the tree's outputs. Loads one by one are as fast as a gather, when
/// the additions are made side by side.
#[inline(always)]
pub fn add_leaves<L: Lane, V: Sum>(tree: &TreeProgram<L, V>, answers: &[L], sums: &mut [V]) {
    for (group, leaves) in &tree.outputs {
        let sums = &mut sums[group * BLOCK..][..answers.len()];
        if tree.is_leaf() {
            sums.iter_mut().for_each(|sum| *sum += leaves[0]);
            continue;
        }
        for (sums, answers) in sums.chunks_exact_mut(8).zip(answers.chunks_exact(8)) {
            let values: [V; 8] = std::array::from_fn(|i| leaves[answers[i].index()]);
            sums.iter_mut().zip(values).for_each(|(sum, value)| *sum += value);
        }
    }
}

/// Adds the leaves of a tree that is walked; false when it is not.
#[inline(always)]
pub fn add_packed<L: Lane, V: Sum>(tree: &TreeProgram<L, V>, room: &mut Room<L, V>) -> bool {
    let Some(packed) = &tree.packed else { return false };
    let mut answers = [L::default(); BLOCK];
    let answers = &mut answers[..room.lanes];
    packed.walk(&room.columns, answers);
    add_leaves(tree, answers, &mut room.sums);
    true
}

/// Adds every tree's leaves to the sums of a block, as any processor can.
#[inline(always)]
pub fn evaluate<L: Lane, V: Sum>(program: &Program<L, V>, room: &mut Room<L, V>) {
    let mut slots = [[L::default(); BLOCK]; SLOTS];
    let (mut left, mut right) = ([L::default(); BLOCK], [L::default(); BLOCK]);
    for tree in &program.trees {
        if add_packed(tree, room) {
            continue;
        }
        for op in &tree.ops {
            let column = &room.columns[op.column as usize].lanes[..room.lanes];
            let side = |is_leaf: bool, number: L, other: &mut [L; BLOCK]| match is_leaf {
                true => other[..room.lanes].fill(number),
                false => other[..room.lanes].copy_from_slice(&slots[number.index() % SLOTS][..room.lanes]),
            };
            side(op.leaves & 1 == 1, op.left, &mut left);
            side(op.leaves & 2 == 2, op.right, &mut right);
            let out = &mut slots[usize::from(op.out) % SLOTS];
            for (i, bin) in column.iter().enumerate() {
                out[i] = if bin.below(op.threshold) { left[i] } else { right[i] };
            }
        }
        add_leaves(tree, &slots[0][..room.lanes], &mut room.sums);
    }
}

//! Which way trees are evaluated: binned in the widest registers that the processor has, or walked.

use super::binned::{self, BLOCK, Column, Cuts, Lane, Program, Room};
use super::walk::{Flat, walk};
use super::{Sum, Tree};
#[cfg(target_arch = "x86_64")]
use super::{avx2, avx512};

#[derive(Debug)]
pub enum Kernel<V> {
    /// Every feature has at most 254 thresholds and every tree at most 256 leaves.
    Bytes(Program<u8, V>, Registers),
    /// Every feature has at most 65,534 thresholds and every tree at most 65,536 leaves.
    Words(Program<u16, V>, Registers),
    Walk(Vec<Flat<V>>),
}

/// What the processor has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Registers {
    Avx512,
    Avx2,
    Plain,
}

impl Registers {
    pub fn best() -> Registers {
        #[cfg(target_arch = "x86_64")]
        {
            if avx512::available() {
                return Registers::Avx512;
            }
            if avx2::available() {
                return Registers::Avx2;
            }
        }
        Registers::Plain
    }
}

impl<V: Sum> Kernel<V> {
    pub fn new(trees: &[Tree], width: usize) -> Kernel<V> {
        Kernel::first(trees, |kernel| kernel.proves_itself(trees, width))
    }

    /// The widest kernel that is good, or the walk.
    fn first(trees: &[Tree], good: impl Fn(&Kernel<V>) -> bool) -> Kernel<V> {
        let mut registers = Registers::best();
        loop {
            let kernel = Kernel::with(trees, registers);
            if good(&kernel) {
                return kernel;
            }
            registers = match registers {
                Registers::Avx512 => Registers::Avx2,
                Registers::Avx2 => Registers::Plain,
                Registers::Plain => return Kernel::Walk(trees.iter().map(Flat::new).collect()),
            };
        }
    }

    fn with(trees: &[Tree], registers: Registers) -> Kernel<V> {
        if let Some(program) = Program::new(trees) {
            return Kernel::Bytes(program, registers);
        }
        match Program::new(trees) {
            Some(program) => Kernel::Words(program, registers),
            None => Kernel::Walk(trees.iter().map(Flat::new).collect()),
        }
    }

    /// Its lanes and its registers.
    pub fn name(&self) -> String {
        match self {
            Kernel::Bytes(_, registers) => format!("bytes, {registers:?}"),
            Kernel::Words(_, registers) => format!("words, {registers:?}"),
            Kernel::Walk(_) => "walk".into(),
        }
    }

    /// Before a kernel is used it must agree with the walk to the last bit, on this processor, with this model's own
    /// thresholds, the values beside them, and missing ones.
    fn proves_itself(&self, trees: &[Tree], width: usize) -> bool {
        const ROWS: usize = 48;
        let cuts = match self {
            Kernel::Bytes(program, _) => &program.cuts,
            Kernel::Words(program, _) => &program.cuts,
            Kernel::Walk(_) => return true,
        };
        let mut values = vec![f32::NAN; width * ROWS];
        for cuts in cuts.iter().filter(|cuts| !cuts.all.is_empty()) {
            let feature = cuts.feature;
            for row in (0..ROWS).filter(|row| (row + feature) % 11 != 0) {
                let cut = cuts.all[(row * 7919 + feature * 31) % cuts.all.len()];
                values[feature * ROWS + row] = match (row + feature) % 7 {
                    0 => f32::INFINITY,
                    1 => f32::NEG_INFINITY,
                    2 | 3 => cut,
                    4 => cut.next_down(),
                    _ => cut.next_up(),
                };
            }
        }
        let outputs = trees.iter().flat_map(|tree| &tree.outputs).map(|o| o.group as usize + 1).max().unwrap_or(1);
        let (mut found, mut expected) = (vec![V::default(); outputs * ROWS], vec![V::default(); outputs * ROWS]);
        self.add(width, ROWS, &values, &mut found);
        let flat: Vec<Flat<V>> = trees.iter().map(Flat::new).collect();
        walk(&flat, width, ROWS, &values, &mut expected);
        found.iter().zip(&expected).all(|(a, b)| a.bits() == b.bits())
    }

    /// Adds every tree's leaves to `margins`, `[outputs, rows]`; `values` are `[width, rows]`.
    pub fn add(&self, width: usize, rows: usize, values: &[f32], margins: &mut [V]) {
        match self {
            Kernel::Walk(trees) => walk(trees, width, rows, values, margins),
            Kernel::Bytes(program, registers) => match registers {
                #[cfg(target_arch = "x86_64")]
                Registers::Avx512 => blocks(
                    (program, rows, values, margins),
                    // SAFETY: `available` has found the features that both functions are compiled for.
                    |cuts, values, columns| unsafe { avx512::bin_bytes(cuts, values, columns) },
                    // SAFETY: as above.
                    |program, room| unsafe { avx512::evaluate::<_, _, { BLOCK / 64 }>(program, room) },
                ),
                #[cfg(target_arch = "x86_64")]
                Registers::Avx2 => blocks(
                    (program, rows, values, margins),
                    // SAFETY: `available` has found the features that both functions are compiled for.
                    |cuts, values, columns| unsafe { avx2::bin_bytes(cuts, values, columns) },
                    // SAFETY: as above.
                    |program, room| unsafe { avx2::evaluate::<_, _, { BLOCK / 32 }>(program, room) },
                ),
                _ => blocks((program, rows, values, margins), binned::bin_column, binned::evaluate),
            },
            Kernel::Words(program, registers) => match registers {
                #[cfg(target_arch = "x86_64")]
                Registers::Avx512 => blocks(
                    (program, rows, values, margins),
                    binned::bin_column,
                    // SAFETY: `available` has found the features that the function is compiled for.
                    |program, room| unsafe { avx512::evaluate::<_, _, { BLOCK / 32 }>(program, room) },
                ),
                #[cfg(target_arch = "x86_64")]
                Registers::Avx2 => blocks(
                    (program, rows, values, margins),
                    binned::bin_column,
                    // SAFETY: `available` has found the features that the function is compiled for.
                    |program, room| unsafe { avx2::evaluate::<_, _, { BLOCK / 16 }>(program, room) },
                ),
                _ => blocks((program, rows, values, margins), binned::bin_column, binned::evaluate),
            },
        }
    }
}

/// Block by block: bin the columns, evaluate, add to the margins.
fn blocks<L: Lane, V: Sum>(
    (program, rows, values, margins): (&Program<L, V>, usize, &[f32], &mut [V]),
    bin: impl Fn(&Cuts, &[f32], [&mut Column<L>; 2]),
    evaluate: impl Fn(&Program<L, V>, &mut Room<L, V>),
) {
    let outputs = margins.len() / rows.max(1);
    let mut room = Room::new(program, outputs);
    for first in (0..rows).step_by(BLOCK) {
        let n = BLOCK.min(rows - first);
        room.take(n);
        for (cuts, [right, left]) in program.cuts.iter().zip(room.columns.as_chunks_mut().0) {
            bin(cuts, &values[cuts.feature * rows + first..][..n], [right, left]);
        }
        binned::fill_sets(program, &mut room);
        // The sums go on from the margins, so that every row is summed in one order, whatever its block.
        for output in 0..outputs {
            room.sums[output * BLOCK..][..n].copy_from_slice(&margins[output * rows + first..][..n]);
        }
        evaluate(program, &mut room);
        for output in 0..outputs {
            margins[output * rows + first..][..n].copy_from_slice(&room.sums[output * BLOCK..][..n]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Leaves, Node, Set, Split, Test};
    use super::*;

    struct Random(u64);

    impl Random {
        fn below(&mut self, n: usize) -> usize {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            (self.0 >> 11) as usize % n
        }
    }

    /// The number of the leaf as the definition says it, a row and a tree at a time.
    fn plain(tree: &Tree, row: &[f32]) -> usize {
        let mut at = 0usize;
        loop {
            let split = match &tree.nodes[at] {
                Node::Leaf(number) => return *number as usize,
                Node::Split(split) => split,
            };
            let value = row[split.feature as usize];
            let passes = match &split.test {
                Test::Below(threshold) => value < *threshold,
                Test::In(set) => set.ends().chunks(2).any(|range| range[0] <= value && value < range[1]),
            };
            let left = if value.is_nan() { split.default_left } else { passes };
            at = if left { split.left } else { split.right } as usize;
        }
    }

    /// What a random tree is made of.
    #[derive(Clone, Copy)]
    struct Shape {
        splits: usize,
        /// Different thresholds.
        thresholds: usize,
        chain: bool,
        /// One split in so many asks a set; 0 for none.
        sets: usize,
    }

    /// A random tree whose leaves are worth their own numbers.
    fn random_tree(random: &mut Random, width: usize, shape: Shape) -> Tree {
        let mut nodes = vec![Node::Leaf(0)];
        let mut leaves = vec![0usize];
        for _ in 0..shape.splits {
            let pick = if shape.chain { leaves.len() - 1 } else { random.below(leaves.len()) };
            let at = leaves.swap_remove(pick);
            let next = nodes.len() as u32;
            let mut threshold = || random.below(shape.thresholds) as f32 / 2.0 - 1.0;
            let test = match shape.sets {
                1.. if next.is_multiple_of(shape.sets as u32) => {
                    let ranges = (0..5).map(|_| threshold()).map(|start| (start, start + 0.5)).collect();
                    Test::In(Set::of(ranges).unwrap())
                }
                _ => Test::Below(threshold()),
            };
            let feature = random.below(width) as u32;
            let default_left = random.below(2) == 0;
            nodes[at] = Node::Split(Split { feature, test, default_left, left: next, right: next + 1 });
            leaves.extend([nodes.len(), nodes.len() + 1]);
            nodes.extend([Node::Leaf(next), Node::Leaf(next + 1)]);
        }
        let values = (0..nodes.len()).map(|number| number as f64).collect();
        Tree { nodes, outputs: vec![Leaves { group: 0, values }] }
    }

    fn value(random: &mut Random, thresholds: usize) -> f32 {
        match random.below(40) {
            0 => f32::NAN,
            1 => f32::INFINITY,
            2 => f32::NEG_INFINITY,
            3 => -0.0,
            4 => f32::MIN_POSITIVE / 2.0,
            5 => f32::MAX,
            _ => random.below(2 * thresholds) as f32 / 4.0 - 1.0,
        }
    }

    fn registers() -> Vec<Registers> {
        let best = Registers::best();
        [Registers::Avx512, Registers::Avx2, Registers::Plain].into_iter().skip_while(|r| *r != best).collect()
    }

    /// Every kernel finds the very leaf that the plain walk finds, for every row.
    #[test]
    fn every_kernel_ends_in_the_leaf_of_the_plain_walk() {
        let mut random = Random(0x9e37_79b9_7f4a_7c15);
        for (splits, thresholds, chain, sets, kind) in [
            (0, 4, false, 0, "bytes"),
            (1, 4, false, 0, "bytes"),
            (1, 4, false, 1, "bytes"),
            (7, 8, false, 3, "bytes"),
            (63, 8, false, 1, "bytes"),
            (64, 254, false, 0, "bytes"),
            (64, 100, false, 2, "bytes"),
            (255, 254, false, 0, "bytes"),
            (120, 60, true, 5, "bytes"),
            (256, 8, false, 4, "words"),
            (511, 4000, false, 0, "words"),
            (511, 4000, false, 6, "words"),
            (3000, 30_000, false, 0, "words"),
            (2000, 500, true, 0, "words"),
            (66_000, 100, false, 3, "walk"),
        ] {
            let (width, rows) = (6, 1 + random.below(2 * BLOCK));
            let tree = random_tree(&mut random, width, Shape { splits, thresholds, chain, sets });
            let values: Vec<f32> = (0..width * rows).map(|_| value(&mut random, thresholds)).collect();
            let row = |row: usize| (0..width).map(|f| values[f * rows + row]).collect::<Vec<_>>();
            let expected: Vec<usize> = (0..rows).map(|i| plain(&tree, &row(i))).collect();
            for registers in registers() {
                let kernel = Kernel::<f64>::with(std::slice::from_ref(&tree), registers);
                let what = format!("{splits} splits, {sets} sets, {registers:?}");
                assert!(kernel.name().starts_with(kind), "{what}: {}", kernel.name());
                assert!(kernel.proves_itself(std::slice::from_ref(&tree), width), "{what}");
                let mut margins = vec![0.0; rows];
                kernel.add(width, rows, &values, &mut margins);
                assert!(margins.iter().zip(&expected).all(|(found, leaf)| *found == *leaf as f64), "{what}");
                let kernel = Kernel::<f32>::with(std::slice::from_ref(&tree), registers);
                let mut margins = vec![0.0; rows];
                kernel.add(width, rows, &values, &mut margins);
                assert!(margins.iter().zip(&expected).all(|(found, leaf)| *found == *leaf as f32), "{what}");
            }
            let walked = super::super::walk::leaves(std::slice::from_ref(&tree), width, rows, &values);
            assert!(walked[0].iter().zip(&expected).all(|(found, leaf)| *found as usize == *leaf), "{splits} walked");
        }
    }

    /// A kernel that does not give what the walk gives is not used.
    #[test]
    fn a_kernel_that_fails_its_proof_gives_way_to_the_walk() {
        let shape = Shape { splits: 20, thresholds: 9, chain: false, sets: 4 };
        let trees = [random_tree(&mut Random(3), 4, shape)];
        let mut kernel = Kernel::<f32>::with(&trees, Registers::best());
        assert!(kernel.proves_itself(&trees, 4));
        let Kernel::Bytes(program, _) = &mut kernel else { panic!() };
        program.trees[0].outputs[0].1.iter_mut().for_each(|leaf| *leaf += 1.0);
        assert!(!kernel.proves_itself(&trees, 4));
        assert_eq!(Kernel::<f32>::first(&trees, |_| false).name(), "walk");
        assert_eq!(Kernel::<f32>::first(&trees, |kernel| kernel.name().contains("Plain")).name(), "bytes, Plain");
    }

    /// A split that nothing passes, and features that no split asks for.
    #[test]
    fn an_empty_set_sends_everything_right() {
        let empty = Test::In(Set::of(Vec::new()).unwrap());
        let root = Split { feature: 70_000, test: empty, default_left: true, left: 1, right: 2 };
        let nodes = vec![Node::Split(root), Node::Leaf(0), Node::Leaf(1)];
        let tree = Tree { nodes, outputs: vec![Leaves { group: 0, values: vec![1.0, 2.0] }] };
        let mut values = vec![0.5; 3 * 70_001];
        values[3 * 70_000..].copy_from_slice(&[f32::NAN, 0.0, f32::INFINITY]);
        for registers in registers() {
            let kernel = Kernel::<f32>::with(std::slice::from_ref(&tree), registers);
            let mut sums = vec![0.0; 3];
            kernel.add(70_001, 3, &values, &mut sums);
            assert_eq!(sums, [1.0, 2.0, 2.0], "{}", kernel.name());
        }
        // What importers make of it needs no set.
        assert!(matches!(Test::within(Vec::new()), Some(Test::Below(f32::NEG_INFINITY))));
    }

    /// Sums are made in one order, so that they are equal to the last bit.
    #[test]
    fn every_kernel_sums_in_the_order_of_the_trees() {
        sums_in_order::<f32>();
        sums_in_order::<f64>();
    }

    fn sums_in_order<V: Sum>() {
        let mut random = Random(7);
        for splits in [1, 30, 300] {
            let (width, rows, groups) = (5usize, BLOCK + 700, 3usize);
            let trees: Vec<Tree> = (0..40)
                .map(|i| {
                    let shape = Shape { splits, thresholds: 40, chain: false, sets: i % 7 };
                    let mut tree = random_tree(&mut random, width, shape);
                    let values: Vec<f64> =
                        (0..tree.nodes.len()).map(|n| f64::from((n as f32 * 0.37 + i as f32).sin())).collect();
                    // Some trees add to two outputs.
                    tree.outputs = (0..1 + i % 2)
                        .map(|more| Leaves { group: ((i + more) % groups) as u32, values: values.clone() })
                        .collect();
                    tree
                })
                .collect();
            let values: Vec<f32> = (0..width * rows).map(|_| value(&mut random, 40)).collect();
            let mut expected: Vec<V> = (0..groups).flat_map(|g| vec![V::of(0.25 + g as f64); rows]).collect();
            let start = expected.clone();
            for row in 0..rows {
                let inputs: Vec<f32> = (0..width).map(|f| values[f * rows + row]).collect();
                for tree in &trees {
                    let leaf = plain(tree, &inputs);
                    for output in &tree.outputs {
                        expected[output.group as usize * rows + row] += V::of(output.values[leaf]);
                    }
                }
            }
            let bits = |margins: &[V]| margins.iter().map(|m| m.bits()).collect::<Vec<_>>();
            for registers in registers() {
                let mut margins = start.clone();
                Kernel::with(&trees, registers).add(width, rows, &values, &mut margins);
                assert!(bits(&margins) == bits(&expected), "{splits} splits, {registers:?}");
            }
        }
    }
}

//! Which way trees are evaluated: binned in the widest registers that the processor has, or walked.

use super::Tree;
use super::binned::{self, BLOCK, Cuts, Lane, Program, Room};
use super::walk::{Flat, walk};
#[cfg(target_arch = "x86_64")]
use super::{avx2, avx512};

#[derive(Debug)]
pub enum Kernel {
    /// Every feature has at most 254 thresholds and every tree at most 256 leaves.
    Bytes(Program<u8>, Registers),
    /// ... 65,534 and 65,536.
    Words(Program<u16>, Registers),
    Walk(Vec<Flat>),
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

impl Kernel {
    pub fn new(trees: &[Tree], width: usize) -> Kernel {
        let mut registers = Registers::best();
        loop {
            let kernel = Kernel::with(trees, width, registers);
            if registers == Registers::Plain || kernel.proves_itself(trees, width) {
                return kernel;
            }
            registers = if registers == Registers::Avx512 { Registers::Avx2 } else { Registers::Plain };
        }
    }

    fn with(trees: &[Tree], width: usize, registers: Registers) -> Kernel {
        if let Some(program) = Program::new(trees, width) {
            return Kernel::Bytes(program, registers);
        }
        match Program::new(trees, width) {
            Some(program) => Kernel::Words(program, registers),
            None => Kernel::Walk(trees.iter().map(Flat::new).collect()),
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
        for (feature, cuts) in cuts.iter().enumerate().filter(|(_, cuts)| !cuts.all.is_empty()) {
            for row in (0..ROWS).filter(|row| (row + feature) % 11 != 0) {
                let cut = cuts.all[(row * 7919 + feature * 31) % cuts.all.len()];
                values[feature * ROWS + row] = match (row + feature) % 3 {
                    0 => cut,
                    1 => cut.next_down(),
                    _ => cut.next_up(),
                };
            }
        }
        let outputs = trees.iter().map(|tree| tree.group as usize + 1).max().unwrap_or(1);
        let (mut found, mut expected) = (vec![0.0; outputs * ROWS], vec![0.0; outputs * ROWS]);
        self.add(width, ROWS, &values, &mut found);
        let flat: Vec<Flat> = trees.iter().map(Flat::new).collect();
        walk(&flat, width, ROWS, &values, &mut expected);
        found.iter().zip(&expected).all(|(a, b)| a.to_bits() == b.to_bits())
    }

    /// Adds every tree's leaves to `margins`, `[outputs, rows]`; `values` are `[width, rows]`.
    pub fn add(&self, width: usize, rows: usize, values: &[f32], margins: &mut [f32]) {
        match self {
            Kernel::Walk(trees) => walk(trees, width, rows, values, margins),
            Kernel::Bytes(program, registers) => match registers {
                #[cfg(target_arch = "x86_64")]
                Registers::Avx512 => blocks(
                    (program, rows, values, margins),
                    // SAFETY: `available` has found the features that both functions are compiled for.
                    |cuts, values, columns| unsafe { avx512::bin_bytes(cuts, values, columns) },
                    // SAFETY: as above.
                    |program, room| unsafe { avx512::evaluate_bytes(program, room) },
                ),
                #[cfg(target_arch = "x86_64")]
                Registers::Avx2 => blocks(
                    (program, rows, values, margins),
                    // SAFETY: `available` has found the features that both functions are compiled for.
                    |cuts, values, columns| unsafe { avx2::bin_bytes(cuts, values, columns) },
                    // SAFETY: as above.
                    |program, room| unsafe { avx2::evaluate_bytes(program, room) },
                ),
                _ => blocks((program, rows, values, margins), binned::bin_column, binned::evaluate),
            },
            Kernel::Words(program, registers) => match registers {
                #[cfg(target_arch = "x86_64")]
                Registers::Avx512 => blocks(
                    (program, rows, values, margins),
                    binned::bin_column,
                    // SAFETY: `available` has found the features that the function is compiled for.
                    |program, room| unsafe { avx512::evaluate_words(program, room) },
                ),
                #[cfg(target_arch = "x86_64")]
                Registers::Avx2 => blocks(
                    (program, rows, values, margins),
                    binned::bin_column,
                    // SAFETY: `available` has found the features that the function is compiled for.
                    |program, room| unsafe { avx2::evaluate_words(program, room) },
                ),
                _ => blocks((program, rows, values, margins), binned::bin_column, binned::evaluate),
            },
        }
    }
}

/// Block by block: bin the columns, evaluate, add to the margins.
fn blocks<L: Lane>(
    (program, rows, values, margins): (&Program<L>, usize, &[f32], &mut [f32]),
    bin: impl Fn(&Cuts, &[f32], &mut [L]),
    evaluate: impl Fn(&Program<L>, &mut Room<L>),
) {
    let outputs = margins.len() / rows.max(1);
    let mut room = Room::new(program.cuts.len(), outputs);
    for first in (0..rows).step_by(BLOCK) {
        let n = BLOCK.min(rows - first);
        for (feature, cuts) in program.cuts.iter().enumerate().filter(|(_, cuts)| !cuts.all.is_empty()) {
            let column = &mut room.columns[2 * feature * BLOCK..][..2 * BLOCK];
            bin(cuts, &values[feature * rows + first..][..n], column);
        }
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
    use super::super::{LEAF, Node};
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

    fn end(value: f32) -> Node {
        Node { feature: 0, value, left: LEAF, right: LEAF, default_left: false }
    }

    /// A random tree of `splits` splits whose leaves are their own numbers; thresholds from a few values up to many.
    fn random_tree(random: &mut Random, width: usize, splits: usize, thresholds: usize, chain: bool) -> Tree {
        let mut nodes = vec![end(0.0)];
        let mut leaves = vec![0usize];
        for _ in 0..splits {
            let pick = if chain { leaves.len() - 1 } else { random.below(leaves.len()) };
            let at = leaves.swap_remove(pick);
            let next = nodes.len() as u32;
            nodes[at] = Node {
                feature: random.below(width) as u32,
                value: random.below(thresholds) as f32 / 2.0 - 1.0,
                left: next,
                right: next + 1,
                default_left: random.below(2) == 0,
            };
            leaves.extend([nodes.len(), nodes.len() + 1]);
            nodes.extend([end(next as f32), end(next as f32 + 1.0)]);
        }
        Tree { nodes, group: 0 }
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
        for (splits, thresholds, chain, kind) in [
            (0, 4, false, "bytes"),
            (1, 4, false, "bytes"),
            (7, 8, false, "bytes"),
            (63, 8, false, "bytes"),
            (64, 254, false, "bytes"),
            (255, 254, false, "bytes"),
            (120, 60, true, "bytes"),
            (256, 8, false, "words"),
            (511, 4000, false, "words"),
            (3000, 30_000, false, "words"),
            (2000, 500, true, "words"),
            (66_000, 100, false, "walk"),
        ] {
            let (width, rows) = (6, 1 + random.below(700));
            let tree = random_tree(&mut random, width, splits, thresholds, chain);
            let values: Vec<f32> = (0..width * rows).map(|_| value(&mut random, thresholds)).collect();
            let expected: Vec<f32> = (0..rows)
                .map(|row| plain(&tree, &(0..width).map(|f| values[f * rows + row]).collect::<Vec<_>>()))
                .collect();
            for registers in registers() {
                let kernel = Kernel::with(std::slice::from_ref(&tree), width, registers);
                let found = match &kernel {
                    Kernel::Bytes(..) => "bytes",
                    Kernel::Words(..) => "words",
                    Kernel::Walk(..) => "walk",
                };
                assert_eq!(found, kind, "{splits} splits");
                assert!(kernel.proves_itself(std::slice::from_ref(&tree), width), "{registers:?}");
                let mut margins = vec![0.0; rows];
                kernel.add(width, rows, &values, &mut margins);
                assert_eq!(margins, expected, "{splits} splits, {registers:?}");
            }
            let mut walked = vec![0.0; rows];
            walk(&[Flat::new(&tree)], width, rows, &values, &mut walked);
            assert_eq!(walked, expected, "{splits} splits, walked");
        }
    }

    /// Sums are made in one order, so that they are equal to the last bit.
    #[test]
    fn every_kernel_sums_in_the_order_of_the_trees() {
        let mut random = Random(7);
        for splits in [1, 30, 300] {
            let (width, rows, groups) = (5usize, 700usize, 3usize);
            let trees: Vec<Tree> = (0..40)
                .map(|i| {
                    let mut tree = random_tree(&mut random, width, splits, 40, false);
                    tree.nodes.iter_mut().filter(|n| n.left == LEAF).for_each(|n| n.value = (n.value * 0.37).sin());
                    Tree { group: (i % groups) as u32, ..tree }
                })
                .collect();
            let values: Vec<f32> = (0..width * rows).map(|_| value(&mut random, 40)).collect();
            let mut expected: Vec<f32> = (0..groups).flat_map(|g| vec![0.25 + g as f32; rows]).collect();
            let start = expected.clone();
            for row in 0..rows {
                let inputs: Vec<f32> = (0..width).map(|f| values[f * rows + row]).collect();
                for tree in &trees {
                    expected[tree.group as usize * rows + row] += plain(tree, &inputs);
                }
            }
            let bits = |margins: &[f32]| margins.iter().map(|m| m.to_bits()).collect::<Vec<_>>();
            for registers in registers() {
                let mut margins = start.clone();
                Kernel::with(&trees, width, registers).add(width, rows, &values, &mut margins);
                assert_eq!(bits(&margins), bits(&expected), "{splits} splits, {registers:?}");
            }
        }
    }
}

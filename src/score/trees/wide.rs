//! The evaluation of a block in wide registers, written once for every width. The module that asks for it has the type
//! `Register`, the functions `load`, `store`, `all`, `pick` and `add`, and the names of `binned` that are used here.

/// Makes `evaluate`, compiled for these features of the processor.
macro_rules! evaluation {
    ($features:literal) => {
        /// A split in registers, of lanes of one or two bytes.
        struct Wide<'a, L> {
            column: &'a Column<L>,
            threshold: Register,
            left: Register,
            right: Register,
        }

        impl<'a, L: Lane> Wide<'a, L> {
            #[inline]
            #[target_feature(enable = $features)]
            fn new(op: &Op<L>, columns: &'a [Column<L>]) -> Wide<'a, L> {
                Wide {
                    column: &columns[op.column as usize],
                    threshold: all(op.threshold),
                    left: all(op.left),
                    right: all(op.right),
                }
            }

            /// One of two answers for each of the rows of register `i`.
            #[inline]
            #[target_feature(enable = $features)]
            fn pick(&self, i: usize, left: Register, right: Register) -> Register {
                // SAFETY: a column is BLOCK lanes, and i stays below the registers that they fill.
                let bins = unsafe { load(self.column.lanes.as_ptr().cast::<Register>().add(i)) };
                pick::<L>(bins, self.threshold, left, right)
            }

            /// The answers of a split of which both sides are leaves.
            #[inline]
            #[target_feature(enable = $features)]
            fn leaf(&self, i: usize) -> Register {
                self.pick(i, self.left, self.right)
            }
        }

        /// Adds every tree's leaves to the sums of a block, which fills `N` registers when it is whole.
        #[target_feature(enable = $features)]
        pub fn evaluate<L: Lane, V: Sum, const N: usize>(program: &Program<L, V>, room: &mut Room<L, V>) {
            const { assert!(N * size_of::<Register>() == BLOCK * size_of::<L>()) };
            let registers = room.lanes * size_of::<L>() / size_of::<Register>();
            let mut slots = [[all(L::default()); N]; SLOTS];
            let mut answers = [L::default(); BLOCK];
            for tree in &program.trees {
                if add_packed(tree, room) {
                    continue;
                }
                let mut rest = tree.ops.as_slice();
                while let [op, ..] = rest {
                    let (now, later) = rest.split_at(usize::from(op.fused).min(rest.len()));
                    rest = later;
                    one_step(now, &room.columns, &mut slots, registers);
                }
                for (i, register) in slots[0].iter().enumerate().take(registers) {
                    // SAFETY: there are BLOCK lanes, and i stays below the registers that they fill.
                    unsafe { store(answers.as_mut_ptr().cast::<Register>().add(i), *register) };
                }
                add(tree, &answers[..room.lanes], &mut room.sums);
            }
        }

        /// One to three splits whose answers need no slot but the last. One loop for each kind, so that none decides
        /// inside; which comes next cannot be foretold, so a loop should be long.
        #[inline]
        #[target_feature(enable = $features)]
        fn one_step<L: Lane, const N: usize>(
            ops: &[Op<L>],
            columns: &[Column<L>],
            slots: &mut [[Register; N]; SLOTS],
            registers: usize,
        ) {
            let Some(last) = ops.last() else { return };
            let parent = Wide::new(last, columns);
            let (from_left, from_right) = (last.left.index() % SLOTS, last.right.index() % SLOTS);
            let out = usize::from(last.out) % SLOTS;
            macro_rules! each {
                ($i:ident, $answer:expr) => {
                    for $i in 0..registers.min(N) {
                        slots[out][$i] = $answer;
                    }
                };
            }
            match ops {
                [first, second, _] => {
                    let turned = last.left.index() != usize::from(first.out);
                    let (left, right) = if turned { (second, first) } else { (first, second) };
                    let (left, right) = (Wide::new(left, columns), Wide::new(right, columns));
                    each!(i, parent.pick(i, left.leaf(i), right.leaf(i)));
                }
                [child, _] => {
                    let child = Wide::new(child, columns);
                    match last.leaves {
                        1 => each!(i, parent.pick(i, parent.left, child.leaf(i))),
                        _ => each!(i, parent.pick(i, child.leaf(i), parent.right)),
                    }
                }
                _ => match last.leaves {
                    0 => each!(i, parent.pick(i, slots[from_left][i], slots[from_right][i])),
                    1 => each!(i, parent.pick(i, parent.left, slots[from_right][i])),
                    2 => each!(i, parent.pick(i, slots[from_left][i], parent.right)),
                    _ => each!(i, parent.leaf(i)),
                },
            }
        }
    };
}

pub(super) use evaluation;

//! The evaluation of a block in registers of 256 bits: per split a maximum, a compare and a blend of 32 (or 16) rows.

use std::arch::x86_64::*;

use super::Sum;
use super::binned::{BLOCK, Cuts, Lane, Op, Program, Room, SLOTS, add_leaves, add_packed};

/// Registers of a block in byte lanes, and in lanes of two bytes.
const BYTES: usize = BLOCK / 32;
const WORDS: usize = BLOCK / 16;

/// Whether this processor has what the functions below need.
pub fn available() -> bool {
    is_x86_feature_detected!("avx2") && is_x86_feature_detected!("popcnt")
}

/// How many of 16 thresholds are not greater than a value.
#[inline]
#[target_feature(enable = "avx2,popcnt")]
fn not_greater(value: __m256, thresholds: &[f32; 16]) -> u32 {
    // SAFETY: there are 16 floats.
    let (low, high) = unsafe { (_mm256_loadu_ps(thresholds.as_ptr()), _mm256_loadu_ps(thresholds.as_ptr().add(8))) };
    let low = _mm256_movemask_ps(_mm256_cmp_ps::<_CMP_GE_OQ>(value, low)).count_ones();
    low + _mm256_movemask_ps(_mm256_cmp_ps::<_CMP_GE_OQ>(value, high)).count_ones()
}

/// Bins one column; at most 255 thresholds.
#[target_feature(enable = "avx2,popcnt")]
pub fn bin_bytes(cuts: &Cuts, values: &[f32], columns: &mut [u8]) {
    let (right, left) = columns.split_at_mut(BLOCK);
    for ((value, right), left) in values.iter().zip(right).zip(left) {
        let all = _mm256_set1_ps(*value);
        // Full runs that end at or below the value, then thresholds of the next run that do.
        let run = not_greater(all, &cuts.pivots).min(15);
        let bin = (run * 16 + not_greater(all, &cuts.runs[run as usize])) as u8;
        (*right, *left) = if value.is_nan() { (u8::MAX, 0) } else { (bin, bin) };
    }
}

/// A split in registers, of lanes of one or two bytes.
struct Wide<'a, L> {
    column: &'a [L],
    threshold: __m256i,
    left: __m256i,
    right: __m256i,
}

impl<'a, L: Lane> Wide<'a, L> {
    #[inline]
    #[target_feature(enable = "avx2,popcnt")]
    fn new(op: &Op<L>, columns: &'a [L]) -> Wide<'a, L> {
        let all = |lane: L| match size_of::<L>() {
            1 => _mm256_set1_epi8(lane.index() as i8),
            _ => _mm256_set1_epi16(lane.index() as i16),
        };
        Wide {
            column: &columns[op.column as usize * BLOCK..][..BLOCK],
            threshold: all(op.threshold),
            left: all(op.left),
            right: all(op.right),
        }
    }

    /// One of two answers for each of the rows of register `i`.
    #[inline]
    #[target_feature(enable = "avx2,popcnt")]
    fn pick(&self, i: usize, left: __m256i, right: __m256i) -> __m256i {
        // SAFETY: a column is BLOCK lanes, and i stays below the registers that they fill.
        let bins = unsafe { _mm256_loadu_si256(self.column.as_ptr().cast::<__m256i>().add(i)) };
        let goes_right = match size_of::<L>() {
            1 => _mm256_cmpeq_epi8(_mm256_max_epu8(bins, self.threshold), bins),
            _ => _mm256_cmpeq_epi16(_mm256_max_epu16(bins, self.threshold), bins),
        };
        _mm256_blendv_epi8(left, right, goes_right)
    }

    /// ... when both are leaves.
    #[inline]
    #[target_feature(enable = "avx2,popcnt")]
    fn leaf(&self, i: usize) -> __m256i {
        self.pick(i, self.left, self.right)
    }
}

#[target_feature(enable = "avx2,popcnt")]
pub fn evaluate_bytes<V: Sum>(program: &Program<u8, V>, room: &mut Room<u8, V>) {
    let mut slots = [[_mm256_setzero_si256(); BYTES]; SLOTS];
    for tree in &program.trees {
        let mut rest = tree.ops.as_slice();
        while let [op, ..] = rest {
            let (now, later) = rest.split_at(usize::from(op.fused).min(rest.len()));
            rest = later;
            one_step(now, &room.columns, &mut slots);
        }
        let mut answers = [0u8; BLOCK];
        for (i, register) in slots[0].iter().enumerate() {
            // SAFETY: there are BLOCK bytes, and i stays below BLOCK / 32.
            unsafe { _mm256_storeu_si256(answers.as_mut_ptr().add(32 * i).cast(), *register) };
        }
        add_leaves(tree, &answers, &mut room.sums);
    }
}

/// One to three splits whose answers need no slot but the last. One loop for each kind, so that none decides inside.
#[inline]
#[target_feature(enable = "avx2,popcnt")]
fn one_step<L: Lane, const N: usize>(ops: &[Op<L>], columns: &[L], slots: &mut [[__m256i; N]; SLOTS]) {
    let Some(last) = ops.last() else { return };
    let parent = Wide::new(last, columns);
    let (from_left, from_right) = (last.left.index() % SLOTS, last.right.index() % SLOTS);
    let out = usize::from(last.out) % SLOTS;
    macro_rules! each {
        ($i:ident, $answer:expr) => {
            for $i in 0..N {
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

#[target_feature(enable = "avx2,popcnt")]
pub fn evaluate_words<V: Sum>(program: &Program<u16, V>, room: &mut Room<u16, V>) {
    let mut slots = [[_mm256_setzero_si256(); WORDS]; SLOTS];
    for tree in &program.trees {
        if add_packed(tree, room) {
            continue;
        }
        let mut rest = tree.ops.as_slice();
        while let [op, ..] = rest {
            let (now, later) = rest.split_at(usize::from(op.fused).min(rest.len()));
            rest = later;
            one_step(now, &room.columns, &mut slots);
        }
        let mut answers = [0u16; BLOCK];
        for (i, register) in slots[0].iter().enumerate() {
            // SAFETY: there are BLOCK lanes of two bytes, and i stays below BLOCK / 16.
            unsafe { _mm256_storeu_si256(answers.as_mut_ptr().add(16 * i).cast(), *register) };
        }
        add_leaves(tree, &answers, &mut room.sums);
    }
}

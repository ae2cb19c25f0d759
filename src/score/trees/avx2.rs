//! The evaluation of a block in registers of 256 bits: per split a maximum, a compare and a blend of 32 (or 16) rows.

use std::arch::x86_64::*;

use super::Sum;
use super::binned::{BLOCK, Cuts, Program, Room, SLOTS, add_leaves};

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

#[target_feature(enable = "avx2,popcnt")]
pub fn evaluate_bytes<V: Sum>(program: &Program<u8, V>, room: &mut Room<u8, V>) {
    let mut slots = [[_mm256_setzero_si256(); BYTES]; SLOTS];
    for tree in &program.trees {
        for op in &tree.ops {
            let threshold = _mm256_set1_epi8(op.threshold as i8);
            let column = &room.columns[op.column as usize * BLOCK..][..BLOCK];
            let (left, right) = (_mm256_set1_epi8(op.left as i8), _mm256_set1_epi8(op.right as i8));
            let (from_left, from_right) = (usize::from(op.left) % SLOTS, usize::from(op.right) % SLOTS);
            let out = usize::from(op.out) % SLOTS;
            // One loop for each of the four kinds of split, so that none decides inside.
            macro_rules! split {
                ($i:ident, $left:expr, $right:expr) => {
                    for $i in 0..BYTES {
                        // SAFETY: a column is BLOCK bytes, and i stays below BLOCK / 32.
                        let bins = unsafe { _mm256_loadu_si256(column.as_ptr().add(32 * $i).cast()) };
                        let goes_right = _mm256_cmpeq_epi8(_mm256_max_epu8(bins, threshold), bins);
                        slots[out][$i] = _mm256_blendv_epi8($left, $right, goes_right);
                    }
                };
            }
            match op.leaves {
                0 => split!(i, slots[from_left][i], slots[from_right][i]),
                1 => split!(i, left, slots[from_right][i]),
                2 => split!(i, slots[from_left][i], right),
                _ => split!(i, left, right),
            }
        }
        let mut answers = [0u8; BLOCK];
        for (i, register) in slots[0].iter().enumerate() {
            // SAFETY: there are BLOCK bytes, and i stays below BLOCK / 32.
            unsafe { _mm256_storeu_si256(answers.as_mut_ptr().add(32 * i).cast(), *register) };
        }
        add_leaves(tree, &answers, &mut room.sums);
    }
}

#[target_feature(enable = "avx2,popcnt")]
pub fn evaluate_words<V: Sum>(program: &Program<u16, V>, room: &mut Room<u16, V>) {
    let mut slots = [[_mm256_setzero_si256(); WORDS]; SLOTS];
    for tree in &program.trees {
        for op in &tree.ops {
            let threshold = _mm256_set1_epi16(op.threshold as i16);
            let column = &room.columns[op.column as usize * BLOCK..][..BLOCK];
            let (left, right) = (_mm256_set1_epi16(op.left as i16), _mm256_set1_epi16(op.right as i16));
            let (from_left, from_right) = (usize::from(op.left) % SLOTS, usize::from(op.right) % SLOTS);
            let out = usize::from(op.out) % SLOTS;
            macro_rules! split {
                ($i:ident, $left:expr, $right:expr) => {
                    for $i in 0..WORDS {
                        // SAFETY: a column is BLOCK lanes of two bytes, and i stays below BLOCK / 16.
                        let bins = unsafe { _mm256_loadu_si256(column.as_ptr().add(16 * $i).cast()) };
                        let goes_right = _mm256_cmpeq_epi16(_mm256_max_epu16(bins, threshold), bins);
                        slots[out][$i] = _mm256_blendv_epi8($left, $right, goes_right);
                    }
                };
            }
            match op.leaves {
                0 => split!(i, slots[from_left][i], slots[from_right][i]),
                1 => split!(i, left, slots[from_right][i]),
                2 => split!(i, slots[from_left][i], right),
                _ => split!(i, left, right),
            }
        }
        let mut answers = [0u16; BLOCK];
        for (i, register) in slots[0].iter().enumerate() {
            // SAFETY: there are BLOCK lanes of two bytes, and i stays below BLOCK / 16.
            unsafe { _mm256_storeu_si256(answers.as_mut_ptr().add(16 * i).cast(), *register) };
        }
        add_leaves(tree, &answers, &mut room.sums);
    }
}

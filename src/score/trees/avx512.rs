//! The evaluation of a block in registers of 512 bits: per split one compare and one blend of 64 (or 32) rows.

use std::arch::x86_64::*;

use super::Sum;
use super::binned::{BLOCK, Cuts, Program, Room, SLOTS, add_leaves, add_packed};

/// Registers of a block in byte lanes, and in lanes of two bytes.
const BYTES: usize = BLOCK / 64;
const WORDS: usize = BLOCK / 32;

/// Whether this processor has what the functions below need.
pub fn available() -> bool {
    is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512bw") && is_x86_feature_detected!("popcnt")
}

/// Bins one column; at most 255 thresholds.
#[target_feature(enable = "avx512f,avx512bw,popcnt")]
pub fn bin_bytes(cuts: &Cuts, values: &[f32], columns: &mut [u8]) {
    let (right, left) = columns.split_at_mut(BLOCK);
    // SAFETY: pivots are 16 floats.
    let pivots = unsafe { _mm512_loadu_ps(cuts.pivots.as_ptr()) };
    for ((value, right), left) in values.iter().zip(right).zip(left) {
        let all = _mm512_set1_ps(*value);
        // Full runs that end at or below the value, then thresholds of the next run that do.
        let run = _mm512_cmp_ps_mask::<_CMP_GE_OQ>(all, pivots).count_ones().min(15) as usize;
        // SAFETY: a run is 16 floats.
        let cuts = unsafe { _mm512_loadu_ps(cuts.runs[run].as_ptr()) };
        let bin = (run as u32 * 16 + _mm512_cmp_ps_mask::<_CMP_GE_OQ>(all, cuts).count_ones()) as u8;
        (*right, *left) = if value.is_nan() { (u8::MAX, 0) } else { (bin, bin) };
    }
}

#[target_feature(enable = "avx512f,avx512bw,popcnt")]
pub fn evaluate_bytes<V: Sum>(program: &Program<u8, V>, room: &mut Room<u8, V>) {
    let mut slots = [[_mm512_setzero_si512(); BYTES]; SLOTS];
    for tree in &program.trees {
        for op in &tree.ops {
            let threshold = _mm512_set1_epi8(op.threshold as i8);
            let column = &room.columns[op.column as usize * BLOCK..][..BLOCK];
            let (left, right) = (_mm512_set1_epi8(op.left as i8), _mm512_set1_epi8(op.right as i8));
            let (from_left, from_right) = (usize::from(op.left) % SLOTS, usize::from(op.right) % SLOTS);
            let out = usize::from(op.out) % SLOTS;
            // One loop for each of the four kinds of split, so that none decides inside.
            macro_rules! split {
                ($i:ident, $left:expr, $right:expr) => {
                    for $i in 0..BYTES {
                        // SAFETY: a column is BLOCK bytes, and i stays below BLOCK / 64.
                        let bins = unsafe { _mm512_loadu_si512(column.as_ptr().add(64 * $i).cast()) };
                        slots[out][$i] = _mm512_mask_blend_epi8(_mm512_cmplt_epu8_mask(bins, threshold), $right, $left);
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
        for (group, leaves) in &tree.outputs {
            let (Some(leaves), false) = (V::singles(leaves), tree.ops.is_empty()) else { continue };
            let Some(sums) = V::singles_mut(&mut room.sums[group * BLOCK..][..BLOCK]) else { continue };
            for (i, answers) in slots[0].iter().enumerate() {
                let quarters = [
                    _mm512_extracti32x4_epi32::<0>(*answers),
                    _mm512_extracti32x4_epi32::<1>(*answers),
                    _mm512_extracti32x4_epi32::<2>(*answers),
                    _mm512_extracti32x4_epi32::<3>(*answers),
                ];
                for (quarter, sums) in quarters.into_iter().zip(sums[64 * i..][..64].chunks_exact_mut(16)) {
                    add_singles(leaves, tree.small, _mm512_cvtepu8_epi32(quarter), sums);
                }
            }
        }
        if !V::IS_SINGLE || tree.ops.is_empty() {
            let mut answers = [0u8; BLOCK];
            for (i, register) in slots[0].iter().enumerate() {
                // SAFETY: there are BLOCK bytes, and i stays below BLOCK / 64.
                unsafe { _mm512_storeu_si512(answers.as_mut_ptr().add(64 * i).cast(), *register) };
            }
            add_leaves(tree, &answers, &mut room.sums);
        }
    }
}

#[target_feature(enable = "avx512f,avx512bw,popcnt")]
pub fn evaluate_words<V: Sum>(program: &Program<u16, V>, room: &mut Room<u16, V>) {
    let mut slots = [[_mm512_setzero_si512(); WORDS]; SLOTS];
    for tree in &program.trees {
        if add_packed(tree, room) {
            continue;
        }
        for op in &tree.ops {
            let threshold = _mm512_set1_epi16(op.threshold as i16);
            let column = &room.columns[op.column as usize * BLOCK..][..BLOCK];
            let (left, right) = (_mm512_set1_epi16(op.left as i16), _mm512_set1_epi16(op.right as i16));
            let (from_left, from_right) = (usize::from(op.left) % SLOTS, usize::from(op.right) % SLOTS);
            let out = usize::from(op.out) % SLOTS;
            // One loop for each of the four kinds of split, so that none decides inside.
            macro_rules! split {
                ($i:ident, $left:expr, $right:expr) => {
                    for $i in 0..WORDS {
                        // SAFETY: a column is BLOCK lanes of two bytes, and i stays below BLOCK / 32.
                        let bins = unsafe { _mm512_loadu_si512(column.as_ptr().add(32 * $i).cast()) };
                        slots[out][$i] =
                            _mm512_mask_blend_epi16(_mm512_cmplt_epu16_mask(bins, threshold), $right, $left);
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
        for (group, leaves) in &tree.outputs {
            let (Some(leaves), false) = (V::singles(leaves), tree.ops.is_empty()) else { continue };
            let Some(sums) = V::singles_mut(&mut room.sums[group * BLOCK..][..BLOCK]) else { continue };
            for (i, answers) in slots[0].iter().enumerate() {
                let halves = [_mm512_extracti64x4_epi64::<0>(*answers), _mm512_extracti64x4_epi64::<1>(*answers)];
                for (half, sums) in halves.into_iter().zip(sums[32 * i..][..32].chunks_exact_mut(16)) {
                    add_singles(leaves, tree.small, _mm512_cvtepu16_epi32(half), sums);
                }
            }
        }
        if !V::IS_SINGLE || tree.ops.is_empty() {
            let mut answers = [0u16; BLOCK];
            for (i, register) in slots[0].iter().enumerate() {
                // SAFETY: there are BLOCK lanes of two bytes, and i stays below BLOCK / 32.
                unsafe { _mm512_storeu_si512(answers.as_mut_ptr().add(32 * i).cast(), *register) };
            }
            add_leaves(tree, &answers, &mut room.sums);
        }
    }
}

/// Adds the leaves with these numbers to 16 sums.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,popcnt")]
fn add_singles(leaves: &[f32], small: bool, numbers: __m512i, sums: &mut [f32]) {
    let leaves = leaves.as_ptr();
    let values = if small {
        // SAFETY: leaves are padded to at least 64.
        let [a, b, c, d] = unsafe {
            [
                _mm512_loadu_ps(leaves),
                _mm512_loadu_ps(leaves.add(16)),
                _mm512_loadu_ps(leaves.add(32)),
                _mm512_loadu_ps(leaves.add(48)),
            ]
        };
        let upper = _mm512_test_epi32_mask(numbers, _mm512_set1_epi32(32));
        _mm512_mask_blend_ps(upper, _mm512_permutex2var_ps(a, numbers, b), _mm512_permutex2var_ps(c, numbers, d))
    } else {
        // SAFETY: every number that a program gives is that of a leaf of its tree.
        unsafe { _mm512_i32gather_ps::<4>(numbers, leaves) }
    };
    // SAFETY: the caller gives chunks of 16.
    unsafe {
        let sum = _mm512_add_ps(_mm512_loadu_ps(sums.as_ptr()), values);
        _mm512_storeu_ps(sums.as_mut_ptr(), sum);
    }
}

//! Registers of 512 bits: per split a compare and a blend of 64 (or 32) rows, and leaves of small trees from registers.

use std::arch::x86_64::*;

use super::Sum;
use super::binned::{
    BLOCK, Column, Cuts, Lane, Op, Program, Room, SLOTS, SMALL_TREE, TreeProgram, add_leaves, add_packed,
};

type Register = __m512i;

super::wide::evaluation!("avx512f,avx512bw,popcnt");

/// Whether this processor has what the functions here need.
pub fn available() -> bool {
    is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512bw") && is_x86_feature_detected!("popcnt")
}

/// # Safety
/// As for the intrinsic.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,popcnt")]
unsafe fn load(from: *const Register) -> Register {
    // SAFETY: the caller's.
    unsafe { _mm512_loadu_si512(from) }
}

/// # Safety
/// As for the intrinsic.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,popcnt")]
unsafe fn store(to: *mut Register, register: Register) {
    // SAFETY: the caller's.
    unsafe { _mm512_storeu_si512(to, register) }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,popcnt")]
fn all<L: Lane>(lane: L) -> Register {
    match size_of::<L>() {
        1 => _mm512_set1_epi8(lane.index() as i8),
        _ => _mm512_set1_epi16(lane.index() as i16),
    }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,popcnt")]
fn pick<L: Lane>(bins: Register, threshold: Register, left: Register, right: Register) -> Register {
    match size_of::<L>() {
        1 => _mm512_mask_blend_epi8(_mm512_cmplt_epi8_mask(bins, threshold), right, left),
        _ => _mm512_mask_blend_epi16(_mm512_cmplt_epi16_mask(bins, threshold), right, left),
    }
}

/// Bins one column; at most 255 thresholds.
#[target_feature(enable = "avx512f,avx512bw,popcnt")]
pub fn bin_bytes(cuts: &Cuts, values: &[f32], [right, left]: [&mut Column<u8>; 2]) {
    // SAFETY: pivots are 16 floats.
    let pivots = unsafe { _mm512_loadu_ps(cuts.pivots.as_ptr()) };
    for ((value, right), left) in values.iter().zip(&mut right.lanes).zip(&mut left.lanes) {
        let all = _mm512_set1_ps(*value);
        // Full runs that end at or below the value, then thresholds of the next run that do.
        let run = _mm512_cmp_ps_mask::<_CMP_GE_OQ>(all, pivots).count_ones().min(15) as usize;
        // SAFETY: a run is 16 floats.
        let cuts = unsafe { _mm512_loadu_ps(cuts.runs[run].as_ptr()) };
        let bin = run * 16 + _mm512_cmp_ps_mask::<_CMP_GE_OQ>(all, cuts).count_ones() as usize;
        (*right, *left) = u8::bins(bin, value.is_nan());
    }
}

/// Adds the leaves with these numbers to the sums of the tree's outputs.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,popcnt")]
fn add<L: Lane, V: Sum>(tree: &TreeProgram<L, V>, answers: &[L], sums: &mut [V]) {
    if size_of::<L>() > 1 || !V::IS_SINGLE || !tree.small || tree.is_leaf() {
        return add_leaves(tree, answers, sums);
    }
    for (group, leaves) in &tree.outputs {
        let (Some(leaves), Some(sums)) =
            (V::singles(leaves), V::singles_mut(&mut sums[group * BLOCK..][..answers.len()]))
        else {
            continue;
        };
        let leaves = leaves[..SMALL_TREE].as_ptr();
        // SAFETY: there are 64 leaves.
        let [a, b, c, d] = std::array::from_fn(|i| unsafe { _mm512_loadu_ps(leaves.add(16 * i)) });
        for (numbers, sums) in answers.chunks_exact(16).zip(sums.chunks_exact_mut(16)) {
            // SAFETY: there are 16 numbers, of one byte each.
            let numbers = _mm512_cvtepu8_epi32(unsafe { _mm_loadu_si128(numbers.as_ptr().cast()) });
            let upper = _mm512_test_epi32_mask(numbers, _mm512_set1_epi32(32));
            let (low, high) = (_mm512_permutex2var_ps(a, numbers, b), _mm512_permutex2var_ps(c, numbers, d));
            // SAFETY: there are 16 sums.
            unsafe {
                let sum = _mm512_add_ps(_mm512_loadu_ps(sums.as_ptr()), _mm512_mask_blend_ps(upper, low, high));
                _mm512_storeu_ps(sums.as_mut_ptr(), sum);
            }
        }
    }
}

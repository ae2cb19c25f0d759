//! Registers of 256 bits: per split a compare and a blend of 32 (or 16) rows.

use std::arch::x86_64::*;

use super::Sum;
use super::binned::{BLOCK, Column, Cuts, Lane, Op, Program, Room, SLOTS, add_leaves as add, add_packed};

type Register = __m256i;

super::wide::evaluation!("avx2,popcnt");

/// Whether this processor has what the functions here need.
pub fn available() -> bool {
    is_x86_feature_detected!("avx2") && is_x86_feature_detected!("popcnt")
}

/// # Safety
/// As for the intrinsic.
#[inline]
#[target_feature(enable = "avx2,popcnt")]
unsafe fn load(from: *const Register) -> Register {
    // SAFETY: the caller's.
    unsafe { _mm256_loadu_si256(from) }
}

/// # Safety
/// As for the intrinsic.
#[inline]
#[target_feature(enable = "avx2,popcnt")]
unsafe fn store(to: *mut Register, register: Register) {
    // SAFETY: the caller's.
    unsafe { _mm256_storeu_si256(to, register) }
}

#[inline]
#[target_feature(enable = "avx2,popcnt")]
fn all<L: Lane>(lane: L) -> Register {
    match size_of::<L>() {
        1 => _mm256_set1_epi8(lane.index() as i8),
        _ => _mm256_set1_epi16(lane.index() as i16),
    }
}

#[inline]
#[target_feature(enable = "avx2,popcnt")]
fn pick<L: Lane>(bins: Register, threshold: Register, left: Register, right: Register) -> Register {
    let goes_left = match size_of::<L>() {
        1 => _mm256_cmpgt_epi8(threshold, bins),
        _ => _mm256_cmpgt_epi16(threshold, bins),
    };
    _mm256_blendv_epi8(right, left, goes_left)
}

/// How many of 16 thresholds are not greater than a value.
#[inline]
#[target_feature(enable = "avx2,popcnt")]
fn not_greater(value: __m256, thresholds: &[f32; 16]) -> usize {
    // SAFETY: there are 16 floats.
    let (low, high) = unsafe { (_mm256_loadu_ps(thresholds.as_ptr()), _mm256_loadu_ps(thresholds.as_ptr().add(8))) };
    let low = _mm256_movemask_ps(_mm256_cmp_ps::<_CMP_GE_OQ>(value, low)).count_ones();
    (low + _mm256_movemask_ps(_mm256_cmp_ps::<_CMP_GE_OQ>(value, high)).count_ones()) as usize
}

/// Bins one column; at most 255 thresholds.
#[target_feature(enable = "avx2,popcnt")]
pub fn bin_bytes(cuts: &Cuts, values: &[f32], [right, left]: [&mut Column<u8>; 2]) {
    for ((value, right), left) in values.iter().zip(&mut right.lanes).zip(&mut left.lanes) {
        let all = _mm256_set1_ps(*value);
        // Full runs that end at or below the value, then thresholds of the next run that do.
        let run = not_greater(all, &cuts.pivots).min(15);
        let bin = run * 16 + not_greater(all, &cuts.runs[run]);
        (*right, *left) = u8::bins(bin, value.is_nan());
    }
}

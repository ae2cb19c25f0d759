//! The profile of a column of scores: how many there are, their extremes and their mean, and how many lie in each of a fixed
//! set of bins. The bins are the same for every run, so that profiles of parts and of days can be added and compared; parts
//! add up to the same profile in whatever order they come.

use std::cell::RefCell;

use arrow::array::{Array, AsArray};
use arrow::datatypes::Float32Type;
use serde::{Deserialize, Serialize};

/// A bin holds the floats that begin alike: the sign, the exponent and nine bits of the fraction. It is at most 0.2 % wide.
const DROPPED_BITS: u32 = 14;
const BINS: usize = 1 << (32 - DROPPED_BITS);

thread_local! {
    /// Counts of one batch, all zero in between.
    static COUNTS: RefCell<Vec<u32>> = RefCell::new(vec![0; BINS]);
}

/// Of one column. NULL and NaN are counted apart, and are in nothing else.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ColumnProfile {
    pub name: String,
    pub values: u64,
    pub nulls: u64,
    pub nans: u64,
    pub sum: f64,
    pub min: Option<f32>,
    pub max: Option<f32>,
    /// The number of a bin and how many values it holds, ascending; only those that hold some.
    bins: Vec<(u32, u64)>,
}

impl ColumnProfile {
    /// Of a column of one batch; a column that is not of scores has an empty one.
    pub fn of(name: &str, column: Option<&dyn Array>) -> ColumnProfile {
        let mut profile = ColumnProfile { name: name.to_owned(), ..ColumnProfile::default() };
        let Some(scores) = column.and_then(|array| array.as_primitive_opt::<Float32Type>()) else { return profile };
        profile.nulls = scores.null_count() as u64;
        COUNTS.with_borrow_mut(|counts| match scores.nulls() {
            None => profile.count(scores.values().iter().copied(), counts),
            Some(_) => profile.count(scores.iter().flatten(), counts),
        });
        profile
    }

    fn count(&mut self, scores: impl Iterator<Item = f32>, counts: &mut [u32]) {
        let (mut first, mut last) = (u32::MAX, 0);
        let (mut min, mut max) = (f32::INFINITY, f32::NEG_INFINITY);
        for score in scores {
            if score.is_nan() {
                self.nans += 1;
                continue;
            }
            let bin = bin(score);
            counts[bin as usize] += 1;
            (first, last) = (first.min(bin), last.max(bin));
            (min, max) = (min.min(score), max.max(score));
            self.values += 1;
            self.sum += f64::from(score);
        }
        if self.values == 0 {
            return;
        }
        (self.min, self.max) = (Some(min), Some(max));
        for bin in first..=last {
            let count = std::mem::take(&mut counts[bin as usize]);
            if count > 0 {
                self.bins.push((bin, count.into()));
            }
        }
    }

    /// Adds the profile of other rows of the same column.
    pub fn merge(&mut self, other: &ColumnProfile) {
        self.values += other.values;
        self.nulls += other.nulls;
        self.nans += other.nans;
        self.sum += other.sum;
        self.min = [self.min, other.min].into_iter().flatten().reduce(f32::min);
        self.max = [self.max, other.max].into_iter().flatten().reduce(f32::max);
        let mine = std::mem::take(&mut self.bins);
        let (mut a, mut b) = (mine.iter().copied().peekable(), other.bins.iter().copied().peekable());
        loop {
            let next = match (a.peek(), b.peek()) {
                (Some(x), Some(y)) if x.0 == y.0 => a.next().zip(b.next()).map(|(x, y)| (x.0, x.1 + y.1)),
                (Some(x), Some(y)) if x.0 > y.0 => b.next(),
                (None, _) => b.next(),
                _ => a.next(),
            };
            match next {
                Some(bin) => self.bins.push(bin),
                None => break,
            }
        }
    }

    pub fn mean(&self) -> Option<f64> {
        (self.values > 0).then(|| self.sum / self.values as f64)
    }

    /// The value below which this share of the values lies, within the width of a bin.
    pub fn quantile(&self, share: f64) -> Option<f32> {
        let (min, max) = (self.min?, self.max?);
        let rank = (share.clamp(0.0, 1.0) * (self.values - 1) as f64).round() as u64;
        let mut before = 0;
        for (bin, count) in &self.bins {
            if rank < before + count {
                let (low, high) = (edge(*bin), edge(bin + 1));
                let within = (rank - before) as f32 / *count as f32;
                // The first and the last bin have no width.
                let value = if (high - low).is_finite() { low + (high - low) * within } else { low };
                return Some(value.clamp(min, max));
            }
            before += count;
        }
        Some(max)
    }

    /// The shares of the values in `steps` equal steps from the smallest to the largest value, within the width of a bin.
    pub fn histogram(&self, steps: usize) -> Vec<f64> {
        let mut shares = vec![0.0; steps];
        let (Some(min), Some(max)) = (self.min, self.max) else { return shares };
        let width = (max - min).max(f32::MIN_POSITIVE);
        for (bin, count) in &self.bins {
            let middle = edge(*bin) + (edge(bin + 1) - edge(*bin)) / 2.0;
            let step = ((middle.clamp(min, max) - min) / width * steps as f32) as usize;
            shares[step.min(steps - 1)] += *count as f64 / self.values as f64;
        }
        shares
    }
}

/// The bin of a value: bits that ascend as the values do.
fn bin(value: f32) -> u32 {
    // Zero has no sign.
    let bits = (value + 0.0).to_bits();
    let ascending = if bits >> 31 == 0 { bits | 1 << 31 } else { !bits };
    ascending >> DROPPED_BITS
}

/// The smallest value of a bin; infinity beyond the last.
fn edge(bin: u32) -> f32 {
    let Some(ascending) = bin.checked_shl(DROPPED_BITS).filter(|_| (bin as usize) < BINS) else { return f32::INFINITY };
    let value = f32::from_bits(if ascending >> 31 == 1 { ascending & !(1 << 31) } else { !ascending });
    if value.is_nan() { f32::INFINITY.copysign(value) } else { value }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::Float32Array;

    fn profile(values: &[f32]) -> ColumnProfile {
        ColumnProfile::of("p", Some(&Float32Array::from(values.to_vec())))
    }

    #[test]
    fn parts_add_up_to_the_whole_in_any_order() {
        let values: Vec<f32> = (0..100_000u64).map(|i| ((i * 7919) % 100_003) as f32 / 5e4 - 1.0).collect();
        let whole = profile(&values);
        for size in [1_000, 33_333, 99_999] {
            for turned in [false, true] {
                let mut parts: Vec<ColumnProfile> = values.chunks(size).map(profile).collect();
                if turned {
                    parts.reverse();
                }
                let mut sum = ColumnProfile { name: "p".into(), ..ColumnProfile::default() };
                parts.iter().for_each(|part| sum.merge(part));
                assert!((sum.sum - whole.sum).abs() < 1e-6);
                assert_eq!(ColumnProfile { sum: whole.sum, ..sum }, whole, "{size} {turned}");
            }
        }
        let text = serde_json::to_string(&whole).unwrap();
        assert_eq!(serde_json::from_str::<ColumnProfile>(&text).unwrap(), whole);
    }

    #[test]
    fn quantiles_and_steps_are_close_whatever_the_scale() {
        for scale in [1e-6f32, 1.0, 1e9, -3.0] {
            let mut values: Vec<f32> = (0..50_000u64).map(|i| ((i * 7919) % 50_000) as f32 / 5e4 * scale).collect();
            let profile = profile(&values);
            values.sort_by(f32::total_cmp);
            for share in [0.0, 0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 1.0] {
                let exact = values[(share * 49_999.0f64).round() as usize];
                let found = profile.quantile(share).unwrap();
                assert!((found - exact).abs() <= 0.002 * exact.abs(), "{scale} {share}: {found} {exact}");
            }
            let shares = profile.histogram(24);
            assert!((shares.iter().sum::<f64>() - 1.0).abs() < 1e-9);
            assert!(shares.iter().all(|share| (share - 1.0 / 24.0).abs() < 0.003), "{scale}: {shares:?}");
        }
    }

    #[test]
    fn what_is_no_number_is_counted_apart() {
        let array = Float32Array::from(vec![Some(0.5), None, Some(f32::NAN), Some(0.5), Some(-0.0), Some(0.0)]);
        let profile = ColumnProfile::of("p", Some(&array));
        assert_eq!((profile.values, profile.nulls, profile.nans), (4, 1, 1));
        assert_eq!((profile.min, profile.max, profile.mean()), (Some(0.0), Some(0.5), Some(0.25)));
        assert_eq!(profile.bins.len(), 2, "a zero of either sign is one value");
        assert_eq!((profile.quantile(0.0), profile.quantile(1.0)), (Some(0.0), Some(0.5)));
        // Nothing of a batch is left for the next one of the thread.
        assert_eq!(self::profile(&[]), ColumnProfile { name: "p".into(), ..ColumnProfile::default() });
        let empty = self::profile(&[f32::NAN]);
        assert_eq!((empty.quantile(0.5), empty.mean(), empty.min), (None, None, None));
        let ends = self::profile(&[f32::INFINITY, f32::NEG_INFINITY, f32::MAX, f32::MIN]);
        assert_eq!((ends.quantile(0.0), ends.quantile(1.0)), (Some(f32::NEG_INFINITY), Some(f32::INFINITY)));
    }
}

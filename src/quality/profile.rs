//! The profile of a column of scores: how many there are, their extremes and their mean, and how many lie in each of a fixed
//! set of bins. The bins are the same for every run, so that profiles of parts and of days can be added and compared; parts
//! add up to the same profile in whatever order they come.

use std::cell::RefCell;

use arrow::array::{Array, AsArray};
use arrow::datatypes::Float32Type;
use serde::{Deserialize, Serialize};

/// Up to so many rows all values are kept, and what is said of them is exact.
pub const KEPT: u64 = 1 << 17;

/// A bin holds the floats that begin alike: the sign, the exponent and twelve bits of the fraction. It is at most 0.025 % wide.
const DROPPED_BITS: u32 = 11;
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
    #[serde(with = "super::bits")]
    pub sum: f64,
    /// The bits of the values, when they are few.
    kept: Option<Vec<u32>>,
    /// The bits of the smallest and the largest value.
    ends: Option<(u32, u32)>,
    /// The number of a bin and how many values it holds, ascending; only those that hold some.
    bins: Vec<(u32, u64)>,
}

impl ColumnProfile {
    /// Of no rows.
    pub fn empty(name: &str) -> ColumnProfile {
        ColumnProfile { name: name.to_owned(), kept: Some(Vec::new()), ..ColumnProfile::default() }
    }

    /// Of a column of one batch; a column that is not of scores has an empty one. `few`: the rows may still turn out to be no
    /// more than [`KEPT`], so that the values are kept.
    pub fn of(name: &str, column: Option<&dyn Array>, few: bool) -> ColumnProfile {
        let mut profile = ColumnProfile::empty(name);
        let Some(scores) = column.and_then(|array| array.as_primitive_opt::<Float32Type>()) else { return profile };
        profile.nulls = scores.null_count() as u64;
        COUNTS.with_borrow_mut(|counts| match scores.nulls() {
            None => profile.count(scores.values().iter().copied(), few, counts),
            Some(_) => profile.count(scores.iter().flatten(), few, counts),
        });
        profile
    }

    fn count(&mut self, scores: impl Iterator<Item = f32>, few: bool, counts: &mut [u32]) {
        let (mut first, mut last) = (u32::MAX, 0);
        let (mut min, mut max) = (f32::INFINITY, f32::NEG_INFINITY);
        let mut kept = Vec::new();
        for score in scores {
            if score.is_nan() {
                self.nans += 1;
                continue;
            }
            // Zero has no sign.
            let score = score + 0.0;
            let bin = bin(score);
            counts[bin as usize] += 1;
            (first, last) = (first.min(bin), last.max(bin));
            (min, max) = (min.min(score), max.max(score));
            if few {
                kept.push(score.to_bits());
            }
            self.values += 1;
            self.sum += f64::from(score);
        }
        self.kept = Some(kept).filter(|_| few && self.rows() <= KEPT);
        if self.values == 0 {
            return;
        }
        self.ends = Some((min.to_bits(), max.to_bits()));
        for bin in first..=last {
            let count = std::mem::take(&mut counts[bin as usize]);
            if count > 0 {
                self.bins.push((bin, count.into()));
            }
        }
    }

    fn rows(&self) -> u64 {
        self.values + self.nulls + self.nans
    }

    pub fn min(&self) -> Option<f32> {
        self.ends.map(|(min, _)| f32::from_bits(min))
    }

    pub fn max(&self) -> Option<f32> {
        self.ends.map(|(_, max)| f32::from_bits(max))
    }

    /// Adds the profile of other rows of the same column.
    pub fn merge(&mut self, other: &ColumnProfile) {
        self.values += other.values;
        self.nulls += other.nulls;
        self.nans += other.nans;
        self.sum += other.sum;
        let min = [self.min(), other.min()].into_iter().flatten().reduce(f32::min);
        let max = [self.max(), other.max()].into_iter().flatten().reduce(f32::max);
        self.ends = min.zip(max).map(|(min, max)| (min.to_bits(), max.to_bits()));
        self.kept = match (self.kept.take(), &other.kept) {
            (Some(mut mine), Some(theirs)) if self.rows() <= KEPT => {
                mine.extend_from_slice(theirs);
                Some(mine)
            }
            _ => None,
        };
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

    /// The values below which these shares of the values lie: exact for few values, else within the width of a bin.
    pub fn quantiles(&self, shares: &[f64]) -> Vec<f32> {
        let Some((min, max)) = self.min().zip(self.max()) else { return Vec::new() };
        let rank = |share: f64| (share.clamp(0.0, 1.0) * (self.values - 1) as f64).round() as u64;
        if let Some(kept) = &self.kept {
            let mut values: Vec<f32> = kept.iter().map(|bits| f32::from_bits(*bits)).collect();
            values.sort_by(f32::total_cmp);
            return shares.iter().map(|share| values[rank(*share) as usize]).collect();
        }
        let one = |share: &f64| {
            let (rank, mut before) = (rank(*share), 0);
            for (bin, count) in &self.bins {
                if rank < before + count {
                    let (low, high) = (edge(*bin).max(min), edge(bin + 1).min(max));
                    let within = (rank - before) as f32 / *count as f32;
                    // The first and the last bin have no width.
                    return if (high - low).is_finite() { low + (high - low) * within } else { low };
                }
                before += count;
            }
            max
        };
        shares.iter().map(one).collect()
    }

    /// The shares of the values in equal steps from the smallest to the largest: exact for few values, else within the width of
    /// a bin.
    pub fn histogram(&self, steps: usize) -> Vec<f64> {
        let mut shares = vec![0.0; steps];
        let Some((min, max)) = self.min().zip(self.max()) else { return shares };
        let width = (max - min).max(f32::MIN_POSITIVE);
        let mut add = |value: f32, count: u64| {
            let step = ((value - min) / width * steps as f32) as usize;
            shares[step.min(steps - 1)] += count as f64 / self.values as f64;
        };
        match &self.kept {
            Some(kept) => kept.iter().for_each(|bits| add(f32::from_bits(*bits), 1)),
            None => self.bins.iter().for_each(|(bin, count)| {
                let (low, high) = (edge(*bin).max(min), edge(bin + 1).min(max));
                add(low + (high - low) / 2.0, *count);
            }),
        }
        shares
    }
}

/// The bin of a value: bits that ascend as the values do.
fn bin(value: f32) -> u32 {
    let bits = value.to_bits();
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
        ColumnProfile::of("p", Some(&Float32Array::from(values.to_vec())), true)
    }

    /// In the order of nothing.
    fn sorted(mut profile: ColumnProfile) -> ColumnProfile {
        profile.sum = 0.0;
        profile.kept.iter_mut().for_each(|kept| kept.sort_unstable());
        profile
    }

    #[test]
    fn parts_add_up_to_the_whole_in_any_order() {
        // A part that knows that the rows are many keeps nothing, and makes the same whole.
        let many: Vec<f32> = (0..200_000).map(|i| i as f32).collect();
        let mut sum = profile(&many[..100_000]);
        sum.merge(&ColumnProfile::of("p", Some(&Float32Array::from(many[100_000..].to_vec())), false));
        assert_eq!(sorted(sum), sorted(profile(&many)));
        for rows in [100_000u64, 200_000] {
            let values: Vec<f32> = (0..rows).map(|i| ((i * 7919) % 200_003) as f32 / 5e4 - 1.0).collect();
            let whole = profile(&values);
            assert_eq!(whole.kept.is_some(), rows <= KEPT);
            for (size, turned) in [(1_000, false), (33_333, true), (99_999, false), (99_999, true)] {
                let mut parts: Vec<ColumnProfile> = values.chunks(size).map(profile).collect();
                if turned {
                    parts.reverse();
                }
                let mut sum = ColumnProfile::empty("p");
                parts.iter().for_each(|part| sum.merge(part));
                assert!((sum.sum - whole.sum).abs() < 1e-6);
                assert_eq!(sorted(sum), sorted(whole.clone()), "{size} {turned}");
            }
            let text = serde_json::to_string(&whole).unwrap();
            assert_eq!(serde_json::from_str::<ColumnProfile>(&text).unwrap(), whole);
        }
    }

    #[test]
    fn quantiles_and_steps_are_exact_for_few_values_and_close_for_many() {
        const SHARES: [f64; 9] = [0.0, 0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 1.0];
        for (scale, shift) in [(1e-6f32, 0.0f32), (1.0, 0.0), (1e9, 0.0), (-3.0, 0.0), (1.0, 100.0), (1e4, 1e6)] {
            let mut values: Vec<f32> =
                (0..200_000u64).map(|i| ((i * 7919) % 200_000) as f32 / 2e5 * scale + shift).collect();
            let (few, many) = (profile(&values[..KEPT as usize]), profile(&values));
            let mut first = values[..KEPT as usize].to_vec();
            first.sort_by(f32::total_cmp);
            let exact = SHARES.map(|share| first[(share * (KEPT - 1) as f64).round() as usize]);
            assert_eq!(few.quantiles(&SHARES), exact, "{scale} {shift}");
            values.sort_by(f32::total_cmp);
            for (share, found) in SHARES.iter().zip(many.quantiles(&SHARES)) {
                let exact = values[(share * 199_999.0).round() as usize];
                assert!((found - exact).abs() <= 0.000_25 * exact.abs(), "{scale} {shift} {share}: {found} {exact}");
            }
            for profile in [&few, &many] {
                let shares = profile.histogram(24);
                assert!((shares.iter().sum::<f64>() - 1.0).abs() < 1e-9);
                assert!(shares.iter().all(|share| (share - 1.0 / 24.0).abs() < 0.02), "{scale} {shift}: {shares:?}");
            }
        }
        // A spread that is smaller than a bin lies between its ends.
        let narrow: Vec<f32> = (0..200_000).map(|i| 1000.0 + (i % 100) as f32 / 1e4).collect();
        let median = profile(&narrow).quantiles(&[0.5])[0];
        assert!((median - 1000.005).abs() < 0.001, "{median}");
    }

    #[test]
    fn what_is_no_number_is_counted_apart() {
        let array = Float32Array::from(vec![Some(0.5), None, Some(f32::NAN), Some(0.5), Some(-0.0), Some(0.0)]);
        let profile = ColumnProfile::of("p", Some(&array), true);
        assert_eq!((profile.values, profile.nulls, profile.nans), (4, 1, 1));
        assert_eq!((profile.min(), profile.max(), profile.mean()), (Some(0.0), Some(0.5), Some(0.25)));
        assert_eq!(profile.bins.len(), 2, "a zero of either sign is one value");
        assert_eq!(profile.quantiles(&[0.0, 1.0]), [0.0, 0.5]);
        // Nothing of a batch is left for the next one of the thread.
        assert_eq!(self::profile(&[]), ColumnProfile::empty("p"));
        let empty = self::profile(&[f32::NAN]);
        assert_eq!((empty.quantiles(&[0.5]), empty.mean(), empty.min()), (Vec::new(), None, None));
        let ends = [f32::INFINITY, f32::NEG_INFINITY, f32::MAX, f32::MIN].repeat(40_000);
        let ends = self::profile(&ends);
        assert_eq!(ends.quantiles(&[0.0, 1.0]), [f32::NEG_INFINITY, f32::INFINITY]);
        ends.histogram(24);
        let text = serde_json::to_string(&ends).unwrap();
        assert_eq!(serde_json::from_str::<ColumnProfile>(&text).unwrap().ends, ends.ends);
    }
}

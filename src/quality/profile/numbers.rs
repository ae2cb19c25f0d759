//! The profile of a column of numbers: how many there are, their extremes and moments, and how many lie in each of a fixed set of
//! bins.

use arrow::array::{Array, ArrowPrimitiveType, AsArray, PrimitiveArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float32Type, Float64Type, Int32Type, Int64Type};
use serde::{Deserialize, Serialize};

use super::bins::Bins;

/// Up to so many rows all scores are kept, and what is said of them is exact.
pub const KEPT: u64 = 1 << 17;

/// NULL, NaN and the infinities are counted apart, and are in nothing else.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Numbers {
    pub values: u64,
    pub nulls: u64,
    pub nans: u64,
    pub infinities: u64,
    pub zeros: u64,
    #[serde(with = "super::super::bits")]
    sum: f64,
    /// The sum of the squared distances from the mean.
    #[serde(with = "super::super::bits")]
    squares: f64,
    /// The bits of the smallest and the largest value.
    ends: Option<(u64, u64)>,
    /// The bits of the values, when they are few and were asked for.
    kept: Option<Vec<u32>>,
    bins: Bins,
    /// Of a column of whole numbers.
    whole: bool,
}

/// How the values of a batch are counted.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counted {
    /// How coarse the bins have become in other batches.
    pub coarse: u32,
    /// The rows of all batches may still turn out to be no more than [`KEPT`], so that the values are kept.
    pub few: bool,
}

impl Numbers {
    /// Of a column of one batch; none when it is not of numbers.
    pub fn of(column: &dyn Array, counted: Counted) -> Option<Numbers> {
        fn of<T: ArrowPrimitiveType>(
            column: &PrimitiveArray<T>,
            to: impl Fn(T::Native) -> f64 + Copy,
            counted: Counted,
        ) -> Numbers {
            let values = column.values();
            // Distances from the middle one of three values are about as large as those from the mean.
            let three: Vec<f64> = [values.first(), values.get(values.len() / 2), values.last()]
                .into_iter()
                .flatten()
                .map(|value| to(*value))
                .collect();
            let near = crate::stats::median(&three).filter(|value| value.is_finite()).unwrap_or(0.0);
            let finite = match column.nulls().filter(|nulls| nulls.null_count() > 0) {
                None => Numbers::finite(values.iter().map(|value| to(*value)), near, counted),
                Some(nulls) => Numbers::finite(nulls.valid_indices().map(|row| to(values[row])), near, counted),
            };
            match finite {
                Some(numbers) => Numbers { nulls: column.null_count() as u64, ..numbers },
                None => Numbers::some(column.iter().map(|value| value.map(to)), near, counted),
            }
        }
        let numbers = match column.data_type() {
            DataType::Float32 => of(column.as_primitive::<Float32Type>(), f64::from, counted),
            DataType::Float64 => of(column.as_primitive::<Float64Type>(), |value| value, counted),
            DataType::Int64 => of(column.as_primitive::<Int64Type>(), |value| value as f64, counted),
            DataType::Int32 => of(column.as_primitive::<Int32Type>(), f64::from, counted),
            kind if kind.is_numeric() => {
                let floats = cast(column, &DataType::Float64).ok()?;
                of(floats.as_primitive::<Float64Type>(), |value| value, counted)
            }
            _ => return None,
        };
        Some(Numbers { whole: column.data_type().is_integer(), ..numbers })
    }

    fn some(column: impl Iterator<Item = Option<f64>>, near: f64, counted: Counted) -> Numbers {
        let (mut nulls, mut nans, mut infinities) = (0, 0, 0);
        let mut finite = Vec::with_capacity(column.size_hint().0);
        for value in column {
            match value {
                None => nulls += 1,
                Some(value) if value.is_nan() => nans += 1,
                Some(value) if value.is_infinite() => infinities += 1,
                Some(value) => finite.push(value),
            }
        }
        let numbers = Numbers::finite(finite.into_iter(), near, counted).unwrap_or_default();
        Numbers { nulls, nans, infinities, ..numbers }
    }

    /// Of values that are finite; none when one is not. One pass: this is asked of every value of every column. `near` is about
    /// what they are.
    fn finite(column: impl Iterator<Item = f64>, near: f64, counted: Counted) -> Option<Numbers> {
        let mut kept = counted.few.then(Vec::new);
        let (mut values, mut zeros, mut sum, mut squares) = (0u64, 0u64, 0.0f64, 0.0f64);
        let (mut min, mut max, mut odd) = (f64::INFINITY, f64::NEG_INFINITY, 0.0f64);
        let bins = Bins::of(counted.coarse, |bins| {
            for value in column {
                values += 1;
                zeros += u64::from(value == 0.0);
                let apart = value - near;
                sum += apart;
                squares += apart * apart;
                min = if value < min { value } else { min };
                max = if value > max { value } else { max };
                // NaN for whatever is not finite.
                odd += value * 0.0;
                let value = (value as f32).clamp(f32::MIN, f32::MAX);
                bins.add(value);
                if let Some(kept) = &mut kept {
                    kept.push((value + 0.0).to_bits());
                }
            }
        });
        if odd.is_nan() {
            return None;
        }
        let n = values.max(1) as f64;
        Some(Numbers {
            values,
            zeros,
            sum: near * values as f64 + sum,
            squares: Some(squares - sum * sum / n).filter(|rest| *rest >= 0.0 || rest.is_nan()).unwrap_or(0.0),
            // Zero has no sign.
            ends: (values > 0).then(|| ((min + 0.0).to_bits(), (max + 0.0).to_bits())),
            kept: kept.filter(|_| values <= KEPT),
            bins,
            ..Numbers::default()
        })
    }

    /// Of no rows, of which all would be kept.
    pub fn empty() -> Numbers {
        Numbers { kept: Some(Vec::new()), ..Numbers::default() }
    }

    pub fn rows(&self) -> u64 {
        self.values + self.nulls + self.nans + self.infinities
    }

    pub fn min(&self) -> Option<f64> {
        self.ends.map(|(min, _)| f64::from_bits(min))
    }

    pub fn max(&self) -> Option<f64> {
        self.ends.map(|(_, max)| f64::from_bits(max))
    }

    pub fn mean(&self) -> Option<f64> {
        (self.values > 0).then(|| self.sum / self.values as f64)
    }

    /// The sum of the squared distances from the mean.
    pub fn squares(&self) -> f64 {
        self.squares
    }

    pub fn bins(&self) -> &Bins {
        &self.bins
    }

    /// Adds the profile of other rows of the same column. `most`: so many bins are kept apart.
    pub fn merge(&mut self, other: Numbers, most: usize) {
        if let Some((mine, theirs)) = self.mean().zip(other.mean()) {
            let (n, m) = (self.values as f64, other.values as f64);
            self.squares += (theirs - mine) * (theirs - mine) * (n * m / (n + m));
        }
        self.values += other.values;
        self.nulls += other.nulls;
        self.nans += other.nans;
        self.infinities += other.infinities;
        self.zeros += other.zeros;
        self.sum += other.sum;
        self.squares += other.squares;
        let min = [self.min(), other.min()].into_iter().flatten().reduce(f64::min);
        let max = [self.max(), other.max()].into_iter().flatten().reduce(f64::max);
        self.ends = min.zip(max).map(|(min, max)| (min.to_bits(), max.to_bits()));
        self.kept = match (self.kept.take(), other.kept) {
            (Some(mut mine), Some(theirs)) if self.rows() <= KEPT => {
                mine.extend(theirs);
                Some(mine)
            }
            _ => None,
        };
        self.whole &= other.whole;
        self.bins.merge(other.bins);
        self.bins.keep(most);
    }

    /// The values below which these shares of the values lie: exact for kept values, else within the width of a bin.
    pub fn quantiles(&self, shares: &[f64]) -> Vec<f32> {
        let Some((min, max)) = self.min().zip(self.max()) else { return Vec::new() };
        let (min, max) = (min as f32, max as f32);
        let rank = |share: f64| (share.clamp(0.0, 1.0) * (self.values - 1) as f64).round() as u64;
        if let Some(kept) = self.kept.as_ref().filter(|kept| kept.len() as u64 == self.values) {
            let mut values: Vec<f32> = kept.iter().map(|bits| f32::from_bits(*bits)).collect();
            values.sort_by(f32::total_cmp);
            return shares.iter().map(|share| values[rank(*share) as usize]).collect();
        }
        let one = |share: &f64| {
            let (rank, mut before) = (rank(*share), 0);
            for (low, high, count) in self.bins.each() {
                if rank < before + count {
                    let (low, high) = (low.max(min), high.min(max));
                    let within = (rank - before) as f32 / count as f32;
                    // The first and the last bin have no width.
                    let value = if (high - low).is_finite() { low + (high - low) * within } else { low };
                    return if self.whole { value.floor() } else { value };
                }
                before += count;
            }
            max
        };
        shares.iter().map(one).collect()
    }

    /// The shares of the values in equal steps from the smallest to the largest: exact for kept values, else within the width of
    /// a bin.
    pub fn histogram(&self, steps: usize) -> Vec<f64> {
        let mut shares = vec![0.0; steps];
        let Some((min, max)) = self.min().zip(self.max()) else { return shares };
        let (min, max) = (min as f32, max as f32);
        let width = (max - min).max(f32::MIN_POSITIVE);
        let mut add = |value: f32, count: u64| {
            let step = ((value - min) / width * steps as f32) as usize;
            shares[step.min(steps - 1)] += count as f64 / self.values as f64;
        };
        match &self.kept {
            Some(kept) => kept.iter().for_each(|bits| add(f32::from_bits(*bits), 1)),
            None => self.bins.each().for_each(|(low, high, count)| {
                let (low, high) = (low.max(min), high.min(max));
                add(low + (high - low) / 2.0, count);
            }),
        }
        shares
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Float32Array, Float64Array, Int16Array, StringArray};

    const FEW: Counted = Counted { coarse: 0, few: true };
    /// More bins than any test fills.
    const ALL: usize = 1 << 21;

    fn profile(values: &[f32]) -> Numbers {
        Numbers::of(&Float32Array::from(values.to_vec()), FEW).unwrap()
    }

    /// Without what depends on the order in which floats are added.
    fn sorted(mut profile: Numbers) -> Numbers {
        (profile.sum, profile.squares) = (0.0, 0.0);
        profile.kept.iter_mut().for_each(|kept| kept.sort_unstable());
        profile
    }

    #[test]
    fn parts_add_up_to_the_whole_in_any_order() {
        // A part that knows that the rows are many keeps nothing, and makes the same whole.
        let many: Vec<f32> = (0..200_000).map(|i| i as f32).collect();
        let mut sum = profile(&many[..100_000]);
        sum.merge(Numbers::of(&Float32Array::from(many[100_000..].to_vec()), Counted::default()).unwrap(), ALL);
        assert_eq!(sorted(sum), sorted(profile(&many)));
        for rows in [100_000u64, 200_000] {
            let values: Vec<f32> = (0..rows).map(|i| ((i * 7919) % 200_003) as f32 / 5e4 - 1.0).collect();
            let whole = profile(&values);
            assert_eq!(whole.kept.is_some(), rows <= KEPT);
            let deviation = (whole.squares / rows as f64).sqrt();
            assert!((deviation - 4.0 / 12f64.sqrt()).abs() < 0.01 || rows < 200_000, "{deviation}");
            for (size, turned) in [(1_000, false), (33_333, true), (99_999, false), (99_999, true)] {
                let mut parts: Vec<Numbers> = values.chunks(size).map(profile).collect();
                if turned {
                    parts.reverse();
                }
                let mut sum = Numbers::empty();
                parts.into_iter().for_each(|part| sum.merge(part, ALL));
                assert!((sum.sum - whole.sum).abs() < 1e-6);
                assert!((sum.squares / whole.squares - 1.0).abs() < 1e-9);
                assert_eq!(sorted(sum), sorted(whole.clone()), "{size} {turned}");
            }
            let text = serde_json::to_string(&whole).unwrap();
            assert_eq!(serde_json::from_str::<Numbers>(&text).unwrap(), whole);
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
        let array = [Some(0.5), None, Some(f32::NAN), Some(0.5), Some(-0.0), Some(0.0), Some(f32::NEG_INFINITY)];
        let profile = Numbers::of(&Float32Array::from(array.to_vec()), FEW).unwrap();
        assert_eq!((profile.values, profile.nulls, profile.nans, profile.infinities, profile.zeros), (4, 1, 1, 1, 2));
        assert_eq!((profile.min(), profile.max(), profile.mean()), (Some(0.0), Some(0.5), Some(0.25)));
        assert_eq!(profile.bins.held(), 2, "a zero of either sign is one value");
        assert_eq!(profile.quantiles(&[0.0, 1.0]), [0.0, 0.5]);
        assert_eq!(self::profile(&[]), Numbers::empty());
        let empty = self::profile(&[f32::NAN]);
        assert_eq!((empty.quantiles(&[0.5]), empty.mean(), empty.min()), (Vec::new(), None, None));
        // Beyond what an f32 holds.
        let far = Numbers::of(&Float64Array::from(vec![1e300, -1e300, f64::MAX]), Counted::default()).unwrap();
        assert_eq!((far.values, far.infinities, far.max()), (3, 0, Some(f64::MAX)));
        assert_eq!(far.quantiles(&[0.0, 1.0]).len(), 2);
        far.histogram(24);
        let ends = self::profile(&[f32::MAX, f32::MIN].repeat(40_000));
        assert_eq!(ends.quantiles(&[0.0, 1.0]), [f32::MIN, f32::MAX]);
        ends.histogram(24);
        let text = serde_json::to_string(&ends).unwrap();
        assert_eq!(serde_json::from_str::<Numbers>(&text).unwrap().ends, ends.ends);
    }

    #[test]
    fn every_kind_of_number_is_profiled() {
        let small = Numbers::of(&Int16Array::from(vec![Some(3), None, Some(-3)]), Counted::default()).unwrap();
        assert_eq!((small.values, small.nulls, small.squares(), small.mean()), (2, 1, 18.0, Some(0.0)));
        assert_eq!(small.quantiles(&[0.0, 0.5, 1.0]), [-3.0, 3.0, 3.0]);
        assert_eq!(Numbers::of(&StringArray::from(vec!["1"]), Counted::default()), None);
    }
}

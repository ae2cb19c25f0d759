//! How far one profile lies from a baseline.

use serde::Serialize;

use super::density::{Density, edges};
use crate::quality::profile::{Distribution, StoredProfile};
use crate::stats;

/// Fewer values than this say nothing: PSI is above 0.1 by chance alone.
pub const SMALLEST: u64 = 300;
/// Bins of a column of numbers, each with the same part of the baseline's values.
const PARTS: f64 = 10.0;

/// What a column was.
#[derive(Clone, Debug)]
pub struct Baseline {
    rows: f64,
    missing: f64,
    values: Spread,
    mean: Option<f64>,
    deviation: Option<f64>,
}

#[derive(Clone, Debug)]
enum Spread {
    Numbers(Density),
    Words { words: Vec<(String, f64)>, others: f64 },
    None,
}

/// How far a column has moved. What cannot be said is not there.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Movement {
    /// Values on both sides.
    pub n: u64,
    pub baseline_n: u64,
    pub psi: Option<f64>,
    /// The PSI that chance alone exceeds once in a hundred.
    pub psi_critical: Option<f64>,
    pub ks: Option<f64>,
    /// Jensen and Shannon, to base 2.
    pub js: Option<f64>,
    /// Wasserstein's distance in standard deviations of the baseline.
    pub wasserstein: Option<f64>,
    /// The change of the mean in standard deviations of the baseline.
    pub mean_shift: Option<f64>,
    /// How likely that much is when nothing has changed: Kolmogorov's limit for numbers, chi-square for words.
    pub p: Option<f64>,
    /// The share of rows without a value: NULL, NaN, infinite.
    pub missing: f64,
    pub baseline_missing: f64,
    /// Cohen's h of the two shares.
    pub missing_h: f64,
    /// The share of values whose word the baseline does not have.
    pub unseen: Option<f64>,
}

impl Movement {
    /// Too few values to be judged.
    pub fn too_few(&self) -> bool {
        self.n.min(self.baseline_n) < SMALLEST
    }

    /// How far, in one number: KS of numbers, JS of words.
    pub fn effect(&self) -> Option<f64> {
        self.ks.or(self.js)
    }
}

impl Baseline {
    /// Of the profiles of one column; none when they have no rows.
    pub fn of(profiles: &[&StoredProfile]) -> Option<Baseline> {
        let sum = |count: fn(&StoredProfile) -> u64| profiles.iter().map(|profile| count(profile)).sum::<u64>() as f64;
        let rows = sum(|profile| profile.rows);
        let values = sum(StoredProfile::values);
        if rows == 0.0 {
            return None;
        }
        let of_numbers = profiles.iter().filter_map(|profile| match &profile.distribution {
            Distribution::Groups(groups) => Some(Density::of(groups)),
            _ => None,
        });
        let densities: Vec<Density> = of_numbers.collect();
        let spread = match densities.is_empty() {
            false => Spread::Numbers(Density::sum(&densities)),
            true => words_of(profiles),
        };
        let (mean, deviation) = moments(profiles);
        Some(Baseline { rows, missing: rows - values, values: spread, mean, deviation })
    }

    /// How far a profile lies from it.
    pub fn compare(&self, now: &StoredProfile) -> Movement {
        let (rows, missing) = (now.rows as f64, (now.rows - now.values()) as f64);
        let share = |missing: f64, rows: f64| if rows > 0.0 { missing / rows } else { 0.0 };
        let (was_missing, is_missing) = (share(self.missing, self.rows), share(missing, rows));
        let movement = Movement {
            n: now.values(),
            baseline_n: (self.rows - self.missing) as u64,
            missing: is_missing,
            baseline_missing: was_missing,
            missing_h: stats::cohen_h(was_missing, is_missing),
            ..Movement::default()
        };
        match (&self.values, &now.distribution) {
            (Spread::Numbers(was), Distribution::Groups(groups)) => {
                self.numbers(was, &Density::of(groups), now, movement)
            }
            (Spread::Words { words, others }, Distribution::Words(now, more)) => {
                of_words((words, *others), (now, *more as f64), movement)
            }
            _ => movement,
        }
    }

    fn numbers(&self, was: &Density, is: &Density, now: &StoredProfile, movement: Movement) -> Movement {
        let edges = edges(&[was.clone(), is.clone()]);
        let (e, a) = (was.spread(&edges), is.spread(&edges));
        let ends = parts(was);
        let (e_bins, a_bins) = (binned(&edges, &e, &ends), binned(&edges, &a, &ends));
        let sizes = (was.total(), is.total());
        let deviation = self.deviation.filter(|deviation| *deviation > 0.0);
        let in_deviations = |distance: Option<f64>| Some(distance? / deviation?);
        let mean_shift = in_deviations(self.mean.zip(now.mean).map(|(was, is)| is - was));
        // Values that differ, and by too little for any bin: only their means can be compared.
        if was.0.len() == 1 && is.0.len() == 1 && deviation.is_some() {
            let error = (1.0 / sizes.0 + 1.0 / sizes.1).sqrt();
            let p = mean_shift.map(|shift| 2.0 * stats::normal_sf(shift.abs() / error));
            return Movement { wasserstein: mean_shift.map(f64::abs), mean_shift, p, ..movement };
        }
        let ks = stats::kolmogorov_smirnov(&e, &a);
        Movement {
            psi: stats::psi(&e_bins, &a_bins),
            psi_critical: (sizes.0 > 0.0 && sizes.1 > 0.0).then(|| stats::psi_critical(0.01, sizes, e_bins.len())),
            js: stats::jensen_shannon(&e_bins, &a_bins),
            ks,
            wasserstein: in_deviations(stats::wasserstein(&edges, &e, &a)),
            mean_shift,
            p: ks.map(|ks| stats::ks_p(ks, sizes)),
            ..movement
        }
    }
}

/// The mean and the standard deviation of all values.
fn moments(profiles: &[&StoredProfile]) -> (Option<f64>, Option<f64>) {
    let (mut n, mut mean, mut squares) = (0.0, 0.0, 0.0);
    for profile in profiles {
        let (Some(of_mean), Some(of_squares)) = (profile.mean, profile.squares) else { continue };
        let more = profile.values() as f64;
        let step = of_mean - mean;
        squares += of_squares + step * step * (n * more / (n + more));
        mean += step * more / (n + more);
        n += more;
    }
    if n > 0.0 { (Some(mean), Some((squares / n).sqrt())) } else { (None, None) }
}

fn words_of(profiles: &[&StoredProfile]) -> Spread {
    let mut words: std::collections::BTreeMap<&str, f64> = std::collections::BTreeMap::new();
    let (mut others, mut any) = (0.0, false);
    for profile in profiles {
        if let Distribution::Words(some, more) = &profile.distribution {
            any = true;
            others += *more as f64;
            some.iter().for_each(|(word, count)| *words.entry(word).or_default() += *count as f64);
        }
    }
    match any {
        true => Spread::Words { words: words.into_iter().map(|(word, n)| (word.to_owned(), n)).collect(), others },
        false => Spread::None,
    }
}

fn of_words(
    (was, others): (&[(String, f64)], f64),
    (is, more): (&[(String, u64)], f64),
    movement: Movement,
) -> Movement {
    let known: std::collections::HashMap<&str, usize> =
        was.iter().enumerate().map(|(at, (word, _))| (word.as_str(), at)).collect();
    // The words of the baseline, and what is none of them.
    let mut e: Vec<f64> = was.iter().map(|(_, count)| *count).chain([others]).collect();
    let mut a = vec![0.0; e.len()];
    let last = e.len() - 1;
    a[last] = more;
    for (word, count) in is {
        a[known.get(word.as_str()).copied().unwrap_or(last)] += *count as f64;
    }
    let total: f64 = a.iter().sum();
    // Where the baseline counts every word, what is none of them was not there.
    let unseen = (others == 0.0 && total > 0.0).then(|| a[last] / total);
    if e[last] == 0.0 && a[last] == 0.0 {
        e.pop();
        a.pop();
    }
    let sizes = (e.iter().sum::<f64>(), total);
    Movement {
        psi: stats::psi(&e, &a),
        psi_critical: (sizes.0 > 0.0 && sizes.1 > 0.0).then(|| stats::psi_critical(0.01, sizes, e.len())),
        js: stats::jensen_shannon(&e, &a),
        p: stats::chi_square(&e, &a).map(|found| found.p),
        unseen,
        ..movement
    }
}

/// The upper ends of the baseline's bins, but for the last, which has none: about equally many values in each; a value that is
/// that frequent by itself has a bin of its own.
fn parts(baseline: &Density) -> Vec<f64> {
    let part = baseline.total() / PARTS;
    let (mut ends, mut held) = (Vec::new(), 0.0);
    for piece in &baseline.0 {
        if held > 0.0 && held + piece.count / 2.0 > part {
            ends.push(piece.low);
            held = 0.0;
        }
        held += piece.count;
        if held >= part {
            ends.push(piece.high);
            held = 0.0;
        }
    }
    // Nothing of the baseline lies beyond its last piece.
    if baseline.0.last().map(|piece| piece.high) == ends.last().copied() {
        ends.pop();
    }
    // Of a baseline that is one value, or two, what lies beside them is a bin too.
    if let (true, Some(first), Some(last)) = (ends.len() < 2, baseline.0.first(), baseline.0.last()) {
        ends.extend(baseline.0.iter().take(3).flat_map(|piece| [piece.low, piece.high]));
        ends.extend([first.low, last.high]);
        ends.sort_by(f64::total_cmp);
    }
    ends.dedup();
    ends
}

/// The counts of cells, put together up to each end.
fn binned(edges: &[f64], counts: &[f64], ends: &[f64]) -> Vec<f64> {
    let mut bins = vec![0.0; ends.len() + 1];
    let mut bin = 0;
    for (low, count) in edges.iter().zip(counts) {
        while bin < ends.len() && ends[bin] <= *low {
            bin += 1;
        }
        bins[bin] += count;
    }
    bins
}

#[cfg(test)]
mod tests {
    use arrow::array::{Array, Float64Array, StringViewArray};

    use super::*;
    use crate::quality::profile::{Looking, Side};

    fn stored(column: &dyn Array) -> StoredProfile {
        let array = arrow::array::make_array(column.to_data());
        let batch = arrow::array::RecordBatch::try_from_iter_with_nullable([("c", array, true)]).unwrap();
        StoredProfile::of(&Looking::new([(Side::Feature, "c".to_owned())]).at(&batch)[0])
    }

    /// Values at even quantiles of a normal distribution: no chance in them.
    fn normal(n: usize, mean: f64, deviation: f64) -> StoredProfile {
        let value = |i| mean - deviation * stats::normal_quantile((i as f64 + 0.5) / n as f64);
        stored(&Float64Array::from((0..n).map(value).collect::<Vec<_>>()))
    }

    fn compare(was: &StoredProfile, is: &StoredProfile) -> Movement {
        Baseline::of(&[was]).unwrap().compare(is)
    }

    #[test]
    fn a_shift_is_as_large_as_it_is() {
        let moved = compare(&normal(20_000, 0.0, 1.0), &normal(20_000, 0.3, 1.0));
        // D = 2 Phi(0.15) - 1, W = 0.3, PSI near 0.09.
        assert!((moved.ks.unwrap() - 0.1192).abs() < 0.003, "{moved:?}");
        assert!((moved.wasserstein.unwrap() - 0.3).abs() < 0.01, "{moved:?}");
        assert!((moved.mean_shift.unwrap() - 0.3).abs() < 1e-3);
        assert!((moved.psi.unwrap() - 0.085).abs() < 0.01, "{moved:?}");
        assert!(moved.p.unwrap() < 1e-30 && !moved.too_few());
        // An outlier does not hide it: the bins are the baseline's.
        let mut far: Vec<f64> = (0..20_000).map(|i| 1.0 - stats::normal_quantile((f64::from(i) + 0.5) / 2e4)).collect();
        far.push(1e6);
        let sigma = compare(&normal(20_000, 0.0, 1.0), &stored(&Float64Array::from(far)));
        assert!((sigma.psi.unwrap() - 0.93).abs() < 0.05, "{sigma:?}");
        let same = compare(&normal(20_000, 5.0, 0.1), &normal(20_000, 5.0, 0.1));
        assert!(same.ks.unwrap() < 1e-9 && same.psi.unwrap() < 1e-9 && same.wasserstein.unwrap() < 1e-9, "{same:?}");
        // Of another size and spread over other groups it is still the same.
        let other = compare(&normal(20_000, 5.0, 0.1), &normal(3_456, 5.0, 0.1));
        assert!(other.ks.unwrap() < 0.01 && other.psi.unwrap() < 0.001, "{other:?}");
    }

    #[test]
    fn a_value_that_is_frequent_has_a_bin_of_its_own() {
        let hours = |shift: u64| {
            let values = (0..24_000u64).map(|i| if i % 3 == 0 { 7.0 } else { ((i + shift) % 24) as f64 });
            stored(&Float64Array::from(values.collect::<Vec<_>>()))
        };
        let was = hours(0);
        let Spread::Numbers(density) = Baseline::of(&[&was]).unwrap().values else { panic!() };
        let ends = parts(&density);
        assert!(ends.contains(&7.0) && ends.iter().any(|end| *end > 7.0 && *end < 7.01), "{ends:?}");
        assert_eq!(compare(&was, &hours(24)).psi, Some(0.0));
        // One value, and then another.
        let (one, other) = (stored(&Float64Array::from(vec![4.0; 500])), stored(&Float64Array::from(vec![5.0; 500])));
        let moved = compare(&one, &other);
        assert_eq!((moved.ks, moved.psi.map(|psi| psi > 5.0)), (Some(1.0), Some(true)));
        assert_eq!((moved.wasserstein, moved.mean_shift), (None, None), "no deviation to measure by");
        assert_eq!((compare(&one, &one).ks, compare(&one, &one).psi), (Some(0.0), Some(0.0)));
        // Values that no bin tells apart have their means.
        let times = |from: f64| stored(&Float64Array::from((0..1000).map(|i| from + f64::from(i)).collect::<Vec<_>>()));
        let later = compare(&times(1.7e15), &times(1.7e15 + 5_000.0));
        assert!(later.ks.is_none() && later.wasserstein.unwrap() > 10.0 && later.p.unwrap() < 1e-99, "{later:?}");
    }

    #[test]
    fn words_that_are_new_and_values_that_are_gone_are_told() {
        let words = |values: &[(&str, usize)]| {
            let all: Vec<Option<&str>> =
                values.iter().flat_map(|(word, n)| vec![Some(*word).filter(|word| *word != "-"); *n]).collect();
            stored(&StringViewArray::from(all))
        };
        let was = words(&[("a", 500), ("b", 300), ("c", 200)]);
        let moved = compare(&was, &words(&[("a", 440), ("b", 330), ("c", 230)]));
        assert!((moved.p.unwrap() - 0.025_331_896_2).abs() < 1e-9 && moved.unseen == Some(0.0), "{moved:?}");
        let new = compare(&words(&[("a", 500), ("b", 500)]), &words(&[("a", 450), ("b", 500), ("z", 50)]));
        assert!((new.psi.unwrap() - 0.315_376_969_9).abs() < 1e-9 && new.unseen == Some(0.05), "{new:?}");
        let gone = compare(&was, &words(&[("a", 500), ("-", 500)]));
        assert!(gone.missing == 0.5 && gone.missing_h > 1.5 && gone.n == 500);
        let none = compare(&was, &words(&[("-", 10)]));
        assert!(none.psi.is_none() && none.missing == 1.0 && none.too_few());
        // A column that became one of numbers has only its missing values to compare.
        assert_eq!(compare(&was, &normal(500, 0.0, 1.0)).effect(), None);
        assert!(Baseline::of(&[&words(&[])]).is_none());
    }

    #[test]
    fn days_add_up_to_a_baseline() {
        let days: Vec<StoredProfile> = (0..14).map(|day| normal(5_000, f64::from(day) * 0.01, 1.0)).collect();
        let baseline = Baseline::of(&days.iter().collect::<Vec<_>>()).unwrap();
        let moved = baseline.compare(&normal(5_000, 0.065, 1.0));
        assert!(moved.ks.unwrap() < 0.005 && moved.baseline_n == 70_000, "{moved:?}");
        assert!(moved.mean_shift.unwrap().abs() < 1e-3 && (baseline.deviation.unwrap() - 1.0).abs() < 0.01);
    }
}

//! Tests and intervals: whether a difference is larger than chance makes it.

use super::special::{chi_square_quantile, chi_square_sf, kolmogorov_sf, normal_quantile, normal_sf};

/// How a table of counts in two samples came out.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Contingency {
    pub chi_square: f64,
    pub degrees: f64,
    pub p: f64,
    /// From 0 to 1.
    pub cramers_v: f64,
}

/// The chi-square test of two samples, without Yates' correction. Bins that are empty in both do not count.
pub fn chi_square(a: &[f64], b: &[f64]) -> Option<Contingency> {
    let (of_a, of_b) = (a.iter().sum::<f64>(), b.iter().sum::<f64>());
    if of_a <= 0.0 || of_b <= 0.0 || a.len() != b.len() {
        return None;
    }
    let all = of_a + of_b;
    let bins: Vec<(f64, f64)> = a.iter().copied().zip(b.iter().copied()).filter(|(a, b)| a + b > 0.0).collect();
    let part = |(a, b): &(f64, f64)| {
        let expected = |of: f64| (a + b) * of / all;
        (a - expected(of_a)).powi(2) / expected(of_a) + (b - expected(of_b)).powi(2) / expected(of_b)
    };
    let chi_square = bins.iter().map(part).sum::<f64>();
    let degrees = bins.len() as f64 - 1.0;
    let p = if degrees > 0.0 { chi_square_sf(chi_square, degrees) } else { 1.0 };
    Some(Contingency { chi_square, degrees, p, cramers_v: (chi_square / all).sqrt() })
}

/// How likely a PSI of at least this is when nothing differs: samples of `n` and `m` rows, in so many bins that hold any.
pub fn psi_p(psi: f64, (n, m): (f64, f64), bins: usize) -> f64 {
    if bins < 2 {
        return 1.0;
    }
    chi_square_sf(psi / (1.0 / n + 1.0 / m), bins as f64 - 1.0)
}

/// The PSI that nothing but chance exceeds in `share` of cases.
pub fn psi_critical(share: f64, (n, m): (f64, f64), bins: usize) -> f64 {
    if bins < 2 {
        return 0.0;
    }
    (1.0 / n + 1.0 / m) * chi_square_quantile(share, bins as f64 - 1.0)
}

/// How likely a KS distance of at least this is when nothing differs; Kolmogorov's limit.
pub fn ks_p(distance: f64, (n, m): (f64, f64)) -> f64 {
    kolmogorov_sf((n * m / (n + m)).sqrt() * distance)
}

/// z and p, two-sided, of the difference between two shares, pooled.
pub fn two_proportions((a, of_a): (f64, f64), (b, of_b): (f64, f64)) -> Option<(f64, f64)> {
    if of_a <= 0.0 || of_b <= 0.0 {
        return None;
    }
    let pooled = (a + b) / (of_a + of_b);
    let error = (pooled * (1.0 - pooled) * (1.0 / of_a + 1.0 / of_b)).sqrt();
    let z = if error > 0.0 { (b / of_b - a / of_a) / error } else { 0.0 };
    Some((z, 2.0 * normal_sf(z.abs())))
}

/// The effect size of a difference between two shares: 0.2 is small, 0.8 large.
pub fn cohen_h(a: f64, b: f64) -> f64 {
    let angle = |share: f64| 2.0 * share.clamp(0.0, 1.0).sqrt().asin();
    (angle(b) - angle(a)).abs()
}

/// Wilson's interval of a share; `confidence` as in 0.95.
pub fn wilson(hits: f64, of: f64, confidence: f64) -> Option<(f64, f64)> {
    if of <= 0.0 {
        return None;
    }
    let z = normal_quantile((1.0 - confidence) / 2.0);
    let (share, z2) = (hits / of, z * z);
    let middle = (share + z2 / (2.0 * of)) / (1.0 + z2 / of);
    let half = z / (1.0 + z2 / of) * (share * (1.0 - share) / of + z2 / (4.0 * of * of)).sqrt();
    Some(((middle - half).max(0.0), (middle + half).min(1.0)))
}

/// Benjamini's and Hochberg's q of each p: the false discovery rate at which it is still found.
pub fn benjamini_hochberg(p: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p.len()).collect();
    order.sort_by(|a, b| p[*b].total_cmp(&p[*a]));
    let (mut least, mut q) = (1.0f64, vec![1.0; p.len()]);
    for (above, at) in order.into_iter().enumerate() {
        let rank = (p.len() - above) as f64;
        least = least.min(p[at] * p.len() as f64 / rank);
        q[at] = least;
    }
    q
}

/// The middle of the values; none of none.
pub fn median(values: &[f64]) -> Option<f64> {
    let mut sorted: Vec<f64> = values.iter().copied().filter(|value| !value.is_nan()).collect();
    sorted.sort_by(f64::total_cmp);
    let at = sorted.len().checked_sub(1)?;
    Some((sorted[at / 2] + sorted[at.div_ceil(2)]) / 2.0)
}

/// The median, and the median distance from it, scaled to be the standard deviation of a normal distribution.
pub fn mad(values: &[f64]) -> Option<(f64, f64)> {
    const NORMAL: f64 = 1.4826;
    let middle = median(values)?;
    let distances: Vec<f64> = values.iter().map(|value| (value - middle).abs()).collect();
    Some((middle, NORMAL * median(&distances)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(found: f64, expected: f64) {
        assert!((found - expected).abs() < 1e-9, "{found} is not {expected}");
    }

    /// Of scipy 1.17.1 and statsmodels.
    #[test]
    fn tests_are_those_of_scipy() {
        let found = chi_square(&[500.0, 300.0, 200.0], &[440.0, 330.0, 230.0]).unwrap();
        near(found.chi_square, 7.351_381_917_9);
        near(found.p, 0.025_331_896_2);
        near(found.cramers_v, 0.060_627_476_9);
        assert_eq!(found.degrees, 2.0);
        let two = chi_square(&[500.0, 500.0], &[450.0, 550.0]).unwrap();
        near(two.chi_square, 5.012_531_328_3);
        near(two.p, 0.025_164_485_7);
        assert_eq!(chi_square(&[500.0, 0.0, 500.0], &[450.0, 0.0, 550.0]).unwrap(), two);
        let (z, p) = two_proportions((200.0, 10_000.0), (260.0, 10_000.0)).unwrap();
        near(z, 2.830_251_652_8);
        near(p, 0.004_651_140_5);
        near(cohen_h(0.02, 0.026), 0.040_110_266_3);
        let (low, high) = wilson(12.0, 400.0, 0.95).unwrap();
        near(low, 0.017_243_021_0);
        near(high, 0.051_698_535_7);
        near(ks_p(0.002, (1e6, 1e6)), 0.036_631_052_7);
        near(ks_p(0.633_333_333_333_333_3, (5.0, 6.0)), 0.223_992_362_3);
        near(psi_critical(0.05, (200.0, 200.0), 10), 0.169_189_776);
        near(psi_p(0.169_189_776, (200.0, 200.0), 10), 0.05);
    }

    #[test]
    fn discoveries_and_deviations() {
        let p = [0.001, 0.008, 0.039, 0.041, 0.042, 0.06, 0.074, 0.205, 0.212, 0.216];
        let expected = [0.01, 0.04, 0.084, 0.084, 0.084, 0.1, 0.105_714_285_7, 0.216, 0.216, 0.216];
        let turned: Vec<f64> = p.iter().rev().copied().collect();
        for (found, expected) in benjamini_hochberg(&p).iter().zip(expected) {
            near(*found, expected);
        }
        for (found, expected) in benjamini_hochberg(&turned).iter().rev().zip(expected) {
            near(*found, expected);
        }
        let (middle, deviation) = mad(&[0.012, 0.010, 0.015, 0.011, 0.013, 0.012, 0.014]).unwrap();
        near(middle, 0.012);
        near(middle + 5.0 * deviation, 0.019_413);
        assert_eq!((median(&[]), median(&[3.0, 1.0]), median(&[3.0, 1.0, 9.0])), (None, Some(2.0), Some(3.0)));
    }

    #[test]
    fn nothing_is_no_sample() {
        assert_eq!(chi_square(&[0.0], &[1.0]), None);
        assert_eq!(chi_square(&[5.0], &[7.0]).unwrap().p, 1.0);
        assert_eq!((two_proportions((0.0, 0.0), (1.0, 2.0)), wilson(0.0, 0.0, 0.95)), (None, None));
        assert_eq!(two_proportions((0.0, 5.0), (0.0, 9.0)), Some((0.0, 1.0)));
        assert_eq!((benjamini_hochberg(&[]), psi_p(9.0, (1.0, 1.0), 1)), (vec![], 1.0));
    }
}

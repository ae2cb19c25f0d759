//! Distances between two distributions, given as counts in the same bins.

/// Shares below it count as it is: an empty bin has no logarithm. Shares are not made to add up to one again.
const FLOOR: f64 = 1e-4;

/// The distances of one pair.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Distances {
    pub psi: f64,
    pub js: f64,
    pub ks: f64,
}

impl Distances {
    /// Of counts in the same ordered bins; none when one side has no rows.
    pub fn of(reference: &[f64], now: &[f64]) -> Option<Distances> {
        Some(Distances {
            psi: psi(reference, now)?,
            js: jensen_shannon(reference, now)?,
            ks: kolmogorov_smirnov(reference, now)?,
        })
    }
}

/// The shares of both, bin by bin.
fn shares<'a>(e: &'a [f64], a: &'a [f64]) -> Option<impl Iterator<Item = (f64, f64)> + 'a> {
    let (of_e, of_a) = (e.iter().sum::<f64>(), a.iter().sum::<f64>());
    (of_e > 0.0 && of_a > 0.0 && e.len() == a.len())
        .then(move || e.iter().zip(a).map(move |(e, a)| (e / of_e, a / of_a)))
}

/// The population stability index, in natural logarithms, shares floored at 1e-4.
pub fn psi(e: &[f64], a: &[f64]) -> Option<f64> {
    let part = |(e, a): (f64, f64)| {
        let (e, a) = (e.max(FLOOR), a.max(FLOOR));
        (a - e) * (a / e).ln()
    };
    Some(shares(e, a)?.map(part).sum())
}

/// The divergence of Kullback and Leibler of `a` from `e`, natural; infinite where only `e` has rows.
pub fn kullback_leibler(e: &[f64], a: &[f64]) -> Option<f64> {
    let part = |(e, a): (f64, f64)| if e == 0.0 { 0.0 } else { e * (e / a).ln() };
    Some(shares(e, a)?.map(part).sum())
}

/// The distance of Jensen and Shannon: the root of the divergence to base 2; from 0 to 1.
pub fn jensen_shannon(e: &[f64], a: &[f64]) -> Option<f64> {
    let part = |(e, a): (f64, f64)| {
        let middle = (e + a) / 2.0;
        let side = |share: f64| if share == 0.0 { 0.0 } else { share * (share / middle).log2() };
        (side(e) + side(a)) / 2.0
    };
    Some(shares(e, a)?.map(part).sum::<f64>().max(0.0).sqrt())
}

/// The distance of Hellinger, from 0 to 1.
pub fn hellinger(e: &[f64], a: &[f64]) -> Option<f64> {
    let part = |(e, a): (f64, f64)| (e.sqrt() - a.sqrt()).powi(2);
    Some((shares(e, a)?.map(part).sum::<f64>() / 2.0).sqrt())
}

/// The largest difference between the cumulative shares.
pub fn kolmogorov_smirnov(e: &[f64], a: &[f64]) -> Option<f64> {
    let mut between = 0.0;
    let differ = |(e, a): (f64, f64)| {
        between += a - e;
        f64::abs(between)
    };
    Some(shares(e, a)?.map(differ).fold(0.0, f64::max))
}

/// The distance of Wasserstein (the earth mover's) in the unit of the values. `edges` are the bounds of the bins, one more than
/// there are bins; rows are spread evenly within a bin.
pub fn wasserstein(edges: &[f64], e: &[f64], a: &[f64]) -> Option<f64> {
    if edges.len() != e.len() + 1 {
        return None;
    }
    let mut before = 0.0;
    let area = |((e, a), bounds): ((f64, f64), &[f64])| {
        let after = before + (a - e);
        let (left, right) = (before, after);
        before = after;
        let width = bounds[1] - bounds[0];
        // The difference is a line within the bin; where it changes its sign, two triangles.
        if left * right >= 0.0 {
            width * (left.abs() + right.abs()) / 2.0
        } else {
            width * (left * left + right * right) / (2.0 * (left.abs() + right.abs()))
        }
    };
    Some(shares(e, a)?.zip(edges.windows(2)).map(area).sum())
}

#[cfg(test)]
mod tests {
    use super::*;

    const E: [f64; 5] = [100.0, 200.0, 400.0, 200.0, 100.0];
    const A: [f64; 5] = [50.0, 150.0, 350.0, 300.0, 150.0];

    fn near(found: Option<f64>, expected: f64) {
        assert!(found.is_some_and(|found| (found - expected).abs() < 1e-9), "{found:?} is not {expected}");
    }

    /// Of numpy and scipy 1.17.1.
    #[test]
    fn distances_are_those_of_scipy() {
        near(psi(&E, &A), 0.116_537_798_5);
        near(kullback_leibler(&E, &A), 0.058_624_157_2);
        near(kullback_leibler(&A, &E), 0.057_913_641_3);
        near(hellinger(&E, &A), 0.120_395_353_0);
        near(kolmogorov_smirnov(&E, &A), 0.15);
        near(wasserstein(&[0.0, 1.0, 2.0, 3.0, 4.0, 5.0], &E, &A), 0.35);
        near(jensen_shannon(&E, &A), 0.144_255_168_8);
        near(psi(&[500.0, 500.0, 0.0], &[450.0, 500.0, 50.0]), 0.315_376_969_9);
        let (ten, now) = ([10.0; 10], [0.0, 10.0, 10.0, 10.0, 10.0, 10.0, 10.0, 10.0, 10.0, 20.0]);
        near(psi(&ten, &now), 0.759_399_470_4);
        // An unseen category.
        near(jensen_shannon(&[50.0, 50.0, 0.0], &[45.0, 50.0, 5.0]).map(|js| (js * 1e6).round() / 1e6), 0.161_089);
    }

    #[test]
    fn bins_that_cross_are_two_triangles() {
        // All of one in the left half of [0, 2], all of the other spread over both: F - G has one sign.
        near(wasserstein(&[0.0, 1.0, 2.0], &[1.0, 0.0], &[1.0, 1.0]), 0.5);
        // Shares 1/2, 0, 1/2 against 0, 1, 0: the difference is -1/2 x, then crosses zero in the middle.
        near(wasserstein(&[0.0, 1.0, 2.0, 3.0], &[1.0, 0.0, 1.0], &[0.0, 1.0, 0.0]), 0.75);
    }

    #[test]
    fn nothing_is_no_distribution() {
        assert_eq!(psi(&[0.0, 0.0], &[1.0, 0.0]), None);
        assert_eq!(psi(&[1.0], &[1.0, 0.0]), None);
        assert_eq!(psi(&[], &[]), None);
        assert_eq!(wasserstein(&[0.0, 1.0], &[1.0, 1.0], &[1.0, 1.0]), None);
        assert_eq!(kullback_leibler(&[1.0, 1.0], &[1.0, 0.0]), Some(f64::INFINITY));
        assert_eq!(Distances::of(&E, &E), Some(Distances::default()));
    }
}

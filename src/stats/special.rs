//! Special functions, and the tails of the distributions that need them.

use std::f64::consts::{PI, SQRT_2};

/// Terms of a series or a continued fraction; more than any argument here needs.
const MOST_TERMS: usize = 100_000;

/// The logarithm of the gamma function of a positive number. Lanczos' sum with g = 7 and nine terms: about 1e-14.
pub fn ln_gamma(x: f64) -> f64 {
    const TERMS: [f64; 9] = [
        0.999_999_999_999_809_9,
        676.520_368_121_885_1,
        -1_259.139_216_722_402_8,
        771.323_428_777_653_1,
        -176.615_029_162_140_6,
        12.507_343_278_686_905,
        -0.138_571_095_265_720_12,
        9.984_369_578_019_572e-6,
        1.505_632_735_149_311_6e-7,
    ];
    if x < 0.5 {
        // The reflection: gamma(x) gamma(1 - x) = pi / sin(pi x).
        return (PI / (PI * x).sin().abs()).ln() - ln_gamma(1.0 - x);
    }
    let x = x - 1.0;
    let base = x + 7.5;
    let sum: f64 = TERMS[0] + TERMS[1..].iter().enumerate().map(|(i, term)| term / (x + i as f64 + 1.0)).sum::<f64>();
    0.5 * (2.0 * PI).ln() + (x + 0.5) * base.ln() - base + sum.ln()
}

/// The upper regularized incomplete gamma function, Q(a, x): 1 at 0, falling to 0.
fn gamma_q(a: f64, x: f64) -> f64 {
    if x.is_nan() || a.is_nan() {
        return f64::NAN;
    }
    if x <= 0.0 {
        return 1.0;
    }
    if x.is_infinite() {
        return 0.0;
    }
    let front = (a * x.ln() - x - ln_gamma(a)).exp();
    if x < a + 1.0 {
        // The series of the lower function.
        let (mut term, mut sum) = (1.0 / a, 1.0 / a);
        for n in 1..MOST_TERMS {
            term *= x / (a + n as f64);
            sum += term;
            if term < sum * f64::EPSILON {
                break;
            }
        }
        return (1.0 - front * sum).max(0.0);
    }
    // Lentz's way with the continued fraction.
    let mut b = x + 1.0 - a;
    let mut c = f64::MAX;
    let mut d = 1.0 / b;
    let mut fraction = d;
    for n in 1..MOST_TERMS {
        let n = n as f64;
        let factor = -n * (n - a);
        b += 2.0;
        d = 1.0 / (factor * d + b);
        c = b + factor / c;
        let step = c * d;
        fraction *= step;
        if (step - 1.0).abs() < f64::EPSILON {
            break;
        }
    }
    front * fraction
}

/// The share of a chi-square distribution above `x`.
pub fn chi_square_sf(x: f64, degrees: f64) -> f64 {
    gamma_q(degrees / 2.0, x / 2.0)
}

/// The value above which `share` of a chi-square distribution lies.
pub fn chi_square_quantile(share: f64, degrees: f64) -> f64 {
    let (mut low, mut high) = (0.0, degrees.max(1.0));
    while chi_square_sf(high, degrees) > share {
        high *= 2.0;
    }
    bisect(&mut low, &mut high, |x| chi_square_sf(x, degrees) > share)
}

/// The share of the standard normal distribution above `z`.
pub fn normal_sf(z: f64) -> f64 {
    let upper = 0.5 * gamma_q(0.5, (z / SQRT_2).powi(2));
    if z < 0.0 { 1.0 - upper } else { upper }
}

/// The value above which `share` of the standard normal distribution lies.
pub fn normal_quantile(share: f64) -> f64 {
    let (mut low, mut high) = (-40.0, 40.0);
    bisect(&mut low, &mut high, |z| normal_sf(z) > share)
}

fn bisect(low: &mut f64, high: &mut f64, above: impl Fn(f64) -> bool) -> f64 {
    loop {
        let middle = *low + (*high - *low) / 2.0;
        if middle <= *low || middle >= *high {
            return middle;
        }
        match above(middle) {
            true => *low = middle,
            false => *high = middle,
        }
    }
}

/// Kolmogorov's limit: how likely sqrt(n) D is above `x` when nothing differs.
pub fn kolmogorov_sf(x: f64) -> f64 {
    if x.is_nan() {
        return x;
    }
    if x <= 0.0 {
        return 1.0;
    }
    if x < 1.0 {
        // The theta function's other form, which converges at small arguments.
        let sum: f64 = (1..20).map(|k| (-(f64::from(2 * k - 1) * PI / x).powi(2) / 8.0).exp()).sum();
        return (1.0 - (2.0 * PI).sqrt() / x * sum).clamp(0.0, 1.0);
    }
    let sign = |k: i32| if k % 2 == 1 { 1.0 } else { -1.0 };
    (2.0 * (1..20).map(|k| sign(k) * (-2.0 * (f64::from(k) * x).powi(2)).exp()).sum::<f64>()).clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(found: f64, expected: f64, within: f64) {
        assert!((found - expected).abs() <= within * expected.abs().max(1e-300), "{found} is not {expected}");
    }

    /// Of scipy 1.17.1.
    #[test]
    fn tails_are_those_of_scipy() {
        near(chi_square_sf(7.351_381_917_9, 2.0), 0.025_331_896_2, 1e-8);
        near(chi_square_sf(14.7, 2.0), 0.000_642_592_4, 1e-6);
        near(chi_square_sf(27.877_2, 9.0), 0.001, 1e-4);
        near(normal_sf(1.959_963_984_540_054), 0.025, 1e-12);
        near(normal_quantile(0.025), 1.959_963_984_540_054, 1e-12);
        near(normal_sf(-1.0), 0.841_344_746_068_542_9, 1e-12);
        near(normal_sf(10.0), 7.619_853_024_160_527e-24, 1e-10);
        near(chi_square_quantile(0.001, 9.0), 27.877_164_871_256_575, 1e-12);
        near(kolmogorov_sf(1.0), 0.269_999_671_677_354_56, 1e-12);
        near(kolmogorov_sf(1.358_098_639_3), 0.05, 1e-8);
        near(kolmogorov_sf(1.949_474_603_5), 0.001, 1e-8);
        near(kolmogorov_sf(0.5), 0.963_945_243_664_875_1, 1e-12);
        assert_eq!((kolmogorov_sf(0.0), kolmogorov_sf(40.0)), (1.0, 0.0));
        near(ln_gamma(0.5), PI.sqrt().ln(), 1e-13);
        near(ln_gamma(10.0), 362_880f64.ln(), 1e-13);
        near(ln_gamma(1e6), 12_815_504.569_147_611, 1e-13);
        near(ln_gamma(0.1), 2.252_712_651_734_206, 1e-13);
    }

    #[test]
    fn what_is_no_number_stays_none() {
        assert!(chi_square_sf(f64::NAN, 3.0).is_nan() && kolmogorov_sf(f64::NAN).is_nan());
        assert_eq!((chi_square_sf(f64::INFINITY, 3.0), chi_square_sf(-1.0, 3.0)), (0.0, 1.0));
        assert!((chi_square_sf(1e5, 1e5) - 0.5).abs() < 0.01, "many degrees end");
    }
}

//! Functions of numbers.

use std::f64::consts::PI;

use super::columns::{Floats, Get, Ints, collect, map1, map2, map4};
use crate::sql::error::Fault;
use crate::sql::types::Ty;
use crate::sql::value::Func;

type Of<T> = std::result::Result<T, Fault>;

/// The result of one operation on numbers held as floats, to the fifteen digits that they are trusted for: 0.1 * 3 is 0.3.
#[inline]
pub fn snapped(value: f64) -> f64 {
    nearest(value, 1)
}

/// The same for a sum of many, which errs more than one operation does.
pub fn snapped_sum(value: f64) -> f64 {
    nearest(value, 8)
}

/// The decimal number of fifteen digits that is at most so many floats away, else the value: it has more digits and
/// keeps them.
#[inline]
fn nearest(value: f64, floats: u64) -> f64 {
    if !value.is_finite() || value.fract() == 0.0 {
        return value;
    }
    let places = 14 - value.abs().log10().floor() as i32;
    // A power of ten up to 22 is exact, and so the quotient is the float nearest to the decimal number.
    let decimal = match places {
        0..=22 => {
            let scale = POWERS[places as usize];
            (value * scale).round() / scale
        }
        _ => format!("{value:.14e}").parse().unwrap_or(value),
    };
    if (value.to_bits() as i64).abs_diff(decimal.to_bits() as i64) <= floats { decimal } else { value }
}

/// The mean of decimals that have this sum. One division of a whole sum is the nearest float as it is.
pub fn decimal_mean(sum: f64, count: f64) -> f64 {
    let sum = snapped_sum(sum);
    let mean = sum / count;
    if sum.fract() == 0.0 { mean } else { snapped(mean) }
}

/// A number to fifteen digits, as a cast of a float to numeric rounds it.
pub fn fifteen(value: f64) -> f64 {
    if value.is_finite() { format!("{value:.14e}").parse().unwrap_or(value) } else { value }
}

const POWERS: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20,
    1e21, 1e22,
];

/// Half away from zero, at so many decimal places: ROUND of numeric.
pub fn round_half_away(x: f64, places: i64) -> f64 {
    at_places(x, places, f64::round)
}

fn at_places(x: f64, places: i64, f: impl Fn(f64) -> f64) -> f64 {
    if !x.is_finite() || places > 15 {
        return x;
    }
    let scale = 10f64.powi(places.unsigned_abs().min(400) as i32);
    if places >= 0 {
        let scaled = x * scale;
        if scaled.is_finite() { snapped(f(snapped(scaled)) / scale) } else { x }
    } else if scale.is_infinite() {
        0.0
    } else {
        f(snapped(x / scale)) * scale
    }
}

pub fn round_to() -> Func {
    map2::<Floats, Ints, f64, _>("round", String::new(), false, |x, n| Ok(round_half_away(x, n)))
}

pub fn trunc_to() -> Func {
    map2::<Floats, Ints, f64, _>("trunc", String::new(), false, |x, n| Ok(at_places(x, n, f64::trunc)))
}

/// ROUND of whole numbers to tens, hundreds and so on, half away from zero.
pub fn round_whole() -> Func {
    map2::<Ints, Ints, i64, _>("round_whole", String::new(), true, |x, n| {
        if n >= 0 {
            return Ok(x);
        }
        let Some(scale) = 10i128.checked_pow(n.unsigned_abs().min(40) as u32) else { return Ok(0) };
        let (quotient, rest) = (i128::from(x) / scale, i128::from(x) % scale);
        let up = if rest.abs() * 2 >= scale { rest.signum() } else { 0 };
        i64::try_from((quotient + up) * scale).map_err(|_| Fault::range("numeric"))
    })
}

/// Functions of one float that cannot fail.
pub fn simple(name: &'static str) -> Option<Func> {
    let f: fn(f64) -> f64 = match name {
        "abs" => f64::abs,
        "sign" => |x| if x == 0.0 || x.is_nan() { x.abs() } else { x.signum() },
        "floor" => f64::floor,
        "ceil" => f64::ceil,
        "trunc" => f64::trunc,
        "round_even" => f64::round_ties_even,
        "round_away" => |x| round_half_away(x, 0),
        "floor_numeric" => |x| snapped(x).floor(),
        "ceil_numeric" => |x| snapped(x).ceil(),
        "trunc_numeric" => |x| snapped(x).trunc(),
        "cbrt" => f64::cbrt,
        "negate_float" => |x| -x,
        "degrees" => f64::to_degrees,
        "radians" => f64::to_radians,
        "sinh" => f64::sinh,
        "cosh" => f64::cosh,
        "tanh" => f64::tanh,
        "asinh" => f64::asinh,
        "atan" => f64::atan,
        "real" => |x| f64::from(x as f32),
        _ => return None,
    };
    Some(map1::<Floats, f64, _>(name, String::new(), false, move |x| Ok(f(x))))
}

/// Functions of one float that raise outside of their domain.
pub fn partial(name: &'static str) -> Option<Func> {
    let f: fn(f64) -> Of<f64> = match name {
        "sqrt" => |x| {
            if x < 0.0 {
                Err(Fault::new("2201F", "cannot take square root of a negative number"))
            } else {
                Ok(x.sqrt())
            }
        },
        "ln" => |x| logarithm(x).map(f64::ln),
        "log10" => |x| logarithm(x).map(f64::log10),
        "exp" => |x| {
            let value = x.exp();
            if x.is_finite() && value.is_infinite() {
                return Err(Fault::new("22003", "value out of range: overflow"));
            }
            if x.is_finite() && value == 0.0 {
                return Err(Fault::new("22003", "value out of range: underflow"));
            }
            Ok(value)
        },
        "sind" => |x| finite(x).map(|x| exact_degrees(x, f64::sin)),
        "cosd" => |x| finite(x).map(|x| exact_degrees(x, f64::cos)),
        "tand" => |x| finite(x).map(|x| exact_degrees(x, f64::tan)),
        "sin" => |x| finite(x).map(f64::sin),
        "cos" => |x| finite(x).map(f64::cos),
        "tan" => |x| finite(x).map(f64::tan),
        "cot" => |x| finite(x).map(|x| 1.0 / x.tan()),
        "asin" => |x| domain(x, -1.0, 1.0).map(f64::asin),
        "acos" => |x| domain(x, -1.0, 1.0).map(f64::acos),
        "acosh" => |x| domain(x, 1.0, f64::INFINITY).map(f64::acosh),
        "atanh" => |x| domain(x, -1.0, 1.0).map(f64::atanh),
        _ => return None,
    };
    Some(map1::<Floats, f64, _>(name, String::new(), true, f))
}

/// Of an angle in degrees; whole numbers and halves come out as such: sind(30) is 0.5.
fn exact_degrees(x: f64, f: fn(f64) -> f64) -> f64 {
    let value = f((x % 360.0).to_radians());
    let near = (value * 2.0).round() / 2.0;
    if (value - near).abs() < 1e-15 { near } else { value }
}

fn out_of_range() -> Fault {
    Fault::new("22003", "input is out of range")
}

fn finite(x: f64) -> Of<f64> {
    if x.is_infinite() { Err(out_of_range()) } else { Ok(x) }
}

fn domain(x: f64, low: f64, high: f64) -> Of<f64> {
    if x < low || x > high { Err(out_of_range()) } else { Ok(x) }
}

fn logarithm(x: f64) -> Of<f64> {
    match x {
        0.0 => Err(Fault::new("2201E", "cannot take logarithm of zero")),
        x if x < 0.0 => Err(Fault::new("2201E", "cannot take logarithm of a negative number")),
        x => Ok(x),
    }
}

pub fn log_base() -> Func {
    map2::<Floats, Floats, f64, _>("log", String::new(), true, |base, x| {
        let (x, base) = (logarithm(x)?, logarithm(base)?);
        if base == 1.0 {
            return Err(Fault::zero());
        }
        Ok(snapped(x.ln() / base.ln()))
    })
}

pub fn power() -> Func {
    map2::<Floats, Floats, f64, _>("power", String::new(), true, |x, y| {
        if x == 0.0 && y < 0.0 {
            return Err(Fault::new("2201F", "zero raised to a negative power is undefined"));
        }
        if x < 0.0 && y.is_finite() && y.fract() != 0.0 {
            return Err(Fault::new("2201F", "a negative number raised to a non-integer power yields a complex result"));
        }
        let value = x.powf(y);
        if value.is_infinite() && x.is_finite() && y.is_finite() {
            return Err(Fault::new("22003", "value out of range: overflow"));
        }
        if value == 0.0 && x != 0.0 && x.is_finite() && y.is_finite() {
            return Err(Fault::new("22003", "value out of range: underflow"));
        }
        Ok(value)
    })
}

pub fn atan2() -> Func {
    map2::<Floats, Floats, f64, _>("atan2", String::new(), false, |y, x| Ok(y.atan2(x)))
}

pub fn pi() -> f64 {
    PI
}

/// Which of so many buckets between two bounds; 0 below, one more above.
pub fn width_bucket() -> Func {
    map4::<Floats, Floats, Floats, Ints, i64, _>("width_bucket", String::new(), true, |x, low, high, count| {
        if count <= 0 {
            return Err(Fault::new("2201G", "count must be greater than zero"));
        }
        if x.is_nan() || low.is_nan() || high.is_nan() {
            return Err(Fault::new("2201G", "operand, lower bound, and upper bound cannot be NaN"));
        }
        if low == high || low.is_infinite() || high.is_infinite() {
            return Err(Fault::new("2201G", "lower bound cannot equal upper bound, and both must be finite"));
        }
        let (x, low, high) = if low < high { (x, low, high) } else { (-x, -low, -high) };
        if x < low {
            return Ok(0);
        }
        if x >= high {
            return Ok(count + 1);
        }
        let place = ((x - low) / (high - low) * count as f64) as i64;
        Ok(place.min(count - 1) + 1)
    })
}

/// Functions of whole numbers; the result keeps its type.
pub fn whole(name: &'static str, ty: Ty) -> Option<Func> {
    let kind = ty.name();
    let f: Box<dyn Fn(i64) -> Of<i64> + Send + Sync> = match name {
        "abs" => Box::new(move |x| match x.checked_abs() {
            Some(value) if value <= ty.bounds().1 => Ok(value),
            _ => Err(Fault::range(kind)),
        }),
        "sign_whole" => Box::new(|x| Ok(x.signum())),
        "bit_not" => Box::new(|x| Ok(!x)),
        "factorial" => Box::new(|x| match x {
            x if x < 0 => Err(Fault::new("22003", "factorial of a negative number is undefined")),
            x => (1..=x).try_fold(1i64, |all, n| all.checked_mul(n)).ok_or_else(|| Fault::range("numeric")),
        }),
        _ => return None,
    };
    Some(map1::<Ints, i64, _>(name, kind.into(), true, f))
}

/// Functions of two whole numbers.
pub fn whole2(name: &'static str, ty: Ty) -> Option<Func> {
    let bits = match ty {
        Ty::Int2 | Ty::Int4 => 32,
        _ => 64,
    };
    let f: Box<dyn Fn(i64, i64) -> Of<i64> + Send + Sync> = match name {
        "bit_and" => Box::new(|x, y| Ok(x & y)),
        "bit_or" => Box::new(|x, y| Ok(x | y)),
        "bit_xor" => Box::new(|x, y| Ok(x ^ y)),
        "shift_left" => Box::new(move |x, y| {
            let by = y.rem_euclid(bits) as u32;
            Ok(if bits == 32 { i64::from((x as i32).wrapping_shl(by)) } else { x.wrapping_shl(by) })
        }),
        "shift_right" => Box::new(move |x, y| Ok(x >> (y.rem_euclid(bits) as u32))),
        "floor_div" => Box::new(|x, y| match y {
            0 => Err(Fault::zero()),
            y => {
                let quotient = x.checked_div(y).ok_or_else(|| Fault::range("bigint"))?;
                Ok(if x % y != 0 && (x < 0) != (y < 0) { quotient - 1 } else { quotient })
            }
        }),
        "gcd" => {
            Box::new(|x, y| i64::try_from(gcd(x.unsigned_abs(), y.unsigned_abs())).map_err(|_| Fault::range("bigint")))
        }
        "lcm" => Box::new(|x, y| {
            let divisor = gcd(x.unsigned_abs(), y.unsigned_abs());
            if divisor == 0 {
                return Ok(0);
            }
            (x.unsigned_abs() / divisor)
                .checked_mul(y.unsigned_abs())
                .and_then(|v| i64::try_from(v).ok())
                .ok_or_else(|| Fault::range("bigint"))
        }),
        _ => return None,
    };
    Some(map2::<Ints, Ints, i64, _>(name, ty.name().into(), true, f))
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// `//` of floats: the quotient, rounded down.
pub fn floor_div_float() -> Func {
    map2::<Floats, Floats, f64, _>("floor_div_float", String::new(), true, |x, y| {
        if y == 0.0 { Err(Fault::zero()) } else { Ok((x / y).floor()) }
    })
}

/// DIV(): the quotient, cut off.
pub fn div_float() -> Func {
    map2::<Floats, Floats, f64, _>("div", String::new(), true, |x, y| {
        if y == 0.0 { Err(Fault::zero()) } else { Ok(snapped(x / y).trunc()) }
    })
}

/// A whole number divided by another, with its fraction.
pub fn ratio(by: i64) -> Func {
    map1::<Ints, f64, _>("ratio", by.to_string(), false, move |x| Ok(x as f64 / by as f64))
}

/// A bigint as a numeric.
pub fn same_whole() -> Func {
    map1::<Ints, i64, _>("same", String::new(), false, Ok)
}

/// A numeric as a float.
pub fn same_float() -> Func {
    map1::<Floats, f64, _>("same", "float".into(), false, Ok)
}

pub fn is_nan() -> Func {
    map1::<Floats, bool, _>("isnan", String::new(), false, |x| Ok(x.is_nan()))
}

pub fn is_finite() -> Func {
    map1::<Floats, bool, _>("isfinite", String::new(), false, |x| Ok(x.is_finite()))
}

/// How a whole number stands to a float, exactly: -1, 0 or 1. NaN is above all numbers.
pub fn order_whole_float() -> Func {
    use std::cmp::Ordering::*;
    let run = std::sync::Arc::new(|c: &[polars::prelude::Column]| {
        let (a, b) = (Ints::of(&c[0])?, Floats::of(&c[1])?);
        collect(super::columns::rows(&[a.rows(), b.rows()]), |row| {
            Ok(a.at(row).zip(b.at(row)).map(|(x, y)| match compare(x, y) {
                Less => -1i64,
                Equal => 0,
                Greater => 1,
            }))
        })
    });
    Func { name: "order_whole_float", parameter: String::new(), run, fallible: false }
}

fn compare(x: i64, y: f64) -> std::cmp::Ordering {
    use std::cmp::Ordering::*;
    if y.is_nan() || y >= 9_223_372_036_854_775_808.0 {
        return Less;
    }
    if y < -9_223_372_036_854_775_808.0 {
        return Greater;
    }
    let whole = y.trunc();
    x.cmp(&(whole as i64)).then_with(|| 0.0f64.partial_cmp(&(y - whole)).unwrap_or(Equal))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_round_as_they_are_written() {
        assert_eq!(round_half_away(2.675, 2), 2.68);
        assert_eq!(round_half_away(-2.5, 0), -3.0);
        assert_eq!(round_half_away(1234.567, -2), 1200.0);
        assert_eq!(at_places(12.349, 2, f64::trunc), 12.34);
        assert_eq!(at_places(0.1 * 3.0, 1, f64::trunc), 0.3);
        assert_eq!(snapped(0.1 + 0.2), 0.3);
        assert_eq!(round_half_away(1e300, 10), 1e300);
        let tenths: f64 = std::iter::repeat_n(0.1, 10).sum();
        assert_ne!(tenths, 1.0);
        assert_eq!(snapped_sum(tenths), 1.0);
        assert_eq!(decimal_mean(tenths, 10.0), 0.1);
        assert_eq!(decimal_mean(50.0, 322.0), 50.0 / 322.0);
        let sine = (2.0 * PI * 5.0 / 24.0).sin();
        assert_eq!(snapped(sine), sine);
    }

    #[test]
    fn whole_numbers_compare_with_floats_exactly() {
        use std::cmp::Ordering::*;
        assert_eq!(compare(9_007_199_254_740_993, 9_007_199_254_740_992.0), Greater);
        assert_eq!(compare(3, 3.5), Less);
        assert_eq!(compare(-3, -3.5), Greater);
        assert_eq!(compare(i64::MAX, f64::NAN), Less);
        assert_eq!(compare(i64::MAX, 9_223_372_036_854_775_807.0), Less);
    }
}

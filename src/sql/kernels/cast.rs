//! CAST: from each type to each, as Postgres rounds, checks and writes.

use chrono_tz::Tz;

use super::columns::{Bools, Clock, Dates, Day, Floats, Instant, Ints, Micros, Texts, map1};
use super::math::round_half_away;
use super::{number_text, parse_time, time, zone};
use crate::sql::error::Fault;
use crate::sql::types::Ty;
use crate::sql::types::Ty::*;
use crate::sql::value::Func;

/// The function that casts; nothing when the value is held alike and needs none.
pub enum Cast {
    Same,
    By(Func),
    Impossible,
}

pub fn cast(from: Ty, to: Ty, zone: Tz) -> Cast {
    if from == to || (from == Unknown && to == Text) {
        return Cast::Same;
    }
    let name = || format!("{from:?} {to:?}");
    let by = match (from, to) {
        _ if from.is_whole() && to.is_whole() => {
            let (low, high) = to.bounds();
            if from.bounds().0 >= low && from.bounds().1 <= high {
                return Cast::Same;
            }
            map1::<Ints, i64, _>("cast", name(), true, move |x| whole(x, to))
        }
        _ if from.is_whole() && (to.is_float() || to == Numeric) => {
            map1::<Ints, f64, _>("cast", name(), false, move |x| {
                Ok(if to == Float4 { f64::from(x as f32) } else { x as f64 })
            })
        }
        (Numeric, Float8) | (Float4, Float8) => return Cast::Same,
        // Fifteen digits of a float are a numeric, six of a real.
        (Float8, Numeric) => map1::<Floats, f64, _>("cast", name(), true, |x| numeric(super::math::fifteen(x))),
        (Float4, Numeric) => {
            map1::<Floats, f64, _>("cast", name(), true, |x| numeric(format!("{x:.5e}").parse().unwrap_or(x)))
        }
        (Numeric | Float8, Float4) => map1::<Floats, f64, _>("cast", name(), true, |x| {
            let small = x as f32;
            if small.is_infinite() && x.is_finite() || small == 0.0 && x != 0.0 {
                return Err(Fault::range("real"));
            }
            Ok(f64::from(small))
        }),
        (Float4 | Float8, to) if to.is_whole() => {
            map1::<Floats, i64, _>("cast", name(), true, move |x| whole_of(x.round_ties_even(), to))
        }
        (Numeric, to) if to.is_whole() => {
            map1::<Floats, i64, _>("cast", name(), true, move |x| whole_of(round_half_away(x, 0), to))
        }
        (Bool, Int4) => map1::<Bools, i64, _>("cast", name(), false, |b| Ok(b.into())),
        (Int4 | Int8 | Int2, Bool) => map1::<Ints, bool, _>("cast", name(), false, |x| Ok(x != 0)),
        (_, Text) => return to_text(from, zone, name()),
        (Text | Unknown, _) => return of_text(to, zone, name()),
        (Date, Timestamp) => time::date_to_clock(),
        (Date, Timestamptz) => time::date_to_instant(zone),
        (Timestamp, Timestamptz) => zone::to_instant(zone),
        (Timestamptz, Timestamp) => zone::to_local(zone),
        (Timestamp, Date) => time::to_date(None),
        (Timestamptz, Date) => time::to_date(Some(zone)),
        _ => return Cast::Impossible,
    };
    Cast::By(by)
}

fn whole(x: i64, to: Ty) -> std::result::Result<i64, Fault> {
    let (low, high) = to.bounds();
    if (low..=high).contains(&x) { Ok(x) } else { Err(Fault::range(to.name())) }
}

fn whole_of(x: f64, to: Ty) -> std::result::Result<i64, Fault> {
    // 2^63 is a float, 2^63 - 1 is none.
    if !(-9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0).contains(&x) {
        return Err(Fault::range(if to == Whole { "bigint" } else { to.name() }));
    }
    whole(x as i64, to)
}

fn numeric(x: f64) -> std::result::Result<f64, Fault> {
    Ok(x)
}

fn to_text(from: Ty, zone: Tz, name: String) -> Cast {
    Cast::By(match from {
        Bool => map1::<Bools, String, _>("cast", name, false, |b| Ok(number_text::boolean(b))),
        Int2 | Int4 | Int8 | Whole => map1::<Ints, String, _>("cast", name, false, |x| Ok(x.to_string())),
        Float4 | Float8 => map1::<Floats, String, _>("cast", name, false, move |x| Ok(number_text::float(x, from))),
        Date => map1::<Dates, String, _>("cast", name, false, |d| Ok(parse_time::date_text(d.into()))),
        Timestamp => map1::<Micros, String, _>("cast", name, false, |t| Ok(parse_time::time_text(t, None))),
        Timestamptz => map1::<Micros, String, _>("cast", format!("{name}{zone}"), true, move |t| {
            let offset = zone::offset_at(zone, t)?;
            Ok(parse_time::time_text(t + offset * zone::SECOND, Some(offset)))
        }),
        _ => return Cast::Impossible,
    })
}

fn of_text(to: Ty, zone: Tz, name: String) -> Cast {
    Cast::By(match to {
        Bool => map1::<Texts, bool, _>("cast", name, true, number_text::parse_bool),
        Int2 | Int4 | Int8 => map1::<Texts, i64, _>("cast", name, true, move |s| number_text::parse_int(s, to)),
        Numeric | Float4 | Float8 => {
            map1::<Texts, f64, _>("cast", name, true, move |s| number_text::parse_float(s, to))
        }
        Date => map1::<Texts, Day, _>("cast", name, true, |s| time::day(parse_time::date(s)?)),
        Timestamp => map1::<Texts, Clock, _>("cast", name, true, |s| parse_time::timestamp(s).map(Clock)),
        Timestamptz => map1::<Texts, Instant, _>("cast", format!("{name}{zone}"), true, move |s| {
            parse_time::timestamptz(s, zone).map(Instant)
        }),
        _ => return Cast::Impossible,
    })
}

/// numeric(p, s): rounded to s places, at most p digits in all.
pub fn to_places(precision: u64, scale: i64) -> Func {
    map1::<Floats, f64, _>("numeric", format!("{precision} {scale}"), true, move |x| {
        let value = round_half_away(x, scale);
        let limit = 10f64.powi((precision as i64 - scale).clamp(-400, 400) as i32);
        if value.is_finite() && value.abs() >= limit {
            return Err(Fault::new(
                "22003",
                format!(
                    "numeric field overflow: a number has more than {} digits before the point",
                    precision as i64 - scale
                ),
            ));
        }
        Ok(value)
    })
}

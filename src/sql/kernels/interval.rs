//! Intervals: months, days and microseconds, each for itself, as Postgres has them; how they are read and added.

use chrono_tz::Tz;

use super::columns::{Clock, Get, Instant, Ints, Micros, collect, map2, rows};
use super::time::{civil, days_in_month, days_of};
use super::zone::{DAY, SECOND, beyond, instant, offset_at};
use crate::sql::error::Fault;
use crate::sql::value::Func;

type Of<T> = std::result::Result<T, Fault>;

/// Months, days, microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    pub months: i64,
    pub days: i64,
    pub micros: i64,
}

fn unreadable(text: &str) -> Fault {
    Fault::new("22007", format!("invalid input syntax for type interval: \"{text}\""))
}

/// A unit: months, days and microseconds of one.
fn unit(name: &str) -> Option<(f64, f64, f64)> {
    let second = SECOND as f64;
    Some(match name {
        "microsecond" | "microseconds" | "us" | "usec" | "usecs" => (0.0, 0.0, 1.0),
        "millisecond" | "milliseconds" | "ms" | "msec" | "msecs" => (0.0, 0.0, 1000.0),
        "second" | "seconds" | "s" | "sec" | "secs" => (0.0, 0.0, second),
        "minute" | "minutes" | "m" | "min" | "mins" => (0.0, 0.0, 60.0 * second),
        "hour" | "hours" | "h" | "hr" | "hrs" => (0.0, 0.0, 3600.0 * second),
        "day" | "days" | "d" => (0.0, 1.0, 0.0),
        "week" | "weeks" | "w" => (0.0, 7.0, 0.0),
        "month" | "months" | "mon" | "mons" => (1.0, 0.0, 0.0),
        "quarter" | "quarters" | "qtr" => (3.0, 0.0, 0.0),
        "year" | "years" | "y" | "yr" | "yrs" => (12.0, 0.0, 0.0),
        "decade" | "decades" => (120.0, 0.0, 0.0),
        "century" | "centuries" => (1200.0, 0.0, 0.0),
        _ => return None,
    })
}

impl Span {
    /// So many units. A part of a month becomes days of thirty to the month, a part of a day becomes time.
    fn add(&mut self, count: f64, (months, days, micros): (f64, f64, f64)) {
        let all_months = count * months;
        let whole_months = if months > 1.0 { all_months.round() } else { all_months.trunc() };
        let spilled = if months > 1.0 { 0.0 } else { (all_months - whole_months) * 30.0 };
        let all_days = count * days + spilled;
        let whole_days = all_days.trunc();
        self.months = self.months.saturating_add(whole_months as i64);
        self.days = self.days.saturating_add(whole_days as i64);
        let micros = (count * micros + (all_days - whole_days) * DAY as f64).round() as i64;
        self.micros = self.micros.saturating_add(micros);
    }

    /// Months and days have 32 bits in Postgres, microseconds 64.
    fn in_range(self, text: &str) -> Of<Span> {
        let narrow = |n: i64| i32::try_from(n).is_ok();
        if narrow(self.months) && narrow(self.days) && self.micros.abs_diff(0) < i64::MAX as u64 {
            return Ok(self);
        }
        Err(Fault::new("22015", format!("interval field value out of range: \"{text}\"")))
    }

    pub fn negated(self) -> Span {
        Span { months: -self.months, days: -self.days, micros: -self.micros }
    }
}

/// `1 day 02:03:04`, `1.5 hours ago`, `P1Y2DT3H`; a bare number has the unit of the field, or seconds.
pub fn parse(text: &str, field: Option<&str>) -> Of<Span> {
    let lower = text.trim().to_lowercase();
    if lower.is_empty() {
        return Err(unreadable(text));
    }
    if let Some(iso) = lower.strip_prefix('p').or_else(|| lower.strip_prefix("-p")) {
        let span = iso8601(iso).ok_or_else(|| unreadable(text))?.in_range(text)?;
        return Ok(if lower.starts_with('-') { span.negated() } else { span });
    }
    let mut words = split(&lower);
    let ago = words.last().is_some_and(|w| w == "ago");
    if ago {
        words.pop();
    }
    let mut span = Span::default();
    let mut words = words.into_iter().filter(|w| w != "@").peekable();
    while let Some(word) = words.next() {
        if word.contains(':') {
            span.micros = span.micros.saturating_add(clock(&word).ok_or_else(|| unreadable(text))?);
            continue;
        }
        let count: f64 = word.parse().ok().filter(|n: &f64| n.is_finite()).ok_or_else(|| unreadable(text))?;
        let named = words.peek().and_then(|next| unit(next));
        let of = match named {
            Some(of) => {
                words.next();
                of
            }
            // `1 02:00:00` is a day and two hours; alone, a number counts seconds.
            None if words.peek().is_some_and(|next| next.contains(':')) => (0.0, 1.0, 0.0),
            None if words.peek().is_none() => unit(field.unwrap_or("second")).ok_or_else(|| unreadable(text))?,
            None => return Err(unreadable(text)),
        };
        span.add(count, of);
    }
    let span = span.in_range(text)?;
    Ok(if ago { span.negated() } else { span })
}

/// Words; a number and the unit behind it are two.
fn split(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    for word in text.split_whitespace() {
        match word.char_indices().find(|(_, c)| c.is_alphabetic()) {
            Some((at, _)) if at > 0 && !word.contains(':') => {
                words.push(word[..at].to_owned());
                words.push(word[at..].to_owned());
            }
            _ => words.push(word.to_owned()),
        }
    }
    words
}

/// `hh:mm` or `hh:mm:ss.ffffff`.
fn clock(word: &str) -> Option<i64> {
    let (sign, word) = match word.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, word.strip_prefix('+').unwrap_or(word)),
    };
    let mut parts = word.split(':');
    let (hours, minutes): (i64, i64) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
    let seconds: f64 = parts.next().map_or(Some(0.0), |s| s.parse().ok())?;
    if parts.next().is_some() || !(0..60).contains(&minutes) || !(0.0..60.0).contains(&seconds) || hours < 0 {
        return None;
    }
    let micros = (seconds * SECOND as f64).round() as i64;
    Some(sign * hours.saturating_mul(3600 * SECOND).saturating_add(minutes * 60 * SECOND + micros))
}

fn iso8601(text: &str) -> Option<Span> {
    let mut span = Span::default();
    let (mut number, mut time) = (String::new(), false);
    for c in text.chars() {
        match c {
            't' => time = true,
            '0'..='9' | '.' | '-' => number.push(c),
            letter => {
                let of = match (letter, time) {
                    ('y', false) => "year",
                    ('m', false) => "month",
                    ('w', false) => "week",
                    ('d', false) => "day",
                    ('h', true) => "hour",
                    ('m', true) => "minute",
                    ('s', true) => "second",
                    _ => return None,
                };
                span.add(std::mem::take(&mut number).parse().ok()?, unit(of)?);
            }
        }
    }
    number.is_empty().then_some(span)
}

/// Adds months to a local time; the end of a shorter month is kept.
fn add_months(local: i64, months: i64) -> Of<i64> {
    if months == 0 {
        return Ok(local);
    }
    let (date, time) = (local.div_euclid(DAY), local.rem_euclid(DAY));
    let (year, month, day) = civil(date);
    let all = year.checked_mul(12).and_then(|y| y.checked_add(month - 1)?.checked_add(months)).ok_or_else(beyond)?;
    let (year, month) = (all.div_euclid(12), all.rem_euclid(12) + 1);
    if !(-4713..=294_276).contains(&year) {
        return Err(beyond());
    }
    let date = days_of(year, month, day.min(days_in_month(year, month)));
    date.checked_mul(DAY).and_then(|date| date.checked_add(time)).ok_or_else(beyond)
}

/// A local time some months and days later.
fn later(local: i64, months: i64, days: i64) -> Of<i64> {
    let days = days.checked_mul(DAY).ok_or_else(beyond)?;
    add_months(local, months)?.checked_add(days).ok_or_else(beyond)
}

/// A time moved by an interval; an instant, by the clock of a zone: a day later is the same hour of the next day.
pub fn moved(at: i64, months: i64, days: i64, micros: i64, zone: Option<Tz>) -> Of<i64> {
    let calendar = match zone {
        Some(zone) if months != 0 || days != 0 => {
            let local = at.checked_add(offset_at(zone, at)? * SECOND).ok_or_else(beyond)?;
            instant(zone, later(local, months, days)?)?
        }
        _ => later(at, months, days)?,
    };
    calendar.checked_add(micros).ok_or_else(beyond)
}

pub fn add(zone: Option<Tz>) -> Func {
    let run = std::sync::Arc::new(move |c: &[polars::prelude::Column]| {
        let times = Micros::of(&c[0])?;
        let (months, days, micros) = (Ints::of(&c[1])?, Ints::of(&c[2])?, Ints::of(&c[3])?);
        let n = rows(&[times.rows(), months.rows(), days.rows(), micros.rows()]);
        let each = |row: usize| -> Of<Option<i64>> {
            let (Some(at), Some(months), Some(days), Some(micros)) =
                (times.at(row), months.at(row), days.at(row), micros.at(row))
            else {
                return Ok(None);
            };
            moved(at, months, days, micros, zone).map(Some)
        };
        match zone {
            Some(_) => collect(n, |row| each(row).map(|v| v.map(Instant))),
            None => collect(n, |row| each(row).map(|v| v.map(Clock))),
        }
    });
    Func { name: "add_interval", parameter: zone.map_or("", |z| z.name()).into(), run, fallible: true }
}

/// Which part of the difference between two times.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Part {
    Months,
    Days,
    Micros,
}

/// time - time: days of 24 hours, and the rest.
pub fn difference(part: Part) -> Func {
    map2::<Micros, Micros, i64, _>("difference", format!("{part:?}"), true, move |a, b| {
        let all = a.checked_sub(b).ok_or_else(beyond)?;
        Ok(match part {
            Part::Months => 0,
            Part::Days => all / DAY,
            Part::Micros => all % DAY,
        })
    })
}

/// AGE: years and months as a calendar counts them, then days and time.
pub fn age(part: Part) -> Func {
    map2::<Micros, Micros, i64, _>("age", format!("{part:?}"), true, move |a, b| {
        let span = if a >= b { between(a, b) } else { between(b, a).negated() };
        Ok(match part {
            Part::Months => span.months,
            Part::Days => span.days,
            Part::Micros => span.micros,
        })
    })
}

/// interval * number or interval / number: what is left of a month becomes days, what is left of a day time.
pub fn scale(part: Part, divide: bool) -> Func {
    use super::columns::{Floats, map4};
    map4::<Ints, Ints, Ints, Floats, i64, _>(
        "scale",
        format!("{part:?}{divide}"),
        true,
        move |months, days, micros, by| {
            if divide && by == 0.0 {
                return Err(Fault::zero());
            }
            let times = |n: i64| if divide { n as f64 / by } else { n as f64 * by };
            let (all_months, all_days) = (times(months), times(days));
            let month_days = super::math::snapped(all_months.fract() * 30.0);
            let rest = super::math::snapped((month_days.fract() + all_days.fract()) * DAY as f64);
            let value = match part {
                Part::Months => all_months.trunc(),
                Part::Days => all_days.trunc() + month_days.trunc() + (rest / DAY as f64).trunc(),
                Part::Micros => (times(micros) + rest % DAY as f64).round_ties_even(),
            };
            if value.abs() < 9.2e18 { Ok(value as i64) } else { Err(Fault::new("22008", "interval out of range")) }
        },
    )
}

fn between(late: i64, early: i64) -> Span {
    let (late_date, early_date) = (civil(late.div_euclid(DAY)), civil(early.div_euclid(DAY)));
    let mut months = (late_date.0 - early_date.0) * 12 + late_date.1 - early_date.1;
    let mut days = late_date.2 - early_date.2;
    let mut micros = late.rem_euclid(DAY) - early.rem_euclid(DAY);
    if micros < 0 {
        micros += DAY;
        days -= 1;
    }
    if days < 0 {
        days += days_in_month(early_date.0, early_date.1);
        months -= 1;
    }
    Span { months, days, micros }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_are_read_as_postgres_reads_them() {
        let span = |months, days, micros| Span { months, days, micros };
        for (text, is) in [
            ("1 day 2 hours 3 minutes", span(0, 1, 7_380_000_000)),
            ("1 month", span(1, 0, 0)),
            ("-1 day +02:03:04.5", span(0, -1, 7_384_500_000)),
            ("01:30:00", span(0, 0, 5_400_000_000)),
            ("1.5 hours", span(0, 0, 5_400_000_000)),
            ("1.5 months", span(1, 15, 0)),
            ("1.5 years", span(18, 0, 0)),
            ("1.5 days", span(0, 1, 43_200_000_000)),
            ("2 weeks ago", span(0, -14, 0)),
            ("P1Y2M3DT4H5M6S", span(14, 3, 14_706_000_000)),
            ("1 02:00", span(0, 1, 7_200_000_000)),
            ("36h", span(0, 0, 129_600_000_000)),
            ("90", span(0, 0, 90_000_000)),
        ] {
            assert_eq!(parse(text, None), Ok(is), "{text}");
        }
        assert_eq!(parse("3", Some("day")), Ok(span(0, 3, 0)));
        for text in ["", "day", "1 fortnight", "1 2", "25:61"] {
            assert!(parse(text, None).is_err(), "{text}");
        }
    }

    #[test]
    fn months_end_where_they_end() {
        let day = |y, m, d| days_of(y, m, d) * DAY;
        assert_eq!(add_months(day(2024, 1, 31), 1), Ok(day(2024, 2, 29)));
        assert_eq!(add_months(day(2024, 3, 31), -1), Ok(day(2024, 2, 29)));
        assert_eq!(add_months(day(2023, 12, 15), 2), Ok(day(2024, 2, 15)));
        assert_eq!(between(day(2024, 6, 1), day(2000, 2, 29)), Span { months: 291, days: 1, micros: 0 });
    }
}

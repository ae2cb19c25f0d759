//! Dates and local times: the calendar, EXTRACT, DATE_TRUNC and what is built of parts.

use std::sync::Arc;

use chrono_tz::Tz;
use polars::prelude::Column;

use super::columns::{Clock, Dates, Day, Get, Instant, Ints, Micros, Put, collect, map1, map2, map3};
use super::zone::{Clocks, DAY, SECOND, beyond, instant, local1, offset_at};
use crate::sql::error::Fault;
use crate::sql::types::Ty;
use crate::sql::value::Func;

type Of<T> = std::result::Result<T, Fault>;

/// Year, month and day of a number of days since 1970, in the Gregorian calendar of all times.
pub fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let turned = (5 * of_year + 2) / 153;
    let day = of_year - (153 * turned + 2) / 5 + 1;
    let month = if turned < 10 { turned + 3 } else { turned - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

/// Days since 1970 of a date.
pub fn days_of(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * (if month > 2 { month - 3 } else { month + 9 }) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

pub fn leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

pub fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        2 => 28 + i64::from(leap(year)),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Monday is 1.
pub fn weekday(days: i64) -> i64 {
    (days + 3).rem_euclid(7) + 1
}

/// The year and the week by ISO 8601.
pub fn iso_week(days: i64) -> (i64, i64) {
    let thursday = days - weekday(days) + 4;
    let (year, ..) = civil(thursday);
    (year, (thursday - days_of(year, 1, 1)) / 7 + 1)
}

/// What can be taken out of a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    Century,
    Day,
    Decade,
    Dow,
    Doy,
    Epoch,
    Hour,
    Isodow,
    Isoyear,
    Julian,
    Microseconds,
    Millennium,
    Milliseconds,
    Minute,
    Month,
    Quarter,
    Second,
    Timezone,
    TimezoneHour,
    TimezoneMinute,
    Week,
    Year,
}

use Field::{
    Century, Decade, Dow, Doy, Epoch, Hour, Isodow, Isoyear, Julian, Microseconds, Millennium, Milliseconds, Minute,
    Month, Quarter, Second, Timezone, TimezoneHour, TimezoneMinute, Week, Year,
};

impl Field {
    pub fn named(name: &str) -> Option<Field> {
        Some(match name.to_ascii_lowercase().as_str() {
            "century" | "centuries" | "cent" | "c" => Century,
            "day" | "days" | "d" => Field::Day,
            "decade" | "decades" | "dec" | "decs" => Decade,
            "dow" | "dayofweek" => Dow,
            "doy" | "dayofyear" => Doy,
            "epoch" => Epoch,
            "hour" | "hours" | "h" | "hr" | "hrs" => Hour,
            "isodow" => Isodow,
            "isoyear" => Isoyear,
            "julian" => Julian,
            "microseconds" | "microsecond" | "us" | "usec" | "usecs" => Microseconds,
            "millennium" | "millennia" | "mil" | "mils" | "millenium" => Millennium,
            "milliseconds" | "millisecond" | "ms" | "msec" | "msecs" => Milliseconds,
            "minute" | "minutes" | "m" | "min" | "mins" => Minute,
            "month" | "months" | "mon" | "mons" => Month,
            "quarter" | "qtr" => Quarter,
            "second" | "seconds" | "s" | "sec" | "secs" => Second,
            "timezone" => Timezone,
            "timezone_hour" => TimezoneHour,
            "timezone_minute" => TimezoneMinute,
            "week" | "weeks" | "w" | "isoweek" => Week,
            "year" | "years" | "y" | "yr" | "yrs" => Year,
            _ => return None,
        })
    }

    /// Whether it has a fraction.
    pub fn fractional(self) -> bool {
        matches!(self, Epoch | Julian | Milliseconds | Second)
    }

    pub fn of_time_only(self) -> bool {
        matches!(self, Hour | Minute | Second | Milliseconds | Microseconds | Timezone | TimezoneHour | TimezoneMinute)
    }
}

/// A field of a date, without a fraction.
fn of_date(field: Field, days: i64) -> i64 {
    let (year, month, day) = civil(days);
    // There is no year 0: what comes before 1 is -1.
    let counted = if year > 0 { year } else { year - 1 };
    match field {
        Century => {
            if year > 0 {
                (year + 99) / 100
            } else {
                -((99 - (year - 1)) / 100)
            }
        }
        Millennium => {
            if year > 0 {
                (year + 999) / 1000
            } else {
                -((999 - (year - 1)) / 1000)
            }
        }
        Decade => year.div_euclid(10),
        Year => counted,
        Month => month,
        Field::Day => day,
        Quarter => (month - 1) / 3 + 1,
        Dow => weekday(days) % 7,
        Isodow => weekday(days),
        Doy => days - days_of(year, 1, 1) + 1,
        Week => iso_week(days).1,
        Isoyear => {
            let year = iso_week(days).0;
            if year > 0 { year } else { year - 1 }
        }
        _ => 0,
    }
}

/// A field of a local time, without a fraction.
fn whole(field: Field, local: i64) -> i64 {
    let time = local.rem_euclid(DAY);
    match field {
        Hour => time / (3600 * SECOND),
        Minute => time / (60 * SECOND) % 60,
        Microseconds => time % (60 * SECOND),
        _ => of_date(field, local.div_euclid(DAY)),
    }
}

fn fraction(field: Field, local: i64) -> f64 {
    let time = local.rem_euclid(DAY);
    match field {
        Second => (time % (60 * SECOND)) as f64 / 1e6,
        Milliseconds => (time % (60 * SECOND)) as f64 / 1e3,
        Julian => (local.div_euclid(DAY) + 2_440_588) as f64 + time as f64 / DAY as f64,
        _ => local as f64 / 1e6,
    }
}

/// EXTRACT of a time; of an instant, by the clock of the zone.
pub fn extract(field: Field, zone: Option<Tz>) -> Func {
    let parameter = format!("{field:?}");
    match field {
        Timezone | TimezoneHour | TimezoneMinute => {
            let zone = zone.unwrap_or(Tz::UTC);
            map1::<Micros, i64, _>("extract", format!("{parameter}{zone}"), true, move |at| {
                let offset = offset_at(zone, at)?;
                Ok(match field {
                    Timezone => offset,
                    TimezoneHour => offset / 3600,
                    _ => offset % 3600 / 60,
                })
            })
        }
        Epoch => map1::<Micros, f64, _>("extract", parameter, false, |at| Ok(at as f64 / 1e6)),
        _ if field.fractional() => local1("extract", parameter, zone, true, move |at| Ok(fraction(field, at))),
        _ => local1("extract", parameter, zone, true, move |at| Ok(whole(field, at))),
    }
}

pub fn extract_date(field: Field) -> Func {
    let parameter = format!("date {field:?}");
    match field {
        Epoch => map1::<Dates, i64, _>("extract", parameter, false, |d| Ok(i64::from(d) * 86_400)),
        Julian => map1::<Dates, i64, _>("extract", parameter, false, |d| Ok(i64::from(d) + 2_440_588)),
        _ => map1::<Dates, i64, _>("extract", parameter, false, move |d| Ok(of_date(field, d.into()))),
    }
}

/// The begin of the unit that a local time lies in.
pub fn truncated(unit: &str, local: i64) -> Option<i64> {
    let (days, time) = (local.div_euclid(DAY), local.rem_euclid(DAY));
    let (year, month, _) = civil(days);
    let first = |year: i64, month: i64| days_of(year, month, 1) * DAY;
    let cut = |size: i64| local - local.rem_euclid(size);
    let begin = |year: i64, size: i64| {
        if year > 0 { (year - 1) / size * size + 1 } else { -((size - 1 - (year - 1)) / size) * size + 1 }
    };
    Some(match unit {
        "microseconds" | "microsecond" => local,
        "milliseconds" | "millisecond" => cut(1000),
        "second" | "seconds" => cut(SECOND),
        "minute" | "minutes" => cut(60 * SECOND),
        "hour" | "hours" => days * DAY + time - time % (3600 * SECOND),
        "day" | "days" => days * DAY,
        "week" | "weeks" => (days - weekday(days) + 1) * DAY,
        "month" | "months" => first(year, month),
        "quarter" => first(year, (month - 1) / 3 * 3 + 1),
        "year" | "years" => first(year, 1),
        "decade" | "decades" => first(year.div_euclid(10) * 10, 1),
        "century" | "centuries" => first(begin(year, 100), 1),
        "millennium" | "millennia" => first(begin(year, 1000), 1),
        _ => return None,
    })
}

/// DATE_TRUNC; of an instant, by the clock of the zone.
pub fn trunc(unit: &str, zone: Option<Tz>) -> Func {
    let (name, unit) = (unit.to_owned(), unit.to_owned());
    match zone {
        None => {
            map1::<Micros, Clock, _>("date_trunc", name, false, move |at| Ok(Clock(truncated(&unit, at).unwrap_or(at))))
        }
        Some(zone) => {
            // Within a day the offset stays, so that both of two equal hours keep their own.
            let within = matches!(
                &*unit,
                "hour"
                    | "hours"
                    | "minute"
                    | "minutes"
                    | "second"
                    | "seconds"
                    | "milliseconds"
                    | "millisecond"
                    | "microseconds"
                    | "microsecond"
            );
            let run = Arc::new(move |c: &[Column]| {
                let (times, clocks) = (Micros::of(&c[0])?, Clocks::new(zone));
                collect(times.rows(), |row| {
                    let Some(at) = times.at(row) else { return Ok(None) };
                    let local = clocks.local(at)?;
                    let cut = truncated(&unit, local).unwrap_or(local);
                    let back = if within { at - (local - cut) } else { instant(zone, cut)? };
                    Ok(Some(Instant(back)))
                })
            });
            Func { name: "date_trunc", parameter: format!("{name}\u{0}{zone}"), run, fallible: true }
        }
    }
}

fn date_beyond() -> Fault {
    Fault::new("22008", "date out of range")
}

/// Postgres' dates end in these years.
pub fn day(days: i64) -> Of<Day> {
    match i32::try_from(days) {
        Ok(days) if (-2_440_588..=2_145_042_541).contains(&i64::from(days)) => Ok(Day(days)),
        _ => Err(date_beyond()),
    }
}

pub fn date_plus(sign: i64) -> Func {
    map2::<Dates, Ints, Day, _>("date_plus", sign.to_string(), true, move |d, n| {
        day(n.checked_mul(sign).and_then(|n| n.checked_add(d.into())).ok_or_else(date_beyond)?)
    })
}

pub fn days_between() -> Func {
    map2::<Dates, Dates, i64, _>("days_between", String::new(), false, |a, b| Ok(i64::from(a) - i64::from(b)))
}

/// The begin of a day in microseconds. Years beyond 262,000 are Postgres' alone.
pub fn midnight(days: i64) -> Of<i64> {
    if !(-96_000_000..95_000_000).contains(&days) {
        return Err(beyond());
    }
    Ok(days * DAY)
}

pub fn date_to_clock() -> Func {
    map1::<Dates, Clock, _>("date_to_clock", String::new(), true, |d| midnight(d.into()).map(Clock))
}

/// Midnight of the zone.
pub fn date_to_instant(zone: Tz) -> Func {
    map1::<Dates, Instant, _>("date_to_instant", zone.name().into(), true, move |d| {
        instant(zone, midnight(d.into())?).map(Instant)
    })
}

pub fn to_date(zone: Option<Tz>) -> Func {
    local1("to_date", String::new(), zone, true, |at| day(at.div_euclid(DAY)))
}

pub fn make_date() -> Func {
    map3::<Ints, Ints, Ints, Day, _>("make_date", String::new(), true, |y, m, d| match checked_date(y, m, d) {
        Some(days) if y != 0 => day(days),
        _ => Err(Fault::new("22008", format!("date field value out of range: {y}-{m:02}-{d:02}"))),
    })
}

/// Days since 1970 of a date that the calendar has.
pub fn checked_date(year: i64, month: i64, day: i64) -> Option<i64> {
    let there = (-4713..=5_874_897).contains(&year)
        && (1..=12).contains(&month)
        && (1..=days_in_month(year, month)).contains(&day);
    there.then(|| days_of(year, month, day))
}

/// Seconds since 1970 as an instant.
pub fn from_epoch() -> Func {
    map1::<super::columns::Floats, Instant, _>("to_timestamp", String::new(), true, |s| {
        let micros = (s * 1e6).round_ties_even();
        if !micros.is_finite() || micros.abs() > 9.2e18 {
            return Err(beyond());
        }
        Ok(Instant(micros as i64))
    })
}

/// A date and a time of day from numbers; of an instant, by the clock of the zone.
pub fn make_timestamp(zone: Option<Tz>) -> Func {
    let run = Arc::new(move |c: &[Column]| {
        let parts = c[..5].iter().map(Ints::of).collect::<polars::prelude::PolarsResult<Vec<_>>>()?;
        let seconds = super::columns::Floats::of(&c[5])?;
        let mut lengths: Vec<usize> = parts.iter().map(Get::rows).collect();
        lengths.push(seconds.rows());
        let each = |row: usize| -> Of<Option<i64>> {
            let whole: Option<Vec<i64>> = parts.iter().map(|p| p.at(row)).collect();
            let (Some(p), Some(s)) = (whole, seconds.at(row)) else { return Ok(None) };
            let field = || Fault::new("22008", "date/time field value out of range");
            let date = checked_date(p[0], p[1], p[2]).filter(|_| p[0] != 0).ok_or_else(field)?;
            if !(0..24).contains(&p[3]) || !(0..60).contains(&p[4]) || !(0.0..60.0).contains(&s) {
                return Err(field());
            }
            let local = midnight(date)? + (p[3] * 60 + p[4]) * 60 * SECOND + (s * 1e6).round() as i64;
            zone.map_or(Ok(local), |zone| instant(zone, local)).map(Some)
        };
        let n = super::columns::rows(&lengths);
        match zone {
            Some(_) => collect(n, |row| each(row).map(|v| v.map(Instant))),
            None => collect(n, |row| each(row).map(|v| v.map(Clock))),
        }
    });
    Func { name: "make_timestamp", parameter: zone.map_or("", |z| z.name()).into(), run, fallible: true }
}

/// DATE_BIN with a stride of microseconds.
pub fn bin(ty: Ty) -> Func {
    fn place(stride: i64, at: i64, origin: i64) -> Of<i64> {
        if stride <= 0 {
            return Err(Fault::new("22023", "stride must be greater than zero"));
        }
        let from = at.checked_sub(origin).ok_or_else(beyond)?;
        Ok(at - from.rem_euclid(stride))
    }
    fn of<R: Put + 'static>(make: fn(i64) -> R) -> Func {
        map3::<Ints, Micros, Micros, R, _>("date_bin", String::new(), true, move |stride, at, origin| {
            place(stride, at, origin).map(make)
        })
    }
    if ty == Ty::Timestamptz { of(Instant) } else { of(Clock) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_calendar_is_the_calendar() {
        for days in (-800_000..800_000).step_by(37) {
            let (y, m, d) = civil(days);
            assert_eq!(days_of(y, m, d), days);
        }
        assert_eq!(civil(0), (1970, 1, 1));
        assert_eq!(weekday(0), 4);
        assert_eq!(iso_week(days_of(2024, 12, 30)), (2025, 1));
        assert_eq!(of_date(Century, days_of(2000, 12, 31)), 20);
        assert_eq!(of_date(Decade, days_of(1969, 1, 1)), 196);
    }

    #[test]
    fn units_begin_where_they_begin() {
        let at = days_of(2024, 5, 16) * DAY + 45_296_789_012;
        let day = |y, m, d| Some(days_of(y, m, d) * DAY);
        assert_eq!(truncated("week", at), day(2024, 5, 13));
        assert_eq!(truncated("quarter", at), day(2024, 4, 1));
        assert_eq!(truncated("century", at), day(2001, 1, 1));
        assert_eq!(truncated("decade", at), day(2020, 1, 1));
        assert_eq!(truncated("hour", at), Some(days_of(2024, 5, 16) * DAY + 43_200_000_000));
        assert_eq!(truncated("fortnight", at), None);
    }
}

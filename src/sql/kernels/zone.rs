//! Instants and the clocks of a time zone: what the wall showed at an instant, and which instant it was.

use std::sync::Arc;

use chrono::{DateTime, NaiveDateTime, Offset, TimeZone};
use chrono_tz::Tz;

use super::columns::{Clock, Get, Instant, Micros, Put, Texts, collect, map1, map2, rows};
use crate::sql::error::Fault;
use crate::sql::value::Func;

type Of<T> = std::result::Result<T, Fault>;

pub const SECOND: i64 = 1_000_000;
pub const DAY: i64 = 86_400 * SECOND;

/// What an offset is remembered for, when it is the same at both ends.
const QUARTER: i64 = 900 * SECOND;

pub fn beyond() -> Fault {
    Fault::new("22008", "timestamp out of range")
}

fn naive(micros: i64) -> Of<NaiveDateTime> {
    DateTime::from_timestamp_micros(micros).map(|t| t.naive_utc()).ok_or_else(beyond)
}

/// Seconds east of Greenwich at an instant.
pub fn offset_at(zone: Tz, micros: i64) -> Of<i64> {
    Ok(i64::from(zone.offset_from_utc_datetime(&naive(micros)?).fix().local_minus_utc()))
}

/// A zone that remembers the offset of the quarter of an hour it was asked for last.
pub struct Clocks {
    zone: Tz,
    quarter: std::cell::Cell<i64>,
    offset: std::cell::Cell<i64>,
}

impl Clocks {
    pub fn new(zone: Tz) -> Clocks {
        Clocks { zone, quarter: i64::MIN.into(), offset: 0.into() }
    }

    /// What the clock on the wall showed.
    pub fn local(&self, micros: i64) -> Of<i64> {
        let quarter = micros.div_euclid(QUARTER);
        if quarter != self.quarter.get() {
            let (first, last) = (quarter * QUARTER, quarter * QUARTER + QUARTER - 1);
            let offset = offset_at(self.zone, first)?;
            if offset != offset_at(self.zone, last)? {
                // Most clocks change on a quarter of an hour, not all.
                return micros.checked_add(offset_at(self.zone, micros)? * SECOND).ok_or_else(beyond);
            }
            self.offset.set(offset * SECOND);
            self.quarter.set(quarter);
        }
        micros.checked_add(self.offset.get()).ok_or_else(beyond)
    }
}

/// The instant at which the clock showed this. Of two, the later; in a gap, as if the clock had not been changed yet.
pub fn instant(zone: Tz, local: i64) -> Of<i64> {
    use chrono::offset::LocalResult::{Ambiguous, Single};
    let seconds = |offset: &chrono_tz::TzOffset| i64::from(offset.fix().local_minus_utc());
    let wall = naive(local)?;
    let offset = match zone.offset_from_local_datetime(&wall) {
        Single(offset) => seconds(&offset),
        Ambiguous(_, later) => seconds(&later),
        chrono::offset::LocalResult::None => {
            // Gaps are of a day at most.
            let mut before = wall;
            let mut found = None;
            for _ in 0..8 {
                before = before.checked_sub_signed(chrono::Duration::hours(3)).ok_or_else(beyond)?;
                found = zone.offset_from_local_datetime(&before).latest();
                if found.is_some() {
                    break;
                }
            }
            found.map(|offset| seconds(&offset)).ok_or_else(beyond)?
        }
    };
    local.checked_sub(offset * SECOND).ok_or_else(beyond)
}

/// A zone by its name, an offset of hours and minutes, or a short name that Postgres knows too.
pub fn named(name: &str) -> Of<Tz> {
    let name = name.trim();
    let known = |name: &str| chrono_tz::TZ_VARIANTS.iter().copied().find(|tz| tz.name().eq_ignore_ascii_case(name));
    match name.to_ascii_uppercase().as_str() {
        "Z" | "ZULU" => Some(Tz::UTC),
        _ => known(name),
    }
    .ok_or_else(|| Fault::new("22023", format!("time zone \"{name}\" not recognized")))
}

/// An instant as the clock of a zone shows it.
pub fn to_local(zone: Tz) -> Func {
    let run = Arc::new(move |c: &[polars::prelude::Column]| {
        let (instants, clocks) = (Micros::of(&c[0])?, Clocks::new(zone));
        collect(instants.rows(), |row| instants.at(row).map(|t| clocks.local(t).map(Clock)).transpose())
    });
    Func { name: "to_local", parameter: zone.name().into(), run, fallible: true }
}

pub fn to_instant(zone: Tz) -> Func {
    map1::<Micros, Instant, _>("to_instant", zone.name().into(), true, move |t| instant(zone, t).map(Instant))
}

/// AT TIME ZONE with the zone in the row.
pub fn to_local_computed() -> Func {
    map2::<Micros, Texts, Clock, _>("to_local", "computed".into(), true, |t, zone| {
        Clocks::new(named(zone)?).local(t).map(Clock)
    })
}

pub fn to_instant_computed() -> Func {
    map2::<Micros, Texts, Instant, _>("to_instant", "computed".into(), true, |t, zone| {
        instant(named(zone)?, t).map(Instant)
    })
}

/// What an instant of the job's zone is, in a function of its local time.
pub fn local1<R: Put + 'static>(
    name: &'static str,
    parameter: String,
    zone: Option<Tz>,
    fallible: bool,
    f: impl Fn(i64) -> Of<R> + Send + Sync + 'static,
) -> Func {
    let run = Arc::new(move |c: &[polars::prelude::Column]| {
        let (times, clocks) = (Micros::of(&c[0])?, zone.map(Clocks::new));
        collect(rows(&[times.rows()]), |row| {
            let Some(at) = times.at(row) else { return Ok(None) };
            let local = match &clocks {
                Some(clocks) => clocks.local(at)?,
                None => at,
            };
            f(local).map(Some)
        })
    });
    let zone = zone.map_or("", |z| z.name());
    Func { name, parameter: format!("{parameter}\u{0}{zone}"), run, fallible }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NY: Tz = Tz::America__New_York;

    fn at(text: &str) -> i64 {
        text.parse::<NaiveDateTime>().unwrap().and_utc().timestamp_micros()
    }

    #[test]
    fn the_gap_and_the_hour_that_is_there_twice() {
        assert_eq!(instant(NY, at("2024-03-10T01:59:59")).unwrap(), at("2024-03-10T06:59:59"));
        assert_eq!(instant(NY, at("2024-03-10T02:30:00")).unwrap(), at("2024-03-10T07:30:00"));
        assert_eq!(instant(NY, at("2024-11-03T01:30:00")).unwrap(), at("2024-11-03T06:30:00"));
        let clocks = Clocks::new(NY);
        for (utc, local) in [
            ("2024-03-10T06:59:59", "2024-03-10T01:59:59"),
            ("2024-03-10T07:00:00", "2024-03-10T03:00:00"),
            ("2024-11-03T05:30:00", "2024-11-03T01:30:00"),
            ("2024-11-03T06:30:00", "2024-11-03T01:30:00"),
            ("1880-01-01T12:00:00", "1880-01-01T07:03:58"),
        ] {
            assert_eq!(clocks.local(at(utc)).unwrap(), at(local), "{utc}");
        }
    }

    #[test]
    fn what_is_remembered_is_what_the_zone_says() {
        for zone in chrono_tz::TZ_VARIANTS.iter().step_by(5).chain([&Tz::Asia__Gaza, &Tz::Africa__Monrovia]) {
            let clocks = Clocks::new(*zone);
            for day in (-20_000..24_837).step_by(2) {
                let (first, last) = (day * DAY, (day + 2) * DAY);
                if offset_at(*zone, first).unwrap() == offset_at(*zone, last).unwrap() {
                    continue;
                }
                for minute in first / (60 * SECOND)..last / (60 * SECOND) {
                    let at = minute * 60 * SECOND + 30 * SECOND;
                    assert_eq!(clocks.local(at).unwrap() - at, offset_at(*zone, at).unwrap() * SECOND, "{zone} {at}");
                }
            }
        }
    }
}

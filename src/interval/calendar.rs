//! Days and hours of a time zone, as the instants at which they begin and end.

use chrono::offset::LocalResult;
use chrono::{DateTime, Days, Duration, NaiveDate, NaiveTime, Offset, SecondsFormat, TimeZone, Timelike, Utc};
use chrono_tz::Tz;

use crate::error::{Error, Result};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grain {
    Day,
    Hour,
}

/// `[start, end)` in UTC, and the local date it belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interval {
    pub start: DateTime<Utc>,
    pub end: DateTime<Utc>,
    pub zone: Tz,
    pub grain: Grain,
}

impl Interval {
    /// The local date on which the interval starts.
    pub fn date(&self) -> NaiveDate {
        self.start.with_timezone(&self.zone).date_naive()
    }

    /// `2013-06-08` for a day; `2013-06-08T13-04:00` for an hour; `start/end` for any other span.
    pub fn label(&self) -> String {
        let local = self.start.with_timezone(&self.zone);
        match self.grain {
            Grain::Day if day(self.date(), self.zone).is_ok_and(|d| d == *self) => self.date().to_string(),
            Grain::Hour if hour(self.start, self.zone) == *self => local.format("%Y-%m-%dT%H%:z").to_string(),
            _ => format!("{}/{}", instant(self.start), instant(self.end)),
        }
    }

    pub fn hours(&self) -> f64 {
        (self.end - self.start).num_seconds() as f64 / 3600.0
    }

    /// The same interval with its start moved back by whole local days, for an extract with a lookback.
    pub fn extended_back(&self, days: u64) -> Result<Interval> {
        if days == 0 {
            return Ok(self.clone());
        }
        let first = self
            .date()
            .checked_sub_days(Days::new(days))
            .ok_or_else(|| Error::usage(format!("{} days before {} is outside the calendar", days, self.date())))?;
        Ok(Interval { start: first_instant(first, self.zone)?, ..self.clone() })
    }

    /// Every local date that the interval touches, in order.
    pub fn dates(&self) -> Vec<NaiveDate> {
        let last = (self.end - Duration::nanoseconds(1)).with_timezone(&self.zone).date_naive();
        self.date().iter_days().take_while(|d| *d <= last).collect()
    }

    /// The days that it touches, half-open, since 1970.
    pub fn days(&self) -> (i64, i64) {
        let dates = self.dates();
        let day = |date: Option<&NaiveDate>| date.map_or(0, |date| i64::from(date.to_epoch_days()));
        (day(dates.first()), day(dates.last()) + 1)
    }

    /// Every whole local hour that the interval touches: (date, hour), in order, without repeats.
    pub fn local_hours(&self) -> Vec<(NaiveDate, u32)> {
        let mut hours = Vec::new();
        let mut at = self.start;
        while at < self.end {
            let local = at.with_timezone(&self.zone);
            let hour = (local.date_naive(), local.hour());
            if hours.last() != Some(&hour) {
                hours.push(hour);
            }
            at += Duration::minutes(15);
        }
        hours
    }
}

impl Interval {
    /// The hours that the clock shows as this one, itself included: two in the night when it is set back.
    pub fn twins(&self) -> Vec<Interval> {
        let local = self.start.with_timezone(&self.zone);
        hours_at(local.date_naive(), local.hour(), self.zone)
    }
}

/// RFC 3339 in UTC, to the second or finer when there is something finer.
pub fn instant(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::AutoSi, true)
}

/// The first instant of a local date: local midnight, or the moment after the gap when midnight was skipped.
pub fn first_instant(date: NaiveDate, zone: Tz) -> Result<DateTime<Utc>> {
    let midnight = date.and_time(NaiveTime::MIN);
    match zone.from_local_datetime(&midnight) {
        LocalResult::Single(at) => Ok(at.to_utc()),
        LocalResult::Ambiguous(first, _) => Ok(first.to_utc()),
        LocalResult::None => {
            // The clock jumped over midnight: bisect for the first second whose local date has arrived.
            let (mut before, mut after) =
                (midnight.and_utc() - Duration::hours(30), midnight.and_utc() + Duration::hours(30));
            while after - before > Duration::seconds(1) {
                let middle = before + (after - before) / 2;
                let middle = middle.with_nanosecond(0).unwrap_or(middle);
                match middle.with_timezone(&zone).date_naive() >= date {
                    true => after = middle,
                    false => before = middle,
                }
            }
            Ok(after)
        }
    }
}

/// The day of the job's zone. Some dates do not exist (Apia skipped 2011-12-30).
pub fn day(date: NaiveDate, zone: Tz) -> Result<Interval> {
    let next = date.succ_opt().ok_or_else(|| Error::usage(format!("{date} is the end of the calendar")))?;
    let (start, end) = (first_instant(date, zone)?, first_instant(next, zone)?);
    if start >= end {
        return Err(Error::usage(format!("{date} does not exist in {zone}: the clocks there skipped it"))
            .hint("choose another date"));
    }
    Ok(Interval { start, end, zone, grain: Grain::Day })
}

/// The hour of the clock in which an instant lies. Where the clock is changed within it, it ends or begins there: no hour
/// has two offsets, and none lies in two days.
pub(super) fn hour(at: DateTime<Utc>, zone: Tz) -> Interval {
    let offset = |at: DateTime<Utc>| zone.offset_from_utc_datetime(&at.naive_utc()).fix();
    let local = at.with_timezone(&zone);
    let into = Duration::minutes(local.minute().into())
        + Duration::seconds(local.second().into())
        + Duration::nanoseconds(local.nanosecond().into());
    let (mut start, mut end) = (at - into, at - into + Duration::hours(1));
    // The first second of (before, after] whose offset is the one of `after`.
    let change = |mut before: DateTime<Utc>, mut after: DateTime<Utc>| {
        let wanted = offset(after);
        while after - before > Duration::seconds(1) {
            let middle = before + (after - before) / 2;
            let middle = middle.with_nanosecond(0).unwrap_or(middle);
            if offset(middle) == wanted { after = middle } else { before = middle }
        }
        after
    };
    if offset(start) != offset(at) {
        start = change(start, at.with_nanosecond(0).unwrap_or(at));
    }
    let last = end - Duration::seconds(1);
    if offset(last) != offset(at) {
        end = change(at.with_nanosecond(0).unwrap_or(at), last);
    }
    Interval { start, end, zone, grain: Grain::Hour }
}

/// Every interval that is this hour on the clock of a zone: none where the clock skipped it, two where it came again.
pub(super) fn hours_at(date: NaiveDate, at: u32, zone: Tz) -> Vec<Interval> {
    let minutes = (0..60).filter_map(|minute| date.and_hms_opt(at, minute, 0));
    let moments = minutes.map(|local| zone.from_local_datetime(&local));
    let mut hours: Vec<Interval> = moments
        .flat_map(|found| [found.earliest(), found.latest()])
        .flatten()
        .map(|at| hour(at.to_utc(), zone))
        .collect();
    hours.sort_by_key(|hour| hour.start);
    hours.dedup();
    hours
}

/// Every interval from the first of `from` to the last of `to`, both included. Dates that the zone skipped are left out.
pub fn between(from: NaiveDate, to: NaiveDate, grain: Grain, zone: Tz) -> Result<Vec<Interval>> {
    if from > to {
        return Err(Error::usage(format!("--from {from} is after --to {to}")));
    }
    let days = from.iter_days().take_while(|date| *date <= to).filter_map(|date| day(date, zone).ok());
    Ok(match grain {
        Grain::Day => days.collect(),
        Grain::Hour => {
            let hours = |d: Interval| {
                std::iter::successors(Some(hour(d.start, zone)), move |h| Some(hour(h.end, zone)))
                    .take_while(move |h| h.start < d.end)
            };
            days.flat_map(hours).collect()
        }
    })
}

#[cfg(test)]
mod tests {
    use super::super::relative::parse_date;
    use super::super::words::{dated, within};
    use super::*;

    fn zone(name: &str) -> Tz {
        name.parse().unwrap()
    }

    fn day_of(text: &str, name: &str) -> Interval {
        day(parse_date(text).unwrap(), zone(name)).unwrap()
    }

    #[test]
    fn days_have_the_hours_their_zone_gave_them() {
        for (date, name, hours) in [
            ("2013-03-10", "America/New_York", 23.0),
            ("2013-11-03", "America/New_York", 25.0),
            ("2013-06-08", "America/New_York", 24.0),
            ("2018-11-04", "America/Sao_Paulo", 23.0),
            ("2019-04-07", "Australia/Lord_Howe", 24.5),
        ] {
            assert_eq!(day_of(date, name).hours(), hours, "{date} {name}");
        }
        assert_eq!(instant(day_of("2018-11-04", "America/Sao_Paulo").start), "2018-11-04T03:00:00Z");
        assert!(day(parse_date("2011-12-30").unwrap(), zone("Pacific/Apia")).is_err());
    }

    #[test]
    fn every_zone_partitions_its_days() {
        for zone in chrono_tz::TZ_VARIANTS {
            let mut date = parse_date("2009-12-31").unwrap();
            let mut previous = first_instant(date, zone).unwrap();
            for _ in 0..(365 * 12) {
                date = date.succ_opt().unwrap();
                let next = first_instant(date, zone).unwrap();
                let skipped = zone.name().ends_with("Apia") || zone.name().ends_with("Fakaofo");
                assert!(next > previous || (skipped && next == previous), "{zone} {date}");
                assert!(next.with_timezone(&zone).date_naive() >= date, "{zone} {date}");
                previous = next;
            }
        }
    }

    #[test]
    fn a_range_is_every_interval_once() {
        let ny = zone("America/New_York");
        let dates = |from: &str, to: &str, zone: Tz| {
            between(parse_date(from).unwrap(), parse_date(to).unwrap(), Grain::Day, zone).unwrap()
        };
        let year = dates("2013-01-01", "2013-12-31", ny);
        assert_eq!(year.len(), 365);
        assert!(year.windows(2).all(|pair| pair[0].end == pair[1].start));
        assert_eq!(dates("2011-12-29", "2011-12-31", zone("Pacific/Apia")).len(), 2);
        let hours = within("2013-11-03", "2013-11-04", Grain::Hour, ny).unwrap();
        assert_eq!(hours.len(), 25);
        assert_eq!(within("2013-06-01", "2013-06-04", Grain::Day, ny).unwrap().len(), 3);
        assert!(within("2013-06-01T01:00", "2013-06-04", Grain::Day, ny).is_err());
        assert!(within("2013-06-01", "2013-06-01", Grain::Day, ny).is_err());
        assert!(between(parse_date("2013-06-02").unwrap(), parse_date("2013-06-01").unwrap(), Grain::Day, ny).is_err());
    }

    #[test]
    fn hours_partition_every_day_of_every_zone() {
        let of = |date: &str, name: &str| {
            let date = parse_date(date).unwrap();
            between(date, date, Grain::Hour, zone(name)).unwrap()
        };
        // Clocks of Lord Howe are changed by half an hour.
        let autumn = of("2019-04-07", "Australia/Lord_Howe");
        assert_eq!(autumn.len(), 25);
        assert_eq!(autumn.iter().filter(|hour| hour.hours() == 0.5).count(), 1);
        assert_eq!(autumn[2].label(), "2019-04-07T01+10:30");
        assert_eq!(dated(&autumn[2].label(), Grain::Hour, autumn[2].zone, Utc::now()).unwrap(), autumn[2]);
        assert_eq!(of("2019-10-06", "Australia/Lord_Howe").iter().filter(|hour| hour.hours() == 0.5).count(), 1);
        for tz in chrono_tz::TZ_VARIANTS {
            for date in parse_date("2010-12-31").unwrap().iter_days().step_by(3).take(600) {
                let Ok(whole) = day(date, tz) else { continue };
                let hours = between(date, date, Grain::Hour, tz).unwrap();
                assert!(hours.windows(2).all(|pair| pair[0].end == pair[1].start), "{tz} {date}");
                assert_eq!((hours[0].start, hours[hours.len() - 1].end), (whole.start, whole.end), "{tz} {date}");
                assert!(
                    hours.iter().all(|hour| hour.dates().len() == 1 && hour.local_hours().len() == 1),
                    "{tz} {date}"
                );
            }
        }
    }

    #[test]
    fn hours_of_a_long_day_are_all_different() {
        let long = day_of("2013-11-03", "America/New_York");
        let mut labels = std::collections::BTreeSet::new();
        let mut at = long.start;
        while at < long.end {
            labels.insert(hour(at, long.zone).label());
            at += Duration::hours(1);
        }
        assert_eq!(labels.len(), 25);
        assert_eq!(long.local_hours().len(), 24);
    }
}

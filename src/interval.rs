//! Which span of time a run covers: days and hours of the job's own time zone, as half-open UTC instants.
//! Pure: the clock is an argument.

use chrono::offset::LocalResult;
use chrono::{DateTime, Days, Duration, NaiveDate, NaiveDateTime, NaiveTime, SecondsFormat, TimeZone, Timelike, Utc};
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

/// How the command line named the interval.
#[derive(Clone, Debug)]
pub enum Selection {
    Date(String),
    Span { start: String, end: String },
    AsOf(String),
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
            Grain::Hour if self.end - self.start == Duration::hours(1) => local.format("%Y-%m-%dT%H%:z").to_string(),
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

fn hour(at: DateTime<Utc>, zone: Tz) -> Interval {
    Interval { start: at, end: at + Duration::hours(1), zone, grain: Grain::Hour }
}

/// Turns the words of the command line into one interval that has ended at `now`, or was allowed not to.
pub fn resolve(
    selection: &Selection,
    grain: Grain,
    zone: Tz,
    now: DateTime<Utc>,
    allow_partial: bool,
) -> Result<Interval> {
    let interval = match selection {
        Selection::Date(text) => dated(text, grain, zone)?,
        Selection::Span { start, end } => span(start, end, grain, zone)?,
        Selection::AsOf(text) => last_complete(parse_instant("--as-of", text, zone)?, grain, zone)?,
    };
    if interval.end > now && !allow_partial {
        return Err(Error::usage(format!(
            "{} has not ended: it ends at {} and it is {} now",
            interval.label(),
            instant(interval.end),
            instant(now)
        ))
        .hint("wait, or pass --allow-partial to process what is there so far"));
    }
    Ok(interval)
}

fn dated(text: &str, grain: Grain, zone: Tz) -> Result<Interval> {
    match grain {
        Grain::Day => day(parse_date(text)?, zone),
        Grain::Hour => {
            let wrong = || {
                Error::usage(format!("--date {text:?} is not an hour"))
                    .hint("this job has grain = \"hour\": write it as 2013-06-08T13")
            };
            let (date, at) = text.split_once('T').ok_or_else(wrong)?;
            let clock =
                at.parse::<u32>().ok().and_then(|h| parse_date(date).ok()?.and_hms_opt(h, 0, 0)).ok_or_else(wrong)?;
            match zone.from_local_datetime(&clock).earliest() {
                Some(at) => Ok(hour(at.to_utc(), zone)),
                None => Err(Error::usage(format!("{text} does not exist in {zone}: the clocks there skipped it"))),
            }
        }
    }
}

fn span(start: &str, end: &str, grain: Grain, zone: Tz) -> Result<Interval> {
    let (from, to) = (parse_instant("--start", start, zone)?, parse_instant("--end", end, zone)?);
    if from == to {
        return Err(Error::usage(format!("--start and --end are the same instant ({}): there is nothing in between", instant(from)))
            .hint("a scheduler whose data interval has no width (Airflow's default) should pass --as-of with its logical date"));
    }
    if from > to {
        return Err(Error::usage(format!("--start {} is after --end {}", instant(from), instant(to))));
    }
    let whole = day(from.with_timezone(&zone).date_naive(), zone)?;
    let one_hour = hour(from, zone);
    Ok(match grain {
        Grain::Day if whole.start == from && whole.end == to => whole,
        Grain::Hour if one_hour.end == to && last_complete(to, grain, zone)? == one_hour => one_hour,
        _ => {
            return Err(Error::usage(format!(
                "{start} to {end} is not one {} of {zone}",
                if grain == Grain::Day { "day" } else { "hour" }
            ))
            .hint(format!("the day of --start is {} to {}", instant(whole.start), instant(whole.end))));
        }
    })
}

/// The last interval that is complete at `at`.
fn last_complete(at: DateTime<Utc>, grain: Grain, zone: Tz) -> Result<Interval> {
    let local = at.with_timezone(&zone);
    match grain {
        Grain::Hour => {
            let into = Duration::minutes(local.minute().into())
                + Duration::seconds(local.second().into())
                + Duration::nanoseconds(local.nanosecond().into());
            Ok(hour(at - into - Duration::hours(1), zone))
        }
        Grain::Day => {
            let mut date = local.date_naive();
            // At most a few steps: one back, and one more over each date that the zone skipped.
            for _ in 0..4 {
                if let Ok(interval) = day(date, zone)
                    && interval.end <= at
                {
                    return Ok(interval);
                }
                date = date.pred_opt().ok_or_else(|| Error::usage("--as-of is the start of the calendar"))?;
            }
            Err(Error::usage(format!("no complete day of {zone} before {}", instant(at))))
        }
    }
}

pub fn parse_date(text: &str) -> Result<NaiveDate> {
    let strict = text.len() == 10 && text.bytes().all(|b| b.is_ascii_digit() || b == b'-');
    match NaiveDate::parse_from_str(text, "%Y-%m-%d") {
        Ok(date) if strict => Ok(date),
        _ => Err(Error::usage(format!("{text:?} is not a date of the calendar")).hint("write it as 2013-06-08")),
    }
}

/// An instant with an offset (`2013-06-08T04:00:00Z`), or a date or a local time in the job's zone.
fn parse_instant(flag: &str, text: &str, zone: Tz) -> Result<DateTime<Utc>> {
    if let Ok(at) = DateTime::parse_from_rfc3339(text) {
        return Ok(at.to_utc());
    }
    if let Ok(date) = parse_date(text) {
        return first_instant(date, zone);
    }
    let local =
        ["%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M"].iter().find_map(|f| NaiveDateTime::parse_from_str(text, f).ok());
    match local.map(|l| zone.from_local_datetime(&l)) {
        Some(LocalResult::Single(at)) => Ok(at.to_utc()),
        Some(LocalResult::Ambiguous(..)) => Err(Error::usage(format!("{flag} {text:?} happened twice in {zone}"))
            .hint("add the offset, as in 2013-11-03T01:30:00-04:00")),
        Some(LocalResult::None) => Err(Error::usage(format!("{flag} {text:?} does not exist in {zone}"))),
        None => Err(Error::usage(format!("{flag} {text:?} is not a time"))
            .hint("write it as 2013-06-08, 2013-06-08T04:00 or 2013-06-08T04:00:00Z")),
    }
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

/// Every interval of `[start, end)`, which must begin and end where intervals do.
pub fn within(start: &str, end: &str, grain: Grain, zone: Tz) -> Result<Vec<Interval>> {
    let (from, to) = (parse_instant("--start", start, zone)?, parse_instant("--end", end, zone)?);
    if from == to {
        return Err(Error::usage(format!(
            "--start and --end are the same instant ({}): there is nothing in between",
            instant(from)
        )));
    }
    if from > to {
        return Err(Error::usage(format!("--start {} is after --end {}", instant(from), instant(to))));
    }
    let last = (to - Duration::nanoseconds(1)).with_timezone(&zone).date_naive();
    let mut all = between(from.with_timezone(&zone).date_naive(), last, grain, zone)?;
    all.retain(|interval| interval.start < to && interval.end > from);
    match (all.first(), all.last()) {
        (Some(first), Some(last)) if first.start == from && last.end == to => Ok(all),
        (Some(first), Some(last)) => {
            Err(Error::usage(format!("{start} to {end} does not begin and end where intervals of {zone} do"))
                .hint(format!("the intervals that it touches are {} to {}", instant(first.start), instant(last.end))))
        }
        _ => Err(Error::usage(format!("there is no interval of {zone} between {start} and {end}"))),
    }
}

#[cfg(test)]
mod tests {
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
    fn as_of_is_the_last_complete_interval() {
        let ny = zone("America/New_York");
        let at =
            |text: &str, grain| last_complete(parse_instant("--as-of", text, ny).unwrap(), grain, ny).unwrap().label();
        assert_eq!(at("2013-06-09T03:59:59Z", Grain::Day), "2013-06-07");
        assert_eq!(at("2013-06-09T03:59:59.9Z", Grain::Day), "2013-06-07");
        assert_eq!(at("2013-06-09T04:00:00Z", Grain::Day), "2013-06-08");
        assert_eq!(at("2013-06-09T12:00:00Z", Grain::Day), "2013-06-08");
        assert_eq!(at("2013-06-09T12:30:00Z", Grain::Hour), "2013-06-09T07-04:00");
        let apia = zone("Pacific/Apia");
        let after_the_gap =
            last_complete(first_instant(parse_date("2011-12-31").unwrap(), apia).unwrap(), Grain::Day, apia);
        assert_eq!(after_the_gap.unwrap().label(), "2011-12-29");
    }

    #[test]
    fn zero_width_partial_and_impossible_intervals_are_refused() {
        let ny = zone("America/New_York");
        let now = parse_instant("now", "2013-06-09T12:00:00Z", ny).unwrap();
        let refuse = |selection: Selection| resolve(&selection, Grain::Day, ny, now, false).unwrap_err().to_string();
        let span = |s: &str, e: &str| Selection::Span { start: s.into(), end: e.into() };
        assert!(refuse(span("2013-06-08", "2013-06-08")).contains("same instant"));
        assert!(refuse(span("2013-06-08", "2013-06-07")).contains("after"));
        assert!(refuse(span("2013-06-07", "2013-06-09")).contains("not one day"));
        assert!(refuse(Selection::Date("2013-06-09".into())).contains("has not ended"));
        assert!(refuse(Selection::Date("2026-02-30".into())).contains("not a date"));
        assert!(refuse(Selection::Date("2026-01-01' OR 1=1".into())).contains("not a date"));
        assert!(resolve(&Selection::Date("2013-06-09".into()), Grain::Day, ny, now, true).is_ok());
        assert_eq!(
            resolve(&span("2013-06-08", "2013-06-09"), Grain::Day, ny, now, false).unwrap().label(),
            "2013-06-08"
        );
    }

    #[test]
    fn an_hour_begins_with_the_clock() {
        let kolkata = zone("Asia/Kolkata");
        let now = parse_instant("now", "2020-01-01T00:00:00Z", kolkata).unwrap();
        let span = |s: &str, e: &str| {
            resolve(&Selection::Span { start: s.into(), end: e.into() }, Grain::Hour, kolkata, now, false)
        };
        assert!(span("2013-06-08T10:00", "2013-06-08T11:00").is_ok());
        assert!(span("2013-06-08T09:30", "2013-06-08T10:30").is_err());
        assert!(span("2013-06-08T04:00:00Z", "2013-06-08T05:00:00Z").is_err());
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

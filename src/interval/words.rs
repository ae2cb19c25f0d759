//! The words of the command line for intervals: dates, hours, instants with and without an offset, ranges.

use chrono::offset::LocalResult;
use chrono::{DateTime, Duration, FixedOffset, NaiveDateTime, Offset, SecondsFormat, TimeZone, Utc};
use chrono_tz::Tz;

use super::calendar::{Grain, Interval, between, day, first_instant, hour, hours_at, instant};
use super::relative::{self, parse_date};
use crate::error::{Error, Result};

/// How the command line named the interval.
#[derive(Clone, Debug)]
pub enum Selection {
    Date(String),
    Span { start: String, end: String },
    AsOf(String),
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
        Selection::Date(text) => dated(text, grain, zone, now)?,
        Selection::Span { start, end } => span(start, end, grain, zone)?,
        Selection::AsOf(text) => last_complete(parse_instant("--as-of", text, zone)?, grain, zone)?,
    };
    if interval.end > now && !allow_partial {
        return Err(Error::usage(format!(
            "{} has not ended: it ends at {} and it is {} now",
            interval.label(),
            instant(interval.end),
            now.to_rfc3339_opts(SecondsFormat::Secs, true)
        ))
        .hint("wait, or pass --allow-partial to process what is there so far"));
    }
    Ok(interval)
}

pub(super) fn dated(text: &str, grain: Grain, zone: Tz, now: DateTime<Utc>) -> Result<Interval> {
    match grain {
        Grain::Day => day(relative::date(text, zone, now)?, zone),
        Grain::Hour => {
            if let Some(at) = relative::hours_ago(text, now) {
                return Ok(hour(at, zone));
            }
            let wrong = || {
                Error::usage(format!("--date {text:?} is not an hour"))
                    .hint("this job has grain = \"hour\": write it as 2013-06-08T13 or -1h")
            };
            let (date, at) = text.split_once(['T', ' ']).ok_or_else(wrong)?;
            let digits = at.bytes().take_while(u8::is_ascii_digit).count();
            let (at, offset) = at.split_at(digits);
            let at = at.parse::<u32>().ok().filter(|at| *at < 24).ok_or_else(wrong)?;
            let mut hours = hours_at(parse_date(date).map_err(|_| wrong())?, at, zone);
            let labels = hours.iter().map(Interval::label).collect::<Vec<_>>();
            if !offset.is_empty() {
                let offset = parse_offset(offset).ok_or_else(wrong)?;
                hours.retain(|hour| zone.offset_from_utc_datetime(&hour.start.naive_utc()).fix() == offset);
            }
            match (hours.pop(), hours.is_empty()) {
                (Some(hour), true) => Ok(hour),
                (Some(_), false) => Err(Error::usage(format!("--date {text:?} happened twice in {zone}"))
                    .hint(format!("say which: {}", labels.join(" or ")))),
                (None, _) if labels.is_empty() => {
                    Err(Error::usage(format!("{text} does not exist in {zone}: the clocks there skipped it")))
                }
                (None, _) => Err(Error::usage(format!("--date {text:?} has an offset that {zone} did not have then"))
                    .hint(format!("write it as {}", labels.join(" or ")))),
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
        Grain::Hour if one_hour.start == from && one_hour.end == to => one_hour,
        _ => {
            let (name, own) = if grain == Grain::Day { ("day", whole) } else { ("hour", one_hour) };
            return Err(Error::usage(format!("{start} to {end} is not one {name} of {zone}")).hint(format!(
                "the {name} of --start is {} to {}",
                instant(own.start),
                instant(own.end)
            )));
        }
    })
}

/// The last interval that is complete at `at`.
fn last_complete(at: DateTime<Utc>, grain: Grain, zone: Tz) -> Result<Interval> {
    let local = at.with_timezone(&zone);
    match grain {
        Grain::Hour => Ok(hour(hour(at, zone).start - Duration::seconds(1), zone)),
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

/// `Z`, `+05:30`, `+0530` or `-05`.
fn parse_offset(text: &str) -> Option<FixedOffset> {
    if text.eq_ignore_ascii_case("z") {
        return FixedOffset::east_opt(0);
    }
    let (sign, digits) = text.split_at_checked(1)?;
    let sign = if sign == "+" {
        1
    } else if sign == "-" {
        -1
    } else {
        return None;
    };
    let (hours, minutes) = match (digits.len(), digits.as_bytes().get(2)) {
        (2, _) => (digits, "0"),
        (4, _) => digits.split_at_checked(2)?,
        (5, Some(b':')) => (digits.get(..2)?, digits.get(3..)?),
        _ => return None,
    };
    let number = |text: &str| text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse::<i32>().ok())?;
    let (hours, minutes) = (number(hours)?, number(minutes).filter(|m| *m < 60)?);
    FixedOffset::east_opt(sign * (hours * 3600 + minutes * 60))
}

/// A date and a time of day without its offset.
fn parse_local(text: &str) -> Option<NaiveDateTime> {
    let seconds = ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M"];
    seconds.iter().find_map(|f| NaiveDateTime::parse_from_str(text, f).ok())
}

/// An instant with an offset (`2013-06-08T04:00:00Z`), or a date or a local time in the job's zone. Airflow writes
/// `20130608T040000` for an instant of UTC.
fn parse_instant(flag: &str, text: &str, zone: Tz) -> Result<DateTime<Utc>> {
    let wrong = || {
        Error::usage(format!("{flag} {text:?} is not a time"))
            .hint("write it as 2013-06-08, 2013-06-08T04:00 or 2013-06-08T04:00:00Z")
    };
    if let Ok(date) = parse_date(text) {
        return first_instant(date, zone);
    }
    if let Ok(utc) = NaiveDateTime::parse_from_str(text.trim_end_matches("+0000"), "%Y%m%dT%H%M%S") {
        return Ok(utc.and_utc());
    }
    // The offset begins behind the date, which has hyphens of its own.
    let offset = text.get(10..).and_then(|time| time.find(['Z', 'z', '+', '-'])).map(|at| text.split_at(at + 10));
    if let Some((local, offset)) = offset {
        let (local, offset) = (parse_local(local).ok_or_else(wrong)?, parse_offset(offset).ok_or_else(wrong)?);
        let at = offset.from_local_datetime(&local).single().ok_or_else(wrong)?;
        return Ok(at.to_utc());
    }
    match parse_local(text).map(|l| zone.from_local_datetime(&l)) {
        Some(LocalResult::Single(at)) => Ok(at.to_utc()),
        Some(LocalResult::Ambiguous(..)) => Err(Error::usage(format!("{flag} {text:?} happened twice in {zone}"))
            .hint("add the offset, as in 2013-11-03T01:30:00-04:00")),
        Some(LocalResult::None) => Err(Error::usage(format!("{flag} {text:?} does not exist in {zone}"))),
        None => Err(wrong()),
    }
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
    fn every_form_of_an_offset_is_read_and_airflows_own() {
        let ny = zone("America/New_York");
        let seven = parse_instant("--as-of", "2013-06-10T07:00:00Z", ny).unwrap();
        for text in [
            "2013-06-10 07:00:00+00:00",
            "2013-06-10T07:00:00+0000",
            "2013-06-10T07:00:00.000+00",
            "2013-06-10T07:00Z",
            "2013-06-10 07:00z",
            "2013-06-10 12:30:00+05:30",
            "2013-06-10T03:00:00-04",
            "20130610T070000",
            "20130610T070000+0000",
            "2013-06-10 03:00",
        ] {
            assert_eq!(parse_instant("--as-of", text, ny).unwrap(), seven, "{text}");
        }
        for text in [
            "2013-06-10T07:00:00+0",
            "2013-06-10T07:00:00+25:00",
            "2013-06-10T07:00:00+00:60",
            "2013-06-10Z",
            "é",
            "20130610T",
        ] {
            assert!(parse_instant("--as-of", text, ny).is_err(), "{text}");
        }
    }

    #[test]
    fn an_hour_that_happens_twice_is_named_by_its_offset() {
        let ny = zone("America/New_York");
        let dated = |text: &str, zone| dated(text, Grain::Hour, zone, Utc::now());
        let error = dated("2013-11-03T01", ny).unwrap_err();
        assert_eq!(error.hint.unwrap(), "say which: 2013-11-03T01-04:00 or 2013-11-03T01-05:00");
        for label in ["2013-11-03T01-04:00", "2013-11-03T01-05:00", "2013-11-03T02-05:00"] {
            assert_eq!(dated(label, ny).unwrap().label(), label);
        }
        assert!(dated("2013-11-03T02-04:00", ny).unwrap_err().hint.unwrap().contains("2013-11-03T02-05:00"));
        assert!(dated("2013-03-10T02", ny).unwrap_err().message.contains("skipped"));
        assert_eq!(dated("2013-06-08T13", ny).unwrap().label(), "2013-06-08T13-04:00");
        for wrong in ["2013-06-08", "2013-06-08T24", "2013-06-08T", "2013-06-08T1x", "2013-06-08T13:00:00"] {
            assert!(dated(wrong, ny).is_err(), "{wrong}");
        }
    }
}

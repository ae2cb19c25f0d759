//! Dates as people say them: today, yesterday, so many days ago, the last so many, a month.

use chrono::{DateTime, Datelike, Days, Duration, Months, NaiveDate, Utc};
use chrono_tz::Tz;

use crate::error::{Error, Result};

/// `2013-06-08`, `today`, `yesterday` or `-3d`, by the clock of the zone.
pub fn date(text: &str, zone: Tz, now: DateTime<Utc>) -> Result<NaiveDate> {
    let today = now.with_timezone(&zone).date_naive();
    let ago = |days: u64| today.checked_sub_days(Days::new(days)).ok_or_else(|| no_date(text));
    match text {
        "today" => Ok(today),
        "yesterday" => ago(1),
        _ => match text.strip_prefix('-').and_then(|text| text.strip_suffix('d')) {
            Some(days) => ago(number(days).ok_or_else(|| no_date(text))?),
            None => parse_date(text).map_err(|_| no_date(text)),
        },
    }
}

/// `2013-06-08` and nothing else.
pub fn parse_date(text: &str) -> Result<NaiveDate> {
    let strict = text.len() == 10 && text.bytes().all(|b| b.is_ascii_digit() || b == b'-');
    match NaiveDate::parse_from_str(text, "%Y-%m-%d") {
        Ok(date) if strict => Ok(date),
        _ => Err(Error::usage(format!("{text:?} is not a date of the calendar")).hint("write it as 2013-06-08")),
    }
}

fn no_date(text: &str) -> Error {
    Error::usage(format!("{text:?} is not a date of the calendar"))
        .hint("write it as 2013-06-08, today, yesterday or -3d")
}

/// Digits and nothing else.
fn number(text: &str) -> Option<u64> {
    text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok())?
}

/// The hour so many hours before now, for `-3h`; none for another text.
pub fn hours_ago(text: &str, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let hours = u32::try_from(number(text.strip_prefix('-')?.strip_suffix('h')?)?).ok()?;
    now.checked_sub_signed(Duration::hours(hours.into()))
}

/// The first and the last date of `2026-03`.
pub fn month(text: &str) -> Result<(NaiveDate, NaiveDate)> {
    let wrong = || Error::usage(format!("--month {text:?} is not a month")).hint("write it as 2026-03");
    let first = parse_date(&format!("{text}-01")).map_err(|_| wrong())?;
    let last = first.checked_add_months(Months::new(1)).and_then(|next| next.pred_opt()).ok_or_else(wrong)?;
    Ok((first, last))
}

/// How many days or weeks `30d` and `4w` are.
pub fn days(text: &str) -> Result<u64> {
    let wrong = || Error::usage(format!("--last {text:?} is no number of days")).hint("write it as 30d or 4w");
    let (number, unit) = text.split_at_checked(text.len().saturating_sub(1)).ok_or_else(wrong)?;
    let each = match unit {
        "d" => 1,
        "w" => 7,
        _ => return Err(wrong()),
    };
    let number = self::number(number).filter(|n| (1..=36_600).contains(n)).ok_or_else(wrong)?;
    Ok(number * each)
}

/// The date at which a range of so many days that ends with `last` begins.
pub fn begin(last: NaiveDate, days: u64) -> NaiveDate {
    last.checked_sub_days(Days::new(days - 1)).filter(|date| date.year() > 0).unwrap_or(NaiveDate::MIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_go_by_the_clock_of_the_zone() {
        let now = "2026-03-01T04:30:00Z".parse().unwrap();
        let at = |text: &str, zone: Tz| date(text, zone, now).map(|date| date.to_string()).map_err(|e| e.to_string());
        assert_eq!(at("today", chrono_tz::UTC), Ok("2026-03-01".into()));
        assert_eq!(at("today", chrono_tz::America::New_York), Ok("2026-02-28".into()));
        assert_eq!(at("yesterday", chrono_tz::America::New_York), Ok("2026-02-27".into()));
        assert_eq!(at("-0d", chrono_tz::Asia::Tokyo), Ok("2026-03-01".into()));
        assert_eq!(at("-60d", chrono_tz::UTC), Ok("2025-12-31".into()));
        assert_eq!(at("2024-02-29", chrono_tz::UTC), Ok("2024-02-29".into()));
        for wrong in
            ["", "Yesterday", "-d", "-1", "--1d", "-1w", "2024-02-30", "-+3d", "-99999999999999999999d", "-9999999999d"]
        {
            assert!(at(wrong, chrono_tz::UTC).is_err(), "{wrong}");
        }
    }

    #[test]
    fn months_and_numbers_of_days() {
        let ends = |text: &str| month(text).map(|(a, b)| format!("{a} {b}")).ok();
        assert_eq!(ends("2024-02"), Some("2024-02-01 2024-02-29".into()));
        assert_eq!(ends("2026-12"), Some("2026-12-01 2026-12-31".into()));
        assert_eq!((ends("2026-13"), ends("2026"), ends("2026-1"), ends("2026-01-01")), (None, None, None, None));
        assert_eq!((days("30d").ok(), days("4w").ok(), days("1d").ok()), (Some(30), Some(28), Some(1)));
        for wrong in ["", "d", "0d", "-1d", "30", "30h", "+30d", "1e3d", "99999999d", "ü"] {
            assert!(days(wrong).is_err(), "{wrong}");
        }
        let last = NaiveDate::from_ymd_opt(2026, 3, 1).unwrap();
        assert_eq!((begin(last, 1), begin(last, 2).to_string()), (last, "2026-02-28".into()));
        let now = "2026-03-01T04:30:00Z".parse().unwrap();
        assert_eq!(hours_ago("-5h", now).map(|at| at.to_rfc3339()), Some("2026-02-28T23:30:00+00:00".into()));
        assert_eq!((hours_ago("5h", now), hours_ago("-h", now), hours_ago("-5d", now)), (None, None, None));
    }
}

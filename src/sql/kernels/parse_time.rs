//! Dates and times as text: ISO 8601 and what Postgres writes itself. Other spellings are refused, not guessed.

use chrono_tz::Tz;

use super::time::{checked_date, civil, midnight};
use super::zone::{DAY, SECOND, instant, named};
use crate::sql::error::Fault;

type Of<T> = std::result::Result<T, Fault>;

/// A text that was read: the date, the time of day if there was one, the zone if there was one.
struct Read {
    days: i64,
    micros: i64,
    /// Seconds east of Greenwich, or a zone by name.
    zone: Option<Place>,
}

enum Place {
    Offset(i64),
    Zone(Tz),
}

fn syntax(kind: &str, text: &str) -> Fault {
    Fault::new(
        "22007",
        format!(
            "invalid input syntax for type {kind}: \"{text}\" (write it as 2024-03-10{})",
            if kind == "date" { "" } else { " or 2024-03-10 06:59:59" }
        ),
    )
}

fn field(text: &str) -> Fault {
    Fault::new("22008", format!("date/time field value out of range: \"{text}\""))
}

pub fn date(text: &str) -> Of<i64> {
    read("date", text).map(|read| read.days)
}

/// A date that is written without a time of day, or with midnight, so that nothing is dropped.
pub fn whole_date(text: &str) -> Of<i64> {
    match read("date", text)? {
        Read { days, micros: 0, .. } => Ok(days),
        _ => Err(syntax("date", text)),
    }
}

/// An instant; without a zone in the text, by this clock. None when there is no clock either.
pub fn moment(text: &str, clock: Option<Tz>) -> Of<Option<i64>> {
    match (read("timestamp with time zone", text)?.zone, clock) {
        (None, None) => Ok(None),
        (_, clock) => timestamptz(text, clock.unwrap_or(Tz::UTC)).map(Some),
    }
}

/// By the clock on the wall; a zone in the text is not heard, as in Postgres.
pub fn timestamp(text: &str) -> Of<i64> {
    let read = read("timestamp", text)?;
    Ok(midnight(read.days)? + read.micros)
}

/// An instant; without a zone in the text, by the clock of the job's.
pub fn timestamptz(text: &str, zone: Tz) -> Of<i64> {
    let read = read("timestamp with time zone", text)?;
    let local = midnight(read.days)? + read.micros;
    match read.zone {
        None => instant(zone, local),
        Some(Place::Zone(zone)) => instant(zone, local),
        Some(Place::Offset(seconds)) => Ok(local - seconds * SECOND),
    }
}

fn read(kind: &str, text: &str) -> Of<Read> {
    let trimmed = text.trim();
    let lower = trimmed.to_ascii_lowercase();
    if lower == "epoch" {
        return Ok(Read { days: 0, micros: 0, zone: Some(Place::Offset(0)) });
    }
    let (body, before_christ) = match lower.strip_suffix(" bc") {
        Some(body) => (body, true),
        None => (lower.as_str(), false),
    };
    let wrong = || syntax(kind, text);
    let end = body.find([' ', 't']).unwrap_or(body.len());
    let (day, rest) = body.split_at(end);
    let (year, month, date) = numbers(day).ok_or_else(wrong)?;
    let year = if before_christ { 1 - year } else { year };
    let days = checked_date(year, month, date).filter(|_| year != 0 || before_christ).ok_or_else(|| field(text))?;
    let rest = rest.trim_start_matches([' ', 't']).trim();
    if rest.is_empty() {
        return Ok(Read { days, micros: 0, zone: None });
    }
    let clock = rest.find(|c: char| !(c.is_ascii_digit() || c == ':' || c == '.')).unwrap_or(rest.len());
    let (time, zone) = rest.split_at(clock);
    let micros = time_of_day(time).ok_or_else(|| if time.contains(':') { field(text) } else { wrong() })?;
    let zone = zone.trim();
    let zone = match zone {
        "" => None,
        "z" | "utc" | "gmt" => Some(Place::Offset(0)),
        z if z.starts_with(['+', '-']) => Some(Place::Offset(offset(z).ok_or_else(wrong)?)),
        z => Some(Place::Zone(named(z).map_err(|_| wrong())?)),
    };
    Ok(Read { days, micros, zone })
}

/// `2024-03-10`, `2024/03/10` or `20240310`.
fn numbers(day: &str) -> Option<(i64, i64, i64)> {
    if day.len() == 8 && day.bytes().all(|b| b.is_ascii_digit()) {
        return Some((day[..4].parse().ok()?, day[4..6].parse().ok()?, day[6..].parse().ok()?));
    }
    let mut parts = day.split(['-', '/']);
    let (year, month, date) = (parts.next()?, parts.next()?, parts.next()?);
    let digits = |s: &str, most: usize| !s.is_empty() && s.len() <= most && s.bytes().all(|b| b.is_ascii_digit());
    if parts.next().is_some() || year.len() < 4 || !digits(year, 6) || !digits(month, 2) || !digits(date, 2) {
        return None;
    }
    Some((year.parse().ok()?, month.parse().ok()?, date.parse().ok()?))
}

/// `06:59`, `06:59:59.123456`; 24:00 is the end of the day.
fn time_of_day(text: &str) -> Option<i64> {
    let mut parts = text.split(':');
    let (hour, minute) = (parts.next()?, parts.next()?);
    let second = parts.next().unwrap_or("0");
    if parts.next().is_some() || hour.is_empty() || hour.len() > 2 || minute.is_empty() || minute.len() > 2 {
        return None;
    }
    let (hour, minute): (i64, i64) = (hour.parse().ok()?, minute.parse().ok()?);
    let (whole, part) = second.split_once('.').unwrap_or((second, ""));
    if whole.is_empty() || whole.len() > 2 || !part.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let seconds: i64 = whole.parse().ok()?;
    let micros = if part.is_empty() { 0 } else { (format!("0.{part}").parse::<f64>().ok()? * 1e6).round() as i64 };
    if hour > 24 || minute > 59 || seconds > 60 || (hour == 24 && (minute, seconds, micros) != (0, 0, 0)) {
        return None;
    }
    Some(((hour * 60 + minute) * 60 + seconds) * SECOND + micros)
}

/// `+05`, `+0530`, `+05:30` or `-05:30:15` in seconds.
fn offset(text: &str) -> Option<i64> {
    let (sign, rest) = (if text.starts_with('-') { -1 } else { 1 }, &text[1..]);
    let digits: String = rest.chars().filter(|c| *c != ':').collect();
    if digits.is_empty() || digits.len() > 6 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let padded = match digits.len() {
        1 => format!("0{digits}0000"),
        2 => format!("{digits}0000"),
        3 => format!("0{digits}00"),
        4 => format!("{digits}00"),
        5 => format!("0{digits}"),
        _ => digits,
    };
    let part = |range: std::ops::Range<usize>| padded[range].parse::<i64>().ok();
    let (hours, minutes, seconds) = (part(0..2)?, part(2..4)?, part(4..6)?);
    (hours <= 15 && minutes < 60 && seconds < 60).then_some(sign * ((hours * 60 + minutes) * 60 + seconds))
}

/// A date as Postgres writes it.
pub fn date_text(days: i64) -> String {
    let (year, month, day) = civil(days);
    if year > 0 { format!("{year:04}-{month:02}-{day:02}") } else { format!("{:04}-{month:02}-{day:02} BC", 1 - year) }
}

/// A local time as Postgres writes it; with an offset, of an instant.
pub fn time_text(local: i64, offset: Option<i64>) -> String {
    let (days, time) = (local.div_euclid(DAY), local.rem_euclid(DAY));
    let date = date_text(days);
    let (date, era) = date.strip_suffix(" BC").map_or((date.as_str(), ""), |d| (d, " BC"));
    let seconds = time / SECOND;
    let mut out = format!("{date} {:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
    let part = time % SECOND;
    if part != 0 {
        out.push_str(format!(".{part:06}").trim_end_matches('0'));
    }
    if let Some(offset) = offset {
        out.push_str(&offset_text(offset));
    }
    out + era
}

/// `+00`, `-05:30` or `-04:56:02`.
pub fn offset_text(offset: i64) -> String {
    let all = offset.abs();
    let mut out = format!("{}{:02}", if offset < 0 { '-' } else { '+' }, all / 3600);
    if all % 3600 != 0 {
        out.push_str(&format!(":{:02}", all / 60 % 60));
    }
    if all % 60 != 0 {
        out.push_str(&format!(":{:02}", all % 60));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let at = timestamptz("2024-03-10T02:30:00-05:00", Tz::UTC).unwrap();
        assert_eq!(time_text(at, Some(0)), "2024-03-10 07:30:00+00");
        assert_eq!(timestamptz("2024-03-10 07:30", Tz::UTC), Ok(at));
        assert_eq!(timestamptz("2024-03-10 07:30Z", Tz::America__New_York), Ok(at));
        assert_eq!(timestamptz("2024-03-10 03:30 America/New_York", Tz::UTC), Ok(at));
        assert_eq!(timestamptz("2024-03-10 03:30", Tz::America__New_York), Ok(at));
        assert_eq!(timestamp("2024-03-10 07:30:00+05"), Ok(at));
        assert_eq!(date("20240310"), date(" 2024-03-10 "));
        assert_eq!(time_text(timestamp("1969-12-31 23:59:59.5").unwrap(), None), "1969-12-31 23:59:59.5");
        assert_eq!(date_text(date("0044-03-15 BC").unwrap()), "0044-03-15 BC");
        assert_eq!(offset_text(-17_762), "-04:56:02");
    }

    #[test]
    fn what_is_not_a_date_is_refused() {
        for text in ["", "not a date", "2024-13-01", "2023-02-29", "10-03-2024", "2024-03-10 25:00", "0000-01-01"] {
            assert!(timestamp(text).is_err(), "{text}");
        }
    }
}

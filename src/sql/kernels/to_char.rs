//! TO_CHAR, TO_DATE and TO_TIMESTAMP with Postgres' patterns, and STRFTIME with those of C.

use chrono::format::{Item, StrftimeItems};
use chrono_tz::Tz;

use super::columns::{Dates, Day, Get, Instant, Micros, Texts, collect, map1};
use super::time::{checked_date, civil, days_of, iso_week, weekday};
use super::zone::{Clocks, DAY, SECOND, instant};
use crate::sql::error::Fault;
use crate::sql::value::Func;

type Of<T> = std::result::Result<T, Fault>;

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const DAYS: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];

/// A part of a pattern: words as they stand, or a field, without padding when FM stands before it, TH behind it.
#[derive(Clone, Debug, PartialEq)]
enum Part {
    Words(String),
    Field { name: &'static str, plain: bool, ordinal: Option<&'static str> },
}

/// Longer names before those that they begin with.
const FIELDS: &str = "HH24 HH12 HH MI SSSSS SSSS SS MS US FF6 FF3 AM PM am pm A.M. P.M. a.m. p.m. Y,YYY YYYY YYY YY Y IYYY IYY IY MONTH Month month MON Mon mon MM DAY Day day DY Dy dy DDD DD D IDDD ID IW I WW W CC J Q TZH TZM TZ tz OF BC AD";

fn parts(pattern: &str) -> Of<Vec<Part>> {
    let (mut out, mut rest) = (Vec::new(), pattern);
    let words = |out: &mut Vec<Part>, text: &str| match out.last_mut() {
        Some(Part::Words(last)) => last.push_str(text),
        _ => out.push(Part::Words(text.to_owned())),
    };
    while let Some(c) = rest.chars().next() {
        if c == '"' {
            let mut chars = rest[1..].char_indices();
            let mut end = rest.len();
            while let Some((at, inner)) = chars.next() {
                match inner {
                    '"' => {
                        end = at + 2;
                        break;
                    }
                    '\\' => {
                        if let Some((_, next)) = chars.next() {
                            words(&mut out, next.encode_utf8(&mut [0; 4]));
                        }
                    }
                    other => words(&mut out, other.encode_utf8(&mut [0; 4])),
                }
            }
            rest = &rest[end..];
            continue;
        }
        if rest.starts_with("\\\"") {
            words(&mut out, "\"");
            rest = &rest[2..];
            continue;
        }
        let (plain, body) = match rest.strip_prefix("FM").or_else(|| rest.strip_prefix("fm")) {
            Some(body) => (true, body),
            None => (false, rest),
        };
        let exact = FIELDS.split(' ').find(|f| body.starts_with(f));
        // Numbers may be written in small letters.
        let upper = body.to_ascii_uppercase();
        let folded = || {
            let words = ["MONTH", "MON", "DAY", "DY", "TZ", "BC", "AD"];
            let small = |f: &&str| body.as_bytes()[..f.len()].iter().all(|b| !b.is_ascii_uppercase());
            FIELDS.split(' ').find(|f| upper.starts_with(f) && !words.contains(f) && small(f))
        };
        match exact.or_else(folded) {
            Some(name) => {
                rest = &body[name.len()..];
                let ordinal = ["TH", "th"].into_iter().find(|s| rest.starts_with(s));
                rest = &rest[ordinal.map_or(0, str::len)..];
                out.push(Part::Field { name, plain, ordinal });
            }
            None if plain => rest = body,
            None if c.is_ascii_alphabetic() && pattern_word(rest) => {
                return Err(Fault::new(
                    "0A000",
                    format!("the pattern \"{pattern}\" has something at \"{rest}\" that is not supported"),
                ));
            }
            None => {
                words(&mut out, &rest[..c.len_utf8()]);
                rest = &rest[c.len_utf8()..];
            }
        }
    }
    Ok(out)
}

/// Names of Postgres' patterns that are not known here.
fn pattern_word(text: &str) -> bool {
    ["RM", "rm", "TM", "SP", "FX", "FF", "B.C.", "A.D.", "b.c.", "a.d.", "bc", "ad"].iter().any(|w| text.starts_with(w))
}

/// A time as the fields see it.
struct Moment {
    days: i64,
    time: i64,
    zone: Option<(Tz, i64)>,
}

fn th(value: i64, upper: bool) -> &'static str {
    let pair = match (value.abs() % 100, value.abs() % 10) {
        (11..=13, _) => ("TH", "th"),
        (_, 1) => ("ST", "st"),
        (_, 2) => ("ND", "nd"),
        (_, 3) => ("RD", "rd"),
        _ => ("TH", "th"),
    };
    if upper { pair.0 } else { pair.1 }
}

fn word(text: &str, name: &str, width: usize, plain: bool) -> String {
    let cased = match (
        name.chars().next().is_some_and(char::is_uppercase),
        name.chars().nth(1).is_some_and(char::is_uppercase),
    ) {
        (true, true) => text.to_uppercase(),
        (false, _) => text.to_lowercase(),
        _ => text.to_owned(),
    };
    if plain { cased } else { format!("{cased:width$}") }
}

/// The number of a field and its digits.
fn number(name: &str, at: &Moment) -> Option<(i64, usize)> {
    let (year, month, day) = civil(at.days);
    let seconds = at.time / SECOND;
    let counted = if year > 0 { year } else { 1 - year };
    let hour = seconds / 3600;
    Some(match name {
        "HH24" => (hour, 2),
        "HH12" | "HH" => ((hour + 11) % 12 + 1, 2),
        "MI" => (seconds / 60 % 60, 2),
        "SS" => (seconds % 60, 2),
        "SSSSS" | "SSSS" => (seconds, 1),
        "MS" | "FF3" => (at.time % SECOND / 1000, 3),
        "US" | "FF6" => (at.time % SECOND, 6),
        "YYYY" => (counted, 4),
        "YYY" => (counted % 1000, 3),
        "YY" => (counted % 100, 2),
        "Y" => (counted % 10, 1),
        "IYYY" => (iso_week(at.days).0, 4),
        "IYY" => (iso_week(at.days).0 % 1000, 3),
        "IY" => (iso_week(at.days).0 % 100, 2),
        "I" => (iso_week(at.days).0 % 10, 1),
        "MM" => (month, 2),
        "DD" => (day, 2),
        "D" => (weekday(at.days) % 7 + 1, 1),
        "ID" => (weekday(at.days), 1),
        "DDD" => (at.days - days_of(year, 1, 1) + 1, 3),
        "IDDD" => ((iso_week(at.days).1 - 1) * 7 + weekday(at.days), 3),
        "IW" => (iso_week(at.days).1, 2),
        "WW" => ((at.days - days_of(year, 1, 1)) / 7 + 1, 2),
        "W" => ((day - 1) / 7 + 1, 1),
        "CC" => ((counted + 99) / 100, 2),
        "J" => (at.days + 2_440_588, 1),
        "Q" => ((month - 1) / 3 + 1, 1),
        _ => return None,
    })
}

fn field(name: &'static str, plain: bool, ordinal: Option<&str>, at: &Moment) -> String {
    if let Some((value, digits)) = number(name, at) {
        let mut out = if plain { value.to_string() } else { format!("{value:0digits$}") };
        if let Some(suffix) = ordinal {
            out.push_str(th(value, suffix == "TH"));
        }
        return out;
    }
    let (year, month, _) = civil(at.days);
    let (month_name, day_name) = (MONTHS[(month - 1) as usize], DAYS[(weekday(at.days) - 1) as usize]);
    let afternoon = at.time >= DAY / 2;
    match name {
        "MONTH" | "Month" | "month" => word(month_name, name, 9, plain),
        "MON" | "Mon" | "mon" => word(&month_name[..3], name, 3, plain),
        "DAY" | "Day" | "day" => word(day_name, name, 9, plain),
        "DY" | "Dy" | "dy" => word(&day_name[..3], name, 3, plain),
        "AM" | "PM" => if afternoon { "PM" } else { "AM" }.into(),
        "am" | "pm" => if afternoon { "pm" } else { "am" }.into(),
        "A.M." | "P.M." => if afternoon { "P.M." } else { "A.M." }.into(),
        "a.m." | "p.m." => if afternoon { "p.m." } else { "a.m." }.into(),
        "Y,YYY" => format!("{},{:03}", year / 1000, year % 1000),
        "BC" | "AD" => if year > 0 { "AD" } else { "BC" }.into(),
        _ => zone_field(name, at),
    }
}

fn zone_field(name: &str, at: &Moment) -> String {
    let Some((zone, offset)) = at.zone else { return if name == "OF" { "+00".into() } else { String::new() } };
    let all = offset.abs();
    match name {
        "OF" => super::parse_time::offset_text(offset),
        "TZH" => format!("{}{:02}", if offset < 0 { '-' } else { '+' }, all / 3600),
        "TZM" => format!("{:02}", all / 60 % 60),
        _ => {
            let utc = (at.days * DAY + at.time) - offset * SECOND;
            let short =
                chrono::DateTime::from_timestamp_micros(utc).map(|t| t.with_timezone(&zone).format("%Z").to_string());
            let short = short.unwrap_or_default();
            if name == "tz" { short.to_lowercase() } else { short }
        }
    }
}

fn written(parts: &[Part], at: &Moment) -> String {
    let one = |part: &Part| match part {
        Part::Words(text) => text.clone(),
        Part::Field { name, plain, ordinal } => field(name, *plain, *ordinal, at),
    };
    parts.iter().map(one).collect()
}

/// TO_CHAR of a time; of an instant, by the clock of the zone.
pub fn to_char(pattern: &str, zone: Option<Tz>) -> Of<Func> {
    let parts = parts(pattern)?;
    let parameter = format!("{pattern}\u{0}{}", zone.map_or("", |z| z.name()));
    let run = std::sync::Arc::new(move |c: &[polars::prelude::Column]| {
        let (times, clocks) = (Micros::of(&c[0])?, zone.map(Clocks::new));
        collect(times.rows(), |row| {
            let Some(at) = times.at(row) else { return Ok(None) };
            let local = clocks.as_ref().map_or(Ok(at), |clocks| clocks.local(at))?;
            let zone = zone.map(|zone| (zone, (local - at) / SECOND));
            Ok(Some(written(&parts, &Moment { days: local.div_euclid(DAY), time: local.rem_euclid(DAY), zone })))
        })
    });
    Ok(Func { name: "to_char", parameter, run, fallible: true })
}

/// STRFTIME, with C's patterns.
pub fn strftime(pattern: &str, zone: Option<Tz>) -> Of<Func> {
    if StrftimeItems::new(pattern).any(|item| matches!(item, Item::Error)) {
        return Err(Fault::new("22007", format!("the pattern \"{pattern}\" is none of STRFTIME")));
    }
    let owned = pattern.to_owned();
    let zone = zone.unwrap_or(Tz::UTC);
    let parameter = format!("{pattern}\u{0}{zone}");
    Ok(map1::<Micros, String, _>("strftime", parameter, true, move |at| {
        let time = chrono::DateTime::from_timestamp_micros(at).ok_or_else(super::zone::beyond)?;
        Ok(time.with_timezone(&zone).format(&owned).to_string())
    }))
}

/// A date or a time from text by a pattern: the fields of numbers, and the names of months.
fn read(parts: &[Part], text: &str) -> Of<(i64, i64)> {
    let wrong = || Fault::new("22007", format!("\"{text}\" does not fit the pattern"));
    let (mut year, mut month, mut day) = (1i64, 1i64, 1i64);
    let (mut hour, mut minute, mut second, mut micros, mut afternoon) = (0i64, 0i64, 0i64, 0i64, None);
    let mut rest = text.trim_start();
    for part in parts {
        let name = match part {
            Part::Words(words) => {
                for c in words.chars() {
                    rest = match rest.strip_prefix(c) {
                        Some(next) => next,
                        None if c.is_whitespace() => rest.trim_start(),
                        None if !c.is_alphanumeric() => {
                            rest.strip_prefix(|r: char| !r.is_alphanumeric()).ok_or_else(wrong)?
                        }
                        None => return Err(wrong()),
                    };
                }
                continue;
            }
            Part::Field { name, .. } => *name,
        };
        if name.to_uppercase().starts_with("MON") {
            let place = MONTHS.iter().position(|m| {
                let m = if name.len() > 3 { m } else { &m[..3] };
                rest.get(..m.len()).is_some_and(|r| r.eq_ignore_ascii_case(m))
            });
            let place = place.ok_or_else(wrong)?;
            rest = &rest[if name.len() > 3 { MONTHS[place].len() } else { 3 }..];
            month = place as i64 + 1;
            continue;
        }
        if let "AM" | "PM" | "am" | "pm" = name {
            let half = rest.get(..2).ok_or_else(wrong)?.to_ascii_lowercase();
            afternoon = match half.as_str() {
                "am" => Some(false),
                "pm" => Some(true),
                _ => return Err(wrong()),
            };
            rest = &rest[2..];
            continue;
        }
        let most = match name {
            "YYYY" => 4,
            "MS" | "DDD" => 3,
            "US" => 6,
            _ => 2,
        };
        let digits = rest.bytes().take(most).take_while(u8::is_ascii_digit).count();
        let value: i64 = rest[..digits].parse().map_err(|_| wrong())?;
        rest = &rest[digits..];
        match name {
            "YYYY" => year = value,
            "YY" => year = if value < 70 { 2000 + value } else { 1900 + value },
            "MM" => month = value,
            "DD" => day = value,
            "HH24" | "HH12" | "HH" => hour = value,
            "MI" => minute = value,
            "SS" => second = value,
            "MS" => micros = value * 10i64.pow(6 - digits as u32),
            "US" => micros = value * 10i64.pow(6 - digits as u32),
            _ => return Err(Fault::new("0A000", format!("{name} cannot be read from text"))),
        }
    }
    let range = || Fault::new("22008", format!("date/time field value out of range: \"{text}\""));
    let days = checked_date(year, month, day).filter(|_| year != 0).ok_or_else(range)?;
    let hour = match afternoon {
        Some(_) if !(1..=12).contains(&hour) => return Err(range()),
        Some(after) => hour % 12 + if after { 12 } else { 0 },
        None => hour,
    };
    if hour > 23 || minute > 59 || second > 59 {
        return Err(range());
    }
    Ok((days, ((hour * 60 + minute) * 60 + second) * SECOND + micros))
}

pub fn to_date(pattern: &str) -> Of<Func> {
    let parts = parts(pattern)?;
    Ok(map1::<Texts, Day, _>("to_date", pattern.into(), true, move |s| super::time::day(read(&parts, s)?.0)))
}

pub fn to_timestamp(pattern: &str, zone: Tz) -> Of<Func> {
    let parts = parts(pattern)?;
    Ok(map1::<Texts, Instant, _>("to_timestamp", format!("{pattern}\u{0}{zone}"), true, move |s| {
        let (days, time) = read(&parts, s)?;
        instant(zone, days * DAY + time).map(Instant)
    }))
}

/// TO_CHAR of a date.
pub fn date_to_char(pattern: &str) -> Of<Func> {
    let parts = parts(pattern)?;
    Ok(map1::<Dates, String, _>("to_char", format!("date {pattern}"), false, move |d| {
        Ok(written(&parts, &Moment { days: d.into(), time: 0, zone: None }))
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Moment {
        let local = super::super::parse_time::timestamp(text).unwrap();
        Moment { days: local.div_euclid(DAY), time: local.rem_euclid(DAY), zone: None }
    }

    #[test]
    fn patterns_are_written_as_postgres_writes_them() {
        let say = |pattern: &str| written(&parts(pattern).unwrap(), &at("2024-03-05 14:07:09.012345"));
        assert_eq!(say("YYYY-MM-DD HH24:MI:SS.MS"), "2024-03-05 14:07:09.012");
        assert_eq!(say("FMDay, FMDDth FMMonth YYYY"), "Tuesday, 5th March 2024");
        assert_eq!(say("Day|MON|dy"), "Tuesday  |MAR|tue");
        assert_eq!(say("HH12:MI am Q IYYY-IW-ID DDD"), "02:07 pm 1 2024-10-2 065");
        assert_eq!(say("\"at\" yyyymmdd"), "at 20240305");
        assert!(parts("TMMonth").is_err());
    }

    #[test]
    fn text_is_read_by_a_pattern() {
        let day = |text: &str, pattern: &str| read(&parts(pattern).unwrap(), text).map(|r| r.0);
        assert_eq!(day("2024-03-10", "YYYY-MM-DD"), Ok(days_of(2024, 3, 10)));
        assert_eq!(day("05 Dec 2000", "DD Mon YYYY"), Ok(days_of(2000, 12, 5)));
        assert_eq!(day("20240310", "YYYYMMDD"), Ok(days_of(2024, 3, 10)));
        assert!(day("2024-02-30", "YYYY-MM-DD").is_err() && day("x", "YYYY").is_err());
    }
}

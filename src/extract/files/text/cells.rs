//! Values of text: each cell as the declared type, exactly as it is written, or what is wrong with it.

use std::borrow::Cow;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanBuilder, Date32Builder, Float64Builder, Int64Builder, StringViewBuilder,
    TimestampMicrosecondBuilder,
};
use chrono::{NaiveDate, NaiveDateTime};

use super::records::{Cell, Records};
use crate::extract::files::format::Column;
use crate::project::job::{CsvOptions, of_dates};
use crate::rows::ColumnType;
use crate::sql::kernels::{parse_time, zone};

/// How the cells of a file are written.
#[derive(Clone, Debug)]
pub struct Style {
    quote: u8,
    escape: Option<u8>,
    decimal: u8,
    nulls: Vec<String>,
    quoted_nulls: bool,
}

impl Style {
    pub fn of(options: &CsvOptions) -> Style {
        let CsvOptions { quote, escape, decimal, quoted_nulls, .. } = *options;
        Style { quote: quote.unwrap_or(b'"'), escape, decimal, nulls: options.nulls.clone(), quoted_nulls }
    }

    /// The text that a cell stands for.
    pub fn text<'a>(&self, records: &'a Records, cell: Cell) -> Cow<'a, str> {
        let raw = records.slice(cell);
        if !cell.coded {
            return Cow::Borrowed(raw);
        }
        let (mut text, mut chars) = (String::with_capacity(raw.len()), raw.chars().peekable());
        let (quote, escape) = (char::from(self.quote), self.escape.map(char::from));
        while let Some(c) = chars.next() {
            match c {
                c if Some(c) == escape => text.extend(chars.next()),
                c if c == quote => text.extend(chars.next_if_eq(&quote).or(Some(c))),
                c => text.push(c),
            }
        }
        Cow::Owned(text)
    }

    fn null(&self, text: &str) -> bool {
        self.nulls.iter().any(|null| null == text)
    }
}

/// The row, counted from 0, and what is wrong with its value.
pub type Wrong = (usize, String);

/// A column of cells.
pub fn array(
    column: &Column,
    records: &Records,
    cells: impl Iterator<Item = Cell>,
    style: &Style,
) -> Result<ArrayRef, Wrong> {
    let mut values = Values::of(column, records.len());
    for (row, cell) in cells.enumerate() {
        let text = style.text(records, cell);
        let null = match column.kind {
            ColumnType::Text => (!cell.quoted || style.quoted_nulls) && style.null(&text),
            _ => style.null(&text) || style.null(text.trim_matches(' ')),
        };
        match null {
            true => values.null(),
            false if style.decimal == b',' && matches!(column.kind, ColumnType::Float | ColumnType::Int) => {
                let point =
                    if text.contains('.') { Err(wrong(&text, "is no number with a decimal comma")) } else { Ok(()) };
                point.and_then(|()| values.text(&text.replace(',', "."), column)).map_err(|what| (row, what))?;
            }
            false => values.text(&text, column).map_err(|what| (row, what))?,
        }
    }
    Ok(values.finish())
}

/// The values of one column as they come.
pub enum Values {
    Int(Int64Builder),
    Float(Float64Builder),
    Text(StringViewBuilder),
    Bool(BooleanBuilder),
    Date(Date32Builder),
    Timestamp(TimestampMicrosecondBuilder),
}

impl Values {
    pub fn of(column: &Column, rows: usize) -> Values {
        match column.kind {
            ColumnType::Int => Values::Int(Int64Builder::with_capacity(rows)),
            ColumnType::Float => Values::Float(Float64Builder::with_capacity(rows)),
            ColumnType::Text => Values::Text(StringViewBuilder::with_capacity(rows)),
            ColumnType::Bool => Values::Bool(BooleanBuilder::with_capacity(rows)),
            ColumnType::Date => Values::Date(Date32Builder::with_capacity(rows)),
            ColumnType::Timestamp => Values::Timestamp(TimestampMicrosecondBuilder::with_capacity(rows)),
        }
    }

    pub fn null(&mut self) {
        match self {
            Values::Int(values) => values.append_null(),
            Values::Float(values) => values.append_null(),
            Values::Text(values) => values.append_null(),
            Values::Bool(values) => values.append_null(),
            Values::Date(values) => values.append_null(),
            Values::Timestamp(values) => values.append_null(),
        }
    }

    /// The value that a text stands for.
    pub fn text(&mut self, text: &str, column: &Column) -> Result<(), String> {
        match self {
            Values::Int(values) => values.append_value(int(text)?),
            Values::Float(values) => values.append_value(float(text)?),
            Values::Text(values) => values.append_value(text),
            Values::Bool(values) => values.append_value(boolean(text)?),
            Values::Date(values) => values.append_value(date(text, column)?),
            Values::Timestamp(values) => values.append_value(timestamp(text, column)?),
        }
        Ok(())
    }

    pub fn finish(self) -> ArrayRef {
        match self {
            Values::Int(mut values) => Arc::new(values.finish()),
            Values::Float(mut values) => Arc::new(values.finish()),
            Values::Text(mut values) => Arc::new(values.finish()),
            Values::Bool(mut values) => Arc::new(values.finish()),
            Values::Date(mut values) => Arc::new(values.finish()),
            Values::Timestamp(mut values) => Arc::new(values.finish().with_timezone("UTC")),
        }
    }
}

pub fn wrong(text: &str, what: &str) -> String {
    let short: String = text.chars().take(60).collect();
    format!("the value {short:?} {what}")
}

/// `-12`, `+12` and `12.0`, which is how a whole number is written beside missing ones by tools that make floats of both.
fn int(text: &str) -> Result<i64, String> {
    let trimmed = text.trim_matches(' ');
    if let Ok(value) = trimmed.parse() {
        return Ok(value);
    }
    let (whole, zeros) = trimmed.split_once('.').unwrap_or((trimmed, ""));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match whole.parse() {
        Ok(value) if !zeros.is_empty() && zeros.bytes().all(|byte| byte == b'0') => Ok(value),
        Err(_) if digits(whole.trim_start_matches(['-', '+'])) && (zeros.is_empty() || digits(zeros)) => {
            Err(wrong(text, "is beyond the whole numbers of 64 bits"))
        }
        _ => Err(wrong(text, "is not a whole number")),
    }
}

/// The nearest float. What is written in digits and is beyond all floats is not infinite.
fn float(text: &str) -> Result<f64, String> {
    let trimmed = text.trim_matches(' ');
    let value: f64 = trimmed.parse().map_err(|_| wrong(text, "is not a number"))?;
    match value.is_infinite() && trimmed.bytes().any(|byte| byte.is_ascii_digit()) {
        true => Err(wrong(text, "is beyond the floats of 64 bits")),
        false => Ok(value),
    }
}

fn boolean(text: &str) -> Result<bool, String> {
    match text.trim_matches(' ').to_ascii_lowercase().as_str() {
        "true" | "t" | "yes" | "y" | "1" => Ok(true),
        "false" | "f" | "no" | "n" | "0" => Ok(false),
        _ => Err(wrong(text, "is not true or false")),
    }
}

/// Days since 1970.
fn date(text: &str, column: &Column) -> Result<i32, String> {
    let trimmed = text.trim_matches(' ');
    let days = match &column.format {
        Some(format) => NaiveDate::parse_from_str(trimmed, format)
            .map(|date| i64::from(date.to_epoch_days()))
            .map_err(|_| wrong(text, &format!("is not a date as {format}")))?,
        None => match iso_date(trimmed.as_bytes()) {
            Some(days) => days,
            None => parse_time::whole_date(trimmed).map_err(|_| wrong(text, "is not a date as 2013-06-01"))?,
        },
    };
    i32::try_from(days).map_err(|_| wrong(text, "is beyond the dates"))
}

/// `2013-06-01`, which nearly all dates are.
fn iso_date(text: &[u8]) -> Option<i64> {
    let [y0, y1, y2, y3, b'-', m0, m1, b'-', d0, d1] = text else { return None };
    let number = |digits: &[u8]| {
        digits.iter().try_fold(0, |n: i32, byte| byte.is_ascii_digit().then(|| n * 10 + i32::from(byte - b'0')))
    };
    let (year, month, day) = (number(&[*y0, *y1, *y2, *y3])?, number(&[*m0, *m1])?, number(&[*d0, *d1])?);
    let date = NaiveDate::from_ymd_opt(year, month as u32, day as u32).filter(|_| year > 0)?;
    Some(i64::from(date.to_epoch_days()))
}

/// Microseconds since 1970. A time without a zone is read by the column's clock.
fn timestamp(text: &str, column: &Column) -> Result<i64, String> {
    let trimmed = text.trim_matches(' ');
    let beyond = |_| wrong(text, "is beyond the timestamps");
    let unzoned =
        || wrong(text, "has no time zone: say which clock wrote it, as in zone = \"Europe/Berlin\" in [extract.TABLE]");
    if let Some(format) = &column.format {
        let fails = |_| wrong(text, &format!("is not a time as {format}"));
        if let Ok(instant) = chrono::DateTime::parse_from_str(trimmed, format) {
            return Ok(instant.timestamp_micros());
        }
        let local = match NaiveDateTime::parse_from_str(trimmed, format) {
            Ok(local) => local,
            // A format of a date alone is midnight; of any other, nothing is dropped.
            Err(_) if !of_dates(format) => return Err(wrong(text, &format!("is not a time as {format}"))),
            Err(_) => NaiveDate::parse_from_str(trimmed, format).map_err(fails)?.and_time(chrono::NaiveTime::MIN),
        };
        let clock = column.zone.ok_or_else(unzoned)?;
        return zone::instant(clock, local.and_utc().timestamp_micros()).map_err(beyond);
    }
    let (local, offset) = match iso_time(trimmed.as_bytes()) {
        Some(read) => read,
        None => match parse_time::moment(trimmed, column.zone) {
            Ok(Some(instant)) => return Ok(instant),
            Ok(None) => return Err(unzoned()),
            Err(_) => return Err(wrong(text, "is not a time as 2013-06-01 06:59:59")),
        },
    };
    match (offset, column.zone) {
        (Some(offset), _) => Ok(local - offset),
        (None, Some(clock)) => zone::instant(clock, local).map_err(beyond),
        (None, None) => Err(unzoned()),
    }
}

/// `2013-06-01T06:59:59`, with a blank for the T, with or without a fraction, with or without `Z`, `+01`, `+0130` or `+01:30`:
/// the microseconds, and of how many the clock is ahead of UTC. None for anything else.
fn iso_time(text: &[u8]) -> Option<(i64, Option<i64>)> {
    let (date, rest) = text.split_at_checked(10)?;
    let [b'T' | b' ', h0, h1, b':', m0, m1, b':', s0, s1, rest @ ..] = rest else { return None };
    let (hour, minute, second) = (two(h0, h1)?, two(m0, m1)?, two(s0, s1)?);
    let (micros, rest) = match rest {
        [b'.', rest @ ..] => {
            let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
            // What is finer than a microsecond is rounded elsewhere.
            let fraction = rest[..digits].iter().fold(0, |n, byte| n * 10 + i64::from(byte - b'0'));
            if !(1..=6).contains(&digits) {
                return None;
            }
            (fraction * 10_i64.pow(6 - digits as u32), &rest[digits..])
        }
        rest => (0, rest),
    };
    let offset = match rest {
        [] => None,
        [b'Z'] => Some(0),
        [sign @ (b'+' | b'-'), h0, h1, rest @ ..] => {
            let minutes = match rest {
                [] => 0,
                [m0, m1] | [b':', m0, m1] => two(m0, m1)?,
                _ => return None,
            };
            let seconds = two(h0, h1)? * 3600 + minutes * 60;
            if minutes > 59 || seconds > 15 * 3600 {
                return None;
            }
            Some(if *sign == b'-' { -seconds } else { seconds } * zone::SECOND)
        }
        _ => return None,
    };
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let clock = ((hour * 60 + minute) * 60 + second) * zone::SECOND + micros;
    Some((iso_date(date)? * zone::DAY + clock, offset))
}

/// A number of two digits.
fn two(a: &u8, b: &u8) -> Option<i64> {
    (a.is_ascii_digit() && b.is_ascii_digit()).then(|| i64::from(a - b'0') * 10 + i64::from(b - b'0'))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// The quick way for times reads what the other reads, and nothing else.
        #[test]
        fn times_are_read_as_the_sql_reads_them(
            text in "(2024|0001|9999)-[01][0-9]-[0-3][0-9][ T][0-2][0-9]:[0-6][0-9]:[0-6][0-9](\\.[0-9]{1,6})?(Z|[+-][01][0-9](:?[0-6][0-9])?)?",
        ) {
            if let Some((local, offset)) = iso_time(text.as_bytes()) {
                let read = parse_time::moment(&text, Some(chrono_tz::Tz::UTC));
                prop_assert_eq!(read.ok().flatten(), Some(local - offset.unwrap_or(0)), "{}", text);
            }
        }

        #[test]
        fn whole_numbers_are_read_exactly(value: i64, zeros in 0usize..4) {
            prop_assert_eq!(int(&value.to_string()), Ok(value));
            prop_assert_eq!(int(&format!(" {value}.{} ", "0".repeat(zeros + 1))), Ok(value));
            let long = format!("{value}{}1", "0".repeat(20));
            prop_assert!(value == 0 || int(&long).is_err());
            let half = format!("{value}.5");
            prop_assert!(int(&half).is_err());
        }

        #[test]
        fn floats_are_read_to_the_last_bit(value: f64) {
            prop_assume!(!value.is_nan());
            prop_assert_eq!(float(&value.to_string()).map(f64::to_bits), Ok(value.to_bits()));
        }
    }
}

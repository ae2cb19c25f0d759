//! Functions of text. All count characters, never bytes.

use std::sync::Arc;

use polars::prelude::{Column, PolarsResult};

use super::columns::{Get, Ints, Texts, collect, map1, map2, map3, map4, rows};
use crate::sql::error::Fault;
use crate::sql::value::Func;

/// A text made longer than this is refused, as a cell of a gigabyte is.
const LONGEST: usize = 1 << 30;

type Of<T> = std::result::Result<T, Fault>;

fn too_long() -> Fault {
    Fault::new("54000", "requested length too large")
}

/// One character for one, as the C library does it: the sharp s has no capital.
fn simple(mut mapped: impl ExactSizeIterator<Item = char>, c: char) -> char {
    match (mapped.len(), mapped.next()) {
        (1, Some(other)) => other,
        _ => c,
    }
}

fn upper(s: &str) -> String {
    s.chars().map(|c| simple(c.to_uppercase(), c)).collect()
}

fn lower(s: &str) -> String {
    s.chars().map(|c| simple(c.to_lowercase(), c)).collect()
}

fn initcap(s: &str) -> String {
    let mut inside = false;
    s.chars()
        .map(|c| {
            let made = if inside { simple(c.to_lowercase(), c) } else { simple(c.to_uppercase(), c) };
            inside = c.is_alphanumeric();
            made
        })
        .collect()
}

/// The first n characters; all but the last -n of them when n is negative.
fn left(s: &str, n: i64) -> &str {
    let count = if n >= 0 { n } else { (s.chars().count() as i64).saturating_add(n).max(0) };
    let end = s.char_indices().nth(usize::try_from(count).unwrap_or(usize::MAX)).map_or(s.len(), |(i, _)| i);
    &s[..end]
}

fn right(s: &str, n: i64) -> &str {
    let length = s.chars().count() as i64;
    let skip = if n >= 0 { length.saturating_sub(n).max(0) } else { n.saturating_neg() };
    let start = s.char_indices().nth(usize::try_from(skip).unwrap_or(usize::MAX)).map_or(s.len(), |(i, _)| i);
    &s[start..]
}

/// Characters from the one numbered `from`, counted from 1; places before the first are empty.
fn substr(s: &str, from: i64, count: Option<i64>) -> Of<&str> {
    if count.is_some_and(|n| n < 0) {
        return Err(Fault::new("22011", "negative substring length not allowed"));
    }
    let end = count.map_or(i64::MAX, |n| from.saturating_add(n));
    let skip = usize::try_from(from.max(1) - 1).unwrap_or(usize::MAX);
    let take = usize::try_from(end.saturating_sub(from.max(1)).max(0)).unwrap_or(usize::MAX);
    let start = s.char_indices().nth(skip).map_or(s.len(), |(i, _)| i);
    let rest = &s[start..];
    let stop = rest.char_indices().nth(take).map_or(rest.len(), |(i, _)| i);
    Ok(&rest[..stop])
}

fn strpos(s: &str, part: &str) -> i64 {
    s.find(part).map_or(0, |byte| s[..byte].chars().count() as i64 + 1)
}

fn split_part(s: &str, by: &str, n: i64) -> Of<String> {
    if n == 0 {
        return Err(Fault::new("22023", "field position must not be zero"));
    }
    if by.is_empty() {
        return Ok(if n == 1 || n == -1 { s.to_owned() } else { String::new() });
    }
    let place = usize::try_from(n.unsigned_abs() - 1).unwrap_or(usize::MAX);
    let part = if n > 0 {
        s.split(by).nth(place)
    } else {
        let parts: Vec<&str> = s.split(by).collect();
        parts.len().checked_sub(place + 1).map(|i| parts[i])
    };
    Ok(part.unwrap_or_default().to_owned())
}

fn pad(s: &str, length: i64, fill: &str, before: bool) -> Of<String> {
    let wanted = usize::try_from(length.max(0)).unwrap_or(usize::MAX);
    let have = s.chars().count();
    if wanted <= have || fill.is_empty() {
        return Ok(s.chars().take(wanted).collect());
    }
    if wanted > LONGEST / 4 {
        return Err(too_long());
    }
    let filling: String = fill.chars().cycle().take(wanted - have).collect();
    Ok(if before { filling + s } else { s.to_owned() + &filling })
}

/// Which ends are trimmed.
#[derive(Clone, Copy, PartialEq)]
pub enum Ends {
    Both,
    Start,
    Finish,
}

fn trim<'a>(s: &'a str, of: &str, ends: Ends) -> &'a str {
    let is = |c: char| of.contains(c);
    match ends {
        Ends::Both => s.trim_matches(is),
        Ends::Start => s.trim_start_matches(is),
        Ends::Finish => s.trim_end_matches(is),
    }
}

fn translate(s: &str, from: &str, to: &str) -> String {
    let pairs: Vec<char> = from.chars().collect();
    let targets: Vec<char> = to.chars().collect();
    s.chars()
        .filter_map(|c| match pairs.iter().position(|f| *f == c) {
            None => Some(c),
            Some(place) => targets.get(place).copied(),
        })
        .collect()
}

fn overlay(s: &str, new: &str, from: i64, count: i64) -> Of<String> {
    if from <= 0 {
        return Err(Fault::new("22011", "negative substring length not allowed"));
    }
    let head = substr(s, 1, Some(from - 1))?;
    let tail = substr(s, from.saturating_add(count).max(1), None)?;
    Ok(format!("{head}{new}{tail}"))
}

fn character(n: i64) -> Of<String> {
    match u32::try_from(n).ok().and_then(char::from_u32) {
        Some('\0') => Err(Fault::new("54000", "null character not permitted")),
        Some(c) => Ok(c.to_string()),
        None if n < 0 => Err(Fault::new("54000", "character number must be positive")),
        None => Err(Fault::new("54000", "requested character too large for encoding")),
    }
}

/// Text in quotes, as it would be written in SQL.
pub fn quoted(s: &str) -> String {
    let body = s.replace('\'', "''");
    if s.contains('\\') { format!(" E'{}'", body.replace('\\', "\\\\")) } else { format!("'{body}'") }
}

/// Functions of one text that give text.
pub fn to_text(name: &'static str) -> Option<Func> {
    let f: fn(&str) -> String = match name {
        "upper" => upper,
        "lower" => lower,
        "initcap" => initcap,
        "reverse" => |s| s.chars().rev().collect(),
        "quote_literal" => |s| quoted(s).trim_start().to_owned(),
        _ => return None,
    };
    Some(map1::<Texts, String, _>(name, String::new(), false, move |s| Ok(f(s))))
}

/// Functions of one text that give a whole number.
pub fn to_number(name: &'static str) -> Option<Func> {
    let f: fn(&str) -> i64 = match name {
        "length" => |s| s.chars().count() as i64,
        "octet_length" => |s| s.len() as i64,
        "bit_length" => |s| s.len() as i64 * 8,
        "ascii" => |s| s.chars().next().map_or(0, |c| i64::from(u32::from(c))),
        _ => return None,
    };
    Some(map1::<Texts, i64, _>(name, String::new(), false, move |s| Ok(f(s))))
}

/// Functions of a text and a number.
pub fn text_number(name: &'static str) -> Option<Func> {
    let f: fn(&str, i64) -> Of<String> = match name {
        "left" => |s, n| Ok(left(s, n).to_owned()),
        "right" => |s, n| Ok(right(s, n).to_owned()),
        "substr" => |s, n| substr(s, n, None).map(str::to_owned),
        "repeat" => |s, n| match usize::try_from(n.max(0)).ok().and_then(|n| n.checked_mul(s.len())) {
            Some(bytes) if bytes <= LONGEST => Ok(s.repeat(n.max(0) as usize)),
            _ => Err(too_long()),
        },
        _ => return None,
    };
    Some(map2::<Texts, Ints, String, _>(name, String::new(), name == "repeat", f))
}

/// Functions of two texts.
pub fn text_text(name: &'static str) -> Option<Func> {
    if let "starts_with" | "ends_with" = name {
        let starts = name == "starts_with";
        return Some(map2::<Texts, Texts, bool, _>(name, String::new(), false, move |s, part| {
            Ok(if starts { s.starts_with(part) } else { s.ends_with(part) })
        }));
    }
    if name == "strpos" {
        return Some(map2::<Texts, Texts, i64, _>(name, String::new(), false, |s, part| Ok(strpos(s, part))));
    }
    let ends = match name {
        "btrim" => Ends::Both,
        "ltrim" => Ends::Start,
        "rtrim" => Ends::Finish,
        _ => return None,
    };
    Some(map2::<Texts, Texts, String, _>(name, String::new(), false, move |s, of| Ok(trim(s, of, ends).to_owned())))
}

pub fn substr_count() -> Func {
    map3::<Texts, Ints, Ints, String, _>("substr", "count".into(), true, |s, from, n| {
        substr(s, from, Some(n)).map(str::to_owned)
    })
}

pub fn replace() -> Func {
    map3::<Texts, Texts, Texts, String, _>("replace", String::new(), false, |s, from, to| {
        Ok(if from.is_empty() { s.to_owned() } else { s.replace(from, to) })
    })
}

pub fn translate_text() -> Func {
    map3::<Texts, Texts, Texts, String, _>("translate", String::new(), false, |s, from, to| Ok(translate(s, from, to)))
}

pub fn part() -> Func {
    map3::<Texts, Texts, Ints, String, _>("split_part", String::new(), true, split_part)
}

pub fn padded(before: bool) -> Func {
    let name = if before { "lpad" } else { "rpad" };
    map3::<Texts, Ints, Texts, String, _>(name, String::new(), true, move |s, n, fill| pad(s, n, fill, before))
}

pub fn overlaid() -> Func {
    map4::<Texts, Texts, Ints, Ints, String, _>("overlay", String::new(), true, overlay)
}

pub fn chr() -> Func {
    map1::<Ints, String, _>("chr", String::new(), true, character)
}

pub fn to_hex(bits: u32) -> Func {
    map1::<Ints, String, _>("to_hex", bits.to_string(), false, move |n| {
        Ok(if bits == 32 { format!("{:x}", n as i32) } else { format!("{n:x}") })
    })
}

/// The first n characters of a cast to VARCHAR(n); padded with blanks for CHAR(n).
pub fn cut(length: usize, padded: bool) -> Func {
    map1::<Texts, String, _>("cut", format!("{length} {padded}"), false, move |s| {
        let mut out: String = s.chars().take(length).collect();
        if padded {
            let have = out.chars().count();
            out.extend(std::iter::repeat_n(' ', length - have));
        }
        Ok(out)
    })
}

/// All arguments, one behind the other; NULL when one is.
pub fn join_all() -> Func {
    many("||", |values| {
        let mut out = String::new();
        for value in values {
            out.push_str((*value)?);
        }
        Some(out)
    })
}

/// CONCAT: a NULL is left out.
pub fn concat() -> Func {
    many("concat", |values| Some(values.iter().flatten().copied().collect()))
}

/// CONCAT_WS: the first argument between the others; a NULL is left out.
pub fn concat_ws() -> Func {
    many("concat_ws", |values| {
        let between = values.first().copied().flatten()?;
        Some(values[1..].iter().flatten().copied().collect::<Vec<_>>().join(between))
    })
}

fn many(name: &'static str, f: fn(&[Option<&str>]) -> Option<String>) -> Func {
    let run = Arc::new(move |c: &[Column]| {
        let columns = c.iter().map(Texts::of).collect::<PolarsResult<Vec<_>>>()?;
        let n = rows(&columns.iter().map(Get::rows).collect::<Vec<_>>());
        let mut values: Vec<Option<&str>> = Vec::with_capacity(columns.len());
        collect(n, |row| {
            values.clear();
            values.extend(columns.iter().map(|c| c.at(row)));
            Ok(f(&values))
        })
    });
    Func { name, parameter: String::new(), run, fallible: false }
}

/// FORMAT of %s, %I, %L and %%.
pub fn format() -> Func {
    let run = Arc::new(move |c: &[Column]| {
        let columns = c.iter().map(Texts::of).collect::<PolarsResult<Vec<_>>>()?;
        let n = rows(&columns.iter().map(Get::rows).collect::<Vec<_>>());
        collect(n, |row| {
            let values: Vec<Option<&str>> = columns[1..].iter().map(|c| c.at(row)).collect();
            columns[0].at(row).map(|pattern| formatted(pattern, &values)).transpose()
        })
    });
    Func { name: "format", parameter: String::new(), run, fallible: true }
}

fn formatted(pattern: &str, values: &[Option<&str>]) -> Of<String> {
    let mut out = String::new();
    let (mut next, mut chars) = (0, pattern.chars());
    while let Some(c) = chars.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        match chars.next() {
            Some('%') => out.push('%'),
            Some(kind @ ('s' | 'L' | 'I')) => {
                let value = values.get(next).ok_or_else(|| Fault::new("22023", "too few arguments for format()"))?;
                next += 1;
                match (kind, value) {
                    ('s', value) => out.push_str(value.unwrap_or_default()),
                    ('L', None) => out.push_str("NULL"),
                    ('L', Some(text)) => out.push_str(quoted(text).trim_start()),
                    (_, Some(text)) => {
                        let plain = text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
                        let plain = plain && !text.starts_with(|c: char| c.is_ascii_digit()) && !text.is_empty();
                        let name =
                            if plain { (*text).to_owned() } else { format!("\"{}\"", text.replace('"', "\"\"")) };
                        out.push_str(&name);
                    }
                    (_, None) => {
                        return Err(Fault::new("22004", "null values cannot be formatted as an SQL identifier"));
                    }
                }
            }
            _ => return Err(Fault::new("22023", "format() knows %s, %I, %L and %%")),
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_are_counted_not_bytes() {
        assert_eq!(strpos("日本語", "語"), 3);
        assert_eq!(left("été", 2), "ét");
        assert_eq!(left("été", -1), "ét");
        assert_eq!(left("été", -9), "");
        assert_eq!(right("été", 2), "té");
        assert_eq!(right("été", -1), "té");
        assert_eq!(right("été", 0), "");
        assert_eq!(substr("été", -2, None), Ok("été"));
        assert_eq!(substr("été", 0, Some(2)), Ok("é"));
        assert_eq!(substr("été", 2, Some(i64::MAX)), Ok("té"));
        assert!(substr("été", 1, Some(-1)).is_err());
        assert_eq!(pad("é", 4, "xy", true).unwrap(), "xyxé");
        assert_eq!(pad("open", 2, "x", false).unwrap(), "op");
    }

    #[test]
    fn odd_arguments_do_what_postgres_does() {
        assert_eq!(split_part("a,b", ",", -1).unwrap(), "b");
        assert_eq!(split_part("a,b", "", 1).unwrap(), "a,b");
        assert_eq!(split_part("a,b", ",", 9).unwrap(), "");
        assert!(split_part("a", ",", 0).is_err());
        assert_eq!(initcap("o'neil THE 3rd"), "O'Neil The 3rd");
        assert_eq!(upper("straße"), "STRAßE");
        assert_eq!(translate("12345", "143", "ax"), "a2x5");
        assert_eq!(overlay("abcdef", "XY", 3, 2).unwrap(), "abXYef");
        assert_eq!(formatted("%s-%L-%%", &[Some("a"), None]).unwrap(), "a-NULL-%");
    }
}

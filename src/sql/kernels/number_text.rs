//! Numbers and booleans as text, and back, as Postgres writes and reads them.

use crate::sql::error::Fault;
use crate::sql::types::Ty;

type Of<T> = std::result::Result<T, Fault>;

/// The shortest text that gives the number back; with an exponent below 1e-4 and from `digits` digits on.
fn shortest(written: String, digits: i32) -> String {
    let (sign, body) = written.strip_prefix('-').map_or(("", written.as_str()), |b| ("-", b));
    let Some((mantissa, exponent)) = body.split_once('e') else { return written };
    let Ok(exponent) = exponent.parse::<i32>() else { return written };
    let figures: String = mantissa.chars().filter(|c| *c != '.').collect();
    if exponent < -4 || exponent >= digits {
        let (first, rest) = figures.split_at(1);
        let point = if rest.is_empty() { String::new() } else { format!(".{rest}") };
        return format!("{sign}{first}{point}e{}{:02}", if exponent < 0 { '-' } else { '+' }, exponent.abs());
    }
    if exponent < 0 {
        return format!("{sign}0.{}{figures}", "0".repeat(-exponent as usize - 1));
    }
    let whole = exponent as usize + 1;
    if figures.len() <= whole {
        return format!("{sign}{figures}{}", "0".repeat(whole - figures.len()));
    }
    format!("{sign}{}.{}", &figures[..whole], &figures[whole..])
}

pub fn float(value: f64, ty: Ty) -> String {
    if value.is_nan() {
        return "NaN".into();
    }
    if value.is_infinite() {
        return if value > 0.0 { "Infinity".into() } else { "-Infinity".into() };
    }
    if ty == Ty::Float4 { shortest(format!("{:e}", value as f32), 6) } else { shortest(format!("{value:e}"), 15) }
}

pub fn boolean(value: bool) -> String {
    if value { "true".into() } else { "false".into() }
}

fn invalid(ty: Ty, text: &str) -> Fault {
    Fault::new("22P02", format!("invalid input syntax for type {}: \"{text}\"", ty.name()))
}

const BLANK: [char; 6] = [' ', '\t', '\n', '\r', '\u{b}', '\u{c}'];

pub fn parse_int(text: &str, ty: Ty) -> Of<i64> {
    let trimmed = text.trim_matches(BLANK);
    let digits = trimmed.strip_prefix(['-', '+']).unwrap_or(trimmed);
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(invalid(ty, text));
    }
    let (low, high) = ty.bounds();
    trimmed
        .trim_start_matches('+')
        .parse()
        .ok()
        .filter(|value| (low..=high).contains(value))
        .ok_or_else(|| Fault::new("22003", format!("value \"{text}\" is out of range for type {}", ty.name())))
}

pub fn parse_float(text: &str, ty: Ty) -> Of<f64> {
    let trimmed = text.trim_matches(BLANK);
    let lower = trimmed.to_ascii_lowercase();
    let (sign, body) = match lower.strip_prefix('-') {
        Some(body) => (-1.0, body),
        None => (1.0, lower.strip_prefix('+').unwrap_or(&lower)),
    };
    match body {
        "nan" => return Ok(f64::NAN),
        "inf" | "infinity" => return Ok(sign * f64::INFINITY),
        _ => {}
    }
    let plain = body.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'e' | b'-' | b'+'));
    let value: f64 = lower.parse().ok().filter(|_| plain && !body.is_empty()).ok_or_else(|| invalid(ty, text))?;
    let value = if ty == Ty::Float4 { f64::from(value as f32) } else { value };
    let zero = !body.split('e').next().unwrap_or_default().bytes().any(|b| (b'1'..=b'9').contains(&b));
    if value.is_infinite() || (value == 0.0 && !zero && ty != Ty::Numeric) {
        return Err(Fault::new("22003", format!("\"{text}\" is out of range for type {}", ty.name())));
    }
    Ok(value)
}

pub fn parse_bool(text: &str) -> Of<bool> {
    let lower = text.trim_matches(BLANK).to_ascii_lowercase();
    let begins = |word: &str, least: usize| lower.len() >= least && word.starts_with(&lower);
    if begins("true", 1) || begins("yes", 1) || lower == "on" || lower == "1" {
        return Ok(true);
    }
    if begins("false", 1) || begins("no", 1) || begins("off", 2) || lower == "0" {
        return Ok(false);
    }
    Err(invalid(Ty::Bool, text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_are_written_as_postgres_writes_them() {
        for (value, text) in [
            (100.0, "100"),
            (1e-7, "1e-07"),
            (1e15, "1e+15"),
            (123_456_789_012_345.0, "123456789012345"),
            (0.0001, "0.0001"),
            (0.00001, "1e-05"),
            (-3.5, "-3.5"),
            (1.5e300, "1.5e+300"),
            (0.1 + 0.2, "0.30000000000000004"),
            (-0.0, "-0"),
            (f64::NAN, "NaN"),
            (f64::NEG_INFINITY, "-Infinity"),
        ] {
            assert_eq!(float(value, Ty::Float8), text);
        }
        assert_eq!(float(f64::from(0.1f32), Ty::Float4), "0.1");
        assert_eq!(float(1e6, Ty::Float4), "1e+06");
    }

    #[test]
    fn text_is_read_as_postgres_reads_it() {
        assert_eq!(parse_int(" +42\n", Ty::Int8), Ok(42));
        assert_eq!(parse_int("40000", Ty::Int2).unwrap_err().code, "22003");
        for text in ["", "4 2", "1.5", "1_000", "0x10", "--1"] {
            assert_eq!(parse_int(text, Ty::Int8).unwrap_err().code, "22P02", "{text}");
        }
        assert_eq!(parse_float(" 1e3 ", Ty::Float8), Ok(1000.0));
        assert_eq!(parse_float("-Infinity", Ty::Float8), Ok(f64::NEG_INFINITY));
        assert_eq!(parse_float("1e400", Ty::Float8).unwrap_err().code, "22003");
        assert_eq!(parse_float("infin", Ty::Float8).unwrap_err().code, "22P02");
        assert_eq!((parse_bool("T"), parse_bool("of"), parse_bool("no")), (Ok(true), Ok(false), Ok(false)));
        assert!(parse_bool("o").is_err() && parse_bool("").is_err() && parse_bool("2").is_err());
    }
}

//! `:date`, `:start` and `:end` in the SQL of a source. They become typed literals made from the resolved interval (COPY takes
//! no bound parameters), never text of the user's; inside strings, comments, quoted names and casts they are left alone.

use std::cell::RefCell;
use std::collections::BTreeSet;

use chrono::NaiveDate;

use crate::error::{Error, Result};
use crate::interval::Interval;

/// For Postgres: the date of the run, and timestamptz bounds in UTC of the span that the table covers.
pub fn postgres(sql: &str, date: NaiveDate, span: &Interval) -> Result<String> {
    let at =
        |t: chrono::DateTime<chrono::Utc>| format!("'{}'::pg_catalog.timestamptz", t.format("%Y-%m-%d %H:%M:%S%.f+00"));
    replace(sql, |name| match name {
        "date" => Some(format!("'{date}'::pg_catalog.date")),
        "start" => Some(at(span.start)),
        "end" => Some(at(span.end)),
        _ => None,
    })
}

/// Where a character of what [`postgres`] makes stands in the user's text: line and column, both from 1. `character` is counted
/// from 1, as Postgres counts.
pub fn place(sql: &str, made: &str, character: usize) -> Option<(u32, u32)> {
    let names = RefCell::new(Vec::new());
    // With marks in place of values the two texts can be followed side by side.
    let marked = replace(sql, |name| {
        names.borrow_mut().push(name.to_owned());
        Some('\u{1}'.to_string())
    });
    let (marked, names) = (marked.ok()?, names.into_inner());
    let mut made = made.chars();
    let (mut seen, mut line, mut column, mut next) = (0, 1, 1, 0);
    for c in marked.chars() {
        let (width, length) = match c {
            '\u{1}' => {
                let value = value_length(made.as_str(), names.get(next)?);
                made.nth(value.checked_sub(1)?)?;
                let written = names.get(next)?.chars().count() + 1;
                next += 1;
                (written, value)
            }
            _ => {
                made.next()?;
                (1, 1)
            }
        };
        if seen + length >= character {
            return Some((line, column as u32));
        }
        seen += length;
        (line, column) = if c == '\n' { (line + 1, 1) } else { (line, column + width) };
    }
    None
}

/// The length of a placeholder's value: what is quoted, and its type.
fn value_length(text: &str, name: &str) -> usize {
    let kind = if name == "date" { "::pg_catalog.date" } else { "::pg_catalog.timestamptz" };
    text.chars().skip(1).position(|c| c == '\'').map_or(0, |end| end + 2) + kind.len()
}

/// The placeholders that a text has.
pub fn used(sql: &str) -> BTreeSet<String> {
    let names = RefCell::new(BTreeSet::new());
    // Nothing is unknown here.
    let _ = replace(sql, |name| {
        names.borrow_mut().insert(name.to_owned());
        Some(String::new())
    });
    names.into_inner()
}

/// The text with its placeholders replaced, up to the semicolon at its end.
fn replace(sql: &str, value: impl Fn(&str) -> Option<String>) -> Result<String> {
    let mut out = String::with_capacity(sql.len() + 64);
    let mut rest = sql;
    // Open brackets, and whether each is a subscript; where the text ends if nothing but comments follows.
    let (mut brackets, mut end) = (Vec::new(), None);
    while let Some(next) = rest.chars().next() {
        let before = &sql[..sql.len() - rest.len()];
        let within_word = before.ends_with(|c: char| c.is_alphanumeric() || matches!(c, '_' | '$'));
        let mut means = true;
        let skip = match next {
            '\'' if escapes(before) => escaped(rest),
            '\'' | '"' => rest[1..].find(next).map_or(rest.len(), |i| i + 2),
            '-' if rest.starts_with("--") => {
                means = false;
                rest.find('\n').unwrap_or(rest.len())
            }
            '/' if rest.starts_with("/*") => {
                means = false;
                comment(rest)
            }
            '$' if !within_word => dollar_quoted(rest),
            '(' | '[' => {
                brackets.push(next == '[' && subscript(before));
                1
            }
            ')' | ']' => {
                brackets.pop();
                1
            }
            ';' => {
                end.get_or_insert(out.len());
                means = false;
                1
            }
            ':' if rest.starts_with("::") => 2,
            // Between the bounds of a slice.
            ':' if brackets.last() == Some(&true) => 1,
            ':' => {
                let name: String = rest[1..].chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
                if name.starts_with(|c: char| c.is_ascii_alphabetic()) {
                    let line = sql[..sql.len() - rest.len()].matches('\n').count() + 1;
                    out.push_str(&value(&name).ok_or_else(|| {
                        Error::config(format!("line {line}: unknown placeholder :{name}"))
                            .hint("known are :date, :start and :end")
                    })?);
                    rest = &rest[1 + name.len()..];
                    end = None;
                    continue;
                }
                1
            }
            other => {
                means = !other.is_whitespace();
                other.len_utf8()
            }
        };
        if means {
            end = None;
        }
        out.push_str(&rest[..skip]);
        rest = &rest[skip..];
    }
    out.truncate(end.unwrap_or(out.len()));
    out.truncate(out.trim_end().len());
    Ok(out)
}

/// Whether a quote that follows begins a string with backslashes: `E'...'`.
fn escapes(before: &str) -> bool {
    let word = before.trim_end_matches(|c: char| c.is_alphanumeric() || matches!(c, '_' | '$'));
    matches!(&before[word.len()..], "E" | "e")
}

/// Whether a bracket that follows is a subscript, and not of `ARRAY[...]`.
fn subscript(before: &str) -> bool {
    let before = before.trim_end();
    let rest = before.trim_end_matches(|c: char| c.is_alphanumeric() || c == '_');
    match &before[rest.len()..] {
        "" => before.ends_with([')', ']', '"']),
        word => !word.eq_ignore_ascii_case("array"),
    }
}

/// The length of a string with backslashes.
fn escaped(text: &str) -> usize {
    let mut chars = text.char_indices().skip(1);
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => {
                chars.next();
            }
            '\'' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// The length of a comment, in which there may be comments.
fn comment(text: &str) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < text.len() {
        let step = match text.get(at..at + 2) {
            Some("/*") => {
                depth += 1;
                2
            }
            Some("*/") => {
                depth -= 1;
                2
            }
            _ => text[at..].chars().next().map_or(1, char::len_utf8),
        };
        at += step;
        if depth == 0 {
            return at;
        }
    }
    text.len()
}

/// The length of `$tag$ ... $tag$` at the start of `text`, or of the `$` alone.
fn dollar_quoted(text: &str) -> usize {
    let Some(end) = text[1..].find('$') else { return 1 };
    let tag = &text[..end + 2];
    if !tag[1..tag.len() - 1].chars().all(|c| c.is_alphanumeric() || c == '_') {
        return 1;
    }
    text[tag.len()..].find(tag).map_or(text.len(), |i| i + 2 * tag.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_found_behind_placeholders() {
        let interval = crate::interval::day("2013-06-08".parse().unwrap(), chrono_tz::Tz::America__New_York).unwrap();
        let sql =
            "SELECT a -- :date\nFROM t WHERE d = :date AND é >= :start::timestamp AND x.nope < :end\n  AND y.last";
        let made = postgres(sql, interval.date(), &interval).unwrap();
        for (word, expected) in [("a", (1, 8)), ("FROM", (2, 1)), ("x.nope", (2, 55)), ("y.last", (3, 7))] {
            let character = made[..made.find(&format!(" {word}")).unwrap_or(made.find(word).unwrap())].chars().count();
            let character = character + if made.contains(&format!(" {word}")) { 2 } else { 1 };
            let found = place(sql, &made, character).unwrap();
            let line = sql.lines().nth(found.0 as usize - 1).unwrap();
            let rest: String = line.chars().skip(found.1 as usize - 1).collect();
            assert!(rest.starts_with(word), "{word}: {found:?} {rest}");
            assert_eq!(found, expected, "{word}");
        }
        // Inside of a value: the placeholder.
        let character = made.find("2013").unwrap() + 1;
        assert_eq!(place(sql, &made, made[..character].chars().count()), Some((2, 18)));
        assert_eq!(place(sql, &made, 10_000), None);
    }

    #[test]
    fn only_placeholders_are_replaced() {
        let value = |name: &str| (name == "date").then(|| "D".to_owned());
        let same = [
            "':date'",
            "\":date\"",
            "-- :date",
            "/* :date */",
            "$$ :date $$",
            "$x$ :date $x$",
            "a::date",
            "a[1:2]",
            "'it''s :date'",
            "E'it\\'s :date'",
            "e'\\\\' || 'x :date'",
            "/* a /* :date */ :date */ 1",
            "a[1:date]",
            "a[b[1]:date]",
            "f(x)[1:date]",
            "a$1$ || '$1$ :date'",
        ];
        for text in same {
            assert_eq!(replace(text, value).unwrap(), text);
        }
        assert_eq!(replace("x = :date AND y::text = 'é :date' ;", value).unwrap(), "x = D AND y::text = 'é :date'");
        for (text, plain) in [
            ("SELECT 1; -- done\n", "SELECT 1"),
            ("SELECT 1;;\n/* done */ ", "SELECT 1"),
            ("SELECT ';' -- ; none", "SELECT ';' -- ; none"),
            ("SELECT 1; SELECT 2", "SELECT 1; SELECT 2"),
            ("x = ANY(ARRAY[:date, :date])", "x = ANY(ARRAY[D, D])"),
            ("a[f(:date)]", "a[f(D)]"),
            ("name='E':date", "name='E'D"),
        ] {
            assert_eq!(replace(text, value).unwrap(), plain);
        }
        assert_eq!(used("SELECT :date, ':end', :start, :date").into_iter().collect::<Vec<_>>(), ["date", "start"]);
        assert!(replace("a\nb :dat", value).unwrap_err().message.contains("line 2: unknown placeholder :dat"));
    }
}

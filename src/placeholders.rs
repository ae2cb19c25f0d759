//! `:date`, `:start` and `:end` in the SQL of a source. They become typed literals made from the resolved interval (COPY takes
//! no bound parameters), never text of the user's; inside strings, comments, quoted names and casts they are left alone.

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

fn replace(sql: &str, value: impl Fn(&str) -> Option<String>) -> Result<String> {
    let sql = sql.trim_end().trim_end_matches(';');
    let mut out = String::with_capacity(sql.len() + 64);
    let mut rest = sql;
    while let Some(next) = rest.chars().next() {
        let skip = match next {
            '\'' | '"' => rest[1..].find(next).map_or(rest.len(), |i| i + 2),
            '-' if rest.starts_with("--") => rest.find('\n').unwrap_or(rest.len()),
            '/' if rest.starts_with("/*") => rest.find("*/").map_or(rest.len(), |i| i + 2),
            '$' => dollar_quoted(rest),
            ':' if rest.starts_with("::") => 2,
            ':' => {
                let name: String = rest[1..].chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
                if name.starts_with(|c: char| c.is_ascii_alphabetic()) {
                    let line = sql[..sql.len() - rest.len()].matches('\n').count() + 1;
                    out.push_str(&value(&name).ok_or_else(|| {
                        Error::config(format!("line {line}: unknown placeholder :{name}"))
                            .hint("known are :date, :start and :end")
                    })?);
                    rest = &rest[1 + name.len()..];
                    continue;
                }
                1
            }
            other => other.len_utf8(),
        };
        out.push_str(&rest[..skip]);
        rest = &rest[skip..];
    }
    Ok(out)
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
        ];
        for text in same {
            assert_eq!(replace(text, value).unwrap(), text);
        }
        assert_eq!(replace("x = :date AND y::text = 'é :date' ;", value).unwrap(), "x = D AND y::text = 'é :date' ");
        assert!(replace("a\nb :dat", value).unwrap_err().message.contains("line 2: unknown placeholder :dat"));
    }
}

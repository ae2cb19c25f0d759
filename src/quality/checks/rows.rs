//! Which rows of a batch break a rule.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type};
use arrow::util::display::array_value_to_string;

use crate::error::{Error, Result};
use crate::project::check_spec::Rule;

/// Says of each row whether it breaks the rule. NULL breaks `not_null` alone.
pub fn broken(rule: &Rule, column: &ArrayRef) -> Result<Vec<bool>> {
    let wrong = |what: &'static str| move |e: arrow::error::ArrowError| Error::config(what).cause(e);
    match rule {
        Rule::NotNull => Ok((0..column.len()).map(|row| column.is_null(row)).collect()),
        Rule::Range(low, high) => {
            let floats = cast(column, &DataType::Float64).map_err(wrong("a range is of a column without numbers"))?;
            let inside = |value: f64| value >= *low && value <= *high;
            Ok(floats.as_primitive::<Float64Type>().iter().map(|value| value.is_some_and(|v| !inside(v))).collect())
        }
        Rule::Values(allowed) => of_text(column, |text| allowed.iter().any(|one| one == text)),
        Rule::Match(pattern) => of_text(column, |text| pattern.is_match(text)),
        Rule::Sql(_) => {
            let holds = column.as_boolean_opt().ok_or_else(|| Error::defect("a condition is no truth"))?;
            Ok(holds.iter().map(|holds| holds == Some(false)).collect())
        }
        _ => Ok(vec![false; column.len()]),
    }
}

fn of_text(column: &ArrayRef, good: impl Fn(&str) -> bool) -> Result<Vec<bool>> {
    let text = cast(column, &DataType::Utf8View).map_err(|e| Error::config("a check of words needs text").cause(e))?;
    Ok(text.as_string_view().iter().map(|value| value.is_some_and(|value| !good(value))).collect())
}

/// Characters of a value that a message shows.
const SHOWN: usize = 200;

/// A value as a message shows it: without characters that no text may have, and not all of a long one.
pub fn shown(column: &ArrayRef, row: usize) -> String {
    let whole = text(column, row);
    let mut out = String::new();
    for (at, c) in whole.chars().enumerate() {
        if at == SHOWN {
            out.push('…');
            break;
        }
        if c.is_control() { out.extend(c.escape_default()) } else { out.push(c) }
    }
    out
}

/// A value as text.
pub fn text(column: &ArrayRef, row: usize) -> String {
    match column.is_null(row) {
        true => "NULL".to_owned(),
        false => array_value_to_string(column, row).unwrap_or_default(),
    }
}

/// What the rule wants, in words that go on after "must".
pub fn wants(rule: &Rule) -> String {
    match rule {
        Rule::Range(low, high) => format!("be in [{low}, {high}]"),
        Rule::NotNull => "not be NULL".into(),
        Rule::Values(values) => format!("be one of {}", values.join(", ")),
        Rule::Match(pattern) => format!("match {pattern}"),
        Rule::Sql(condition) => format!("hold: {condition}"),
        _ => String::new(),
    }
}

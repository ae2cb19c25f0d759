//! Checks the values of a table against what is declared of its keys: those that are unknown, missing, of another type or
//! out of bounds.

use toml::de::{DeTable, DeValue};

use super::similar::meant;
use super::source::Source;
use super::values::{float, full, integer, pair};
use crate::keys::{Key, Need, Shape, Takes};

pub(super) fn table(source: &Source, values: &DeTable<'_>, shape: &Shape, name: &str, line: usize) {
    for (key, value) in values.iter() {
        let key = key.get_ref().as_ref();
        let at = source.line_of(value.span().start);
        match shape.key(key) {
            Some(declared) if fits(shape, declared, values, true) => {
                self::value(source, value.get_ref(), &declared.takes, &full(name, key), at);
            }
            Some(declared) => {
                source.fault(at, format!("{} is only for {}", full(name, key), declared.only.join(" or ")), None);
            }
            None => {
                let known = shape.keys.iter().filter(|key| fits(shape, key, values, true)).map(|key| key.name);
                source.fault(at, format!("unknown key {}", full(name, key)), meant(key, known));
            }
        }
    }
    let absent = |key: &&Key| key.need == Need::Required && !values.contains_key(key.name);
    for key in shape.keys.iter().filter(absent).filter(|key| fits(shape, key, values, false)) {
        source.fault(line, missing(key, name), None);
    }
}

/// Whether a table with these values may have a key. What it is when the key that decides it is not there: `unsaid`.
fn fits(shape: &Shape, key: &Key, values: &DeTable<'_>, unsaid: bool) -> bool {
    let there = |condition: &&str| match condition.split_once(" = ") {
        None => values.contains_key(*condition),
        Some((other, word)) => {
            let found = values.get(other).and_then(|value| value.get_ref().as_str());
            // A word that is none says nothing.
            let known = |found: &&str| match shape.key(other).map(|key| key.takes) {
                Some(Takes::Word(words)) => words.iter().any(|(word, _)| word == found),
                _ => true,
            };
            found.filter(known).map_or(unsaid, |found| found == word.trim_matches('"'))
        }
    };
    key.only.is_empty() || key.only.iter().any(there)
}

fn missing(key: &Key, table: &str) -> String {
    let name = full(table, key.name);
    match key.takes {
        Takes::Word(words) => format!("{name} is missing: {}", one_of(words)),
        Takes::Table(_) => format!("[{name}] is missing: {}", key.gist()),
        Takes::Named(chosen, _) => format!("[{name}.{chosen}] is missing: {}", key.gist()),
        Takes::Tables(_) => format!("[[{name}]] is missing: {}", key.gist()),
        _ => format!("{name} is missing: {}, as in {} = {}", key.gist(), key.name, key.example),
    }
}

fn one_of(words: &[(&str, &str)]) -> String {
    let words: Vec<String> = words.iter().map(|(word, _)| format!("{word:?}")).collect();
    match words.as_slice() {
        [first @ .., last] if !first.is_empty() => format!("{} or {last}", first.join(", ")),
        words => words.join(""),
    }
}

/// One value: its type, and then its bounds.
fn value(source: &Source, value: &DeValue<'_>, takes: &Takes, name: &str, line: usize) {
    if let (Takes::Tables(_), false) = (takes, self::takes(takes, value)) {
        return source.fault(line, format!("{name} must be written as [[{name}]]"), None);
    }
    if !self::takes(takes, value) {
        return source.fault(line, format!("{name} must be {}, not {}", takes.must_be(), kind(value)), None);
    }
    let fault = |what: String| source.fault(line, format!("{name}{what}"), None);
    match (takes, value) {
        (Takes::Whole { from, to }, number)
            if integer(number).is_none_or(|number| !(*from..=*to).contains(&number)) =>
        {
            fault(match *to {
                _ if integer(number).is_none() => " is too large a number".into(),
                i64::MAX => format!(" must be {from} or more"),
                _ => format!(" must be from {from} to {to}"),
            });
        }
        (Takes::Number { from, to }, number) => {
            let number = float(number).unwrap_or(f64::NAN);
            if number.is_nan() || number < *from || number > *to {
                fault(match (from.is_finite(), *to < f64::MAX) {
                    (true, true) => format!(" must be from {from} to {to}"),
                    (true, false) => format!(" must be a number from {from}"),
                    (false, _) => " must be a number".into(),
                });
            }
        }
        (Takes::Pair, numbers) if pair(numbers).is_none() => {
            let numbers =
                numbers.as_array().map(|all| all.iter().filter_map(|n| float(n.get_ref())).collect::<Vec<_>>());
            match numbers.as_deref() {
                Some([low, high]) => fault(format!(": {low} is not at most {high}")),
                _ => fault(" must be a pair of numbers, as in [0.0, 1.0]".into()),
            }
        }
        (Takes::Word(words), DeValue::String(word)) if !words.iter().any(|(known, _)| known == word) => {
            let hint = meant(word, words.iter().map(|(word, _)| *word));
            source.fault(line, format!("{name} = {:?} is not one of {}", word.as_ref(), one_of(words)), hint);
        }
        (Takes::Table(shape), DeValue::Table(values)) => table(source, values, shape, name, line),
        (Takes::Named(_, each), DeValue::Table(values)) => {
            for (key, value) in values.iter() {
                let at = source.line_of(value.span().start);
                self::value(source, value.get_ref(), each, &full(name, key.get_ref()), at);
            }
        }
        (Takes::Tables(shape), DeValue::Array(items)) => {
            for item in items.iter() {
                if let DeValue::Table(values) = item.get_ref() {
                    table(source, values, shape, name, source.line_of(item.span().start));
                }
            }
        }
        (Takes::Either(all), found) => {
            if let Some(one) = all.iter().find(|one| self::takes(one, found)) {
                self::value(source, found, one, name, line);
            }
        }
        _ => {}
    }
}

/// Whether a value is of the type; its bounds are not looked at.
pub(super) fn takes(takes: &Takes, value: &DeValue<'_>) -> bool {
    let all =
        |fits: fn(&DeValue<'_>) -> bool| value.as_array().is_some_and(|all| all.iter().all(|v| fits(v.get_ref())));
    match takes {
        Takes::Text | Takes::Like(_) | Takes::Word(_) => value.as_str().is_some(),
        Takes::Boolean => matches!(value, DeValue::Boolean(_)),
        Takes::Whole { .. } => matches!(value, DeValue::Integer(_)),
        Takes::Number { .. } => matches!(value, DeValue::Integer(_) | DeValue::Float(_)),
        Takes::Pair => all(|v| matches!(v, DeValue::Integer(_) | DeValue::Float(_))),
        Takes::Texts => all(|v| v.as_str().is_some()),
        Takes::Table(_) | Takes::Named(..) => matches!(value, DeValue::Table(_)),
        Takes::Tables(_) => all(|v| matches!(v, DeValue::Table(_))),
        Takes::Either(each) => each.iter().any(|one| self::takes(one, value)),
        Takes::Anything => true,
    }
}

fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a number",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

//! Values of TOML as Rust has them.

use toml::de::DeValue;

/// The dotted name of a key in a table.
pub(super) fn full(table: &str, key: &str) -> String {
    if table.is_empty() { key.to_owned() } else { format!("{table}.{key}") }
}

pub(super) fn integer(value: &DeValue<'_>) -> Option<i64> {
    match value {
        DeValue::Integer(i) => i64::from_str_radix(i.as_str(), i.radix()).ok(),
        _ => None,
    }
}

pub(super) fn float(value: &DeValue<'_>) -> Option<f64> {
    match value {
        DeValue::Float(f) => f.as_str().parse().ok(),
        DeValue::Integer(i) => i64::from_str_radix(i.as_str(), i.radix()).ok().map(|i| i as f64),
        _ => None,
    }
}

pub(super) fn pair(value: &DeValue<'_>) -> Option<(f64, f64)> {
    let numbers = value.as_array()?.iter().map(|v| float(v.get_ref())).collect::<Option<Vec<f64>>>()?;
    let [low, high] = <[f64; 2]>::try_from(numbers).ok()?;
    (low <= high).then_some((low, high))
}

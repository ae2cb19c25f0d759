//! Rows that break a rule and are put aside: which rule, why, and all that is known of the row.

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Float32Type, Float64Type};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::rows::{shown, text, wants};
use crate::digest;
use crate::project::check_spec::{Check, Rule};

/// Columns that Daymill adds to the transform for conditions in SQL begin so.
pub const CONDITION: &str = "__daymill_check_";

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct BadRow {
    /// The first rule that it breaks, and all of them.
    pub rule: String,
    pub rules: Vec<String>,
    pub reason: String,
    /// `transform` or `score`: after which the rule was asked.
    pub stage: String,
    pub key: Map<String, Value>,
    /// Every column that is known.
    pub row: Map<String, Value>,
}

/// What is needed to tell of a row.
pub struct Telling<'a> {
    pub batch: &'a RecordBatch,
    pub key: &'a [String],
    /// Columns of which only a hash is kept.
    pub redact: &'a [String],
    pub stage: &'a str,
}

impl Telling<'_> {
    /// A row that breaks these rules, each with the column that it looks at.
    pub fn row(&self, row: usize, broken: &[(&Check, &ArrayRef)]) -> BadRow {
        let columns = self.batch.schema_ref().fields().iter().zip(self.batch.columns());
        let known = columns.filter(|(field, _)| !field.name().starts_with(CONDITION));
        let all: Map<String, Value> =
            known.map(|(field, column)| (field.name().clone(), self.value(field.name(), column, row))).collect();
        let key = self.key.iter().filter_map(|name| Some((name.clone(), all.get(name)?.clone()))).collect();
        BadRow {
            rule: broken.first().map(|(check, _)| check.name.clone()).unwrap_or_default(),
            rules: broken.iter().map(|(check, _)| check.name.clone()).collect(),
            reason: broken.first().map(|(check, column)| self.reason(check, column, row)).unwrap_or_default(),
            stage: self.stage.to_owned(),
            key,
            row: all,
        }
    }

    fn reason(&self, check: &Check, column: &ArrayRef, row: usize) -> String {
        let name = check.column.as_deref().unwrap_or_default();
        match &check.rule {
            Rule::Sql(condition) => format!("does not hold: {condition}"),
            rule if self.redact.iter().any(|hidden| hidden == name) => format!("{name} must {}", wants(rule)),
            rule => format!("{name} = {}, must {}", shown(column, row), wants(rule)),
        }
    }

    fn value(&self, name: &str, column: &ArrayRef, row: usize) -> Value {
        let value = json(column, row);
        match self.redact.iter().any(|hidden| hidden == name) && !value.is_null() {
            true => format!("sha256:{}", digest::hex(text(column, row).as_bytes())).into(),
            false => value,
        }
    }
}

/// A cell as JSON. A float that JSON does not have is text.
fn json(column: &ArrayRef, row: usize) -> Value {
    if column.is_null(row) {
        return Value::Null;
    }
    let as_text = || Value::String(text(column, row));
    let float = |value: f64| serde_json::Number::from_f64(value).map_or_else(as_text, Value::Number);
    match column.data_type() {
        DataType::Boolean => column.as_boolean().value(row).into(),
        DataType::Float64 => float(column.as_primitive::<Float64Type>().value(row)),
        // As short as the value is in 32 bits.
        DataType::Float32 => {
            let value = column.as_primitive::<Float32Type>().value(row);
            value.to_string().parse::<f64>().map_or_else(|_| as_text(), float)
        }
        kind if kind.is_integer() => text(column, row).parse::<i64>().map_or_else(|_| as_text(), Value::from),
        _ => as_text(),
    }
}

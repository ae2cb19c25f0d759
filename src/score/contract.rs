//! The feature contract: which columns a model takes, by name, in which order, of which type, and what to do with a
//! value that is not there or not finite. NULL, NaN and infinity are three things, and none reaches a model unasked:
//! a rectifier turns NaN into a confident zero, so looking at scores afterwards finds nothing.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int64Array, RecordBatch};
use arrow::compute::{cast, filter_record_batch};
use arrow::datatypes::{DataType, Float64Type, Int64Type};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::rows::SqlType;

/// The position of each word in a vocabulary.
pub type Codes = HashMap<String, usize, foldhash::fast::RandomState>;

/// Up to here an f32 holds every whole number.
const EXACT: u64 = 1 << f32::MANTISSA_DIGITS;
/// Up to here an f64 holds every whole number.
const EXACT_DOUBLE: f64 = (1u64 << f64::MANTISSA_DIGITS) as f64;

#[derive(Clone, Debug)]
pub struct Contract {
    pub features: Vec<Feature>,
}

#[derive(Clone, Debug)]
pub struct Feature {
    pub name: String,
    pub kind: Kind,
    pub null: Policy,
    pub nan: Policy,
    pub infinity: Policy,
}

#[derive(Clone, Debug)]
pub enum Kind {
    Number,
    /// A text column with a closed vocabulary.
    Category {
        codes: Codes,
        encoding: Encoding,
        unknown: Unknown,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// One input: the position in the vocabulary.
    Code,
    /// One input per word of the vocabulary.
    OneHot,
}

/// What a word outside the vocabulary means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unknown {
    Error,
    /// Missing for a code, all zeros for one-hot.
    Missing,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Policy {
    Error,
    Impute(f32),
    Drop,
    /// Hand it to the model as NaN (or as it is, for an infinity).
    Pass,
}

/// Encoded inputs of a batch, feature-major: input `i` of row `r` is `values[i * rows + r]`.
#[derive(Debug)]
pub struct Features {
    pub rows: usize,
    pub values: Vec<f32>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    pub dropped: u64,
    pub imputed: u64,
    /// Rows with at least one value that a policy had to deal with.
    pub bad_rows: u64,
}

impl Counts {
    pub fn merge(&mut self, other: Counts) {
        self.dropped += other.dropped;
        self.imputed += other.imputed;
        self.bad_rows += other.bad_rows;
    }
}

impl Feature {
    /// How many inputs of the model it fills.
    pub fn width(&self) -> usize {
        match &self.kind {
            Kind::Category { codes, encoding: Encoding::OneHot, .. } => codes.len(),
            _ => 1,
        }
    }

    pub fn type_name(&self) -> &'static str {
        match &self.kind {
            Kind::Number => "number",
            Kind::Category { .. } => "category",
        }
    }

    /// Whether a column of this type can be this feature.
    pub fn accepts(&self, kind: &DataType) -> bool {
        match &self.kind {
            Kind::Number => kind.is_integer() || kind.is_floating() || *kind == DataType::Boolean,
            Kind::Category { codes, .. } => match kind {
                // Categories may be numbers, as people number things; but a number is no word, nor the place of one.
                kind if kind.is_integer() || kind.is_floating() => codes.keys().all(|word| word.parse::<i64>().is_ok()),
                DataType::Boolean => codes.keys().all(|word| matches!(word.as_str(), "true" | "false")),
                DataType::Dictionary(_, value) => self.accepts(value),
                DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => true,
                _ => false,
            },
        }
    }
}

/// Floats as the whole numbers that they are; NaN is NULL.
fn whole_numbers(array: &ArrayRef) -> std::result::Result<ArrayRef, String> {
    let floats = cast(array, &DataType::Float64).map_err(|e| e.to_string())?;
    let one = |value: f64| match value {
        value if value.is_nan() => Ok(None),
        value if value.fract() == 0.0 && value.abs() < EXACT_DOUBLE => Ok(Some(value as i64)),
        value => Err(format!("{value} is not a whole number")),
    };
    let values = floats.as_primitive::<Float64Type>().iter().map(|value| value.map_or(Ok(None), one));
    Ok(Arc::new(values.collect::<std::result::Result<Int64Array, String>>()?))
}

/// What the policies found in one batch.
struct Findings {
    drop: Vec<bool>,
    bad: Vec<bool>,
    imputed: u64,
}

impl Contract {
    /// Encoded inputs in all.
    pub fn width(&self) -> usize {
        self.features.iter().map(Feature::width).sum()
    }

    /// Everything about these columns that the contract does not allow.
    pub fn mismatches(&self, columns: &[(String, DataType)]) -> Vec<String> {
        let mut found = Vec::new();
        for feature in &self.features {
            match columns.iter().find(|(name, _)| *name == feature.name) {
                None => {
                    let near = crate::config::meant(&feature.name, columns.iter().map(|(n, _)| n.as_str()));
                    found.push(format!(
                        "the feature {:?} is missing{}",
                        feature.name,
                        near.map(|n| format!(" ({n})")).unwrap_or_default()
                    ));
                }
                Some((_, kind)) if !feature.accepts(kind) => {
                    found.push(format!(
                        "the feature {:?} must be a {} and is {}{}",
                        feature.name,
                        feature.type_name(),
                        SqlType::of(kind).map_or_else(|| kind.to_string(), |known| known.name().to_owned()),
                        if matches!(feature.kind, Kind::Number) {
                            "; make a number of it in the transform"
                        } else {
                            ""
                        }
                    ));
                }
                Some(_) => {}
            }
        }
        found
    }

    /// Encodes a batch. Rows that a policy drops are gone from both results.
    pub fn apply(&self, batch: &RecordBatch) -> Result<(RecordBatch, Features, Counts)> {
        let rows = batch.num_rows();
        let mut features = Features { rows, values: vec![0.0; self.width() * rows] };
        let mut findings = Findings { drop: vec![false; rows], bad: vec![false; rows], imputed: 0 };
        let mut at = 0;
        for feature in &self.features {
            let array = batch
                .column_by_name(&feature.name)
                .ok_or_else(|| Error::input(format!("the feature {:?} is missing", feature.name)))?;
            let end = at + feature.width() * rows;
            let encoded = feature.encode(array, &mut features.values[at..end], &mut findings);
            encoded.map_err(|error| match error.message.ends_with(UNKNOWN) {
                true => self.unknown_words(batch).unwrap_or(error),
                false => error,
            })?;
            at = end;
        }
        let count = |flags: &[bool]| flags.iter().filter(|f| **f).count() as u64;
        let counts =
            Counts { dropped: count(&findings.drop), imputed: findings.imputed, bad_rows: count(&findings.bad) };
        if counts.dropped == 0 {
            return Ok((batch.clone(), features, counts));
        }
        let keep: Vec<bool> = findings.drop.iter().map(|drop| !drop).collect();
        let kept = filter_record_batch(batch, &BooleanArray::from(keep.clone()))
            .map_err(|e| Error::defect("a batch cannot be filtered").cause(e))?;
        let values = features
            .values
            .chunks_exact(rows)
            .flat_map(|column| column.iter().zip(&keep).filter(|(_, k)| **k).map(|(v, _)| *v))
            .collect();
        Ok((kept, Features { rows: rows - counts.dropped as usize, values }, counts))
    }
}

impl Contract {
    /// All words of a batch that the vocabularies do not have, where that is an error.
    fn unknown_words(&self, batch: &RecordBatch) -> Option<Error> {
        let mut causes = Vec::new();
        for feature in &self.features {
            let Kind::Category { codes, unknown: Unknown::Error, .. } = &feature.kind else { continue };
            let array = batch.column_by_name(&feature.name)?;
            let whole = if array.data_type().is_floating() { whole_numbers(array).ok()? } else { array.clone() };
            let text = cast(&whole, &DataType::Utf8View).ok()?;
            let mut words: BTreeMap<&str, u64> = BTreeMap::new();
            text.as_string_view().iter().flatten().filter(|word| !codes.contains_key(*word)).for_each(|word| {
                *words.entry(word).or_default() += 1;
            });
            if words.is_empty() {
                continue;
            }
            let shown: Vec<String> = words
                .iter()
                .take(SHOWN)
                .map(|(word, rows)| format!("{word:?} in {rows} {}", if *rows == 1 { "row" } else { "rows" }))
                .collect();
            let more =
                if words.len() > SHOWN { format!(", and {} more words", words.len() - SHOWN) } else { String::new() };
            causes.push(format!("{}: {}{more}", feature.name, shown.join(", ")));
        }
        if causes.is_empty() {
            return None;
        }
        let rows = batch.num_rows();
        let mut error =
            Error::data(format!("words that the model's vocabularies do not have, in a batch of {rows} rows"));
        error.causes = causes;
        Some(error.hint(
            "train the model on them, or set unknown = \"missing\" for the feature in model.toml; nothing was written",
        ))
    }
}

/// How an error about one word ends; the one about all words of the batch takes its place.
const UNKNOWN: &str = "which the model's vocabulary does not have";
/// Words that a message shows of a feature.
const SHOWN: usize = 5;

impl Feature {
    fn encode(&self, array: &ArrayRef, out: &mut [f32], findings: &mut Findings) -> Result<()> {
        match &self.kind {
            Kind::Number => self.encode_number(array, out, findings),
            Kind::Category { codes, encoding, unknown } => {
                self.encode_category(array, codes, *encoding, *unknown, out, findings)
            }
        }
    }

    fn encode_number(&self, array: &ArrayRef, out: &mut [f32], findings: &mut Findings) -> Result<()> {
        let wrong = |e: &dyn std::fmt::Display| {
            Error::data(format!("the feature {:?} of type {} is not a number", self.name, array.data_type())).cause(e)
        };
        if array.data_type().is_integer() {
            let integers = cast(array, &DataType::Int64).map_err(|e| wrong(&e))?;
            let integers = integers.as_primitive::<Int64Type>();
            // Columns are long and odd values rare: one pass that the compiler can unroll, and another for what is odd.
            let mut large = false;
            for (slot, value) in out.iter_mut().zip(integers.values()) {
                *slot = *value as f32;
                large |= value.unsigned_abs() > EXACT;
            }
            for row in 0..if large || integers.null_count() > 0 { out.len() } else { 0 } {
                if integers.is_null(row) {
                    out[row] = self.settle("NULL", self.null, f32::NAN, row, findings)?;
                } else if out[row] as i64 != integers.value(row) {
                    return Err(Error::data(format!(
                        "the feature {:?} is {} in row {row} of a batch, which no f32 holds exactly",
                        self.name,
                        integers.value(row)
                    ))
                    .hint("is it an identifier? If it is a measure, cast it to DOUBLE in the transform"));
                }
            }
            return Ok(());
        }
        let floats = cast(array, &DataType::Float64).map_err(|e| wrong(&e))?;
        let floats = floats.as_primitive::<Float64Type>();
        let mut odd = false;
        for (slot, value) in out.iter_mut().zip(floats.values()) {
            *slot = *value as f32;
            odd |= !slot.is_finite();
        }
        for row in 0..if odd || floats.null_count() > 0 { out.len() } else { 0 } {
            let value = floats.value(row);
            out[row] = if floats.is_null(row) {
                self.settle("NULL", self.null, f32::NAN, row, findings)?
            } else if value.is_nan() {
                self.settle("NaN", self.nan, f32::NAN, row, findings)?
            } else if out[row].is_infinite() {
                let what = if value.is_infinite() { "infinite" } else { "too large for f32" };
                self.settle(what, self.infinity, out[row], row, findings)?
            } else {
                continue;
            };
        }
        Ok(())
    }

    fn encode_category(
        &self,
        array: &ArrayRef,
        codes: &Codes,
        encoding: Encoding,
        unknown: Unknown,
        out: &mut [f32],
        findings: &mut Findings,
    ) -> Result<()> {
        let wrong = |e: &dyn std::fmt::Display| {
            Error::data(format!("the feature {:?} of type {} is not text", self.name, array.data_type())).cause(e)
        };
        // 10.0 is the category 10: a column with a NULL becomes floats in pandas.
        let whole = match array.data_type().is_floating() {
            true => whole_numbers(array).map_err(|what| wrong(&what))?,
            false => array.clone(),
        };
        let text = cast(&whole, &DataType::Utf8View).map_err(|e| wrong(&e))?;
        let rows = text.len();
        for (row, word) in text.as_string_view().iter().enumerate() {
            let code = match word {
                Some(word) => match (codes.get(word), unknown) {
                    (Some(code), _) => Some(*code as f32),
                    (None, Unknown::Missing) => None,
                    (None, Unknown::Error) => {
                        return Err(Error::data(format!("the feature {:?} is {word:?}, {UNKNOWN}", self.name)));
                    }
                },
                None => Some(self.settle("NULL", self.null, f32::NAN, row, findings)?).filter(|code| !code.is_nan()),
            };
            match (encoding, code) {
                (Encoding::Code, code) => out[row] = code.unwrap_or(f32::NAN),
                (Encoding::OneHot, Some(code)) => out[code as usize * rows + row] = 1.0,
                (Encoding::OneHot, None) => {}
            }
        }
        Ok(())
    }

    /// What the policy makes of a value that is not a plain number.
    fn settle(&self, what: &str, policy: Policy, pass: f32, row: usize, findings: &mut Findings) -> Result<f32> {
        if policy != Policy::Pass {
            findings.bad[row] = true;
        }
        match policy {
            Policy::Error => Err(Error::data(format!("the feature {:?} is {what}, and its policy is \"error\"", self.name))
                .hint("correct the data or the transform, or give the feature another policy in model.toml; nothing was written")),
            Policy::Impute(value) => {
                findings.imputed += 1;
                Ok(value)
            }
            Policy::Drop => {
                findings.drop[row] = true;
                Ok(0.0)
            }
            Policy::Pass => Ok(pass),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_a_category_only_where_categories_are_numbers() {
        let feature = |words: &[&str]| Feature {
            name: "c".into(),
            kind: Kind::Category {
                codes: words.iter().map(|word| (*word).to_owned()).zip(0..).collect(),
                encoding: Encoding::Code,
                unknown: Unknown::Missing,
            },
            null: Policy::Error,
            nan: Policy::Error,
            infinity: Policy::Error,
        };
        let (words, numbers, flags) = (feature(&["AA", "UA"]), feature(&["10", "-20"]), feature(&["false", "true"]));
        for (kind, accepted) in [
            (DataType::Int64, [false, true, false]),
            (DataType::Float64, [false, true, false]),
            (DataType::Boolean, [false, false, true]),
            (DataType::Utf8View, [true, true, true]),
            (DataType::Date32, [false, false, false]),
        ] {
            assert_eq!([&words, &numbers, &flags].map(|feature| feature.accepts(&kind)), accepted, "{kind}");
        }
        let array = |values: Vec<Option<f64>>| Arc::new(arrow::array::Float64Array::from(values)) as ArrayRef;
        let whole = whole_numbers(&array(vec![Some(10.0), None, Some(f64::NAN)])).unwrap();
        assert_eq!(whole.as_primitive::<Int64Type>().iter().collect::<Vec<_>>(), [Some(10), None, None]);
        assert!(whole_numbers(&array(vec![Some(10.5)])).unwrap_err().contains("10.5"));
    }
}

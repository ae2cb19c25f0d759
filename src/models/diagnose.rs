//! Why a model's outputs are not those that its library gave: the mistakes that people make when they carry a model from
//! one program to another, each tried on the rows at hand.

use arrow::array::{AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type};

use crate::error::{Error, Result};
use crate::score::contract::{Contract, Features, Kind};
use crate::score::foreign::Format;
use crate::score::imported::ModelMetadata;
use crate::score::{Link, Model};

/// Outputs nearer than this, relative to 1 or to the output, are equal.
pub const NEAR: f64 = 1e-5;
/// Numbers of iterations that are tried.
const MOST_TRIED: usize = 200;

/// A model as it was read, with what it was read from.
#[derive(Clone, Copy)]
pub struct Question<'a> {
    pub bytes: &'a [u8],
    pub format: Format,
    pub iterations: Option<usize>,
    pub facts: &'a ModelMetadata,
    pub model: &'a Model,
    pub contract: &'a Contract,
}

/// The library's own outputs, column by column.
pub fn expected(batch: &RecordBatch, names: &[String], outputs: usize) -> Result<Vec<Vec<f64>>> {
    if names.len() != outputs {
        return Err(Error::usage(format!("the model gives {outputs} outputs, and {} are expected", names.len()))
            .hint("name one column for each output: --expected a,b,c"));
    }
    let column = |name: &String| {
        let column = batch
            .column_by_name(name)
            .ok_or_else(|| Error::usage(format!("the inputs have no column {name:?} with expected outputs")))?;
        let column = cast(column, &DataType::Float64)
            .map_err(|e| Error::input(format!("the column {name:?} is not a number")).cause(e))?;
        Ok(column.as_primitive::<Float64Type>().iter().map(|value| value.unwrap_or(f64::NAN)).collect())
    };
    names.iter().map(column).collect()
}

/// The largest difference, with its output and row.
pub fn worst(found: &[Vec<f32>], expected: &[Vec<f64>]) -> (f64, usize, usize) {
    let mut worst = (0.0, 0, 0);
    for (output, (found, expected)) in found.iter().zip(expected).enumerate() {
        for (row, (found, expected)) in found.iter().zip(expected).enumerate() {
            let difference = (f64::from(*found) - expected).abs();
            if difference > worst.0 || difference.is_nan() {
                worst = (difference, output, row);
            }
        }
    }
    worst
}

pub fn near(found: &[Vec<f32>], expected: &[Vec<f64>]) -> bool {
    found.len() == expected.len()
        && found
            .iter()
            .flatten()
            .zip(expected.iter().flatten())
            .all(|(found, expected)| (f64::from(*found) - expected).abs() <= NEAR * (1.0 + expected.abs()))
}

impl Question<'_> {
    /// An error that names the trap, when the outputs are not those expected.
    pub fn compare(&self, batch: &RecordBatch, found: &[Vec<f32>], expected: &[Vec<f64>]) -> Result<f64> {
        let (difference, output, row) = worst(found, expected);
        if near(found, expected) {
            return Ok(difference);
        }
        let error = Error::input(format!(
            "row {row} should score {} and scores {}; {} of {} rows differ",
            expected[output][row],
            found[output][row],
            (0..expected[0].len())
                .filter(|row| (0..expected.len()).any(|o| !close(found[o][*row], expected[o][*row])))
                .count(),
            expected[0].len()
        ));
        Err(match self.explain(batch, found, expected)? {
            Some(trap) => error.hint(trap),
            None => error.hint(
                "none of the known traps explains it (base_score, iterations, margins, column order, category codes, \
                 missing values): are these outputs of this very model on these very rows?",
            ),
        })
    }

    /// The first mistake that makes the outputs fit.
    fn explain(&self, batch: &RecordBatch, found: &[Vec<f32>], expected: &[Vec<f64>]) -> Result<Option<String>> {
        let features = self.contract.apply(batch)?.1;
        let fits = |model: &Model, features: &Features| model.score(features).is_ok_and(|found| near(&found, expected));
        if let Some(trap) = self.of_iterations(&features, expected) {
            return Ok(Some(trap));
        }
        if let Model::Trees(trees) = self.model
            && let Ok(margins) = trees.margins(&features)
            && let Ok(margins) = margins.to_dtype(candle_core::DType::F32).and_then(|m| m.to_vec2::<f32>())
            && (near(&margins, expected) || near(&scaled(&margins, 1.0 / trees.parts.scale as f32), expected))
        {
            return Ok(Some(
                "base_score and trees are right, the link is not: the expected outputs are margins (output_margin or \
                 raw_score), and the model gives what comes after the link"
                    .into(),
            ));
        }
        if let Some(shift) = self.constant_shift(found, expected) {
            return Ok(Some(format!(
                "base_score: every margin differs by {shift:.6}; the expected outputs were made with another base_score \
                 (or initial score) than this file has"
            )));
        }
        for (what, order) in self.orders(batch) {
            if fits(self.model, &reordered(&features, &order)) {
                return Ok(Some(format!(
                    "column order: the outputs fit when the columns are taken {what}; the library was given a matrix \
                     without names in that order"
                )));
            }
        }
        for (feature, what, codes) in self.codes(batch) {
            if fits(self.model, &recoded(&features, feature, &codes)) {
                return Ok(Some(format!(
                    "category codes: the outputs fit when the words of {:?} are numbered {what}",
                    self.contract.features[feature].name
                )));
            }
        }
        for fill in [0.0f32, -1.0, -999.0] {
            let mut filled = Features { rows: features.rows, values: features.values.clone() };
            filled.values.iter_mut().filter(|value| value.is_nan()).for_each(|value| *value = fill);
            if filled.values != features.values && fits(self.model, &filled) {
                return Ok(Some(format!(
                    "nullable columns: the outputs fit when a missing value is {fill}; the library was given numbers \
                     where these inputs have NULL"
                )));
            }
        }
        Ok(None)
    }

    fn of_iterations(&self, features: &Features, expected: &[Vec<f64>]) -> Option<String> {
        let used = self.iterations.unwrap_or(self.facts.iterations);
        let likely =
            [self.facts.best_iteration.map(|best| best + 1), self.facts.best_iteration, Some(self.facts.iterations)];
        let rest = 1..=self.facts.iterations.min(MOST_TRIED);
        likely.into_iter().flatten().chain(rest).filter(|other| *other != used).find_map(|other| {
            let model = self.format.read(self.bytes, Some(other)).ok()?.model;
            let fits = near(&model.score(features).ok()?, expected);
            fits.then(|| {
                format!(
                    "best_iteration: the outputs are those of the first {other} iterations of {}, and {used} are used; \
                     import it with --iterations {other}",
                    self.facts.iterations
                )
            })
        })
    }

    /// The one number by which all margins differ.
    fn constant_shift(&self, found: &[Vec<f32>], expected: &[Vec<f64>]) -> Option<f64> {
        let Model::Trees(trees) = self.model else { return None };
        let margin = |value: f64| match trees.parts.link {
            Link::Identity => Some(value),
            Link::Sigmoid => Some((value / (1.0 - value)).ln()),
            Link::Exp => Some(value.ln()),
            _ => None,
        };
        let mut shifts = Vec::new();
        for (found, expected) in found[0].iter().zip(&expected[0]) {
            shifts.push(margin(*expected)? - margin(f64::from(*found))?);
        }
        let first = *shifts.first()?;
        (first.is_finite() && shifts.iter().all(|shift| (shift - first).abs() < 1e-3)).then_some(first)
    }

    /// Other orders in which the inputs may have been taken; each number is the feature whose column stands there.
    fn orders(&self, batch: &RecordBatch) -> Vec<(&'static str, Vec<usize>)> {
        let names: Vec<&str> = self.contract.features.iter().map(|f| f.name.as_str()).collect();
        if self.contract.width() != names.len() {
            return Vec::new();
        }
        let schema = batch.schema();
        let columns = schema.fields().iter().filter_map(|f| names.iter().position(|name| name == f.name()));
        let mut sorted: Vec<usize> = (0..names.len()).collect();
        sorted.sort_by_key(|index| names[*index]);
        vec![("in the order of the file", columns.collect()), ("in alphabetical order", sorted)]
    }

    /// Other numberings of each category's words: the new code of each old one.
    fn codes(&self, batch: &RecordBatch) -> Vec<(usize, &'static str, Vec<f32>)> {
        let mut found = Vec::new();
        for (index, feature) in self.contract.features.iter().enumerate() {
            let Kind::Category { codes, .. } = &feature.kind else { continue };
            let mut words: Vec<&str> = codes.keys().map(String::as_str).collect();
            words.sort_unstable();
            let mut renumbered = |what, order: &[&str]| {
                let mut numbers = vec![f32::NAN; codes.len()];
                for (word, code) in order.iter().zip(0u32..) {
                    if let Some(number) = codes.get(*word).and_then(|at| numbers.get_mut(*at)) {
                        *number = code as f32;
                    }
                }
                found.push((index, what, numbers));
            };
            renumbered("alphabetically", &words);
            let column = batch.column_by_name(&feature.name).and_then(|c| cast(c, &DataType::Utf8View).ok());
            if let Some(column) = column {
                let mut seen: Vec<&str> = Vec::new();
                for word in column.as_string_view().iter().flatten() {
                    if !seen.contains(&word) && codes.contains_key(word) {
                        seen.push(word);
                    }
                }
                renumbered("in the order in which they appear", &seen);
            }
        }
        found
    }
}

fn close(found: f32, expected: f64) -> bool {
    (f64::from(found) - expected).abs() <= NEAR * (1.0 + expected.abs())
}

fn scaled(values: &[Vec<f32>], factor: f32) -> Vec<Vec<f32>> {
    values.iter().map(|values| values.iter().map(|value| value * factor).collect()).collect()
}

fn reordered(features: &Features, order: &[usize]) -> Features {
    let rows = features.rows;
    let values = order.iter().flat_map(|from| features.values[from * rows..][..rows].iter().copied()).collect();
    Features { rows, values }
}

fn recoded(features: &Features, index: usize, codes: &[f32]) -> Features {
    let mut values = features.values.clone();
    for value in &mut values[index * features.rows..][..features.rows] {
        *value = codes.get(*value as usize).copied().filter(|_| !value.is_nan()).unwrap_or(f32::NAN);
    }
    Features { rows: features.rows, values }
}

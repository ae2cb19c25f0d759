//! Models of other libraries give what those libraries give: the same leaves, and sums that differ by no more than
//! rounding. The models and the libraries' own answers are made by fixtures/make_foreign.py.

use std::path::{Path, PathBuf};

use arrow::array::{AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type};
use daymill::score::Model;
use daymill::score::contract::Features;
use daymill::score::foreign::{Foreign, Format};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use crate::support::*;

fn folders() -> Vec<PathBuf> {
    let pattern = repository().join("fixtures/models/foreign/*").display().to_string();
    glob::glob(&pattern).unwrap().flatten().collect()
}

fn model_file(folder: &Path) -> PathBuf {
    ["model.ubj", "model.json", "model.txt"].iter().map(|name| folder.join(name)).find(|path| path.exists()).unwrap()
}

fn golden(folder: &Path) -> RecordBatch {
    let file = std::fs::File::open(folder.join("golden.parquet")).unwrap();
    ParquetRecordBatchReaderBuilder::try_new(file).unwrap().build().unwrap().next().unwrap().unwrap()
}

/// The columns whose names begin so, in the order of their numbers.
fn columns(batch: &RecordBatch, prefix: &str) -> Vec<Vec<f64>> {
    let name = |i: usize| format!("{prefix}{i}");
    (0..).map_while(|i| batch.column_by_name(&name(i))).map(|column| {
        cast(column, &DataType::Float64).unwrap().as_primitive::<Float64Type>().values().to_vec()
    }).collect()
}

fn features(batch: &RecordBatch) -> Features {
    let values = columns(batch, "f").into_iter().flatten().map(|value| value as f32).collect();
    Features { rows: batch.num_rows(), values }
}

fn read(folder: &Path) -> (Format, Foreign) {
    let bytes = std::fs::read(model_file(folder)).unwrap();
    let format = Format::guess(&bytes).unwrap();
    let all = format.read(&bytes, None).unwrap();
    match all.facts.best_iteration {
        None => (format, all),
        // As XGBoost's classes for scikit-learn do: up to the best round.
        Some(best) => (format, format.read(&bytes, Some(best + 1)).unwrap()),
    }
}

/// Largest |difference|, with where it is.
fn compare(what: &str, found: &[Vec<f64>], expected: &[Vec<f64>], allowed: impl Fn(usize, usize) -> f64) {
    assert_eq!(found.len(), expected.len(), "{what}: columns");
    for (column, (found, expected)) in found.iter().zip(expected).enumerate() {
        for (row, (found, expected)) in found.iter().zip(expected).enumerate() {
            let difference = (found - expected).abs();
            assert!(difference <= allowed(column, row), "{what} {column}, row {row}: {found}, not {expected}");
        }
    }
}

#[test]
fn every_model_gives_its_library_s_leaves_margins_and_outputs() {
    let folders = folders();
    assert!(folders.len() >= 40, "{} models", folders.len());
    for folder in folders {
        let name = folder.file_name().unwrap().to_str().unwrap().to_owned();
        let batch = golden(&folder);
        let features = features(&batch);
        let (_, foreign) = read(&folder);
        if let Model::Trees(trees) = &foreign.model {
            let leaves = trees.leaves(&features);
            let expected = columns(&batch, "leaf_");
            let as_floats: Vec<Vec<f64>> = leaves.iter().map(|l| l.iter().map(|n| f64::from(*n)).collect()).collect();
            compare(&format!("{name}: leaf of tree"), &as_floats, &expected, |_, _| 0.0);
            // What the sums of a row are made of.
            let of_row = |group: usize, row: usize| -> f64 {
                let parts = trees.parts.trees.iter().zip(&leaves).flat_map(|(tree, leaves)| {
                    let outputs = tree.outputs.iter().filter(|output| output.group as usize == group);
                    outputs.map(|output| output.values[leaves[row] as usize].abs())
                });
                (parts.sum::<f64>() + trees.parts.base[group].abs()) * trees.parts.scale.abs()
            };
            // Both sides' margins are before the link; LightGBM's raw score also before any factor.
            let factor = if name.starts_with("lightgbm") { trees.parts.scale } else { 1.0 };
            let margins = trees.margins(&features).unwrap().to_dtype(candle_core::DType::F64).unwrap();
            let margins: Vec<Vec<f64>> = margins.to_vec2::<f64>().unwrap();
            let margins: Vec<Vec<f64>> = margins.iter().map(|m| m.iter().map(|v| v / factor).collect()).collect();
            if !name.ends_with("softmax") {
                compare(&format!("{name}: margin"), &margins, &columns(&batch, "margin_"), |group, row| {
                    1e-6 * of_row(group, row) + 1e-12
                });
            }
        }
        let outputs = foreign.model.score(&features).unwrap();
        let outputs: Vec<Vec<f64>> = outputs.iter().map(|o| o.iter().map(|v| f64::from(*v)).collect()).collect();
        let expected = columns(&batch, "out_");
        compare(&format!("{name}: output"), &outputs, &expected, |column, row| 2e-6 * (1.0 + expected[column][row].abs()));
    }
}

#[test]
fn the_words_of_categories_come_with_the_model() {
    let folder = repository().join("fixtures/models/foreign/lightgbm_words");
    let words: serde_json::Value = serde_json::from_slice(&std::fs::read(folder.join("words.json")).unwrap()).unwrap();
    let (_, foreign) = read(&folder);
    let found = foreign.facts.vocabularies[5].as_ref().unwrap();
    assert_eq!(serde_json::json!(found), words["f5"]);
    assert_eq!(foreign.facts.categorical, [false, false, false, false, false, true]);
}

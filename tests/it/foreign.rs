//! Models of other libraries give what those libraries give: the same leaves, and sums that differ by no more than
//! rounding. The models and the libraries' own answers are made by fixtures/make_foreign.py.

use std::path::{Path, PathBuf};

use arrow::array::{AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type};
use daymill::score::Model;
use daymill::score::contract::Features;
use daymill::score::foreign::Format;
use daymill::score::imported::ImportedModel;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use crate::foreign_damage::json;
use crate::support::*;

pub fn folders() -> Vec<PathBuf> {
    let pattern = repository().join("fixtures/models/foreign/*").display().to_string();
    glob::glob(&pattern).unwrap().flatten().collect()
}

pub fn model_file(folder: &Path) -> PathBuf {
    ["model.ubj", "model.json", "model.txt", "model.onnx"]
        .iter()
        .map(|name| folder.join(name))
        .find(|path| path.exists())
        .unwrap()
}

pub fn golden(folder: &Path) -> RecordBatch {
    let file = std::fs::File::open(folder.join("golden.parquet")).unwrap();
    ParquetRecordBatchReaderBuilder::try_new(file).unwrap().build().unwrap().next().unwrap().unwrap()
}

/// The columns whose names begin so, in the order of their numbers.
fn columns(batch: &RecordBatch, prefix: &str) -> Vec<Vec<f64>> {
    let name = |i: usize| format!("{prefix}{i}");
    (0..)
        .map_while(|i| batch.column_by_name(&name(i)))
        .map(|column| cast(column, &DataType::Float64).unwrap().as_primitive::<Float64Type>().values().to_vec())
        .collect()
}

fn features(batch: &RecordBatch) -> Features {
    let values = columns(batch, "f").into_iter().flatten().map(|value| value as f32).collect();
    Features { rows: batch.num_rows(), values }
}

pub fn read(folder: &Path) -> (Format, ImportedModel) {
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
    assert!(folders.len() >= 64, "{} models", folders.len());
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
        compare(&format!("{name}: output"), &outputs, &expected, |column, row| {
            2e-6 * (1.0 + expected[column][row].abs())
        });
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

#[test]
fn a_bundle_is_made_shown_and_verified() {
    let project = Project::empty();
    let source = repository().join("fixtures/models/foreign");
    for folder in folders() {
        let name = folder.file_name().unwrap().to_str().unwrap();
        let (file, golden) = (model_file(&folder), folder.join("golden.parquet"));
        let out = format!("models/{name}/2");
        let outputs = columns(&self::golden(&folder), "out_").len();
        let expected = (0..outputs).map(|i| format!("out_{i}")).collect::<Vec<_>>().join(",");
        let mut import = vec!["models", "import", file.to_str().unwrap(), "-o", &out];
        // Its categories are words to the bundle, and codes in the golden rows.
        if name != "lightgbm_words" {
            import.extend(["--inputs", golden.to_str().unwrap(), "--expected", &expected]);
        }
        if name == "xgboost_linear" || name == "xgboost_linear_classes" || !file.to_str().unwrap().contains("lightgbm")
        {
            // These files name no features; the columns of the rows beside the answers do.
            import.retain(|word| !["--inputs", golden.to_str().unwrap(), "--expected", &expected].contains(word));
        }
        project.daymill(&import).expect(0);
        project.daymill(&import).expect(2).says("exists already");
        let shown = project.daymill(&["models", "show", &out]).expect(0).stdout;
        assert!(shown.contains(&format!("{name}@2")), "{shown}");
        let verified = project.daymill(&["models", "verify", &out, "--output", "json"]).expect(0).json();
        assert_eq!(verified["oracle"]["rows"].as_u64(), Some(if import.contains(&"--inputs") { 96 } else { 256 }));
    }
    project.daymill(&["models", "import", source.to_str().unwrap(), "-o", "m/1"]).expect(66);
}

/// Rows as Parquet: the named columns, and what a library is said to have given for them.
fn rows_file(path: &Path, names: &[String], values: &Features, expected: &[f32]) {
    use arrow::array::{ArrayRef, Float32Array};
    let column = |index: usize| -> ArrayRef {
        let values = &values.values[index * values.rows..][..values.rows];
        std::sync::Arc::new(values.iter().map(|v| (!v.is_nan()).then_some(*v)).collect::<Float32Array>())
    };
    let mut columns: Vec<(String, ArrayRef)> = names.iter().enumerate().map(|(i, n)| (n.clone(), column(i))).collect();
    columns.push(("told".into(), std::sync::Arc::new(Float32Array::from(expected.to_vec()))));
    let batch = RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(n, c)| (n, c, true))).unwrap();
    let file = std::fs::File::create(path).unwrap();
    let mut writer = parquet::arrow::ArrowWriter::try_new(file, batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

/// The library numbered the words of f5 as they appear, and the file says otherwise.
fn words_trap(project: &Project, folder: &Path) {
    use arrow::array::{ArrayRef, Float32Array, StringArray};
    let (_, foreign) = read(folder);
    let words = foreign.facts.vocabularies[5].clone().unwrap();
    let mut features = features(&golden(folder));
    let rows = features.rows;
    // Backwards, so that the first to appear is the last of the file.
    let seen: Vec<String> = (0..rows).map(|row| words[words.len() - 1 - row % words.len()].clone()).collect();
    for (row, value) in features.values[5 * rows..].iter_mut().enumerate() {
        *value = (row % words.len()) as f32;
    }
    let told = foreign.model.score(&features).unwrap().remove(0);
    let number = |index: usize| -> ArrayRef {
        let values = &features.values[index * rows..][..rows];
        std::sync::Arc::new(values.iter().map(|v| (!v.is_nan()).then_some(*v)).collect::<Float32Array>())
    };
    let mut columns: Vec<(String, ArrayRef)> = (0..5).map(|i| (format!("f{i}"), number(i))).collect();
    columns.push(("f5".into(), std::sync::Arc::new(StringArray::from(seen))));
    columns.push(("told".into(), std::sync::Arc::new(Float32Array::from(told))));
    let batch = RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(n, c)| (n, c, true))).unwrap();
    let file = std::fs::File::create(project.path("words.parquet")).unwrap();
    let mut writer = parquet::arrow::ArrowWriter::try_new(file, batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    let model = model_file(folder);
    let import =
        ["models", "import", model.to_str().unwrap(), "-o", "w/1", "--inputs", "words.parquet", "--expected", "told"];
    project.daymill(&import).expect(66).says("category codes").says("in the order in which they appear");
}

#[test]
fn the_traps_of_moving_a_model_are_named() {
    let project = Project::empty();
    let folder = repository().join("fixtures/models/foreign/lightgbm_regression");
    let bytes = std::fs::read(model_file(&folder)).unwrap();
    let model = |iterations| Format::Lightgbm.read(&bytes, iterations).unwrap().model;
    let features = features(&golden(&folder));
    let names: Vec<String> = (0..6).map(|i| format!("f{i}")).collect();
    let rows = features.rows;
    let turned = |values: &Features| {
        let columns = (0..6).rev().flat_map(|i| values.values[i * rows..][..rows].to_vec()).collect();
        Features { rows, values: columns }
    };
    let filled =
        Features { rows, values: features.values.iter().map(|v| if v.is_nan() { -1.0 } else { *v }).collect() };
    let backwards: Vec<String> = names.iter().rev().cloned().collect();
    let score = |model: &Model, features: &Features| model.score(features).unwrap().remove(0);
    let right = score(&model(None), &features);
    let shifted: Vec<f32> = right.iter().map(|v| v + 0.75).collect();
    let noise: Vec<f32> = right.iter().enumerate().map(|(i, v)| v + (i % 3) as f32).collect();
    let path = project.path("rows.parquet");
    let file = model_file(&folder);
    for (columns, values, expected, says) in [
        (&names, &features, right.clone(), None),
        (&backwards, &turned(&features), right.clone(), None),
        (
            &names,
            &features,
            score(&model(Some(3)), &features),
            Some("best_iteration: the outputs are those of the first 3 "),
        ),
        (&names, &features, shifted, Some("base_score: every margin differs by 0.75")),
        // The library was given the columns of the file, and took them in the order in which they stand.
        (
            &backwards,
            &features,
            score(&model(None), &features),
            Some("column order: the outputs fit when the columns are taken in the order of the file"),
        ),
        (
            &names,
            &features,
            score(&model(None), &filled),
            Some("nullable columns: the outputs fit when a missing value is -1"),
        ),
        (&names, &features, noise, Some("none of the known traps")),
    ] {
        rows_file(&path, columns, values, &expected);
        let _ = std::fs::remove_dir_all(project.path("m"));
        let told = project.daymill(&[
            "models",
            "import",
            file.to_str().unwrap(),
            "-o",
            "m/1",
            "--inputs",
            "rows.parquet",
            "--expected",
            "told",
        ]);
        match says {
            None => drop(told.expect(0)),
            Some(says) => {
                told.expect(66).says(says);
                project.daymill(&["models", "import", file.to_str().unwrap(), "-o", "m/1"]).expect(0);
                project
                    .daymill(&["models", "verify", "m/1", "--inputs", "rows.parquet", "--expected", "told"])
                    .expect(66)
                    .says(says);
            }
        }
    }
    // A row beyond those that the oracle keeps is compared all the same.
    let many = Features { rows: 3 * rows, values: features.values.chunks(rows).flat_map(|c| c.repeat(3)).collect() };
    let mut answers = score(&model(None), &many);
    *answers.last_mut().unwrap() += 1.0;
    rows_file(&path, &names, &many, &answers);
    let import =
        ["models", "import", file.to_str().unwrap(), "-o", "late/1", "--inputs", "rows.parquet", "--expected", "told"];
    project.daymill(&import).expect(66).says("row 287");
    // Words that were numbered in another order.
    let words = repository().join("fixtures/models/foreign/lightgbm_words");
    words_trap(&project, &words);
    // Probabilities and margins.
    let binary = repository().join("fixtures/models/foreign/lightgbm_binary");
    let (file, rows) = (model_file(&binary), binary.join("golden.parquet"));
    let import = |column: &str| {
        project.daymill(&[
            "models",
            "import",
            file.to_str().unwrap(),
            "-o",
            "b/1",
            "--inputs",
            rows.to_str().unwrap(),
            "--expected",
            column,
        ])
    };
    import("margin_0").expect(66).says("margins");
    import("out_0").expect(0);
}

#[test]
fn large_outputs_and_whole_numbers_have_their_own_rules() {
    let project = Project::empty();
    let source = repository().join("fixtures/models/foreign");
    // Differences are relative to the output: a price in millions has no six digits behind the point.
    let text = std::fs::read_to_string(source.join("catboost_regression/model.json")).unwrap();
    project.write("model.json", json(&text, "/scale_and_bias", serde_json::json!([1e6, [5e6]])));
    project.daymill(&["models", "import", "model.json", "-o", "m/1"]).expect(0);
    project.daymill(&["models", "verify", "m/1"]).expect(0);
    // A whole number cannot be missing: it would silently be a zero.
    let forest = source.join("onnx_columns_forest/model.onnx");
    project.daymill(&["models", "import", forest.to_str().unwrap(), "-o", "n/1"]).expect(0);
    let shown = project.daymill(&["models", "show", "n/1", "--output", "json"]).expect(0).json();
    let null = |name: &str| {
        let features = shown["features"].as_array().unwrap();
        features.iter().find(|f| f["name"] == name).unwrap()["null"].as_str().unwrap().to_owned()
    };
    assert_eq!((null("f0").as_str(), null("f5").as_str()), ("pass", "error"));
    project.edit(
        "n/1/model.toml",
        "name = \"f5\"\ntype = \"number\"\n",
        "name = \"f5\"\ntype = \"number\"\nnull = \"pass\"\n",
    );
    project.daymill(&["models", "verify", "n/1"]).expect(66).says("\"f5\"");
}

/// Without inputs, a bundle's oracle must still see more than one leaf: here every threshold lies far from zero.
#[test]
fn inputs_are_drawn_where_the_trees_of_a_graph_decide() {
    let forest = drawn("onnx_forest_regressor", "nodes_values");
    let scores = forest.columns().last().unwrap().as_primitive::<Float64Type>();
    let different: std::collections::HashSet<u64> = scores.values().iter().map(|score| score.to_bits()).collect();
    assert!(different.len() > 50, "{} different scores", different.len());
    let scaled = drawn("onnx_polynomial", "offset");
    let column = cast(scaled.column(0), &DataType::Float64).unwrap();
    let values = column.as_primitive::<Float64Type>();
    assert!(values.iter().flatten().all(|value| (value - 5000.0).abs() < 100.0), "{values:?}");
}

/// The oracle that is drawn for a model whose numbers of this name are all 5000 greater.
fn drawn(name: &str, attribute: &str) -> RecordBatch {
    use daymill::score::onnx::proto::Model;
    use prost::Message;
    let project = Project::empty();
    let file = repository().join("fixtures/models/foreign").join(name).join("model.onnx");
    let mut model = Model::decode(std::fs::read(file).unwrap().as_slice()).unwrap();
    let mut attributes = model.graph.as_mut().unwrap().node.iter_mut().flat_map(|node| &mut node.attribute);
    let found = attributes.find(|found| found.name == attribute).unwrap();
    found.floats.iter_mut().for_each(|value| *value += 5000.0);
    project.write("far.onnx", [&[0x08, 0x0a][..], &model.encode_to_vec()].concat());
    project.daymill(&["models", "import", "far.onnx", "-o", "far/1"]).expect(0);
    let file = std::fs::File::open(project.path("far/1/oracle.parquet")).unwrap();
    ParquetRecordBatchReaderBuilder::try_new(file).unwrap().build().unwrap().next().unwrap().unwrap()
}

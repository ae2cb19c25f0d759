//! Models that were trained on pandas frames: each scores its own frame, as pandas writes it, without an edit.

use std::path::PathBuf;

use arrow::array::AsArray;
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type};

use crate::foreign::model_file;
use crate::support::*;

fn folders() -> Vec<PathBuf> {
    let all = glob::glob(&repository().join("fixtures/models/frames/*").display().to_string()).unwrap().flatten();
    all.filter(|folder| !folder.ends_with("refused")).collect()
}

fn floats(path: &std::path::Path, prefix: &str) -> Vec<Vec<f64>> {
    let reader = std::fs::File::open(path).unwrap();
    let batch = daymill::parquet_file::all(path, reader).unwrap();
    let schema = batch.schema();
    let named = schema.fields().iter().filter(|field| field.name().starts_with(prefix));
    named
        .map(|field| cast(batch.column_by_name(field.name()).unwrap(), &DataType::Float64).unwrap())
        .map(|column| column.as_primitive::<Float64Type>().iter().map(|value| value.unwrap_or(f64::NAN)).collect())
        .collect()
}

#[test]
fn every_model_scores_its_own_frame_without_an_edit() {
    let all = folders();
    assert!(all.len() >= 11, "{}", all.len());
    for folder in all {
        let project = Project::empty();
        project.write("daymill.toml", "[target.t]\nkind = \"sqlite\"\npath = \"w.sqlite\"\n");
        let (model, rows) = (model_file(&folder), folder.join("rows.parquet"));
        let (model, rows) = (model.to_str().unwrap(), rows.to_str().unwrap());
        let told = floats(rows.as_ref(), "told_");
        let names: Vec<String> = (0..told.len()).map(|i| format!("told_{i}")).collect();
        for (at, more) in [
            ("m/1", vec![]),
            ("m/2", vec!["--inputs", rows]),
            ("m/3", vec!["--inputs", rows, "--expected", &names.join(",")]),
        ] {
            if at != "m/3" && model.ends_with(".onnx") {
                // A matrix has no names for its columns: they are those of the inputs beside the expected ones.
                continue;
            }
            let command = [vec!["models", "import", model, "-o", at], more].concat();
            let imported = project.daymill(&command).expect(0);
            assert!(!imported.stderr.contains("has no words"), "{}: {}", folder.display(), imported.stderr);
            project.daymill(&["score", "--model", at, "--in", rows, "--out", "scores.parquet"]).expect(0);
            let scored = floats(&project.path("scores.parquet"), "score");
            for (found, told) in scored.iter().flatten().zip(told.iter().flatten()) {
                assert!(
                    (found - told).abs() <= 2e-6 * told.abs().max(1.0),
                    "{} {at}: {found}, not {told}",
                    folder.display()
                );
            }
            assert_eq!((scored.len(), scored[0].len()), (told.len(), 64), "{}", folder.display());
        }
    }
}

#[test]
fn what_cannot_be_used_is_refused_by_its_own_name() {
    let project = Project::empty();
    let refused = repository().join("fixtures/models/frames/refused");
    let import = |name: &str| {
        let file = refused.join(name);
        project.daymill(&["models", "import", file.to_str().unwrap(), "-o", "m/1"])
    };
    import("catboost_depthwise.json")
        .expect(66)
        .says("trees that are not symmetric (grow_policy Depthwise or Lossguide)");
    import("xgboost_cyrillic.json").expect(66).says("the words of the feature \"word\" may be cut").says("--inputs");
    import("onnx_indicator.onnx").expect(66).says("the converter left columns out");
    // Claims without anything behind them.
    let model = repository().join("fixtures/models/foreign/xgboost_json/model.json");
    let text = std::fs::read_to_string(model).unwrap();
    let classes = text.replace("\"num_class\":\"0\"", "\"num_class\":\"65535\"");
    assert_ne!(classes, text);
    project.write("many.json", classes);
    let at = std::time::Instant::now();
    project.daymill(&["models", "import", "many.json", "-o", "m/2"]).expect(66).says("65535 classes");
    assert!(at.elapsed().as_secs() < 10);
    for damaged in ["odd0.parquet", "odd1.parquet"] {
        let file = repository().join("fixtures/files").join(damaged);
        let lines = ["models", "import", "many.json", "-o", "m/3", "--inputs", file.to_str().unwrap()];
        project.write("many.json", &text);
        project.daymill(&lines).expect(66).says("is damaged");
    }
}

#[test]
fn an_import_that_takes_too_long_is_ended_and_leaves_nothing() {
    let project = Project::empty().env("DAYMILL_LIMIT_IMPORT_SECONDS", "0");
    let model = repository().join("fixtures/models/flight_delay/3/model.ubj");
    let ended = project.daymill(&["models", "import", model.to_str().unwrap(), "-o", "m/1"]);
    ended.expect(66).says("the import took more than 0 s and was ended");
    assert!(!project.path("m/1").exists());
}

#[test]
fn outputs_are_chosen_and_named() {
    let project = Project::flights();
    let model = model_file(&repository().join("fixtures/models/foreign/onnx_logistic"));
    project.daymill(&["models", "import", model.to_str().unwrap(), "-o", "models/two/1"]).expect(0);
    project.write(
        "sql/t.sql",
        "SELECT i64 AS id, 0.5 AS f0, 0.25 AS f1, 0.0 AS f2, 1.0 AS f3, 0.1 AS f4, 0.2 AS f5 FROM a WHERE i64 IS NOT NULL",
    );
    let job = |outputs: &str| {
        project.write(
            "jobs/j.toml",
            format!(
                "timezone = \"UTC\"\nkey = [\"id\"]\n[extract.a]\nparquet = \"fixtures/writers/pyarrow-20/codec_none.parquet\"\nsnapshot = true\n\
                 [transform]\nsql = \"sql/t.sql\"\n[score]\nmodel = \"models/two@1\"\n{outputs}\n[load]\ntable = \"out\"\n"
            ),
        );
        if project.path(".daymill").exists() {
            std::fs::remove_dir_all(project.path(".daymill")).unwrap();
        }
        project.daymill(&["run", "j", "--date", "2024-01-05"])
    };
    let value =
        |column: &str| project.sqlite(&format!("SELECT CAST(round({column}, 5) AS text) FROM out LIMIT 1")).remove(0);
    job("").expect(0);
    let (zero, one) = (value("score_0"), value("score_1"));
    assert_ne!(zero, one);
    job("outputs = { p_late = 1 }").expect(0);
    assert_eq!(value("p_late"), one);
    assert!(project.sqlite("SELECT name FROM pragma_table_info('out') WHERE name LIKE 'score%'").is_empty());
    job("outputs = { a = \"score_1\", b = 0, c = 1 }").expect(0);
    assert_eq!((value("a"), value("b"), value("c")), (one.clone(), zero, one));
    job("outputs = { p = 2 }").expect(78).says("the model has no output 2").says("score_0, score_1");
    job("outputs = { p = \"late\" }").expect(78).says("has no output \"late\"");
    job("outputs = [\"p\"]").expect(78).says("write outputs = { NAME = 1 }");
    job("outputs = { p = -1 }").expect(78).says("must be 0 or more");
}

//! Every kind of model: a row's outputs depend on that row alone, whatever stands beside it and on whatever thread; no row,
//! missing values and values without sense are survived; a bundle is verified, and one that was damaged is refused. That the
//! outputs are those of the library that made the model is in `foreign`.

use std::path::PathBuf;

use daymill::models::Bundle;
use daymill::score::contract::Features;
use daymill::score::{Model, ModelKind};

use crate::foreign::{folders, read};
use crate::support::*;

/// Every model of the fixtures with its kind: bundles, and files of other libraries.
fn models() -> Vec<(ModelKind, PathBuf, Model)> {
    let mut models = Vec::new();
    let bundles =
        glob::glob(&repository().join("fixtures/models/flight_delay/*/model.toml").display().to_string()).unwrap();
    for path in bundles.flatten() {
        let folder = path.parent().unwrap().to_owned();
        let bundle = Bundle::open(&folder).unwrap();
        models.push((bundle.kind, folder, bundle.model));
    }
    for folder in folders() {
        let (format, imported) = read(&folder);
        models.push((ModelKind::Foreign(format), folder, imported.model));
    }
    for kind in ModelKind::all() {
        assert!(models.iter().any(|(of, ..)| *of == kind), "the fixtures have no model of the kind {kind}");
    }
    models
}

/// Rows of numbers, feature-major; the same at every run.
fn features(model: &Model, rows: usize, missing: bool) -> Features {
    let mut state = 1_u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 40) as u32
    };
    let values = (0..model.width() * rows).map(|_| match next() % 16 {
        0 if missing => f32::NAN,
        1 => 0.0,
        n if n < 8 => (next() % 12) as f32,
        _ => next() as f32 / 1e6 - 8.0,
    });
    Features { rows, values: values.collect() }
}

/// Some of the rows, in this order.
fn some(all: &Features, rows: &[usize]) -> Features {
    let width = all.values.len() / all.rows;
    let values = (0..width).flat_map(|f| rows.iter().map(move |row| all.values[f * all.rows + row])).collect();
    Features { rows: rows.len(), values }
}

fn bits(outputs: &[Vec<f32>], row: usize) -> Vec<u32> {
    outputs.iter().map(|output| output[row].to_bits()).collect()
}

#[test]
fn a_row_has_one_score_whatever_stands_beside_it() {
    for (kind, folder, model) in models() {
        let all = features(&model, 3000, model.takes_missing());
        let whole = model.score(&all).unwrap();
        assert_eq!(whole.len(), model.outputs(), "{kind} {}", folder.display());
        assert!(whole.iter().all(|output| output.len() == 3000));
        let backwards: Vec<usize> = (0..3000).rev().collect();
        let turned = model.score(&some(&all, &backwards)).unwrap();
        for at in 0..3000 {
            assert_eq!(bits(&whole, 2999 - at), bits(&turned, at), "{kind} {} row {at}", folder.display());
        }
        for rows in [vec![0], vec![2999, 7, 7], (100..1733).collect()] {
            let part = model.score(&some(&all, &rows)).unwrap();
            for (at, row) in rows.iter().enumerate() {
                assert_eq!(bits(&whole, *row), bits(&part, at), "{kind} {} row {row}", folder.display());
            }
        }
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| assert_eq!(bits(&model.score(&all).unwrap(), 1234), bits(&whole, 1234)));
            }
        });
    }
}

#[test]
fn no_rows_and_values_without_sense_are_survived() {
    for (kind, folder, model) in models() {
        let none = model.score(&Features { rows: 0, values: Vec::new() }).unwrap();
        assert!(none.len() == model.outputs() && none.iter().all(Vec::is_empty), "{kind} {}", folder.display());
        for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX, f32::MIN_POSITIVE, -0.0, 1e30] {
            let features = Features { rows: 5, values: vec![value; 5 * model.width()] };
            let outputs = model.score(&features).unwrap();
            assert!(outputs.iter().all(|output| output.len() == 5), "{kind} {} {value}", folder.display());
            assert!((1..5).all(|row| bits(&outputs, row) == bits(&outputs, 0)), "{kind} {} {value}", folder.display());
        }
    }
}

#[test]
fn a_bundle_of_each_kind_is_verified_and_a_damaged_one_is_refused() {
    for kind in ModelKind::all() {
        let project = Project::flights();
        let (_, source, _) = models().into_iter().find(|(of, ..)| *of == kind).unwrap();
        let folder = project.path("bundles/m/1");
        let whole = source.join("model.toml").exists();
        std::fs::create_dir_all(folder.parent().unwrap()).unwrap();
        match whole {
            true => {
                let copied = std::process::Command::new("cp").arg("-rL").arg(&source).arg(&folder).status().unwrap();
                assert!(copied.success());
            }
            false => {
                let file = crate::foreign::model_file(&source).display().to_string();
                project.daymill(&["models", "import", &file, "-o", "bundles/m/1"]).expect(0);
            }
        }
        project.daymill(&["models", "verify", "bundles/m@1"]).expect(0);
        project.daymill(&["models", "show", "bundles/m@1"]).expect(0);
        let weights = glob::glob(&folder.join("model.*").display().to_string()).unwrap().flatten();
        let weights = weights.into_iter().find(|path| !path.ends_with("model.toml")).unwrap();
        let bytes = std::fs::read(&weights).unwrap();
        for cut in [0, bytes.len() / 2, bytes.len() - 1] {
            std::fs::write(&weights, &bytes[..cut]).unwrap();
            project.daymill(&["models", "verify", "bundles/m@1"]).expect(66);
        }
    }
}

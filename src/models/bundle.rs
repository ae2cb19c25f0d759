//! A bundle: a folder with model.toml (signature, feature contract, lineage), the weights, and an oracle of inputs
//! with the training library's own outputs. Opening one verifies all of it; what opens can be trusted to score.

use std::path::{Path, PathBuf};

use arrow::array::AsArray;
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type};
use bytes::Bytes;
use serde::Serialize;

use super::reference::ModelId;
use crate::config::{At, Source, Table};
use crate::digest;
use crate::error::{Class, Error, Result};
use crate::plain_file;
use crate::score::contract::{Codes, Contract, Encoding, Feature, Kind, Policy, Unknown};
use crate::score::dense::Dense;
use crate::score::imported::{ImportedModel, ModelMetadata};
use crate::score::pickle::pickled;
use crate::score::{Link, Model, ModelKind};

#[derive(Debug)]
pub struct Bundle {
    pub folder: PathBuf,
    pub name: String,
    pub version: i64,
    pub kind: ModelKind,
    /// The name of the weights' file.
    pub file: String,
    /// Boosting rounds that are used; all when it is `None`.
    pub iterations: Option<usize>,
    /// What another library's file says beside the model.
    pub facts: Option<ModelMetadata>,
    /// SHA-256 of the weights.
    pub sha256: String,
    /// SHA-256 of model.toml.
    pub signature_sha256: String,
    pub contract: Contract,
    pub outputs: Vec<String>,
    pub model: Model,
    pub oracle: OracleResult,
}

/// What was seen when the oracle was asked.
#[derive(Clone, Debug, Serialize, serde::Deserialize, schemars::JsonSchema)]
pub struct OracleResult {
    pub rows: usize,
    pub max_difference: f64,
    pub tolerance: f64,
}

/// model.toml as written.
struct Signature {
    name: String,
    version: i64,
    kind: ModelKind,
    file: String,
    sha256: String,
    link: Option<Link>,
    /// Boosting rounds to use; all when nothing is said.
    iterations: Option<usize>,
    oracle_file: String,
    oracle_sha256: String,
    tolerance: f64,
    outputs: Vec<String>,
    features: Vec<Feature>,
}

impl Bundle {
    /// `name@version`
    pub fn label(&self) -> String {
        self.id().label()
    }

    /// What tells it from any other model.
    pub fn id(&self) -> ModelId {
        ModelId {
            folder: self.folder.clone(),
            name: self.name.clone(),
            version: self.version,
            weights: self.sha256.clone(),
            signature: self.signature_sha256.clone(),
        }
    }

    pub fn open(folder: &Path) -> Result<Bundle> {
        let file = folder.join("model.toml");
        let source = Source::open(&file).map_err(|e| {
            let hint = "`daymill models list` says which models the project has, and `models import` makes one";
            Error::input(format!("{} is not a bundle", folder.display())).cause(e).hint(hint)
        })?;
        let signature = source.read(&crate::keys::MODEL, signature);
        let signature_sha256 = digest::hex(source.text().as_bytes());
        let signature = match signature {
            Some(signature) if !source.has_faults() => signature,
            _ => {
                let mut error = Error::faults(source.into_faults());
                error.class = Class::Input;
                return Err(error);
            }
        };
        let weights = verified(&folder.join(&signature.file), &signature.sha256)?;
        let contract = Contract { features: signature.features.clone() };
        let (model, facts) = read_model(&signature, &weights, &contract)
            .map_err(|e| e.context(folder.join(&signature.file).display()))?;
        if model.width() != contract.width() {
            return Err(Error::input(format!(
                "{}: the features make {} inputs, but the model takes {}",
                file.display(),
                contract.width(),
                model.width()
            )));
        }
        if model.outputs() != signature.outputs.len() {
            return Err(Error::input(format!(
                "{}: {} outputs are named, but the model gives {}",
                file.display(),
                signature.outputs.len(),
                model.outputs()
            )));
        }
        let mut input = 0;
        let passing = contract.features.iter().find(|f| {
            let takes = model.takes_missing_at(input);
            input += f.width();
            let pass = [f.null, f.nan, f.infinity].contains(&Policy::Pass);
            let code = matches!(f.kind, Kind::Category { encoding: Encoding::Code, unknown: Unknown::Missing, .. });
            !takes && (pass || code)
        });
        if let Some(feature) = passing {
            return Err(Error::input(format!(
                "{}: the feature {:?} passes missing values to a {} model, which cannot take them",
                file.display(),
                feature.name,
                signature.kind
            ))
            .hint("choose null = \"impute\", \"drop\" or \"error\""));
        }
        let mut bundle = Bundle {
            folder: folder.to_owned(),
            name: signature.name.clone(),
            version: signature.version,
            kind: signature.kind,
            file: signature.file.clone(),
            iterations: signature.iterations,
            facts,
            sha256: signature.sha256.clone(),
            signature_sha256,
            contract,
            outputs: signature.outputs.clone(),
            model,
            oracle: OracleResult { rows: 0, max_difference: 0.0, tolerance: signature.tolerance },
        };
        bundle.oracle = bundle.ask_oracle(&folder.join(&signature.oracle_file), &signature)?;
        Ok(bundle)
    }

    /// The SHA-256 that model.toml has for the weights; nothing else is looked at.
    pub fn weights(folder: &Path) -> Result<String> {
        let source = Source::open(&folder.join("model.toml"))?;
        match source.read(&crate::keys::MODEL, signature) {
            Some(signature) => Ok(signature.sha256),
            None => Err(Error::faults(source.into_faults())),
        }
    }

    /// Scores the oracle's inputs and compares with its outputs.
    fn ask_oracle(&self, path: &Path, signature: &Signature) -> Result<OracleResult> {
        let bytes = verified(path, &signature.oracle_sha256)?;
        let damaged = |e: &dyn std::fmt::Display| Error::input(format!("{} is damaged", path.display())).cause(e);
        let batch = crate::parquet_file::all(path, Bytes::from(bytes))?;
        let scores = self
            .score(&batch)
            .map_err(|e| Error::input(format!("{}: the oracle's inputs cannot be scored", path.display())).cause(e))?;
        if scores.counts.dropped > 0 || batch.num_rows() == 0 {
            return Err(Error::input(format!(
                "{}: the oracle has no rows, or rows that the contract drops",
                path.display()
            )));
        }
        let mut worst = (0.0f64, 0usize, 0.0f64, 0.0f64);
        for (name, values) in self.outputs.iter().zip(&scores.outputs) {
            let expected = batch
                .column_by_name(name)
                .ok_or_else(|| Error::input(format!("{} has no column {name:?}", path.display())))?;
            let expected = cast(expected, &DataType::Float64).map_err(|e| damaged(&e))?;
            for (row, (want, got)) in expected.as_primitive::<Float64Type>().values().iter().zip(values).enumerate() {
                let difference = (f64::from(*got) - want).abs() / want.abs().max(1.0);
                // A NaN in the oracle differs from everything.
                if difference.is_nan() || difference > worst.0 {
                    worst = (difference, row, *want, f64::from(*got));
                }
            }
        }
        if worst.0.is_nan() || worst.0 > signature.tolerance {
            return Err(Error::input(format!("{} fails its oracle: row {} should score {} and scores {}", self.label(), worst.1, worst.2, worst.3))
                .hint("the weights, the order of the features or the encoding are not those the model was trained with; export the bundle again"));
        }
        Ok(OracleResult { rows: batch.num_rows(), max_difference: worst.0, tolerance: signature.tolerance })
    }
}

/// Reads a file once into memory, checks the digest of that buffer and hands over that same buffer.
fn verified(path: &Path, sha256: &str) -> Result<Vec<u8>> {
    let bytes = plain_file::read(path, plain_file::MODEL).map_err(|e| Error { class: Class::Input, ..e })?;
    if let Some(error) = pickled(&bytes, path) {
        return Err(error);
    }
    let found = digest::hex(&bytes);
    if found != sha256 {
        return Err(Error::input(format!("{} has the SHA-256 {found}, but model.toml says {sha256}", path.display()))
            .hint("the file was damaged or replaced; restore it, or export the bundle again"));
    }
    Ok(bytes)
}

fn read_model(signature: &Signature, weights: &[u8], contract: &Contract) -> Result<(Model, Option<ModelMetadata>)> {
    let link = || {
        signature
            .link
            .ok_or_else(|| Error::input("model.toml must say link = \"identity\", \"sigmoid\" or \"softmax\""))
    };
    match signature.kind {
        ModelKind::Linear => Ok((Model::Dense(Dense::read(weights, false, link()?)?), None)),
        ModelKind::Mlp => Ok((Model::Dense(Dense::read(weights, true, link()?)?), None)),
        ModelKind::Foreign(format) => {
            let ImportedModel { model, facts } = format.read(weights, signature.iterations)?;
            let names = &facts.names;
            let expected: Vec<&str> = contract.features.iter().map(|f| f.name.as_str()).collect();
            if !names.is_empty() && *names != expected {
                let first = names.iter().map(String::as_str).zip(expected.iter().copied()).find(|(a, b)| a != b);
                let what = first.map_or_else(
                    || format!("{} features, not {}", names.len(), expected.len()),
                    |(a, b)| format!("{a:?} where model.toml has {b:?}"),
                );
                return Err(Error::input(format!("the model was trained with {what}"))
                    .hint("put the [[feature]] tables in the order of the model's own feature_names"));
            }
            Ok((model, Some(facts)))
        }
    }
}

fn signature(table: &Table<'_>) -> Option<Signature> {
    let name = table.string("name");
    let version = table.integer("version");
    let kinds: Vec<_> = ModelKind::all().into_iter().map(|kind| (kind.name(), kind)).collect();
    let kind = table.word("kind", &kinds);
    let (file, sha256) = (table.string("file"), table.string("sha256"));
    within_bundle(table, file.as_ref());
    let link =
        table.word("link", &[("identity", Link::Identity), ("sigmoid", Link::Sigmoid), ("softmax", Link::Softmax)]);
    let iterations = table.count("iterations").map(|at| at.value);
    let features: Vec<_> = table.tables("feature").iter().map(feature).collect();
    let outputs: Vec<_> = table
        .tables("output")
        .iter()
        .map(|output| {
            let name = output.string("name");
            name.map(|at| at.value)
        })
        .collect();
    let oracle = table.table("oracle");
    let text = |key: &str| oracle.as_ref().and_then(|oracle| oracle.string(key));
    let (oracle_file, oracle_sha256) = (text("file"), text("sha256"));
    if let Some(oracle) = &oracle {
        within_bundle(oracle, oracle_file.as_ref());
    }
    let tolerance = oracle.as_ref().and_then(|oracle| oracle.float("tolerance")).map_or(1e-6, |at| at.value);
    let mut features: Vec<Feature> = features.into_iter().collect::<Option<_>>()?;
    let mut names = std::collections::HashSet::new();
    if let Some(twice) = features.iter().find(|f| !names.insert(f.name.clone())) {
        table.fault(0, format!("the feature {:?} stands twice", twice.name));
    }
    features.shrink_to_fit();
    Some(Signature {
        name: name?.value,
        version: version?.value,
        kind: kind?.value.to_owned(),
        file: file?.value,
        sha256: sha256?.value,
        link: link.map(|at| at.value),
        iterations,
        oracle_file: oracle_file?.value,
        oracle_sha256: oracle_sha256?.value,
        tolerance,
        outputs: if outputs.is_empty() { vec!["score".into()] } else { outputs.into_iter().collect::<Option<_>>()? },
        features,
    })
}

/// A bundle is one folder, and names no file outside of it.
fn within_bundle(table: &Table<'_>, file: Option<&At<String>>) {
    let Some(at) = file else { return };
    let plain = Path::new(&at.value).components().all(|part| matches!(part, std::path::Component::Normal(_)));
    if !plain || at.value.is_empty() {
        table.fault(at.line, format!("the file {:?} is not in the folder of the bundle", at.value));
    }
}

fn feature(table: &Table<'_>) -> Option<Feature> {
    let name = table.string("name");
    let category = table.word("type", &[("number", false), ("category", true)]);
    let impute = table.float("impute").map(|at| {
        if !(at.value as f32).is_finite() {
            table.fault(at.line, "impute must be a finite number");
        }
        at.value as f32
    });
    let policy = |key: &str| {
        let word = table.word(
            key,
            &[
                ("error", Policy::Error),
                ("impute", Policy::Impute(0.0)),
                ("drop", Policy::Drop),
                ("pass", Policy::Pass),
            ],
        );
        match word {
            Some(at) if matches!(at.value, Policy::Impute(_)) && impute.is_none() => {
                table.fault(at.line, format!("{key} = \"impute\" needs a value, as in impute = 0.0"));
                Policy::Error
            }
            Some(at) if matches!(at.value, Policy::Impute(_)) => Policy::Impute(impute.unwrap_or_default()),
            Some(at) => at.value,
            None => Policy::Error,
        }
    };
    let (null, nan, infinity) = (policy("null"), policy("nan"), policy("infinity"));
    let vocabulary = table.strings("vocabulary");
    let encoding = table.word("encoding", &[("code", Encoding::Code), ("onehot", Encoding::OneHot)]);
    let unknown = table
        .word("unknown", &[("error", Unknown::Error), ("missing", Unknown::Missing)])
        .map_or(Unknown::Error, |at| at.value);
    let kind = match category?.value {
        false => Kind::Number,
        true => {
            let (vocabulary, encoding) = (vocabulary?, encoding?);
            let codes: Codes = vocabulary.value.iter().cloned().zip(0..).collect();
            let whole = |value: f32| value.fract() == 0.0 && value >= 0.0 && (value as usize) < codes.len();
            if impute.is_some_and(|value| !whole(value)) {
                table.fault(vocabulary.line, "impute of a category must be a position in its vocabulary, from 0");
            }
            if codes.len() != vocabulary.value.len() {
                table.fault(vocabulary.line, "a word stands twice in the vocabulary");
            }
            Kind::Category { codes, encoding: encoding.value, unknown }
        }
    };
    Some(Feature { name: name?.value, kind, null, nan, infinity })
}

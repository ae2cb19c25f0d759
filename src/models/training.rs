//! What the rows were that a model was trained on: the profile of each feature and of each output, in `reference.json` beside the
//! model. Drift is measured from it. It is no part of what makes scores, so that a bundle is the same model with it and without.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::Bundle;
use crate::error::{Class, Error, Result};
use crate::parquet_file;
use crate::plain_file;
use crate::project::job::Outputs;
use crate::quality::profile::{ColumnProfile, Looking, Side, StoredProfile};
use crate::score::Model;
use crate::score::contract::Feature;

pub const FILE: &str = "reference.json";

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TrainingProfile {
    /// The SHA-256 of the weights that it belongs to.
    pub weights: String,
    pub rows: u64,
    pub profiles: Vec<StoredProfile>,
    /// The share of each feature in what the model's splits gained; nothing when the model does not say.
    pub importance: Vec<(String, f64)>,
}

impl TrainingProfile {
    /// Of the rows of a Parquet file, which has the features under the names that the model has for them.
    pub fn of(bundle: &Bundle, path: &Path) -> Result<TrainingProfile> {
        plain_file::regular(path)?;
        let file = std::fs::File::open(path).map_err(|e| Error::unreadable(path, &e))?;
        let features: Vec<&str> = bundle.contract.features.iter().map(|feature| feature.name.as_str()).collect();
        let damaged = |e: &dyn std::fmt::Display| parquet_file::damaged(path, e);
        let reader = parquet_file::reader(file, |name| features.contains(&name)).map_err(|e| damaged(&e))?;
        let schema = arrow::array::RecordBatchReader::schema(&reader);
        let columns: Vec<_> = schema.fields().iter().map(|f| (f.name().clone(), f.data_type().clone())).collect();
        let mismatches = bundle.contract.mismatches(&columns);
        if !mismatches.is_empty() {
            let mut error =
                Error::input(format!("{} does not have what the model {} takes", path.display(), bundle.label()));
            error.causes = mismatches;
            return Err(error);
        }
        let of_features = features.iter().map(|name| (Side::Feature, (*name).to_owned()));
        let looking = Looking::new(of_features.chain(bundle.outputs.iter().map(|name| (Side::Score, name.clone()))));
        let (mut sums, mut rows): (Vec<ColumnProfile>, u64) = (Vec::new(), 0);
        for batch in reader {
            let batch = batch.map_err(|e| damaged(&e))?;
            rows += batch.num_rows() as u64;
            let scored = scored(bundle, &batch)?;
            // Rows that the contract drops are a part of what the features were.
            let mut profiles = looking.at(&batch);
            let outputs = looking.at(&scored);
            profiles.iter_mut().zip(outputs).filter(|(of, _)| of.side == Side::Score).for_each(|(of, is)| *of = is);
            match sums.is_empty() {
                true => sums = profiles,
                false => sums.iter_mut().zip(profiles).for_each(|(sum, profile)| sum.merge(profile)),
            }
            looking.hear(&sums);
        }
        if rows == 0 {
            return Err(Error::input(format!("{} has no rows", path.display())));
        }
        let importance = features.iter().map(|name| (*name).to_owned()).zip(gains(bundle)).collect();
        let profiles = sums.iter().map(StoredProfile::of).collect();
        Ok(TrainingProfile { weights: bundle.sha256.clone(), rows, profiles, importance })
    }

    /// With the outputs under the names that a job publishes them by; none when the job chooses others.
    pub fn renamed(mut self, chosen: Option<&Outputs>) -> Option<TrainingProfile> {
        let Some(chosen) = chosen else { return Some(self) };
        let (scores, features): (Vec<_>, Vec<_>) =
            self.profiles.into_iter().partition(|profile| profile.side == Side::Score);
        let own: Vec<String> = scores.iter().map(|profile: &StoredProfile| profile.name.clone()).collect();
        let (names, picked) = chosen.resolve(&own).ok()?;
        let named = names.into_iter().zip(picked).map(|(name, at)| StoredProfile { name, ..scores[at].clone() });
        self.profiles = features.into_iter().chain(named).collect();
        Some(self)
    }

    /// Writes it beside the model; where it is.
    pub fn write(&self, bundle: &Bundle) -> Result<PathBuf> {
        let path = bundle.folder.join(FILE);
        let text = serde_json::to_string(self).map_err(|e| Error::defect("a profile is no JSON").cause(e))?;
        let mut file = tempfile::NamedTempFile::new_in(&bundle.folder).map_err(|e| Error::io(&path, "write", &e))?;
        std::io::Write::write_all(&mut file, text.as_bytes()).map_err(|e| Error::io(&path, "write", &e))?;
        file.persist(&path).map_err(|e| Error::io(&path, "write", &e.error))?;
        Ok(path)
    }

    /// What lies beside a model; none when nothing does.
    pub fn read(folder: &Path) -> Result<Option<TrainingProfile>> {
        let path = folder.join(FILE);
        if !path.exists() {
            return Ok(None);
        }
        let bytes = plain_file::read(&path, plain_file::SETTINGS).map_err(|e| Error { class: Class::Input, ..e })?;
        let hint = "make it again with: daymill models reference MODEL --from TRAINING.parquet";
        let read: TrainingProfile = serde_json::from_slice(&bytes)
            .map_err(|e| Error::input(format!("{} is not what Daymill wrote", path.display())).cause(e).hint(hint))?;
        if let Some(broken) = read.profiles.iter().find(|profile| !profile.is_sound()) {
            let what = format!("{}: the profile of {:?} does not add up", path.display(), broken.name);
            return Err(Error::input(what).hint(hint));
        }
        let weights = Bundle::weights(folder)?;
        if read.weights != weights {
            return Err(Error::input(format!("{} belongs to other weights than {}", path.display(), folder.display()))
                .hint(hint));
        }
        Ok(Some(read))
    }
}

/// The outputs of the rows that the contract lets through, as a batch.
fn scored(bundle: &Bundle, batch: &arrow::array::RecordBatch) -> Result<arrow::array::RecordBatch> {
    let scores = bundle.score(batch)?;
    let column = |(name, values): (&String, Vec<f32>)| {
        (name.clone(), std::sync::Arc::new(arrow::array::Float32Array::from(values)) as arrow::array::ArrayRef)
    };
    arrow::array::RecordBatch::try_from_iter(bundle.outputs.iter().zip(scores.outputs).map(column))
        .map_err(|e| Error::defect("outputs do not make a batch").cause(e))
}

/// What the splits on each feature gained, as a share; splits are counted when the file does not say. Nothing when the model has
/// none.
pub fn gains(bundle: &Bundle) -> Vec<f64> {
    let mut gains = bundle.facts.as_ref().map_or_else(Vec::new, |facts| facts.gains.clone());
    if let (Model::Trees(trees), true) = (&bundle.model, gains.iter().sum::<f64>() <= 0.0) {
        gains = vec![0.0; trees.width()];
        let splits = trees.parts.trees.iter().flat_map(|tree| &tree.nodes).filter_map(|node| node.split());
        splits.for_each(|split| gains[split.feature as usize] += 1.0);
    }
    let all: f64 = gains.iter().sum();
    if gains.len() != bundle.contract.width() || all <= 0.0 {
        return Vec::new();
    }
    // A feature may fill several inputs.
    let mut gains = gains.into_iter();
    let of = |feature: &Feature| gains.by_ref().take(feature.width()).sum::<f64>() / all;
    bundle.contract.features.iter().map(of).collect()
}

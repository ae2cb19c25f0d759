//! What a job's rows are scored with: models in their order. Each takes columns of the transform and outputs of those before
//! it, and adds its own outputs as columns.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float32Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema};

use crate::error::{Error, Result};
use crate::models::Bundle;
use crate::rows::key_hashes;
use crate::score::contract::Counts;

/// One model, and which of its outputs are kept under which names.
#[derive(Clone, Debug)]
pub struct Step {
    pub bundle: Arc<Bundle>,
    pub outputs: Vec<String>,
    /// For each kept output, which of the model's own it is.
    pub picked: Vec<usize>,
}

/// The steps of a job. None of a job that publishes its transform.
#[derive(Clone, Debug, Default)]
pub struct ScorePlan {
    steps: Vec<Step>,
}

/// A scored batch.
#[derive(Debug)]
pub struct Scored {
    /// The rows that no contract dropped: the columns that came in, and the outputs.
    pub batch: RecordBatch,
    /// The hash of each row's key, made before it was scored.
    pub keys: Vec<u128>,
    pub counts: Counts,
}

impl ScorePlan {
    pub fn new(steps: Vec<Step>) -> ScorePlan {
        ScorePlan { steps }
    }

    /// The names of all outputs that are kept.
    pub fn outputs(&self) -> Vec<String> {
        self.steps.iter().flat_map(|step| &step.outputs).cloned().collect()
    }

    /// The columns of the transform that the steps take.
    pub fn features(&self) -> Vec<String> {
        let mut made: Vec<&String> = Vec::new();
        let mut taken: Vec<String> = Vec::new();
        for step in &self.steps {
            let names = step.bundle.contract.features.iter().map(|feature| &feature.name);
            taken.extend(names.filter(|name| !made.contains(name)).cloned().collect::<Vec<_>>());
            made.extend(&step.outputs);
        }
        taken
    }

    /// What of a transform with these columns does not fit a step, and the step that it does not fit.
    pub fn mismatches(&self, columns: &[(String, DataType)]) -> Option<(&Bundle, Vec<String>)> {
        let mut columns = columns.to_vec();
        self.steps.iter().find_map(|step| {
            let found = step.bundle.contract.mismatches(&columns);
            columns.retain(|(name, _)| !step.outputs.contains(name));
            columns.extend(step.outputs.iter().map(|name| (name.clone(), DataType::Float32)));
            (!found.is_empty()).then_some((&*step.bundle, found))
        })
    }

    /// Scores a batch. Rows that a contract drops are gone from it.
    pub fn score(&self, batch: RecordBatch, key: &[String]) -> Result<Scored> {
        let mut scored = Scored { keys: key_hashes(&batch, key)?, batch, counts: Counts::default() };
        for step in &self.steps {
            let (kept, features, counts) = step.bundle.contract.apply(&scored.batch)?;
            if counts.dropped > 0 {
                scored.keys = key_hashes(&kept, key)?;
            }
            scored.counts.merge(counts);
            scored.batch = step.add(kept, step.bundle.outputs_of(&features)?)?;
        }
        Ok(scored)
    }
}

impl Step {
    /// The batch with the outputs as columns; a column of the same name gives way.
    fn add(&self, batch: RecordBatch, mut outputs: Vec<Vec<f32>>) -> Result<RecordBatch> {
        let (schema, arrays, _) = batch.into_parts();
        let columns = schema.fields().iter().cloned().zip(arrays);
        let (mut fields, mut arrays): (Vec<_>, Vec<ArrayRef>) =
            columns.filter(|(field, _)| !self.outputs.contains(field.name())).unzip();
        for (at, (name, output)) in self.outputs.iter().zip(&self.picked).enumerate() {
            // An output may be kept twice, so it is taken only by its last name.
            let last = self.picked[at + 1..].iter().all(|later| later != output);
            let values = if last { std::mem::take(&mut outputs[*output]) } else { outputs[*output].clone() };
            fields.push(Arc::new(Field::new(name, DataType::Float32, true)));
            arrays.push(Arc::new(Float32Array::from(values)));
        }
        RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays)
            .map_err(|e| Error::defect("outputs do not make a batch").cause(e))
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{AsArray, Float64Array, Int64Array, StringViewArray};
    use arrow::datatypes::{Float32Type, Int64Type};

    use super::*;
    use crate::models::import::sample;
    use crate::score::contract::{Kind, Policy};

    #[test]
    fn keys_stay_with_their_rows_and_outputs_take_the_place_of_columns() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/models/flight_delay/3");
        let mut bundle = Bundle::open(std::path::Path::new(folder)).unwrap();
        let oracle = sample(&std::path::Path::new(folder).join("oracle.parquet")).unwrap().slice(0, 3);
        let number = bundle.contract.features.iter_mut().find(|feature| matches!(feature.kind, Kind::Number)).unwrap();
        number.null = Policy::Drop;
        let mut columns: Vec<(&str, ArrayRef)> = vec![
            ("id", Arc::new(Int64Array::from(vec![1, 2, 1]))),
            ("again", Arc::new(StringViewArray::from(vec!["x", "y", "z"]))),
        ];
        let dropped = number.name.clone();
        for feature in &bundle.contract.features {
            let array = match feature.name == dropped {
                true => Arc::new(Float64Array::from(vec![None, Some(2.0), Some(3.0)])),
                false => oracle[feature.name.as_str()].clone(),
            };
            columns.push((&feature.name, array));
        }
        let batch = RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, a)| (name, a, true)));
        let outputs = vec!["p".to_owned(), "again".to_owned()];
        let plan = ScorePlan::new(vec![Step { bundle: Arc::new(bundle), outputs, picked: vec![0, 0] }]);
        let key = ["id".to_owned()];
        let scored = plan.score(batch.unwrap(), &key).unwrap();
        // The first row was dropped, and its key with it.
        assert_eq!(scored.counts.dropped, 1);
        assert_eq!(scored.keys, key_hashes(&scored.batch, &key).unwrap());
        assert_eq!(scored.batch["id"].as_primitive::<Int64Type>().values(), &[2, 1]);
        // One output under two names, the second of which a column had.
        let score = |name: &str| scored.batch[name].as_primitive::<Float32Type>().values().to_vec();
        assert_eq!(score("p"), score("again"));
        assert_eq!(scored.batch.schema_ref().fields().iter().filter(|field| field.name() == "again").count(), 1);
        assert!(score("p").iter().all(|p| (0.0..=1.0).contains(p)) && score("p")[0] != score("p")[1]);
    }
}

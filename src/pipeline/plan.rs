//! The plan of a run before a row is read: the transform's frame, which of its columns are published, and whether the model takes
//! what it gives.

use std::sync::Arc;

use polars::prelude::{LazyFrame, Schema, col};

use super::flow::Layout;
use crate::arrow_bridge;
use crate::error::{Error, Result};
use crate::interval::Interval;
use crate::models::Bundle;
use crate::models::{ScorePlan, Step};
use crate::project::Job;
use crate::project::check_spec::Rule;
use crate::quality::checks::{CONDITION, Checks, Columns};
use crate::quality::profile::{Looking, Side};
use crate::transform;

/// The transform's plan, ready to run.
pub struct Planned {
    pub frame: LazyFrame,
    pub scoring: Arc<ScorePlan>,
    pub layout: Layout,
    pub schema: arrow::datatypes::Schema,
    /// Every column of the transform, whether it is published or not.
    transformed: arrow::datatypes::Schema,
    /// The columns of the transform, and what may not have been meant in it; of rows from a file there are none.
    pub columns: Vec<transform::Lineage>,
    pub notes: Vec<String>,
}

impl Planned {
    /// What is published, and the columns that checks may be of.
    pub fn checked<'a>(&'a self, scores: &'a [String]) -> (&'a arrow::datatypes::Schema, Columns<'a>) {
        (&self.schema, Columns { transformed: &self.transformed, scores })
    }

    /// Makes sure that the job's checks can be asked.
    pub fn require_checks(&self, job: &Job, interval: &Interval) -> Result<()> {
        let (_, columns) = self.checked(&self.layout.outputs);
        Checks::new(job, interval, columns).map(|_| ())
    }

    /// The columns that are profiled: what the model takes, the scores, and what else is published but the key. `scores` are
    /// the outputs, or those that an earlier stage made.
    pub fn looking(&self, scores: &[String]) -> Looking {
        let features = self.scoring.features();
        let (key, rest) = self.layout.columns.split_at(self.layout.key);
        let others =
            rest.iter().filter(|name| !features.contains(name) && !scores.contains(name) && !key.contains(name));
        let of = |side: Side| move |name: &String| (side, name.clone());
        let all = features.iter().map(of(Side::Feature)).chain(scores.iter().map(of(Side::Score)));
        Looking::new(all.chain(others.map(of(Side::Column))))
    }
}

/// Plans the transform, checks it against the job and the model's contract, and keeps only the columns that are used.
pub fn plan(
    job: &Job,
    bundle: Option<&Arc<Bundle>>,
    tables: &[(String, LazyFrame)],
    interval: &Interval,
) -> Result<Planned> {
    let transform::Plan { frame, columns, notes } = transform::plan(&job.transform, tables, interval)?;
    let frame = conditions(job, frame, interval)?;
    Ok(Planned { columns, notes, ..select(job, bundle, frame)? })
}

/// The frame with the job's checks in SQL as columns of truths.
fn conditions(job: &Job, frame: LazyFrame, interval: &Interval) -> Result<LazyFrame> {
    let all = job.checks.iter().enumerate().filter_map(|(at, check)| match &check.rule {
        Rule::Sql(condition) => Some((format!("{CONDITION}{at}"), condition.as_str(), check.line)),
        _ => None,
    });
    transform::with_conditions(frame, &all.collect::<Vec<_>>(), interval, &job.file)
}

/// The layout of a transformed frame, and the frame cut down to what the layout and the model need.
pub fn select(job: &Job, bundle: Option<&Arc<Bundle>>, mut frame: LazyFrame) -> Result<Planned> {
    let polars_schema = frame.collect_schema().map_err(|e| Error::config("the transform has no schema").cause(e))?;
    transform::require_columns(job, &polars_schema)?;
    let transformed = arrow_bridge::to_batch(&polars::prelude::DataFrame::empty_with_schema(&polars_schema))?.schema();
    let schema = transformed.clone();
    let scoring = bundle.map_or_else(|| Ok(ScorePlan::default()), |bundle| scoring(job, bundle))?;
    let layout = layout(job, bundle.is_some(), &scoring, &polars_schema)?;
    let columns: Vec<_> = schema.fields().iter().map(|f| (f.name().clone(), f.data_type().clone())).collect();
    if let Some((bundle, mismatches)) = scoring.mismatches(&columns) {
        let mut error = Error::input(format!(
            "{} does not give what the model {} takes",
            job.transform.path.display(),
            bundle.label()
        ));
        error.causes = mismatches;
        return Err(error.hint(format!("the contract is in {}", bundle.folder.join("model.toml").display())));
    }
    let mut used = layout.columns.clone();
    used.extend(scoring.features().into_iter().filter(|name| !layout.columns.contains(name)));
    let checked = |name: &str| {
        name.starts_with(CONDITION) || job.checks.iter().any(|check| check.column.as_deref() == Some(name))
    };
    let names = schema.fields().iter().map(|field| field.name());
    let more: Vec<String> = names.filter(|name| checked(name) && !used.contains(name)).cloned().collect();
    used.extend(more);
    let frame = frame.select(used.iter().map(|name| col(name.as_str())).collect::<Vec<_>>());
    Ok(Planned {
        frame,
        scoring: Arc::new(scoring),
        schema: layout.schema(&schema)?,
        transformed: transformed.as_ref().clone(),
        layout,
        columns: Vec::new(),
        notes: Vec::new(),
    })
}

/// The job's one model as a plan, with the outputs that the job chose.
fn scoring(job: &Job, bundle: &Arc<Bundle>) -> Result<ScorePlan> {
    let chosen = job.score.as_ref().and_then(|score| score.outputs.as_ref());
    let (outputs, picked) = match chosen {
        Some(chosen) => chosen.resolve(&bundle.outputs)?,
        None => (bundle.outputs.clone(), (0..bundle.outputs.len()).collect()),
    };
    Ok(ScorePlan::new(vec![Step { bundle: bundle.clone(), outputs, picked }]))
}

/// Which columns are published: of a job that scores those that it keeps, else all. Scores that an earlier stage made are
/// columns already.
fn layout(job: &Job, scores: bool, scoring: &ScorePlan, transformed: &Schema) -> Result<Layout> {
    let mut columns = job.key.clone();
    let rest = match scores {
        true => job.load.keep.clone(),
        // Conditions are ours.
        false => {
            transformed.iter_names().filter(|name| !name.starts_with(CONDITION)).map(ToString::to_string).collect()
        }
    };
    columns.extend(rest.into_iter().filter(|name| !job.key.contains(name)));
    let outputs = scoring.outputs();
    if let Some(twice) = outputs.iter().find(|name| columns.contains(name)) {
        return Err(Error::config(format!("the score {twice:?} has the name of a column that is published too"))
            .hint("rename it with score.outputs"));
    }
    Ok(Layout { columns, key: job.key.len(), outputs })
}

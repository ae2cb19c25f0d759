//! The plan of a run before a row is read: the transform's frame, which of its columns are published, and whether the model takes
//! what it gives.

use polars::prelude::{LazyFrame, col};

use super::flow::Layout;
use crate::arrow_bridge;
use crate::error::{Error, Result};
use crate::interval::Interval;
use crate::project::Job;
use crate::score::Bundle;
use crate::transform;

/// The transform's plan, ready to run.
pub struct Planned {
    pub frame: LazyFrame,
    pub layout: Layout,
    pub schema: arrow::datatypes::Schema,
    /// The columns of the transform, and what may not have been meant in it; of rows from a file there are none.
    pub columns: Vec<transform::Lineage>,
    pub notes: Vec<String>,
}

/// Plans the transform, checks it against the job and the model's contract, and keeps only the columns that are used.
pub fn plan(
    job: &Job,
    bundle: Option<&Bundle>,
    tables: &[(String, LazyFrame)],
    interval: &Interval,
) -> Result<Planned> {
    let transform::Plan { frame, columns, notes } = transform::plan(&job.transform, tables, interval)?;
    Ok(Planned { columns, notes, ..select(job, bundle, frame)? })
}

/// The layout of a transformed frame, and the frame cut down to what the layout and the model need.
pub fn select(job: &Job, bundle: Option<&Bundle>, mut frame: LazyFrame) -> Result<Planned> {
    let polars_schema = frame.collect_schema().map_err(|e| Error::config("the transform has no schema").cause(e))?;
    transform::require_columns(job, &polars_schema)?;
    let schema = arrow_bridge::to_batch(&polars::prelude::DataFrame::empty_with_schema(&polars_schema))?.schema();
    let layout = layout(job, bundle, &polars_schema.iter_names().map(|n| n.to_string()).collect::<Vec<_>>())?;
    let mut used = layout.columns.clone();
    if let Some(bundle) = bundle {
        let columns: Vec<_> = schema.fields().iter().map(|f| (f.name().clone(), f.data_type().clone())).collect();
        let mismatches = bundle.contract.mismatches(&columns);
        if !mismatches.is_empty() {
            let mut error = Error::input(format!(
                "{} does not give what the model {} takes",
                job.transform.path.display(),
                bundle.label()
            ));
            error.causes = mismatches;
            return Err(error.hint(format!("the contract is in {}", bundle.folder.join("model.toml").display())));
        }
        let features = bundle.contract.features.iter().map(|f| f.name.clone());
        used.extend(features.filter(|name| !layout.columns.contains(name)));
    }
    let frame = frame.select(used.iter().map(|name| col(name.as_str())).collect::<Vec<_>>());
    Ok(Planned { frame, schema: layout.schema(&schema)?, layout, columns: Vec::new(), notes: Vec::new() })
}

fn layout(job: &Job, bundle: Option<&Bundle>, transformed: &[String]) -> Result<Layout> {
    let mut columns = job.key.clone();
    let rest = if bundle.is_some() { &job.load.keep[..] } else { transformed };
    columns.extend(rest.iter().filter(|name| !job.key.contains(name)).cloned());
    let mut outputs = bundle.map(|b| b.outputs.clone()).unwrap_or_default();
    let mut picked: Vec<usize> = (0..outputs.len()).collect();
    // Without a bundle the scores, if any, are columns already.
    if let (Some(_), Some(chosen)) = (bundle, job.score.as_ref().and_then(|score| score.outputs.as_ref())) {
        (outputs, picked) = chosen.resolve(&outputs)?;
    }
    if let Some(twice) = outputs.iter().find(|name| columns.contains(name)) {
        return Err(Error::config(format!("the score {twice:?} has the name of a column that is published too"))
            .hint("rename it with score.outputs"));
    }
    Ok(Layout { columns, key: job.key.len(), outputs, picked })
}

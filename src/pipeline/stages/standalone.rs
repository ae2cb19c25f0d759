//! Scores a file with a bundle, without a job.

use std::path::Path;
use std::sync::Arc;

use super::metadata::MODEL;
use super::writer::score_into;
use crate::arrow_bridge;
use crate::error::{Error, Result};
use crate::extract;
use crate::extract::files::{formats, table as source};
use crate::models::Bundle;
use crate::models::{ScorePlan, Step};
use crate::pipeline::evidence::Looks;
use crate::pipeline::flow::{BatchSource, Layout, Work};
use crate::pipeline::report::{ModelReport, RunReport};
use crate::progress::Progress;
use crate::project::job::FileFormat;
use crate::rows::{ColumnType, Tail};

/// Scores any Parquet file with any bundle, without a job: rows in the order they came, the kept columns, the outputs.
pub struct StandaloneScoring<'a> {
    pub bundle: Bundle,
    pub input: &'a Path,
    pub out: &'a Path,
    pub keep: &'a [String],
    pub batch_rows: usize,
    pub threads: usize,
    pub progress: Progress,
}

pub async fn score_loose(loose: StandaloneScoring<'_>, report: &mut RunReport) -> Result<()> {
    let bundle = Arc::new(loose.bundle);
    report.model = Some(ModelReport::of(&bundle));
    let cache = extract::Cache::default();
    let found = formats::of(&FileFormat::Parquet).describe(loose.input, &[])?;
    let has = |name: &str| found.iter().any(|found| found.name == name);
    let missing = loose.keep.iter().filter(|name| !has(name));
    let mut faults: Vec<String> = missing.map(|name| format!("the column {name:?} of --keep is missing")).collect();
    let twice = loose.keep.iter().filter(|name| bundle.outputs.contains(name));
    faults.extend(twice.map(|name| format!("the column {name:?} of --keep has the name of an output")));
    let features = bundle.contract.features.iter();
    let features = features.filter(|feature| !loose.keep.contains(&feature.name)).map(|feature| {
        let number = matches!(feature.kind, crate::score::contract::Kind::Number);
        (feature.name.as_str(), if number { ColumnType::Float } else { ColumnType::Text })
    });
    let kept = loose.keep.iter().map(|name| (name.as_str(), ColumnType::Text));
    let used: Vec<(&str, ColumnType)> = kept.chain(features).filter(|(name, _)| has(name)).collect();
    let (mut frame, _temporary) = source::standalone(loose.input, &used, &cache)?;
    let names =
        frame.collect_schema().map_err(|e| Error::input(format!("cannot read {}", loose.input.display())).cause(e))?;
    let schema = arrow_bridge::to_batch(&polars::prelude::DataFrame::empty_with_schema(&names))?.schema();
    let columns: Vec<_> = schema.fields().iter().map(|f| (f.name().clone(), f.data_type().clone())).collect();
    faults.extend(bundle.contract.mismatches(&columns));
    if !faults.is_empty() {
        let mut error = Error::input(format!("{} does not have what is asked of it", loose.input.display()));
        error.causes = faults;
        return Err(error.hint(format!("the contract is in {}", bundle.folder.join("model.toml").display())));
    }
    let outputs = bundle.outputs.clone();
    let picked = (0..outputs.len()).collect();
    let step = Step { bundle: bundle.clone(), outputs: outputs.clone(), picked };
    let layout = Layout { columns: loose.keep.to_vec(), key: 0, outputs };
    let (published, scores) = (layout.schema(&schema)?, layout.outputs.clone());
    let marks = [(MODEL.to_owned(), bundle.label())];
    let source = BatchSource::Whole(Box::new(frame));
    let work = Work {
        batch_rows: loose.batch_rows,
        threads: loose.threads,
        scoring: Arc::new(ScorePlan::new(vec![step])),
        layout,
        lineage: Tail::default(),
        looks: Arc::new(Looks::scores(&scores)),
        progress: loose.progress,
    };
    score_into((work, source), report, loose.out, &published, &marks, loose.input, |_| Ok(())).await
}

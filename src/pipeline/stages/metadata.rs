//! What the file of a stage says of itself: of which job and interval it is, what was read, and what scored it.

use std::path::Path;

use polars::prelude::{LazyFrame, PlRefPath, ScanArgsParquet};

use crate::error::{Error, Result};
use crate::extract;
use crate::extract::files::footer::footer;
use crate::extract::files::version;
use crate::fingerprint::Source;
use crate::interval::instant;
use crate::pipeline::Context;
use crate::pipeline::report::RunReport;

pub const JOB: &str = "daymill.job";
pub const INTERVAL: &str = "daymill.interval";
pub const MODEL: &str = "daymill.model";
/// The names of the score columns, one to a line.
pub const SCORES: &str = "daymill.scores";

/// What was read, as JSON: handed on from stage to stage, so that the load can record it.
pub const SOURCES: &str = "daymill.sources";
/// What tells the model from any other.
pub const IDENTITY: &str = "daymill.identity";

pub type StageMetadata = Vec<(String, String)>;

/// The sources that earlier stages read, as a mark of the next file.
pub fn sources_mark(marks: &StageMetadata) -> Vec<Source> {
    let all = marks.iter().filter(|(key, _)| key == SOURCES);
    all.flat_map(|(_, text)| serde_json::from_str::<Vec<Source>>(text).unwrap_or_default()).collect()
}

pub fn as_mark(sources: &[Source]) -> (String, String) {
    (SOURCES.into(), serde_json::to_string(sources).unwrap_or_default())
}

pub fn marks(context: &Context) -> Vec<(String, String)> {
    let interval = format!("{}/{}", instant(context.interval.start), instant(context.interval.end));
    vec![(JOB.into(), context.job.name.clone()), (INTERVAL.into(), interval)]
}

/// Opens a file that an earlier stage left, and makes sure that it is of this job and interval.
pub fn open(
    context: &Context,
    path: &Path,
    stage: &str,
    report: &mut RunReport,
) -> Result<(LazyFrame, Vec<(String, String)>)> {
    if !path.exists() {
        return Err(Error::input(format!("{} is not there", path.display())).hint(format!(
            "run the stage before: daymill {stage} {} --date {}",
            context.job.name,
            context.interval.label()
        )));
    }
    let footer = footer(path)?;
    let found: Vec<(String, String)> = footer
        .file_metadata()
        .key_value_metadata()
        .into_iter()
        .flatten()
        .filter_map(|kv| Some((kv.key.clone(), kv.value.clone()?)))
        .collect();
    for (key, wanted) in marks(context) {
        match found.iter().find(|(k, _)| *k == key) {
            Some((_, value)) if *value == wanted => {}
            Some((_, value)) => return Err(Error::input(format!("{} is of {value}, not of {wanted}", path.display()))),
            None => return Err(Error::input(format!("{} was not left by a stage of Daymill", path.display()))),
        }
    }
    report.inputs.push(extract::Input {
        table: path.file_stem().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default(),
        from: path.display().to_string(),
        rows: footer.file_metadata().num_rows().max(0) as u64,
        file: Some(version::Stamp::of(path)?),
        by_engine: true,
        ..extract::Input::default()
    });
    report.rows.extracted += footer.file_metadata().num_rows().max(0) as u64;
    Ok((scan(path)?, found))
}

pub fn scan(path: &Path) -> Result<LazyFrame> {
    footer(path)?;
    let name = path.to_str().ok_or_else(|| Error::config(format!("the path {} is not UTF-8", path.display())))?;
    let args = ScanArgsParquet { glob: false, ..ScanArgsParquet::default() };
    LazyFrame::scan_parquet(PlRefPath::new(name), args)
        .map_err(|e| Error::input(format!("cannot read {}", path.display())).cause(e))
}

//! What must hold before rows are published: that all are accounted for, their times, the contract's limit, the key, the checks.

use super::evidence::Evidence;
use super::report::RunReport;
use crate::error::{Error, Result};
use crate::load::Load;
use crate::project::Job;
use crate::quality::checks::{Severity, gate};

/// No more rows than the job allows may have been dropped or had a value imputed.
pub fn tolerable(job: &Job, evidence: &Evidence) -> Result<()> {
    let allowed = job.score.as_ref().map_or(0.0, |score| score.max_bad_fraction);
    let (bad_rows, transformed) = (evidence.seen().counts.bad_rows, evidence.seen().transformed);
    let bad = bad_rows as f64 / transformed.max(1) as f64;
    if bad <= allowed {
        return Ok(());
    }
    Err(Error::data(format!(
        "{bad_rows} of {transformed} rows were dropped or had a value imputed by the feature contract ({:.2} %); \
         score.max_bad_fraction allows {:.2} %",
        bad * 100.0,
        allowed * 100.0
    ))
    .hint("look into the missing values, or raise max_bad_fraction in [score] of the job file; nothing was published"))
}

/// How the error about keys that repeat begins.
pub const REPEATED: &str = "the key (";

/// Rows that run.json has of those that would have been put aside by a run that failed.
pub const REJECTED: usize = 100;

/// Everything that must hold before rows are published.
pub async fn enforce(
    job: &Job,
    report: &mut RunReport,
    evidence: &mut Evidence,
    load: Option<&mut Load>,
) -> Result<()> {
    let held = hold(job, report, evidence, load).await;
    if held.is_err() {
        report.rejected = evidence.bad_rows().iter().take(REJECTED).cloned().collect();
    }
    held
}

async fn hold(job: &Job, report: &mut RunReport, evidence: &mut Evidence, load: Option<&mut Load>) -> Result<()> {
    report.checks = evidence.verdicts();
    let (transformed, published) = (evidence.seen().transformed, evidence.seen().published);
    let dropped = evidence.seen().counts.dropped;
    if transformed == 0 {
        // Whether a day may be empty is for on_empty to say, not for the checks.
        return Ok(());
    }
    let (quarantined, left_out) = (evidence.seen().checks.quarantined, evidence.seen().checks.left_out);
    if transformed != published + dropped + quarantined + left_out {
        return Err(Error::defect(format!(
            "{transformed} rows came in, {dropped} were dropped, {quarantined} put aside, {left_out} left out and {published} came out"
        )));
    }
    evidence.require_budget()?;
    evidence.require_times()?;
    tolerable(job, evidence)?;
    if evidence.repeated_key()? {
        let key = job.key.join(", ");
        let mut error = Error::data(format!("{REPEATED}{key}) is not unique; nothing was published"));
        // The keys are named from the rows that were written.
        if let Some(load) = load {
            error.causes = load.repeated().await.unwrap_or_default();
        }
        return Err(
            error.hint("make the rows unique in the transform, by a rule that says which row wins, or extend the key")
        );
    }
    for verdict in report.checks.iter().filter(|v| !v.passed && v.severity == Severity::Warn) {
        report.warnings.push(format!("check {}: {}", verdict.check, verdict.found));
    }
    let target = report.target.as_ref().map_or(String::new(), |target| format!(" --target {target}"));
    let label = report.interval.as_ref().map_or("DATE", |interval| interval.label.as_str());
    gate(&report.checks).map_err(|error| {
        error.hint(format!(
            "look at the rows with: daymill run {} --date {label}{target} --dry-run --print scores",
            job.name
        ))
    })
}

//! What a run found out about itself: the report that becomes run.json, the ledger's record and the summary.

use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::evidence::Evidence;
use crate::error::{Error, Result};
use crate::extract::Input;
use crate::fingerprint::{Fingerprint, Source};
use crate::interval::{Interval, instant};
use crate::models::bundle::{Bundle, OracleResult};
use crate::project::secrets::redact_json;
use crate::quality::checks::{BadRow, Verdict};
use crate::quality::profile::{ColumnProfile, Side};
use crate::run_state::RunState;
use crate::transform::Lineage;

/// The version of run.json's form; it grows when a field changes its meaning, not when one is added.
const SCHEMA_VERSION: u32 = 1;

#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct RunReport {
    pub schema_version: u32,
    pub daymill_version: String,
    pub run_id: String,
    pub command: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval: Option<IntervalReport>,
    pub state: RunState,
    pub exit_code: u8,
    /// Which attempt at its interval this was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<i64>,
    pub started_at: String,
    pub finished_at: Option<String>,
    pub seconds: f64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table: Option<String>,
    pub rows: Rows,
    pub stages: Vec<StageTime>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<ModelReport>,
    pub scores: Vec<ScoreSummary>,
    pub checks: Vec<Verdict>,
    /// How the gates found the scores.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gates: Vec<GateReport>,
    /// Of a run that failed since too many rows broke rules: the first of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rejected: Vec<BadRow>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_hash: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_digest: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<Fingerprint>,
    /// The last record of the ledger's chain after this run: written down elsewhere, it anchors the chain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ledger_head: Option<String>,
    pub inputs: Vec<Input>,
    /// The columns of the transform, and what each is made of.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lineage: Vec<Lineage>,
    /// What was read, when an earlier stage read it.
    #[serde(skip)]
    pub sources: Option<Vec<Source>>,
    /// The files that a stage left.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<WrittenFile>,
    /// Of a run that published nothing because it was asked not to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preview: Option<Preview>,
    pub warnings: Vec<String>,
    pub peak_memory_mb: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorReport>,
    #[serde(skip, default = "std::time::Instant::now")]
    started: std::time::Instant,
}

#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct WrittenFile {
    pub path: String,
    pub rows: u64,
    pub columns: Vec<String>,
}

/// What a run would have published.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct Preview {
    /// Published rows of the interval that would be replaced; none when the interval was never published.
    pub replaces: Option<u64>,
    /// Only so many rows of the transform were looked at.
    pub limit: Option<u64>,
    /// The columns that the transform gives, over all rows that were looked at.
    pub columns: Vec<ColumnSummary>,
    /// The first rows, when they were asked for: their columns, and the values as text.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sample_columns: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sample: Vec<Vec<Option<String>>>,
}

#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ColumnSummary {
    pub name: String,
    pub nulls: u64,
    pub min: Option<String>,
    pub max: Option<String>,
    pub mean: Option<f64>,
}

#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct IntervalReport {
    pub label: String,
    pub start: String,
    pub end: String,
    pub hours: f64,
    pub timezone: String,
}

#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Rows {
    /// Rows of all inputs, lookback and dimensions included.
    pub extracted: u64,
    /// Those of them that a time_column left out.
    pub outside: u64,
    /// Rows that came out of the transform.
    pub transformed: u64,
    pub dropped: u64,
    /// Values, not rows, that a policy replaced.
    pub imputed: u64,
    /// Rows that checks put aside, and left out.
    pub quarantined: u64,
    pub left_out: u64,
    pub published: u64,
}

/// Seconds a stage was at work. Transform, score and load overlap; "stream" is the time that they took together.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct StageTime {
    pub name: String,
    pub seconds: f64,
}

#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ModelReport {
    pub name: String,
    pub version: i64,
    /// Where it was found.
    pub folder: String,
    pub kind: String,
    pub sha256: String,
    pub oracle: OracleResult,
}

impl ModelReport {
    pub fn of(bundle: &Bundle) -> ModelReport {
        ModelReport {
            name: bundle.name.clone(),
            version: bundle.version,
            folder: bundle.folder.display().to_string(),
            kind: bundle.kind.to_string(),
            sha256: bundle.sha256.clone(),
            oracle: bundle.oracle.clone(),
        }
    }
}

#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ScoreSummary {
    pub name: String,
    pub min: f32,
    pub max: f32,
    pub mean: f64,
    /// Probability and value, ascending.
    pub quantiles: Vec<(f64, f32)>,
    /// Shares of the rows in equal steps from min to max.
    pub histogram: Vec<f64>,
}

impl ScoreSummary {
    /// Nothing when there were no scores.
    fn of(profile: &ColumnProfile) -> Option<ScoreSummary> {
        const QUANTILES: [f64; 7] = [0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99];
        const STEPS: usize = 24;
        let scores = profile.numbers().filter(|_| profile.side == Side::Score)?;
        Some(ScoreSummary {
            name: profile.name.clone(),
            min: scores.min()? as f32,
            max: scores.max()? as f32,
            mean: scores.mean()?,
            quantiles: QUANTILES.into_iter().zip(scores.quantiles(&QUANTILES)).collect(),
            histogram: scores.histogram(STEPS),
        })
    }
}

/// How one gate found one column.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct GateReport {
    pub column: String,
    /// What it was compared with.
    pub against: String,
    pub statistic: String,
    pub value: Option<f64>,
    pub limit: Option<f64>,
    /// What chance alone exceeds once in a hundred.
    pub critical: Option<f64>,
    /// Values of the run.
    pub n: u64,
    pub verdict: GateVerdict,
    pub found: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum GateVerdict {
    Pass,
    Warn,
    Fail,
    /// It could not be asked.
    Skipped,
}

#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ErrorReport {
    pub class: String,
    pub message: String,
    pub causes: Vec<String>,
    pub hint: Option<String>,
}

impl RunReport {
    /// What `value` gave, of this version or an earlier one.
    pub fn read(text: &str) -> serde_json::Result<RunReport> {
        serde_json::from_str(text)
    }

    /// The JSON Schema of run.json.
    pub fn schema() -> serde_json::Value {
        let mut schema = schemars::schema_for!(RunReport).to_value();
        schema["title"] = "run.json of Daymill".into();
        schema
    }

    /// The part of the log that is about this attempt.
    pub fn span(&self) -> tracing::Span {
        let interval = self.interval.as_ref().map_or("", |interval| interval.label.as_str());
        let (run, job) = (self.run_id.as_str(), self.job.as_deref().unwrap_or(""));
        tracing::error_span!("run", run, job, interval, stage = tracing::field::Empty)
    }

    pub fn new(command: &str) -> RunReport {
        RunReport {
            schema_version: SCHEMA_VERSION,
            daymill_version: env!("CARGO_PKG_VERSION").to_owned(),
            run_id: uuid::Uuid::now_v7().to_string(),
            command: command.to_owned(),
            job: None,
            target: None,
            interval: None,
            state: RunState::Running,
            exit_code: 0,
            generation: None,
            started_at: instant(chrono::Utc::now()),
            finished_at: None,
            seconds: 0.0,
            table: None,
            rows: Rows::default(),
            stages: Vec::new(),
            model: None,
            scores: Vec::new(),
            checks: Vec::new(),
            rejected: Vec::new(),
            gates: Vec::new(),
            content_hash: None,
            config_digest: None,
            fingerprint: None,
            ledger_head: None,
            inputs: Vec::new(),
            lineage: Vec::new(),
            sources: None,
            files: Vec::new(),
            preview: None,
            warnings: Vec::new(),
            peak_memory_mb: 0,
            error: None,
            started: std::time::Instant::now(),
        }
    }

    pub fn elapsed(&self) -> std::time::Duration {
        self.started.elapsed()
    }

    /// The report as the ledger keeps it: written just before the commit that makes it true.
    pub fn as_succeeded(&self) -> String {
        let mut report = self.clone();
        report.close(&Ok(()));
        report.value().to_string()
    }

    pub fn of_interval(&mut self, interval: &Interval) {
        self.interval = Some(IntervalReport {
            label: interval.label(),
            start: instant(interval.start),
            end: instant(interval.end),
            hours: interval.hours(),
            timezone: interval.zone.name().to_owned(),
        });
    }

    /// Adds to a stage, or begins it.
    pub fn stage(&mut self, name: &'static str, seconds: f64) {
        match self.stages.iter_mut().find(|stage| stage.name == name) {
            Some(stage) => stage.seconds += seconds,
            None => self.stages.push(StageTime { name: name.to_owned(), seconds }),
        }
    }

    /// What a flow's rows came to.
    pub fn tell(&mut self, evidence: &Evidence) {
        let seen = evidence.seen();
        self.rows.transformed = seen.transformed;
        self.rows.published = seen.published;
        self.rows.dropped = seen.counts.dropped;
        self.rows.imputed = seen.counts.imputed;
        self.rows.quarantined = seen.checks.quarantined;
        self.rows.left_out = seen.checks.left_out;
        self.content_hash = Some(evidence.content_hash());
        self.scores = seen.profiles.iter().filter_map(ScoreSummary::of).collect();
    }

    /// Closes the report with how the command ended.
    pub fn close(&mut self, result: &Result<()>) {
        self.finished_at = Some(instant(chrono::Utc::now()));
        self.seconds = self.started.elapsed().as_secs_f64();
        self.peak_memory_mb = crate::memory::peak_mb();
        match result {
            Ok(()) if self.state == RunState::Running => self.state = RunState::Succeeded,
            Ok(()) => {}
            Err(error) => {
                self.exit_code = error.class.exit_code();
                self.state = match self.exit_code {
                    130 | 143 => RunState::Interrupted,
                    _ => RunState::Failed,
                };
                self.error = Some(ErrorReport {
                    class: error.class.name().to_owned(),
                    message: error.message.clone(),
                    causes: error.causes.clone(),
                    hint: error.hint.clone(),
                });
            }
        }
    }

    /// The report without secrets.
    pub fn value(&self) -> serde_json::Value {
        let mut value = serde_json::to_value(self).unwrap_or_default();
        redact_json(&mut value);
        value
    }

    /// Writes `<folder>/runs/<run id>/run.json`, whole or not at all, and `runs/latest.json`.
    pub fn write(&self, folder: &Path) -> Result<PathBuf> {
        match self.write_once(folder) {
            // Another process that keeps few runs may have removed the folder meanwhile.
            Err(_) if folder.is_dir() => self.write_once(folder),
            written => written,
        }
    }

    fn write_once(&self, folder: &Path) -> Result<PathBuf> {
        let runs = folder.join("runs");
        let own = runs.join(&self.run_id);
        std::fs::create_dir_all(&own).map_err(|e| Error::io(&own, "create", &e))?;
        let pretty = serde_json::to_string_pretty(&self.value()).unwrap_or_default();
        let path = own.join("run.json");
        for target in [&path, &runs.join("latest.json")] {
            let draft = own.join("run.json.part");
            std::fs::write(&draft, &pretty).map_err(|e| Error::io(&draft, "write", &e))?;
            std::fs::rename(&draft, target).map_err(|e| Error::io(target, "write", &e))?;
        }
        Ok(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stage_that_goes_on_keeps_its_place() {
        let mut report = RunReport::new("run");
        for (name, seconds) in [("extract", 1.0), ("load", 4.0), ("extract", 2.0)] {
            report.stage(name, seconds);
        }
        let stages: Vec<_> = report.stages.iter().map(|stage| (stage.name.as_str(), stage.seconds)).collect();
        assert_eq!(stages, [("extract", 3.0), ("load", 4.0)]);
    }
}

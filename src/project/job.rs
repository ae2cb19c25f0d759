//! The job file: what one job extracts, how it is transformed, scored, checked and loaded. Reading it collects every
//! fault; what comes out has nothing left to decide.

use std::path::{Path, PathBuf};

use chrono::{DateTime, NaiveDate, Utc};
use chrono_tz::Tz;
use serde::Serialize;

use super::check_spec::{self, Check, QuarantineSpec};
use super::cron::Schedule;
use super::drift_spec::{self, DriftSpec};
pub use super::file_source::{CsvOptions, FileFormat, FileSource};
use super::gate_spec::{self, Gate};
pub use super::table_spec::{MissingLookback, SqlFile, TableSource, TableSpec, of_dates};
use super::zones::zone;
use crate::config::{At, Source, Table, meant};
use crate::error::{Error, Result};
use crate::interval::Grain;
use crate::models::ModelRef;
use crate::plain_file;

#[derive(Clone, Debug)]
pub struct Job {
    pub name: String,
    pub file: PathBuf,
    pub description: String,
    /// When a scheduler starts it.
    pub schedule: Option<Schedule>,
    pub zone: Tz,
    pub grain: Grain,
    /// The first and the last date for which the job has data.
    pub starts: Option<NaiveDate>,
    pub ends: Option<NaiveDate>,
    pub key: Vec<String>,
    pub extract: Vec<TableSpec>,
    pub transform: SqlFile,
    pub score: Option<ScoreSpec>,
    pub load: LoadSpec,
    pub checks: Vec<Check>,
    pub quarantine: QuarantineSpec,
    pub gates: Vec<Gate>,
    pub drift: DriftSpec,
    pub on_empty: OnEmpty,
    /// Rows handed from stage to stage at a time.
    pub batch_rows: usize,
    /// SHA-256 of the job file and of the SQL files it names.
    pub config_digest: String,
}

#[derive(Clone, Debug)]
pub struct ScoreSpec {
    /// `folder@alias` or `folder@version` below the project's root.
    pub model: ModelRef,
    /// Which of the model's outputs are published, and under which names; all under their own when nothing is said.
    pub outputs: Option<Outputs>,
    pub max_bad_fraction: f64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Outputs {
    /// A name for each, in order.
    All(Vec<String>),
    /// Some, each with its new name: by its number, counted from 0, or by the name that the model has for it.
    Chosen(Vec<(String, Output)>),
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Output {
    Number(usize),
    Name(String),
}

impl Job {
    /// When its schedule is due next.
    pub fn next_due(&self, at: DateTime<Utc>) -> Option<DateTime<Utc>> {
        self.schedule.as_ref()?.next(at, self.zone)
    }
}

impl Outputs {
    /// The published names, and for each the number of the model's output.
    pub fn resolve(&self, own: &[String]) -> Result<(Vec<String>, Vec<usize>)> {
        let they_are = || format!("the outputs are: {}", own.join(", "));
        match self {
            Outputs::All(names) if names.len() == own.len() => Ok((names.clone(), (0..own.len()).collect())),
            Outputs::All(names) => Err(Error::config(format!(
                "score.outputs names {} columns, but the model has {} outputs",
                names.len(),
                own.len()
            ))
            .hint(format!("to publish some of them, write outputs = {{ NAME = 1 }}, counted from 0; {}", they_are()))),
            Outputs::Chosen(chosen) => {
                let one = |(name, output): &(String, Output)| {
                    let at = match output {
                        Output::Number(at) => Some(*at).filter(|at| *at < own.len()),
                        Output::Name(wanted) => own.iter().position(|name| name == wanted),
                    };
                    let shown = serde_json::to_string(output).unwrap_or_default();
                    let missing = || Error::config(format!("score.outputs: the model has no output {shown}"));
                    Ok((name.clone(), at.ok_or_else(|| missing().hint(they_are()))?))
                };
                Ok(chosen.iter().map(one).collect::<Result<Vec<_>>>()?.into_iter().unzip())
            }
        }
    }
}

#[derive(Clone, Debug)]
pub struct LoadSpec {
    pub table: String,
    /// Columns of the transform to publish beside the key and the scores. An ETL job publishes all.
    pub keep: Vec<String>,
    /// A published date or timestamp that must lie in the interval.
    pub time: Option<String>,
    pub on_schema_change: SchemaChange,
}

/// What becomes of published columns that the table does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SchemaChange {
    Refuse,
    Append,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnEmpty {
    Error,
    Replace,
    Skip,
}

impl Job {
    /// Reads `jobs/NAME.toml` for one target. Every fault of the file is reported at once.
    pub fn open(root: &Path, name: &str, target: &str, connections: &[&str], batch_rows: usize) -> Result<Job> {
        let file = root.join("jobs").join(format!("{name}.toml"));
        if !valid_name(name) || !file.is_file() {
            let jobs = list(root)?;
            let mut error = Error::config(format!("there is no job {name:?} in {}", root.join("jobs").display()));
            error.hint = meant(name, jobs.iter().map(String::as_str)).or_else(|| {
                Some(format!("the jobs are: {}", if jobs.is_empty() { "none".into() } else { jobs.join(", ") }))
            });
            return Err(error);
        }
        let source = Source::open(&file)?;
        let mut digest = vec![source.text().to_owned()];
        let job = source.read(&crate::keys::JOB, |root_table| {
            let mut reader = JobReader { root, target, connections, digest: &mut digest };
            reader.job(name, &file, root_table, batch_rows)
        });
        match job {
            Some(mut job) if !source.has_faults() => {
                job.config_digest = crate::digest::hex(digest.join("\0").as_bytes());
                Ok(job)
            }
            _ => Err(Error::faults(source.into_faults())),
        }
    }
}

/// The names of all jobs of a project, sorted.
pub fn list(root: &Path) -> Result<Vec<String>> {
    let folder = root.join("jobs");
    let entries = match std::fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(Error::config(format!("cannot read {}", folder.display())).cause(e)),
    };
    let mut names: Vec<String> = entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok()?.strip_suffix(".toml").map(str::to_owned))
        .collect();
    names.sort();
    Ok(names)
}

/// Letters, digits, `_` and `-`: a job's name is also a folder's, a lock's and a metric's.
pub fn valid_name(name: &str) -> bool {
    !name.is_empty() && name.len() <= 63 && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'))
}

fn date(table: &Table<'_>, key: &str) -> Option<NaiveDate> {
    let at = table.string(key)?;
    let date = crate::interval::parse_date(&at.value).ok();
    if date.is_none() {
        table.fault_hint(at.line, format!("{key} = {:?} is not a date", at.value), "as in \"2013-06-01\"");
    }
    date
}

pub(super) struct JobReader<'a> {
    root: &'a Path,
    pub(super) target: &'a str,
    pub(super) connections: &'a [&'a str],
    digest: &'a mut Vec<String>,
}

impl JobReader<'_> {
    fn job(&mut self, name: &str, file: &Path, table: &Table<'_>, batch_rows: usize) -> Option<Job> {
        let description = table.string("description").map(|at| at.value).unwrap_or_default();
        let schedule = table.string("schedule").and_then(|at| match Schedule::parse(&at.value) {
            Ok(schedule) => Some(schedule),
            Err(what) => {
                table.fault_hint(
                    at.line,
                    format!("schedule = {:?} is no line of cron: {what}", at.value),
                    "minute, hour, day of the month, month, day of the week: \"0 3 * * *\" is every night at three",
                );
                None
            }
        });
        let zone = table.string("timezone").and_then(|at| zone(table, "timezone", &at));
        let grain =
            table.word("grain", &[("day", Grain::Day), ("hour", Grain::Hour)]).map_or(Grain::Day, |at| at.value);
        let (starts, ends) = (date(table, "starts"), date(table, "ends"));
        let key = self.key(table);
        let on_empty = table
            .word("on_empty", &[("error", OnEmpty::Error), ("replace", OnEmpty::Replace), ("skip", OnEmpty::Skip)])
            .map_or(OnEmpty::Error, |at| at.value);
        let batch_rows = table.count("batch_rows").map_or(batch_rows, |at| at.value);
        let extract = self.extract(table);
        let transform = table.table("transform").and_then(|section| {
            let at = section.string("sql")?;
            self.sql(&section, at)
        });
        let score = table.table("score").map(|section| self.score(&section));
        let load = table.table("load").and_then(|section| self.load(&section));
        let drift = table.table("drift").map(|section| drift_spec::drift(&section)).unwrap_or_default();
        let checks = check_spec::checks(&table.tables("check"));
        let gates = gate_spec::gates(&table.tables("gate"), score.is_some());
        let quarantine = table.table("quarantine").map(|section| check_spec::quarantine(&section)).unwrap_or_default();
        Some(Job {
            name: name.to_owned(),
            file: file.to_owned(),
            description,
            schedule,
            zone: zone?,
            grain,
            starts,
            ends,
            key: key?,
            extract,
            transform: transform?,
            score: match score {
                Some(score) => Some(score?),
                None => None,
            },
            load: load?,
            checks,
            quarantine,
            gates,
            drift,
            on_empty,
            batch_rows,
            config_digest: String::new(),
        })
    }

    fn key(&self, table: &Table<'_>) -> Option<Vec<String>> {
        let at = table.strings("key")?;
        if at.value.is_empty() {
            table.fault(at.line, "key must name at least one column");
            return None;
        }
        let distinct: std::collections::BTreeSet<_> = at.value.iter().collect();
        if distinct.len() < at.value.len() {
            table.fault(at.line, "key names a column twice");
            return None;
        }
        Some(at.value)
    }

    pub(super) fn sql(&mut self, table: &Table<'_>, at: At<String>) -> Option<SqlFile> {
        let path = self.root.join(&at.value);
        let bytes = plain_file::read(&path, plain_file::SETTINGS);
        match bytes.and_then(|b| {
            String::from_utf8(b).map_err(|_| Error::config(format!("{} is not UTF-8 text", path.display())))
        }) {
            Ok(text) => {
                let text = text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text);
                self.digest.push(text.clone());
                Some(SqlFile { path, text })
            }
            Err(error) => {
                let hint = "paths are taken from the project's folder";
                table.fault_hint(at.line, error.to_string().replace("\n  ", ": "), hint);
                None
            }
        }
    }

    fn score(&self, table: &Table<'_>) -> Option<ScoreSpec> {
        let model = table.string("model");
        let max_bad_fraction = table.float("max_bad_fraction").map_or(0.0, |at| at.value);
        let outputs = outputs(table);
        let reference = model.as_ref().and_then(|at| ModelRef::parse(&at.value));
        if let (Some(at), None) = (&model, &reference) {
            table.fault_hint(
                at.line,
                format!("score.model {:?} does not say which version", at.value),
                "write folder@alias or folder@version, as in models/flight_delay@champion",
            );
        }
        Some(ScoreSpec { model: reference?, outputs, max_bad_fraction })
    }

    fn load(&self, table: &Table<'_>) -> Option<LoadSpec> {
        let name = table.string("table");
        let keep = table.strings("keep").map(|at| at.value).unwrap_or_default();
        let time = table.string("time").map(|at| at.value);
        let at = name?;
        if let Err(error) = crate::identifier::Identifier::new(&at.value) {
            table.fault(at.line, format!("load.table: {}", error.message));
            return None;
        }
        let lower = at.value.to_lowercase();
        if ["daymill_", "sqlite_", "pg_"].iter().any(|prefix| lower.starts_with(prefix)) {
            table.fault(at.line, format!("load.table {:?} begins as names of Daymill or of the database do", at.value));
        }
        let on_schema_change = table
            .word("on_schema_change", &[("refuse", SchemaChange::Refuse), ("append", SchemaChange::Append)])
            .map_or(SchemaChange::Refuse, |at| at.value);
        Some(LoadSpec { table: at.value, keep, time, on_schema_change })
    }
}

/// `["a", "b"]` names all; `{ a = 1 }` or `{ a = "its name" }` chooses some.
fn outputs(table: &Table<'_>) -> Option<Outputs> {
    if !table.is_table("outputs") {
        return table.strings("outputs").map(|at| Outputs::All(at.value));
    }
    let section = table.table("outputs")?;
    let output = |name: String| {
        let output = match section.is_string(&name) {
            true => Output::Name(section.string(&name)?.value),
            false => Output::Number(section.count(&name)?.value),
        };
        Some((name, output))
    };
    let chosen: Vec<_> = section.keys().into_iter().filter_map(output).collect();
    if chosen.is_empty() {
        table.fault(section.line(), "score.outputs must choose at least one output");
    }
    Some(Outputs::Chosen(chosen))
}

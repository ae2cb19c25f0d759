//! The job file: what one job extracts, how it is transformed, scored, checked and loaded. Reading it collects every
//! fault; what comes out has nothing left to decide.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use chrono::NaiveDate;
use chrono_tz::Tz;

use super::reader::{At, Source, Table, meant};
use crate::error::{Error, Result};
use crate::interval::Grain;

#[derive(Clone, Debug)]
pub struct Job {
    pub name: String,
    pub file: PathBuf,
    pub description: String,
    pub schedule: Option<String>,
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
    pub on_empty: OnEmpty,
    /// Rows handed from stage to stage at a time.
    pub batch_rows: usize,
    /// SHA-256 of the job file and of the SQL files it names.
    pub config_digest: String,
}

#[derive(Clone, Debug)]
pub struct SqlFile {
    pub path: PathBuf,
    pub text: String,
}

#[derive(Clone, Debug)]
pub struct TableSpec {
    pub name: String,
    pub source: TableSource,
    /// Whole local days before the interval that the table also holds.
    pub lookback_days: u64,
    pub missing_lookback: MissingLookback,
    /// Declared columns; empty when the job declares none and takes the table as it comes.
    pub columns: Vec<(String, ColumnType)>,
}

#[derive(Clone, Debug)]
pub enum TableSource {
    Parquet {
        /// Path below the project's root; `{date}`, `{year}`, `{month}`, `{day}`, `{hour}` and globs.
        template: String,
        /// Rows outside the table's span are left unread by this column.
        time_column: Option<String>,
    },
    Postgres {
        connection: String,
        sql: SqlFile,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MissingLookback {
    Error,
    Allow,
}

/// The families of types that a job can declare; each is one column type in every source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ColumnType {
    Int,
    Float,
    Text,
    Bool,
    Date,
    Timestamp,
}

pub const COLUMN_TYPES: [(&str, ColumnType); 6] = [
    ("int", ColumnType::Int),
    ("float", ColumnType::Float),
    ("text", ColumnType::Text),
    ("bool", ColumnType::Bool),
    ("date", ColumnType::Date),
    ("timestamp", ColumnType::Timestamp),
];

impl ColumnType {
    pub fn name(self) -> &'static str {
        COLUMN_TYPES.iter().find(|(_, t)| *t == self).map_or("?", |(name, _)| name)
    }
}

#[derive(Clone, Debug)]
pub struct ScoreSpec {
    /// `folder@alias` or `folder@version` below the project's root.
    pub model: String,
    /// Column names for the model's outputs, when the job renames them.
    pub outputs: Option<Vec<String>>,
    pub max_bad_fraction: f64,
}

#[derive(Clone, Debug)]
pub struct LoadSpec {
    pub table: String,
    /// Columns of the transform to publish beside the key and the scores. An ETL job publishes all.
    pub keep: Vec<String>,
}

#[derive(Clone, Debug)]
pub struct Check {
    pub line: usize,
    /// `None` only for a check of the number of rows.
    pub column: Option<String>,
    pub rule: Rule,
    pub severity: Severity,
}

#[derive(Clone, Debug)]
pub enum Rule {
    Range(f64, f64),
    NotNull,
    Values(Vec<String>),
    Mean(f64, f64),
    Rows(f64, f64),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    Error,
    Warn,
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
        let job = source.read(|root_table| {
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
    let entries =
        std::fs::read_dir(&folder).map_err(|e| Error::config(format!("cannot read {}", folder.display())).cause(e))?;
    let mut names: Vec<String> = entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok()?.strip_suffix(".toml").map(str::to_owned))
        .collect();
    names.sort();
    Ok(names)
}

/// Letters, digits, `_` and `-`: a job's name is also a folder's, a lock's and a metric's.
fn valid_name(name: &str) -> bool {
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

struct JobReader<'a> {
    root: &'a Path,
    target: &'a str,
    connections: &'a [&'a str],
    digest: &'a mut Vec<String>,
}

impl JobReader<'_> {
    fn job(&mut self, name: &str, file: &Path, table: &Table<'_>, batch_rows: usize) -> Option<Job> {
        let description = table.string("description").map(|at| at.value).unwrap_or_default();
        let schedule = table.string("schedule").map(|at| at.value);
        let zone = self.zone(table);
        let grain =
            table.word("grain", &[("day", Grain::Day), ("hour", Grain::Hour)]).map_or(Grain::Day, |at| at.value);
        let (starts, ends) = (date(table, "starts"), date(table, "ends"));
        let key = self.key(table);
        let on_empty = table
            .word("on_empty", &[("error", OnEmpty::Error), ("replace", OnEmpty::Replace), ("skip", OnEmpty::Skip)])
            .map_or(OnEmpty::Error, |at| at.value);
        let batch_rows = table.count("batch_rows").map_or(batch_rows, |at| at.value);
        let extract = self.extract(table);
        let transform = match table.table("transform") {
            Some(section) => {
                let sql = section.required_string("sql").and_then(|at| self.sql(&section, at));
                section.finish();
                sql
            }
            None => {
                table.fault(0, "[transform] is missing: name the SQL file that builds the rows");
                None
            }
        };
        let score = table.table("score").map(|section| self.score(&section));
        let load = match table.table("load") {
            Some(section) => self.load(&section),
            None => {
                table.fault(0, "[load] is missing: name the table to publish to");
                None
            }
        };
        let checks = table.tables("check").iter().filter_map(|section| check(section)).collect();
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
            on_empty,
            batch_rows,
            config_digest: String::new(),
        })
    }

    fn zone(&self, table: &Table<'_>) -> Option<Tz> {
        let at = table.required_string("timezone")?;
        match at.value.parse() {
            Ok(zone) => Some(zone),
            Err(_) => {
                let hint = meant(&at.value, chrono_tz::TZ_VARIANTS.iter().map(|z| z.name()))
                    .unwrap_or_else(|| "as in \"America/New_York\" or \"UTC\"".into());
                table.fault_hint(at.line, format!("timezone {:?} is not an IANA time zone", at.value), hint);
                None
            }
        }
    }

    fn key(&self, table: &Table<'_>) -> Option<Vec<String>> {
        if !table.has("key") {
            table.fault(0, "key is missing: the columns that tell one row from another, as in key = [\"id\"]");
        }
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

    fn extract(&mut self, table: &Table<'_>) -> Vec<TableSpec> {
        let Some(section) = table.table("extract") else {
            table.fault(0, "[extract.NAME] is missing: a job needs at least one table to read");
            return Vec::new();
        };
        let names = section.keys();
        let overrides = self.overrides(table, &names);
        let mut specs = Vec::new();
        for name in names {
            let Some(own) = section.table(&name) else { continue };
            let columns = columns(&own);
            let lookback_days = own.string("lookback").map_or(0, |at| lookback(&own, &at));
            let missing_lookback = own
                .word("missing_lookback", &[("error", MissingLookback::Error), ("allow", MissingLookback::Allow)])
                .map_or(MissingLookback::Error, |at| at.value);
            let default = self.source(&name, &own);
            own.finish();
            let source = match overrides.get(&name) {
                Some(replaced) => replaced.clone(),
                None => default,
            };
            if let Some(source) = source {
                specs.push(TableSpec { name, source, lookback_days, missing_lookback, columns });
            }
        }
        section.finish();
        specs
    }

    /// `[target.NAME.extract.TABLE]`: where a table comes from when this target is chosen. All targets are read, so
    /// that a fault in one shows before it is used; only the chosen one counts.
    fn overrides(&mut self, table: &Table<'_>, tables: &[String]) -> BTreeMap<String, Option<TableSource>> {
        let mut chosen = BTreeMap::new();
        let Some(targets) = table.table("target") else { return chosen };
        for target in targets.keys() {
            let Some(section) = targets.table(&target) else { continue };
            if let Some(extract) = section.table("extract") {
                for name in extract.keys() {
                    let Some(own) = extract.table(&name) else { continue };
                    if !tables.contains(&name) {
                        own.fault(
                            own.line(),
                            format!("target.{target}.extract.{name} overrides a table that [extract] does not have"),
                        );
                    }
                    let source = self.source(&name, &own);
                    own.finish();
                    if target == self.target {
                        chosen.insert(name, source);
                    }
                }
            }
            section.finish();
        }
        chosen
    }

    fn source(&mut self, name: &str, table: &Table<'_>) -> Option<TableSource> {
        let (parquet, sql) = (table.string("parquet"), table.string("sql"));
        let (connection, time_column) = (table.string("connection"), table.string("time_column"));
        match (parquet, sql, connection) {
            (Some(at), None, None) => {
                if at.value.split('/').any(|part| part == "..") || at.value.contains('\0') {
                    table.fault(at.line, format!("extract.{name}.parquet leaves the project with \"..\""));
                }
                placeholders(table, &at);
                Some(TableSource::Parquet { template: at.value, time_column: time_column.map(|at| at.value) })
            }
            (None, Some(sql), Some(connection)) => {
                if !self.connections.contains(&connection.value.as_str()) {
                    let hint = meant(&connection.value, self.connections.iter().copied())
                        .unwrap_or_else(|| format!("add [connection.{}] to daymill.toml", connection.value));
                    table.fault_hint(connection.line, format!("there is no connection {:?}", connection.value), hint);
                }
                let sql = self.sql(table, sql)?;
                Some(TableSource::Postgres { connection: connection.value, sql })
            }
            _ => {
                table.fault_hint(
                    table.line(),
                    format!("extract.{name} must say where its rows come from"),
                    "either parquet = \"path\", or connection = \"name\" and sql = \"file\"",
                );
                None
            }
        }
    }

    fn sql(&mut self, table: &Table<'_>, at: At<String>) -> Option<SqlFile> {
        let path = self.root.join(&at.value);
        match std::fs::read_to_string(&path) {
            Ok(text) => {
                let text = text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text);
                self.digest.push(text.clone());
                Some(SqlFile { path, text })
            }
            Err(error) => {
                table.fault(at.line, format!("cannot read {}: {error}", path.display()));
                None
            }
        }
    }

    fn score(&self, table: &Table<'_>) -> Option<ScoreSpec> {
        let model = table.required_string("model");
        let max_bad_fraction = table.float("max_bad_fraction").map_or(0.0, |at| {
            if !(0.0..=1.0).contains(&at.value) {
                table.fault(at.line, "score.max_bad_fraction must be from 0 to 1");
            }
            at.value
        });
        let spec = ScoreSpec {
            model: model.as_ref().map(|at| at.value.clone()).unwrap_or_default(),
            outputs: table.strings("outputs").map(|at| at.value),
            max_bad_fraction,
        };
        if let Some(at) = &model
            && !at.value.contains('@')
        {
            table.fault_hint(
                at.line,
                format!("score.model {:?} does not say which version", at.value),
                "write folder@alias or folder@version, as in models/flight_delay@champion",
            );
        }
        table.finish();
        model.map(|_| spec)
    }

    fn load(&self, table: &Table<'_>) -> Option<LoadSpec> {
        let name = table.required_string("table");
        let keep = table.strings("keep").map(|at| at.value).unwrap_or_default();
        table.finish();
        let at = name?;
        if let Err(error) = crate::identifier::Identifier::new(&at.value) {
            table.fault(at.line, format!("load.table: {}", error.message));
            return None;
        }
        Some(LoadSpec { table: at.value, keep })
    }
}

fn columns(table: &Table<'_>) -> Vec<(String, ColumnType)> {
    let Some(section) = table.table("columns") else { return Vec::new() };
    let read = |name: String| section.word(&name, &COLUMN_TYPES).map(|at| (name.clone(), at.value));
    section.keys().into_iter().filter_map(read).collect()
}

/// `7d`: whole local days.
fn lookback(table: &Table<'_>, at: &At<String>) -> u64 {
    let days = at.value.strip_suffix('d').and_then(|n| n.parse().ok()).filter(|n| (1..=3660).contains(n));
    days.unwrap_or_else(|| {
        table.fault_hint(at.line, format!("lookback {:?} is not a number of days", at.value), "write it as \"7d\"");
        0
    })
}

fn placeholders(table: &Table<'_>, at: &At<String>) {
    const KNOWN: [&str; 5] = ["date", "year", "month", "day", "hour"];
    for (i, _) in at.value.match_indices('{') {
        let name = at.value[i + 1..].split('}').next().unwrap_or_default();
        if !KNOWN.contains(&name) {
            table.fault_hint(
                at.line,
                format!("unknown placeholder {{{name}}} in {:?}", at.value),
                "known are {date}, {year}, {month}, {day} and {hour}",
            );
        }
    }
}

fn check(table: &Table<'_>) -> Option<Check> {
    let column = table.string("column").map(|at| at.value);
    let severity = table
        .word("severity", &[("error", Severity::Error), ("warn", Severity::Warn)])
        .map_or(Severity::Error, |at| at.value);
    let range = table.range("range").map(|at| Rule::Range(at.value.0, at.value.1));
    let mean = table.range("mean").map(|at| Rule::Mean(at.value.0, at.value.1));
    let rows = table.range("rows").map(|at| Rule::Rows(at.value.0, at.value.1));
    let values = table.strings("values").map(|at| Rule::Values(at.value));
    let not_null = table.boolean("not_null").filter(|at| at.value).map(|_| Rule::NotNull);
    table.finish();
    let mut rules: Vec<Rule> = [range, mean, rows, values, not_null].into_iter().flatten().collect();
    let of_rows = matches!(rules.first(), Some(Rule::Rows(..)));
    if rules.len() != 1 || (column.is_none() != of_rows) {
        table.fault_hint(
            table.line(),
            "a [[check]] has one rule: range, not_null, values or mean of a column, or rows without one",
            "write one [[check]] per rule",
        );
        return None;
    }
    Some(Check { line: table.line(), column, rule: rules.remove(0), severity })
}

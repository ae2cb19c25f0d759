//! What made the rows of an interval: the job's definition, its SQL, the model, the code, the inputs. Two runs with one
//! fingerprint give the same rows; where a recorded one differs from today's, the rows are stale, and this says why.

use std::fmt;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::digest;
use crate::interval::Grain;
use crate::project::Job;
use crate::project::job::{FileFormat, FileSource, TableSource, TableSpec};

/// Grows when the same job on the same inputs may give other rows than before.
const CODE: u32 = 1;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Fingerprint {
    pub config: String,
    pub sql: String,
    pub model: Option<String>,
    pub code: u32,
    pub inputs: String,
}

/// Something that was read: a file, or the rows that a query gave.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    pub table: String,
    /// A path below the project's root, or `postgres://user@host:port/database`.
    pub from: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// Microseconds since 1970; with the size, a sign that a file is still the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub modified: Option<i64>,
    /// Of the file's bytes, or of the rows in any order.
    pub digest: String,
}

/// Why rows that stand are not what a run would make now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "changed", rename_all = "snake_case")]
pub enum Reason {
    Config,
    Sql,
    Model {
        from: Option<String>,
        to: Option<String>,
    },
    Code,
    /// Late data: the tables or files that are not what they were.
    Input {
        names: Vec<String>,
    },
    /// The rows were published before their interval had ended.
    Partial,
    /// The ledger was older than fingerprints when the rows were published.
    Unknown,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let model = |m: &Option<String>| m.as_deref().and_then(|m| m.split(' ').next()).unwrap_or("none").to_owned();
        match self {
            Reason::Config => write!(f, "job file changed"),
            Reason::Sql => write!(f, "SQL changed"),
            Reason::Model { from, to } if model(from) == model(to) => {
                write!(f, "model changed: {} is another bundle now", model(to))
            }
            Reason::Model { from, to } => write!(f, "model changed: {} to {}", model(from), model(to)),
            Reason::Code => write!(f, "Daymill changed"),
            Reason::Input { names } => {
                let more = if names.len() > 2 { format!(" and {} more", names.len() - 2) } else { String::new() };
                write!(f, "input changed: {}{more}", names[..names.len().min(2)].join(", "))
            }
            Reason::Partial => write!(f, "published before it had ended"),
            Reason::Unknown => write!(f, "published by an older Daymill"),
        }
    }
}

impl Fingerprint {
    /// `model` is the label of the bundle and its digest.
    pub fn new(root: &Path, job: &Job, model: Option<String>, sources: &[Source]) -> Fingerprint {
        Fingerprint { config: config(job), sql: sql(root, job), model, code: CODE, inputs: inputs(sources) }
    }

    /// Why the rows that `self` made are stale, given what would make them now.
    pub fn stale(&self, now: &Fingerprint) -> Vec<Reason> {
        let mut reasons = Vec::new();
        if self.model != now.model {
            reasons.push(Reason::Model { from: self.model.clone(), to: now.model.clone() });
        }
        if self.sql != now.sql {
            reasons.push(Reason::Sql);
        }
        if self.config != now.config {
            reasons.push(Reason::Config);
        }
        if self.code != now.code {
            reasons.push(Reason::Code);
        }
        reasons
    }
}

/// Which of the recorded sources are not what they were; a source that came or went counts too.
pub fn changed(recorded: &[Source], now: &[Source]) -> Option<Reason> {
    let same = |a: &Source, b: &Source| (&a.table, &a.from) == (&b.table, &b.from);
    let mut names: Vec<String> = Vec::new();
    for source in recorded {
        match now.iter().find(|s| same(s, source)) {
            Some(found) if found.digest == source.digest => {}
            Some(_) => names.push(source.from.clone()),
            None => names.push(format!("{} is gone", source.from)),
        }
    }
    names.extend(now.iter().filter(|s| !recorded.iter().any(|r| same(r, s))).map(|s| format!("{} is new", s.from)));
    (!names.is_empty()).then_some(Reason::Input { names })
}

fn inputs(sources: &[Source]) -> String {
    let mut lines: Vec<String> = sources.iter().map(|s| format!("{}\0{}\0{}", s.table, s.from, s.digest)).collect();
    lines.sort();
    digest::hex(lines.join("\n").as_bytes())
}

/// What of the job file decides which rows are published. Words for people, gates and the schedule do not.
fn config(job: &Job) -> String {
    let table = |spec: &TableSpec| {
        let columns: Vec<_> = spec.columns.iter().map(|(name, kind)| (name, kind.name())).collect();
        let source = match &spec.source {
            TableSource::Files(source) => files(source),
            TableSource::Query { connection, .. } => json!({"connection": connection}),
        };
        let mut value =
            json!({"name": spec.name, "source": source, "lookback": spec.lookback_days, "columns": columns});
        // Of a table without zones the words are those of earlier versions: nothing is stale by an upgrade.
        if spec.zone.is_some() || !spec.zones.is_empty() {
            let own: Vec<_> = spec.zones.iter().map(|(name, zone)| (name, zone.name())).collect();
            value["zones"] = json!([spec.zone.map(|zone| zone.name()), own]);
        }
        if !spec.formats.is_empty() {
            value["formats"] = json!(spec.formats);
        }
        value
    };
    let mut value = json!({
        "zone": job.zone.name(), "grain": if job.grain == Grain::Day { "day" } else { "hour" }, "key": job.key,
        "extract": job.extract.iter().map(table).collect::<Vec<_>>(),
        "outputs": job.score.as_ref().and_then(|s| s.outputs.clone()), "table": job.load.table, "keep": job.load.keep,
    });
    // A rule that takes rows away decides which are published. A job without one is as it was in earlier versions.
    let removing: Vec<_> = job
        .checks
        .iter()
        .filter(|check| check.on_fail.removes())
        .map(|check| json!([check.column, format!("{:?}", check.rule), check.on_fail]))
        .collect();
    if !removing.is_empty() {
        value["removing"] = removing.into();
    }
    digest::hex(value.to_string().as_bytes())
}

fn files(source: &FileSource) -> serde_json::Value {
    let (path, time_column) = (&source.template, &source.time_column);
    match &source.format {
        FileFormat::Parquet => json!({"parquet": path, "time_column": time_column}),
        FileFormat::Csv(options) => json!({"csv": path, "time_column": time_column, "options": options}),
        FileFormat::JsonLines => json!({"jsonl": path, "time_column": time_column}),
    }
}

fn sql(root: &Path, job: &Job) -> String {
    let extract = job.extract.iter().filter_map(|spec| match &spec.source {
        TableSource::Query { sql, .. } => Some(sql),
        TableSource::Files(_) => None,
    });
    let files: Vec<String> = extract
        .chain(std::iter::once(&job.transform))
        .map(|file| format!("{}\0{}", file.path.strip_prefix(root).unwrap_or(&file.path).display(), file.text))
        .collect();
    digest::hex(files.join("\0\0").as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(from: &str, digest: &str) -> Source {
        Source { table: "t".into(), from: from.into(), bytes: None, modified: None, digest: digest.into() }
    }

    #[test]
    fn a_change_names_what_changed() {
        let before = [source("a", "1"), source("b", "2")];
        assert_eq!(changed(&before, &before), None);
        let reason = changed(&before, &[source("a", "9"), source("c", "3")]).unwrap().to_string();
        assert_eq!(reason, "input changed: a, b is gone and 1 more");
        assert_eq!(inputs(&before), inputs(&[source("b", "2"), source("a", "1")]));
    }
}

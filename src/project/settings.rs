//! daymill.toml: the project and its connections.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::connection::{Connection, Target};
use super::job::Job;
use crate::config::{Source, meant};
use crate::error::{Error, Result};

pub const FILE: &str = "daymill.toml";
/// Rows per batch unless the project or the job says otherwise.
pub const BATCH_ROWS: usize = 16_384;
const KEEP_RUNS: usize = 1000;

#[derive(Debug)]
pub struct Project {
    pub root: PathBuf,
    /// What tells it from other projects that publish to the same warehouse.
    pub id: Option<String>,
    pub connections: BTreeMap<String, Connection>,
    pub targets: BTreeMap<String, Target>,
    pub default_target: Option<String>,
    pub batch_rows: usize,
    /// Scoring threads; 0 is one per core.
    pub threads: usize,
    /// Folders of runs that are kept below .daymill/runs.
    pub keep_runs: usize,
}

/// Letters, digits, `_` and `-`.
fn id(table: &crate::config::Table<'_>) -> Option<String> {
    let at = table.string("id")?;
    let fine = (1..=64).contains(&at.value.len())
        && at.value.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'));
    if !fine {
        table.fault(at.line, "id must be 1 to 64 letters, digits, \"_\" or \"-\"");
    }
    fine.then_some(at.value)
}

impl Project {
    /// The project in `start` or in the nearest folder above it that has a daymill.toml.
    pub fn find(start: &Path) -> Result<PathBuf> {
        let start = std::path::absolute(start).map_err(|e| Error::io(start, "resolve", &e))?;
        start.ancestors().find(|folder| folder.join(FILE).is_file()).map(Path::to_owned).ok_or_else(|| {
            Error::config(format!("there is no {FILE} in {} or above it", start.display()))
                .hint("go to the project's folder, pass --project DIR, or make one with: daymill init DIR")
        })
    }

    pub fn open(root: &Path) -> Result<Project> {
        let source = Source::open(&root.join(FILE))?;
        let project = source.read(&crate::keys::PROJECT, |table| {
            let default_target = table.string("default_target");
            let batch_rows = table.count("batch_rows").map_or(BATCH_ROWS, |at| at.value);
            let threads = table.count("threads").map_or(0, |at| at.value);
            let keep_runs = table.count("keep_runs").map_or(KEEP_RUNS, |at| at.value);
            let mut connections = BTreeMap::new();
            if let Some(section) = table.table("connection") {
                for name in section.keys() {
                    if let Some(own) = section.table(&name) {
                        connections.insert(name.clone(), Connection::read(&name, &own));
                    }
                }
            }
            let mut targets = BTreeMap::new();
            if let Some(section) = table.table("target") {
                for name in section.keys() {
                    let Some(own) = section.table(&name) else { continue };
                    let target = Target::read(&name, root, &own);
                    if let Some(Target::Postgres { connection, .. }) = &target
                        && !connections.contains_key(connection)
                    {
                        own.fault(
                            own.line(),
                            format!("target.{name} uses the connection {connection:?}, which does not exist"),
                        );
                    }
                    if let Some(target) = target {
                        targets.insert(name, target);
                    }
                }
            }
            if let Some(at) = &default_target
                && !targets.contains_key(&at.value)
            {
                table.fault(at.line, format!("default_target {:?} is not a target", at.value));
            }
            Project {
                root: root.to_owned(),
                id: id(table),
                connections,
                targets,
                default_target: default_target.map(|at| at.value),
                batch_rows,
                threads,
                keep_runs,
            }
        });
        if source.has_faults() {
            return Err(Error::faults(source.into_faults()));
        }
        Ok(project)
    }

    /// The target that was asked for, else the project's default, else the only one.
    pub fn target_name(&self, asked: Option<&str>) -> Result<String> {
        let only = || if self.targets.len() == 1 { self.targets.keys().next().cloned() } else { None };
        let name = asked.map(str::to_owned).or_else(|| self.default_target.clone()).or_else(only);
        let names = self.targets.keys().cloned().collect::<Vec<_>>().join(", ");
        match name {
            Some(name) if self.targets.contains_key(&name) => Ok(name),
            Some(name) => {
                let mut error = Error::usage(format!("there is no target {name:?} in {FILE}"));
                error.hint = meant(&name, self.targets.keys().map(String::as_str))
                    .or_else(|| Some(format!("the targets are: {names}")));
                Err(error)
            }
            None => Err(Error::usage("which target?").hint(format!("pass --target; the targets are: {names}"))),
        }
    }

    pub fn job(&self, name: &str, target: &str) -> Result<Job> {
        let connections: Vec<&str> = self.connections.keys().map(String::as_str).collect();
        Job::open(&self.root, name, target, &connections, self.batch_rows)
    }

    pub fn connection(&self, name: &str) -> Result<&Connection> {
        self.connections.get(name).ok_or_else(|| Error::config(format!("there is no connection {name:?}")))
    }

    /// Where run.json files and work files go.
    pub fn state_folder(&self) -> PathBuf {
        self.root.join(".daymill")
    }
}

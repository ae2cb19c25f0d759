//! A case: its folder, and what its case.toml says.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::config::Source;
use crate::error::{Error, Result};
use crate::keys;
use crate::project::job;

/// The folder of all cases below a project's.
pub const FOLDER: &str = "fixtures/cases";

/// A folder of a case.
pub struct Case {
    pub folder: PathBuf,
    pub job: String,
    pub name: String,
}

/// case.toml as written.
pub struct Settings {
    pub date: String,
    pub now: Option<String>,
    pub tolerance: BTreeMap<String, f64>,
    /// The exit code that is expected, and what the error says.
    pub error: Option<(u8, String)>,
}

/// The cases of a project, or of one job.
pub fn find(root: &Path, job: Option<&str>) -> Result<Vec<Case>> {
    if let Some(name) = job
        && !job::list(root)?.iter().any(|j| j == name)
    {
        return Err(Error::config(format!("there is no job {name:?}")));
    }
    let pattern = Path::new(&glob::Pattern::escape(&root.to_string_lossy())).join(FOLDER).join("*/*/case.toml");
    let paths =
        glob::glob(&pattern.to_string_lossy()).map_err(|e| Error::defect("the pattern of cases is wrong").cause(e))?;
    let mut cases = Vec::new();
    for path in paths.flatten() {
        let folder = path.parent().map(Path::to_owned).unwrap_or_default();
        let name = |p: Option<&Path>| {
            p.and_then(Path::file_name).map(|n| n.to_string_lossy().into_owned()).unwrap_or_default()
        };
        let case = Case { name: name(Some(&folder)), job: name(folder.parent()), folder };
        if job.is_none_or(|wanted| wanted == case.job) {
            cases.push(case);
        }
    }
    Ok(cases)
}

impl Case {
    /// `job/case`
    pub fn title(&self) -> String {
        format!("{}/{}", self.job, self.name)
    }

    /// The folder of what the SQL of Postgres sources reads.
    pub fn source(&self) -> PathBuf {
        self.folder.join("source")
    }

    pub fn has_source(&self) -> bool {
        self.source().is_dir()
    }

    pub fn settings(&self) -> Result<Settings> {
        let source = Source::open(&self.folder.join("case.toml"))?;
        let settings = source.read(&keys::CASE, |table| {
            let tolerance = table.table("tolerance").map(|section| {
                section.keys().into_iter().filter_map(|key| Some((key.clone(), section.float(&key)?.value))).collect()
            });
            let message = table.string("expect_message").map(|at| at.value).unwrap_or_default();
            let code = table.integer("expect_error").and_then(|at| u8::try_from(at.value).ok());
            Some(Settings {
                date: table.string("date")?.value,
                now: table.string("now").map(|at| at.value),
                tolerance: tolerance.unwrap_or_default(),
                error: code.map(|code| (code, message)),
            })
        });
        match settings {
            Some(settings) if !source.has_faults() => Ok(settings),
            _ => Err(Error::faults(source.into_faults())),
        }
    }
}

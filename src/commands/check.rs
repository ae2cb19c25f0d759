//! `check`: everything that can be known without running, all faults at once: files, SQL, columns, types, the model's
//! contract, connections, grants.

use crate::cli::{Global, Output};
use crate::error::{Class, Error, Result};
use crate::extract::preflight;
use crate::interval::{Selection, instant, resolve};
use crate::load::preflight::check_target;
use crate::load::table::TableSchema;
use crate::output;
use crate::pipeline;
use crate::project::{Project, job};
use crate::score::Bundle;

/// What was looked at, and what was found wrong with it.
#[derive(Default)]
struct Findings {
    lines: Vec<(String, Option<Error>)>,
}

impl Findings {
    fn note<T>(&mut self, what: impl Into<String>, result: Result<T>) -> Option<T> {
        match result {
            Ok(value) => {
                self.lines.push((what.into(), None));
                Some(value)
            }
            Err(error) => {
                self.lines.push((what.into(), Some(error)));
                None
            }
        }
    }
}

pub fn check(global: &Global, only: Option<&str>, offline: bool) -> Result<u8> {
    let root = super::root(global)?;
    let project = Project::open(&root)?;
    let target = project.target_name(global.target.as_deref())?;
    let mut findings = Findings::default();
    findings.note(format!("daymill.toml, target {target}"), Ok(()));
    let names = match only {
        Some(name) => vec![name.to_owned()],
        None => job::list(&root)?,
    };
    let runtime = super::runtime()?;
    for name in &names {
        runtime.block_on(check_job(&project, name, &target, offline, &mut findings));
    }
    show(global, &findings)
}

async fn check_job(project: &Project, name: &str, target: &str, offline: bool, findings: &mut Findings) {
    let Some(job) = findings.note(format!("{name}: the job file"), project.job(name, target)) else { return };
    let now = chrono::Utc::now();
    let Ok(interval) = resolve(&Selection::AsOf(instant(now)), job.grain, job.zone, now, false) else { return };
    let bundle = match &job.score {
        Some(score) => {
            let opened = Bundle::find(&project.root, &score.model);
            match findings.note(format!("{name}: the model {}", score.model), opened) {
                Some(bundle) => Some(bundle),
                None => return,
            }
        }
        None => None,
    };
    let mut tables = Vec::new();
    for spec in &job.extract {
        let what = format!("{name}: the table {}", spec.name);
        match preflight::table(project, &job, spec, &interval, offline).await {
            Ok(Some(frame)) => {
                findings.note(what, Ok(()));
                tables.push((spec.name.clone(), frame));
            }
            Ok(None) => {}
            Err(error) => {
                findings.note::<()>(what, Err(error));
            }
        }
    }
    if tables.len() < job.extract.len() {
        return;
    }
    let planned = pipeline::plan(&job, bundle.as_ref(), &tables, &interval);
    let what =
        format!("{name}: {}", job.transform.path.strip_prefix(&project.root).unwrap_or(&job.transform.path).display());
    let Some(planned) = findings.note(what, planned) else { return };
    findings.note(
        format!("{name}: the checks"),
        crate::transform::checks::Gates::new(&job.checks, &planned.schema, &job.file),
    );
    let table = TableSchema::new(&job.load.table, &planned.schema, &job.key);
    let what = format!("{name}: the table {} in {target}", job.load.table);
    if offline {
        findings.note(what, table);
        return;
    }
    let checked = match table {
        Ok(table) => check_target(project, target, &table).await,
        Err(error) => Err(error),
    };
    findings.note(what, checked);
}

fn show(global: &Global, findings: &Findings) -> Result<u8> {
    let faults: Vec<&Error> = findings.lines.iter().filter_map(|(_, error)| error.as_ref()).collect();
    match global.output {
        Output::Json => {
            let lines: Vec<_> = findings.lines.iter().map(|(what, error)| {
                serde_json::json!({"what": what, "ok": error.is_none(), "class": error.as_ref().map(|e| e.class.name()),
                    "message": error.as_ref().map(Error::to_string), "hint": error.as_ref().and_then(|e| e.hint.clone())})
            }).collect();
            output::json(serde_json::json!({"faults": faults.len(), "checked": lines}))?;
        }
        Output::Human => {
            let line = |(what, error): &(String, Option<Error>)| match error {
                None => format!("ok      {what}"),
                Some(error) => {
                    let hint = error.hint.as_ref().map(|h| format!("\nhint: {h}")).unwrap_or_default();
                    format!("FAULT   {what}\n        {}", format!("{error}{hint}").replace('\n', "\n        "))
                }
            };
            output::result(&findings.lines.iter().map(line).collect::<Vec<_>>().join("\n"))?;
        }
    }
    let Some(first) = faults.first() else { return Ok(0) };
    // One class of fault keeps its own code; several are a matter of configuration.
    let class = if faults.iter().all(|e| e.class == first.class) { first.class } else { Class::Config };
    Err(Error::new(class, format!("{} of {} things are wrong", faults.len(), findings.lines.len())))
}

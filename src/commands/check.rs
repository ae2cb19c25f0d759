//! `check`: everything that can be known without running, all faults at once: files, SQL, columns, types, the model's
//! contract, connections, grants.

use crate::cli::{Global, Output};
use crate::error::{Class, Error, Result};
use crate::extract::preflight;
use crate::interval::{Selection, instant, resolve};
use crate::models::cache::find;
use crate::output;
use crate::pipeline;
use crate::project::{Project, job};
use crate::quality::within::Within;
use crate::transform::Lineage;
use crate::warehouse::preflight::check_target;
use crate::warehouse::table::TableSchema;

/// What was looked at, and what was found wrong with it.
#[derive(Default)]
struct Findings {
    lines: Vec<Line>,
}

#[derive(Default)]
struct Line {
    what: String,
    error: Option<Error>,
    /// What is right but may not be what was meant.
    notes: Vec<String>,
    /// Of a transform.
    columns: Vec<Lineage>,
}

impl Findings {
    fn note<T>(&mut self, what: impl Into<String>, result: Result<T>) -> Option<T> {
        match result {
            Ok(value) => {
                self.lines.push(Line { what: what.into(), ..Line::default() });
                Some(value)
            }
            Err(error) => {
                self.lines.push(Line { what: what.into(), error: Some(error), ..Line::default() });
                None
            }
        }
    }
}

impl Findings {
    /// Two jobs of one table would replace each other's rows.
    fn twice(&mut self, project: &Project, names: &[String], target: &str) {
        let jobs: Vec<_> = names.iter().filter_map(|name| project.job(name, target).ok()).collect();
        for (at, job) in jobs.iter().enumerate() {
            if let Some(other) = jobs[..at].iter().find(|other| other.load.table == job.load.table) {
                let error =
                    Error::config(format!("{} and {} both publish to {}", other.name, job.name, job.load.table));
                let error = error.hint("give one of them another load.table: a run replaces its interval");
                self.note::<()>(format!("{}: load.table", job.name), Err(error));
            }
        }
    }
}

pub fn check(global: &Global, only: Option<&str>, offline: bool, lineage: bool) -> Result<u8> {
    let root = super::shared::root(global)?;
    let project = Project::open(&root)?;
    let target = project.target_name(global.target.as_deref())?;
    let mut findings = Findings::default();
    findings.note(format!("daymill.toml, target {target}"), Ok(()));
    let outdated = super::schema::outdated(&root);
    if let (false, Some(line)) = (outdated.is_empty(), findings.lines.last_mut()) {
        let files = outdated.join(", ");
        line.notes.push(format!("for another version of Daymill: {files} (write them again: daymill schema --write)"));
    }
    let names = match only {
        Some(name) => vec![name.to_owned()],
        None => job::list(&root)?,
    };
    findings.twice(&project, &names, &target);
    let runtime = super::shared::runtime()?;
    for name in &names {
        runtime.block_on(check_job(&project, name, &target, offline, &mut findings));
    }
    show(global, &findings, lineage)
}

async fn check_job(project: &Project, name: &str, target: &str, offline: bool, findings: &mut Findings) {
    let Some(job) = findings.note(format!("{name}: the job file"), project.job(name, target)) else { return };
    if let Some(schedule) = &job.schedule {
        let never = || Error::config("it is never due").hint("is the day of the month one that the month has?");
        match job.next_due(chrono::Utc::now()).ok_or_else(never) {
            Ok(due) => {
                findings.note(format!("{name}: the schedule {}, due next at {}", schedule.text, instant(due)), Ok(()))
            }
            Err(never) => findings.note(format!("{name}: the schedule {}", schedule.text), Err(never)),
        };
    }
    if let Err(error) = job.require_interval() {
        findings.note::<()>(format!("{name}: the interval"), Err(error));
    }
    let now = chrono::Utc::now();
    let Ok(interval) = resolve(&Selection::AsOf(instant(now)), job.grain, job.zone, now, false) else { return };
    let bundle = match &job.score {
        Some(score) => {
            let opened = find(&project.root, &score.model);
            match findings.note(format!("{name}: the model {}", score.model), opened) {
                Some(bundle) => Some(std::sync::Arc::new(bundle)),
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
    if let Some(line) = findings.lines.last_mut() {
        (line.notes, line.columns) = (planned.notes.clone(), planned.columns.clone());
    }
    findings.note(format!("{name}: the checks"), planned.require_checks(&job, &interval));
    if job.load.time.is_some() {
        findings.note(format!("{name}: load.time"), Within::new(&job, &interval, &planned.schema).map(|_| ()));
    }
    let table = TableSchema::new(&job.load, &planned.schema, &job.key);
    let what = format!("{name}: the table {} in {target}", job.load.table);
    if offline {
        findings.note(what, table);
        return;
    }
    let checked = match table {
        Ok(mut table) => check_target(project, target, &job.name, &mut table).await.map(|()| table.added),
        Err(error) => Err(error),
    };
    let added = findings.note(what, checked).unwrap_or_default();
    if let (false, Some(line)) = (added.is_empty(), findings.lines.last_mut()) {
        line.notes.push(format!("the next run adds the columns {} to it", added.join(", ")));
    }
}

fn show(global: &Global, findings: &Findings, lineage: bool) -> Result<u8> {
    let faults: Vec<&Error> = findings.lines.iter().filter_map(|line| line.error.as_ref()).collect();
    match global.output {
        Output::Json => {
            let lines: Vec<_> = findings.lines.iter().map(as_json).collect();
            output::json(serde_json::json!({"faults": faults.len(), "checked": lines}))?;
        }
        Output::Human => {
            output::result(&findings.lines.iter().map(|line| as_text(line, lineage)).collect::<Vec<_>>().join("\n"))?;
        }
    }
    let Some(first) = faults.first() else { return Ok(0) };
    // One class of fault keeps its own code; several are a matter of configuration.
    let class = if faults.iter().all(|e| e.class == first.class) { first.class } else { Class::Config };
    Err(Error::new(class, format!("{} of {} things are wrong", faults.len(), findings.lines.len())))
}

fn as_json(line: &Line) -> serde_json::Value {
    let error = line.error.as_ref();
    let mut made = serde_json::json!({
        "what": line.what, "ok": error.is_none(), "class": error.map(|e| e.class.name()),
        "message": error.map(Error::to_string), "hint": error.and_then(|e| e.hint.clone()),
    });
    if !line.columns.is_empty() {
        made["columns"] = serde_json::json!(line.columns);
        made["notes"] = serde_json::json!(line.notes);
    }
    made
}

fn as_text(line: &Line, lineage: bool) -> String {
    if let Some(error) = &line.error {
        let hint = error.hint.as_ref().map(|h| format!("\nhint: {h}")).unwrap_or_default();
        return format!("FAULT   {}\n        {}", line.what, format!("{error}{hint}").replace('\n', "\n        "));
    }
    let mut out = format!("ok      {}", line.what);
    let width = line.columns.iter().map(|c| c.column.chars().count()).max().unwrap_or(0);
    for column in &line.columns {
        let (name, kind) = (&column.column, &column.kind);
        let from = match (lineage, column.from.is_empty()) {
            (false, _) => String::new(),
            (true, true) => "constant, or a count of rows".into(),
            (true, false) => format!("{} {}", if column.copied { "is" } else { "from" }, column.from.join(", ")),
        };
        out.push_str(format!("\n        {name:width$}  {kind:24}  {from}").trim_end());
    }
    for note in &line.notes {
        out.push_str(&format!("\nnote    {note}"));
    }
    out
}

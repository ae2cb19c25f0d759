//! `runs` and `show`: the ledger, read only.

use std::collections::HashMap;

use serde_json::Value;

use crate::cli::{Global, Output};
use crate::error::{Class, Error, Result};
use crate::ledger;
use crate::ledger::history::{self, RunRow, Wanted};
use crate::output;
use crate::pipeline::report::RunReport;
use crate::project::Project;
use crate::run_state::RunState;

pub fn runs(global: &Global, job: Option<&str>, limit: u16) -> Result<u8> {
    let wanted = Wanted { job, limit: limit.into(), ..Wanted::default() };
    let rows = read(global, async |db, project, target| history::runs(db, project, target, wanted).await)?;
    if rows.is_empty() && global.output == Output::Human {
        output::note("no runs yet");
        return Ok(0);
    }
    list(global, &rows)?;
    Ok(0)
}

fn list(global: &Global, rows: &[RunRow]) -> Result<()> {
    if global.output == Output::Json {
        return output::json(serde_json::to_value(rows).unwrap_or_default());
    }
    let cells = |run: &RunRow| {
        let rows = run.rows_published.map_or("-".into(), |n| output::count(n.max(0) as u64));
        let model = run.model.clone().unwrap_or_else(|| "-".into());
        vec![
            run.run_id.clone(),
            run.job.clone(),
            run.interval.clone(),
            run.state.to_string(),
            rows,
            model,
            run.started_at.chars().take(19).collect(),
        ]
    };
    let rows: Vec<_> = rows.iter().map(cells).collect();
    let header = ["run", "job", "interval", "state", "rows", "model", "started (UTC)"];
    output::result(&output::table_without(&header, &rows, &["model", "started (UTC)"]))
}

/// Prints each attempt as it begins and as it ends, until a signal.
pub fn tail(global: &Global, job: Option<&str>) -> Result<u8> {
    let progress = crate::progress::Progress::default();
    let (project, target) = super::shared::project(global)?;
    super::shared::runtime()?.block_on(async {
        super::terminal::signals(&progress);
        let mut seen: HashMap<String, RunState> = HashMap::new();
        let (mut first, mut kept) = (true, None);
        while !progress.stopped() {
            let wanted = Wanted { job, limit: 200, ..Wanted::default() };
            let session = match kept.take() {
                Some(db) => Some(db),
                None => ledger::open_to_read(&project, &target).await?,
            };
            let rows = match session {
                Some(mut db) => match (history::runs(&mut db, &project, &target, wanted).await, first) {
                    // The session was lost; the next look opens another.
                    (Err(error), false) if error.transient || error.class == Class::Unavailable => Vec::new(),
                    (rows, _) => {
                        // A server's session is kept; a file is opened anew: who may only read sees it as it was then.
                        match db.backend() {
                            Some(_) => kept = Some(db),
                            None => db.close().await,
                        }
                        rows?
                    }
                },
                None => Vec::new(),
            };
            for run in rows.iter().rev() {
                let before = seen.insert(run.run_id.clone(), run.state);
                if (first && run.state != RunState::Running) || before.as_ref() == Some(&run.state) {
                    continue;
                }
                tell(global, run)?;
            }
            first = false;
            tokio::time::sleep(std::time::Duration::from_millis(500)).await;
        }
        Ok(0)
    })
}

fn tell(global: &Global, run: &RunRow) -> Result<()> {
    if global.output == Output::Json {
        return output::json(serde_json::to_value(run).unwrap_or_default());
    }
    let rows = run
        .rows_published
        .filter(|_| run.state == RunState::Succeeded)
        .map(|n| format!(": {} rows", output::count(n.max(0) as u64)));
    let at = run.finished_at.as_ref().unwrap_or(&run.started_at);
    output::result(&format!(
        "{at} {} {} {}{}  {}",
        run.job,
        run.interval,
        run.state,
        rows.unwrap_or_default(),
        run.run_id
    ))
}

pub fn show(global: &Global, run: &str) -> Result<u8> {
    let found = read(global, async |db, project, target| match run {
        "latest" => history::runs(db, project, target, Wanted { limit: 1, ..Wanted::default() }).await,
        prefix => {
            super::shared::id(prefix)?;
            let wanted = Wanted { prefix: Some(prefix), limit: 3, ..Wanted::default() };
            history::runs(db, project, target, wanted).await
        }
    })?;
    let run = match found.as_slice() {
        [run] => run,
        [] if backfill(global, run)? => return Ok(0),
        [] => return Err(Error::usage(format!("the ledger has no run {run:?}")).hint("list them with: daymill runs")),
        _ => return Err(Error::usage(format!("more than one run begins with {run:?}")).hint("give more of its id")),
    };
    if global.output == Output::Json {
        let mut json = serde_json::to_value(run).unwrap_or_default();
        json["report"] = run.report.as_deref().and_then(|text| serde_json::from_str(text).ok()).unwrap_or(Value::Null);
        output::json(json)?;
        return Ok(0);
    }
    let mut lines = vec![
        format!("run        {}", run.run_id),
        format!("job        {} {} (attempt {})", run.job, run.interval, run.generation),
        format!("state      {}", run.state),
        format!("by         {}, pid {}", run.host, run.pid),
        format!("started    {}", run.started_at),
        format!("finished   {}", run.finished_at.as_deref().unwrap_or("-")),
        format!("model      {}", run.model.as_deref().unwrap_or("-")),
        format!("content    {}", run.content_hash.as_deref().filter(|h| !h.is_empty()).unwrap_or("-")),
    ];
    match run.report.as_deref().map(Recorded::read) {
        Some(Ok(Recorded::Failure { error })) => lines.push(format!("error      {}", output::line(&error))),
        Some(Ok(Recorded::Report(report))) => lines.extend(details(&report)),
        Some(Err(error)) => output::warn(&format!("the report of this run cannot be read: {error}")),
        None => {}
    }
    output::result(&lines.join("\n"))?;
    Ok(0)
}

/// What the ledger keeps of a run: what it printed at its end, and what it looked at.
enum Recorded {
    Report(Box<RunReport>),
    /// Of an attempt that published nothing.
    Failure {
        error: String,
    },
}

impl Recorded {
    fn read(text: &str) -> serde_json::Result<Recorded> {
        #[derive(serde::Deserialize)]
        struct Failure {
            error: String,
        }
        match serde_json::from_str::<Failure>(text) {
            Ok(Failure { error }) => Ok(Recorded::Failure { error }),
            // What stands in the ledger may be anybody's.
            Err(_) => {
                let mut value = serde_json::from_str(text)?;
                one_line(&mut value);
                RunReport::read(&value.to_string()).map(|report| Recorded::Report(Box::new(report)))
            }
        }
    }
}

/// No text of it ends a line or drives the terminal.
fn one_line(value: &mut Value) {
    match value {
        Value::String(text) => *text = output::line(text),
        Value::Array(values) => values.iter_mut().for_each(one_line),
        Value::Object(values) => values.values_mut().for_each(one_line),
        _ => {}
    }
}

fn details(report: &RunReport) -> Vec<String> {
    let mut lines = vec![String::new(), output::summary(report), String::new()];
    for check in &report.checks {
        let passed = if check.passed { "passed" } else { "failed" };
        lines.push(format!("check      {passed} {} ({})", output::line(&check.check), output::line(&check.found)));
    }
    for gate in &report.gates {
        let verdict = serde_json::to_value(gate.verdict).unwrap_or_default();
        lines.push(format!("gate       {} {}", verdict.as_str().unwrap_or_default(), output::line(&gate.found)));
    }
    for input in &report.inputs {
        let (table, from) = (output::line(&input.table), output::line(&input.from));
        let head = format!("input      {table}: {} rows from ", output::count(input.rows));
        lines.push(format!("{head}{}", output::path(&from, head.chars().count())));
    }
    lines.extend(
        report.warnings.iter().map(|warning| format!("warning    {}", output::sentence(&output::line(warning), 11))),
    );
    lines
}

/// Shows the runs of a backfill; false when there is none of that id.
fn backfill(global: &Global, id: &str) -> Result<bool> {
    let rows = read(global, async |db, project, target| {
        let batches = ledger::batch::find(db, id).await?;
        let [(batch, _)] = batches.as_slice() else { return Ok(Vec::new()) };
        let wanted = Wanted { batch: Some(batch), limit: 10_000, ..Wanted::default() };
        history::runs(db, project, target, wanted).await
    })?;
    if !rows.is_empty() {
        list(global, &rows)?;
    }
    Ok(!rows.is_empty())
}

fn read<T: Default>(
    global: &Global,
    query: impl AsyncFnOnce(&mut ledger::Db, &Project, &str) -> Result<T>,
) -> Result<T> {
    let (project, target) = super::shared::project(global)?;
    super::shared::runtime()?.block_on(async {
        let Some(mut db) = ledger::open_to_read(&project, &target).await? else { return Ok(T::default()) };
        let result = query(&mut db, &project, &target).await;
        db.close().await;
        result
    })
}

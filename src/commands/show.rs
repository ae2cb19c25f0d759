//! `runs` and `show`: the ledger, read only.

use serde_json::Value;

use crate::cli::{Global, Output};
use crate::error::{Error, Result};
use crate::ledger::{self, RunRow};
use crate::output;
use crate::project::Project;

pub fn runs(global: &Global, job: Option<&str>, limit: u16) -> Result<u8> {
    let rows = read(global, async |db, project, target| ledger::runs(db, project, target, job, limit.into()).await)?;
    if global.output == Output::Json {
        output::json(serde_json::to_value(&rows).unwrap_or_default())?;
        return Ok(0);
    }
    if rows.is_empty() {
        output::note("no runs yet");
        return Ok(0);
    }
    let cells = |run: &RunRow| {
        let rows = run.rows_published.map_or("-".into(), |n| output::count(n.max(0) as u64));
        let model = run.model.clone().unwrap_or_else(|| "-".into());
        vec![
            run.run_id.clone(),
            run.job.clone(),
            run.interval.clone(),
            run.state.clone(),
            rows,
            model,
            run.started_at[..19].to_owned(),
        ]
    };
    let rows: Vec<_> = rows.iter().map(cells).collect();
    output::result(&output::table(&["run", "job", "interval", "state", "rows", "model", "started (UTC)"], &rows))?;
    Ok(0)
}

pub fn show(global: &Global, run: &str) -> Result<u8> {
    let found = read(global, async |db, project, target| match run {
        "latest" => ledger::runs(db, project, target, None, 1).await,
        prefix => ledger::runs_like(db, project, target, prefix).await,
    })?;
    let run = match found.as_slice() {
        [run] => run,
        [] => return Err(Error::usage(format!("the ledger has no run {run:?}")).hint("list them with: daymill runs")),
        _ => return Err(Error::usage(format!("more than one run begins with {run:?}")).hint("give more of its id")),
    };
    let report: Value = run.report.as_deref().and_then(|text| serde_json::from_str(text).ok()).unwrap_or(Value::Null);
    if global.output == Output::Json {
        let mut json = serde_json::to_value(run).unwrap_or_default();
        json["report"] = report;
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
        format!("rows       {}", run.rows_published.map_or("-".into(), |n| output::count(n.max(0) as u64))),
        format!("content    {}", run.content_hash.as_deref().filter(|h| !h.is_empty()).unwrap_or("-")),
    ];
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    if let Some(error) = report.get("error").filter(|e| !e.is_null()) {
        lines.push(format!("error      {}", text(error)));
    }
    for stage in report["stages"].as_array().into_iter().flatten() {
        lines.push(format!(
            "stage      {:<26} {}",
            text(&stage["name"]),
            output::seconds(stage["seconds"].as_f64().unwrap_or(0.0))
        ));
    }
    for check in report["checks"].as_array().into_iter().flatten() {
        lines.push(format!(
            "check      {} {} ({})",
            if check["passed"] == true { "passed" } else { "failed" },
            text(&check["check"]),
            text(&check["found"])
        ));
    }
    for input in report["inputs"].as_array().into_iter().flatten() {
        lines.push(format!(
            "input      {}: {} rows from {}",
            text(&input["table"]),
            text(&input["rows"]),
            text(&input["from"])
        ));
    }
    for warning in report["warnings"].as_array().into_iter().flatten() {
        lines.push(format!("warning    {}", text(warning)));
    }
    output::result(&lines.join("\n"))?;
    Ok(0)
}

fn read<T: Default>(
    global: &Global,
    query: impl AsyncFnOnce(&mut ledger::Db, &Project, &str) -> Result<T>,
) -> Result<T> {
    let project = Project::open(&super::root(global)?)?;
    let target = project.target_name(global.target.as_deref())?;
    super::runtime()?.block_on(async {
        let Some(mut db) = ledger::open_to_read(&project, &target).await? else { return Ok(T::default()) };
        let result = query(&mut db, &project, &target).await;
        db.close().await;
        result
    })
}

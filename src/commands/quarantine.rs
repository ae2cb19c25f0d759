//! `quarantine`: the rows that broke a rule of their job and were put aside.

use chrono::{Duration, NaiveDate, Utc};
use serde_json::{Value, json};

use crate::cli::{BadRows, Global, IntervalArgs, Output, Quarantine, Run};
use crate::error::{Error, Result};
use crate::interval::{Selection, instant, resolve};
use crate::ledger::quarantine::{self, Counted, Kept, Wanted};
use crate::ledger::{self, Db};
use crate::output;
use crate::project::{Job, Project};

pub fn quarantine(global: &Global, command: &Quarantine) -> Result<u8> {
    match command {
        Quarantine::List { job } => list(global, job.as_deref()),
        Quarantine::Show { which, out, limit } => show(global, which, out.as_deref(), *limit as usize),
        Quarantine::Replay { which } => replay(global, which),
        Quarantine::Discard { which, reason } => discard(global, which, reason),
        Quarantine::Prune { job, keep } => prune(global, job, *keep),
    }
}

fn list(global: &Global, job: Option<&str>) -> Result<u8> {
    let (project, target) = super::shared::project(global)?;
    if let Some(job) = job {
        project.job(job, &target)?;
    }
    let wanted = Wanted { job, ..Wanted::default() };
    let found = read(&project, &target, async |db| quarantine::counted(db, wanted).await)?;
    if global.output == Output::Json {
        output::json(json!(found))?;
        return Ok(0);
    }
    if found.is_empty() {
        output::result("no row is put aside")?;
        return Ok(0);
    }
    let row = |of: &Counted| {
        vec![
            of.job.clone(),
            of.label.clone(),
            output::line(&of.rule),
            output::count(of.rows),
            of.state.clone(),
            output::line(&of.example),
        ]
    };
    let rows: Vec<_> = found.iter().map(row).collect();
    let header = ["job", "interval", "rule", "rows", "state", "as"];
    output::result(&output::table_without(&header, &rows, &["state"]))?;
    Ok(0)
}

/// The intervals that were named, as instants of the ledger; all when none was.
fn span(which: &BadRows, job: &Job) -> Result<(String, String)> {
    let now = Utc::now();
    let named = |text: &str| resolve(&Selection::Date(text.to_owned()), job.grain, job.zone, now, true);
    if let Some(date) = &which.date {
        let interval = named(date)?;
        return Ok((instant(interval.start), instant(interval.end)));
    }
    let day = |text: &str| -> Result<NaiveDate> { crate::interval::relative::date(text, job.zone, now) };
    let from = which.from.as_deref().map(day).transpose()?;
    let to = which.to.as_deref().map(day).transpose()?;
    let start = |date| crate::interval::first_instant(date, job.zone).map(instant);
    let first = from.map(start).transpose()?.unwrap_or_default();
    let last = to.map(|date| start(date + Duration::days(1))).transpose()?.unwrap_or_else(|| "9999".into());
    match first <= last {
        true => Ok((first, last)),
        false => Err(Error::usage("--from is later than --to")),
    }
}

fn show(global: &Global, which: &BadRows, out: Option<&std::path::Path>, limit: usize) -> Result<u8> {
    let (project, target, job) = super::shared::job(global, &which.job)?;
    let (from, to) = span(which, &job)?;
    let wanted = Wanted { job: Some(&job.name), span: Some((&from, &to)), rule: which.rule.as_deref() };
    let found = read(&project, &target, async |db| quarantine::rows(db, wanted).await)?;
    if let Some(path) = out {
        super::shared::write(path, &csv(&found)?)?;
        output::result(&format!("{}: {} rows", path.display(), output::count(found.len() as u64)))?;
        return Ok(0);
    }
    if global.output == Output::Json {
        output::json(json!(found))?;
        return Ok(0);
    }
    if found.is_empty() {
        output::result("no such row is put aside")?;
        return Ok(0);
    }
    let row = |kept: &Kept| {
        let key = kept.row.key.iter().map(|(name, value)| format!("{name}={}", cell(value)));
        vec![
            kept.label.clone(),
            output::line(&kept.row.rules.join(", ")),
            output::line(&kept.row.reason),
            output::line(&key.collect::<Vec<_>>().join(" ")),
            kept.note
                .as_ref()
                .map_or_else(|| kept.state.clone(), |note| format!("{}: {}", kept.state, output::line(note))),
        ]
    };
    let rows: Vec<_> = found.iter().take(limit).map(row).collect();
    output::result(&output::table_without(
        &["interval", "rules", "why", "key", "state"],
        &rows,
        &["state", "interval"],
    ))?;
    if found.len() > limit {
        output::note(&format!("and {} more: --limit, or -o FILE", output::count((found.len() - limit) as u64)));
    }
    Ok(0)
}

/// A value as a cell of text.
fn cell(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

/// Every row with what is known of it; the columns of all of them.
fn csv(found: &[Kept]) -> Result<Vec<u8>> {
    let mut columns: Vec<&str> = Vec::new();
    for name in found.iter().flat_map(|kept| kept.row.row.keys()) {
        if !columns.contains(&name.as_str()) {
            columns.push(name);
        }
    }
    let mut writer = csv::Writer::from_writer(Vec::new());
    let failed = |e: csv::Error| Error::defect("rows cannot be written as CSV").cause(e);
    writer
        .write_record(["_interval", "_rule", "_reason", "_state"].into_iter().chain(columns.iter().copied()))
        .map_err(failed)?;
    for kept in found {
        let own = [&kept.label, &kept.row.rule, &kept.row.reason, &kept.state].map(String::clone);
        let values = columns.iter().map(|name| kept.row.row.get(*name).map(cell).unwrap_or_default());
        writer.write_record(own.into_iter().chain(values)).map_err(failed)?;
    }
    writer.into_inner().map_err(|e| Error::defect("rows cannot be written as CSV").cause(e.error()))
}

fn replay(global: &Global, which: &BadRows) -> Result<u8> {
    let (project, target, job) = super::shared::job(global, &which.job)?;
    let (from, to) = span(which, &job)?;
    let wanted = Wanted { job: Some(&job.name), span: Some((&from, &to)), rule: which.rule.as_deref() };
    let open = async |db: &mut Db| {
        let counted = quarantine::counted(db, wanted).await?;
        Ok(counted.into_iter().filter(|of| of.state == "open").collect::<Vec<_>>())
    };
    let before = read(&project, &target, open)?;
    let mut intervals: Vec<(&str, &str)> = before.iter().map(|of| (of.start.as_str(), of.end.as_str())).collect();
    intervals.sort_unstable();
    intervals.dedup();
    if intervals.is_empty() {
        output::result("no such row is put aside")?;
        return Ok(0);
    }
    for (start, end) in intervals {
        let interval = IntervalArgs {
            date: None,
            start: Some(start.to_owned()),
            end: Some(end.to_owned()),
            as_of: None,
            allow_partial: false,
        };
        let run = Run {
            job: job.name.clone(),
            interval,
            model: None,
            dry_run: false,
            limit: None,
            print: None,
            wait: None,
            skip_exit_code: None,
            load_path: None,
        };
        super::run::run(global, &run)?;
    }
    let sum = |all: &[Counted]| all.iter().map(|of| of.rows).sum::<u64>();
    let left = sum(&read(&project, &target, open)?);
    output::note(&format!("{} rows were put aside, and {} are now", output::count(sum(&before)), output::count(left)));
    Ok(0)
}

fn discard(global: &Global, which: &BadRows, reason: &str) -> Result<u8> {
    let (project, target, job) = super::shared::job(global, &which.job)?;
    if reason.trim().is_empty() {
        return Err(Error::usage("--reason is empty").hint("whoever looks later will want to know why"));
    }
    let (from, to) = span(which, &job)?;
    let wanted = Wanted { job: Some(&job.name), span: Some((&from, &to)), rule: which.rule.as_deref() };
    let rows = write(&project, &target, async |db| quarantine::discard(db, &job.name, wanted, reason).await)?;
    told(rows, "discarded", "no such row is open")
}

fn prune(global: &Global, job: &str, keep: u32) -> Result<u8> {
    let (project, target, job) = super::shared::job(global, job)?;
    let before = Utc::now().checked_sub_signed(Duration::days(keep.into())).map(instant).unwrap_or_default();
    let rows = write(&project, &target, async |db| quarantine::prune(db, &job.name, &before).await)?;
    told(rows, "deleted", "no row is that old")
}

fn told(rows: u64, what: &str, none: &str) -> Result<u8> {
    output::result(&match rows {
        0 => none.to_owned(),
        1 => format!("1 row {what}"),
        rows => format!("{} rows {what}", output::count(rows)),
    })?;
    Ok(0)
}

fn read<T: Default>(project: &Project, target: &str, ask: impl AsyncFnOnce(&mut Db) -> Result<T>) -> Result<T> {
    super::shared::runtime()?.block_on(async {
        let Some(mut db) = ledger::open_to_read(project, target).await? else { return Ok(T::default()) };
        let answer = ask(&mut db).await;
        db.close().await;
        answer
    })
}

fn write<T>(project: &Project, target: &str, change: impl AsyncFnOnce(&mut Db) -> Result<T>) -> Result<T> {
    super::shared::runtime()?.block_on(async {
        let mut db = ledger::open(project, target, "daymill/quarantine").await?;
        let answer = change(&mut db).await;
        db.close().await;
        answer
    })
}

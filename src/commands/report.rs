//! `report`: the page of a job, as one file of HTML.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::drift::{LAST, baselines, by_day, training};
use crate::cli::{Global, Output, Report};
use crate::drift::drifted;
use crate::error::{Error, Result};
use crate::html::{Aside, DayState, JobPage, PageDay, page};
use crate::interval::{Interval, between, instant};
use crate::ledger::history::{self, IntervalRow};
use crate::ledger::profiles::{self, IntervalProfile};
use crate::ledger::quarantine::{self, Counted, Wanted};
use crate::ledger::{self, Db, chain};
use crate::output;
use crate::pipeline::report::RunReport;
use crate::project::{Job, Project};
use crate::quality::profile::Side;

/// Intervals of a page, when nothing is said.
const INTERVALS: usize = 90;

/// What the ledger has of a job.
#[derive(Default)]
struct Found {
    head: String,
    intervals: Vec<IntervalRow>,
    /// The reports of the runs whose rows stand, by where the interval begins.
    reports: BTreeMap<String, String>,
    profiles: Vec<IntervalProfile>,
    aside: Vec<Counted>,
}

pub fn report(global: &Global, args: &Report) -> Result<u8> {
    let (project, target, job) = super::shared::job(global, &args.job)?;
    let found = read(&project, &target, &job, args)?;
    if found.intervals.is_empty() {
        return Err(Error::usage(format!("{} in {target}: nothing has run yet", job.name)));
    }
    let made = made(&project, &target, &job, found)?;
    let html = page(&made);
    let path = args.out.clone().unwrap_or_else(|| PathBuf::from(format!("{}.html", job.name)));
    super::shared::write(&path, html.as_bytes())?;
    match global.output {
        Output::Json => output::json(serde_json::json!({
            "file": path.display().to_string(), "bytes": html.len(), "intervals": made.days.len(), "ledger_head": made.head,
        }))?,
        Output::Human => output::result(&format!(
            "{}: {} intervals, {} kB",
            path.display(),
            made.days.len(),
            html.len().div_ceil(1000)
        ))?,
    }
    Ok(0)
}

/// All that the page needs, as it stands at one time.
fn read(project: &Project, target: &str, job: &Job, args: &Report) -> Result<Found> {
    let wanted = match super::backfill::range(job, &args.range) {
        Ok(intervals) if args.range.is_given() => Some(intervals),
        Err(error) if args.range.is_given() => return Err(error),
        _ => None,
    };
    let span = wanted.as_ref().and_then(|all| Some((all.first()?.start, all.last()?.end)));
    super::shared::runtime()?.block_on(async {
        let Some(mut db) = ledger::open_to_read(project, target).await? else { return Ok(Found::default()) };
        db.script(db.dialect().begin_snapshot()).await?;
        let found = async {
            let mut intervals = history::intervals(&mut db, project, target, &job.name, span).await?;
            if span.is_none() {
                intervals.drain(..intervals.len().saturating_sub(INTERVALS));
            }
            let (Some(first), Some(last)) = (intervals.first(), intervals.last()) else { return Ok(Found::default()) };
            let (from, to) = (instant(first.start), instant(last.end));
            all(&mut db, job, (&from, &to), intervals).await
        };
        let found = found.await;
        db.close().await;
        found
    })
}

async fn all(db: &mut Db, job: &Job, span: (&str, &str), intervals: Vec<IntervalRow>) -> Result<Found> {
    let head = chain::head(db).await?.map(|head| head.to_string()).unwrap_or_default();
    let reports = history::reports(db, &job.name, span).await?.into_iter().collect();
    let profiles = profiles::of_job(db, &job.name, span, None).await?;
    let wanted = Wanted { job: Some(&job.name), span: Some(span), rule: None };
    Ok(Found { head, reports, profiles, aside: quarantine::counted(db, wanted).await?, intervals })
}

fn made(project: &Project, target: &str, job: &Job, found: Found) -> Result<JobPage> {
    let days = days(job, &found)?;
    let profiled = by_day(job, found.profiles);
    let (mut drift, mut no_drift) = (Vec::new(), Vec::new());
    // What cannot be opened hides nothing else.
    let of_model = training(project, job, &profiled).unwrap_or_else(|error| {
        no_drift.push(error.message);
        None
    });
    match baselines(job, None, of_model, Vec::new()) {
        Ok(all) => {
            for against in all {
                match drifted(&profiled, against, &job.drift.ignore, &job.drift.floors) {
                    Ok(found) => drift.push(found),
                    Err(why) => no_drift.push(format!("beside the last {LAST} intervals: {why}")),
                }
            }
        }
        Err(error) => no_drift.push(error.message),
    }
    let aside = |of: Counted| Aside { label: of.label, rule: of.rule, rows: of.rows, state: of.state };
    Ok(JobPage {
        job: job.name.clone(),
        description: job.description.clone(),
        target: target.to_owned(),
        table: job.load.table.clone(),
        timezone: job.zone.name().to_owned(),
        head: found.head,
        days,
        drift,
        no_drift,
        aside: found.aside.into_iter().map(aside).collect(),
    })
}

/// Every interval from the first of the ledger to the last, those that did not run included.
fn days(job: &Job, found: &Found) -> Result<Vec<PageDay>> {
    let (Some(first), Some(last)) = (found.intervals.first(), found.intervals.last()) else { return Ok(Vec::new()) };
    let date = |at: chrono::DateTime<chrono::Utc>| at.with_timezone(&job.zone).date_naive();
    let mut known: BTreeMap<chrono::DateTime<chrono::Utc>, &IntervalRow> =
        found.intervals.iter().map(|row| (row.start, row)).collect();
    let mut days: Vec<PageDay> = Vec::new();
    for interval in between(date(first.start), date(last.start), job.grain, job.zone)? {
        if interval.start < first.start || interval.start > last.start {
            continue;
        }
        days.push(match known.remove(&interval.start) {
            Some(row) => of_row(row, interval.date(), found),
            None => missing(&interval),
        });
    }
    // Intervals of another grain, from before it changed.
    days.extend(known.into_values().map(|row| of_row(row, date(row.start), found)));
    days.sort_by(|a, b| (a.date, &a.label).cmp(&(b.date, &b.label)));
    Ok(days)
}

fn missing(interval: &Interval) -> PageDay {
    PageDay {
        label: interval.label(),
        date: interval.date(),
        state: DayState::Missing,
        published: 0,
        quarantined: 0,
        left_out: 0,
        dropped: 0,
        seconds: None,
        model: None,
        gates: Vec::new(),
        error: None,
        scores: Vec::new(),
    }
}

fn of_row(row: &IntervalRow, date: chrono::NaiveDate, found: &Found) -> PageDay {
    let start = instant(row.start);
    let report = found.reports.get(&start).and_then(|text| RunReport::read(text).ok());
    let rows = report.as_ref().map(|report| report.rows).unwrap_or_default();
    let gate = |gate: &crate::pipeline::report::GateReport| {
        let verdict = serde_json::to_value(gate.verdict).unwrap_or_default();
        (verdict.as_str().unwrap_or_default().to_owned(), gate.found.clone())
    };
    let model = report.as_ref().and_then(|report| report.model.as_ref());
    let of_interval = found.profiles.iter().filter(|of| of.start == start && of.profile.side == Side::Score);
    PageDay {
        label: row.label.clone(),
        date,
        state: match &row.published {
            _ if row.error.is_some() => DayState::Failed,
            Some(_) => DayState::Published,
            None => DayState::Missing,
        },
        published: row.published.as_ref().map_or(0, |published| published.rows),
        quarantined: rows.quarantined,
        left_out: rows.left_out,
        dropped: rows.dropped,
        seconds: row.published.as_ref().map(|published| published.millis as f64 / 1e3),
        model: model.map(|model| format!("{}@{}", model.name, model.version)),
        gates: report.as_ref().map_or_else(Vec::new, |report| report.gates.iter().map(gate).collect()),
        error: row.error.clone(),
        scores: of_interval.map(|of| of.profile.clone()).collect(),
    }
}

//! `status`: how every interval of a job stands, as a calendar of months, gaps first.

use std::collections::BTreeMap;

use chrono::{Datelike, NaiveDate, Utc};
use serde_json::json;

use crate::backfill::plan::{Choice, InventoryItem, Look, survey};
use crate::cli::{Global, Output, Status};
use crate::error::{Class, Result};
use crate::interval::{between, instant};
use crate::ledger::{self, history};
use crate::output;
use crate::pipeline::Context;
use crate::project::{Project, job};
use crate::schedule::{IntervalStatus, spans};

/// Stretches of gaps that are listed in full.
const GAPS_SHOWN: usize = 12;

pub fn status(global: &Global, args: &Status) -> Result<u8> {
    let root = super::shared::root(global)?;
    let names = match &args.job {
        Some(name) => vec![name.clone()],
        None => {
            Project::open(&root)?;
            job::list(&root)?
        }
    };
    let mut values = Vec::new();
    let mut pages = Vec::new();
    let mut any_gap = false;
    for name in &names {
        let context = super::backfill::context(global, name, None)?;
        let found = look(&context, args)?;
        for warning in &found.1 {
            output::warn(&format!("{name}: {warning}"));
        }
        let never = found.0.is_empty() && !args.range.is_given();
        any_gap |= never || !gaps(&found.0).is_empty();
        match global.output {
            Output::Json => values.push(value(&context, &found.0)),
            Output::Human => pages.push(page(&context, &found.0)),
        }
    }
    match global.output {
        Output::Json if args.job.is_some() => output::json(values.remove(0))?,
        Output::Json => output::json(json!(values))?,
        Output::Human => output::result(&pages.join("\n\n"))?,
    }
    Ok(u8::from(args.exit_code && any_gap))
}

fn look(context: &Context, args: &Status) -> Result<(Vec<InventoryItem>, Vec<String>)> {
    super::shared::runtime()?.block_on(async {
        let intervals = match super::backfill::range(&context.job, &args.range) {
            Ok(intervals) => intervals,
            Err(_) if !args.range.is_given() => known(context).await?,
            // Of several jobs, some may have nothing in the range.
            Err(error) if args.job.is_none() && error.class == Class::Usage => Vec::new(),
            Err(error) => return Err(error),
        };
        let look = Look { choice: &Choice::Job, deep: args.deep, now: Utc::now() };
        let survey = survey(context, intervals, &look).await?;
        let mut warnings = survey.warnings;
        if let Some(Err(error)) = survey.intervals.first().map(|s| &s.model) {
            warnings.push(format!("the model cannot be opened, so it was not compared: {}", error.message));
        }
        Ok((survey.intervals, warnings))
    })
}

/// A job that does not say when it starts: from the first interval of the ledger to the last complete one.
async fn known(context: &Context) -> Result<Vec<crate::interval::Interval>> {
    let Context { project, target, job, .. } = context;
    let Some(mut db) = ledger::open_to_read(project, target).await? else { return Ok(Vec::new()) };
    let rows = history::intervals(&mut db, project, target, &job.name, None).await?;
    db.close().await;
    let (Some(first), Some(last)) = (rows.first(), rows.last()) else { return Ok(Vec::new()) };
    let date = |at: chrono::DateTime<Utc>| at.with_timezone(&job.zone).date_naive();
    // Up to what is complete by now, so that a night that did not run is a gap.
    let until = super::backfill::last_date(job, Utc::now()).unwrap_or(date(last.start)).max(date(last.start));
    let mut all = between(date(first.start), until, job.grain, job.zone)?;
    all.retain(|interval| interval.end <= Utc::now() || interval.start <= last.start);
    Ok(all)
}

fn value(context: &Context, found: &[InventoryItem]) -> serde_json::Value {
    let mut counts = BTreeMap::new();
    for s in found {
        *counts.entry(s.standing.name()).or_insert(0u64) += 1;
    }
    let interval = |s: &InventoryItem| {
        let mut value = json!({
            "interval": s.interval.label(), "start": s.interval.start, "end": s.interval.end, "standing": s.standing.name(),
            "published": s.published, "rows": s.rows, "reason": s.standing.reason(),
        });
        if let IntervalStatus::Stale { reasons } | IntervalStatus::Late { reasons } = &s.standing {
            value["reasons"] = json!(reasons);
        }
        value
    };
    json!({
        "job": context.job.name, "target": context.target, "timezone": context.job.zone.name(),
        "schedule": context.job.schedule.as_ref().map(|schedule| &schedule.text),
        "next_due": context.job.next_due(Utc::now()).map(instant), "counts": counts,
        "gaps": gaps(found).iter().map(|(a, b)| json!([found[*a].interval.label(), found[*b].interval.label()])).collect::<Vec<_>>(),
        "intervals": found.iter().map(interval).collect::<Vec<_>>(),
    })
}

/// Stretches of intervals of which nothing is published.
fn gaps(found: &[InventoryItem]) -> Vec<(usize, usize)> {
    let missing = |s: &InventoryItem| {
        !s.published
            && matches!(s.standing, IntervalStatus::Missing | IntervalStatus::Gone | IntervalStatus::Failed { .. })
    };
    spans(found, missing).into_iter().filter(|(first, _)| missing(&found[*first])).collect()
}

fn page(context: &Context, found: &[InventoryItem]) -> String {
    let terminal = output::on_terminal();
    let job = &context.job;
    let (Some(first), Some(last)) = (found.first(), found.last()) else {
        return format!("{} in {}: nothing has run yet", job.name, context.target);
    };
    let mut lines = vec![format!(
        "{} in {}, {} to {} ({})",
        output::paint("1", &job.name, terminal),
        context.target,
        first.interval.label(),
        last.interval.label(),
        job.zone.name()
    )];
    let gaps = gaps(found);
    for (a, b) in gaps.iter().take(GAPS_SHOWN) {
        let n = b - a + 1;
        let span = if n == 1 {
            found[*a].interval.label()
        } else {
            format!("{} to {}", found[*a].interval.label(), found[*b].interval.label())
        };
        lines.push(format!("  {} {span}  {n} not published", output::paint("31;1", "gap", terminal)));
    }
    if gaps.len() > GAPS_SHOWN {
        lines.push(format!("  and {} more gaps", gaps.len() - GAPS_SHOWN));
    }
    lines.extend(calendar(found, terminal));
    lines.push(legend(found, terminal));
    lines.extend(trouble(found));
    if let (Some((first, _)), Some((_, last))) = (gaps.first(), gaps.last()) {
        let (from, to) = (found[*first].interval.date(), found[*last].interval.date());
        let range = if job.starts.is_some() { String::new() } else { format!(" --from {from} --to {to}") };
        let target = super::shared::target_flag(&context.project, &context.target);
        lines.push(format!("  fill the gaps: daymill backfill {}{range}{target}", job.name));
    }
    lines.join("\n")
}

/// Failed, stale and late intervals with why, neighbours with one reason on one line.
fn trouble(found: &[InventoryItem]) -> Vec<String> {
    let bad = |s: &InventoryItem| !s.standing.reason().is_empty() && s.standing != IntervalStatus::Missing;
    spans(found, |s| (s.standing.words(), s.standing.reason()))
        .into_iter()
        .filter(|(first, _)| bad(&found[*first]))
        .take(GAPS_SHOWN)
        .map(|(a, b)| {
            let span = if a == b {
                found[a].interval.label()
            } else {
                format!("{} to {}", found[a].interval.label(), found[b].interval.label())
            };
            format!("  {span}  {}: {}", found[a].standing.name(), output::line(&found[a].standing.reason()))
        })
        .collect()
}

fn glyph(standing: &IntervalStatus) -> (&'static str, &'static str) {
    match standing {
        IntervalStatus::Done => ("32", "■"),
        IntervalStatus::Skipped => ("32", "□"),
        IntervalStatus::Failed { stands: true, .. } => ("33", "✘"),
        IntervalStatus::Failed { .. } => ("31;1", "✗"),
        IntervalStatus::Missing | IntervalStatus::Gone => ("31", "·"),
        IntervalStatus::Overlaps { .. } => ("31;1", "≠"),
        IntervalStatus::Stale { .. } => ("33", "◆"),
        IntervalStatus::Late { .. } => ("35", "▲"),
        IntervalStatus::Running => ("36", "▶"),
        IntervalStatus::Future => ("2", " "),
    }
}

/// How much a standing asks for attention; of a day's hours the most urgent one shows.
fn urgency(standing: &IntervalStatus) -> u8 {
    match standing {
        IntervalStatus::Overlaps { .. } => 9,
        IntervalStatus::Failed { stands: false, .. } => 8,
        IntervalStatus::Missing | IntervalStatus::Gone => 7,
        IntervalStatus::Failed { .. } => 6,
        IntervalStatus::Running => 5,
        IntervalStatus::Late { .. } => 4,
        IntervalStatus::Stale { .. } => 3,
        IntervalStatus::Done => 2,
        IntervalStatus::Skipped => 1,
        IntervalStatus::Future => 0,
    }
}

/// A year and a month, and how its days stand.
type Month<'a> = ((i32, u32), Vec<(u32, &'a IntervalStatus)>);

/// One line a month; months in which nothing was ever published are drawn together.
/// Columns that a month with gaps between its days takes.
const WIDE: usize = 72;

fn calendar(found: &[InventoryItem], terminal: bool) -> Vec<String> {
    let mut days: BTreeMap<NaiveDate, &IntervalStatus> = BTreeMap::new();
    for s in found {
        let day = days.entry(s.interval.date()).or_insert(&s.standing);
        if urgency(&s.standing) > urgency(day) {
            *day = &s.standing;
        }
    }
    let mut months: Vec<Month<'_>> = Vec::new();
    for (date, standing) in days {
        let month = (date.year(), date.month());
        match months.last_mut().filter(|(last, _)| *last == month) {
            Some((_, days)) => days.push((date.day(), standing)),
            None => months.push((month, vec![(date.day(), standing)])),
        }
    }
    // A day takes two columns, or one where there are few.
    let narrow = output::width().is_some_and(|width| width < WIDE);
    let (margin, gap) = if narrow { ("", "") } else { ("  ", " ") };
    let ruler: String = match narrow {
        true => (1..=31).map(|day| if day % 10 == 0 { (day / 10).to_string() } else { " ".into() }).collect(),
        false => (1..=31).map(|day| if day % 5 == 0 { format!("{day:>2}") } else { "  ".into() }).collect(),
    };
    let mut lines = vec![output::paint("2", &format!("{margin}        {ruler}"), terminal)];
    let empty = |days: &[(u32, &IntervalStatus)]| {
        days.iter().all(|(_, s)| matches!(s, IntervalStatus::Missing | IntervalStatus::Future))
    };
    for (first, last) in spans(&months, |(_, days)| empty(days)) {
        let ((year, month), days) = &months[first];
        if last > first && empty(days) {
            let ((to_year, to_month), _) = months[last];
            let n: usize = months[first..=last].iter().map(|(_, days)| days.len()).sum();
            lines.push(format!("{margin}{year}-{month:02} to {to_year}-{to_month:02}  nothing, {n} days"));
            continue;
        }
        for ((year, month), days) in &months[first..=last] {
            let cell = |day: u32| match days.iter().find(|(d, _)| *d == day) {
                Some((_, standing)) => {
                    let (color, glyph) = glyph(standing);
                    format!("{gap}{}", output::paint(color, glyph, terminal))
                }
                None => format!("{gap} "),
            };
            let line: String = (1..=31).map(cell).collect();
            lines.push(format!("{margin}{year}-{month:02} {}", line.trim_end()));
        }
    }
    lines
}

fn legend(found: &[InventoryItem], terminal: bool) -> String {
    let mut seen: BTreeMap<u8, (&IntervalStatus, usize)> = BTreeMap::new();
    for s in found {
        seen.entry(urgency(&s.standing)).or_insert((&s.standing, 0)).1 += 1;
    }
    let part = |(standing, n): (&IntervalStatus, usize)| {
        let (color, glyph) = glyph(standing);
        format!("{} {} {}", output::paint(color, glyph, terminal), n, standing.words())
    };
    format!("  {}", seen.into_values().rev().map(part).collect::<Vec<_>>().join("   "))
}

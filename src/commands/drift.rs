//! `drift`: which columns have moved away from what they were, by the profiles of the ledger.

use chrono::{DateTime, Datelike, Utc};
use serde_json::json;

use super::profile::{none, number, percent, with_profiles};
use crate::cli::{Drift, Global, Output, Urgent};
use crate::drift::{Against, ColumnDrift, Day, Drifted, Standing, drifted};
use crate::error::{Error, Result};
use crate::interval::{between, instant};
use crate::ledger::Db;
use crate::ledger::profiles::{self, IntervalProfile};
use crate::models::training::TrainingProfile;
use crate::models::{ModelRef, Version, reference};
use crate::output;
use crate::project::drift_spec::Reference;
use crate::project::{Job, Project};
use crate::quality::profile::Side;

/// Intervals that say what is usual, beside those that are a baseline.
const HISTORY: usize = 60;
pub const LAST: usize = 28;
/// Intervals of a drawn history.
const DRAWN: usize = 28;

/// A column's share in what the model's splits gained.
type Importance = Vec<(String, f64)>;

pub fn drift(global: &Global, args: &Drift) -> Result<u8> {
    let (project, target, job) = super::shared::job(global, &args.job)?;
    let asked = args.against.as_deref().map(Reference::parse).transpose()?;
    let given = asked.or_else(|| job.drift.reference.clone());
    let column = args.column.as_deref();
    let longest = match &given {
        Some(Reference::Last(count)) => HISTORY.max(count + 3),
        _ => HISTORY,
    };
    let (days, dates) = with_profiles(&project, &target, &job, args.date.as_deref(), async |db, before| {
        let days = match profiles::newest(db, &job.name, before, longest).await? {
            Some(from) => profiles::of_job(db, &job.name, (&from, before), column).await?,
            None => Vec::new(),
        };
        Ok((days, of_dates(db, &job, given.as_ref(), column).await?))
    })?;
    if days.is_empty() {
        return Err(none(&project, &target, &job, column));
    }
    let days = by_day(&job, days);
    let training = training(&project, &job, &days)?;
    let importance = training.as_ref().map_or_else(Vec::new, |(_, training)| training.importance.clone());
    let mut found = Vec::new();
    let mut left = Vec::new();
    for against in baselines(&job, given.as_ref(), training, dates)? {
        match drifted(&days, against, &job.drift.ignore, &job.drift.floors) {
            Ok(mut drifted) => {
                by_importance(&mut drifted, &importance);
                found.push(drifted);
            }
            Err(why) => left.push(why),
        }
    }
    if found.is_empty() {
        return Err(
            Error::usage(format!("{}: {}", job.name, left.join("; "))).hint("name another baseline with --against")
        );
    }
    print(global, (&job, &target), &found, &importance)?;
    let worst = found.iter().flat_map(|drifted| &drifted.columns).map(|column| column.standing).max();
    let limit = args.fail_on.map(|urgent| if urgent == Urgent::Moved { Standing::Moved } else { Standing::Drifting });
    match (worst, limit) {
        (Some(worst), Some(limit)) if worst >= limit => {
            let bad = found.iter().flat_map(|d| &d.columns).filter(|column| column.standing >= limit);
            let mut names: Vec<&str> = bad.map(|column| column.column.as_str()).collect();
            names.sort_unstable();
            names.dedup();
            Err(Error::data(format!(
                "{} {}: {} moved: {}",
                job.name,
                found[0].interval,
                plural(names.len()),
                names.join(", ")
            )))
        }
        _ => Ok(0),
    }
}

fn plural(columns: usize) -> String {
    if columns == 1 { "1 column".into() } else { format!("{columns} columns") }
}

/// What is compared with.
pub fn baselines(
    job: &Job,
    given: Option<&Reference>,
    training: Option<(String, TrainingProfile)>,
    dates: Vec<Day>,
) -> Result<Vec<Against>> {
    let of_model = training.map(|(name, training)| Against::Profiles(name, training.profiles));
    Ok(match given {
        None => of_model.into_iter().chain([Against::Last(LAST)]).collect(),
        Some(Reference::Last(count)) => vec![Against::Last(*count)],
        Some(Reference::Model) => vec![of_model.ok_or_else(|| {
            let model = job.score.as_ref().map_or_else(|| "MODEL".into(), |score| score.model.to_string());
            Error::input(format!("the model of {} has no {}", job.name, crate::models::training::FILE)).hint(format!(
                "make it of the rows that it was trained on: daymill models reference {model} --from TRAINING.parquet"
            ))
        })?],
        Some(Reference::Dates(from, to)) if dates.is_empty() => {
            return Err(Error::usage(format!("no interval of {} from {from} to {to} has profiles", job.name)));
        }
        Some(Reference::Dates(from, to)) => vec![Against::Days(format!("the intervals {from} to {to}"), dates)],
    })
}

async fn of_dates(db: &mut Db, job: &Job, given: Option<&Reference>, column: Option<&str>) -> Result<Vec<Day>> {
    let Some(Reference::Dates(from, to)) = given else { return Ok(Vec::new()) };
    let all = between(*from, *to, job.grain, job.zone)?;
    let (Some(first), Some(last)) = (all.first(), all.last()) else { return Ok(Vec::new()) };
    let found = profiles::of_job(db, &job.name, (&instant(first.start), &instant(last.end)), column).await?;
    Ok(by_day(job, found))
}

/// The rows of the ledger, interval by interval.
pub fn by_day(job: &Job, rows: Vec<IntervalProfile>) -> Vec<Day> {
    let mut days: Vec<(String, Day)> = Vec::new();
    for row in rows {
        if days.last().is_none_or(|(start, _)| *start != row.start) {
            let at: Option<DateTime<Utc>> = row.start.parse().ok();
            let weekday = at.map_or(0, |at| at.with_timezone(&job.zone).weekday().num_days_from_monday());
            days.push((row.start.clone(), Day { label: row.label, weekday, model: row.model, profiles: Vec::new() }));
        }
        if let Some((_, day)) = days.last_mut() {
            day.profiles.push(row.profile);
        }
    }
    days.into_iter().map(|(_, day)| day).collect()
}

/// What the model was trained on that scored the last of the days, and how that is called.
pub fn training(project: &Project, job: &Job, days: &[Day]) -> Result<Option<(String, TrainingProfile)>> {
    let (Some(score), Some(label)) = (&job.score, days.last().and_then(|day| day.model.as_deref())) else {
        return Ok(None);
    };
    let Some((_, number)) = reference::label_parts(label) else { return Ok(None) };
    let model = ModelRef { folder: score.model.folder.clone(), version: Version::Number(number) };
    let Some(folder) = model.package(&project.root).filter(|folder| folder.exists()) else { return Ok(None) };
    let name =
        |training: &TrainingProfile| format!("the {} rows that {label} was trained on", output::count(training.rows));
    let training = TrainingProfile::read(&folder)?.and_then(|training| training.renamed(score.outputs.as_ref()));
    Ok(training.map(|training| (name(&training), training)))
}

/// Among columns that stand alike, those come first whose movement the model feels most.
fn by_importance(drifted: &mut Drifted, importance: &Importance) {
    let weight = |column: &ColumnDrift| {
        let gain = importance.iter().find(|(name, _)| *name == column.column && column.side == Side::Feature);
        column.movement.effect().unwrap_or(0.0) * gain.map_or(1.0, |(_, gain)| *gain)
    };
    if !importance.is_empty() {
        drifted.columns.sort_by(|a, b| b.standing.cmp(&a.standing).then_with(|| weight(b).total_cmp(&weight(a))));
    }
}

fn print(global: &Global, (job, target): (&Job, &str), found: &[Drifted], importance: &Importance) -> Result<()> {
    if global.output == Output::Json {
        return output::json(json!({ "job": job.name, "target": target, "drift": found, "importance": importance }));
    }
    output::result(&found.iter().map(|drifted| page(job, drifted, importance)).collect::<Vec<_>>().join("\n\n"))
}

fn page(job: &Job, drifted: &Drifted, importance: &Importance) -> String {
    let terminal = output::on_terminal();
    let name = output::paint("1", &format!("{} {}", job.name, drifted.interval), terminal);
    let mut lines = vec![format!("{name} beside {}", drifted.baseline)];
    let rows: Vec<Vec<String>> = drifted.columns.iter().map(|column| row(column, importance)).collect();
    let header = ["column", "standing", "since", "PSI", "KS", "usual", "W / sd", "missing", "p", "gain", "history"];
    lines.push(output::table_without(&header, &rows, &["p", "gain", "W / sd", "missing", "since"]));
    let counted = |standing: Standing| drifted.columns.iter().filter(|column| column.standing == standing).count();
    let summary: Vec<String> = [Standing::Drifting, Standing::Moved, Standing::Stable, Standing::Skipped]
        .into_iter()
        .map(|standing| (counted(standing), standing))
        .filter(|(count, _)| *count > 0)
        .map(|(count, standing)| format!("{count} {}", standing.name()))
        .collect();
    lines.push(summary.join(", "));
    lines.extend(
        drifted.models.iter().map(|(at, before, after)| format!("the model became {after} at {at}; it was {before}")),
    );
    lines.join("\n")
}

fn row(column: &ColumnDrift, importance: &Importance) -> Vec<String> {
    let movement = &column.movement;
    let gain = importance.iter().find(|(name, _)| *name == column.column && column.side == Side::Feature);
    let missing = match (movement.missing, movement.baseline_missing) {
        (0.0, 0.0) => "0 %".into(),
        (now, was) => format!("{} (was {})", percent(now), percent(was)),
    };
    let unseen = movement.unseen.filter(|unseen| *unseen > 0.0).map(|unseen| format!(", {} unseen", percent(unseen)));
    let drawn = &column.history[column.history.len().saturating_sub(DRAWN)..];
    let history: Vec<f64> = drawn.iter().map(|effect| effect.unwrap_or(0.0)).collect();
    vec![
        output::line(&column.column),
        column.standing.name().into(),
        column.began().unwrap_or_else(|| "-".into()),
        fraction(movement.psi),
        match (movement.ks, movement.js) {
            (None, Some(js)) => format!("JS {js:.3}"),
            (ks, _) => fraction(ks),
        },
        fraction(column.usual),
        fraction(movement.wasserstein),
        format!("{missing}{}", unseen.unwrap_or_default()),
        movement.p.map_or_else(|| "-".into(), |p| if p < 1e-99 { "< 1e-99".into() } else { number(Some(p)) }),
        gain.map_or_else(|| "-".into(), |(_, gain)| percent(*gain)),
        output::bars(&history),
    ]
}

/// Three decimals.
fn fraction(value: Option<f64>) -> String {
    value.map_or_else(|| "-".into(), |value| format!("{value:.3}"))
}

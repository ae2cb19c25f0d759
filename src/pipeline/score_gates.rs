//! Whether the scores of a run are what scores were: asked of their profiles, before anything is published.

use std::path::Path;

use chrono::{Datelike, Weekday};

use super::context::Context;
use super::evidence::Evidence;
use super::report::{GateReport, GateVerdict, RunReport};
use crate::drift::{Baseline, FEWEST, Movement};
use crate::error::{Error, Result};
use crate::interval::{between, instant};
use crate::ledger::profiles::IntervalProfile;
use crate::load::Load;
use crate::models::training::TrainingProfile;
use crate::project::check_spec::OnFail;
use crate::project::drift_spec::Reference;
use crate::project::gate_spec::{Against, Gate, Statistic};
use crate::quality::profile::{ColumnProfile, Side, StoredProfile};

/// Of fewer values nothing is said.
const FEW: u64 = crate::drift::SMALLEST;
/// One value in so many of all is warned about without being asked.
const CONSTANT: f64 = 0.99;

/// What a gate compares with: profiles, and how they are called; or why there is nothing.
type Found = std::result::Result<(String, Vec<StoredProfile>), String>;

/// Asks every gate; an error when one is closed. `model` is the folder of the model that scored.
pub async fn enforce(
    context: &Context,
    report: &mut RunReport,
    evidence: &Evidence,
    load: &mut Load,
    model: Option<&Path>,
) -> Result<()> {
    let profiles = &evidence.seen().profiles;
    for gate in &context.job.gates {
        let of_gate = |profile: &&ColumnProfile| match &gate.column {
            Some(name) => profile.name == *name,
            None => profile.side == Side::Score,
        };
        let columns: Vec<&ColumnProfile> = profiles.iter().filter(of_gate).collect();
        if let (Some(name), true) = (&gate.column, columns.is_empty() && !profiles.is_empty()) {
            let known: Vec<&str> = profiles.iter().map(|profile| profile.name.as_str()).collect();
            let what = format!(
                "{}:{}: the gate is of column {name:?}, which has no profile",
                context.job.file.display(),
                gate.line
            );
            return Err(Error::config(what).hint(format!("the columns are: {}", known.join(", "))));
        }
        for column in columns {
            report.gates.extend(constant(gate, column));
            if let Some(against) = &gate.against {
                let found = baseline(context, load, model, (against, column)).await?;
                report.gates.extend(compared(gate, column, found));
            }
        }
    }
    if context.job.gates.iter().all(|gate| gate.top.is_none()) {
        let scores = profiles.iter().filter(|profile| profile.side == Side::Score);
        report.warnings.extend(scores.filter_map(|scores| {
            let top = top(scores).ok().filter(|top| top.share >= CONSTANT)?;
            Some(format!("{}: {:.1} % of the scores {}", scores.name, top.share * 100.0, top.place))
        }));
    }
    for gate in report.gates.iter().filter(|gate| matches!(gate.verdict, GateVerdict::Warn | GateVerdict::Skipped)) {
        let how = if gate.verdict == GateVerdict::Warn { "gate" } else { "gate skipped" };
        report.warnings.push(format!("{how}: {}", gate.found));
    }
    let closed: Vec<&GateReport> = report.gates.iter().filter(|gate| gate.verdict == GateVerdict::Fail).collect();
    if closed.is_empty() {
        return Ok(());
    }
    let mut error =
        Error::data(format!("{} of {} gates are closed; nothing was published", closed.len(), report.gates.len()));
    error.causes = closed.iter().map(|gate| gate.found.clone()).collect();
    let label = report.interval.as_ref().map_or("DATE", |interval| interval.label.as_str());
    let target = report.target.as_ref().map_or(String::new(), |target| format!(" --target {target}"));
    Err(error.hint(format!(
        "look at the scores with: daymill run {} --date {label}{target} --dry-run --print scores; if they are right, change the gate in the job file",
        context.job.name
    )))
}

/// Where most values of a column lie.
struct Top {
    share: f64,
    /// "are 0.5", or between which values they lie that are not told apart.
    place: String,
}

/// The most frequent value of a column of numbers; in words why there is none.
fn top(column: &ColumnProfile) -> std::result::Result<Top, String> {
    let numbers = column.numbers().ok_or_else(|| "it has no numbers".to_owned())?;
    if numbers.values < FEW {
        return Err(format!("fewer than {FEW} values"));
    }
    let (low, high, count) = numbers.bins().each().max_by_key(|(.., count)| *count).unwrap_or_default();
    if numbers.min() == numbers.max() {
        return Ok(Top { share: 1.0, place: format!("are {low}") });
    }
    if numbers.bins().held() < 3
        && high - low > f32::EPSILON * low.abs()
        && numbers.max().is_some_and(|max| max < f64::from(high))
    {
        return Err(format!("all values lie between {low} and {high}, too near to be told apart"));
    }
    Ok(Top { share: count as f64 / numbers.values as f64, place: format!("lie between {low} and {high}") })
}

fn constant(gate: &Gate, column: &ColumnProfile) -> Option<GateReport> {
    let most = gate.top?;
    let name = &column.name;
    let top = match top(column) {
        Ok(top) => top,
        Err(why) => return Some(skipped(column, "top", format!("{name}: {why}"))),
    };
    let found =
        format!("{name}: {:.1} % of the values {}, and top allows {:.1} %", top.share * 100.0, top.place, most * 100.0);
    Some(GateReport {
        verdict: verdict(gate, top.share > most, false),
        value: Some(top.share),
        limit: Some(most),
        found,
        ..skipped(column, "top", String::new())
    })
}

fn skipped(column: &ColumnProfile, statistic: &str, found: String) -> GateReport {
    GateReport {
        column: column.name.clone(),
        against: String::new(),
        statistic: statistic.to_owned(),
        value: None,
        limit: None,
        critical: None,
        n: StoredProfile::of(column).values(),
        verdict: GateVerdict::Skipped,
        found,
    }
}

fn verdict(gate: &Gate, fails: bool, warns: bool) -> GateVerdict {
    match (fails, gate.on_fail) {
        (true, OnFail::Warn) => GateVerdict::Warn,
        (true, _) => GateVerdict::Fail,
        (false, _) if warns => GateVerdict::Warn,
        (false, _) => GateVerdict::Pass,
    }
}

/// The statistics of a gate for one column.
fn compared(gate: &Gate, column: &ColumnProfile, found: Found) -> Vec<GateReport> {
    let now = StoredProfile::of(column);
    let one = |limit: &crate::project::gate_spec::Limit| {
        let none = |why: String| skipped(column, limit.statistic.name(), format!("{}: {why}", column.name));
        let (name, movement) = match &found {
            Err(why) => return none(why.clone()),
            Ok((name, profiles)) => match Baseline::of(&profiles.iter().collect::<Vec<_>>()) {
                None => return none(format!("{name} has no values")),
                Some(baseline) => (name, baseline.compare(&now)),
            },
        };
        if movement.too_few() {
            let n = movement.n.min(movement.baseline_n);
            return none(format!("{n} values beside {name}, and {FEW} are needed"));
        }
        let Some(value) = statistic(&movement, limit.statistic) else {
            return none(format!("{} cannot be said beside {name}", limit.statistic.name()));
        };
        // Of small samples PSI is large by chance.
        let critical = movement.psi_critical.filter(|_| limit.statistic == Statistic::Psi);
        let real = critical.is_none_or(|critical| value > critical);
        let (warns, fails) = (real && value >= limit.warn, real && value >= limit.fail);
        let bound = if fails { limit.fail } else { limit.warn };
        GateReport {
            against: name.clone(),
            value: Some(value),
            limit: Some(bound),
            critical,
            verdict: verdict(gate, fails, warns),
            found: format!(
                "{}: {} is {value:.4} beside {name}; the limit is {bound}",
                column.name,
                limit.statistic.name()
            ),
            ..skipped(column, limit.statistic.name(), String::new())
        }
    };
    gate.limits.iter().map(one).collect()
}

fn statistic(movement: &Movement, statistic: Statistic) -> Option<f64> {
    match statistic {
        Statistic::Psi => movement.psi,
        Statistic::Ks => movement.ks,
        Statistic::Js => movement.js,
        Statistic::Wasserstein => movement.wasserstein,
        Statistic::MeanShift => movement.mean_shift.map(f64::abs),
    }
}

/// What a gate compares a column with. Intervals are those that begin before this one, whatever stands after it.
async fn baseline(
    context: &Context,
    load: &mut Load,
    model: Option<&Path>,
    (against, column): (&Against, &ColumnProfile),
) -> Result<Found> {
    let Context { job, interval, .. } = context;
    let own =
        |found: Vec<IntervalProfile>| found.into_iter().filter(|of| of.profile.side == column.side).collect::<Vec<_>>();
    let found = match against {
        Against::Reference(Reference::Model) => {
            let training = model.map(TrainingProfile::read).transpose()?.flatten();
            let named = training.and_then(|training| training.renamed(job.score.as_ref()?.outputs.as_ref()));
            let Some(training) = named else { return Ok(Err("the model has no reference.json".into())) };
            let of = training
                .profiles
                .into_iter()
                .filter(|profile| profile.side == column.side && profile.name == column.name);
            return Ok(Ok(("what the model was trained on".into(), of.collect())));
        }
        Against::Reference(Reference::Dates(from, to)) => {
            let all = between(*from, *to, job.grain, job.zone)?;
            let (Some(first), Some(last)) = (all.first(), all.last()) else { return Ok(Err("no interval".into())) };
            let found = load.profiles((&instant(first.start), &instant(last.end)), &column.name).await?;
            let others = found.into_iter().filter(|of| of.start != instant(interval.start)).collect();
            return Ok(named(own(others), 1));
        }
        Against::Reference(Reference::Last(count)) => own(load.profiles_before(*count, &column.name).await?),
        Against::Previous => own(load.profiles_before(1, &column.name).await?),
        Against::SameWeekday(count) => {
            let weekday = |text: &str| -> Option<Weekday> {
                Some(text.parse::<chrono::DateTime<chrono::Utc>>().ok()?.with_timezone(&job.zone).weekday())
            };
            let today = interval.start.with_timezone(&job.zone).weekday();
            let all = own(load.profiles_before(count * 7, &column.name).await?);
            let same = all.into_iter().filter(|of| weekday(&of.start) == Some(today)).collect::<Vec<_>>();
            same[same.len().saturating_sub(*count)..].to_vec()
        }
    };
    let least = match against {
        Against::Reference(Reference::Last(_)) => FEWEST,
        Against::SameWeekday(count) => *count,
        _ => 1,
    };
    Ok(named(found, least))
}

fn named(found: Vec<IntervalProfile>, least: usize) -> Found {
    match found.as_slice() {
        all if all.len() < least => {
            Err(format!("{} of the intervals before have profiles, and {least} are needed", all.len()))
        }
        [] => Err("no interval has a profile".into()),
        [one] => Ok((one.label.clone(), vec![one.profile.clone()])),
        [first, .., last] => {
            let name = format!("{} intervals {} to {}", found.len(), first.label, last.label);
            Ok((name, found.iter().map(|of| of.profile.clone()).collect()))
        }
    }
}

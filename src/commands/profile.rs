//! `profile`: what the values of each column of a published interval are.

use serde_json::{Value, json};

use crate::cli::{Global, Output, Profile};
use crate::error::{Error, Result};
use crate::interval::{Selection, instant, resolve};
use crate::ledger::profiles::{self, IntervalProfile};
use crate::ledger::{self, Db};
use crate::output;
use crate::project::{Job, Project};
use crate::quality::profile::{Distribution, Side, StoredProfile};

/// Steps of a drawn distribution, and words of a column of text.
const STEPS: usize = 16;
const WORDS: usize = 3;

pub fn profile(global: &Global, args: &Profile) -> Result<u8> {
    let (project, target, job) = super::shared::job(global, &args.job)?;
    let column = args.column.as_deref();
    let found =
        with_profiles(&project, &target, &job, args.date.as_deref(), async |db, before| {
            match profiles::newest(db, &job.name, before, 1).await? {
                Some(from) => profiles::of_job(db, &job.name, (&from, before), column).await,
                None => Ok(Vec::new()),
            }
        })?;
    let Some(first) = found.first() else { return Err(none(&project, &target, &job, column)) };
    match global.output {
        Output::Json => output::json(value(&job, &target, &found))?,
        Output::Human => {
            let model = first.model.as_ref().map(|model| format!(", {model}")).unwrap_or_default();
            output::note(&format!("{} {} in {target}{model}, run {}", job.name, first.label, first.run_id));
            output::result(&match column {
                None => table(&found),
                Some(_) => found.iter().map(|of| page(&of.profile)).collect::<Vec<_>>().join("\n\n"),
            })?;
        }
    }
    Ok(0)
}

/// Asks the ledger about a job's profiles. `before` is the instant before which intervals begin: the end of the one that was
/// named, which must be published.
pub fn with_profiles<T: Default>(
    project: &Project,
    target: &str,
    job: &Job,
    date: Option<&str>,
    ask: impl AsyncFnOnce(&mut Db, &str) -> Result<T>,
) -> Result<T> {
    let now = chrono::Utc::now();
    let named =
        date.map(|text| resolve(&Selection::Date(text.to_owned()), job.grain, job.zone, now, true)).transpose()?;
    super::shared::runtime()?.block_on(async {
        let Some(mut db) = ledger::open_to_read(project, target).await? else { return Ok(T::default()) };
        let answer = async {
            let Some(interval) = &named else { return ask(&mut db, LAST).await };
            let (start, end) = (instant(interval.start), instant(interval.end));
            if profiles::of_job(&mut db, &job.name, (&start, &end), None).await?.is_empty() {
                let flag = super::shared::target_flag(project, target);
                return Err(Error::usage(format!("{} {} has no profiles in {target}", job.name, interval.label()))
                    .hint(format!(
                        "a run that publishes it makes them: daymill run {} --date {}{flag}",
                        job.name,
                        interval.label()
                    )));
            }
            ask(&mut db, &end).await
        };
        let answer = answer.await;
        db.close().await;
        answer
    })
}

/// After every instant that the ledger writes.
const LAST: &str = "9999";

/// Nothing is known.
pub fn none(project: &Project, target: &str, job: &Job, column: Option<&str>) -> Error {
    let what = column.map(|column| format!(" of a column {column:?}")).unwrap_or_default();
    let flag = super::shared::target_flag(project, target);
    Error::usage(format!("no published interval of {} in {target} has profiles{what}", job.name)).hint(format!(
        "every run that publishes makes them; of intervals from before: daymill backfill {} --only all{flag}",
        job.name
    ))
}

fn table(found: &[IntervalProfile]) -> String {
    let rows: Vec<Vec<String>> = found.iter().map(|of| row(&of.profile)).collect();
    let header = ["column", "side", "missing", "mean", "sd", "min", "median", "max", "values"];
    output::table_without(&header, &rows, &["side", "sd", "min", "max"])
}

fn row(profile: &StoredProfile) -> Vec<String> {
    let missing = profile.rows - profile.values();
    vec![
        profile.name.clone(),
        profile.side.name().into(),
        percent(missing as f64 / profile.rows.max(1) as f64),
        number(profile.mean),
        number(profile.deviation()),
        number(profile.min),
        number(profile.quantiles.get(3).map(|q| f64::from(*q))),
        number(profile.max),
        match &profile.distribution {
            Distribution::Groups(_) => output::bars(&steps(profile)),
            Distribution::Words(words, _) => words_of(profile, words, WORDS),
            Distribution::None => String::new(),
        },
    ]
}

fn words_of(profile: &StoredProfile, words: &[(String, u64)], most: usize) -> String {
    let share = |count: u64| percent(count as f64 / profile.values().max(1) as f64);
    let mut parts: Vec<String> =
        words.iter().take(most).map(|(word, n)| format!("{} {}", output::line(word), share(*n))).collect();
    let more = profile.distinct.unwrap_or(0).saturating_sub(parts.len() as u64);
    if more > 0 {
        parts.push(format!("and {} more", output::count(more)));
    }
    parts.join(", ")
}

/// The shares of the values in equal steps, from where 1 % lie below to where 1 % lie above.
fn steps(profile: &StoredProfile) -> Vec<f64> {
    let (Distribution::Groups(groups), [low, .., high]) = (&profile.distribution, &profile.quantiles[..]) else {
        return Vec::new();
    };
    let (low, high) = (f64::from(*low), f64::from(*high));
    let mut shares = vec![0.0; STEPS];
    for group in groups {
        let (from, to) = (f64::from(group.low), f64::from(group.high));
        let middle = if to.is_finite() { from + (to - from) / 2.0 } else { from };
        if from > high || to < low {
            continue;
        }
        let step = ((middle - low) / (high - low).max(f64::MIN_POSITIVE) * STEPS as f64) as usize;
        shares[step.min(STEPS - 1)] += group.count as f64;
    }
    shares
}

fn page(profile: &StoredProfile) -> String {
    let share =
        |count: u64| format!("{} ({})", output::count(count), percent(count as f64 / profile.rows.max(1) as f64));
    let mut rows: Vec<(&str, String)> = vec![
        ("column", output::line(&profile.name)),
        ("side", profile.side.name().into()),
        ("rows", output::count(profile.rows)),
        ("NULL", share(profile.nulls)),
    ];
    if let Distribution::Words(words, _) = &profile.distribution {
        rows.push(("words", output::count(profile.distinct.unwrap_or(0))));
        rows.extend(words.iter().map(|(word, count)| ("", format!("{}  {}", output::line(word), share(*count)))));
    }
    if let Distribution::Groups(_) = &profile.distribution {
        rows.extend([
            ("NaN", share(profile.nans)),
            ("infinite", share(profile.infinities)),
            ("zero", share(profile.zeros)),
        ]);
        rows.extend([
            ("mean", number(profile.mean)),
            ("sd", number(profile.deviation())),
            ("min", number(profile.min)),
        ]);
        let quantiles = ["1 %", "5 %", "25 %", "50 %", "75 %", "95 %", "99 %"].into_iter().zip(&profile.quantiles);
        rows.extend(quantiles.map(|(share, value)| (share, number(Some(f64::from(*value))))));
        rows.extend([("max", number(profile.max)), ("values", output::bars(&steps(profile)))]);
    }
    rows.iter().map(|(name, text)| format!("{name:<9} {text}").trim_end().to_owned()).collect::<Vec<_>>().join("\n")
}

/// A share as a percentage; one that is not zero is not shown as zero.
pub fn percent(share: f64) -> String {
    match share * 100.0 {
        0.0 => "0 %".into(),
        p if p < 0.01 => "< 0.01 %".into(),
        p if p < 10.0 => format!("{p:.2} %"),
        p => format!("{p:.1} %"),
    }
}

/// About four digits.
pub fn number(value: Option<f64>) -> String {
    match value {
        None => "-".into(),
        Some(value) if value == value.trunc() && value.abs() < 1e7 => format!("{value}"),
        Some(value) if (1e-3..1e7).contains(&value.abs()) => {
            let decimals = (3 - value.abs().log10().floor() as i32).clamp(0, 6) as usize;
            format!("{value:.decimals$}")
        }
        Some(value) => format!("{value:.3e}"),
    }
}

fn value(job: &Job, target: &str, found: &[IntervalProfile]) -> Value {
    let first = &found[0];
    let column = |of: &IntervalProfile| {
        let mut value = serde_json::to_value(&of.profile).unwrap_or_default();
        value["deviation"] = json!(of.profile.deviation());
        value
    };
    let of_side = |side: Side| found.iter().filter(|of| of.profile.side == side).map(column).collect::<Vec<_>>();
    json!({
        "job": job.name, "target": target, "interval": first.label, "start": first.start, "end": first.end, "run": first.run_id,
        "model": first.model, "features": of_side(Side::Feature), "scores": of_side(Side::Score), "columns": of_side(Side::Column),
    })
}

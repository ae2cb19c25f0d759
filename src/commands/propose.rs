//! `check --propose`: rules that the published intervals have kept, as they would stand in the job file. Nothing is written.

use std::collections::{BTreeMap, BTreeSet};

use crate::cli::Global;
use crate::error::Result;
use crate::ledger::profiles;
use crate::output;
use crate::quality::profile::{Distribution, Side, StoredProfile};
use crate::stats;

/// Published intervals that are asked.
const INTERVALS: usize = 28;
/// A range is wider than what was seen by this share of it, on either side.
const WIDER: f64 = 0.1;
/// Words of a closed vocabulary.
const MOST_WORDS: usize = 50;
/// How sure it is that no more values are missing than the rule allows.
const CONFIDENCE: f64 = 0.999;

pub fn propose(global: &Global, name: &str) -> Result<u8> {
    let (project, target, job) = super::shared::job(global, name)?;
    let found =
        super::profile::with_profiles(&project, &target, &job, None, async |db, before| {
            match profiles::newest(db, &job.name, before, INTERVALS).await? {
                Some(from) => profiles::of_job(db, &job.name, (&from, before), None).await,
                None => Ok(Vec::new()),
            }
        })?;
    let (Some(first), Some(last)) = (found.first(), found.last()) else {
        return Err(super::profile::none(&project, &target, &job, None));
    };
    let mut columns: BTreeMap<(Side, &str), Vec<&StoredProfile>> = BTreeMap::new();
    for of in &found {
        columns.entry((of.profile.side, of.profile.name.as_str())).or_default().push(&of.profile);
    }
    let span = format!("# What {} to {} kept. Read each rule before you take it.\n", first.label, last.label);
    let rules = columns.iter().flat_map(|((_, name), profiles)| rules(name, profiles));
    output::result(&(span + &rules.map(|rule| format!("\n[[check]]\n{rule}\n")).collect::<String>()))?;
    Ok(0)
}

/// The rules of one column, each as the lines of a check.
fn rules(name: &str, profiles: &[&StoredProfile]) -> Vec<String> {
    let column = format!("column = {}", quoted(name));
    let mut rules = Vec::new();
    let sum = |count: fn(&StoredProfile) -> u64| profiles.iter().map(|profile| count(profile)).sum::<u64>();
    let (rows, nulls) = (sum(|profile| profile.rows), sum(|profile| profile.nulls));
    if rows > 0 && nulls < rows {
        // Each interval has to keep it, the worst too.
        let most = |profile: &&StoredProfile| stats::wilson(profile.nulls as f64, profile.rows as f64, CONFIDENCE);
        let worst = profiles.iter().filter(|profile| profile.nulls > 0).filter_map(most).map(|(_, high)| high);
        let budget = match worst.reduce(f64::max) {
            None => String::new(),
            Some(most) => format!("\nmax_bad = \"{}%\"", ((most * 1e4).ceil() / 1e2).min(100.0)),
        };
        rules.push(format!("{column}\nnot_null = true{budget}"));
    }
    let low = profiles.iter().filter_map(|profile| profile.min).fold(f64::INFINITY, f64::min);
    let high = profiles.iter().filter_map(|profile| profile.max).fold(f64::NEG_INFINITY, f64::max);
    if low <= high {
        let more = (high - low) * WIDER;
        // What was never negative stays so.
        let from = if low >= 0.0 { (low - more).max(0.0) } else { low - more };
        rules.push(format!("{column}\nrange = [{:?}, {:?}]", round(from, f64::floor), round(high + more, f64::ceil)));
    }
    if let Some(words) = vocabulary(profiles) {
        let words: Vec<String> = words.into_iter().map(quoted).collect();
        rules.push(format!("{column}\nvalues = [{}]", words.join(", ")));
    }
    rules
}

/// All words of the intervals, when they are few and all are known.
fn vocabulary<'a>(profiles: &[&'a StoredProfile]) -> Option<BTreeSet<&'a str>> {
    let mut all = BTreeSet::new();
    for profile in profiles {
        match &profile.distribution {
            Distribution::Words(words, 0) => all.extend(words.iter().map(|(word, _)| word.as_str())),
            _ => return None,
        }
    }
    (!all.is_empty() && all.len() < MOST_WORDS && all.iter().all(|word| !matches!(*word, "true" | "false")))
        .then_some(all)
}

/// Three digits that mean something, on the side of the wider range.
fn round(value: f64, side: fn(f64) -> f64) -> f64 {
    if value == 0.0 || !value.is_finite() {
        return value;
    }
    let unit = 10f64.powf(value.abs().log10().floor() - 2.0);
    let rounded = side(value / unit) * unit;
    // The nearest of the floats that are written so short.
    format!("{rounded:.12e}").parse().ok().filter(|value: &f64| value.is_finite()).unwrap_or(value)
}

/// A string of TOML.
fn quoted(text: &str) -> String {
    serde_json::to_string(text).unwrap_or_default().replace('\u{7f}', "\\u007f")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_short_and_wider() {
        assert_eq!((round(1.23456, f64::floor), round(1.23456, f64::ceil)), (1.23, 1.24));
        assert_eq!((round(-98765.0, f64::floor), round(0.0, f64::ceil)), (-98800.0, 0.0));
        assert_eq!((round(0.000_123_49, f64::ceil), round(f64::MAX, f64::ceil)), (0.000_124, f64::MAX));
        assert_eq!(quoted("a\"\\\n\u{7f}é"), "\"a\\\"\\\\\\n\\u007fé\"");
    }
}

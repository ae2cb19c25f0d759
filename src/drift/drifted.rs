//! The drift of a job's columns: a baseline, the intervals up to one, and how each column stands in it.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::compare::{Baseline, Movement};
use super::judge::{Floors, Looked, Standing, judge, usual};
use crate::quality::profile::{Side, StoredProfile};

/// Fewer intervals than this are no baseline.
pub const FEWEST: usize = 5;
/// The newest intervals are never a part of the baseline that they are compared with: a movement that stays would hide itself.
const APART: usize = 3;
/// Of intervals that are compared with something else the first so many say what is usual, when there are more.
const HISTORY: usize = 14;

/// The profiles of one published interval.
#[derive(Clone, Debug, Default)]
pub struct Day {
    pub label: String,
    /// From Monday, 0.
    pub weekday: u32,
    pub model: Option<String>,
    pub profiles: Vec<StoredProfile>,
}

/// What the intervals are compared with.
#[derive(Clone, Debug)]
pub enum Against {
    /// So many of the intervals before.
    Last(usize),
    /// Other profiles, called so.
    Profiles(String, Vec<StoredProfile>),
    /// Other intervals, called so; what is usual is how they lie to each other.
    Days(String, Vec<Day>),
}

/// How one column stands.
#[derive(Clone, Debug, Serialize)]
pub struct ColumnDrift {
    pub side: Side,
    pub column: String,
    pub standing: Standing,
    /// Since which interval it has stood so, when it moved or drifts.
    pub since: Option<String>,
    /// It may have begun before: no interval before that one was judged.
    pub earlier: bool,
    #[serde(flatten)]
    pub movement: Movement,
    /// The median effect in the intervals that say what is usual.
    pub usual: Option<f64>,
    /// The effect in each interval, oldest first.
    pub history: Vec<Option<f64>>,
}

impl ColumnDrift {
    /// Since when, as a table has it.
    pub fn began(&self) -> Option<String> {
        let since = self.since.as_ref()?;
        Some(if self.earlier { format!("by {since}") } else { since.clone() })
    }
}

#[derive(Clone, Debug, Serialize)]
pub struct Drifted {
    pub interval: String,
    pub baseline: String,
    /// The intervals whose effects are the history, oldest first.
    pub intervals: Vec<String>,
    /// Most urgent first.
    pub columns: Vec<ColumnDrift>,
    /// Intervals at which the model became another: label, before, after.
    pub models: Vec<(String, String, String)>,
}

/// The drift of the last of the days. An error says in words why there is none.
pub fn drifted(days: &[Day], against: Against, ignore: &[String], floors: &Floors) -> Result<Drifted, String> {
    let Some(last) = days.last() else { return Err("no interval with profiles is published".into()) };
    let profiles = |days: &[Day]| days.iter().flat_map(|day| day.profiles.iter().cloned()).collect::<Vec<_>>();
    // The history, and the intervals that are judged.
    let (mut history, mut judged) = (Vec::new(), days);
    let (baseline, of, from) = match against {
        Against::Profiles(name, profiles) => (name, profiles, if days.len() > HISTORY { HISTORY } else { 0 }),
        Against::Days(name, own) => {
            let of = profiles(&own);
            history = own.into_iter().filter(|day| day.label != last.label).collect();
            let first = days.iter().rposition(|day| history.iter().any(|own| own.label == day.label));
            judged = &days[first.map_or(0, |at| at + 1)..];
            (name, of, history.len())
        }
        Against::Last(most) => {
            let apart = APART.min(days.len().saturating_sub(FEWEST)).max(1);
            let before = &days[..days.len() - apart];
            let before = &before[before.len().saturating_sub(most)..];
            if before.len() < FEWEST {
                return Err(format!(
                    "{} {} published before {} with profiles, and {FEWEST} are needed",
                    before.len(),
                    if before.len() == 1 { "interval is" } else { "intervals are" },
                    last.label
                ));
            }
            let name =
                format!("the {} intervals {} to {}", before.len(), before[0].label, before[before.len() - 1].label);
            (name, profiles(before), days.len() - apart)
        }
    };
    let shown = history.len();
    history.extend(judged.iter().cloned());
    let days = &history;
    let mut by_column: BTreeMap<(Side, &str), Vec<&StoredProfile>> = BTreeMap::new();
    for profile in &of {
        by_column.entry((profile.side, profile.name.as_str())).or_default().push(profile);
    }
    let named = last.profiles.iter().filter(|profile| !ignore.contains(&profile.name));
    let columns: BTreeSet<(Side, &str)> = named.map(|profile| (profile.side, profile.name.as_str())).collect();
    let baselines: Vec<((Side, &str), Option<Baseline>)> =
        columns.into_iter().map(|key| (key, by_column.get(&key).and_then(|all| Baseline::of(all)))).collect();
    let looked: Vec<Looked> = days.iter().map(|day| look(day, &baselines)).collect();
    let standings = judge(&looked, from, floors);
    let mut columns: Vec<ColumnDrift> = baselines
        .iter()
        .enumerate()
        .map(|(at, ((side, name), _))| {
            column(
                (*side, name),
                at,
                &days[shown..],
                (&looked[shown..], &standings[shown..], &looked[..from]),
                looked.len() - from,
            )
        })
        .collect();
    columns.sort_by(|a, b| {
        let urgent = |column: &ColumnDrift| column.movement.effect().unwrap_or(0.0);
        b.standing.cmp(&a.standing).then_with(|| urgent(b).total_cmp(&urgent(a))).then_with(|| a.column.cmp(&b.column))
    });
    Ok(Drifted {
        interval: last.label.clone(),
        baseline,
        intervals: days[shown..].iter().map(|day| day.label.clone()).collect(),
        columns,
        models: models(&days[shown..]),
    })
}

fn look(day: &Day, baselines: &[((Side, &str), Option<Baseline>)]) -> Looked {
    let one = |((side, name), baseline): &((Side, &str), Option<Baseline>)| {
        let profile = day.profiles.iter().find(|profile| profile.side == *side && profile.name == *name)?;
        Some(baseline.as_ref()?.compare(profile))
    };
    Looked { weekday: day.weekday, columns: baselines.iter().map(one).collect() }
}

fn column(
    (side, name): (Side, &str),
    at: usize,
    days: &[Day],
    (looked, standings, history): (&[Looked], &[Vec<Standing>], &[Looked]),
    judged: usize,
) -> ColumnDrift {
    let standing = standings.last().map_or(Standing::Skipped, |last| last[at]);
    let moving = standings.iter().rev().take_while(|standing| standing[at] >= Standing::Moved).count();
    ColumnDrift {
        side,
        column: name.to_owned(),
        standing,
        since: (moving > 0).then(|| days[days.len() - moving].label.clone()),
        earlier: moving > 0 && moving >= judged,
        movement: looked.last().and_then(|last| last.columns[at].clone()).unwrap_or_default(),
        usual: looked.last().and_then(|last| usual(history, (at, last.weekday))).map(|(middle, _)| middle),
        history: looked.iter().map(|looked| looked.columns[at].as_ref().and_then(Movement::effect)).collect(),
    }
}

fn models(days: &[Day]) -> Vec<(String, String, String)> {
    let changed = |pair: &[Day]| match (&pair[0].model, &pair[1].model) {
        (Some(before), Some(after)) if before != after => Some((pair[1].label.clone(), before.clone(), after.clone())),
        _ => None,
    };
    days.windows(2).filter_map(changed).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quality::profile::{ColumnProfile, Counted, Values};
    use arrow::array::Float32Array;

    fn day(number: u32, shift: f32) -> Day {
        let profile = |name: &str, shift: f32| {
            let values: Vec<f32> = (0..2_000).map(|i| ((i * 7919) % 2_003) as f32 / 2e3 + shift).collect();
            let values = Values::of(&Float32Array::from(values), Counted::default());
            StoredProfile::of(&ColumnProfile { side: Side::Feature, name: name.into(), values })
        };
        let model = format!("m@{}", 1 + number / 10);
        Day {
            label: format!("2024-01-{:02}", number + 1),
            weekday: number % 7,
            model: Some(model),
            profiles: vec![profile("still", 0.0), profile("moving", shift), profile("left", 9.0)],
        }
    }

    #[test]
    fn a_column_that_moves_comes_first_and_says_since_when() {
        let days: Vec<Day> = (0..20).map(|n| day(n, if n >= 18 { 0.2 } else { 0.0 })).collect();
        let found = drifted(&days, Against::Last(28), &["left".to_owned()], &Floors::default()).unwrap();
        assert_eq!(found.baseline, "the 17 intervals 2024-01-01 to 2024-01-17");
        assert_eq!(found.columns.len(), 2);
        let first = &found.columns[0];
        assert_eq!((first.column.as_str(), first.standing), ("moving", Standing::Drifting));
        assert_eq!((first.since.as_deref(), first.earlier), (Some("2024-01-19"), false));
        // What began before the first interval that is judged is not told to have begun there.
        let days: Vec<Day> = (0..24).map(|n| day(n, if n >= 18 { 0.2 } else { 0.0 })).collect();
        let later = drifted(&days, Against::Last(15), &["left".to_owned()], &Floors::default()).unwrap();
        assert_eq!((later.columns[0].since.as_deref(), later.columns[0].earlier), (Some("2024-01-22"), true));
        assert_eq!((found.columns[1].standing, found.columns[1].since.as_deref()), (Standing::Stable, None));
        assert_eq!((first.history.len(), found.intervals.len()), (20, 20));
        assert_eq!(found.models, [("2024-01-11".to_owned(), "m@1".to_owned(), "m@2".to_owned())]);
    }

    #[test]
    fn too_little_is_said_and_other_baselines_are_taken() {
        let days: Vec<Day> = (0..5).map(|n| day(n, 0.0)).collect();
        let error = drifted(&days, Against::Last(28), &[], &Floors::default()).unwrap_err();
        assert_eq!(error, "4 intervals are published before 2024-01-05 with profiles, and 5 are needed");
        assert!(drifted(&[], Against::Last(28), &[], &Floors::default()).is_err());
        let other = Against::Profiles("the model's reference".into(), day(0, 0.5).profiles[..2].to_vec());
        let found = drifted(&days, other, &[], &Floors::default()).unwrap();
        // Intervals of its own say what is usual, and are not judged.
        let own: Vec<Day> = days[..3].to_vec();
        let beside = drifted(&days, Against::Days("the first three".into(), own), &[], &Floors::default()).unwrap();
        assert_eq!((beside.intervals.len(), beside.columns[0].standing), (2, Standing::Stable));
        let standings: Vec<_> = found.columns.iter().map(|column| (column.column.as_str(), column.standing)).collect();
        assert_eq!(
            standings,
            [("moving", Standing::Drifting), ("still", Standing::Stable), ("left", Standing::Skipped)]
        );
    }
}

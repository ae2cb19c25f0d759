//! Whether a movement is drift. Four things must hold, so that large tables do not cry wolf: it is large enough to matter; it is
//! more than chance, over all columns of the run together; it is more than this column usually moves; and it stays.

use serde::Serialize;

use super::compare::Movement;
use crate::stats;

/// Share of false discoveries among the columns that are more than chance.
const DISCOVERY: f64 = 0.01;
/// So many intervals say what is usual, and at most so many are looked at.
const USUAL: usize = 5;
const LONGEST: usize = 60;
/// How far from the median, in deviations, is unusual.
const UNUSUAL: f64 = 5.0;
/// The same weekday is compared with itself once it was seen so often.
const WEEKDAYS: usize = 8;
/// A movement stays when it is there in so many of so many intervals.
const STAYS: (usize, usize) = (2, 3);

/// Movements below all of these do not matter.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Floors {
    pub psi: f64,
    pub ks: f64,
    pub js: f64,
    /// In standard deviations.
    pub wasserstein: f64,
    /// A change of the share of missing values; with it Cohen's h must be 0.1.
    pub missing: f64,
    pub unseen: f64,
}

impl Default for Floors {
    fn default() -> Floors {
        Floors { psi: 0.1, ks: 0.05, js: 0.1, wasserstein: 0.1, missing: 0.02, unseen: 0.01 }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// Too few values, or nothing to compare with.
    Skipped,
    Stable,
    /// Large, more than chance and more than usual, in this interval alone.
    Moved,
    /// And it stays.
    Drifting,
}

impl Standing {
    pub fn name(self) -> &'static str {
        match self {
            Standing::Skipped => "skipped",
            Standing::Stable => "stable",
            Standing::Moved => "moved",
            Standing::Drifting => "drifting",
        }
    }
}

/// The movements of all columns in one interval: none where a column was not profiled.
#[derive(Clone, Debug)]
pub struct Looked {
    pub weekday: u32,
    pub columns: Vec<Option<Movement>>,
}

/// How each column stands in each of the intervals, which are in order. All were compared with one baseline. Those before `from`
/// only say what is usual; what comes later never does, so that a movement that stays does not become usual.
pub fn judge(intervals: &[Looked], from: usize, floors: &Floors) -> Vec<Vec<Standing>> {
    let (mut moves, mut standings): (Vec<Vec<bool>>, Vec<Vec<Standing>>) = (Vec::new(), Vec::new());
    for (at, looked) in intervals.iter().enumerate() {
        moves.push(match at < from {
            true => vec![false; looked.columns.len()],
            false => moved(looked, &intervals[..from], floors),
        });
        let recent = &moves[(at + 1).saturating_sub(STAYS.1)..];
        let one = |(column, now): (usize, &Option<Movement>)| match now {
            None => Standing::Skipped,
            Some(now) if now.too_few() && !gone(now, floors) => Standing::Skipped,
            Some(_) if !moves[at][column] => Standing::Stable,
            Some(_) if recent.iter().filter(|moved| moved[column]).count() >= STAYS.0 => Standing::Drifting,
            Some(_) => Standing::Moved,
        };
        standings.push(looked.columns.iter().enumerate().map(one).collect());
    }
    standings
}

/// Which columns moved: largely, more than by chance, and more than in the history.
fn moved(last: &Looked, history: &[Looked], floors: &Floors) -> Vec<bool> {
    let judged = |column: &Option<Movement>| column.as_ref().filter(|movement| !movement.too_few()).cloned();
    let p: Vec<f64> = last.columns.iter().map(|column| judged(column).and_then(|m| m.p).unwrap_or(1.0)).collect();
    let q = stats::benjamini_hochberg(&p);
    let one = |column: usize| {
        let Some(now) = last.columns[column].as_ref() else { return false };
        if gone(now, floors) {
            return true;
        }
        let Some(now) = judged(&last.columns[column]) else { return false };
        large(&now, floors) && q[column] < DISCOVERY && unusual(&now, history, (column, last.weekday))
    };
    (0..last.columns.len()).map(one).collect()
}

/// Values came that were not there before, or went: no distribution of the others says so.
fn gone(now: &Movement, floors: &Floors) -> bool {
    const H: f64 = 0.1;
    let enough = now.n as f64 / (1.0 - now.missing).max(1e-9) >= super::SMALLEST as f64 || now.missing == 1.0;
    let missing = (now.missing - now.baseline_missing).abs() >= floors.missing && now.missing_h >= H;
    enough && (missing || !now.too_few() && now.unseen.is_some_and(|unseen| unseen >= floors.unseen))
}

fn large(now: &Movement, floors: &Floors) -> bool {
    let above = |value: Option<f64>, floor: f64| value.is_some_and(|value| value >= floor);
    above(now.psi, floors.psi)
        || above(now.ks, floors.ks)
        || above(now.js, floors.js)
        || above(now.wasserstein, floors.wasserstein)
}

/// More than the column moved in the history.
fn unusual(now: &Movement, before: &[Looked], of: (usize, u32)) -> bool {
    let (Some(effect), Some((middle, deviation))) = (now.effect(), usual(before, of)) else { return true };
    effect > middle + UNUSUAL * deviation
}

/// The median effect of a column in the history, and how far it lies from it: on the same weekday, when it was there often
/// enough. None when there are too few.
pub fn usual(before: &[Looked], (column, weekday): (usize, u32)) -> Option<(f64, f64)> {
    let effects = |all: &dyn Fn(&Looked) -> bool| -> Vec<f64> {
        let effect = |looked: &Looked| looked.columns.get(column)?.as_ref()?.effect();
        before.iter().rev().filter(|looked| all(looked)).filter_map(effect).take(LONGEST).collect()
    };
    let same = effects(&|looked| looked.weekday == weekday);
    let usual = if same.len() >= WEEKDAYS { same } else { effects(&|_| true) };
    if usual.len() < USUAL {
        return None;
    }
    stats::mad(&usual)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drift::Baseline;
    use crate::quality::profile::{ColumnProfile, Counted, Side, StoredProfile, Values};
    use arrow::array::Float32Array;

    /// Numbers of a normal distribution, from a fixed seed.
    struct Normal(u64);

    impl Normal {
        fn uniform(&mut self) -> f64 {
            // Of the splitmix generator.
            self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = self.0;
            z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
            ((z ^ z >> 31) >> 11) as f64 / (1u64 << 53) as f64
        }

        fn next(&mut self) -> f64 {
            let (u, v) = (self.uniform().max(1e-300), self.uniform());
            (-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos()
        }

        fn day(&mut self, rows: usize, mean: f64) -> StoredProfile {
            let values: Vec<f32> = (0..rows).map(|_| (self.next() + mean) as f32).collect();
            let values = Values::of(&Float32Array::from(values), Counted::default());
            StoredProfile::of(&ColumnProfile { side: Side::Feature, name: "x".into(), values })
        }
    }

    /// The standings of columns over days; `shift` says what is added to a column's mean on a day.
    fn simulate(
        seed: u64,
        (columns, days, rows): (usize, usize, usize),
        shift: impl Fn(usize, usize) -> f64,
    ) -> Vec<Vec<Standing>> {
        judge(&looked(seed, (columns, days, rows), shift), 14, &Floors::default())
    }

    fn looked(
        seed: u64,
        (columns, days, rows): (usize, usize, usize),
        shift: impl Fn(usize, usize) -> f64,
    ) -> Vec<Looked> {
        let mut normal = Normal(seed);
        let baselines: Vec<Baseline> = (0..columns)
            .map(|_| {
                let profile = normal.day(10_000, 0.0);
                Baseline::of(&[&profile]).unwrap()
            })
            .collect();
        let mut looked: Vec<Looked> = Vec::new();
        for day in 0..days {
            let mut one = |(column, baseline): (usize, &Baseline)| {
                // Days differ a little even when nothing has happened.
                let mean = 0.01 * normal.next() + shift(column, day);
                Some(baseline.compare(&normal.day(rows, mean)))
            };
            let columns = baselines.iter().enumerate().map(&mut one).collect();
            looked.push(Looked { weekday: day as u32 % 7, columns });
        }
        looked
    }

    #[test]
    fn nothing_is_cried_when_nothing_happens() {
        let mut alarms = 0;
        for seed in 0..5 {
            let standings = simulate(seed, (20, 100, 2_000), |_, _| 0.0);
            alarms += standings.iter().flatten().filter(|standing| **standing == Standing::Drifting).count();
        }
        assert!(alarms <= 5, "{alarms} alarms in 10,000 days of columns");
    }

    #[test]
    fn a_shift_is_found_within_two_intervals_and_nothing_else_with_it() {
        for seed in 0..4 {
            let standings =
                simulate(seed, (20, 40, 2_000), |column, day| if column == 3 && day >= 30 { 0.3 } else { 0.0 });
            assert_eq!(standings[29][3], Standing::Stable);
            assert_eq!((standings[30][3], standings[31][3]), (Standing::Moved, Standing::Drifting), "{seed}");
            let others = standings.iter().flat_map(|day| day.iter().enumerate().filter(|(column, _)| *column != 3));
            assert_eq!(others.filter(|(_, standing)| **standing == Standing::Drifting).count(), 0);
        }
    }

    #[test]
    fn what_is_usual_is_no_drift() {
        // Every seventh day is another, and always was.
        let weekly = looked(9, (3, 100, 2_000), |column, day| if column == 1 && day % 7 == 6 { 0.5 } else { 0.0 });
        let known = judge(&weekly, 63, &Floors::default());
        assert_eq!(known.iter().filter(|day| day[1] >= Standing::Moved).count(), 0);
        // To who has not seen many weeks it is another day, and no drift.
        let new = judge(&weekly, 14, &Floors::default());
        assert_eq!((new[20][1], new[21][1]), (Standing::Moved, Standing::Stable));
        // What drifts goes on drifting: it does not become usual.
        let long = simulate(10, (2, 120, 2_000), |column, day| if column == 1 && day >= 20 { 0.4 } else { 0.0 });
        assert!(long[21..].iter().all(|day| day[1] == Standing::Drifting && day[0] != Standing::Drifting));
    }

    #[test]
    fn missing_values_and_few_rows() {
        let was = Normal(1).day(5_000, 0.0);
        let baseline = Baseline::of(&[&was]).unwrap();
        let looked =
            |profile: &StoredProfile| Looked { weekday: 0, columns: vec![Some(baseline.compare(profile)), None] };
        let last = |days: &[Looked]| judge(days, 0, &Floors::default()).pop().unwrap();
        let standing = |profile: &StoredProfile| last(&[looked(profile)]);
        let few = Normal(2).day(299, 5.0);
        assert_eq!(standing(&few), [Standing::Skipped, Standing::Skipped]);
        assert_eq!(standing(&Normal(2).day(300, 5.0))[0], Standing::Moved);
        let mut half = Normal(3).day(2_000, 0.0);
        (half.nulls, half.rows) = (2_000, 4_000);
        assert_eq!(standing(&half)[0], Standing::Moved);
        let mut all = Normal(3).day(0, 0.0);
        (all.nulls, all.rows) = (2_000, 2_000);
        assert_eq!(standing(&all)[0], Standing::Moved);
        // Two of three days in a row, and then it is gone.
        let days = [&half, &was, &half].map(looked);
        assert_eq!(last(&days)[0], Standing::Drifting);
        assert_eq!(last(&days[..2])[0], Standing::Stable);
        assert!(judge(&[], 0, &Floors::default()).is_empty());
        let history = judge(&days, 2, &Floors::default());
        assert_eq!((history[1][0], history[2][0]), (Standing::Stable, Standing::Moved), "the first two are history");
        // However long it goes on.
        let days: Vec<Looked> = (0..60).map(|_| looked(&half)).collect();
        assert_eq!(last(&days)[0], Standing::Drifting);
    }
}

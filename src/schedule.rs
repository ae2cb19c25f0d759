//! What each interval of a job needs: whether it is done, failed, missing, stale, late or running, and which of them a
//! backfill takes. Pure: the ledger's word and the clock are arguments.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::fingerprint::Reason;
use crate::interval::Interval;
use crate::run_state::RunState;

/// How an interval stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "standing", rename_all = "snake_case")]
pub enum IntervalStatus {
    /// Published by what would publish it today.
    Done,
    /// A run found no rows, and the job says that this is fine.
    Skipped,
    /// Never published.
    Missing,
    /// Published, and its rows are not in the table any more.
    Gone,
    /// Another interval, published with another grain or time zone, reaches into it.
    Overlaps { label: String },
    /// The last attempt failed; what it said, and whether rows of an earlier run stand.
    Failed { error: String, stands: bool },
    /// Published, by another model, SQL or job file than today's.
    Stale { reasons: Vec<Reason> },
    /// Published, and its source has changed since.
    Late { reasons: Vec<Reason> },
    /// Some process is at it now.
    Running,
    /// It has not ended yet.
    Future,
}

/// The name of an interval whose last attempt failed.
pub const FAILED: &str = "failed";

impl IntervalStatus {
    /// For people: a failed attempt over rows that stand is less than a gap.
    pub fn words(&self) -> &'static str {
        match self {
            IntervalStatus::Failed { stands: true, .. } => "failed, older rows stand",
            other => other.name(),
        }
    }

    pub fn name(&self) -> &'static str {
        match self {
            IntervalStatus::Done => "done",
            IntervalStatus::Skipped => "skipped",
            IntervalStatus::Missing | IntervalStatus::Gone => "missing",
            IntervalStatus::Overlaps { .. } => "overlaps",
            IntervalStatus::Failed { .. } => FAILED,
            IntervalStatus::Stale { .. } => "stale",
            IntervalStatus::Late { .. } => "late data",
            IntervalStatus::Running => "running",
            IntervalStatus::Future => "not over yet",
        }
    }

    /// Why, in a few words.
    pub fn reason(&self) -> String {
        match self {
            IntervalStatus::Failed { error, stands } => {
                let first = error.lines().next().unwrap_or_default();
                format!("{first}{}", if *stands { " (the rows of an earlier run stand)" } else { "" })
            }
            IntervalStatus::Stale { reasons } | IntervalStatus::Late { reasons } => {
                reasons.iter().map(Reason::to_string).collect::<Vec<_>>().join("; ")
            }
            IntervalStatus::Missing => "never published".into(),
            IntervalStatus::Gone => "its rows are gone from the table".into(),
            IntervalStatus::Overlaps { label } => {
                format!(
                    "{label} was published with another grain or time zone; publish to a new table under a new job name"
                )
            }
            _ => String::new(),
        }
    }
}

/// Which intervals a backfill takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Only {
    Missing,
    Failed,
    /// Changed model, SQL, job file, code or source.
    Stale,
    All,
}

impl Only {
    pub fn takes(self, standing: &IntervalStatus) -> bool {
        match self {
            Only::Missing => matches!(standing, IntervalStatus::Missing | IntervalStatus::Gone),
            Only::Failed => matches!(standing, IntervalStatus::Failed { .. }),
            Only::Stale => matches!(standing, IntervalStatus::Stale { .. } | IntervalStatus::Late { .. }),
            Only::All => {
                !matches!(standing, IntervalStatus::Running | IntervalStatus::Future | IntervalStatus::Overlaps { .. })
            }
        }
    }
}

/// What the ledger says of one interval, as far as it matters here.
#[derive(Clone, Debug, Default)]
pub struct Known {
    pub published: bool,
    /// It was published, and the table has none of its rows any more.
    pub gone: bool,
    pub published_at: Option<DateTime<Utc>>,
    /// How the newest attempt ended.
    pub state: RunState,
    pub error: Option<String>,
    pub stale: Vec<Reason>,
    pub late: Vec<Reason>,
}

/// How an interval stands; `known` is nothing when the ledger has never heard of it.
pub fn standing(interval: &Interval, known: Option<Known>, now: DateTime<Utc>) -> IntervalStatus {
    let running = known.as_ref().is_some_and(|known| known.state == RunState::Running);
    if interval.end > now && !running {
        return IntervalStatus::Future;
    }
    let Some(mut known) = known else { return IntervalStatus::Missing };
    if known.published_at.is_some_and(|at| at < interval.end) {
        known.late.push(Reason::Partial);
    }
    match known.state {
        RunState::Running => IntervalStatus::Running,
        _ if known.gone => IntervalStatus::Gone,
        RunState::Failed | RunState::Interrupted | RunState::Fenced | RunState::Abandoned => {
            let error = known.error.unwrap_or_else(|| match known.state {
                RunState::Abandoned => "the process died".into(),
                state => state.to_string(),
            });
            IntervalStatus::Failed { error, stands: known.published }
        }
        RunState::Skipped if !known.published && !known.late.is_empty() => IntervalStatus::Late { reasons: known.late },
        RunState::Skipped if !known.published => IntervalStatus::Skipped,
        _ if !known.published => IntervalStatus::Missing,
        _ if !known.stale.is_empty() => {
            IntervalStatus::Stale { reasons: known.stale.into_iter().chain(known.late).collect() }
        }
        _ if !known.late.is_empty() => IntervalStatus::Late { reasons: known.late },
        _ => IntervalStatus::Done,
    }
}

/// Runs of neighbours with one value: first, last, how many.
pub fn spans<T, K: PartialEq>(items: &[T], key: impl Fn(&T) -> K) -> Vec<(usize, usize)> {
    let mut spans: Vec<(usize, usize)> = Vec::new();
    for (i, item) in items.iter().enumerate() {
        match spans.last_mut() {
            Some((first, last)) if key(&items[*first]) == key(item) => *last = i,
            _ => spans.push((i, i)),
        }
    }
    spans
}

/// What history says of rows and time: medians over what was published.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Estimate {
    pub rows: u64,
    pub seconds: f64,
}

pub fn estimate(history: &[(u64, u64)]) -> Option<Estimate> {
    let median = |mut values: Vec<u64>| {
        values.sort_unstable();
        values.get(values.len() / 2).copied()
    };
    let rows = median(history.iter().map(|(rows, _)| *rows).collect())?;
    let millis = median(history.iter().map(|(_, millis)| *millis).collect())?;
    Some(Estimate { rows, seconds: millis as f64 / 1e3 })
}

/// Intervals by their bounds.
pub type ByBounds<T> = HashMap<(DateTime<Utc>, DateTime<Utc>), T>;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::interval::{day, parse_date};

    #[test]
    fn an_interval_stands_as_the_ledger_says() {
        let interval = day(parse_date("2013-06-08").unwrap(), chrono_tz::UTC).unwrap();
        let at = |known: Option<Known>| standing(&interval, known, interval.end);
        let known = |state: RunState, published| Known { published, state, ..Known::default() };
        assert_eq!(at(None), IntervalStatus::Missing);
        assert_eq!(standing(&interval, None, interval.start), IntervalStatus::Future);
        assert_eq!(at(Some(known(RunState::Succeeded, true))), IntervalStatus::Done);
        assert_eq!(at(Some(known(RunState::Skipped, false))), IntervalStatus::Skipped);
        assert_eq!(at(Some(known(RunState::Skipped, true))), IntervalStatus::Done);
        assert_eq!(at(Some(known(RunState::Running, true))), IntervalStatus::Running);
        assert_eq!(at(Some(known(RunState::Abandoned, true))).name(), "failed");
        let gone = Known { gone: true, ..known(RunState::Succeeded, true) };
        assert_eq!((at(Some(gone.clone())).name(), Only::Missing.takes(&at(Some(gone)))), ("missing", true));
        let late = Known { late: vec![Reason::Unknown], ..known(RunState::Succeeded, true) };
        assert_eq!(at(Some(late.clone())).name(), "late data");
        let stale = Known { stale: vec![Reason::Sql], ..late };
        assert_eq!(at(Some(stale)).reason(), "SQL changed; published by an older Daymill");
    }

    #[test]
    fn only_takes_what_it_says() {
        let failed = IntervalStatus::Failed { error: "x".into(), stands: false };
        assert!(Only::Failed.takes(&failed) && !Only::Missing.takes(&failed) && Only::All.takes(&failed));
        assert!(!Only::All.takes(&IntervalStatus::Running) && !Only::All.takes(&IntervalStatus::Future));
        assert!(Only::Stale.takes(&IntervalStatus::Late { reasons: Vec::new() }));
    }

    #[test]
    fn spans_and_medians() {
        assert_eq!(spans(&[1, 1, 2, 1], |i| *i), [(0, 1), (2, 2), (3, 3)]);
        assert!(estimate(&[]).is_none());
        assert_eq!(estimate(&[(10, 1000), (30, 3000), (20, 2000)]).unwrap().rows, 20);
    }
}

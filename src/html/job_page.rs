//! What a page says of a job.

use chrono::NaiveDate;

use crate::drift::Drifted;
use crate::quality::profile::StoredProfile;

/// What is known of a job.
#[derive(Clone, Debug, Default)]
pub struct JobPage {
    pub job: String,
    pub description: String,
    pub target: String,
    pub table: String,
    pub timezone: String,
    /// The head of the ledger that all of it is from.
    pub head: String,
    /// In order; those that did not run included.
    pub days: Vec<PageDay>,
    pub drift: Vec<Drifted>,
    /// Why there is no drift to be shown.
    pub no_drift: Vec<String>,
    pub aside: Vec<Aside>,
}

/// One interval.
#[derive(Clone, Debug)]
pub struct PageDay {
    pub label: String,
    pub date: NaiveDate,
    pub state: DayState,
    pub published: u64,
    pub quarantined: u64,
    pub left_out: u64,
    pub dropped: u64,
    pub seconds: Option<f64>,
    pub model: Option<String>,
    /// Verdict, and what was found.
    pub gates: Vec<(String, String)>,
    /// Why the last attempt failed.
    pub error: Option<String>,
    pub scores: Vec<StoredProfile>,
}

/// From the least urgent on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum DayState {
    Published,
    Missing,
    Failed,
}

/// Rows of one rule that were put aside.
#[derive(Clone, Debug)]
pub struct Aside {
    pub label: String,
    pub rule: String,
    pub rows: u64,
    pub state: String,
}

impl PageDay {
    /// How the interval stands, in words.
    pub fn told(&self) -> String {
        match (self.state, self.quarantined) {
            (DayState::Published, 0) => format!("{} rows", self.published),
            (DayState::Published, aside) => format!("{} rows, {aside} put aside", self.published),
            (DayState::Failed, _) => format!("failed: {}", self.error.as_deref().unwrap_or("no reason is known")),
            (DayState::Missing, _) => "not run".into(),
        }
    }
}

//! What one check counted, and its verdict.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::interval::instant;
use crate::project::check_spec::{Check, OnFail, Rule};

/// What one check counted in some of the rows.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Tally {
    pub rows: u64,
    pub nulls: u64,
    pub bad: u64,
    pub example: Option<String>,
    #[serde(with = "super::super::bits")]
    pub sum: f64,
    pub count: u64,
    /// Microseconds since 1970.
    pub newest: Option<i64>,
    /// Hashes of the values of a column that is to have none twice.
    pub hashes: Vec<u128>,
}

/// How one check ended.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Verdict {
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    pub check: String,
    pub passed: bool,
    /// `error`: nothing is published when it does not pass.
    pub severity: Severity,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_fail: Option<OnFail>,
    /// Rows that break it, where rows do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bad: Option<u64>,
    pub found: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    Error,
    Warn,
}

impl Tally {
    /// Adds what was counted in later rows.
    pub fn merge(&mut self, later: Tally) {
        self.rows += later.rows;
        self.nulls += later.nulls;
        self.bad += later.bad;
        self.sum += later.sum;
        self.count += later.count;
        self.newest = self.newest.max(later.newest);
        self.hashes.extend(later.hashes);
        self.example = self.example.take().or(later.example);
    }

    /// Counts rows that break the rule.
    pub fn judge(&mut self, broken: &[bool], example: impl Fn(usize) -> Option<String>) {
        self.bad += broken.iter().filter(|broken| **broken).count() as u64;
        if self.example.is_none() {
            self.example = broken.iter().position(|broken| *broken).and_then(example);
        }
    }

    /// The verdict; `end` is where the interval ends.
    pub fn verdict(&mut self, check: &Check, end: chrono::DateTime<chrono::Utc>) -> Verdict {
        // Of a unique column those rows are bad that have a value again.
        let mut hashes = std::mem::take(&mut self.hashes);
        hashes.sort_unstable();
        self.bad += hashes.windows(2).filter(|pair| pair[0] == pair[1]).count() as u64;
        let column = check.column.as_deref().unwrap_or("rows");
        let between = |value: f64, low: f64, high: f64| value >= low && value <= high;
        let (text, passed, found) = match &check.rule {
            Rule::Range(low, high) => self.of_rows(check, format!("{column} in [{low}, {high}]")),
            Rule::Values(values) => self.of_rows(check, format!("{column} one of {}", values.join(", "))),
            Rule::Match(pattern) => self.of_rows(check, format!("{column} matches {pattern}")),
            Rule::Sql(condition) => self.of_rows(check, condition.clone()),
            Rule::NotNull => self.of_rows(check, format!("{column} not null")),
            Rule::Unique => self.of_rows(check, format!("{column} is unique")),
            Rule::Mean(low, high) => {
                let mean = self.sum / self.count as f64;
                let found = if self.count == 0 { "no values".into() } else { format!("the mean is {mean:.4}") };
                (format!("mean of {column} in [{low}, {high}]"), self.count == 0 || between(mean, *low, *high), found)
            }
            Rule::Sum(low, high) => (
                format!("sum of {column} in [{low}, {high}]"),
                between(self.sum, *low, *high),
                format!("the sum is {}", self.sum),
            ),
            Rule::Rows(low, high) => (
                format!("rows in [{low}, {high}]"),
                between(self.rows as f64, *low, *high),
                format!("{} rows", self.rows),
            ),
            Rule::Freshness(age) => {
                let newest = self.newest.and_then(chrono::DateTime::from_timestamp_micros);
                let found = newest.map_or("no time".into(), |newest| format!("the newest is {}", instant(newest)));
                let fresh = newest.is_some_and(|newest| end - newest <= *age);
                (format!("{column} within {} min of the end", age.num_minutes()), fresh, found)
            }
        };
        let severity = if check.on_fail == OnFail::Warn { Severity::Warn } else { Severity::Error };
        let bad = (check.rule.is_of_rows() || matches!(check.rule, Rule::Unique)).then_some(self.bad);
        Verdict { name: check.name.clone(), check: text, passed, severity, on_fail: Some(check.on_fail), bad, found }
    }

    fn of_rows(&self, check: &Check, text: String) -> (String, bool, String) {
        let bad = self.bad;
        let allowed = match check.max_bad {
            Some(budget) => budget.allows(bad, self.rows),
            None => bad == 0 || check.on_fail.removes(),
        };
        let example = self.example.as_ref().map(|example| format!(", as {example}")).unwrap_or_default();
        let within = match check.max_bad {
            Some(budget) if bad > 0 && allowed => format!(" ({budget} allowed)"),
            Some(budget) if bad > 0 => format!("; max_bad allows {budget}"),
            _ => String::new(),
        };
        let found = match (bad, &check.rule) {
            (0, _) => "every row".to_owned(),
            (_, Rule::NotNull) => format!("{bad} of {} rows are null{within}", self.rows),
            _ => format!("{bad} of {} rows{example}{within}", self.rows),
        };
        (text, allowed, found)
    }
}

/// The failed checks as one error, or nothing.
pub fn gate(verdicts: &[Verdict]) -> Result<()> {
    let failed: Vec<_> = verdicts.iter().filter(|v| !v.passed && v.severity == Severity::Error).collect();
    match failed.as_slice() {
        [] => Ok(()),
        failed => {
            let mut error =
                Error::data(format!("{} of {} checks failed; nothing was published", failed.len(), verdicts.len()));
            error.causes = failed.iter().map(|v| format!("{}: {}", v.check, v.found)).collect();
            Err(error)
        }
    }
}

/// What a message says of a row that breaks a rule.
pub fn example(check: &Check, value: &str) -> Option<String> {
    match &check.rule {
        // The value is NULL, or false.
        Rule::NotNull | Rule::Sql(_) => None,
        _ => Some(value.to_owned()),
    }
}

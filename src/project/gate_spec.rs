//! `[[gate]]` of a job file: how far the scores of a run may lie from what they were, or the run does not publish.

use super::check_spec::OnFail;
use super::drift_spec::Reference;
use crate::config::Table;
use crate::error::{Error, Result};

#[derive(Clone, Debug)]
pub struct Gate {
    pub line: usize,
    /// A score or another published column; every score when none is named.
    pub column: Option<String>,
    pub against: Option<Against>,
    pub limits: Vec<Limit>,
    /// The largest share of the values that may be one value.
    pub top: Option<f64>,
    /// Fail or warn.
    pub on_fail: OnFail,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Against {
    Reference(Reference),
    /// The published interval before.
    Previous,
    /// So many published intervals before, of the same weekday.
    SameWeekday(usize),
}

/// A figure from which on the run warns, and one from which on it fails.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limit {
    pub statistic: Statistic,
    pub warn: f64,
    pub fail: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Statistic {
    Psi,
    Ks,
    Js,
    Wasserstein,
    MeanShift,
}

impl Statistic {
    pub const ALL: [(&'static str, Statistic); 5] = [
        ("psi", Statistic::Psi),
        ("ks", Statistic::Ks),
        ("js", Statistic::Js),
        ("wasserstein", Statistic::Wasserstein),
        ("mean_shift", Statistic::MeanShift),
    ];

    pub fn name(self) -> &'static str {
        Statistic::ALL.iter().find(|(_, one)| *one == self).map_or("", |(name, _)| name)
    }
}

impl Against {
    pub fn parse(text: &str) -> Result<Against> {
        if text == "previous" {
            return Ok(Against::Previous);
        }
        let weekdays = text.strip_prefix("last ").and_then(|rest| rest.strip_suffix(" same weekday"));
        if let Some(count) = weekdays {
            return match count.trim().parse::<usize>() {
                Ok(count) if (1..=52).contains(&count) => Ok(Against::SameWeekday(count)),
                _ => Err(Error::usage(format!("{text:?}: from 1 to 52 weeks can be compared with"))),
            };
        }
        Reference::parse(text).map(Against::Reference).map_err(|error| match error.hint {
            Some(_) => error.hint(
                "write \"previous\", \"last 28\" (intervals), \"last 4 same weekday\", \"model\", or two dates as 2013-06-01..2013-06-14",
            ),
            None => error,
        })
    }

    /// Whether what stands before decides, so that intervals are run one after the other.
    pub fn is_history(&self) -> bool {
        matches!(self, Against::Previous | Against::SameWeekday(_) | Against::Reference(Reference::Last(_)))
    }
}

pub(super) fn gates(tables: &[Table<'_>], scores: bool) -> Vec<Gate> {
    tables.iter().filter_map(|table| gate(table, scores)).collect()
}

fn gate(table: &Table<'_>, scores: bool) -> Option<Gate> {
    let column = table.string("column").map(|at| at.value);
    if column.is_none() && !scores {
        table.fault(table.line(), "a [[gate]] of a job without a model names its column");
    }
    let against = table.string("against").and_then(|at| match Against::parse(&at.value) {
        Ok(against) => Some(against),
        Err(error) => {
            table.fault_hint(at.line, error.message, error.hint.unwrap_or_default());
            None
        }
    });
    let limit = |(name, statistic): (&str, Statistic)| {
        table.range(name).map(|at| Limit { statistic, warn: at.value.0, fail: at.value.1 })
    };
    let limits: Vec<Limit> = Statistic::ALL.into_iter().filter_map(limit).collect();
    let top = table.string("top").and_then(|at| {
        let share = at.value.strip_suffix('%').and_then(|digits| digits.trim().parse::<f64>().ok());
        let share = share.filter(|share| (0.0..=100.0).contains(share)).map(|share| share / 100.0);
        if share.is_none() {
            table.fault_hint(at.line, format!("top = {:?} is no share", at.value), "as in \"95%\"");
        }
        share
    });
    let on_fail =
        table.word("on_fail", &[("fail", OnFail::Fail), ("warn", OnFail::Warn)]).map_or(OnFail::Fail, |at| at.value);
    match (&against, limits.is_empty()) {
        (None, false) if !table.has("against") => {
            table.fault_hint(table.line(), "the gate does not say what it compares with", "against = \"last 28\"");
        }
        (Some(_), true) => table.fault_hint(table.line(), "the gate has no limit", "as in psi = [0.1, 0.25]"),
        (None, true) if top.is_none() && !table.has("top") && !table.has("against") => {
            table.fault_hint(table.line(), "a [[gate]] has top, or against and a limit", "as in top = \"95%\"");
        }
        _ => {}
    }
    Some(Gate { line: table.line(), column, against, limits, top, on_fail })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_gate_compares_with() {
        let parsed = |text: &str| Against::parse(text).map_err(|error| error.message);
        assert_eq!(parsed("previous"), Ok(Against::Previous));
        assert_eq!(parsed("last 4 same weekday"), Ok(Against::SameWeekday(4)));
        assert_eq!(parsed("last 28"), Ok(Against::Reference(Reference::Last(28))));
        assert!(
            parsed("last 0 same weekday").is_err() && parsed("last same weekday").is_err() && parsed("next").is_err()
        );
        assert!(parsed("previous").unwrap().is_history() && !parsed("model").unwrap().is_history());
    }
}

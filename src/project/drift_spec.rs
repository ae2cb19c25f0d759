//! `[drift]` of a job file: what its columns are compared with, and how much of a movement matters.

use chrono::NaiveDate;

use crate::config::Table;
use crate::drift::Floors;
use crate::error::{Error, Result};
use crate::interval::parse_date;

/// What a job says of drift.
#[derive(Clone, Debug, Default)]
pub struct DriftSpec {
    /// The model's own reference when it has one, and the last 28 intervals, when nothing is said.
    pub reference: Option<Reference>,
    /// Columns that are not looked at.
    pub ignore: Vec<String>,
    pub floors: Floors,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reference {
    /// What the model was trained on.
    Model,
    /// So many published intervals before.
    Last(usize),
    /// The published intervals of these dates, both included.
    Dates(NaiveDate, NaiveDate),
}

impl Reference {
    pub fn parse(text: &str) -> Result<Reference> {
        let wrong = || {
            Error::usage(format!("{text:?} is nothing to compare with"))
                .hint("write \"model\", \"last 28\" (intervals), or two dates as 2013-06-01..2013-06-14")
        };
        if text == "model" {
            return Ok(Reference::Model);
        }
        if let Some(count) = text.strip_prefix("last ") {
            let fewest = crate::drift::FEWEST;
            return match count.trim().parse::<usize>() {
                Ok(count) if (fewest..=1000).contains(&count) => Ok(Reference::Last(count)),
                Ok(_) => Err(Error::usage(format!("{text:?}: from {fewest} to 1000 intervals can be compared with"))),
                Err(_) => Err(wrong()),
            };
        }
        let (from, to) = text.split_once("..").ok_or_else(wrong)?;
        let (from, to) = (parse_date(from)?, parse_date(to)?);
        match from <= to {
            true => Ok(Reference::Dates(from, to)),
            false => Err(Error::usage(format!("{text:?} ends before it begins"))),
        }
    }
}

pub(super) fn drift(table: &Table<'_>) -> DriftSpec {
    let reference = table.string("reference").and_then(|at| {
        let reference = Reference::parse(&at.value);
        reference.map_err(|error| table.fault_hint(at.line, error.message, error.hint.unwrap_or_default())).ok()
    });
    let usual = Floors::default();
    let floor = |key: &str, usual: f64| table.float(key).map_or(usual, |at| at.value);
    DriftSpec {
        reference,
        ignore: table.strings("ignore").map(|at| at.value).unwrap_or_default(),
        floors: Floors {
            psi: floor("psi", usual.psi),
            ks: floor("ks", usual.ks),
            js: floor("js", usual.js),
            wasserstein: floor("wasserstein", usual.wasserstein),
            missing: floor("missing", usual.missing),
            unseen: floor("unseen", usual.unseen),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_is_one_of_three() {
        let parsed = |text: &str| Reference::parse(text).map_err(|error| error.message);
        assert_eq!(parsed("model"), Ok(Reference::Model));
        assert_eq!(parsed("last 28"), Ok(Reference::Last(28)));
        let day = |day| NaiveDate::from_ymd_opt(2013, 6, day).unwrap();
        assert_eq!(parsed("2013-06-01..2013-06-14"), Ok(Reference::Dates(day(1), day(14))));
        for wrong in [
            "",
            "last",
            "last 4",
            "last 1001",
            "last -7",
            "2013-06-14..2013-06-01",
            "2013-06-01",
            "2013-13-01..2014-01-01",
        ] {
            assert!(parsed(wrong).is_err(), "{wrong}");
        }
    }
}

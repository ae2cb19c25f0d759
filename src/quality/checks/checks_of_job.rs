//! The checks of a job against the columns that it has: which rows are put aside before scoring and after, and what is counted in
//! those that are left.

use std::sync::atomic::{AtomicU64, Ordering};

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch};
use arrow::compute::{cast, filter_record_batch};
use arrow::datatypes::{DataType, Date32Type, Float64Type, Schema, TimeUnit, TimestampMicrosecondType};

use super::bad_rows::{BadRow, CONDITION, Telling};
use super::rows::{broken, shown};
use super::tally::{Tally, Verdict, example};
use crate::error::{Error, Result};
use crate::interval::Interval;
use crate::project::Job;
use crate::project::check_spec::{Check, OnFail, QuarantineSpec, Rule};
use crate::rows::key_hashes;

/// Bad rows of one batch that are told of; of all batches it is as many as may be put aside, and a few more for a message.
const MORE: u64 = 100;
const MICROS_OF_DAY: i64 = 86_400_000_000;

/// The columns that checks may be of.
#[derive(Clone, Copy)]
pub struct Columns<'a> {
    /// Those of the transform, with the conditions in SQL.
    pub transformed: &'a Schema,
    /// Names of the scores.
    pub scores: &'a [String],
}

#[derive(Debug, Default)]
pub struct Checks {
    all: Vec<Looked>,
    key: Vec<String>,
    quarantine: QuarantineSpec,
    /// Bad rows that were told of in all batches.
    told: AtomicU64,
}

#[derive(Debug)]
struct Looked {
    check: Check,
    /// The column of the batch that it looks at.
    column: Option<String>,
    /// It is of a score.
    after: bool,
    /// No value of it may be told.
    hidden: bool,
    end: chrono::DateTime<chrono::Utc>,
}

/// A batch without the rows that are put aside.
pub struct Sifted {
    pub batch: RecordBatch,
    /// Which rows were kept; none when all were.
    pub kept: Option<Vec<bool>>,
    pub found: Found,
}

/// What the checks found in some rows.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Found {
    pub tallies: Vec<Tally>,
    /// Rows put aside, and rows left out.
    pub quarantined: u64,
    pub left_out: u64,
    pub rows: Vec<BadRow>,
}

impl Found {
    pub fn merge(&mut self, later: Found) {
        match self.tallies.is_empty() {
            true => self.tallies = later.tallies,
            false => self.tallies.iter_mut().zip(later.tallies).for_each(|(mine, tally)| mine.merge(tally)),
        }
        self.quarantined += later.quarantined;
        self.left_out += later.left_out;
        self.rows.extend(later.rows);
    }
}

impl Checks {
    /// Every checked column must be there, and be of numbers, text or times when the rule is.
    pub fn new(job: &Job, interval: &Interval, columns: Columns<'_>) -> Result<Checks> {
        let mut all = Vec::new();
        for (at, check) in job.checks.iter().enumerate() {
            let at_fault = |what: String| Error::config(format!("{}:{}: {what}", job.file.display(), check.line));
            let column = match &check.rule {
                Rule::Sql(_) => Some(format!("{CONDITION}{at}")),
                _ => check.column.clone(),
            };
            let after = column.as_ref().is_some_and(|name| columns.scores.contains(name));
            if let (Some(name), false) = (&column, after) {
                let Ok(field) = columns.transformed.field_with_name(name) else {
                    return Err(missing(check, name, columns, &at_fault));
                };
                suits(&check.rule, name, field.data_type()).map_err(at_fault)?;
            } else if after {
                suits(&check.rule, column.as_deref().unwrap_or_default(), &DataType::Float32).map_err(at_fault)?;
            }
            let mut check = check.clone();
            if check.on_fail == OnFail::Drop {
                check.max_bad = check.max_bad.or(Some(job.quarantine.max_bad));
            }
            let hidden = column.as_ref().is_some_and(|name| job.quarantine.redact.contains(name));
            all.push(Looked { check, column, after, hidden, end: interval.end });
        }
        known(job, columns)?;
        Ok(Checks { all, key: job.key.clone(), quarantine: job.quarantine.clone(), told: AtomicU64::new(0) })
    }

    /// Puts rows aside that break a rule about columns of the transform, before they are scored.
    pub fn before(&self, batch: RecordBatch) -> Result<Sifted> {
        self.sift(batch, false)
    }

    /// Puts rows aside whose scores break a rule, and counts what the other rules find in the rest.
    pub fn after(&self, batch: RecordBatch) -> Result<Sifted> {
        let mut sifted = self.sift(batch, true)?;
        for (looked, tally) in self.all.iter().zip(&mut sifted.found.tallies) {
            if !looked.check.on_fail.removes() {
                looked.count(&sifted.batch, tally)?;
            }
        }
        Ok(sifted)
    }

    fn sift(&self, batch: RecordBatch, after: bool) -> Result<Sifted> {
        let mut found = Found { tallies: vec![Tally::default(); self.all.len()], ..Found::default() };
        let rows = batch.num_rows();
        let mut breaks: Vec<(&Check, &ArrayRef, Vec<bool>)> = Vec::new();
        for (looked, tally) in self.all.iter().zip(&mut found.tallies) {
            if looked.after != after || !looked.check.on_fail.removes() {
                continue;
            }
            let column = looked.of(&batch)?;
            let mask = broken(&looked.check.rule, column)?;
            tally.rows += rows as u64;
            tally.judge(&mask, |row| looked.example(column, row));
            if tally.bad > 0 {
                breaks.push((&looked.check, column, mask));
            }
        }
        if breaks.is_empty() {
            return Ok(Sifted { batch, kept: None, found });
        }
        let telling = Telling {
            batch: &batch,
            key: &self.key,
            redact: &self.quarantine.redact,
            stage: if after { "score" } else { "transform" },
        };
        let mut kept = vec![true; rows];
        for (row, kept) in kept.iter_mut().enumerate() {
            let of_row: Vec<(&Check, &ArrayRef)> =
                breaks.iter().filter(|(.., mask)| mask[row]).map(|(check, column, _)| (*check, *column)).collect();
            if of_row.is_empty() {
                continue;
            }
            *kept = false;
            // A row that one rule puts aside is put aside, though another would leave it out.
            let quarantined: Vec<_> =
                of_row.iter().filter(|(check, _)| check.on_fail == OnFail::Quarantine).copied().collect();
            if quarantined.is_empty() {
                found.left_out += 1;
                continue;
            }
            found.quarantined += 1;
            if self.told.fetch_add(1, Ordering::Relaxed) < self.quarantine.max_rows.saturating_add(MORE) {
                found.rows.push(telling.row(row, &quarantined));
            }
        }
        let rest = filter_record_batch(&batch, &BooleanArray::from(kept.clone()))
            .map_err(|e| Error::defect("a batch cannot be filtered").cause(e))?;
        Ok(Sifted { batch: rest, kept: Some(kept), found })
    }

    /// The verdict of each check over all rows; `tallies` are those of all batches, added up.
    pub fn verdicts(&self, tallies: &mut Vec<Tally>) -> Vec<Verdict> {
        tallies.resize_with(self.all.len(), Tally::default);
        self.all.iter().zip(tallies).map(|(looked, tally)| tally.verdict(&looked.check, looked.end)).collect()
    }

    /// No more rows were put aside than the job allows, of so many that came.
    pub fn require_budget(&self, found: &Found, rows: u64) -> Result<()> {
        let QuarantineSpec { max_rows, max_bad, .. } = &self.quarantine;
        if found.quarantined <= *max_rows && max_bad.allows(found.quarantined, rows) {
            return Ok(());
        }
        let limit = if found.quarantined > *max_rows {
            format!("max_rows = {max_rows}")
        } else {
            format!("max_bad = {max_bad}")
        };
        let mut error = Error::data(format!(
            "{} of {rows} rows would be put aside, and [quarantine] allows {limit}; nothing was published",
            found.quarantined
        ));
        let reason = |row: &BadRow| format!("{}: {}", row.rule, row.reason);
        error.causes = found.rows.iter().take(5).map(reason).collect();
        Err(error.hint("the first of these rows are in run.json, under rejected; if the rows are to be expected, raise the limit in [quarantine] of the job file"))
    }
}

impl Looked {
    /// A value that breaks the rule, for a message.
    fn example(&self, column: &ArrayRef, row: usize) -> Option<String> {
        match self.hidden {
            true => None,
            false => example(&self.check, &shown(column, row)),
        }
    }

    fn of<'a>(&self, batch: &'a RecordBatch) -> Result<&'a ArrayRef> {
        let name = self.column.as_deref().unwrap_or_default();
        batch.column_by_name(name).ok_or_else(|| Error::defect(format!("a batch lost the column {name:?}")))
    }

    fn count(&self, batch: &RecordBatch, tally: &mut Tally) -> Result<()> {
        tally.rows += batch.num_rows() as u64;
        if self.column.is_none() {
            return Ok(());
        }
        let column = self.of(batch)?;
        tally.nulls += column.null_count() as u64;
        match &self.check.rule {
            Rule::Mean(..) | Rule::Sum(..) => {
                let floats = cast(column, &DataType::Float64).map_err(|e| Error::config("no numbers").cause(e))?;
                for value in floats.as_primitive::<Float64Type>().iter().flatten() {
                    tally.sum += value;
                    tally.count += 1;
                }
            }
            Rule::Freshness(_) => tally.newest = tally.newest.max(newest(column)),
            Rule::Unique => {
                let name = self.column.clone().unwrap_or_default();
                let hashes = key_hashes(batch, &[name])?;
                tally.hashes.extend(
                    hashes.into_iter().enumerate().filter(|(row, _)| column.is_valid(*row)).map(|(_, hash)| hash),
                );
            }
            rule if rule.is_of_rows() => {
                tally.judge(&broken(rule, column)?, |row| self.example(column, row));
            }
            _ => {}
        }
        Ok(())
    }
}

/// The newest time of a column, in microseconds since 1970.
fn newest(column: &ArrayRef) -> Option<i64> {
    match column.data_type() {
        DataType::Date32 => {
            column.as_primitive::<Date32Type>().iter().flatten().max().map(|day| i64::from(day) * MICROS_OF_DAY)
        }
        _ => column.as_primitive_opt::<TimestampMicrosecondType>()?.iter().flatten().max(),
    }
}

/// Whether a rule can be asked of a column of this type.
fn suits(rule: &Rule, name: &str, kind: &DataType) -> std::result::Result<(), String> {
    let needs = match rule {
        _ if rule.needs_numbers() && !kind.is_numeric() && *kind != DataType::Boolean => "numbers",
        Rule::Freshness(_)
            if !matches!(kind, DataType::Date32 | DataType::Timestamp(TimeUnit::Microsecond, Some(_))) =>
        {
            "times with a time zone, or dates"
        }
        Rule::Sql(_) if *kind != DataType::Boolean => "a condition",
        _ => return Ok(()),
    };
    Err(format!("the check needs {needs}, and {name:?} is {kind}"))
}

/// Every column that is to be hidden is there: a name that is wrong would hide nothing.
fn known(job: &Job, columns: Columns<'_>) -> Result<()> {
    let fields = columns.transformed.fields().iter().map(|field| field.name().as_str());
    let known: Vec<&str> = fields.chain(columns.scores.iter().map(String::as_str)).collect();
    match job.quarantine.redact.iter().find(|name| !known.contains(&name.as_str())) {
        None => Ok(()),
        Some(name) => {
            let what = format!(
                "{}: quarantine.redact names {name:?}, which neither the transform nor the model gives",
                job.file.display()
            );
            let mut error = Error::config(what);
            error.hint = crate::config::meant(name, known.iter().copied());
            Err(error)
        }
    }
}

fn missing(check: &Check, name: &str, columns: Columns<'_>, at_fault: &dyn Fn(String) -> Error) -> Error {
    if matches!(check.rule, Rule::Sql(_)) {
        return at_fault("a check in SQL is asked of the transform, which an earlier stage made".into())
            .hint("run the job whole: daymill run");
    }
    let fields = columns.transformed.fields().iter().map(|field| field.name().as_str());
    let known: Vec<&str> =
        fields.filter(|name| !name.starts_with(CONDITION)).chain(columns.scores.iter().map(String::as_str)).collect();
    let near = crate::config::meant(name, known.iter().copied());
    let mut error =
        at_fault(format!("the check is of column {name:?}, which neither the transform nor the model gives"));
    error.hint = near.or_else(|| Some(format!("the columns are: {}", known.join(", "))));
    error
}

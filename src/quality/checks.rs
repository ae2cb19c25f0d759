//! The job's checks: what each counts in a batch, and its verdict over all of them, before anything is published.

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, Schema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::project::job::{Check, Rule, Severity};

/// What one check counted in some of the rows.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Tally {
    rows: u64,
    nulls: u64,
    bad: u64,
    example: Option<String>,
    #[serde(with = "super::bits")]
    sum: f64,
    count: u64,
}

/// The checks of a job, against the columns that it publishes.
#[derive(Clone, Debug, Default)]
pub struct Checks(Vec<Check>);

/// How one check ended.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Verdict {
    pub check: String,
    pub passed: bool,
    pub severity: Severity,
    pub found: String,
}

impl Checks {
    /// Every checked column must be published, and be of numbers when the rule is.
    pub fn new(checks: &[Check], schema: &Schema, file: &std::path::Path) -> Result<Checks> {
        let columns: Vec<&str> = schema.fields().iter().map(|f| f.name().as_str()).collect();
        for check in checks {
            if let Some(name) = &check.column
                && !columns.contains(&name.as_str())
            {
                let near = crate::config::meant(name, columns.iter().copied());
                let mut error = Error::config(format!(
                    "{}:{}: the check is of column {name:?}, which is not published",
                    file.display(),
                    check.line
                ));
                error.hint = near.or_else(|| Some(format!("the columns are: {}", columns.join(", "))));
                return Err(error);
            }
        }
        for check in checks {
            let field = check.column.as_ref().and_then(|name| schema.field_with_name(name).ok());
            let Some(field) = field.filter(|_| matches!(check.rule, Rule::Range(..) | Rule::Mean(..))) else {
                continue;
            };
            if !field.data_type().is_numeric() && *field.data_type() != DataType::Boolean {
                return Err(Error::config(format!(
                    "{}:{}: the check needs numbers, and {:?} is {}",
                    file.display(),
                    check.line,
                    field.name(),
                    field.data_type()
                )));
            }
        }
        Ok(Checks(checks.to_vec()))
    }

    /// What each check counts in a batch.
    pub fn look(&self, batch: &RecordBatch) -> Result<Vec<Tally>> {
        self.0.iter().map(|check| tally(check, batch)).collect()
    }

    /// The verdict of each check over all rows; `tallies` are those of [`Checks::look`], added up.
    pub fn verdicts(&self, tallies: &[Tally]) -> Vec<Verdict> {
        let none = Tally::default();
        let of = |(i, check): (usize, &Check)| tallies.get(i).unwrap_or(&none).verdict(check);
        self.0.iter().enumerate().map(of).collect()
    }
}

fn tally(check: &Check, batch: &RecordBatch) -> Result<Tally> {
    let mut tally = Tally { rows: batch.num_rows() as u64, ..Tally::default() };
    let Some(array) = check.column.as_ref().and_then(|name| batch.column_by_name(name)) else { return Ok(tally) };
    tally.nulls = array.null_count() as u64;
    match &check.rule {
        Rule::Range(low, high) => numbers(array, |value| tally.judge(value >= *low && value <= *high, value))?,
        Rule::Mean(..) => numbers(array, |value| {
            tally.sum += value;
            tally.count += 1;
        })?,
        Rule::Values(allowed) => {
            let text =
                cast(array, &DataType::Utf8View).map_err(|e| Error::config("a check of values needs text").cause(e))?;
            for value in text.as_string_view().iter().flatten() {
                tally.judge(allowed.iter().any(|a| a == value), value);
            }
        }
        Rule::NotNull | Rule::Rows(..) => {}
    }
    Ok(tally)
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

fn numbers(array: &dyn Array, mut each: impl FnMut(f64)) -> Result<()> {
    let floats = cast(array, &DataType::Float64)
        .map_err(|e| Error::config("a check of numbers is of a column that has none").cause(e))?;
    floats.as_primitive::<Float64Type>().iter().flatten().for_each(&mut each);
    Ok(())
}

impl Tally {
    /// Adds what was counted in later rows.
    pub fn merge(&mut self, later: Tally) {
        self.rows += later.rows;
        self.nulls += later.nulls;
        self.bad += later.bad;
        self.sum += later.sum;
        self.count += later.count;
        self.example = self.example.take().or(later.example);
    }

    fn judge(&mut self, good: bool, value: impl std::fmt::Display) {
        if !good {
            self.bad += 1;
            self.example.get_or_insert_with(|| value.to_string());
        }
    }

    fn verdict(&self, check: &Check) -> Verdict {
        let column = check.column.as_deref().unwrap_or("rows");
        let (text, passed, found) = match &check.rule {
            Rule::Range(low, high) => (format!("{column} in [{low}, {high}]"), self.bad == 0, self.bad_rows()),
            Rule::Values(values) => (format!("{column} one of {}", values.join(", ")), self.bad == 0, self.bad_rows()),
            Rule::NotNull => (
                format!("{column} not null"),
                self.nulls == 0,
                format!("{} of {} rows are null", self.nulls, self.rows),
            ),
            Rule::Mean(low, high) => {
                let mean = self.sum / self.count as f64;
                let passed = self.count == 0 || (mean >= *low && mean <= *high);
                (
                    format!("mean of {column} in [{low}, {high}]"),
                    passed,
                    if self.count == 0 { "no values".into() } else { format!("the mean is {mean:.4}") },
                )
            }
            Rule::Rows(low, high) => {
                let passed = (self.rows as f64) >= *low && (self.rows as f64) <= *high;
                (format!("rows in [{low}, {high}]"), passed, format!("{} rows", self.rows))
            }
        };
        Verdict { check: text, passed, severity: check.severity, found }
    }

    fn bad_rows(&self) -> String {
        match &self.example {
            Some(example) => format!("{} of {} rows, as {example}", self.bad, self.rows),
            None => "every row".to_owned(),
        }
    }
}

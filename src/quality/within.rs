//! The time that a job publishes with each row, `[load] time`: it must lie in the interval under which the row is published.

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Date32Type, Schema, TimestampMicrosecondType};
use arrow::util::display::array_value_to_string;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::interval::{Grain, Interval, instant};
use crate::project::Job;

const MOST_EXAMPLES: usize = 5;

/// The time that every row must have.
#[derive(Clone, Debug)]
pub struct Within {
    column: String,
    key: Vec<String>,
    interval: Interval,
    /// Half-open, in the unit of the column: microseconds, or days.
    bounds: (i64, i64),
}

/// Rows whose time is not in the interval.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Strays {
    outside: u64,
    missing: u64,
    examples: Vec<String>,
}

impl Strays {
    /// Adds those of later rows.
    pub fn merge(&mut self, later: Strays) {
        self.outside += later.outside;
        self.missing += later.missing;
        self.examples.extend(later.examples);
        self.examples.truncate(MOST_EXAMPLES);
    }
}

impl Within {
    /// None when the job names no time. The column must be published, and be a date or a timestamp with a zone.
    pub fn new(job: &Job, interval: &Interval, published: &Schema) -> Result<Option<Within>> {
        let Some(column) = &job.load.time else { return Ok(None) };
        let Ok(field) = published.field_with_name(column) else {
            let names: Vec<&str> = published.fields().iter().map(|f| f.name().as_str()).collect();
            let near = crate::config::meant(column, names.iter().copied());
            let mut error = Error::config(format!("load.time is {column:?}, which is not published"));
            error.hint = near.or_else(|| Some(format!("publish it (load.keep), or name one of: {}", names.join(", "))));
            return Err(error);
        };
        let bounds = match field.data_type() {
            DataType::Date32 if interval.grain == Grain::Day => interval.days(),
            DataType::Timestamp(_, Some(_)) => (interval.start.timestamp_micros(), interval.end.timestamp_micros()),
            other => {
                return Err(Error::config(format!("load.time is {column:?}, which is {other}"))
                    .hint("it must be a timestamp with a time zone, or, where a run is a day, a date"));
            }
        };
        Ok(Some(Within { column: column.clone(), key: job.key.clone(), interval: interval.clone(), bounds }))
    }

    /// The rows of a batch that are not in the interval.
    pub fn look(&self, batch: &RecordBatch) -> Strays {
        let Some(array) = batch.column_by_name(&self.column) else { return Strays::default() };
        let wrong: Vec<usize> = match array.data_type() {
            DataType::Date32 => self.wrong(array.as_primitive::<Date32Type>().iter().map(|day| day.map(i64::from))),
            _ => self.wrong(array.as_primitive::<TimestampMicrosecondType>().iter()),
        };
        Strays {
            missing: array.null_count() as u64,
            outside: (wrong.len() - array.null_count()) as u64,
            examples: wrong.into_iter().take(MOST_EXAMPLES).map(|row| self.example(batch, array, row)).collect(),
        }
    }

    fn wrong(&self, values: impl Iterator<Item = Option<i64>>) -> Vec<usize> {
        let inside = |value: i64| self.bounds.0 <= value && value < self.bounds.1;
        values.enumerate().filter(|(_, value)| !value.is_some_and(inside)).map(|(row, _)| row).collect()
    }

    fn example(&self, batch: &RecordBatch, array: &ArrayRef, row: usize) -> String {
        let shown = |array: &ArrayRef| match array.is_null(row) {
            true => "NULL".to_owned(),
            false => array_value_to_string(array, row).unwrap_or_default(),
        };
        let key = self.key.iter().filter(|name| **name != self.column);
        let named = key.filter_map(|name| Some(format!("{name}={}", shown(batch.column_by_name(name)?))));
        format!("{}: {}={}", named.collect::<Vec<_>>().join(" "), self.column, shown(array))
    }

    /// Every row lay in the interval.
    pub fn verdict(&self, strays: &Strays) -> Result<()> {
        if strays.outside + strays.missing == 0 {
            return Ok(());
        }
        let mut what = Vec::new();
        if strays.outside > 0 {
            what.push(format!("{} rows with a {} outside of it", strays.outside, self.column));
        }
        if strays.missing > 0 {
            what.push(format!("{} rows without one", strays.missing));
        }
        let (from, to) = (instant(self.interval.start), instant(self.interval.end));
        let mut error = Error::data(format!("{} ({from} to {to}) has {}", self.interval.label(), what.join(" and ")));
        error.causes = strays.examples.clone();
        Err(error.hint("leave them out in the SQL, which knows :date, :start and :end; nothing was published"))
    }
}

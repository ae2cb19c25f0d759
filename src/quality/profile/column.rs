//! The profile of one column of a job's rows, whatever its type.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use arrow::array::{Array, RecordBatch};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::numbers::{Counted, KEPT, Numbers};
use super::words::Words;

/// So many bins of a score are kept apart, and of another column.
const SCORE_BINS: usize = 1 << 16;
const BINS: usize = 1 << 11;

/// What a column is to the job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// What a model takes.
    Feature,
    /// What a model gives.
    Score,
    /// Another published column.
    Column,
}

impl Side {
    pub const ALL: [Side; 3] = [Side::Feature, Side::Score, Side::Column];

    pub fn name(self) -> &'static str {
        match self {
            Side::Feature => "feature",
            Side::Score => "score",
            Side::Column => "column",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ColumnProfile {
    pub side: Side,
    pub name: String,
    pub values: Values,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Values {
    Numbers(Numbers),
    Words(Words),
    /// Of another type, or of no batch: how many there are, and how many are NULL.
    Other(u64, u64),
}

/// A column that is to be profiled, and how coarse its bins have become so far.
#[derive(Debug)]
pub struct Profiled {
    side: Side,
    name: String,
    /// None of its words may be kept.
    hidden: bool,
    coarse: AtomicU32,
}

/// The columns that are to be profiled.
#[derive(Debug, Default)]
pub struct Looking {
    columns: Vec<Profiled>,
    /// Rows that were looked at. Once they are many, no part of a profile keeps its values.
    rows: AtomicU64,
}

impl Looking {
    pub fn new(columns: impl IntoIterator<Item = (Side, String)>) -> Looking {
        let profiled = |(side, name)| Profiled { side, name, hidden: false, coarse: AtomicU32::new(0) };
        Looking { columns: columns.into_iter().map(profiled).collect(), rows: AtomicU64::new(0) }
    }

    /// Of these columns no words are kept.
    pub fn hiding(mut self, names: &[String]) -> Looking {
        self.columns.iter_mut().for_each(|column| column.hidden = names.contains(&column.name));
        self
    }

    /// The profiles of one batch.
    pub fn at(&self, batch: &RecordBatch) -> Vec<ColumnProfile> {
        let before = self.rows.fetch_add(batch.num_rows() as u64, Ordering::Relaxed);
        self.columns.iter().map(|column| column.at(batch, before <= KEPT)).collect()
    }

    /// Tells the threads how coarse the sums of their parts have become.
    pub fn hear(&self, sums: &[ColumnProfile]) {
        for (column, sum) in self.columns.iter().zip(sums) {
            if let Values::Numbers(numbers) = &sum.values {
                column.coarse.store(numbers.bins().coarse(), Ordering::Relaxed);
            }
        }
    }
}

impl Profiled {
    fn at(&self, batch: &RecordBatch, few: bool) -> ColumnProfile {
        let counted = Counted { coarse: self.coarse.load(Ordering::Relaxed), few: few && self.side == Side::Score };
        let values = match batch.column_by_name(&self.name) {
            None => Values::Other(0, 0),
            Some(column) => match Values::of(column, counted) {
                Values::Words(words) if self.hidden => Values::Other(words.values, words.nulls),
                values => values,
            },
        };
        ColumnProfile { side: self.side, name: self.name.clone(), values }
    }
}

impl Values {
    pub fn of(column: &dyn Array, counted: Counted) -> Values {
        if let Some(numbers) = Numbers::of(column, counted) {
            return Values::Numbers(numbers);
        }
        match Words::of(column) {
            Some(words) => Values::Words(words),
            None => {
                let nulls = column.null_count() as u64;
                Values::Other(column.len() as u64 - nulls, nulls)
            }
        }
    }
}

impl ColumnProfile {
    /// Of no rows.
    pub fn empty(side: Side, name: &str) -> ColumnProfile {
        ColumnProfile { side, name: name.to_owned(), values: Values::Other(0, 0) }
    }

    /// A column of numbers.
    pub fn numbers(&self) -> Option<&Numbers> {
        match &self.values {
            Values::Numbers(numbers) => Some(numbers),
            _ => None,
        }
    }

    /// Rows with NULL.
    pub fn nulls(&self) -> u64 {
        match &self.values {
            Values::Numbers(numbers) => numbers.nulls,
            Values::Words(words) => words.nulls,
            Values::Other(_, nulls) => *nulls,
        }
    }

    /// Adds the profile of other rows of the same column.
    pub fn merge(&mut self, other: ColumnProfile) {
        let most = if self.side == Side::Score { SCORE_BINS } else { BINS };
        match (&mut self.values, other.values) {
            (Values::Numbers(mine), Values::Numbers(theirs)) => mine.merge(theirs, most),
            (Values::Words(mine), Values::Words(theirs)) => mine.merge(theirs),
            (Values::Other(mine, nulls), Values::Other(theirs, more)) => {
                *mine += theirs;
                *nulls += more;
            }
            (mine @ Values::Other(0, 0), theirs) => *mine = theirs,
            // A column has one type.
            _ => {}
        }
    }
}

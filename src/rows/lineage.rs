//! The lineage of a published row: which interval it is of, what scored it, which run wrote it.

use chrono::{DateTime, NaiveDate, Utc};

use super::encode::{EPOCH_DAYS, EPOCH_MICROS, Tail};
use super::sql_type::SqlType;

/// The date of the interval by the job's clock. Tables that an older Daymill made do not have it.
pub const INTERVAL_DATE: &str = "interval_date";

/// The columns of it, after the job's own.
pub const LINEAGE: [(&str, SqlType); 5] = [
    ("interval_start", SqlType::TimestampTz),
    (INTERVAL_DATE, SqlType::Date),
    ("model", SqlType::Text),
    ("model_version", SqlType::BigInt),
    ("run_id", SqlType::Uuid),
];

/// Of the rows of one run.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Lineage {
    pub interval_start: DateTime<Utc>,
    /// None for a table without the column.
    pub interval_date: Option<NaiveDate>,
    /// The name of the model and its version.
    pub model: Option<(String, i64)>,
    pub run_id: String,
}

impl Lineage {
    /// As it stands at the end of every encoded row, in the order of [`LINEAGE`].
    pub fn tail(&self) -> Tail {
        let mut tail = Tail::default();
        tail.push(&(self.interval_start.timestamp_micros() - EPOCH_MICROS).to_be_bytes());
        if let Some(date) = self.interval_date {
            tail.push(&(date.to_epoch_days() - EPOCH_DAYS).to_be_bytes());
        }
        match &self.model {
            Some((name, version)) => {
                tail.push(name.as_bytes());
                tail.push(&version.to_be_bytes());
            }
            None => {
                tail.push_null();
                tail.push_null();
            }
        }
        tail.push(uuid::Uuid::parse_str(&self.run_id).unwrap_or_default().as_bytes());
        tail
    }
}

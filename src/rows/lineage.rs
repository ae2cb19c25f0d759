//! The lineage of a published row: which interval it is of, what scored it, which run wrote it.

use chrono::{DateTime, Utc};

use super::encode::{EPOCH_MICROS, Tail};
use super::sql_type::SqlType;

/// The columns of it, after the job's own.
pub const LINEAGE: [(&str, SqlType); 4] = [
    ("interval_start", SqlType::TimestampTz),
    ("model", SqlType::Text),
    ("model_version", SqlType::BigInt),
    ("run_id", SqlType::Uuid),
];

/// Of the rows of one run.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Lineage {
    pub interval_start: DateTime<Utc>,
    /// The name of the model and its version.
    pub model: Option<(String, i64)>,
    pub run_id: String,
}

impl Lineage {
    /// As it stands at the end of every encoded row, in the order of [`LINEAGE`].
    pub fn tail(&self) -> Tail {
        let mut tail = Tail::default();
        tail.push(&(self.interval_start.timestamp_micros() - EPOCH_MICROS).to_be_bytes());
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

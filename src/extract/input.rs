//! What is recorded of each input of a run.

use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::files::version::Stamp;
use crate::fingerprint::Source;

/// What a run read, for the record and for a second look at the end.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct Input {
    pub table: String,
    /// A path, or `postgres://user@host:port/database`.
    pub from: String,
    pub rows: u64,
    /// Rows that were left out: their time is not in the span of the table, or they have none.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub outside: u64,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub without_time: u64,
    /// Columns of the source that the job does not declare.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ignored: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// Of the rows of a query, whatever their order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows_digest: Option<String>,
    /// The transform began before its last row had come, and it was never in memory whole.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub streamed: bool,
    #[serde(skip)]
    pub file: Option<Stamp>,
    /// Its rows are read by the engine while the plan runs, and not before.
    #[serde(skip)]
    pub by_engine: bool,
}

fn is_zero(count: &u64) -> bool {
    *count == 0
}

impl Input {
    /// What of it is remembered, to see later whether it changed.
    pub fn source(&self, root: &Path) -> Source {
        let below = Path::new(&self.from).strip_prefix(root).map(|p| p.display().to_string());
        Source {
            table: self.table.clone(),
            from: below.unwrap_or_else(|_| self.from.clone()),
            bytes: self.bytes,
            modified: self.file.as_ref().and_then(Stamp::modified_micros),
            digest: self.sha256.clone().or_else(|| self.rows_digest.clone()).unwrap_or_default(),
        }
    }
}

//! What was extracted: the tables of an interval, and what is recorded of each input.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use polars::prelude::LazyFrame;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::cache::Cache;
use super::files::reading::Rewritten;
use super::files::table::Piece;
use super::files::version::Stamp;
use super::queries::session::Sessions;
use super::queries::snapshot::StreamingTable;
use crate::error::Result;
use crate::fingerprint::Source;
use crate::project::Job;

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

#[derive(Default)]
pub struct Extraction {
    pub tables: Vec<(String, LazyFrame)>,
    pub inputs: Vec<Input>,
    pub warnings: Vec<String>,
    /// The table whose rows the transform takes one by one.
    pub driving: Option<String>,
    /// The driving table in parts, when it is of long files.
    pub pieces: Vec<Piece>,
    /// Files that the tables are read from and nobody else knows.
    pub temporary: Vec<Arc<Rewritten>>,
    /// The driving table, when its rows are still coming. Among the tables it stands without rows.
    pub arriving: Option<StreamingTable>,
}

impl Extraction {
    /// Takes a table whose rows are still to come.
    pub fn stream(&mut self, rows: StreamingTable, from: &str) {
        self.inputs.push(Input {
            table: rows.table.clone(),
            from: from.to_owned(),
            ignored: rows.ignored.clone(),
            streamed: true,
            ..Input::default()
        });
        self.arriving = Some(rows);
    }

    /// Makes sure that every row of the arriving table came, and completes its record. How long its source took; nothing
    /// when no table was arriving.
    pub async fn arrive(&mut self, cache: &Cache, sessions: &mut Sessions) -> Result<Duration> {
        let Some(rows) = self.arriving.take() else { return Ok(Duration::ZERO) };
        let table = rows.table.clone();
        let arrived = rows.finish(cache, sessions).await?;
        for input in self.inputs.iter_mut().filter(|input| input.table == table) {
            (input.rows, input.rows_digest) = (arrived.rows, Some(arrived.digest.clone()));
        }
        Ok(arrived.busy)
    }

    /// As the job names them.
    pub fn sort_inputs(&mut self, job: &Job) {
        self.inputs.sort_by_key(|input| job.extract.iter().position(|spec| spec.name == input.table));
    }
}

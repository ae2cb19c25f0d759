//! What was extracted: the tables of an interval.

use std::sync::Arc;
use std::time::Duration;

use polars::prelude::LazyFrame;

use super::cache::Cache;
use super::files::reading::Rewritten;
use super::files::table::Piece;
use super::input::Input;
use super::queries::session::Sessions;
use super::queries::snapshot::StreamingTable;
use crate::error::Result;
use crate::project::Job;

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

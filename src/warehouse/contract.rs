//! What is asked of a warehouse. A new kind of warehouse is an implementation of [`Tables`] and [`Warehouse`], named in
//! [`super::of`], and nothing else has to know of it.

use std::pin::Pin;

use arrow::array::RecordBatch;

use chrono::{DateTime, Utc};

use super::table::{Column, Existing, TableSchema};
use crate::digest::ContentHash;
use crate::error::Result;
use crate::identifier::Identifier;
use crate::ledger::{AttemptId, Db, record};

/// What a warehouse does, as the caller waits for it.
pub type Task<'a, T> = Pin<Box<dyn Future<Output = Result<T>> + Send + 'a>>;

/// How rows reach the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoadPath {
    /// Straight into the table, inside the one transaction.
    Direct,
    /// Into a private staging table first; shards need it, and so does SQLite, whose writers exclude each other.
    Staged,
}

/// One attempt at one interval of a table: what every step of a load is about.
#[derive(Clone, Debug)]
pub struct Step {
    pub id: AttemptId,
    /// Which attempt at the interval it is.
    pub generation: i64,
    pub table: TableSchema,
}

impl Step {
    /// Inside the publishing transaction: refuses an attempt that a newer one has overtaken; how many rows of the interval
    /// stand in the table, by the ledger.
    pub async fn fence(&self, db: &mut Db) -> Result<u64> {
        record::fence(db, &self.id, self.table.name.name(), self.generation).await
    }
}

/// Rows to write: as they are, and as the tuples of a binary COPY.
#[derive(Clone, Copy)]
pub struct Rows<'a> {
    pub batch: &'a RecordBatch,
    pub tuples: &'a [u8],
}

/// What must stand when an interval is published.
#[derive(Clone, Copy)]
pub struct Expected<'a> {
    pub rows: u64,
    pub content_hash: &'a str,
}

/// Takes the rows of one attempt and publishes them. The calls come in this order: `prepare`; `write` for each batch;
/// `repeated`, at most once; `publish`; then the ledger commits, and `committed`. An attempt that fails ends with a rollback
/// of the ledger's transaction in place of what is left of them: nothing that was written may be seen then, by anyone.
pub trait Warehouse: Send {
    /// Fits the step to the table that is there. Refuses one with columns that cannot be lived with, or that would drop or
    /// change rows. Makes nothing.
    fn prepare<'a>(&'a mut self, db: &'a mut Db, step: &'a mut Step) -> Task<'a, ()>;

    /// Takes the next rows. No reader sees them.
    fn write<'a>(&'a mut self, db: &'a mut Db, step: &'a Step, rows: Rows<'a>) -> Task<'a, ()>;

    /// A few keys that stand on more than one of the rows written, for a message.
    fn repeated<'a>(&'a mut self, db: &'a mut Db, step: &'a Step) -> Task<'a, Vec<String>>;

    /// In a transaction of the ledger that is open when it returns: makes sure that the attempt is still the newest, takes the
    /// interval's old rows away, puts the new ones in their place, and counts both.
    fn publish<'a>(&'a mut self, db: &'a mut Db, step: &'a Step, expected: Expected<'a>) -> Task<'a, ()>;

    /// After the commit of so many rows: what follows from it. An error says that readers do not see the rows yet; then
    /// [`Tables::recover`] must be able to do the rest.
    fn committed<'a>(&'a mut self, db: &'a mut Db, step: &'a Step, rows: u64) -> Task<'a, ()>;

    /// After a rollback: removes what was written outside of the ledger's database. What a killed program could not remove must
    /// harm nobody.
    fn abandoned<'a>(&'a mut self, _step: &'a Step) -> Task<'a, ()> {
        Box::pin(async { Ok(()) })
    }

    /// What a person should know of what was published.
    fn warnings(&mut self) -> Vec<String>;
}

/// Rows of a table by what stands in their lineage columns.
pub struct RowsByLineage {
    pub start: DateTime<Utc>,
    pub run_id: String,
    /// `name@version`
    pub model: Option<String>,
    pub rows: u64,
}

/// The tables of a warehouse as they stand.
pub trait Tables: Send + Sync {
    /// A table's columns, in order; none when it is not there.
    fn columns<'a>(&'a self, db: &'a mut Db, table: &'a Identifier) -> Task<'a, Vec<Existing>>;

    /// Refuses a table that a load could not be made into, and fits it to the one that is there. Makes nothing.
    fn check<'a>(&'a self, db: &'a mut Db, table: &'a mut TableSchema) -> Task<'a, ()>;

    /// Those of the published intervals that begin at `starts` of which a reader sees no row. Reads no rows.
    fn missing<'a>(
        &'a self,
        db: &'a mut Db,
        table: &'a Identifier,
        starts: &'a [DateTime<Utc>],
    ) -> Task<'a, Vec<DateTime<Utc>>>;

    /// The content of the interval that begins at `start`, by its columns in the order in which they are hashed.
    fn content<'a>(
        &'a self,
        db: &'a mut Db,
        table: &'a Identifier,
        columns: &'a [Column],
        start: DateTime<Utc>,
    ) -> Task<'a, ContentHash>;

    /// The lineage of every row that a reader sees, counted.
    fn lineage<'a>(&'a self, db: &'a mut Db, table: &'a Identifier) -> Task<'a, Vec<RowsByLineage>>;

    /// Brings what readers see up to what the ledger says, where a program died between the two. Nothing to do where rows and
    /// ledger are committed together.
    fn recover<'a>(&'a self, _db: &'a mut Db) -> Task<'a, ()> {
        Box::pin(async { Ok(()) })
    }

    /// A load into it. `path` is a wish.
    fn load(&self, path: Option<LoadPath>) -> Box<dyn Warehouse>;
}

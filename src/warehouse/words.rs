//! What databases that speak SQL say apart: the words of one of them.

use super::table::{Column, Existing, TableSchema};
use super::{LoadPath, Rows, Step, Task};
use crate::digest::ContentHash;
use crate::identifier::Identifier;
use crate::ledger::{Db, Value};

/// A query, and its one parameter.
pub type Query = (&'static str, Value);

/// The words of one database.
pub trait Words: Send + Sync {
    /// Asks for the names and types of a table's columns, in order, and which are `required`.
    fn columns(&self, db: &Db, table: &Identifier) -> Query;
    /// A table's columns; none when it is not there.
    fn existing<'a>(&'a self, db: &'a mut Db, table: &'a Identifier) -> Task<'a, Vec<Existing>> {
        Box::pin(async move {
            let (sql, name) = self.columns(db, table);
            let rows = db.fetch(sql, &[name]).await?;
            let column = |mut row: Vec<Option<String>>| {
                Some(Existing {
                    name: row[0].take()?,
                    kind: row[1].take()?,
                    required: row[2].as_deref() == Some("required"),
                })
            };
            Ok(rows.into_iter().filter_map(column).collect())
        })
    }
    /// Asks what stands between a load and the rows of a table: `refuse` or `after`, and the words.
    fn relation(&self, db: &Db, table: &Identifier) -> Query;
    /// Asks for the columns that an index of the table leads with, where it is `interval_start`.
    fn leading_columns(&self, db: &Db, table: &Identifier) -> Query;
    /// An expression of text as an instant that can be compared with `interval_start`.
    fn as_instant(&self, expression: &str) -> String;
    /// The column `interval_start` as text.
    fn start_as_text(&self) -> &'static str;

    /// How rows reach the table when nothing is asked for, or when this is.
    fn path(&self, asked: Option<LoadPath>) -> LoadPath;
    /// Makes the place for rows that are staged.
    fn make_staging(&self, table: &TableSchema) -> String;
    /// Its name.
    fn staging(&self) -> &'static str;
    /// Holds others off who would make the same table now; nothing where one transaction writes at a time.
    fn hold_creation(&self, published: &str) -> Option<String>;
    /// Makes the index by the interval, for intervals of so many rows. `key` is the key's columns.
    fn make_index(&self, db: &Db, index: &Identifier, table: &Identifier, key: Option<&str>, rows: u64) -> String;
    /// Whether keys may be of any length in an index.
    fn indexes_text(&self) -> bool;
    /// Brings the index up to date after so many rows, where it does not keep up by itself.
    fn refresh_index(&self, published: &str, rows: u64) -> Option<String>;
    /// Deletes the rows of an interval.
    fn delete(&self, published: &str, start: &str) -> String;
    /// Makes constraints and triggers that wait for the COMMIT run now.
    fn run_deferred(&self) -> Option<&'static str>;

    /// Rows into the table or into the staging place; how many were taken.
    fn write<'a>(&'a self, db: &'a mut Db, table: &'a TableSchema, path: LoadPath, rows: Rows<'a>) -> Task<'a, u64>;
    /// Staged rows into the table; how many were taken.
    fn publish_staged<'a>(&'a self, db: &'a mut Db, step: &'a Step) -> Task<'a, u64>;
    /// The content of an interval as it stands in the table.
    fn read_back<'a>(
        &'a self,
        db: &'a mut Db,
        table: &'a Identifier,
        columns: &'a [Column],
        start: &'a str,
    ) -> Task<'a, ContentHash>;
    /// Refuses a role that may not add columns to a table.
    fn require_owner<'a>(&'a self, _db: &'a mut Db, _table: &'a Identifier) -> Task<'a, ()> {
        Box::pin(async { Ok(()) })
    }
    /// Refuses a role that lacks a right which a load needs.
    fn require_grants<'a>(&'a self, db: &'a mut Db, table: &'a Identifier, exists: bool) -> Task<'a, ()>;
}

/// Selects the rows of an interval, in the columns in which they are hashed.
pub fn select(published: &str, columns: &[Column], start: &str) -> String {
    let list = columns.iter().map(|(name, _)| name.to_string()).collect::<Vec<_>>().join(", ");
    format!("SELECT {list} FROM {published} WHERE interval_start = {start}")
}

//! What stands between a load and the rows of an existing table: views, triggers, rules, row security. What would drop or
//! change rows without an error is refused.

use super::table::TableSchema;
use super::words::Words;
use crate::error::{Class, Error, Result};
use crate::ledger::Db;

/// What an existing table does with rows after they are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Relation {
    /// It has triggers that run after a row was written: the rows must be read back before they are believed.
    pub triggers: bool,
}

/// Refuses a table that a load cannot trust, with all reasons. A table that is not there yet has none.
pub async fn examine(db: &mut Db, words: &dyn Words, table: &TableSchema) -> Result<Relation> {
    let (sql, name) = words.relation(db, &table.name);
    let (mut faults, mut triggers) = (Vec::new(), false);
    for mut row in db.fetch(sql, &[name]).await? {
        match (row[0].take().as_deref(), row[1].take()) {
            (Some("after"), _) => triggers = true,
            (_, Some(fault)) => faults.push(fault),
            _ => {}
        }
    }
    if faults.is_empty() {
        return Ok(Relation { triggers });
    }
    let mut error = Error::config(format!("the table {} cannot be loaded safely", table.name.name()));
    error.causes = faults;
    Err(error.hint("publish to a plain table of its own, by another load.table, and let a view or a job of the database do the rest"))
}

/// The table took another number of rows than it was given.
pub fn miscounted(table: &TableSchema, given: u64, taken: u64) -> Error {
    Error::config(format!("the table {} took {taken} of {given} rows", table.name.name()))
        .cause("something in the database dropped the others without an error: a trigger, a rule, row security")
        .hint("nothing was published; look at the table's triggers, rules and policies")
}

/// Rows of the interval stayed when they were deleted.
pub fn undeleted(table: &TableSchema, left: u64) -> Error {
    let text =
        format!("{left} old rows of the interval stayed in the table {} when they were deleted", table.name.name());
    Error::new(Class::Config, text)
        .cause("something in the database kept them without an error: a trigger, a rule, row security")
        .hint("nothing was published; look at the table's triggers, rules and policies")
}

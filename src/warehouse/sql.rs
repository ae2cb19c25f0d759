//! Publishing to a database that speaks SQL and holds the ledger too: old rows go, new rows come and the record is made in one
//! transaction. The words that differ from database to database are [`Words`].

use super::relation::{self, Relation};
use super::table::{TableSchema, existing};
use super::{Expected, LoadPath, Rows, Step, Task, Warehouse, readback};
use crate::digest::ContentHash;
use crate::error::{Error, Result};
use crate::failpoints;
use crate::identifier::Identifier;
use crate::interval::instant;
use crate::ledger::{Db, Value};

/// A query, and its one parameter.
pub type Query = (&'static str, Value);

/// The words of one database.
pub trait Words: Send + Sync {
    /// Asks for the names and types of a table's columns, in order.
    fn columns(&self, db: &Db, table: &Identifier) -> Query;
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
    /// Whether a new table gets its index at once. Otherwise it gets it after its first rows, which takes less time.
    fn indexes_at_once(&self) -> bool;
    /// Makes the index by the interval, for intervals of so many rows.
    fn make_index(&self, db: &Db, index: &Identifier, table: &Identifier, rows: u64) -> String;
    /// Brings the index up to date after so many rows, where it does not keep up by itself.
    fn refresh_index(&self, published: &str, rows: u64) -> Option<String>;
    /// Deletes the rows of an interval.
    fn delete(&self, published: &str, start: &str) -> String;
    /// Makes triggers that wait for the COMMIT run now.
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
        columns: &'a [readback::Column],
        start: &'a str,
    ) -> Task<'a, ContentHash>;
    /// Refuses a role that lacks a right which a load needs.
    fn require_grants<'a>(&'a self, db: &'a mut Db, table: &'a Identifier, exists: bool) -> Task<'a, ()>;
}

/// A load into one table.
pub struct SqlWarehouse {
    words: &'static dyn Words,
    path: LoadPath,
    relation: Relation,
    /// The place for rows is open.
    writing: bool,
    /// Rows that the database says it took.
    taken: u64,
    /// The table was made by this load and has no index yet.
    unindexed: bool,
    warnings: Vec<String>,
}

impl SqlWarehouse {
    pub fn new(words: &'static dyn Words, path: Option<LoadPath>) -> SqlWarehouse {
        SqlWarehouse {
            words,
            path: words.path(path),
            relation: Relation::default(),
            writing: false,
            taken: 0,
            unindexed: false,
            warnings: Vec::new(),
        }
    }

    fn start(&self, step: &Step) -> String {
        self.words.as_instant(&format!("'{}'", instant(step.id.interval.start)))
    }

    async fn open_writer(&mut self, db: &mut Db, step: &Step) -> Result<()> {
        match self.path {
            LoadPath::Direct => self.begin(db, step).await,
            LoadPath::Staged => db.script(&self.words.make_staging(&step.table)).await,
        }
    }

    /// Begins the publishing transaction: makes the table if it is new, checks the fence, deletes the interval's old rows.
    async fn begin(&mut self, db: &mut Db, step: &Step) -> Result<()> {
        db.script(db.dialect().begin()).await?;
        let stand = step.fence(db).await?;
        let made = step.table.create(db, self.words, &step.id.job).await?;
        self.unindexed = made && !self.words.indexes_at_once();
        let (published, start) = (db.published(&step.table.name), self.start(step));
        if failpoints::sabotaged("truncate") && self.path == LoadPath::Direct {
            return db.script(&format!("TRUNCATE {published}")).await;
        }
        if made {
            self.warn_of_lost(db, step).await?;
        }
        let deleted = db.touch(&self.words.delete(&published, &start)).await?;
        failpoints::at("after-delete");
        if deleted == stand && self.relation == Relation::default() {
            return Ok(());
        }
        // Somebody else's hand was in the rows, or something keeps them.
        let count = format!("SELECT CAST(count(*) AS text) FROM {published} WHERE interval_start = {start}");
        let left = db.fetch(&count, &[]).await?;
        let left = left.first().and_then(|row| row[0].as_ref()?.parse().ok()).unwrap_or(0);
        if left > 0 {
            return Err(relation::undeleted(&step.table, left));
        }
        if deleted != stand && !made {
            self.warnings.push(format!(
                "the table {} held {deleted} rows of {} where the ledger says {stand}: somebody else changed them; all were replaced",
                step.table.name.name(),
                step.id.interval.label()
            ));
        }
        Ok(())
    }

    /// A table that is made anew has none of the rows that the ledger speaks of.
    async fn warn_of_lost(&mut self, db: &mut Db, step: &Step) -> Result<()> {
        let sql = "SELECT CAST(count(*) AS text) FROM {intervals} WHERE job = $1 AND table_name = $2 AND run_id IS NOT NULL \
                   AND rows_published > 0 AND interval_start <> $3";
        let (job, table) = (step.id.job.as_str(), step.table.name.name());
        let rows = db.fetch(sql, &[job.into(), table.into(), instant(step.id.interval.start).into()]).await?;
        let lost: u64 = rows.first().and_then(|row| row[0].as_ref()?.parse().ok()).unwrap_or(0);
        if lost > 0 {
            self.warnings.push(format!(
                "the table {table} was gone and is made anew: the rows of {lost} other intervals are missing (daymill backfill {job})"
            ));
        }
        Ok(())
    }

    /// As many rows stand as were made, and where triggers may have changed them, these very rows.
    async fn believe(&mut self, db: &mut Db, step: &Step, expected: Expected<'_>) -> Result<()> {
        let table = &step.table;
        if self.taken != expected.rows {
            return Err(relation::miscounted(table, expected.rows, self.taken));
        }
        if !self.relation.triggers {
            return Ok(());
        }
        if let Some(deferred) = self.words.run_deferred() {
            db.script(deferred).await?;
        }
        let start = step.id.interval.start;
        let found = readback::interval(db, table.name.name(), &table.own_columns(), start).await?;
        match found == expected.content_hash || expected.rows == 0 {
            true => Ok(()),
            false => Err(Error::config(format!(
                "the rows in the table {} are not those that were written: a trigger changed them",
                table.name.name()
            ))
            .hint("nothing was published; look at the table's triggers")),
        }
    }

    async fn replace(&mut self, db: &mut Db, step: &Step, expected: Expected<'_>) -> Result<()> {
        if self.path == LoadPath::Staged || !self.writing {
            self.begin(db, step).await?;
        }
        if self.path == LoadPath::Staged && self.writing {
            self.taken = self.words.publish_staged(db, step).await?;
        }
        self.believe(db, step, expected).await?;
        if self.unindexed {
            step.table.index(db, self.words, expected.rows).await?;
        }
        Ok(())
    }
}

impl Warehouse for SqlWarehouse {
    fn prepare<'a>(&'a mut self, db: &'a mut Db, step: &'a Step) -> Task<'a, ()> {
        Box::pin(async move {
            let columns = existing(db, &step.table.name).await?;
            if !columns.is_empty() {
                self.relation = relation::examine(db, &step.table).await?;
            }
            step.table.agrees_with(&columns)
        })
    }

    fn write<'a>(&'a mut self, db: &'a mut Db, step: &'a Step, rows: Rows<'a>) -> Task<'a, ()> {
        Box::pin(async move {
            if !self.writing {
                self.open_writer(db, step).await?;
                self.writing = true;
            }
            self.taken += self.words.write(db, &step.table, self.path, rows).await?;
            Ok(())
        })
    }

    fn repeated<'a>(&'a mut self, db: &'a mut Db, step: &'a Step) -> Task<'a, Vec<String>> {
        Box::pin(async move {
            let from = match self.path {
                LoadPath::Direct => {
                    format!("{} WHERE interval_start = {}", db.published(&step.table.name), self.start(step))
                }
                LoadPath::Staged => self.words.staging().to_owned(),
            };
            step.table.repeated(db, &from).await
        })
    }

    fn publish<'a>(&'a mut self, db: &'a mut Db, step: &'a Step, expected: Expected<'a>) -> Task<'a, ()> {
        Box::pin(self.replace(db, step, expected))
    }

    fn committed<'a>(&'a mut self, db: &'a mut Db, step: &'a Step, rows: u64) -> Task<'a, ()> {
        Box::pin(async move {
            match self.words.refresh_index(&db.published(&step.table.name), rows) {
                Some(refresh) => db.fetch_script(&refresh).await.map(|_| ()),
                None => Ok(()),
            }
        })
    }

    fn warnings(&mut self) -> Vec<String> {
        std::mem::take(&mut self.warnings)
    }
}

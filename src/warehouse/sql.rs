//! Publishing to a database that speaks SQL and holds the ledger too: old rows go, new rows come and the record is made in one
//! transaction. The words that differ from database to database are
//! [`Words`].

use super::relation::{self, Relation};
use super::sql_table;
use super::words::Words;
use super::{Expected, LoadPath, Rows, Step, Task, Warehouse};
use crate::error::{Error, Result};
use crate::failpoints;
use crate::interval::instant;
use crate::ledger::Db;

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
        let made = sql_table::create(&step.table, db, self.words, &step.id.job).await?;
        self.unindexed = made;
        let (published, start) = (db.published(&step.table.name), self.start(step));
        if failpoints::sabotaged("truncate") && self.path == LoadPath::Direct {
            return db.script(&format!("TRUNCATE {published}")).await;
        }
        self.warn_of_left(db, step).await?;
        if !made && !step.table.added.is_empty() {
            let added = step.table.added.join(", ");
            self.warnings.push(format!("the table {} has new columns: {added}", step.table.name.name()));
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

    /// Columns that this interval had from the run before, and will not have now.
    async fn warn_of_left(&mut self, db: &mut Db, step: &Step) -> Result<()> {
        if step.table.beyond.is_empty() {
            return Ok(());
        }
        let sql = "SELECT columns FROM {intervals} WHERE job = $1 AND table_name = $2 AND interval_start = $3";
        let (job, table) = (step.id.job.as_str(), step.table.name.name());
        let rows = db.fetch(sql, &[job.into(), table.into(), instant(step.id.interval.start).into()]).await?;
        let columns = rows.first().and_then(|row| serde_json::from_str::<Vec<(String, String)>>(row[0].as_ref()?).ok());
        let had = columns.unwrap_or_default();
        let left: Vec<&str> = step
            .table
            .beyond
            .iter()
            .filter(|name| had.iter().any(|(had, _)| had == *name))
            .map(String::as_str)
            .collect();
        if !left.is_empty() {
            let label = step.id.interval.label();
            self.warnings.push(format!(
                "the job does not publish {} any more: NULL now in the rows of {label} in the table {table}",
                left.join(", ")
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
        let start = step.id.interval.start;
        let start = self.words.as_instant(&format!("'{}'", instant(start)));
        let found = self.words.read_back(db, &table.name, &table.columns, &start).await?.hex();
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
        let published = db.published(&step.table.name);
        if self.path == LoadPath::Staged || !self.writing {
            self.begin(db, step).await?;
        }
        if self.path == LoadPath::Staged && self.writing {
            let taken = self.words.publish_staged(db, step).await;
            self.taken = taken.map_err(|e| sql_table::not_unique(&step.table, &published, e))?;
        }
        if let Some(deferred) = self.words.run_deferred() {
            db.script(deferred).await.map_err(|e| sql_table::not_unique(&step.table, &published, e))?;
        }
        self.believe(db, step, expected).await?;
        if self.unindexed {
            sql_table::index(&step.table, db, self.words, expected.rows).await?;
        }
        Ok(())
    }
}

impl Warehouse for SqlWarehouse {
    fn prepare<'a>(&'a mut self, db: &'a mut Db, step: &'a mut Step) -> Task<'a, ()> {
        Box::pin(async move {
            let columns = self.words.existing(db, &step.table.name).await?;
            if !columns.is_empty() {
                self.relation = relation::examine(db, self.words, &step.table).await?;
            }
            step.table.fit(&columns, &db.published(&step.table.name))?;
            if !step.table.added.is_empty() {
                self.words.require_owner(db, &step.table.name).await?;
                // An altered table is nobody's to read until the commit, so all rows come first.
                self.path = LoadPath::Staged;
            }
            Ok(())
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
            sql_table::repeated(&step.table, db, &from).await
        })
    }

    fn publish<'a>(&'a mut self, db: &'a mut Db, step: &'a Step, expected: Expected<'a>) -> Task<'a, ()> {
        Box::pin(self.replace(db, step, expected))
    }

    fn committed<'a>(&'a mut self, db: &'a mut Db, step: &'a Step, rows: u64) -> Task<'a, ()> {
        Box::pin(async move {
            if let Some(refresh) = self.words.refresh_index(&db.published(&step.table.name), rows) {
                // An index that lags is slow, and no more.
                let _ = db.fetch_script(&refresh).await;
            }
            Ok(())
        })
    }

    fn warnings(&mut self) -> Vec<String> {
        std::mem::take(&mut self.warnings)
    }
}

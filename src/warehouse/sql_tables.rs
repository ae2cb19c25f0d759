//! The tables of a database that speaks SQL, as they stand.

use chrono::{DateTime, Utc};

use super::relation::{self, Relation};
use super::sql::SqlWarehouse;
use super::table::{Column, Existing, TableSchema};
use super::words::Words;
use super::{LoadPath, RowsByLineage, Tables, Task, Warehouse};
use crate::digest::ContentHash;
use crate::error::{Error, Result};
use crate::identifier::Identifier;
use crate::interval::instant;
use crate::ledger::Db;

/// Intervals looked for with one query.
const AT_ONCE: usize = 500;

pub struct SqlTables(pub &'static dyn Words);

impl SqlTables {
    async fn require(&self, db: &mut Db, table: &mut TableSchema) -> Result<()> {
        let columns = self.0.existing(db, &table.name).await?;
        self.0.require_grants(db, &table.name, !columns.is_empty()).await?;
        match columns.is_empty() {
            true => Relation::default(),
            false => relation::examine(db, self.0, table).await?,
        };
        table.fit(&columns, &db.published(&table.name))?;
        match table.added.is_empty() {
            true => Ok(()),
            false => self.0.require_owner(db, &table.name).await,
        }
    }

    async fn gone(&self, db: &mut Db, table: &Identifier, starts: &[DateTime<Utc>]) -> Result<Vec<DateTime<Utc>>> {
        if self.0.existing(db, table).await?.is_empty() {
            return Ok(starts.to_vec());
        }
        // Without an index by the interval each look would read the whole table.
        let (sql, name) = self.0.leading_columns(db, table);
        if db.fetch(sql, &[name]).await?.is_empty() {
            return Ok(Vec::new());
        }
        let mut gone = Vec::new();
        for some in starts.chunks(AT_ONCE) {
            let values: Vec<String> = some.iter().map(|start| format!("('{}')", instant(*start))).collect();
            let start = self.0.as_instant("looked_for.start");
            let sql = format!(
                "WITH looked_for (start) AS (VALUES {}) SELECT CAST(start AS text) FROM looked_for WHERE NOT EXISTS \
                 (SELECT 1 FROM {} AS p WHERE p.interval_start = {start})",
                values.join(", "),
                db.published(table)
            );
            let rows = db.fetch(&sql, &[]).await?;
            gone.extend(rows.into_iter().filter_map(|mut row| row[0].take()?.parse::<DateTime<Utc>>().ok()));
        }
        Ok(gone)
    }

    async fn counted(&self, db: &mut Db, table: &Identifier) -> Result<Vec<RowsByLineage>> {
        let start = self.0.start_as_text();
        let sql = format!(
            "SELECT {start}, CAST(run_id AS TEXT), model, CAST(model_version AS TEXT), CAST(count(*) AS TEXT) FROM {} GROUP BY 1, 2, 3, 4",
            db.published(table)
        );
        let read = |row: Vec<Option<String>>| {
            let text = |i: usize| row[i].clone().unwrap_or_default();
            let wrong = || {
                Error::data(format!(
                    "the table {} holds an interval_start that no run wrote: {}",
                    table.name(),
                    text(0)
                ))
            };
            Ok(RowsByLineage {
                start: text(0).parse().map_err(|_| wrong())?,
                run_id: text(1),
                model: (row[2].is_some() || row[3].is_some()).then(|| format!("{}@{}", text(2), text(3))),
                rows: text(4).parse().unwrap_or_default(),
            })
        };
        db.fetch(&sql, &[]).await?.into_iter().map(read).collect()
    }
}

impl Tables for SqlTables {
    fn columns<'a>(&'a self, db: &'a mut Db, table: &'a Identifier) -> Task<'a, Vec<Existing>> {
        Box::pin(self.0.existing(db, table))
    }

    fn check<'a>(&'a self, db: &'a mut Db, table: &'a mut TableSchema) -> Task<'a, ()> {
        Box::pin(self.require(db, table))
    }

    fn missing<'a>(
        &'a self,
        db: &'a mut Db,
        table: &'a Identifier,
        starts: &'a [DateTime<Utc>],
    ) -> Task<'a, Vec<DateTime<Utc>>> {
        Box::pin(self.gone(db, table, starts))
    }

    fn content<'a>(
        &'a self,
        db: &'a mut Db,
        table: &'a Identifier,
        columns: &'a [Column],
        start: DateTime<Utc>,
    ) -> Task<'a, ContentHash> {
        Box::pin(async move {
            let start = self.0.as_instant(&format!("'{}'", instant(start)));
            self.0.read_back(db, table, columns, &start).await
        })
    }

    fn lineage<'a>(&'a self, db: &'a mut Db, table: &'a Identifier) -> Task<'a, Vec<RowsByLineage>> {
        Box::pin(self.counted(db, table))
    }

    fn load(&self, path: Option<LoadPath>) -> Box<dyn Warehouse> {
        Box::new(SqlWarehouse::new(self.0, path))
    }
}

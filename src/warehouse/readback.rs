//! Reads an interval's published rows back and hashes them as they were hashed when they were written.

use chrono::{DateTime, Utc};

use super::table::SqlType;
use super::words;
use crate::error::{Error, Result};
use crate::identifier::Identifier;
use crate::interval::instant;
use crate::ledger::Db;

/// A column of a published table, and its type.
pub type Column = (Identifier, SqlType);

/// The content hash of what stands in a table for the interval that starts at `start`; `columns` is what
/// [`super::table::TableSchema::own_columns`] gave when the rows were published.
pub async fn interval(db: &mut Db, table: &str, columns: &str, start: DateTime<Utc>) -> Result<String> {
    let table = Identifier::new(table)?;
    let (columns, words) = (parse(&table, columns)?, words(db));
    let start = words.as_instant(&format!("'{}'", instant(start)));
    Ok(words.read_back(db, &table, &columns, &start).await?.hex())
}

/// Selects the rows of an interval, in the columns in which they are hashed.
pub fn select(published: &str, columns: &[Column], start: &str) -> String {
    let list = columns.iter().map(|(name, _)| name.to_string()).collect::<Vec<_>>().join(", ");
    format!("SELECT {list} FROM {published} WHERE interval_start = {start}")
}

/// Rows of a table by what stands in their lineage columns.
pub struct Lineage {
    pub start: DateTime<Utc>,
    pub run_id: String,
    /// `name@version`
    pub model: Option<String>,
    pub rows: u64,
}

/// The lineage of every row of a table, counted.
pub async fn lineage(db: &mut Db, table: &str) -> Result<Vec<Lineage>> {
    let table = Identifier::new(table)?;
    let start = words(db).start_as_text();
    let sql = format!(
        "SELECT {start}, CAST(run_id AS TEXT), model, CAST(model_version AS TEXT), CAST(count(*) AS TEXT) FROM {} GROUP BY 1, 2, 3, 4",
        db.published(&table)
    );
    let read = |row: Vec<Option<String>>| {
        let text = |i: usize| row[i].clone().unwrap_or_default();
        let wrong = || {
            Error::data(format!("the table {} holds an interval_start that no run wrote: {}", table.name(), text(0)))
        };
        Ok(Lineage {
            start: text(0).parse().map_err(|_| wrong())?,
            run_id: text(1),
            model: (row[2].is_some() || row[3].is_some()).then(|| format!("{}@{}", text(2), text(3))),
            rows: text(4).parse().unwrap_or_default(),
        })
    };
    db.fetch(&sql, &[]).await?.into_iter().map(read).collect()
}

fn parse(table: &Identifier, text: &str) -> Result<Vec<Column>> {
    let wrong = || Error::config(format!("the ledger's columns of {} make no sense", table.name()));
    let columns: Vec<(String, String)> = serde_json::from_str(text).map_err(|_| wrong())?;
    columns.iter().map(|(name, kind)| Ok((Identifier::new(name)?, SqlType::named(kind).ok_or_else(wrong)?))).collect()
}

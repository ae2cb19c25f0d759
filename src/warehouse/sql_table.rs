//! The statements that make a published table, and that look for keys that repeat in it.

use super::table::TableSchema;
use super::words::Words;
use crate::error::Result;
use crate::identifier::Identifier;
use crate::ledger::{Db, claim};
use crate::rows::SqlType;

/// Inside the load transaction. Whether the table was made now. Where an index costs less after the first rows,
/// [`index`] is then still to be called.
pub async fn create(table: &TableSchema, db: &mut Db, words: &dyn Words, job: &str) -> Result<bool> {
    let mut new = words.existing(db, &table.name).await?.is_empty();
    if let (true, Some(hold)) = (new, words.hold_creation(&db.published(&table.name))) {
        db.script(&hold).await?;
        // Another load may have made it while this one waited.
        new = words.existing(db, &table.name).await?.is_empty();
    }
    if new {
        let (published, columns) = (db.published(&table.name), table.definitions(false).join(", "));
        db.script(&format!("CREATE TABLE IF NOT EXISTS {published} ({columns})")).await?;
    }
    claim::claim_table(db, &table.name, job).await?;
    if new && words.indexes_at_once() {
        index(table, db, words, 0).await?;
    }
    Ok(new)
}

/// By the interval, which is how a run finds the rows that it replaces; `rows` are those of the first interval.
pub async fn index(table: &TableSchema, db: &mut Db, words: &dyn Words, rows: u64) -> Result<()> {
    // Of long names many begin alike, and an index that is there already would be taken for this one.
    let short: String = table.name.name().chars().take(10).collect();
    let digest = crate::digest::name(table.name.name().as_bytes());
    let index = match table.name.name().len() {
        0..=50 => Identifier::new(&format!("{}_interval", table.name.name()))?,
        _ => Identifier::new(&format!("{short}_{digest:016x}_interval"))?,
    };
    db.script(&words.make_index(db, &index, &table.name, rows)).await
}

/// A few keys that stand on more than one row of `from`, for a message.
pub async fn repeated(table: &TableSchema, db: &mut Db, from: &str) -> Result<Vec<String>> {
    let keys = &table.columns[..table.key_columns];
    let text: Vec<String> = keys.iter().map(|(key, _)| format!("CAST({key} AS text)")).collect();
    let list = keys.iter().map(|(key, _)| key.to_string()).collect::<Vec<_>>().join(", ");
    let sql = format!(
        "SELECT CAST(count(*) AS text), {} FROM {from} GROUP BY {list} HAVING count(*) > 1 ORDER BY {list} LIMIT 3",
        text.join(", ")
    );
    let row = |row: Vec<Option<String>>| {
        let mut values = row.into_iter();
        let count = values.next().flatten().unwrap_or_default();
        let named = keys.iter().zip(values).map(|((key, kind), value)| match (value, kind) {
            (None, _) => format!("{}=NULL", key.name()),
            (Some(value), SqlType::Text) => format!("{}='{value}'", key.name()),
            (Some(value), _) => format!("{}={value}", key.name()),
        });
        format!("{} on {count} rows", named.collect::<Vec<_>>().join(" "))
    };
    Ok(db.fetch(&sql, &[]).await?.into_iter().map(row).collect())
}

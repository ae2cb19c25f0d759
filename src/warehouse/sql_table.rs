//! The statements that make a published table, and that look for keys that repeat in it.

use super::table::TableSchema;
use super::words::Words;
use crate::error::{Error, Result};
use crate::identifier::Identifier;
use crate::ledger::{Db, claim};
use crate::rows::SqlType;

/// Rows of an interval up to which the index holds the key too. It costs half as much as the rows themselves (Postgres, days of
/// 16,000 rows: 5.2 s for 2 million with the interval alone, 8.2 with the key, 10.0 when it is unique) and six times the room.
const SMALL_INTERVAL: u64 = 20_000;
/// An index of Postgres has no more columns.
const MOST_COLUMNS: usize = 32;

/// Inside the load transaction: makes the table, or adds the columns that it lacks. Whether it was made now; [`index`] is then
/// still to be called, since an index costs less after the first rows.
pub async fn create(table: &TableSchema, db: &mut Db, words: &dyn Words, job: &str) -> Result<bool> {
    let published = db.published(&table.name);
    let mut existing = words.existing(db, &table.name).await?;
    let changes = existing.is_empty() || !table.added.is_empty();
    if let (true, Some(hold)) = (changes, words.hold_creation(&published)) {
        db.script(&hold).await?;
        // Another load may have done it while this one waited.
        existing = words.existing(db, &table.name).await?;
    }
    let new = existing.is_empty();
    if new {
        let columns = table.definitions(false).join(", ");
        db.script(&format!("CREATE TABLE IF NOT EXISTS {published} ({columns})")).await?;
    } else if !table.added.is_empty() {
        let mut now = table.clone();
        now.fit(&existing, &published)?;
        for column in &now.added {
            db.script(&format!("ALTER TABLE {published} ADD COLUMN {column}")).await?;
        }
    }
    claim::claim_table(db, &table.name, job).await?;
    Ok(new)
}

/// By the interval, which is how a run finds the rows that it replaces, and by the key where that is cheap; `rows` are those of
/// the first interval.
pub async fn index(table: &TableSchema, db: &mut Db, words: &dyn Words, rows: u64) -> Result<()> {
    let index = Identifier::new(&index_name(table))?;
    let keys = &table.columns[..table.key_columns];
    let fits = words.indexes_text() || keys.iter().all(|(_, kind)| *kind != SqlType::Text);
    let list = keys.iter().map(|(name, _)| name.to_string()).collect::<Vec<_>>().join(", ");
    let small = (1..=SMALL_INTERVAL).contains(&rows) && keys.len() < MOST_COLUMNS;
    let key = (fits && small).then_some(list.as_str());
    db.script(&words.make_index(db, &index, &table.name, key, rows)).await
}

fn index_name(table: &TableSchema) -> String {
    // Of long names many begin alike, and an index that is there already would be taken for this one.
    let short: String = table.name.name().chars().take(10).collect();
    match table.name.name() {
        name if name.len() <= 50 => format!("{name}_interval"),
        name => format!("{short}_{:016x}_interval", crate::digest::name(name.as_bytes())),
    }
}

/// What it means that the database found two rows alike.
pub fn not_unique(table: &TableSchema, published: &str, error: Error) -> Error {
    let said: Vec<&String> = std::iter::once(&error.message).chain(&error.causes).collect();
    // Postgres names the constraint.
    let constraint = said.iter().find_map(|text| text.split_once("unique constraint \"")?.1.split('"').next());
    let sqlite = said.iter().any(|text| text.contains("UNIQUE constraint failed"));
    let drop = match constraint {
        Some(name) => {
            format!("ALTER TABLE {published} DROP CONSTRAINT \"{name}\"; CREATE INDEX ON {published} (interval_start)")
        }
        None if sqlite => {
            format!("DROP INDEX \"{}\"; CREATE INDEX \"{0}\" ON {published} (interval_start)", index_name(table))
        }
        None => return error,
    };
    let key = table.columns[..table.key_columns].iter().map(|(name, _)| name.name()).collect::<Vec<_>>().join(", ");
    let mut found =
        Error::data(format!("two rows for the table {} are alike in a unique index of it", table.name.name()));
    found.causes = said.into_iter().cloned().collect();
    found.hint(format!(
        "nothing was published; the key ({key}) stands on two rows, or the job had another key when the table was made; then: {drop}"
    ))
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

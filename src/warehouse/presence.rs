//! Whether published rows are still there: a table can be dropped, emptied or cut behind the ledger's back.

use std::collections::{BTreeMap, HashSet};

use chrono::{DateTime, Utc};

use super::table::existing;
use super::words;
use crate::error::Result;
use crate::identifier::Identifier;
use crate::interval::instant;
use crate::ledger::Db;
use crate::ledger::history::IntervalRow;

/// Intervals looked for with one query.
const AT_ONCE: usize = 500;

/// The starts of the intervals whose rows the ledger knows and the table has not a single one of. By the index: no row is
/// counted.
pub async fn gone(db: &mut Db, intervals: &[IntervalRow]) -> Result<HashSet<DateTime<Utc>>> {
    let mut tables: BTreeMap<&str, Vec<DateTime<Utc>>> = BTreeMap::new();
    for row in intervals {
        let published = row.published.as_ref().filter(|published| published.rows > 0 && !published.table.is_empty());
        if let Some(published) = published {
            tables.entry(&published.table).or_default().push(row.start);
        }
    }
    let mut gone = HashSet::new();
    for (table, starts) in tables {
        let table = Identifier::new(table)?;
        if existing(db, &table).await?.is_empty() {
            gone.extend(starts);
            continue;
        }
        // Without an index each look would read the whole table.
        if !indexed(db, &table).await? {
            continue;
        }
        for some in starts.chunks(AT_ONCE) {
            gone.extend(missing(db, &table, some).await?);
        }
    }
    Ok(gone)
}

/// Whether an index of the table leads with the interval.
async fn indexed(db: &mut Db, table: &Identifier) -> Result<bool> {
    let (sql, name) = words(db).leading_columns(db, table);
    Ok(!db.fetch(sql, &[name]).await?.is_empty())
}

async fn missing(db: &mut Db, table: &Identifier, starts: &[DateTime<Utc>]) -> Result<Vec<DateTime<Utc>>> {
    let values: Vec<String> = starts.iter().map(|start| format!("('{}')", instant(*start))).collect();
    let start = words(db).as_instant("looked_for.start");
    let sql = format!(
        "WITH looked_for (start) AS (VALUES {}) SELECT CAST(start AS text) FROM looked_for WHERE NOT EXISTS \
         (SELECT 1 FROM {} AS p WHERE p.interval_start = {start})",
        values.join(", "),
        db.published(table)
    );
    let rows = db.fetch(&sql, &[]).await?;
    Ok(rows.into_iter().filter_map(|mut row| row[0].take()?.parse().ok()).collect())
}

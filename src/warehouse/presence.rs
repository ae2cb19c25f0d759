//! Whether published rows are still there: a table can be dropped, emptied or cut behind the ledger's back.

use std::collections::{BTreeMap, HashSet};

use chrono::{DateTime, Utc};

use super::Tables;
use crate::error::Result;
use crate::identifier::Identifier;
use crate::ledger::Db;
use crate::ledger::history::IntervalRow;

/// The starts of the intervals whose rows the ledger knows and of which a reader sees not a single one.
pub async fn gone(tables: &dyn Tables, db: &mut Db, intervals: &[IntervalRow]) -> Result<HashSet<DateTime<Utc>>> {
    let mut by_table: BTreeMap<&str, Vec<DateTime<Utc>>> = BTreeMap::new();
    for row in intervals {
        let published = row.published.as_ref().filter(|published| published.rows > 0 && !published.table.is_empty());
        if let Some(published) = published {
            by_table.entry(&published.table).or_default().push(row.start);
        }
    }
    let mut gone = HashSet::new();
    for (table, starts) in by_table {
        gone.extend(tables.missing(db, &Identifier::new(table)?, &starts).await?);
    }
    Ok(gone)
}

//! Reads an interval's published rows back, by the columns that the ledger remembers.

use chrono::{DateTime, Utc};

use super::Tables;
use super::table::Column;
use crate::error::{Error, Result};
use crate::identifier::Identifier;
use crate::ledger::Db;
use crate::rows::SqlType;

/// The content hash of what stands in a table for the interval that starts at `start`; `columns` is what
/// [`super::table::TableSchema::own_columns`] gave when the rows were published.
pub async fn interval(
    tables: &dyn Tables,
    db: &mut Db,
    table: &str,
    columns: &str,
    start: DateTime<Utc>,
) -> Result<String> {
    let table = Identifier::new(table)?;
    let columns = parse(&table, columns)?;
    Ok(tables.content(db, &table, &columns, start).await?.hex())
}

fn parse(table: &Identifier, text: &str) -> Result<Vec<Column>> {
    let wrong = || Error::config(format!("the ledger's columns of {} make no sense", table.name()));
    let columns: Vec<(String, String)> = serde_json::from_str(text).map_err(|_| wrong())?;
    columns.iter().map(|(name, kind)| Ok((Identifier::new(name)?, SqlType::named(kind).ok_or_else(wrong)?))).collect()
}

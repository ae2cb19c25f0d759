//! Reads an interval's published rows back and hashes them as they were hashed when they were written.

use chrono::{DateTime, NaiveDate, NaiveDateTime, Utc};
use futures_util::TryStreamExt;
use sqlx::{AssertSqlSafe, Row, SqliteConnection};

use super::table::SqlType;
use crate::digest::RowSet;
use crate::error::{Error, Result};
use crate::identifier::Identifier;
use crate::interval::instant;
use crate::ledger::Db;
use crate::ledger::db::sqlite_error;
use crate::postgres::classify;
use crate::postgres::decode::{EPOCH_DAYS, EPOCH_MICROS, tuples};

/// The content hash of what stands in a table for the interval that starts at `start`; `columns` is what
/// [`super::table::TableSchema::own_columns`] gave when the rows were published.
pub async fn interval(db: &mut Db, table: &str, columns: &str, start: DateTime<Utc>) -> Result<String> {
    let table = Identifier::new(table)?;
    let columns = parse(&table, columns)?;
    let list = columns.iter().map(|(name, _)| name.to_string()).collect::<Vec<_>>().join(", ");
    let published = db.published(&table);
    let mut rows = RowSet::default();
    match db {
        Db::Postgres { connection, .. } => {
            let select =
                format!("SELECT {list} FROM {published} WHERE interval_start = '{}'::timestamptz", instant(start));
            let copy = format!("COPY ({select}) TO STDOUT (FORMAT binary)");
            let mut stream = connection.copy_out_raw(&copy).await.map_err(|e| classify::error(&e))?;
            let mut bytes = Vec::new();
            while let Some(chunk) = stream.try_next().await.map_err(|e| classify::error(&e))? {
                bytes.extend_from_slice(&chunk);
            }
            tuples(&bytes, |row| rows.add(row))?;
        }
        Db::Sqlite(connection) => sqlite(connection, &columns, &published, &list, start, &mut rows).await?,
    }
    Ok(rows.hex())
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
    let start = match db.is_postgres() {
        true => "to_char(interval_start AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')",
        false => "CAST(interval_start AS TEXT)",
    };
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

fn parse(table: &Identifier, text: &str) -> Result<Vec<(Identifier, SqlType)>> {
    let wrong = || Error::config(format!("the ledger's columns of {} make no sense", table.name()));
    let columns: Vec<(String, String)> = serde_json::from_str(text).map_err(|_| wrong())?;
    columns.iter().map(|(name, kind)| Ok((Identifier::new(name)?, SqlType::named(kind).ok_or_else(wrong)?))).collect()
}

async fn sqlite(
    connection: &mut SqliteConnection,
    columns: &[(Identifier, SqlType)],
    published: &str,
    list: &str,
    start: DateTime<Utc>,
    rows: &mut RowSet,
) -> Result<()> {
    let sql = format!("SELECT {list} FROM {published} WHERE interval_start = '{}'", instant(start));
    let mut stream = sqlx::query(AssertSqlSafe(sql)).fetch(connection);
    let mut bytes = Vec::new();
    while let Some(row) = stream.try_next().await.map_err(|e| sqlite_error(&e))? {
        bytes.clear();
        for (i, (name, kind)) in columns.iter().enumerate() {
            field(&row, i, *kind, &mut bytes).map_err(|e| {
                Error::data(format!("column {:?} of {published} holds what no run wrote", name.name())).cause(e)
            })?;
        }
        rows.add(&bytes);
    }
    Ok(())
}

/// One value in the canonical form: its length and its big-endian bytes.
fn field(
    row: &sqlx::sqlite::SqliteRow,
    i: usize,
    kind: SqlType,
    out: &mut Vec<u8>,
) -> Result<(), sqlx::error::BoxDynError> {
    let mut put = |value: Option<&[u8]>| match value {
        Some(bytes) => {
            out.extend((bytes.len() as i32).to_be_bytes());
            out.extend_from_slice(bytes);
        }
        None => out.extend((-1i32).to_be_bytes()),
    };
    match kind {
        SqlType::Boolean => put(row.try_get::<Option<bool>, _>(i)?.map(|v| [u8::from(v)]).as_ref().map(|b| &b[..])),
        SqlType::BigInt => put(row.try_get::<Option<i64>, _>(i)?.map(i64::to_be_bytes).as_ref().map(|b| &b[..])),
        SqlType::Real => {
            put(row.try_get::<Option<f64>, _>(i)?.map(|v| (v as f32).to_be_bytes()).as_ref().map(|b| &b[..]))
        }
        SqlType::Double => put(row.try_get::<Option<f64>, _>(i)?.map(f64::to_be_bytes).as_ref().map(|b| &b[..])),
        SqlType::Text | SqlType::Uuid => put(row.try_get::<Option<String>, _>(i)?.as_deref().map(str::as_bytes)),
        SqlType::Date => {
            let days = match row.try_get::<Option<String>, _>(i)? {
                Some(text) => Some(text.parse::<NaiveDate>()?.to_epoch_days() - EPOCH_DAYS),
                None => None,
            };
            put(days.map(i32::to_be_bytes).as_ref().map(|b| &b[..]));
        }
        SqlType::Timestamp | SqlType::TimestampTz => {
            let micros = match row.try_get::<Option<String>, _>(i)? {
                Some(text) if kind == SqlType::TimestampTz => Some(text.parse::<DateTime<Utc>>()?.timestamp_micros()),
                Some(text) => Some(text.parse::<NaiveDateTime>()?.and_utc().timestamp_micros()),
                None => None,
            };
            put(micros.map(|m| (m - EPOCH_MICROS).to_be_bytes()).as_ref().map(|b| &b[..]));
        }
    }
    Ok(())
}

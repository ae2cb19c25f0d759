//! Rows into SQLite: many rows to an INSERT, into a temporary table, so that the file's one write lock is held only
//! for the final copy.

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Date32Type, Float32Type, Float64Type, Int64Type, TimestampMicrosecondType};
use chrono::{DateTime, NaiveDate};
use sqlx::sqlite::SqliteArguments;
use sqlx::{Arguments, AssertSqlSafe, SqliteConnection};

use super::table::{TableSchema, interval_literal};
use crate::error::{Error, Result};
use crate::interval::{Interval, instant};
use crate::ledger::db::sqlite_error;
use crate::ledger::{Db, Value};

/// SQLite's own limit of parameters in a statement, less a little.
const MAX_PARAMETERS: usize = 32_000;
const MAX_ROWS: usize = 256;

pub async fn stage(connection: &mut SqliteConnection, table: &TableSchema, batch: &RecordBatch) -> Result<u64> {
    let columns = batch.num_columns();
    let rows_at_once = (MAX_PARAMETERS / columns.max(1)).clamp(1, MAX_ROWS);
    // One transaction of the temporary database, which locks nobody out.
    sqlx::raw_sql("BEGIN").execute(&mut *connection).await.map_err(|e| sqlite_error(&e))?;
    let (mut at, mut taken) = (0, 0);
    while at < batch.num_rows() {
        let rows = rows_at_once.min(batch.num_rows() - at);
        let tuple = format!("({})", vec!["?"; columns].join(","));
        let sql = format!(
            "INSERT INTO temp.daymill_staging ({}) VALUES {}",
            table.row_list(),
            vec![tuple.as_str(); rows].join(",")
        );
        let mut arguments = SqliteArguments::default();
        for row in at..at + rows {
            for (array, field) in batch.columns().iter().zip(batch.schema_ref().fields()) {
                bind(&mut arguments, array, row).map_err(|e| Error::data(format!("column {:?}: {e}", field.name())))?;
            }
        }
        let inserted = sqlx::query_with(AssertSqlSafe(sql), arguments).execute(&mut *connection).await;
        taken += inserted.map_err(|e| sqlite_error(&e))?.rows_affected();
        at += rows;
    }
    sqlx::raw_sql("COMMIT").execute(&mut *connection).await.map_err(|e| sqlite_error(&e))?;
    Ok(taken)
}

/// Inside the load transaction: how many rows were taken.
pub async fn publish(
    db: &mut Db,
    table: &TableSchema,
    (interval, run_id, model): (&Interval, &str, Option<(&str, i64)>),
) -> Result<u64> {
    let (published, columns, own) = (db.published(&table.name), table.column_list(), table.row_list());
    let start = interval_literal(interval, false);
    let (name, version) = model.map_or((Value::Null, Value::Null), |(name, version)| (name.into(), version.into()));
    let sql =
        format!("INSERT INTO {published} ({columns}) SELECT {own}, {start}, $1, $2, $3 FROM temp.daymill_staging");
    db.execute(&sql, &[name, version, run_id.into()]).await
}

fn bind(
    arguments: &mut SqliteArguments,
    array: &ArrayRef,
    row: usize,
) -> std::result::Result<(), sqlx::error::BoxDynError> {
    if array.is_null(row) {
        return arguments.add(None::<i64>);
    }
    match array.data_type() {
        DataType::Boolean => arguments.add(array.as_boolean().value(row)),
        DataType::Int64 => arguments.add(array.as_primitive::<Int64Type>().value(row)),
        DataType::Float32 => arguments.add(f64::from(array.as_primitive::<Float32Type>().value(row))),
        DataType::Float64 => match array.as_primitive::<Float64Type>().value(row) {
            // SQLite would store it as NULL, which is another thing.
            value if value.is_nan() => Err("a NaN, which SQLite cannot hold; make it NULL in the transform".into()),
            value => arguments.add(value),
        },
        DataType::Date32 => {
            let days = array.as_primitive::<Date32Type>().value(row);
            arguments.add(NaiveDate::from_epoch_days(days).map(|d| d.to_string()).ok_or("a date out of range")?)
        }
        DataType::Timestamp(_, zone) => {
            let micros = array.as_primitive::<TimestampMicrosecondType>().value(row);
            let at = DateTime::from_timestamp_micros(micros).ok_or("a timestamp out of range")?;
            arguments.add(if zone.is_some() { instant(at) } else { instant(at).trim_end_matches('Z').to_owned() })
        }
        _ => arguments.add(array.as_string_view().value(row).to_owned()),
    }
}

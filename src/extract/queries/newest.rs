//! The newest day of a table.

use chrono::NaiveDate;
use sqlx::AssertSqlSafe;

use super::session::source_error;
use crate::error::Result;
use crate::project::connection::Dsn;

/// The date of the newest row, by the clock of a zone. `table` and `column` are as SQL has them.
pub async fn newest_date(dsn: &Dsn, zone: chrono_tz::Tz, table: &str, column: &str) -> Result<Option<NaiveDate>> {
    let mut connection = crate::postgres::connect(dsn, "daymill/new").await?;
    // Without an index the whole table is read: what is only nice to know waits for that no longer.
    let set = format!("SET TIME ZONE '{}'; SET statement_timeout = '10s'", zone.name());
    sqlx::raw_sql(AssertSqlSafe(set)).execute(&mut connection).await.map_err(|e| source_error(&e))?;
    let sql = AssertSqlSafe(format!("SELECT max({column})::date::text FROM {table}"));
    let asked = sqlx::query_scalar::<_, Option<String>>(sql).fetch_one(&mut connection).await;
    Ok(asked.map_err(|e| source_error(&e))?.and_then(|date| date.parse().ok()))
}

//! One connection to the warehouse, Postgres or SQLite, and the few statements that are the same in both.

use sqlx::postgres::PgArguments;
use sqlx::sqlite::SqliteArguments;
use sqlx::{Arguments, AssertSqlSafe, Column, Connection, PgConnection, Row, SqliteConnection, TypeInfo, ValueRef};

use super::dialect::{self, Dialect};
use crate::error::{Class, Error, Result};
use crate::identifier::Identifier;
use crate::postgres::classify;
use crate::postgres::liveness::Backend;

pub enum Db {
    Postgres { connection: PgConnection, schema: Identifier, backend: Backend },
    Sqlite(SqliteConnection),
}

/// A bound parameter.
#[derive(Clone, Debug)]
pub enum Value {
    Null,
    Int(i64),
    Text(String),
    /// A number that may not be there.
    Whole(Option<i64>),
    Real(Option<f64>),
}

impl From<&str> for Value {
    fn from(text: &str) -> Value {
        Value::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Value {
        Value::Text(text)
    }
}

impl From<i64> for Value {
    fn from(value: i64) -> Value {
        Value::Int(value)
    }
}

/// Of which interval rows are, and who made them.
#[derive(Clone, Copy)]
pub struct RowsOf<'a> {
    /// Job, start and end of the interval, as the ledger writes them.
    pub interval: &'a [Value; 3],
    pub run_id: &'a str,
    pub model: Option<&'a str>,
}

/// A row of texts; every query of the ledger casts what it selects.
pub type TextRow = Vec<Option<String>>;

impl Db {
    /// How its statements are worded.
    pub fn dialect(&self) -> &'static dyn Dialect {
        match self {
            Db::Postgres { .. } => &dialect::Postgres,
            Db::Sqlite(_) => &dialect::Sqlite,
        }
    }

    /// Where tables are published; SQLite has one place.
    pub fn schema(&self) -> Option<String> {
        match self {
            Db::Postgres { schema, .. } => Some(schema.name().to_owned()),
            Db::Sqlite(_) => None,
        }
    }

    /// The quoted name of a published table.
    pub fn published(&self, table: &Identifier) -> String {
        match self {
            Db::Postgres { schema, .. } => format!("{schema}.{table}"),
            Db::Sqlite(_) => format!("main.{table}"),
        }
    }

    /// The names of the ledger's tables, filled into a statement.
    pub fn fill(&self, sql: &str) -> String {
        let dialect = self.dialect();
        ["migrations", "intervals", "runs", "tables", "jobs", "batches", "events", "chain", "profiles", "quarantine"]
            .iter()
            .fold(sql.to_owned(), |sql, name| sql.replace(&format!("{{{name}}}"), &dialect.ledger_table(name)))
            .replace("{runs_index}", &dialect.ledger_index("runs_interval"))
            .replace("{runs_seq_index}", &dialect.ledger_index("runs_seq"))
            .replace("{events_index}", &dialect.ledger_index("events_job"))
            .replace("{events_run_index}", &dialect.ledger_index("events_run"))
    }

    /// Runs a statement whose `{name}`s are the ledger's tables; the number of rows it touched.
    pub async fn execute(&mut self, sql: &str, values: &[Value]) -> Result<u64> {
        let sql = AssertSqlSafe(self.fill(sql));
        match self {
            Db::Postgres { connection, backend, .. } => backend
                .answered(sqlx::query_with(sql, postgres(values)?).execute(connection))
                .await
                .map(|r| r.rows_affected())
                .map_err(|e| classify::error(&e)),
            Db::Sqlite(connection) => sqlx::query_with(sql, sqlite(values)?)
                .execute(connection)
                .await
                .map(|r| r.rows_affected())
                .map_err(|e| sqlite_error(&e)),
        }
    }

    /// Runs several statements without parameters.
    pub async fn script(&mut self, sql: &str) -> Result<()> {
        self.touch(sql).await.map(|_| ())
    }

    /// Runs several statements without parameters; the number of rows that they touched.
    pub async fn touch(&mut self, sql: &str) -> Result<u64> {
        let sql = AssertSqlSafe(self.fill(sql));
        match self {
            Db::Postgres { connection, backend, .. } => {
                let answer = backend.answered(sqlx::raw_sql(sql).execute(connection)).await;
                answer.map(|r| r.rows_affected()).map_err(|e| classify::error(&e))
            }
            Db::Sqlite(connection) => {
                let answer = sqlx::raw_sql(sql).execute(connection).await;
                answer.map(|r| r.rows_affected()).map_err(|e| sqlite_error(&e))
            }
        }
    }

    /// Runs several statements without parameters and gives the rows of all of them.
    pub async fn fetch_script(&mut self, sql: &str) -> Result<Vec<TextRow>> {
        let filled = self.fill(sql);
        self.fetch_plain(&filled).await
    }

    /// The same of a text with data in it, in which nothing is filled in.
    pub async fn fetch_plain(&mut self, sql: &str) -> Result<Vec<TextRow>> {
        let sql = AssertSqlSafe(sql.to_owned());
        match self {
            Db::Postgres { connection, backend, .. } => {
                let answer = backend.answered(sqlx::raw_sql(sql).fetch_all(connection)).await;
                let rows = answer.map_err(|e| classify::error(&e))?;
                rows.iter().map(postgres_row).collect()
            }
            Db::Sqlite(connection) => {
                let rows = sqlx::raw_sql(sql).fetch_all(connection).await.map_err(|e| sqlite_error(&e))?;
                rows.iter().map(sqlite_row).collect()
            }
        }
    }

    pub async fn fetch(&mut self, sql: &str, values: &[Value]) -> Result<Vec<TextRow>> {
        let sql = AssertSqlSafe(self.fill(sql));
        match self {
            Db::Postgres { connection, backend, .. } => {
                let answer = backend.answered(sqlx::query_with(sql, postgres(values)?).fetch_all(connection)).await;
                let rows = answer.map_err(|e| classify::error(&e))?;
                rows.iter().map(postgres_row).collect()
            }
            Db::Sqlite(connection) => {
                let rows =
                    sqlx::query_with(sql, sqlite(values)?).fetch_all(connection).await.map_err(|e| sqlite_error(&e))?;
                rows.iter().map(sqlite_row).collect()
            }
        }
    }

    /// The session as its server knows it.
    pub fn backend(&self) -> Option<Backend> {
        match self {
            Db::Postgres { backend, .. } => Some(backend.clone()),
            Db::Sqlite(_) => None,
        }
    }

    pub async fn close(self) {
        let _ = match self {
            Db::Postgres { connection, .. } => connection.close().await,
            Db::Sqlite(connection) => connection.close().await,
        };
    }
}

fn postgres_row(row: &sqlx::postgres::PgRow) -> Result<TextRow> {
    (0..row.len()).map(|i| row.try_get(i).map_err(|e| classify::error(&e))).collect()
}

/// What a cell holds instead of text. SQLite keeps anything in any column.
fn no_text(row: &sqlx::sqlite::SqliteRow, i: usize, error: &sqlx::Error) -> Error {
    let first = if i == 0 { None } else { row.try_get::<Option<String>, _>(0).ok().flatten() };
    let place = first.map(|first| format!(" of {first}")).unwrap_or_default();
    Error::data(format!(
        "the ledger is not whole: its column {:?}{place} holds what no run wrote",
        row.column(i).name()
    ))
    .cause(error)
    .hint("somebody changed it; restore it from a backup")
}

fn sqlite_row(row: &sqlx::sqlite::SqliteRow) -> Result<TextRow> {
    let real = |i: usize| row.try_get_raw(i).is_ok_and(|cell| cell.type_info().name() == "REAL");
    let cell = |i: usize| match real(i) {
        true => row.try_get::<Option<f64>, _>(i).map(|value| value.map(|value| format!("{value:?}"))),
        false => row.try_get(i),
    };
    (0..row.len()).map(|i| cell(i).map_err(|e| no_text(row, i, &e))).collect()
}

fn postgres(values: &[Value]) -> Result<PgArguments> {
    let mut arguments = PgArguments::default();
    for value in values {
        let added = match value {
            Value::Null => arguments.add(None::<String>),
            Value::Int(value) => arguments.add(*value),
            Value::Text(text) => arguments.add(text.clone()),
            Value::Whole(value) => arguments.add(*value),
            Value::Real(value) => arguments.add(*value),
        };
        added.map_err(|e| Error::defect("a parameter cannot be bound").cause(e))?;
    }
    Ok(arguments)
}

fn sqlite(values: &[Value]) -> Result<SqliteArguments> {
    let mut arguments = SqliteArguments::default();
    for value in values {
        let added = match value {
            Value::Null => arguments.add(None::<String>),
            Value::Int(value) => arguments.add(*value),
            Value::Text(text) => arguments.add(text.clone()),
            Value::Whole(value) => arguments.add(*value),
            Value::Real(value) => arguments.add(*value),
        };
        added.map_err(|e| Error::defect("a parameter cannot be bound").cause(e))?;
    }
    Ok(arguments)
}

/// What SQLite's result code means.
pub fn sqlite_error(error: &sqlx::Error) -> Error {
    let Some(database) = error.as_database_error() else {
        return match error {
            sqlx::Error::Io(cause) => Error::new(Class::Io, "the SQLite file cannot be used").cause(cause),
            sqlx::Error::Configuration(cause) => Error::config("the SQLite file cannot be used").cause(cause),
            other => classify::error(other),
        };
    };
    let code = database.code().and_then(|c| c.parse::<i32>().ok()).unwrap_or(0) & 0xff;
    let message = database.message().to_owned();
    match code {
        5 | 6 => Error::new(Class::Unavailable, "the SQLite file is busy").cause(message).transient(),
        7 | 10 | 13 => Error::new(Class::Io, "SQLite cannot write").cause(message).hint("is the disk full?"),
        14 if std::fs::File::open("/dev/null").is_err() => {
            Error::new(Class::Io, "the system refused another open file")
                .cause(message)
                .hint("raise the limit (ulimit -n)")
        }
        8 | 14 | 23 => Error::config("SQLite cannot open or write the file").cause(message),
        11 | 26 => Error::input("the SQLite file is damaged or is no SQLite file").cause(message),
        18 => Error::data("a value is too large for SQLite, which takes less than a gigabyte").cause(message),
        19 | 20 => Error::data("SQLite refused a row").cause(message),
        _ => Error::config("SQLite refused a statement").cause(message),
    }
}

//! Sessions with a Postgres server that is read from: their snapshots, their waits, and what their errors mean.

use std::collections::HashMap;
use std::time::Duration;

use sqlx::postgres::{PgDatabaseError, PgErrorPosition};
use sqlx::{AssertSqlSafe, PgConnection};

use crate::error::{Class, Error, Result};
use crate::placeholders;
use crate::postgres::classify;
use crate::postgres::liveness::Backend;
use crate::progress::Progress;
use crate::project::Job;
use crate::project::job::SqlFile;
use crate::sql::error::Place;

pub const LOOK_UP_EVERY: Duration = Duration::from_millis(250);

/// A connection, and how the server knows it.
pub type Session = (PgConnection, Backend);

/// Open sessions by the name of their connection. They belong to one thread's runtime.
pub type Sessions = HashMap<String, Session>;

/// A source's answer, waited for as long as its server is at work, or until the run is asked to stop.
pub async fn attended<T>(
    answer: impl Future<Output = std::result::Result<T, sqlx::Error>>,
    backend: &Backend,
    progress: &Progress,
) -> Result<T> {
    answered(answer, backend, progress).await?.map_err(|e| source_error(&e))
}

/// The same, with the server's own error.
pub async fn answered<T>(
    answer: impl Future<Output = std::result::Result<T, sqlx::Error>>,
    backend: &Backend,
    progress: &Progress,
) -> Result<std::result::Result<T, sqlx::Error>> {
    let mut answer = std::pin::pin!(backend.answered(answer));
    loop {
        match tokio::time::timeout(LOOK_UP_EVERY, &mut answer).await {
            Ok(answer) => return Ok(answer),
            Err(_) => stopped(backend, progress).await?,
        }
    }
}

/// An error when the run has been asked to stop; its query is then ended at the server too.
pub async fn stopped(backend: &Backend, progress: &Progress) -> Result<()> {
    let asked = progress.check();
    if asked.is_err() {
        backend.end().await;
    }
    asked
}

/// A snapshot in which dates and clock times are those of the job's zone, and in which no row is hidden without an error.
pub async fn begin_snapshot(connection: &mut PgConnection, job: &Job) -> std::result::Result<(), sqlx::Error> {
    let begin = format!(
        "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL TIME ZONE '{}'; SET LOCAL row_security = off",
        job.zone.name()
    );
    sqlx::raw_sql(AssertSqlSafe(begin)).execute(connection).await.map(|_| ())
}

/// What the server says of a query, with the place in the user's file and a caret. `made` is the text that it was given.
pub fn located(error: &sqlx::Error, sql: &SqlFile, made: &str) -> Error {
    let mut found = source_error(error);
    let postgres = error.as_database_error().and_then(|e| e.try_downcast_ref::<PgDatabaseError>());
    let place = match postgres.and_then(PgDatabaseError::position) {
        Some(PgErrorPosition::Original(character)) => placeholders::place(&sql.text, made, character),
        _ => None,
    };
    let Some((line, column)) = place else { return found.context(sql.path.display()) };
    found.message = format!("{}:{line}:{column}: {}", sql.path.display(), found.message);
    let caret = crate::sql::error::caret(&sql.text, Place { line, column });
    found.causes = caret.into_iter().chain(found.causes).collect();
    found
}

/// What the server says of the user's query. A table or column that is not there is the source breaking its contract.
pub fn source_error(error: &sqlx::Error) -> Error {
    let mut found = classify::error(error);
    let state = error.as_database_error().and_then(|e| e.code()).unwrap_or_default();
    if matches!(state.as_ref(), "42703" | "42P01" | "42804" | "42883") {
        found.class = Class::Data;
    }
    if state == "42P01" && found.hint.is_none() {
        found.hint =
            Some("is its schema named, as in shop.orders? psql's \\dt *.* lists all tables that the role sees".into());
    }
    found
}

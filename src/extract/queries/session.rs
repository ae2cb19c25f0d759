//! Sessions with a Postgres server that is read from: their snapshots, their waits, and what their errors mean.

use std::collections::HashMap;
use std::time::Duration;

use sqlx::{AssertSqlSafe, PgConnection};

use crate::error::{Class, Error, Result};
use crate::postgres::classify;
use crate::postgres::liveness::Backend;
use crate::progress::Progress;
use crate::project::Job;

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
    let mut answer = std::pin::pin!(backend.answered(answer));
    loop {
        match tokio::time::timeout(LOOK_UP_EVERY, &mut answer).await {
            Ok(answer) => return answer.map_err(|e| source_error(&e)),
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

/// What the server says of the user's query. A table or column that is not there is the source breaking its contract.
pub fn source_error(error: &sqlx::Error) -> Error {
    let mut found = classify::error(error);
    let state = error.as_database_error().and_then(|e| e.code()).unwrap_or_default();
    if matches!(state.as_ref(), "42703" | "42P01" | "42804" | "42883") {
        found.class = Class::Data;
    }
    found
}

//! Waiting for a server's answer, but not for ever. A silent server may be at work, or its answer or our question may be
//! lost. Only the server knows, so another session asks it what the first one is doing.

use std::time::{Duration, Instant};

use sqlx::{Connection, PgConnection, Row};

use super::connect;
use crate::error::Result;
use crate::postgres::classify;
use crate::project::connection::Dsn;

/// After this much silence the server is asked.
pub const SILENCE: Duration = Duration::from_secs(10);
/// How long a silent server that cannot be asked is waited for.
const UNASKED: Duration = Duration::from_secs(120);
/// Between two looks; an answer that is on its way comes in between.
const SECOND_LOOK: Duration = Duration::from_secs(2);

/// One session, as the server knows it.
#[derive(Clone, Debug)]
pub struct Backend {
    dsn: Dsn,
    pid: i32,
    started: String,
}

impl Backend {
    pub async fn of(connection: &mut PgConnection, dsn: &Dsn) -> Result<Backend> {
        let sql = "SELECT pid, backend_start::text FROM pg_stat_activity WHERE pid = pg_backend_pid()";
        let row = sqlx::query(sql).fetch_one(connection).await.map_err(|e| classify::error(&e))?;
        let read = |e: sqlx::Error| classify::error(&e);
        Ok(Backend { dsn: dsn.clone(), pid: row.try_get(0).map_err(read)?, started: row.try_get(1).map_err(read)? })
    }

    /// Waits for an answer as long as the server is at work on it. The future is dropped when it is not, and the
    /// session is then of no more use.
    pub async fn answered<T>(
        &self,
        answer: impl Future<Output = std::result::Result<T, sqlx::Error>>,
    ) -> std::result::Result<T, sqlx::Error> {
        let mut answer = std::pin::pin!(answer);
        let started = Instant::now();
        loop {
            if let Ok(answer) = tokio::time::timeout(SILENCE, &mut answer).await {
                return answer;
            }
            match self.at_work().await {
                Some(true) => continue,
                // A server that cannot be asked may still be at work, but not for ever.
                None if started.elapsed() < UNASKED => continue,
                _ => {}
            }
            if let Ok(answer) = tokio::time::timeout(SECOND_LOOK, &mut answer).await {
                return answer;
            }
            if self.at_work().await != Some(true) {
                let text = "the server fell silent and is not at work on what it was asked";
                return Err(sqlx::Error::Io(std::io::Error::new(std::io::ErrorKind::TimedOut, text)));
            }
        }
    }

    /// Whether the server is working for this connection, rather than waiting for its client; nothing when it cannot be
    /// asked.
    pub async fn at_work(&self) -> Option<bool> {
        let sql = "SELECT state = 'active' AND coalesce(wait_event_type, '') <> 'Client' FROM pg_stat_activity \
                   WHERE pid = $1 AND backend_start::text = $2";
        let asked = async {
            let mut other = connect(&self.dsn, "daymill/ask").await.ok()?;
            let query = sqlx::query_scalar::<_, Option<bool>>(sql).bind(self.pid).bind(&self.started);
            // A session that is not there any more is not at work.
            let found = query.fetch_optional(&mut other).await.ok()?.flatten().unwrap_or(false);
            let _ = other.close().await;
            Some(found)
        };
        tokio::time::timeout(SILENCE, asked).await.ok().flatten()
    }

    /// Ends the session on the server, so that its locks and its transaction go now. It may be gone already, or the
    /// server may not answer; then it ends by itself.
    pub async fn end(&self) {
        let sql = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid = $1 AND backend_start::text = $2";
        let ended = async {
            let Ok(mut other) = connect(&self.dsn, "daymill/end").await else { return };
            let _ = sqlx::query(sql).bind(self.pid).bind(&self.started).execute(&mut other).await;
            let _ = other.close().await;
        };
        let _ = tokio::time::timeout(SECOND_LOOK, ended).await;
    }
}

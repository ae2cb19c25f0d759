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

/// After this much silence it is said what a session waits for.
const NOTICE: Duration = Duration::from_secs(5);

/// Who hears what a session waits for.
static TOLD: std::sync::OnceLock<fn(&str)> = std::sync::OnceLock::new();

/// Whoever talks to people says how.
pub fn tell_waits(tell: fn(&str)) {
    let _ = TOLD.set(tell);
}

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
        if let Ok(answer) = tokio::time::timeout(NOTICE, &mut answer).await {
            return answer;
        }
        if let (Some(tell), Some(holder)) = (TOLD.get(), self.blocked_by().await) {
            tell(&format!("waiting for a lock that {holder} holds"));
        }
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

    /// The session that holds the lock that this one waits for.
    async fn blocked_by(&self) -> Option<String> {
        let sql = "SELECT a.pid::text, coalesce(a.usename, '?'), coalesce(a.application_name, ''), a.state, a.xact_start::text, left(a.query, 80) \
                   FROM unnest(pg_blocking_pids($1)) AS b (pid) JOIN pg_stat_activity a ON a.pid = b.pid LIMIT 1";
        let asked = async {
            let mut other = connect(&self.dsn, "daymill/ask").await.ok()?;
            let row = sqlx::query(sql).bind(self.pid).fetch_optional(&mut other).await.ok()??;
            let _ = other.close().await;
            let text = |i: usize| row.try_get::<Option<String>, _>(i).ok().flatten().unwrap_or_default();
            let (pid, user, name, state, since, query) = (text(0), text(1), text(2), text(3), text(4), text(5));
            Some(format!("pid {pid} (user {user}, {name:?}, {state} since {since}: {query})"))
        };
        tokio::time::timeout(NOTICE, asked).await.ok().flatten()
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

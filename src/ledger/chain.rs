//! The chain of events: each record carries the hash of the one before it, so that an edit, a removal or an insertion
//! shows. Tamper-evident back to the last head that was written down elsewhere; never tamper-proof.

use std::fmt;

use serde::Serialize;
use serde_json::json;

use super::Db;
use super::dialect::Record;
use crate::error::{Error, Result};
use crate::interval::instant;
use crate::run_state::RunState;

const TAG: &str = "daymill ledger 1";
pub const ORIGIN: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// The last record of the chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Head {
    pub n: i64,
    pub hash: String,
}

impl fmt::Display for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.n, self.hash)
    }
}

/// The hash of record `n`.
pub fn link(n: i64, before: &str, body: &str) -> String {
    crate::digest::hex(format!("{TAG}\n{n}\n{before}\n{body}").as_bytes())
}

/// Appends an event and commits the open transaction. The record is numbered under a lock that every other commit
/// waits for, so on Postgres both go in one message: a client that stops in between holds nobody up.
pub async fn commit(db: &mut Db, job: &str, run_id: Option<&str>, body: &serde_json::Value) -> Result<Head> {
    let body = body.to_string();
    let Some(sql) = db.dialect().append_and_commit(TAG, &Record { job, run_id, body: &body }) else {
        let head = append(db, job, run_id, &body).await?;
        db.script("COMMIT").await?;
        return Ok(head);
    };
    let rows = db.fetch_plain(&sql).await?;
    match rows.first().map(|row| (row[0].as_deref().and_then(|n| n.parse().ok()), row[1].clone())) {
        Some((Some(n), Some(hash))) => Ok(Head { n, hash }),
        _ => Err(Error::config("the ledger's chain has no end").hint("run: daymill ledger verify")),
    }
}

async fn append(db: &mut Db, job: &str, run_id: Option<&str>, body: &str) -> Result<Head> {
    let last = head(db).await?.ok_or_else(|| Error::config("the ledger's chain has no end"))?;
    let n = last.n + 1;
    let next = Head { n, hash: link(n, &last.hash, body) };
    let run = run_id.map_or(super::Value::Null, super::Value::from);
    db.execute("UPDATE {chain} SET n = $1, hash = $2", &[n.into(), next.hash.clone().into()]).await?;
    db.execute(
        "INSERT INTO {events} (n, job, run_id, body, hash) VALUES ($1, $2, $3, $4, $5)",
        &[n.into(), job.into(), run, body.into(), next.hash.clone().into()],
    )
    .await?;
    Ok(next)
}

/// The end of the chain.
pub async fn head(db: &mut Db) -> Result<Option<Head>> {
    let rows = db.fetch("SELECT CAST(n AS TEXT), hash FROM {chain}", &[]).await?;
    Ok(rows.into_iter().next().and_then(|mut row| Some(Head { n: row[0].take()?.parse().ok()?, hash: row[1].take()? })))
}

/// The last event of one job; what it was when a plan was made tells whether the plan still holds.
pub async fn job_head(db: &mut Db, job: &str) -> Result<Option<Head>> {
    let sql = "SELECT CAST(e.n AS TEXT), e.hash FROM {events} e WHERE e.job = $1 ORDER BY e.n DESC LIMIT 1";
    let rows = db.fetch(sql, &[job.into()]).await?;
    Ok(rows.into_iter().next().and_then(|mut row| Some(Head { n: row[0].take()?.parse().ok()?, hash: row[1].take()? })))
}

/// Inside the migration that brings the chain: what was recorded before it becomes its first records, the oldest first.
pub async fn adopt(db: &mut Db) -> Result<()> {
    let sql = "SELECT r.job, r.interval_start, r.interval_end, r.run_id, r.state, CAST(i.rows_published AS TEXT), i.content_hash, i.run_id \
               FROM {runs} r LEFT JOIN {intervals} i ON i.run_id = r.run_id ORDER BY r.started_at, r.run_id";
    let at = instant(chrono::Utc::now());
    for row in db.fetch(sql, &[]).await? {
        let text = |i: usize| row[i].clone().unwrap_or_default();
        let mut body = json!({ "event": "adopted", "at": at, "job": text(0), "interval": [text(1), text(2)], "run": text(3), "adopted": true });
        match row[7].is_some() {
            true => {
                body["event"] = RunState::Succeeded.name().into();
                body["rows"] = text(5).parse::<u64>().unwrap_or_default().into();
                body["content"] = text(6).into();
            }
            false => body["state"] = text(4).into(),
        }
        append(db, &text(0), Some(&text(3)), &body.to_string()).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_depends_on_all_that_it_names() {
        let of = link(2, ORIGIN, "{}");
        assert_eq!(of.len(), 64);
        assert_ne!(of, link(3, ORIGIN, "{}"));
        assert_ne!(of, link(2, &of, "{}"));
        assert_ne!(of, link(2, ORIGIN, "{ }"));
    }
}

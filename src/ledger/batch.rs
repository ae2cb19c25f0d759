//! Backfills as they were resolved: which intervals, which model. A retry replays exactly this.

use chrono::Utc;

use super::Db;
use crate::error::Result;
use crate::interval::instant;

/// Records a backfill before its first interval runs.
pub async fn record(db: &mut Db, id: &str, job: &str, plan: &str) -> Result<()> {
    db.execute(
        "INSERT INTO {batches} (batch_id, job, created_at, plan) VALUES ($1, $2, $3, $4)",
        &[id.into(), job.into(), instant(Utc::now()).into(), plan.into()],
    )
    .await?;
    Ok(())
}

/// The backfills whose id begins with `prefix`: id and plan.
pub async fn find(db: &mut Db, prefix: &str) -> Result<Vec<(String, String)>> {
    let sql =
        format!("SELECT batch_id, plan FROM {{batches}} WHERE substr(batch_id, 1, {}) = $1 LIMIT 2", prefix.len());
    let rows = db.fetch(&sql, &[prefix.into()]).await?;
    Ok(rows.into_iter().filter_map(|mut row| Some((row[0].take()?, row[1].take()?))).collect())
}

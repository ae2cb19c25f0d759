//! What an attempt writes: that it began, that it is still the newest, how it ended.

use chrono::Utc;
use serde_json::json;

use super::chain::{self, Head};
use super::lock::Holder;
use super::{Db, RowsOf, Value, profiles, quarantine};
use crate::digest;
use crate::error::{Class, Error, Result};
use crate::failpoints;
use crate::interval::{Interval, instant};
use crate::quality::checks::BadRow;
use crate::quality::profile::StoredProfile;
use crate::run_state::RunState;

/// Who attempts what.
#[derive(Clone, Debug)]
pub struct AttemptId {
    pub run_id: String,
    pub job: String,
    pub interval: Interval,
    /// `name@version`
    pub model: Option<String>,
    /// The backfill it belongs to.
    pub batch: Option<String>,
}

/// What a run records when it ends.
#[derive(Default)]
pub struct End<'a> {
    pub state: RunState,
    pub rows: u64,
    pub rows_read: u64,
    pub content_hash: &'a str,
    pub report: String,
    /// What made the rows, as JSON.
    pub fingerprint: String,
    /// What was read, as JSON.
    pub inputs: String,
    pub millis: u64,
    /// Where the rows went, and their columns as JSON.
    pub table: String,
    pub columns: String,
    /// What the values of the rows are, column by column.
    pub profiles: Vec<StoredProfile>,
    /// Rows that were put aside.
    pub quarantined: Vec<BadRow>,
}

impl AttemptId {
    fn key(&self) -> [Value; 3] {
        [self.job.as_str().into(), instant(self.interval.start).into(), instant(self.interval.end).into()]
    }
}

/// Begins an attempt: the next generation, and a row that says "running". Rows that still say so for this interval
/// belong to dead processes, since this one holds the lock.
pub async fn start(db: &mut Db, id: &AttemptId, after: Option<i64>) -> Result<i64> {
    // Losing this record with the power loses an attempt that died with the power; it need not wait for the disk.
    let (start_unsynced, then) = db.dialect().begin_unsynced();
    db.script(start_unsynced).await?;
    let begun = begin(db, id, after).await;
    let done = match begun {
        Ok(generation) => {
            let holder = Holder::this_process();
            let body = json!({
                "event": "started", "at": instant(Utc::now()), "job": id.job, "interval": interval_value(&id.interval),
                "run": id.run_id, "generation": generation, "host": holder.host, "pid": holder.pid, "model": id.model,
            });
            chain::commit(db, &id.job, Some(&id.run_id), &body).await.map(|_| generation)
        }
        Err(error) => Err(error),
    };
    if done.is_err() {
        let _ = db.script("ROLLBACK").await;
    }
    if let Some(then) = then {
        db.script(then).await?;
    }
    done
}

async fn begin(db: &mut Db, id: &AttemptId, after: Option<i64>) -> Result<i64> {
    let interval = id.key();
    refuse_overlap(db, id, &interval).await?;
    db.execute(
        "UPDATE {runs} SET state = 'abandoned' WHERE job = $1 AND interval_start = $2 AND interval_end = $3 AND state = 'running'",
        &interval,
    ).await?;
    let label: Value = id.interval.label().into();
    let rows = db
        .fetch(
            "INSERT INTO {intervals} AS i (job, interval_start, interval_end, label, generation) VALUES ($1, $2, $3, $4, 1) \
             ON CONFLICT (job, interval_start, interval_end) DO UPDATE SET generation = i.generation + 1 \
             RETURNING CAST(generation AS TEXT)",
            &[&interval[..], std::slice::from_ref(&label)].concat(),
        )
        .await?;
    let generation = rows.first().and_then(|row| row[0].as_ref()?.parse::<i64>().ok()).filter(|n| *n > 0);
    let generation = generation.ok_or_else(|| {
        Error::data(format!("the ledger's count of attempts at {} {} makes no sense", id.job, id.interval.label()))
            .hint("run: daymill ledger verify")
    })?;
    // An attempt that is made again must follow the one that failed; if another run came in between, it was overtaken.
    if after.is_some_and(|before| generation != before + 1) {
        return Err(overtaken(&id.job, &id.interval));
    }
    let (model, batch) = (optional(&id.model), optional(&id.batch));
    let holder = Holder::this_process();
    let rest = [
        label,
        id.run_id.as_str().into(),
        generation.into(),
        holder.host.into(),
        i64::from(holder.pid).into(),
        instant(Utc::now()).into(),
        model,
        batch,
    ];
    db.execute(
        "INSERT INTO {runs} (job, interval_start, interval_end, label, run_id, generation, state, host, pid, started_at, model, batch_id, seq) \
         VALUES ($1, $2, $3, $4, $5, $6, 'running', $7, $8, $9, $10, $11, (SELECT n + 1 FROM {chain}))",
        &[&interval[..], &rest].concat(),
    ).await?;
    Ok(generation)
}

/// An interval that was published and overlaps this one without being it means that the job's grain or time zone
/// changed: its rows would stand twice.
async fn refuse_overlap(db: &mut Db, id: &AttemptId, interval: &[Value; 3]) -> Result<()> {
    let other = db
        .fetch(
            "SELECT label, interval_end FROM {intervals} WHERE job = $1 AND interval_start < $3 AND run_id IS NOT NULL \
             AND NOT (interval_start = $2 AND interval_end = $3) ORDER BY interval_start DESC LIMIT 1",
            interval,
        )
        .await?;
    // Published intervals do not overlap, so only the last that begins before this one's end can reach into it.
    let start_text = instant(id.interval.start);
    let reaches = other.first().filter(|row| row[1].as_deref().is_some_and(|end| end > start_text.as_str()));
    match reaches.and_then(|row| row[0].as_deref()) {
        None => Ok(()),
        Some(label) => Err(Error::config(format!(
            "{} {} overlaps {label}, which this job has published before with another grain or time zone",
            id.job,
            id.interval.label()
        ))
        .hint("publish to a new table under a new job name; one table cannot hold both without holding rows twice")),
    }
}

/// Inside the load transaction: this attempt must still be the newest of its interval. How many rows of the interval stand,
/// by the ledger, in the table.
pub async fn fence(db: &mut Db, id: &AttemptId, table: &str, generation: i64) -> Result<u64> {
    let (job, interval) = (id.job.as_str(), &id.interval);
    let lock = db.dialect().locking_rows();
    let sql = format!(
        "SELECT CAST(generation AS TEXT), CASE WHEN run_id IS NOT NULL AND coalesce(table_name, $4) = $4 THEN CAST(rows_published AS TEXT) END FROM {{intervals}} WHERE job = $1 AND interval_start = $2 AND interval_end = $3{lock}"
    );
    let rows = db
        .fetch(&sql, &[job.into(), instant(interval.start).into(), instant(interval.end).into(), table.into()])
        .await?;
    let now: Option<i64> = rows.first().and_then(|row| row[0].as_ref()?.parse().ok());
    if now == Some(generation) || failpoints::sabotaged("lock-apart") || failpoints::sabotaged("no-lock") {
        return Ok(rows.first().and_then(|row| row[1].as_ref()?.parse().ok()).unwrap_or(0));
    }
    Err(overtaken(job, interval))
}

fn overtaken(job: &str, interval: &Interval) -> Error {
    Error::new(Class::Fenced, format!("{job} {}: a newer run took this interval over", interval.label()))
        .hint("the newer run's result stands; this one wrote nothing")
}

/// Inside the load transaction: the record of success. The event that belongs to it goes with the COMMIT.
pub async fn succeed(db: &mut Db, id: &AttemptId, end: &End<'_>) -> Result<()> {
    finish(db, &id.run_id, end).await?;
    db.execute(
        "UPDATE {intervals} SET run_id = $4, rows_published = $5, content_hash = $6, published_at = $7, fingerprint = $8, \
         inputs = $9, millis = $10, rows_read = $11, table_name = $12, columns = $13 WHERE job = $1 AND interval_start = $2 AND interval_end = $3",
        &[
            &id.key()[..],
            &[
                id.run_id.as_str().into(),
                (end.rows as i64).into(),
                end.content_hash.into(),
                instant(Utc::now()).into(),
                end.fingerprint.clone().into(),
                end.inputs.clone().into(),
                (end.millis as i64).into(),
                (end.rows_read as i64).into(),
                end.table.clone().into(),
                end.columns.clone().into(),
            ],
        ]
        .concat(),
    )
    .await?;
    let of = RowsOf { interval: &id.key(), run_id: &id.run_id, model: id.model.as_deref() };
    profiles::replace(db, of, &end.profiles).await?;
    quarantine::replace(db, of, &end.quarantined).await
}

/// The event of a success.
pub fn published(id: &AttemptId, generation: i64, table: &str, end: &End<'_>) -> serde_json::Value {
    json!({
        "event": end.state, "at": instant(Utc::now()), "job": id.job, "interval": interval_value(&id.interval),
        "run": id.run_id, "generation": generation, "table": table, "rows": end.rows, "content": end.content_hash,
        "model": id.model, "fingerprint": parsed(&end.fingerprint), "label": id.interval.label(),
        "columns": parsed(&end.columns), "inputs": digest::hex(end.inputs.as_bytes()),
        "report": digest::hex(end.report.as_bytes()), "profiles": profiles::digest(&end.profiles),
        "quarantine": quarantine::said(&end.quarantined),
    })
}

fn parsed(text: &str) -> serde_json::Value {
    serde_json::from_str(text).unwrap_or_default()
}

/// The end of an attempt that published nothing, or the first half of one that did.
pub async fn finish(db: &mut Db, run_id: &str, end: &End<'_>) -> Result<()> {
    db.execute(
        "UPDATE {runs} SET state = $1, finished_at = $2, rows_published = $3, content_hash = $4, report = $5 WHERE run_id = $6",
        &[end.state.name().into(), instant(Utc::now()).into(), (end.rows as i64).into(), end.content_hash.into(), end.report.clone().into(), run_id.into()],
    ).await?;
    Ok(())
}

/// The end of an attempt that published nothing, on its own.
pub async fn end(db: &mut Db, id: &AttemptId, end: &End<'_>, generation: i64) -> Result<Head> {
    db.script(db.dialect().begin()).await?;
    let mut body = json!({
        "event": end.state, "at": instant(Utc::now()), "job": id.job, "interval": interval_value(&id.interval),
        "run": id.run_id, "generation": generation, "report": digest::hex(end.report.as_bytes()),
    });
    if !end.inputs.is_empty() {
        (body["fingerprint"], body["inputs"]) = (parsed(&end.fingerprint), digest::hex(end.inputs.as_bytes()).into());
    }
    let finished = async {
        finish(db, &id.run_id, end).await?;
        // A skip has looked at its sources too: rows that come later must show.
        if !end.inputs.is_empty() {
            let sql = "UPDATE {intervals} SET fingerprint = $4, inputs = $5 WHERE job = $1 AND interval_start = $2 AND interval_end = $3";
            let seen = [end.fingerprint.clone().into(), end.inputs.clone().into()];
            db.execute(sql, &[&id.key()[..], &seen].concat()).await?;
        }
        Ok::<_, Error>(())
    };
    let ended = match finished.await {
        Ok(()) => chain::commit(db, &id.job, Some(&id.run_id), &body).await,
        Err(error) => Err(error),
    };
    if ended.is_err() {
        let _ = db.script("ROLLBACK").await;
    }
    ended
}

fn interval_value(interval: &Interval) -> serde_json::Value {
    json!([instant(interval.start), instant(interval.end)])
}

fn optional(text: &Option<String>) -> Value {
    text.as_deref().map_or(Value::Null, Value::from)
}

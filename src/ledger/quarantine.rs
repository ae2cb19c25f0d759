//! Rows that were put aside, beside the interval whose rows were published without them.

use std::collections::BTreeMap;

use chrono::Utc;
use serde_json::json;

use super::{Db, RowsOf, Value, chain};
use crate::digest;
use crate::error::{Error, Result};
use crate::interval::instant;
use crate::quality::checks::BadRow;

/// Rows of one statement: each has 14 parameters, of which SQLite takes 32,766.
const ROWS: usize = 500;
const COLUMNS: &str = "rule, rules, reason, stage, key_values, row_values";
/// What the chain calls the event.
pub const PRUNED: &str = "quarantine_pruned";
const DISCARDED: &str = "quarantine_discarded";

/// A row that was put aside, as the ledger keeps it.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Kept {
    pub job: String,
    #[serde(rename = "interval")]
    pub label: String,
    pub start: String,
    pub end: String,
    pub run_id: String,
    pub quarantined_at: String,
    pub state: String,
    pub note: Option<String>,
    #[serde(flatten)]
    pub row: BadRow,
}

/// Rows of one rule and interval, counted.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Counted {
    pub job: String,
    #[serde(rename = "interval")]
    pub label: String,
    pub start: String,
    pub end: String,
    pub rule: String,
    pub state: String,
    pub rows: u64,
    /// Rows of the interval that were published.
    pub published: u64,
    pub example: String,
}

/// Which rows: of a job, of intervals that begin in `start..end`, of a rule.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wanted<'a> {
    pub job: Option<&'a str>,
    pub span: Option<(&'a str, &'a str)>,
    pub rule: Option<&'a str>,
}

impl Wanted<'_> {
    /// A condition over `q`, and its parameters.
    fn condition(&self) -> (String, Vec<Value>) {
        let (mut parts, mut values): (Vec<String>, Vec<Value>) = (vec!["1 = 1".into()], Vec::new());
        let mut add = |text: &str, value: &str| {
            values.push(value.into());
            parts.push(format!("{text} ${}", values.len()));
        };
        if let Some(job) = self.job {
            add("q.job =", job);
        }
        if let Some((from, to)) = self.span {
            add("q.interval_start >=", from);
            add("q.interval_start <", to);
        }
        if let Some(rule) = self.rule {
            add("q.rule =", rule);
        }
        (parts.join(" AND "), values)
    }
}

/// The texts of a row in the order of `COLUMNS`.
fn texts(row: &BadRow) -> [String; 6] {
    let json = |value: serde_json::Result<String>| value.unwrap_or_default();
    [
        row.rule.clone(),
        json(serde_json::to_string(&row.rules)),
        row.reason.clone(),
        row.stage.clone(),
        json(serde_json::to_string(&row.key)),
        json(serde_json::to_string(&row.row)),
    ]
}

/// What the chain says of rows, given by their texts.
fn summed(rows: &[[String; 6]]) -> serde_json::Value {
    let lines: Vec<String> = rows.iter().map(|row| serde_json::to_string(row).unwrap_or_default()).collect();
    json!({ "rows": rows.len(), "digest": digest::hex(lines.join("\n").as_bytes()) })
}

/// What the chain says of the rows that are put aside.
pub fn said(rows: &[BadRow]) -> serde_json::Value {
    summed(&rows.iter().map(texts).collect::<Vec<_>>())
}

/// The same of the rows that the ledger has of an interval.
pub async fn found(db: &mut Db, (job, start, end): &(String, String, String)) -> Result<serde_json::Value> {
    let sql = format!(
        "SELECT {COLUMNS} FROM {{quarantine}} WHERE job = $1 AND interval_start = $2 AND interval_end = $3 ORDER BY n"
    );
    let rows = db.fetch(&sql, &[job.as_str().into(), start.as_str().into(), end.as_str().into()]).await?;
    let texts = |row: Vec<Option<String>>| {
        let cells: Option<Vec<String>> = row.into_iter().collect();
        cells.and_then(|cells| <[String; 6]>::try_from(cells).ok()).unwrap_or_default()
    };
    Ok(summed(&rows.into_iter().map(texts).collect::<Vec<_>>()))
}

/// Inside the load transaction: puts the rows in the place of those that were put aside before. One that was discarded stays so.
pub async fn replace(db: &mut Db, of: RowsOf<'_>, rows: &[BadRow]) -> Result<()> {
    let whose = "job = $1 AND interval_start = $2 AND interval_end = $3";
    let discarded = match rows.is_empty() {
        true => Vec::new(),
        false => {
            let lock = db.dialect().locking_rows();
            let sql = format!("SELECT rule, key_values, note, state FROM {{quarantine}} WHERE {whose}{lock}");
            db.fetch(&sql, of.interval).await?
        }
    };
    let notes: BTreeMap<(String, String), Option<String>> = discarded
        .into_iter()
        .filter(|row| row[3].as_deref() == Some("discarded"))
        .filter_map(|mut row| Some(((row[0].take()?, row[1].take()?), row[2].take())))
        .collect();
    db.execute(&format!("DELETE FROM {{quarantine}} WHERE {whose}"), of.interval).await?;
    let at = instant(Utc::now());
    for (chunk, some) in rows.chunks(ROWS).enumerate() {
        let (mut values, mut tuples): (Vec<Value>, Vec<String>) = (Vec::new(), Vec::new());
        for (i, row) in some.iter().enumerate() {
            let from = values.len();
            let texts = texts(row);
            let note = notes.get(&(texts[0].clone(), texts[4].clone()));
            values.extend(of.interval.iter().cloned());
            values.extend([Value::Int((chunk * ROWS + i) as i64), of.run_id.into()]);
            values.extend(texts.into_iter().map(Value::from));
            let state = if note.is_some() { "discarded" } else { "open" };
            let note = note.and_then(Option::clone).map_or(Value::Null, Value::from);
            values.extend([at.as_str().into(), state.into(), note]);
            let parameters: Vec<String> = (from + 1..=values.len()).map(|n| format!("${n}")).collect();
            tuples.push(format!("({})", parameters.join(", ")));
        }
        let sql = format!(
            "INSERT INTO {{quarantine}} (job, interval_start, interval_end, n, run_id, {COLUMNS}, quarantined_at, state, note) VALUES {}",
            tuples.join(", ")
        );
        db.execute(&sql, &values).await?;
    }
    Ok(())
}

/// How many rows of each rule and interval are put aside, newest first.
pub async fn counted(db: &mut Db, wanted: Wanted<'_>) -> Result<Vec<Counted>> {
    let (condition, values) = wanted.condition();
    let sql = format!(
        "SELECT q.job, i.label, q.interval_start, q.interval_end, q.rule, q.state, CAST(count(*) AS TEXT), \
         CAST(coalesce(max(i.rows_published), 0) AS TEXT), min(q.reason) FROM {{quarantine}} q \
         JOIN {{intervals}} i ON i.job = q.job AND i.interval_start = q.interval_start AND i.interval_end = q.interval_end \
         WHERE {condition} GROUP BY q.job, i.label, q.interval_start, q.interval_end, q.rule, q.state \
         ORDER BY q.interval_start DESC, q.job, count(*) DESC, q.rule"
    );
    let rows = db.fetch(&sql, &values).await?;
    let read = |row: Vec<Option<String>>| {
        let mut row = row.into_iter();
        let mut next = || row.next().flatten();
        Some(Counted {
            job: next()?,
            label: next()?,
            start: next()?,
            end: next()?,
            rule: next()?,
            state: next()?,
            rows: next()?.parse().ok()?,
            published: next()?.parse().ok()?,
            example: next()?,
        })
    };
    rows.into_iter().map(|row| read(row).ok_or_else(broken)).collect()
}

/// The rows themselves, interval by interval.
pub async fn rows(db: &mut Db, wanted: Wanted<'_>) -> Result<Vec<Kept>> {
    let (condition, values) = wanted.condition();
    let sql = format!(
        "SELECT q.job, i.label, q.interval_start, q.interval_end, q.run_id, q.quarantined_at, q.state, q.note, {} FROM {{quarantine}} q \
         JOIN {{intervals}} i ON i.job = q.job AND i.interval_start = q.interval_start AND i.interval_end = q.interval_end \
         WHERE {condition} ORDER BY q.interval_start, q.n",
        COLUMNS.split(", ").map(|name| format!("q.{name}")).collect::<Vec<_>>().join(", ")
    );
    let rows = db.fetch(&sql, &values).await?;
    let read = |row: Vec<Option<String>>| {
        let mut row = row.into_iter();
        let mut next = || row.next().flatten();
        Some(Kept {
            job: next()?,
            label: next()?,
            start: next()?,
            end: next()?,
            run_id: next()?,
            quarantined_at: next()?,
            state: next()?,
            note: next(),
            row: BadRow {
                rule: next()?,
                rules: serde_json::from_str(&next()?).ok()?,
                reason: next()?,
                stage: next()?,
                key: serde_json::from_str(&next()?).ok()?,
                row: serde_json::from_str(&next()?).ok()?,
            },
        })
    };
    rows.into_iter().map(|row| read(row).ok_or_else(broken)).collect()
}

fn broken() -> Error {
    Error::data("the ledger's rows that were put aside are not what any run wrote").hint("run: daymill ledger verify")
}

/// Says of open rows that nothing will be done about them; how many there were.
pub async fn discard(db: &mut Db, job: &str, wanted: Wanted<'_>, reason: &str) -> Result<u64> {
    let (condition, mut values) = wanted.condition();
    values.push(reason.into());
    let sql = format!(
        "UPDATE {{quarantine}} AS q SET state = 'discarded', note = ${} WHERE {condition} AND state = 'open'",
        values.len()
    );
    let body = json!({
        "event": DISCARDED, "at": instant(Utc::now()), "job": job, "rule": wanted.rule, "reason": reason,
        "from": wanted.span.map(|span| span.0), "to": wanted.span.map(|span| span.1),
    });
    changed(db, job, (&sql, &values), body).await
}

/// Deletes the rows of a job's intervals that end before an instant; how many there were.
pub async fn prune(db: &mut Db, job: &str, before: &str) -> Result<u64> {
    let sql = "DELETE FROM {quarantine} WHERE job = $1 AND interval_end <= $2";
    let body = json!({ "event": PRUNED, "at": instant(Utc::now()), "job": job, "before": before });
    changed(db, job, (sql, &[job.into(), before.into()]), body).await
}

/// A change with its record, or none of both.
async fn changed(db: &mut Db, job: &str, (sql, values): (&str, &[Value]), mut body: serde_json::Value) -> Result<u64> {
    db.script(db.dialect().begin()).await?;
    let done: Result<u64> = async {
        let rows = db.execute(sql, values).await?;
        if rows == 0 {
            db.script("ROLLBACK").await?;
            return Ok(0);
        }
        body["rows"] = rows.into();
        chain::commit(db, job, None, &body).await?;
        Ok(rows)
    }
    .await;
    if done.is_err() {
        let _ = db.script("ROLLBACK").await;
    }
    done.map_err(|e: Error| e.context("the quarantine is as it was"))
}

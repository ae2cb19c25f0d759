//! What the ledger knows: attempts, and for each interval which run's rows stand and how the last attempt ended.

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::verify::nonsense;
use super::{Db, Value, lock};
use crate::error::{Error, Result};
use crate::project::Project;
use crate::run_state::RunState;

/// One attempt, as the ledger shows it.
#[derive(Clone, Debug, Serialize)]
pub struct RunRow {
    pub run_id: String,
    pub job: String,
    pub interval: String,
    pub generation: i64,
    pub state: RunState,
    pub host: String,
    pub pid: i64,
    pub started_at: String,
    pub finished_at: Option<String>,
    pub rows_published: Option<i64>,
    pub content_hash: Option<String>,
    pub model: Option<String>,
    pub start: String,
    pub end: String,
    pub batch: Option<String>,
    #[serde(skip)]
    pub report: Option<String>,
}

const RUN_COLUMNS: &str = "run_id, job, label, CAST(generation AS TEXT), state, host, CAST(pid AS TEXT), started_at, finished_at, \
    CAST(rows_published AS TEXT), content_hash, model, interval_start, interval_end, batch_id, report";

/// Which attempts to list, newest first.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wanted<'a> {
    pub job: Option<&'a str>,
    /// Only those whose id begins with this.
    pub prefix: Option<&'a str>,
    pub batch: Option<&'a str>,
    pub limit: usize,
}

/// The newest attempts first. An attempt that says "running" and holds no lock is shown as abandoned.
pub async fn runs(db: &mut Db, project: &Project, target: &str, wanted: Wanted<'_>) -> Result<Vec<RunRow>> {
    let (mut filters, mut values) = (vec!["1 = 1".to_owned()], Vec::<Value>::new());
    let length = format!("substr(run_id, 1, {})", wanted.prefix.map_or(0, str::len));
    for (column, value) in [("job", wanted.job), (length.as_str(), wanted.prefix), ("batch_id", wanted.batch)] {
        if let Some(value) = value {
            values.push(value.into());
            filters.push(format!("{column} = ${}", values.len()));
        }
    }
    let sql = format!(
        "SELECT {RUN_COLUMNS} FROM {{runs}} WHERE {} ORDER BY seq DESC, run_id DESC LIMIT {}",
        filters.join(" AND "),
        wanted.limit
    );
    let mut runs = Vec::new();
    for row in db.fetch(&sql, &values).await? {
        let mut run = run_row(row)?;
        if run.state == RunState::Running
            && !lock::is_held(db, project, target, &run.job, (&run.start, &run.end)).await?
        {
            run.state = RunState::Abandoned;
        }
        runs.push(run);
    }
    Ok(runs)
}

fn run_row(row: Vec<Option<String>>) -> Result<RunRow> {
    let mut cells = row.into_iter();
    let mut next = || cells.next().flatten();
    Ok(RunRow {
        run_id: next().unwrap_or_default(),
        job: next().unwrap_or_default(),
        interval: next().unwrap_or_default(),
        generation: next().and_then(|t| t.parse().ok()).unwrap_or_default(),
        state: known_state(next())?,
        host: next().unwrap_or_default(),
        pid: next().and_then(|t| t.parse().ok()).unwrap_or_default(),
        started_at: next().unwrap_or_default(),
        finished_at: next(),
        rows_published: next().and_then(|t| t.parse().ok()),
        content_hash: next(),
        model: next(),
        start: next().unwrap_or_default(),
        end: next().unwrap_or_default(),
        batch: next(),
        report: next(),
    })
}

fn known_state(text: Option<String>) -> Result<RunState> {
    let text = text.unwrap_or_default();
    RunState::named(&text).ok_or_else(|| nonsense(&format!("an attempt in the state {text:?}")))
}

/// The state of an attempt, when the ledger knows it.
pub async fn state(db: &mut Db, run_id: &str) -> Result<Option<RunState>> {
    let rows = db.fetch("SELECT state FROM {runs} WHERE run_id = $1", &[run_id.into()]).await?;
    rows.into_iter().next().map(|mut row| known_state(row.remove(0))).transpose()
}

/// The reports of the runs whose rows stand, of intervals that begin in a span; with where each interval begins.
pub async fn reports(db: &mut Db, job: &str, (from, to): (&str, &str)) -> Result<Vec<(String, String)>> {
    let sql = "SELECT i.interval_start, r.report FROM {intervals} i JOIN {runs} r ON r.run_id = i.run_id \
               WHERE i.job = $1 AND i.interval_start >= $2 AND i.interval_start < $3 AND r.report IS NOT NULL";
    let rows = db.fetch(sql, &[job.into(), from.into(), to.into()]).await?;
    Ok(rows.into_iter().filter_map(|mut row| Some((row[0].take()?, row[1].take()?))).collect())
}

/// One interval of a job.
#[derive(Clone, Debug)]
pub struct IntervalRow {
    pub start: DateTime<Utc>,
    pub end: DateTime<Utc>,
    pub label: String,
    /// The run whose rows stand.
    pub published: Option<Published>,
    /// How the newest attempt ended: `succeeded`, `skipped`, `failed`, `interrupted`, `fenced`, `running`, `abandoned`.
    pub state: RunState,
    /// The newest attempt.
    pub attempt: String,
    /// Where the newest attempt began in the chain.
    pub attempt_seq: i64,
    pub error: Option<String>,
    /// Of the last run that looked at the sources, as JSON; empty when the ledger was older than fingerprints.
    pub fingerprint: String,
    pub inputs: String,
}

#[derive(Clone, Debug)]
pub struct Published {
    pub run_id: String,
    pub rows: u64,
    pub rows_read: u64,
    pub content_hash: String,
    pub at: String,
    pub millis: u64,
    pub table: String,
    /// As JSON.
    pub columns: String,
}

/// The intervals of a job that the ledger knows, in order: all of them, or those that reach into a span.
pub async fn intervals(
    db: &mut Db,
    project: &Project,
    target: &str,
    job: &str,
    span: Option<(DateTime<Utc>, DateTime<Utc>)>,
) -> Result<Vec<IntervalRow>> {
    let mut values: Vec<Value> = vec![job.into()];
    let within = span.map_or("", |(from, to)| {
        values.extend([crate::interval::instant(from).into(), crate::interval::instant(to).into()]);
        "AND i.interval_end > $2 AND i.interval_start < $3"
    });
    let sql = format!(
        "SELECT i.interval_start, i.interval_end, i.label, i.run_id, CAST(i.rows_published AS TEXT), i.content_hash, \
             i.published_at, CAST(i.millis AS TEXT), i.fingerprint, i.inputs, CAST(i.rows_read AS TEXT), r.state, \
             CASE WHEN r.state IN ('failed', 'interrupted', 'fenced') THEN r.report END, r.run_id, i.table_name, i.columns, CAST(r.seq AS TEXT) \
             FROM {{intervals}} i LEFT JOIN {{runs}} r ON r.job = i.job AND r.interval_start = i.interval_start \
             AND r.interval_end = i.interval_end AND r.generation = i.generation \
             WHERE i.job = $1 {within} ORDER BY i.interval_start"
    );
    let rows = db.fetch(&sql, &values).await?;
    let mut found = Vec::with_capacity(rows.len());
    for row in rows {
        let text = |i: usize| row[i].clone().unwrap_or_default();
        let number = |i: usize| text(i).parse::<u64>().unwrap_or_default();
        let instant = |i: usize| {
            text(i).parse::<DateTime<Utc>>().map_err(|_| {
                Error::data(format!(
                    "the ledger is not whole: its interval {} of {job} begins or ends at {:?}, which is no time",
                    text(2),
                    text(i)
                ))
                .hint("run: daymill ledger verify")
            })
        };
        // An attempt that the ledger has lost told no end.
        let mut state = row[11].clone().map_or(Ok(RunState::Abandoned), |text| known_state(Some(text)))?;
        if state == RunState::Running && !lock::is_held(db, project, target, job, (&text(0), &text(1))).await? {
            state = RunState::Abandoned;
        }
        let report = row[12].as_deref().and_then(|r| serde_json::from_str::<serde_json::Value>(r).ok());
        found.push(IntervalRow {
            start: instant(0)?,
            end: instant(1)?,
            label: text(2),
            published: row[3].clone().map(|run_id| Published {
                run_id,
                rows: number(4),
                rows_read: number(10),
                content_hash: text(5),
                at: text(6),
                millis: number(7),
                table: text(14),
                columns: text(15),
            }),
            state,
            attempt: text(13),
            attempt_seq: text(16).parse().unwrap_or_default(),
            fingerprint: text(8),
            inputs: text(9),
            error: report.and_then(|r| Some(r["error"].as_str()?.to_owned())),
        });
    }
    Ok(found)
}

//! The ledger: runs and intervals, in the warehouse itself, committed together with the rows they speak of.
//! Also the lock of an interval, which dies with the process that holds it.

pub mod db;

use std::fs::{File, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};

use chrono::Utc;
use serde::Serialize;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection, SqliteConnection};

pub use db::{Db, Value};

use crate::error::{Class, Error, Result};
use crate::identifier::Identifier;
use crate::interval::{Interval, instant};
use crate::project::{Project, Target};

/// Schema changes, in order; each only adds.
const MIGRATIONS: [&str; 1] = [include_str!("../../sql/ledger/0001.sql")];

/// Who runs.
#[derive(Clone, Debug, Serialize)]
pub struct Holder {
    pub host: String,
    pub pid: u32,
}

impl Holder {
    pub fn this_process() -> Holder {
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").ok().or_else(|| std::env::var("HOSTNAME").ok());
        Holder { host: host.map_or_else(|| "unknown".into(), |h| h.trim().to_owned()), pid: std::process::id() }
    }
}

/// One attempt, as the ledger shows it.
#[derive(Clone, Debug, Serialize)]
pub struct RunRow {
    pub run_id: String,
    pub job: String,
    pub interval: String,
    pub generation: i64,
    pub state: String,
    pub host: String,
    pub pid: i64,
    pub started_at: String,
    pub finished_at: Option<String>,
    pub rows_published: Option<i64>,
    pub content_hash: Option<String>,
    pub model: Option<String>,
    #[serde(skip)]
    pub start: String,
    #[serde(skip)]
    pub end: String,
    #[serde(skip)]
    pub report: Option<String>,
}

/// What a run records when it starts.
pub struct Start<'a> {
    pub run_id: &'a str,
    pub job: &'a str,
    pub interval: &'a Interval,
    pub model: Option<&'a str>,
}

/// What a run records when it ends.
pub struct End<'a> {
    pub state: &'a str,
    pub rows: u64,
    pub content_hash: &'a str,
    pub report: String,
}

/// Opens the warehouse of a target. The ledger is made when it is not there.
pub async fn open(project: &Project, target: &str, application: &str) -> Result<Db> {
    let mut db = connect(project, target, application, true).await?;
    migrate(&mut db).await?;
    Ok(db)
}

/// Opens the warehouse for reading only: nothing is made. `None` when there is no warehouse or no ledger yet.
pub async fn open_to_read(project: &Project, target: &str) -> Result<Option<Db>> {
    if let Some(Target::Sqlite { path }) = project.targets.get(target)
        && !path.exists()
    {
        return Ok(None);
    }
    let mut db = connect(project, target, "daymill/read", false).await?;
    Ok(if version(&mut db).await? > 0 { Some(db) } else { None })
}

pub async fn connect(project: &Project, target: &str, application: &str, create: bool) -> Result<Db> {
    match &project.targets[target] {
        Target::Postgres { connection, schema } => {
            let dsn = project.connection(connection)?.resolve()?;
            let schema = Identifier::new(schema)?;
            Ok(Db::Postgres { connection: crate::postgres::connect(&dsn, application).await?, schema })
        }
        Target::Sqlite { path } => {
            if let (true, Some(folder)) = (create, path.parent()) {
                std::fs::create_dir_all(folder).map_err(|e| Error::io(folder, "create", &e))?;
            }
            let options = SqliteConnectOptions::new()
                .filename(path)
                .create_if_missing(create)
                .read_only(!create)
                .busy_timeout(std::time::Duration::from_secs(60))
                .synchronous(SqliteSynchronous::Full)
                .disable_statement_logging();
            let options = if create { options.journal_mode(SqliteJournalMode::Wal) } else { options };
            let connection = SqliteConnection::connect_with(&options).await;
            Ok(Db::Sqlite(
                connection.map_err(|e| db::sqlite_error(&e).context(format!("cannot open {}", path.display())))?,
            ))
        }
    }
}

/// The version of the ledger's schema; 0 when there is none.
async fn version(db: &mut Db) -> Result<usize> {
    let exists = match db.is_postgres() {
        true => "SELECT to_regclass('daymill.migrations')::text",
        false => "SELECT name FROM sqlite_master WHERE name = 'daymill_migrations'",
    };
    if !matches!(db.fetch(exists, &[]).await?.first(), Some(row) if row[0].is_some()) {
        return Ok(0);
    }
    let rows = db.fetch("SELECT CAST(MAX(version) AS TEXT) FROM {migrations}", &[]).await?;
    Ok(rows.first().and_then(|row| row[0].as_ref()?.parse().ok()).unwrap_or(0))
}

async fn migrate(db: &mut Db) -> Result<()> {
    let have = version(db).await?;
    if have > MIGRATIONS.len() {
        return Err(Error::config(format!(
            "the ledger has version {have}, and this Daymill knows {}",
            MIGRATIONS.len()
        ))
        .hint("use a newer Daymill"));
    }
    if have == MIGRATIONS.len() {
        return Ok(());
    }
    // Two first runs at once: the second waits and finds the work done.
    match db.is_postgres() {
        true => db.script("BEGIN; SELECT pg_advisory_xact_lock(7237117, 1)").await?,
        false => db.script("BEGIN IMMEDIATE").await?,
    }
    let applied = async {
        // CREATE SCHEMA IF NOT EXISTS asks for a right on the database even when the schema is there.
        if db.is_postgres()
            && db.fetch("SELECT to_regnamespace('daymill')::text", &[]).await?.iter().all(|row| row[0].is_none())
        {
            db.script("CREATE SCHEMA daymill").await?;
        }
        for (number, migration) in MIGRATIONS.iter().enumerate().skip(version(db).await?) {
            db.script(migration).await?;
            db.execute(
                "INSERT INTO {migrations} (version, applied_at) VALUES ($1, $2)",
                &[(number as i64 + 1).into(), instant(Utc::now()).into()],
            )
            .await?;
        }
        Ok(())
    }
    .await;
    db.script(if applied.is_ok() { "COMMIT" } else { "ROLLBACK" }).await?;
    applied.map_err(|e: Error| e.context("cannot make the ledger"))
}

/// Holds an interval of a job until it is dropped or the process dies.
pub enum Lock {
    /// An advisory lock of the session that will load: it goes when the session goes.
    Session,
    File(#[allow(dead_code, reason = "held for its lock")] File),
}

/// Takes the interval, or says who has it.
pub async fn lock(db: &mut Db, project: &Project, target: &str, job: &str, interval: &Interval) -> Result<Lock> {
    let (class, object) = lock_key(job, interval);
    match &project.targets[target] {
        Target::Postgres { .. } => {
            let sql = format!("SELECT pg_try_advisory_lock({class}, {object})::text");
            if db.fetch(&sql, &[]).await?.first().is_some_and(|row| row[0].as_deref() == Some("true")) {
                return Ok(Lock::Session);
            }
            let sql = format!(
                "SELECT a.application_name, a.backend_start::text FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid \
                 WHERE l.locktype = 'advisory' AND l.granted AND l.classid::bigint = {} AND l.objid::bigint = {}",
                class as u32, object as u32
            );
            let holder = db.fetch(&sql, &[]).await?;
            let who = holder
                .first()
                .map(|row| format!("{}, since {}", row[0].as_deref().unwrap_or("?"), row[1].as_deref().unwrap_or("?")));
            Err(locked(job, interval, who))
        }
        Target::Sqlite { path } => {
            let file = lock_file(path, job, interval)?;
            let opened = File::options().create(true).read(true).write(true).truncate(false).open(&file);
            let mut handle = opened.map_err(|e| Error::io(&file, "open the lock", &e))?;
            match handle.try_lock() {
                Ok(()) => {
                    let holder = Holder::this_process();
                    let text = format!("{}, pid {}, since {}\n", holder.host, holder.pid, instant(Utc::now()));
                    handle
                        .set_len(0)
                        .and_then(|()| handle.write_all(text.as_bytes()))
                        .map_err(|e| Error::io(&file, "write", &e))?;
                    Ok(Lock::File(handle))
                }
                Err(TryLockError::WouldBlock) => {
                    let mut who = String::new();
                    let _ = handle.rewind().and_then(|()| handle.read_to_string(&mut who));
                    Err(locked(job, interval, Some(who.trim().to_owned()).filter(|w| !w.is_empty())))
                }
                Err(TryLockError::Error(e)) => Err(Error::io(&file, "lock", &e)),
            }
        }
    }
}

fn locked(job: &str, interval: &Interval, who: Option<String>) -> Error {
    let who = who.unwrap_or_else(|| "another process".into());
    Error::new(Class::Locked, format!("{job} {} is being run by {who}", interval.label()))
        .hint("it is safe to try again later")
}

/// Two 32-bit numbers that stand for a job's interval.
fn lock_key(job: &str, interval: &Interval) -> (i32, i32) {
    let name = format!("{job}\0{}\0{}", instant(interval.start), instant(interval.end));
    let key = crate::digest::key(name.as_bytes());
    (key as i32, (key >> 32) as i32)
}

fn lock_file(database: &Path, job: &str, interval: &Interval) -> Result<PathBuf> {
    let mut folder = database.as_os_str().to_owned();
    folder.push(".locks");
    let folder = PathBuf::from(folder);
    std::fs::create_dir_all(&folder).map_err(|e| Error::io(&folder, "create", &e))?;
    let (class, object) = lock_key(job, interval);
    Ok(folder.join(format!("{job}-{:08x}{:08x}", class as u32, object as u32)))
}

/// Whether some process holds the interval now.
pub async fn is_locked(db: &mut Db, project: &Project, target: &str, row: &RunRow) -> Result<bool> {
    let key = crate::digest::key(format!("{}\0{}\0{}", row.job, row.start, row.end).as_bytes());
    let (class, object) = (key as u32, (key >> 32) as u32);
    match &project.targets[target] {
        Target::Postgres { .. } => {
            let sql = format!(
                "SELECT count(*)::text FROM pg_locks WHERE locktype = 'advisory' AND granted AND classid::bigint = {class} AND objid::bigint = {object}"
            );
            Ok(db.fetch(&sql, &[]).await?.first().is_some_and(|r| r[0].as_deref() != Some("0")))
        }
        Target::Sqlite { path } => {
            let mut folder = path.as_os_str().to_owned();
            folder.push(".locks");
            let file = PathBuf::from(folder).join(format!("{}-{class:08x}{object:08x}", row.job));
            Ok(File::open(file).is_ok_and(|f| matches!(f.try_lock_shared(), Err(TryLockError::WouldBlock))))
        }
    }
}

/// Begins an attempt: the next generation, and a row that says "running". Rows that still say so for this interval
/// belong to dead processes, since this one holds the lock.
pub async fn start(db: &mut Db, start: &Start<'_>) -> Result<i64> {
    let holder = Holder::this_process();
    let interval = [start.job.into(), instant(start.interval.start).into(), instant(start.interval.end).into()];
    db.script(if db.is_postgres() { "BEGIN" } else { "BEGIN IMMEDIATE" }).await?;
    let begun = async {
        db.execute(
            "UPDATE {runs} SET state = 'abandoned' WHERE job = $1 AND interval_start = $2 AND interval_end = $3 AND state = 'running'",
            &interval,
        ).await?;
        let label: Value = start.interval.label().into();
        db.execute(
            "INSERT INTO {intervals} AS i (job, interval_start, interval_end, label, generation) VALUES ($1, $2, $3, $4, 1) \
             ON CONFLICT (job, interval_start, interval_end) DO UPDATE SET generation = i.generation + 1",
            &[&interval[..], std::slice::from_ref(&label)].concat(),
        ).await?;
        let rows = db.fetch("SELECT CAST(generation AS TEXT) FROM {intervals} WHERE job = $1 AND interval_start = $2 AND interval_end = $3", &interval).await?;
        let generation: i64 = rows.first().and_then(|row| row[0].as_ref()?.parse().ok()).ok_or_else(|| Error::defect("the ledger has no generation"))?;
        let model = start.model.map_or(Value::Null, Value::from);
        db.execute(
            "INSERT INTO {runs} (job, interval_start, interval_end, label, run_id, generation, state, host, pid, started_at, model) \
             VALUES ($1, $2, $3, $4, $5, $6, 'running', $7, $8, $9, $10)",
            &[&interval[..], &[label, start.run_id.into(), generation.into(), holder.host.into(), i64::from(holder.pid).into(), instant(Utc::now()).into(), model]].concat(),
        ).await?;
        Ok(generation)
    }
    .await;
    db.script(if begun.is_ok() { "COMMIT" } else { "ROLLBACK" }).await?;
    begun
}

/// Inside the load transaction: this attempt must still be the newest of its interval.
pub async fn fence(db: &mut Db, job: &str, interval: &Interval, generation: i64) -> Result<()> {
    let lock = if db.is_postgres() { " FOR UPDATE" } else { "" };
    let sql = format!(
        "SELECT CAST(generation AS TEXT) FROM {{intervals}} WHERE job = $1 AND interval_start = $2 AND interval_end = $3{lock}"
    );
    let rows = db.fetch(&sql, &[job.into(), instant(interval.start).into(), instant(interval.end).into()]).await?;
    let now: Option<i64> = rows.first().and_then(|row| row[0].as_ref()?.parse().ok());
    if now == Some(generation) {
        return Ok(());
    }
    Err(Error::new(Class::Fenced, format!("{job} {}: a newer run took this interval over", interval.label()))
        .hint("the newer run's result stands; this one wrote nothing"))
}

/// Inside the load transaction: the record of success.
pub async fn succeed(db: &mut Db, start: &Start<'_>, end: &End<'_>) -> Result<()> {
    finish(db, start.run_id, end).await?;
    db.execute(
        "UPDATE {intervals} SET run_id = $1, rows_published = $2, content_hash = $3, published_at = $4 \
         WHERE job = $5 AND interval_start = $6 AND interval_end = $7",
        &[
            start.run_id.into(),
            (end.rows as i64).into(),
            end.content_hash.into(),
            instant(Utc::now()).into(),
            start.job.into(),
            instant(start.interval.start).into(),
            instant(start.interval.end).into(),
        ],
    )
    .await?;
    Ok(())
}

/// The end of an attempt that published nothing, or the first half of one that did.
pub async fn finish(db: &mut Db, run_id: &str, end: &End<'_>) -> Result<()> {
    db.execute(
        "UPDATE {runs} SET state = $1, finished_at = $2, rows_published = $3, content_hash = $4, report = $5 WHERE run_id = $6",
        &[end.state.into(), instant(Utc::now()).into(), (end.rows as i64).into(), end.content_hash.into(), end.report.clone().into(), run_id.into()],
    ).await?;
    Ok(())
}

/// The state of an attempt, when the ledger knows it.
pub async fn state(db: &mut Db, run_id: &str) -> Result<Option<String>> {
    let rows = db.fetch("SELECT state FROM {runs} WHERE run_id = $1", &[run_id.into()]).await?;
    Ok(rows.into_iter().next().and_then(|mut row| row.remove(0)))
}

const RUN_COLUMNS: &str = "run_id, job, label, CAST(generation AS TEXT), state, host, CAST(pid AS TEXT), started_at, finished_at, \
    CAST(rows_published AS TEXT), content_hash, model, interval_start, interval_end, report";

/// The newest attempts first. An attempt that says "running" and holds no lock is shown as abandoned.
pub async fn runs(
    db: &mut Db,
    project: &Project,
    target: &str,
    job: Option<&str>,
    limit: usize,
) -> Result<Vec<RunRow>> {
    let filter = if job.is_some() { "WHERE job = $1" } else { "" };
    let sql = format!("SELECT {RUN_COLUMNS} FROM {{runs}} {filter} ORDER BY run_id DESC LIMIT {limit}");
    let values: Vec<Value> = job.iter().map(|j| (*j).into()).collect();
    read_runs(db, project, target, &sql, &values).await
}

/// The attempts whose id begins with `prefix`.
pub async fn runs_like(db: &mut Db, project: &Project, target: &str, prefix: &str) -> Result<Vec<RunRow>> {
    let sql = format!(
        "SELECT {RUN_COLUMNS} FROM {{runs}} WHERE substr(run_id, 1, {}) = $1 ORDER BY run_id DESC LIMIT 3",
        prefix.len()
    );
    read_runs(db, project, target, &sql, &[prefix.into()]).await
}

async fn read_runs(db: &mut Db, project: &Project, target: &str, sql: &str, values: &[Value]) -> Result<Vec<RunRow>> {
    let mut runs = Vec::new();
    for row in db.fetch(sql, values).await? {
        let mut cells = row.into_iter();
        let mut next = || cells.next().flatten();
        let mut run = RunRow {
            run_id: next().unwrap_or_default(),
            job: next().unwrap_or_default(),
            interval: next().unwrap_or_default(),
            generation: next().and_then(|t| t.parse().ok()).unwrap_or_default(),
            state: next().unwrap_or_default(),
            host: next().unwrap_or_default(),
            pid: next().and_then(|t| t.parse().ok()).unwrap_or_default(),
            started_at: next().unwrap_or_default(),
            finished_at: next(),
            rows_published: next().and_then(|t| t.parse().ok()),
            content_hash: next(),
            model: next(),
            start: next().unwrap_or_default(),
            end: next().unwrap_or_default(),
            report: next(),
        };
        if run.state == "running" && !is_locked(db, project, target, &run).await? {
            run.state = "abandoned".into();
        }
        runs.push(run);
    }
    Ok(runs)
}

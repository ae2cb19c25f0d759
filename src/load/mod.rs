//! Load: replaces exactly one job's interval in a warehouse table, in one transaction with the ledger's record.
//!
//! The order, the same for every warehouse: lock the interval; write rows where no reader sees them; when every row
//! has come and every gate has passed: check that this attempt is still the newest, delete the interval's old rows,
//! publish the new ones, record success, commit.

pub mod postgres;
pub mod preflight;
pub mod sqlite;
pub mod table;

use arrow::array::RecordBatch;

use crate::error::{Class, Error, Result};
use crate::interval::Interval;
use crate::ledger::{self, Db, End, Lock, Start};
use crate::postgres::encode::{Encoded, Tail};
use crate::project::Project;
use table::TableSchema;

/// How rows reach the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Path {
    /// Straight into the table, inside the one transaction.
    Direct,
    /// Into a private staging table first; shards need it, and so does SQLite, whose writers exclude each other.
    Staged,
}

/// How long a session whose COMMIT went unanswered may take to end.
const SETTLE_PATIENCE: std::time::Duration = std::time::Duration::from_secs(10);

/// One attempt at one interval, from its lock to its commit.
pub struct Load {
    db: Db,
    #[allow(dead_code, reason = "held until the load ends")]
    lock: Lock,
    project: std::sync::Arc<Project>,
    target: String,
    run_id: String,
    job: String,
    interval: Interval,
    model: Option<String>,
    generation: i64,
    table: Option<TableSchema>,
    path: Path,
    writing: bool,
}

/// `name@version`, taken apart.
pub fn model_parts(label: &str) -> Option<(&str, i64)> {
    let (name, version) = label.rsplit_once('@')?;
    Some((name, version.parse().ok()?))
}

/// What a load is for.
pub struct Attempt<'a> {
    pub project: &'a std::sync::Arc<Project>,
    pub target: &'a str,
    pub run_id: &'a str,
    pub job: &'a str,
    pub interval: &'a Interval,
    pub model: Option<&'a str>,
    pub path: Option<Path>,
}

impl Load {
    /// Connects, takes the lock and records the attempt.
    pub async fn begin(attempt: Attempt<'_>) -> Result<Load> {
        let Attempt { project, target, run_id, job, interval, model, path } = attempt;
        let holder = ledger::Holder::this_process();
        let application = format!("daymill/{}:{}/{job}/{}", holder.host, holder.pid, interval.label());
        let mut db = ledger::open(project, target, &application).await?;
        let lock = ledger::lock(&mut db, project, target, job, interval).await?;
        let generation = ledger::start(&mut db, &Start { run_id, job, interval, model }).await?;
        let path = if db.is_postgres() { path.unwrap_or(Path::Direct) } else { Path::Staged };
        Ok(Load {
            db,
            lock,
            project: project.clone(),
            target: target.to_owned(),
            run_id: run_id.to_owned(),
            job: job.to_owned(),
            interval: interval.clone(),
            model: model.map(str::to_owned),
            generation,
            table: None,
            path,
            writing: false,
        })
    }

    /// The constant fields of every row of this run, as the encoder appends them.
    pub fn tail(&self, model: Option<(&str, i64)>) -> Tail {
        table::tail(&self.interval, &self.run_id, model)
    }

    /// Checks an existing table against the schema before any row is made, and the job's claim to it.
    pub async fn prepare(&mut self, schema: TableSchema) -> Result<()> {
        table::require_owner(&mut self.db, &schema.name, &self.job).await?;
        let existing = table::existing(&mut self.db, &schema.name).await?;
        schema.agrees_with(&existing)?;
        self.table = Some(schema);
        Ok(())
    }

    fn table(&self) -> Result<TableSchema> {
        self.table.clone().ok_or_else(|| Error::defect("the load was not prepared"))
    }

    /// Takes the next rows. Nothing is visible until [`Load::commit`].
    pub async fn write(&mut self, batch: &RecordBatch, encoded: &Encoded) -> Result<()> {
        let table = self.table()?;
        if !self.writing {
            self.open_writer(&table).await?;
            self.writing = true;
        }
        let path = self.path;
        match &mut self.db {
            Db::Postgres { connection, schema } => {
                postgres::copy(connection, &table, &postgres::destination(&table, schema, path), &encoded.bytes).await
            }
            Db::Sqlite(connection) => sqlite::stage(connection, &table, batch).await,
        }
    }

    async fn open_writer(&mut self, table: &TableSchema) -> Result<()> {
        match (self.db.is_postgres(), self.path) {
            (true, Path::Direct) => {
                self.db.script("BEGIN").await?;
                self.replace_old(table).await
            }
            (true, Path::Staged) => {
                let columns = table.definitions(true).join(", ");
                self.db.script(&format!("CREATE TEMPORARY TABLE IF NOT EXISTS daymill_staging ({columns}); TRUNCATE pg_temp.daymill_staging")).await
            }
            (false, _) => {
                self.db
                    .script(&format!(
                        "DROP TABLE IF EXISTS temp.daymill_staging; CREATE TEMPORARY TABLE daymill_staging ({})",
                        table.row_definitions().join(", ")
                    ))
                    .await
            }
        }
    }

    /// Inside the transaction: make the table if it is new, check the fence, delete the interval's old rows.
    async fn replace_old(&mut self, table: &TableSchema) -> Result<()> {
        ledger::fence(&mut self.db, &self.job, &self.interval, self.generation).await?;
        table.create(&mut self.db, &self.job).await?;
        let published = self.db.published(&table.name);
        let start = table::interval_literal(&self.interval, self.db.is_postgres());
        self.db.script(&format!("DELETE FROM {published} WHERE interval_start = {start}")).await
    }

    /// Publishes what was written, with its record, or nothing at all.
    pub async fn commit(mut self, end: &End<'_>) -> Result<()> {
        let table = self.table()?;
        let published = self.publish(&table, end).await;
        if let Err(error) = published {
            let _ = self.db.script("ROLLBACK").await;
            return Err(self.fail(error).await);
        }
        fail::fail_point!("before-commit");
        if let Err(error) = self.send_commit().await {
            return self.settle(error, end).await;
        }
        fail::fail_point!("after-commit");
        self.db.close().await;
        Ok(())
    }

    async fn send_commit(&mut self) -> Result<()> {
        self.db.script("COMMIT").await?;
        fail::fail_point!("commit-answer-lost", |_| Err(Error::new(
            Class::Unavailable,
            "the connection failed during COMMIT"
        )));
        Ok(())
    }

    async fn publish(&mut self, table: &TableSchema, end: &End<'_>) -> Result<()> {
        match (self.db.is_postgres(), self.path, self.writing) {
            (true, Path::Direct, true) => {}
            (true, _, false) => {
                self.db.script("BEGIN").await?;
                self.replace_old(table).await?;
            }
            (true, Path::Staged, true) => {
                self.db.script("BEGIN").await?;
                self.replace_old(table).await?;
                let (published, columns) = (self.db.published(&table.name), table.column_list());
                self.db
                    .script(&format!(
                        "INSERT INTO {published} ({columns}) SELECT {columns} FROM pg_temp.daymill_staging"
                    ))
                    .await?;
            }
            (false, _, writing) => {
                self.db.script("BEGIN IMMEDIATE").await?;
                self.replace_old(table).await?;
                if writing {
                    let model = self.model.as_deref().and_then(model_parts);
                    sqlite::publish(&mut self.db, table, &self.interval, &self.run_id, model).await?;
                }
            }
        }
        let start =
            Start { run_id: &self.run_id, job: &self.job, interval: &self.interval, model: self.model.as_deref() };
        fail::fail_point!("before-ledger");
        ledger::succeed(&mut self.db, &start, end).await
    }

    /// The answer to COMMIT never came. Wait until the old session is gone, which settles it, and ask the ledger on a
    /// new connection; never commit again.
    async fn settle(self, error: Error, end: &End<'_>) -> Result<()> {
        if !error.transient && error.class != Class::Unavailable {
            return Err(self.fail(error).await);
        }
        let Load { db, lock, project, target, run_id, job, interval, .. } = self;
        db.close().await;
        drop(lock);
        let asked = async {
            fail::fail_point!("settle", |_| Err(Error::new(Class::Unavailable, "the server is gone")));
            let mut db = ledger::open(&project, &target, "daymill/settle").await?;
            let patience = std::time::Instant::now();
            let lock = loop {
                match ledger::lock(&mut db, &project, &target, &job, &interval).await {
                    Err(e) if e.class == Class::Locked && patience.elapsed() < SETTLE_PATIENCE => {
                        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                    }
                    other => break other?,
                }
            };
            let state = ledger::state(&mut db, &run_id).await?;
            db.close().await;
            drop(lock);
            Ok::<_, Error>(state)
        };
        match asked.await {
            Ok(state) if state.as_deref() == Some(end.state) => Ok(()),
            Ok(_) => Err(error.transient()),
            Err(cause) => Err(Error::new(
                Class::InDoubt,
                format!(
                    "{job} {}: the connection died during COMMIT, and whether it happened cannot be found out",
                    interval.label()
                ),
            )
            .cause(&error)
            .cause(cause)
            .hint("run the same command again: it replaces the interval, so it is safe either way")),
        }
    }

    /// Rolls back and records how the attempt ended. The error is what ended it.
    pub async fn fail(self, error: Error) -> Error {
        let state = match error.class {
            Class::Interrupted | Class::Terminated => "interrupted",
            Class::Fenced => "fenced",
            _ => "failed",
        };
        let report = serde_json::json!({ "error": crate::project::secrets::redact(&error.to_string()), "class": error.class.name() }).to_string();
        self.end(state, &report).await;
        error
    }

    /// Rolls back and records a state other than success.
    pub async fn end(mut self, state: &str, report: &str) {
        let _ = self.db.script("ROLLBACK").await;
        let end = End { state, rows: 0, content_hash: "", report: report.to_owned() };
        // Nothing was published; a ledger that cannot be told shows the attempt as abandoned.
        let _ = ledger::finish(&mut self.db, &self.run_id, &end).await;
        self.db.close().await;
    }
}

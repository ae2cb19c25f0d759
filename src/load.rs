//! Load: replaces exactly one job's interval in a warehouse table, in one transaction with the ledger's record.
//!
//! The order, the same for every warehouse: lock the interval; write rows where no reader sees them; when every row
//! has come and every gate has passed: check that this attempt is still the newest, delete the interval's old rows,
//! publish the new ones, record success, commit.

use std::sync::Arc;
use std::time::Duration;

use crate::error::{Class, Error, Result};
use crate::failpoints;
use crate::interval::instant;
use crate::ledger::chain::Head;
use crate::ledger::profiles::IntervalProfile;
use crate::ledger::{self, AttemptId, Db, End, Lock, claim, record};
use crate::project::Project;
use crate::rows::Lineage;
use crate::run_state::RunState;
use crate::warehouse::table::TableSchema;
use crate::warehouse::{self, Expected, LoadPath, Rows, Step, Warehouse};

/// How long a session whose COMMIT went unanswered may take to end.
const SETTLE_PATIENCE: Duration = Duration::from_secs(10);
/// How long a failed attempt may take to say so to the ledger; a server that is gone may never answer.
const FAREWELL_PATIENCE: Duration = Duration::from_secs(5);

/// One attempt at one interval, from its lock to its commit.
pub struct Load {
    db: Db,
    lock: Lock,
    project: Arc<Project>,
    target: String,
    id: AttemptId,
    generation: i64,
    warehouse: Box<dyn Warehouse>,
    /// What is loaded, once the table is known.
    step: Option<Step>,
}

/// What a load is for.
pub struct Attempt<'a> {
    pub project: &'a Arc<Project>,
    pub target: &'a str,
    pub id: AttemptId,
    /// The generation of this run's attempt before this one: if another run came in between, this one is overtaken.
    pub after: Option<i64>,
    pub path: Option<LoadPath>,
}

/// What a commit leaves: the end of the ledger's chain, when it is known, and a session that can be used again.
pub struct Committed {
    pub head: Option<Head>,
    pub db: Option<Db>,
    pub warnings: Vec<String>,
}

impl Load {
    /// Takes the lock and records the attempt, on the session in `db` or on a new one. A session that found the
    /// interval locked is left in `db`.
    pub async fn begin(db: &mut Option<Db>, attempt: Attempt<'_>) -> Result<Load> {
        let Attempt { project, target, id, after, path } = attempt;
        let tables = warehouse::of(project, target);
        let mut session = match db.take() {
            Some(session) => session,
            None => {
                let mut session = ledger::open(project, target, "daymill").await?;
                tables.recover(&mut session).await?;
                session
            }
        };
        let lock = match ledger::lock::take(&mut session, project, target, &id.job, &id.interval).await {
            Err(error) if error.class == Class::Locked => {
                *db = Some(session);
                return Err(error);
            }
            lock => lock?,
        };
        claim::claim(&mut session, project, &id.job).await?;
        let generation = record::start(&mut session, &id, after).await?;
        tracing::debug!(target_name = target, generation, "the interval is held");
        Ok(Load {
            warehouse: tables.load(path),
            db: session,
            lock,
            project: project.clone(),
            target: target.to_owned(),
            id,
            generation,
            step: None,
        })
    }

    /// Which attempt at its interval this is.
    pub fn generation(&self) -> i64 {
        self.generation
    }

    /// The lineage of the rows of this run, once the table is known.
    pub fn lineage(&self, model: Option<(String, i64)>) -> Lineage {
        let interval = &self.id.interval;
        let dated = self.step.as_ref().is_none_or(|step| step.table.dated);
        Lineage {
            interval_start: interval.start,
            interval_date: dated.then(|| interval.date()),
            model,
            run_id: self.id.run_id.clone(),
        }
    }

    /// Checks an existing table against the schema before any row is made, and the job's claim to it.
    pub async fn prepare(&mut self, table: TableSchema) -> Result<()> {
        claim::require_table(&mut self.db, &table.name, &self.id.job).await?;
        let mut step = Step { id: self.id.clone(), generation: self.generation, table };
        self.warehouse.prepare(&mut self.db, &mut step).await?;
        self.step = Some(step);
        Ok(())
    }

    /// Takes the next rows. Nothing is visible until [`Load::commit`].
    pub async fn write(&mut self, rows: Rows<'_>) -> Result<()> {
        let step = self.step.as_ref().ok_or_else(unprepared)?;
        tracing::trace!(rows = rows.batch.num_rows(), "a batch is written");
        self.warehouse.write(&mut self.db, step, rows).await
    }

    /// A few keys that stand on more than one of the rows written, for a message.
    pub async fn repeated(&mut self) -> Result<Vec<String>> {
        let step = self.step.as_ref().ok_or_else(unprepared)?;
        self.warehouse.repeated(&mut self.db, step).await
    }

    /// The profiles of a column in the job's published intervals that begin in a span, as the ledger writes instants.
    pub async fn profiles(&mut self, span: (&str, &str), column: &str) -> Result<Vec<IntervalProfile>> {
        ledger::profiles::of_job(&mut self.db, &self.id.job, span, Some(column)).await
    }

    /// Those of the newest so many published intervals before this one.
    pub async fn profiles_before(&mut self, most: usize, column: &str) -> Result<Vec<IntervalProfile>> {
        let start = instant(self.id.interval.start);
        match ledger::profiles::newest(&mut self.db, &self.id.job, &start, most).await? {
            Some(from) => self.profiles((&from, &start), column).await,
            None => Ok(Vec::new()),
        }
    }

    /// Publishes what was written, with its record, or nothing at all.
    pub async fn commit(mut self, end: End<'_>) -> Result<Committed> {
        let Some(step) = self.step.take() else { return Err(unprepared()) };
        let table = &step.table;
        let end = &End { table: table.name.name().to_owned(), columns: table.own_columns(), ..end };
        if let Err(error) = self.publish(&step, end).await {
            self.step = Some(step);
            return Err(self.fail(error).await);
        }
        failpoints::at("before-commit");
        if failpoints::sabotaged("ledger-late") {
            self.db.script("COMMIT").await?;
            failpoints::at("after-commit");
            self.db.script(self.db.dialect().begin()).await?;
            record::succeed(&mut self.db, &self.id, end).await?;
        }
        let event = record::published(&self.id, self.generation, table.name.name(), end);
        let head = match self.send_commit(&event).await {
            Ok(head) => head,
            Err(error) => return self.settle(error, end).await,
        };
        tracing::debug!(table = table.name.name(), rows = end.rows, content = end.content_hash, head = %head, "committed");
        failpoints::at("after-commit");
        let Load { mut db, lock, mut warehouse, .. } = self;
        warehouse.committed(&mut db, &step, end.rows).await.map_err(|e| {
            e.context("the ledger has the rows, and readers do not see them yet: the next run of any job shows them")
        })?;
        let released = ledger::lock::release(&mut db, lock).await;
        Ok(Committed { head: Some(head), db: released.is_ok().then_some(db), warnings: warehouse.warnings() })
    }

    async fn send_commit(&mut self, event: &serde_json::Value) -> Result<Head> {
        let head = ledger::chain::commit(&mut self.db, &self.id.job, Some(&self.id.run_id), event).await?;
        fail::fail_point!("commit-answer-lost", |_| Err(Error::new(
            Class::Unavailable,
            "the connection failed during COMMIT"
        )));
        Ok(head)
    }

    async fn publish(&mut self, step: &Step, end: &End<'_>) -> Result<()> {
        let expected = Expected { rows: end.rows, content_hash: end.content_hash };
        self.warehouse.publish(&mut self.db, step, expected).await?;
        failpoints::at("before-ledger");
        if failpoints::sabotaged("ledger-late") {
            return Ok(());
        }
        record::succeed(&mut self.db, &self.id, end).await
    }

    /// The answer to COMMIT never came. Wait until the old session is gone, which settles it, and ask the ledger on a
    /// new connection; never commit again.
    async fn settle(self, error: Error, end: &End<'_>) -> Result<Committed> {
        if !error.transient && error.class != Class::Unavailable {
            return Err(self.fail(error).await);
        }
        if failpoints::sabotaged("retry-commit") {
            return Err(error.transient());
        }
        let Load { db, lock, project, target, id: AttemptId { run_id, job, interval, .. }, .. } = self;
        let backend = db.backend();
        let _ = tokio::time::timeout(FAREWELL_PATIENCE, db.close()).await;
        if let Some(backend) = backend {
            backend.end().await;
        }
        drop(lock);
        let asked = async {
            fail::fail_point!("settle", |_| Err(Error::new(Class::Unavailable, "the server is gone")));
            let mut db = ledger::open(&project, &target, "daymill/settle").await?;
            let patience = std::time::Instant::now();
            let lock = loop {
                match ledger::lock::take(&mut db, &project, &target, &job, &interval).await {
                    Err(e) if e.class == Class::Locked && patience.elapsed() < SETTLE_PATIENCE => {
                        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                    }
                    other => break other?,
                }
            };
            let state = ledger::history::state(&mut db, &run_id).await?;
            warehouse::of(&project, &target).recover(&mut db).await?;
            db.close().await;
            drop(lock);
            Ok::<_, Error>(state)
        };
        match asked.await {
            Ok(state) if state == Some(end.state) => Ok(Committed { head: None, db: None, warnings: Vec::new() }),
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
            Class::Interrupted | Class::Terminated => RunState::Interrupted,
            Class::Fenced => RunState::Fenced,
            _ => RunState::Failed,
        };
        let report = serde_json::json!({ "error": crate::project::secrets::redact(&error.to_string()), "class": error.class.name() }).to_string();
        // A session that was lost may live on at the server with its lock, which the next attempt needs.
        let lost = if error.transient { self.db.backend() } else { None };
        self.end(End { state, report, ..End::default() }).await;
        if let Some(backend) = lost {
            backend.end().await;
        }
        error
    }

    /// Rolls back and records a state other than success.
    pub async fn end(self, end: End<'_>) {
        let farewell = async {
            let mut load = self;
            let _ = load.db.script("ROLLBACK").await;
            if let Some(step) = &load.step {
                let _ = load.warehouse.abandoned(step).await;
            }
            // Nothing was published; a ledger that cannot be told shows the attempt as abandoned.
            let _ = record::end(&mut load.db, &load.id, &end, load.generation).await;
            load.db.close().await;
        };
        let _ = tokio::time::timeout(FAREWELL_PATIENCE, farewell).await;
    }
}

fn unprepared() -> Error {
    Error::defect("the load was not prepared")
}

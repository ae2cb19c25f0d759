//! Load: replaces exactly one job's interval in a warehouse table, in one transaction with the ledger's record.
//!
//! The order, the same for every warehouse: lock the interval; write rows where no reader sees them; when every row
//! has come and every gate has passed: check that this attempt is still the newest, delete the interval's old rows,
//! publish the new ones, record success, commit.

pub mod postgres;
pub mod preflight;
pub mod presence;
pub mod readback;
pub mod relation;
pub mod sqlite;
pub mod table;

use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;

use crate::error::{Class, Error, Result};
use crate::faults;
use crate::interval::{Interval, instant};
use crate::ledger::chain::Head;
use crate::ledger::{self, Db, End, Lock, Start, record};
use crate::postgres::encode::{Encoded, Tail};
use crate::project::Project;
use relation::Relation;
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
const SETTLE_PATIENCE: Duration = Duration::from_secs(10);
/// How long a failed attempt may take to say so to the ledger; a server that is gone may never answer.
const FAREWELL_PATIENCE: Duration = Duration::from_secs(5);

/// One attempt at one interval, from its lock to its commit.
pub struct Load {
    db: Db,
    lock: Lock,
    project: Arc<Project>,
    target: String,
    own: Own,
    generation: i64,
    table: Option<TableSchema>,
    path: Path,
    writing: bool,
    /// Rows that the warehouse says it took.
    taken: u64,
    relation: Relation,
    warnings: Vec<String>,
    /// The table was made by this load and has no index yet.
    unindexed: bool,
}

/// What the attempt is about.
struct Own {
    run_id: String,
    job: String,
    interval: Interval,
    model: Option<String>,
    batch: Option<String>,
}

impl Own {
    fn start(&self) -> Start<'_> {
        Start {
            run_id: &self.run_id,
            job: &self.job,
            interval: &self.interval,
            model: self.model.as_deref(),
            batch: self.batch.as_deref(),
            after: None,
        }
    }
}

/// `name@version`, taken apart.
pub fn model_parts(label: &str) -> Option<(&str, i64)> {
    let (name, version) = label.rsplit_once('@')?;
    Some((name, version.parse().ok()?))
}

/// What a load is for.
pub struct Attempt<'a> {
    pub project: &'a Arc<Project>,
    pub target: &'a str,
    pub run_id: &'a str,
    pub job: &'a str,
    pub interval: &'a Interval,
    pub model: Option<&'a str>,
    /// The backfill it belongs to.
    pub batch: Option<&'a str>,
    /// The generation of this run's attempt before this one: if another run came in between, this one is overtaken.
    pub after: Option<i64>,
    pub path: Option<Path>,
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
        let Attempt { project, target, run_id, job, interval, model, batch, after, path } = attempt;
        let mut session = match db.take() {
            Some(session) => session,
            None => ledger::open(project, target, "daymill").await?,
        };
        let lock = match ledger::lock::take(&mut session, project, target, job, interval).await {
            Err(error) if error.class == Class::Locked => {
                *db = Some(session);
                return Err(error);
            }
            lock => lock?,
        };
        ledger::claim::claim(&mut session, project, job).await?;
        let generation = record::start(&mut session, &Start { run_id, job, interval, model, batch, after }).await?;
        let path = if session.is_postgres() { path.unwrap_or(Path::Direct) } else { Path::Staged };
        Ok(Load {
            db: session,
            lock,
            project: project.clone(),
            target: target.to_owned(),
            own: Own {
                run_id: run_id.to_owned(),
                job: job.to_owned(),
                interval: interval.clone(),
                model: model.map(str::to_owned),
                batch: batch.map(str::to_owned),
            },
            generation,
            table: None,
            path,
            writing: false,
            taken: 0,
            relation: Relation::default(),
            warnings: Vec::new(),
            unindexed: false,
        })
    }

    /// Which attempt at its interval this is.
    pub fn generation(&self) -> i64 {
        self.generation
    }

    /// The constant fields of every row of this run, as the encoder appends them.
    pub fn tail(&self, model: Option<(&str, i64)>) -> Tail {
        table::tail(&self.own.interval, &self.own.run_id, model)
    }

    /// Checks an existing table against the schema before any row is made, and the job's claim to it.
    pub async fn prepare(&mut self, schema: TableSchema) -> Result<()> {
        table::require_owner(&mut self.db, &schema.name, &self.own.job).await?;
        let existing = table::existing(&mut self.db, &schema.name).await?;
        if !existing.is_empty() {
            self.relation = relation::examine(&mut self.db, &schema).await?;
        }
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
        let taken = match &mut self.db {
            Db::Postgres { connection, schema, backend } => {
                let destination = postgres::destination(&table, schema, path);
                postgres::copy((connection, backend), &table, &destination, &encoded.bytes).await?
            }
            Db::Sqlite(connection) => sqlite::stage(connection, &table, batch).await?,
        };
        let given = batch.num_rows() as u64;
        self.taken += taken;
        if taken == given { Ok(()) } else { Err(relation::miscounted(&table, given, taken)) }
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
            (false, _) => self
                .db
                .script(&format!(
                    "DROP TABLE IF EXISTS temp.daymill_staging; CREATE TEMPORARY TABLE daymill_staging ({})",
                    table.row_definitions().join(", ")
                ))
                .await
                .map(|_| ()),
        }
    }

    /// Inside the transaction: make the table if it is new, check the fence, delete the interval's old rows.
    async fn replace_old(&mut self, table: &TableSchema) -> Result<()> {
        let own = (self.own.job.as_str(), &self.own.interval, table.name.name());
        let stand = record::fence(&mut self.db, own, self.generation).await?;
        let made = table.create(&mut self.db, &self.own.job).await?;
        self.unindexed = made && self.db.is_postgres();
        let published = self.db.published(&table.name);
        let start = table::interval_literal(&self.own.interval, self.db.is_postgres());
        if faults::sabotaged("truncate") && self.db.is_postgres() {
            return self.db.script(&format!("TRUNCATE {published}")).await;
        }
        let delete = format!("DELETE FROM {published} WHERE interval_start = {start}");
        if made {
            self.warn_of_lost(table).await?;
        }
        let deleted = self
            .db
            .touch(&match self.db.is_postgres() {
                // A table that is new to the server's statistics would be read from end to end.
                true => format!("SET LOCAL enable_seqscan = off; {delete}; SET LOCAL enable_seqscan TO DEFAULT"),
                false => delete,
            })
            .await?;
        faults::at("after-delete");
        if deleted == stand && self.relation == Relation::default() {
            return Ok(());
        }
        // Somebody else's hand was in the rows, or something keeps them.
        let count = format!("SELECT CAST(count(*) AS text) FROM {published} WHERE interval_start = {start}");
        let left = self.db.fetch(&count, &[]).await?;
        let left = left.first().and_then(|row| row[0].as_ref()?.parse().ok()).unwrap_or(0);
        if left > 0 {
            return Err(relation::undeleted(table, left));
        }
        if deleted != stand && !made {
            self.warnings.push(format!(
                "the table {} held {deleted} rows of {} where the ledger says {stand}: somebody else changed them; all were replaced",
                table.name.name(),
                self.own.interval.label()
            ));
        }
        Ok(())
    }

    /// A table that is made anew has none of the rows that the ledger speaks of.
    async fn warn_of_lost(&mut self, table: &TableSchema) -> Result<()> {
        let sql = "SELECT CAST(count(*) AS text) FROM {intervals} WHERE job = $1 AND table_name = $2 AND run_id IS NOT NULL \
                   AND rows_published > 0 AND interval_start <> $3";
        let own = [self.own.job.as_str().into(), table.name.name().into(), instant(self.own.interval.start).into()];
        let rows = self.db.fetch(sql, &own).await?;
        let lost: u64 = rows.first().and_then(|row| row[0].as_ref()?.parse().ok()).unwrap_or(0);
        if lost > 0 {
            self.warnings.push(format!(
                "the table {} was gone and is made anew: the rows of {lost} other intervals are missing (daymill backfill {})",
                table.name.name(),
                self.own.job
            ));
        }
        Ok(())
    }

    /// Before the commit: as many rows stand as were made, and where triggers may have changed them, these very rows.
    async fn believe(&mut self, table: &TableSchema, end: &End<'_>) -> Result<()> {
        if self.taken != end.rows {
            return Err(relation::miscounted(table, end.rows, self.taken));
        }
        if !self.relation.triggers {
            return Ok(());
        }
        if self.db.is_postgres() {
            // Some triggers wait for the COMMIT.
            self.db.script("SET CONSTRAINTS ALL IMMEDIATE").await?;
        }
        let start = self.own.interval.start;
        let found = readback::interval(&mut self.db, table.name.name(), &table.own_columns(), start).await?;
        match found == end.content_hash || end.rows == 0 {
            true => Ok(()),
            false => Err(Error::config(format!(
                "the rows in the table {} are not those that were written: a trigger changed them",
                table.name.name()
            ))
            .hint("nothing was published; look at the table's triggers")),
        }
    }

    /// A few keys that stand on more than one of the rows written, for a message.
    pub async fn repeated(&mut self) -> Result<Vec<String>> {
        let table = self.table()?;
        let from = match (&self.db, self.path) {
            (Db::Postgres { .. }, Path::Direct) => {
                let start = table::interval_literal(&self.own.interval, true);
                format!("{} WHERE interval_start = {start}", self.db.published(&table.name))
            }
            (Db::Postgres { .. }, Path::Staged) => "pg_temp.daymill_staging".into(),
            (Db::Sqlite(_), _) => "temp.daymill_staging".into(),
        };
        table.repeated(&mut self.db, &from).await
    }

    /// Publishes what was written, with its record, or nothing at all.
    pub async fn commit(mut self, end: End<'_>) -> Result<Committed> {
        let table = self.table()?;
        let end = &End { table: table.name.name().to_owned(), columns: table.own_columns(), ..end };
        let published = self.publish(&table, end).await;
        if let Err(error) = published {
            return Err(self.fail(error).await);
        }
        faults::at("before-commit");
        if faults::sabotaged("ledger-late") {
            self.db.script("COMMIT").await?;
            faults::at("after-commit");
            self.db.script(if self.db.is_postgres() { "BEGIN" } else { "BEGIN IMMEDIATE" }).await?;
            record::succeed(&mut self.db, &self.own.start(), end).await?;
        }
        let event = record::published(&self.own.start(), self.generation, table.name.name(), end);
        let head = match self.send_commit(&event).await {
            Ok(head) => head,
            Err(error) => return self.settle(error, end).await,
        };
        faults::at("after-commit");
        let Load { mut db, lock, warnings, .. } = self;
        table.summarize(&mut db, end.rows).await;
        let released = ledger::lock::release(&mut db, lock).await;
        Ok(Committed { head: Some(head), db: released.is_ok().then_some(db), warnings })
    }

    async fn send_commit(&mut self, event: &serde_json::Value) -> Result<Head> {
        let head = ledger::chain::commit(&mut self.db, &self.own.job, Some(&self.own.run_id), event).await?;
        fail::fail_point!("commit-answer-lost", |_| Err(Error::new(
            Class::Unavailable,
            "the connection failed during COMMIT"
        )));
        Ok(head)
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
                let insert =
                    format!("INSERT INTO {published} ({columns}) SELECT {columns} FROM pg_temp.daymill_staging");
                self.taken = self.db.touch(&insert).await?;
            }
            (false, _, writing) => {
                self.db.script("BEGIN IMMEDIATE").await?;
                self.replace_old(table).await?;
                if writing {
                    let model = self.own.model.as_deref().and_then(model_parts);
                    let own = (&self.own.interval, self.own.run_id.as_str(), model);
                    self.taken = sqlite::publish(&mut self.db, table, own).await?;
                }
            }
        }
        self.believe(table, end).await?;
        if self.unindexed {
            table.index(&mut self.db, end.rows).await?;
        }
        faults::at("before-ledger");
        if faults::sabotaged("ledger-late") {
            return Ok(());
        }
        record::succeed(&mut self.db, &self.own.start(), end).await
    }

    /// The answer to COMMIT never came. Wait until the old session is gone, which settles it, and ask the ledger on a
    /// new connection; never commit again.
    async fn settle(self, error: Error, end: &End<'_>) -> Result<Committed> {
        if !error.transient && error.class != Class::Unavailable {
            return Err(self.fail(error).await);
        }
        if faults::sabotaged("retry-commit") {
            return Err(error.transient());
        }
        let Load { db, lock, project, target, own: Own { run_id, job, interval, .. }, .. } = self;
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
            db.close().await;
            drop(lock);
            Ok::<_, Error>(state)
        };
        match asked.await {
            Ok(state) if state.as_deref() == Some(end.state) => {
                Ok(Committed { head: None, db: None, warnings: Vec::new() })
            }
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
            // Nothing was published; a ledger that cannot be told shows the attempt as abandoned.
            let _ = record::end(&mut load.db, &load.own.start(), &end, load.generation).await;
            load.db.close().await;
        };
        let _ = tokio::time::timeout(FAREWELL_PATIENCE, farewell).await;
    }
}

//! Opening the ledger of a target: to write, which makes it or brings it up to date, or only to read.

use chrono::Utc;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection, SqliteConnection};

use super::chain;
use super::db::{self, Db};
use crate::error::{Error, Result};
use crate::identifier::Identifier;
use crate::interval::instant;
use crate::postgres::liveness::Backend;
use crate::project::{Project, Target};

/// Schema changes, in order; each only adds.
const MIGRATIONS: [&str; 4] = [
    include_str!("../../sql/ledger/0001.sql"),
    include_str!("../../sql/ledger/0002.sql"),
    include_str!("../../sql/ledger/0003.sql"),
    include_str!("../../sql/ledger/0004.sql"),
];

/// Opens the warehouse of a target. The ledger is made when it is not there.
pub async fn open(project: &Project, target: &str, application: &str) -> Result<Db> {
    let mut db = connect(project, target, application, true).await?;
    require_primary(&mut db, target).await?;
    migrate(&mut db).await?;
    own(&mut db, target).await?;
    Ok(db)
}

/// A replica, or a role that may only read, takes no rows.
pub async fn require_primary(db: &mut Db, target: &str) -> Result<()> {
    let Some(ask) = db.dialect().ask_writable() else { return Ok(()) };
    let rows = db.fetch(ask, &[]).await?;
    let says = |i: usize, word: &str| rows.first().is_some_and(|row| row[i].as_deref() == Some(word));
    let what = match (says(0, "true"), says(1, "on")) {
        (true, _) => "the server is a read-only replica",
        (_, true) => "sessions of its role are read-only (default_transaction_read_only)",
        _ => return Ok(()),
    };
    Err(Error::config(format!("the target {target} cannot be written: {what}"))
        .hint("connect to the primary server, with the role that loads"))
}

/// Whether a target is a file that is not there yet, which holds nothing and is made by its first run.
pub fn is_new(project: &Project, target: &str) -> bool {
    project.targets.get(target).and_then(Target::ledger_file).is_some_and(|path| !path.exists())
}

/// Brings a ledger of an earlier version up to date, for commands that are going to write to it anyway.
pub async fn bring_up(project: &Project, target: &str) -> Result<()> {
    if is_new(project, target) {
        return Ok(());
    }
    let mut db = connect(project, target, "daymill/open", false).await?;
    let have = version(&mut db).await?;
    db.close().await;
    if (1..MIGRATIONS.len()).contains(&have) {
        open(project, target, "daymill/open").await?.close().await;
    }
    Ok(())
}

/// Opens the warehouse for reading only: nothing is made. `None` when there is no warehouse or no ledger yet.
pub async fn open_to_read(project: &Project, target: &str) -> Result<Option<Db>> {
    if is_new(project, target) {
        return Ok(None);
    }
    let mut db = match (connect(project, target, "daymill/read", false).await, unwritable(project, target)) {
        (Err(_), Some(path)) => immutable(path).await?,
        (db, _) => db?,
    };
    let mut have = version(&mut db).await;
    if let (Err(_), Some(path)) = (&have, unwritable(project, target)) {
        db = immutable(path).await?;
        have = version(&mut db).await;
    }
    match have? {
        0 => Ok(None),
        have if have < MIGRATIONS.len() => Err(Error::config(format!(
            "the ledger of {target} has version {have}; this Daymill writes version {}",
            MIGRATIONS.len()
        ))
        .hint("any run of a job brings it up to date; only then can it be read")),
        _ => {
            if let Some(only_read) = db.dialect().only_read() {
                db.script(only_read).await?;
            }
            let home = home(&mut db).await?;
            // A ledger that speaks of another schema says nothing about this target.
            Ok(Some(db).filter(|db| home.is_none() || home == db.schema()))
        }
    }
}

pub async fn connect(project: &Project, target: &str, application: &str, create: bool) -> Result<Db> {
    match &project.targets[target] {
        Target::Postgres { connection, schema } => {
            let dsn = project.connection(connection)?.resolve()?;
            let schema = Identifier::new(schema)?;
            let mut connection = crate::postgres::connect(&dsn, application).await?;
            let backend = Backend::of(&mut connection, &dsn).await?;
            Ok(Db::Postgres { connection, schema, backend })
        }
        Target::Sqlite { path } | Target::Parquet { ledger: path, .. } => {
            if path.to_str().is_none() {
                return Err(Error::config(format!("the path of the SQLite file {} is not UTF-8", path.display()))
                    .hint("move the project to a folder whose name is"));
            }
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

/// The SQLite file of a target, when it cannot be opened by its journal: that takes a file beside it, which this user may not
/// make. With an empty journal the file alone is whole.
fn unwritable<'a>(project: &'a Project, target: &str) -> Option<&'a std::path::Path> {
    let path = project.targets.get(target)?.ledger_file()?;
    let mut journal = path.as_os_str().to_owned();
    journal.push("-wal");
    std::fs::metadata(journal).map_or(true, |journal| journal.len() == 0).then_some(path)
}

async fn immutable(path: &std::path::Path) -> Result<Db> {
    let options =
        SqliteConnectOptions::new().filename(path).read_only(true).immutable(true).disable_statement_logging();
    let connection = SqliteConnection::connect_with(&options).await;
    Ok(Db::Sqlite(connection.map_err(|e| db::sqlite_error(&e).context(format!("cannot open {}", path.display())))?))
}

async fn home(db: &mut Db) -> Result<Option<String>> {
    let rows = db.fetch("SELECT home FROM {chain}", &[]).await?;
    Ok(rows.into_iter().next().and_then(|mut row| row[0].take()))
}

/// One ledger speaks of the tables of one schema: two targets in one database would take each other's days for done.
async fn own(db: &mut Db, target: &str) -> Result<()> {
    let Some(schema) = db.schema() else { return Ok(()) };
    match home(db).await? {
        Some(home) if home == schema => Ok(()),
        Some(home) => Err(Error::config(format!(
            "the ledger in this database speaks of the schema {home}, and target {target} publishes to {schema}"
        ))
        .hint("give each target a database of its own")),
        None => {
            db.execute("UPDATE {chain} SET home = $1 WHERE home IS NULL", &[schema.into()]).await?;
            Ok(())
        }
    }
}

/// The version of the ledger's schema; 0 when there is none.
async fn version(db: &mut Db) -> Result<usize> {
    if !matches!(db.fetch(db.dialect().find_ledger(), &[]).await?.first(), Some(row) if row[0].is_some()) {
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
    db.script(db.dialect().begin_migration()).await?;
    let applied = apply(db).await;
    db.script(if applied.is_ok() { "COMMIT" } else { "ROLLBACK" }).await?;
    applied.map_err(|e: Error| e.context("cannot make the ledger"))
}

async fn apply(db: &mut Db) -> Result<()> {
    if let Some((find, create)) = db.dialect().ledger_schema()
        && db.fetch(find, &[]).await?.iter().all(|row| row[0].is_none())
    {
        db.script(create).await?;
    }
    let have = version(db).await?;
    for (number, migration) in MIGRATIONS.iter().enumerate().skip(have) {
        db.script(migration).await?;
        db.execute(
            "INSERT INTO {migrations} (version, applied_at) VALUES ($1, $2)",
            &[(number as i64 + 1).into(), instant(Utc::now()).into()],
        )
        .await?;
        // The migration that brings the chain; what follows orders attempts by it.
        if (have, number) == (1, 1) {
            chain::adopt(db).await?;
        }
    }
    Ok(())
}

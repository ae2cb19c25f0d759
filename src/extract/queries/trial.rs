//! A source's own SQL over fixtures: tables that are made in a transaction which is rolled back, on a server for tests.

use std::path::{Path, PathBuf};

use arrow::array::RecordBatch;
use sqlx::{AssertSqlSafe, PgConnection};

use super::copy_stream::CopyStream;
use super::session::{Session, source_error};
use super::snapshot::{joined, place, question};
use crate::arrow_bridge;
use crate::error::{Error, Result};
use crate::identifier::Identifier;
use crate::interval::Interval;
use crate::plain_file;
use crate::postgres::classify;
use crate::postgres::liveness::Backend;
use crate::postgres::tuples::{HEADER, TRAILER};
use crate::progress::Progress;
use crate::project::Job;
use crate::project::connection::Dsn;
use crate::project::job::{SqlFile, TableSpec};
use crate::rows::{SqlType, Tail, encode};

/// What stands on the server while the SQL runs.
pub struct Fixtures {
    /// A script that runs first.
    pub setup: Option<PathBuf>,
    /// Relations, as `name` or `schema.name`, and their rows.
    pub relations: Vec<(String, RecordBatch)>,
}

/// The rows that each query gives over the fixtures.
pub async fn run(
    dsn: &Dsn,
    job: &Job,
    interval: &Interval,
    tables: &[(&TableSpec, &SqlFile)],
    fixtures: &Fixtures,
) -> Result<Vec<(String, RecordBatch)>> {
    let mut connection = crate::postgres::connect(dsn, &format!("daymill/{}/test", job.name)).await?;
    let backend = Backend::of(&mut connection, dsn).await?;
    // The fixtures come before tables of the same name.
    let zone = job.zone.name();
    let begin = format!("BEGIN; SET LOCAL search_path = pg_temp, pg_catalog, public; SET LOCAL TIME ZONE '{zone}'");
    script(&mut connection, &begin).await?;
    let there = existing(&mut connection, fixtures).await?;
    if let Some(setup) = &fixtures.setup {
        let text = text(setup)?;
        let before = transaction(&mut connection).await?;
        script(&mut connection, &text).await.map_err(|e| e.context(setup.display()))?;
        if transaction(&mut connection).await? != before {
            return Err(Error::config(format!("{} ends the transaction, which is to be rolled back", setup.display()))
                .hint("leave COMMIT, ROLLBACK and BEGIN out of it; what it committed is on the server now"));
        }
    }
    for (relation, rows) in &fixtures.relations {
        if there.contains(relation) {
            return Err(Error::config(format!("the server has a table {relation} of its own"))
                .hint("a test needs a server, or a database, without the tables that its fixtures stand for"));
        }
        fill(&mut connection, relation, rows).await.map_err(|e| e.context(format!("the fixture {relation}")))?;
    }
    let mut session: Session = (connection, backend);
    let mut read = Vec::new();
    for (spec, sql) in tables {
        let located = |e: Error| place(e, &spec.name, &sql.path);
        let progress = Progress::default();
        let asked = question(&mut session, spec, sql, interval, &progress).await.map_err(located)?;
        let mut stream = CopyStream::start(session, (asked.copy, false), asked.columns, &progress);
        let mut chunks = Vec::new();
        while let Some(chunk) = stream.next().await {
            chunks.push(chunk);
        }
        (session, _) = stream.finish().await.map_err(located)?;
        read.push((spec.name.clone(), arrow_bridge::to_batch(&joined(chunks)?)?));
    }
    script(&mut session.0, "ROLLBACK").await?;
    Ok(read)
}

fn text(path: &Path) -> Result<String> {
    let bytes = plain_file::read(path, plain_file::SETTINGS)?;
    String::from_utf8(bytes).map_err(|_| Error::config(format!("{} is not UTF-8 text", path.display())))
}

async fn script(connection: &mut PgConnection, sql: &str) -> Result<()> {
    let sql = AssertSqlSafe(sql.to_owned());
    sqlx::raw_sql(sql).execute(connection).await.map(|_| ()).map_err(|e| source_error(&e))
}

/// Which transaction the session is in.
async fn transaction(connection: &mut PgConnection) -> Result<String> {
    let asked = sqlx::query_scalar::<_, String>("SELECT txid_current()::text").fetch_one(connection).await;
    asked.map_err(|e| classify::error(&e))
}

/// Relations that are there before the fixtures: those are somebody's.
async fn existing(connection: &mut PgConnection, fixtures: &Fixtures) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for (relation, _) in &fixtures.relations {
        let name = if relation.contains('.') { quoted(relation)? } else { format!("public.{}", quoted(relation)?) };
        let there = sqlx::query_scalar::<_, bool>("SELECT to_regclass($1) IS NOT NULL").bind(name);
        if there.fetch_one(&mut *connection).await.map_err(|e| classify::error(&e))? {
            found.push(relation.clone());
        }
    }
    Ok(found)
}

fn quoted(relation: &str) -> Result<String> {
    Ok(relation.split('.').map(|part| Ok(Identifier::new(part)?.to_string())).collect::<Result<Vec<_>>>()?.join("."))
}

/// Makes a relation unless the script made it, and puts the rows into it, each value by its text, which every type can read.
async fn fill(connection: &mut PgConnection, relation: &str, batch: &RecordBatch) -> Result<()> {
    let schema = batch.schema();
    let mut columns = Vec::new();
    for field in schema.fields() {
        let kind = SqlType::of(field.data_type()).ok_or_else(|| {
            Error::input(format!("the column {:?} is of the type {}", field.name(), field.data_type()))
        })?;
        columns.push((Identifier::new(field.name())?, kind));
    }
    let defined = columns.iter().map(|(name, kind)| format!("{name} {}", kind.name())).collect::<Vec<_>>().join(", ");
    let list = columns.iter().map(|(name, _)| name.to_string()).collect::<Vec<_>>().join(", ");
    let name = quoted(relation)?;
    let kind = match relation.split_once('.') {
        Some((schema, _)) => {
            script(connection, &format!("CREATE SCHEMA IF NOT EXISTS {}", Identifier::new(schema)?)).await?;
            "TABLE IF NOT EXISTS"
        }
        None => "TEMPORARY TABLE IF NOT EXISTS",
    };
    let make = format!("CREATE {kind} {name} ({defined}); CREATE TEMPORARY TABLE daymill_fixture ({defined})");
    script(connection, &format!("SET LOCAL client_min_messages = warning; {make}")).await?;
    let failed = |e: sqlx::Error| source_error(&e);
    let copy = format!("COPY pg_temp.daymill_fixture ({list}) FROM STDIN (FORMAT binary)");
    let mut stream = connection.copy_in_raw(&copy).await.map_err(failed)?;
    for piece in [HEADER, &encode(batch, &Tail::default())?.bytes, &TRAILER] {
        stream.send(piece).await.map_err(failed)?;
    }
    stream.finish().await.map_err(failed)?;
    let types = "SELECT attname::text, format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = to_regclass($1) AND attnum > 0";
    let types: Vec<(String, String)> =
        sqlx::query_as(types).bind(&name).fetch_all(&mut *connection).await.map_err(failed)?;
    let value = |(column, own): &(Identifier, SqlType)| {
        let kind = types.iter().find(|(name, _)| name == column.name()).map_or("text", |(_, kind)| kind.as_str());
        match (own, kind) {
            // Times without a zone were read as of UTC.
            (SqlType::TimestampTz, kind) if kind.starts_with("timestamp") && kind.ends_with("without time zone") => {
                format!("{column} AT TIME ZONE 'UTC'")
            }
            // Too long a text is an error only where it is assigned.
            (_, kind) if kind.starts_with("character") => format!("CAST({column} AS text)"),
            (_, kind) => format!("CAST(CAST({column} AS text) AS {kind})"),
        }
    };
    let values = columns.iter().map(value).collect::<Vec<_>>().join(", ");
    script(
        connection,
        &format!("INSERT INTO {name} ({list}) SELECT {values} FROM pg_temp.daymill_fixture; DROP TABLE pg_temp.daymill_fixture"),
    )
    .await
}

//! Postgres as a source: the user's queries by binary COPY in one read-only snapshot, decoded straight into columns.

use std::time::Instant;

use chrono::NaiveDate;
use futures_util::TryStreamExt;
use polars::prelude::DataFrame;
use sqlx::postgres::PgTypeKind;
use sqlx::{AssertSqlSafe, Column, Connection, Executor, PgConnection, SqlSafeStr, Statement, TypeInfo};
use tokio::sync::mpsc;

use super::cache::{Cache, Sessions, Table};
use super::{agree, ignored};
use crate::digest::RowSum;
use crate::error::{Class, Error, Result};
use crate::frames;
use crate::identifier::Identifier;
use crate::interval::Interval;
use crate::placeholders;
use crate::postgres::classify;
use crate::postgres::decode::{Decoder, Wire};
use crate::postgres::patience::{Backend, SILENCE};
use crate::progress::Progress;
use crate::project::Job;
use crate::project::connection::Dsn;
use crate::project::job::{ColumnType, SqlFile, TableSource, TableSpec};

/// Bytes handed from the socket to the decoder at a time.
const CHUNK_BYTES: usize = 1 << 20;
const LOOK_UP_EVERY: std::time::Duration = std::time::Duration::from_millis(250);
/// Rows of one decoded chunk.
const CHUNK_ROWS: usize = 1 << 16;

/// Where queries go, and who is told of their rows.
#[derive(Clone, Copy)]
pub struct Origin<'a> {
    pub name: &'a str,
    pub dsn: &'a Dsn,
    pub cache: &'a Cache,
    pub progress: &'a Progress,
}

/// A table and what was read for it.
pub struct Read<'a> {
    pub spec: &'a TableSpec,
    pub table: Table,
}

/// Reads each table, all in one snapshot. A query that is the same for every interval is read once per process.
pub async fn read<'a>(
    origin: Origin<'_>,
    sessions: &mut Sessions,
    job: &Job,
    specs: &[&'a TableSpec],
    interval: &Interval,
) -> Result<Vec<Read<'a>>> {
    let mut tables = Vec::with_capacity(specs.len());
    let (mut connection, backend) = session(origin, sessions, job, interval).await?;
    for spec in specs {
        let TableSource::Postgres { sql, .. } = &spec.source else { continue };
        let span = interval.extended_back(spec.lookback_days)?;
        let query = placeholders::postgres(&sql.text, interval.date(), &span)?;
        let constant = origin.cache.keeps() && query == sql.text.trim_end().trim_end_matches(';');
        let known = if constant { origin.cache.table(origin.name, &query) } else { None };
        let table = match known {
            Some(table) => table,
            None => read_table((&mut connection, &backend), spec, sql, interval, origin.progress)
                .await
                .map_err(|e| e.context(format!("table {}, {}", spec.name, sql.path.display())))?,
        };
        if constant {
            origin.cache.keep_table(origin.name, &query, &table);
        }
        tables.push(Read { spec, table });
    }
    // A session that failed is dropped; one that did not can read the next interval.
    if origin.cache.keeps() {
        let commit = sqlx::query("COMMIT").execute(&mut connection);
        backend.answered(commit).await.map_err(|e| classify::error(&e))?;
        sessions.insert(origin.name.to_owned(), (connection, backend));
    } else {
        let _ = connection.close().await;
    }
    Ok(tables)
}

async fn session(
    origin: Origin<'_>,
    sessions: &mut Sessions,
    job: &Job,
    interval: &Interval,
) -> Result<(PgConnection, Backend)> {
    if let Some(mut kept) = sessions.remove(origin.name)
        && kept.1.clone().answered(begin_snapshot(&mut kept.0)).await.is_ok()
    {
        return Ok(kept);
    }
    let application = format!("daymill/{}/{}/extract", job.name, interval.label());
    let mut connection = crate::postgres::connect(origin.dsn, &application).await?;
    let backend = Backend::of(&mut connection, origin.dsn).await?;
    begin_snapshot(&mut connection).await.map_err(|e| classify::error(&e))?;
    Ok((connection, backend))
}

async fn begin_snapshot(connection: &mut PgConnection) -> std::result::Result<(), sqlx::Error> {
    sqlx::query("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").execute(connection).await.map(|_| ())
}

/// The columns that a query gives, without running it: name, family (when there is one) and type.
pub async fn describe(
    connection: &mut PgConnection,
    sql: &SqlFile,
    date: NaiveDate,
    span: &Interval,
) -> Result<Vec<(String, Option<Wire>, String)>> {
    let text = placeholders::postgres(&sql.text, date, span)?;
    let statement = connection.prepare(AssertSqlSafe(text).into_sql_str()).await.map_err(|e| source_error(&e))?;
    let describe = |column: &sqlx::postgres::PgColumn| {
        let info = column.type_info();
        let is_enum = matches!(info.kind(), PgTypeKind::Enum(_));
        (column.name().to_owned(), Wire::of(info.name(), is_enum), info.name().to_lowercase())
    };
    Ok(statement.columns().iter().map(describe).collect())
}

/// The declared columns of a query, or all of them, with their form on the wire.
pub fn wanted(spec: &TableSpec, source: &str, found: &[(String, Option<Wire>, String)]) -> Result<Vec<(String, Wire)>> {
    let families: Vec<_> =
        found.iter().map(|(name, wire, t)| (name.clone(), wire.and_then(Wire::column_type), t.clone())).collect();
    if spec.columns.is_empty()
        && let Some((name, _, type_name)) = families.iter().find(|(_, family, _)| family.is_none())
    {
        return Err(Error::data(format!(
            "table {}: column {name:?} has the type {type_name}, which Daymill does not read",
            spec.name
        ))
        .hint("cast it in the SQL (to text, bigint, double precision, date or timestamptz), or leave it out"));
    }
    let names: Vec<(String, ColumnType)> = agree(spec, source, &families)?;
    let wire = |name: &String| found.iter().find(|(n, ..)| n == name).and_then(|(_, wire, _)| *wire);
    Ok(names.iter().filter_map(|(name, _)| Some((name.clone(), wire(name)?))).collect())
}

async fn read_table(
    (connection, backend): (&mut PgConnection, &Backend),
    spec: &TableSpec,
    sql: &SqlFile,
    interval: &Interval,
    progress: &Progress,
) -> Result<Table> {
    let span = interval.extended_back(spec.lookback_days)?;
    let found = describe(connection, sql, interval.date(), &span).await?;
    let columns = wanted(spec, &sql.path.display().to_string(), &found)?;
    let names: Vec<&String> = columns.iter().map(|(name, _)| name).collect();
    let ignored = ignored(found.iter().map(|(name, ..)| name), &names);
    let list =
        columns.iter().map(|(name, _)| Ok(Identifier::new(name)?.to_string())).collect::<Result<Vec<_>>>()?.join(", ");
    let query = placeholders::postgres(&sql.text, interval.date(), &span)?;
    let copy = format!("COPY (SELECT {list} FROM (\n{query}\n) AS daymill_source) TO STDOUT (FORMAT binary)");
    let (sender, receiver) = mpsc::channel::<Vec<u8>>(4);
    let rows_seen = progress.extracted.clone();
    let decoder = tokio::task::spawn_blocking(move || decode(receiver, &columns, &rows_seen));
    let sent = pump((connection, backend), &copy, sender, progress).await;
    let decoded = decoder.await.map_err(|e| Error::defect("the decoder stopped").cause(e))?;
    // A decoding error closes the channel, so it is the cause and the pump's error its effect.
    let frame = match (decoded, sent) {
        (Err(error), Ok(())) => return Err(error),
        (Err(decode), Err(send)) => return Err(if send.class == Class::Defect { decode } else { send }),
        (Ok(_), Err(error)) => return Err(error),
        (Ok(frame), Ok(())) => frame,
    };
    let (frame, digest) = frame;
    Ok(Table { rows: frame.height() as u64, frame, ignored, digest: digest.hex() })
}

/// Moves bytes from the socket to the decoder, a chunk at a time.
async fn pump(
    (connection, backend): (&mut PgConnection, &Backend),
    copy: &str,
    sender: mpsc::Sender<Vec<u8>>,
    progress: &Progress,
) -> Result<()> {
    let mut stream = connection.copy_out_raw(copy).await.map_err(|e| source_error(&e))?;
    let mut chunk = Vec::with_capacity(CHUNK_BYTES + 4096);
    let gone = || Error::defect("the decoder went away");
    let mut heard = Instant::now();
    loop {
        // A query may think for long before its first row; a signal must not wait for it. Giving up here loses a
        // read-only connection and nothing else.
        let bytes = match tokio::time::timeout(LOOK_UP_EVERY, stream.try_next()).await {
            Err(_) => {
                progress.check()?;
                if heard.elapsed() > SILENCE {
                    if backend.at_work().await != Some(true) {
                        let text = "the server fell silent in the middle of a table, and is not at work on it";
                        return Err(Error::new(Class::Unavailable, text).transient());
                    }
                    heard = Instant::now();
                }
                continue;
            }
            Ok(next) => match next.map_err(|e| source_error(&e))? {
                Some(bytes) => bytes,
                None => break,
            },
        };
        heard = Instant::now();
        chunk.extend_from_slice(&bytes);
        if chunk.len() >= CHUNK_BYTES {
            progress.check()?;
            sender
                .send(std::mem::replace(&mut chunk, Vec::with_capacity(CHUNK_BYTES + 4096)))
                .await
                .map_err(|_| gone())?;
        }
    }
    sender.send(chunk).await.map_err(|_| gone())
}

fn decode(
    mut receiver: mpsc::Receiver<Vec<u8>>,
    columns: &[(String, Wire)],
    rows: &crate::progress::Counter,
) -> Result<(DataFrame, RowSum)> {
    let mut decoder = Decoder::new(columns);
    let mut frame: Option<DataFrame> = None;
    let mut add = |decoder: &mut Decoder| -> Result<()> {
        let chunk = frames::to_frame(&decoder.batch()?)?;
        match &mut frame {
            None => frame = Some(chunk),
            Some(frame) => {
                frame.vstack_mut_owned(chunk).map_err(|e| Error::defect("chunks of one query differ").cause(e))?;
            }
        }
        Ok(())
    };
    while let Some(bytes) = receiver.blocking_recv() {
        let before = decoder.rows();
        decoder.push(&bytes)?;
        rows.add((decoder.rows() - before) as u64);
        if decoder.rows() >= CHUNK_ROWS {
            add(&mut decoder)?;
        }
    }
    decoder.finish()?;
    if decoder.rows() > 0 || frame.is_none() {
        let chunk = frames::to_frame(&decoder.batch()?)?;
        frame = Some(match frame {
            None => chunk,
            Some(mut whole) => {
                whole.vstack_mut_owned(chunk).map_err(|e| Error::defect("chunks of one query differ").cause(e))?;
                whole
            }
        });
    }
    let frame = frame.ok_or_else(|| Error::defect("a query gave no frame"))?;
    Ok((frame, decoder.digest()))
}

/// What the server says of the user's query. A table or column that is not there is the source breaking its contract.
fn source_error(error: &sqlx::Error) -> Error {
    let mut found = classify::error(error);
    let state = error.as_database_error().and_then(|e| e.code()).unwrap_or_default();
    if matches!(state.as_ref(), "42703" | "42P01" | "42804" | "42883") {
        found.class = Class::Data;
    }
    found
}

//! Postgres as a source: the user's queries by binary COPY in one read-only snapshot, decoded straight into columns.

use std::path::{Path, PathBuf};

use arrow::array::RecordBatch;
use chrono::NaiveDate;
use chrono_tz::Tz;
use polars::prelude::DataFrame;
use sqlx::postgres::PgTypeKind;
use sqlx::{AssertSqlSafe, Column, Connection, Executor, SqlSafeStr, Statement, TypeInfo};
use tokio::sync::mpsc;

use super::copy_stream::{Arrived, CopyStream};
use super::session::{Session, Sessions, answered, attended, begin_snapshot, located};
use crate::arrow_bridge;
use crate::error::{Error, Result};
use crate::extract::cache::{Cache, Table};
use crate::extract::schema::{self, Found, Kind};
use crate::identifier::Identifier;
use crate::interval::Interval;
use crate::placeholders;
use crate::postgres::decode::{self, Wire};
use crate::postgres::liveness::Backend;
use crate::progress::Progress;
use crate::project::Job;
use crate::project::connection::Dsn;
use crate::project::job::{SqlFile, TableSpec};

/// Where queries go, and who is told of their rows.
#[derive(Clone, Copy)]
pub struct Origin<'a> {
    pub name: &'a str,
    pub cache: &'a Cache,
    pub progress: &'a Progress,
}

/// A table and what was read for it.
pub struct Read<'a> {
    pub spec: &'a TableSpec,
    pub table: Table,
}

/// A table that is larger than a chunk, on its way: the chunks that came so far, and those to come.
pub struct StreamingTable {
    pub table: String,
    pub ignored: Vec<String>,
    came: Vec<DataFrame>,
    stream: CopyStream,
    connection: String,
    /// The file of its query.
    path: PathBuf,
}

impl StreamingTable {
    /// Its rows: those that came, then those that the queue still brings. Taken once.
    pub fn rows(&mut self) -> Option<(Vec<DataFrame>, mpsc::Receiver<DataFrame>)> {
        Some((std::mem::take(&mut self.came), self.stream.queue()?))
    }

    /// Whether every row came. The session is kept if sessions are.
    pub async fn finish(self, cache: &Cache, sessions: &mut Sessions) -> Result<Arrived> {
        let arrived = self.stream.finish().await;
        let (session, arrived) = arrived.map_err(|e| place(e, &self.table, &self.path))?;
        end_snapshot(session, &self.connection, cache, sessions).await;
        Ok(arrived)
    }
}

/// One query of a snapshot, before its rows are read.
struct Asked<'a> {
    spec: &'a TableSpec,
    sql: &'a SqlFile,
    /// Its text, when it is the same for every interval and its rows are worth keeping.
    constant: Option<String>,
    question: Question,
    /// Its rows, when they are in memory already.
    known: Option<Table>,
}

/// The queries of one connection, all in one snapshot. A query that is the same for every interval is read once per
/// process.
pub struct Snapshot<'a> {
    origin: Origin<'a>,
    session: Session,
    asked: Vec<Asked<'a>>,
}

impl<'a> Snapshot<'a> {
    pub async fn open(
        (origin, dsn): (Origin<'a>, &Dsn),
        sessions: &mut Sessions,
        job: &Job,
        specs: &[(&'a TableSpec, &'a SqlFile)],
        interval: &Interval,
    ) -> Result<Snapshot<'a>> {
        let mut session = session((origin, dsn), sessions, job, interval).await?;
        let mut asked = Vec::with_capacity(specs.len());
        for (spec, sql) in specs {
            let span = interval.extended_back(spec.lookback_days)?;
            let query = placeholders::postgres(&sql.text, interval.date(), &span)?;
            let constant = origin.cache.keeps() && placeholders::used(&sql.text).is_empty();
            let known = if constant { origin.cache.table(origin.name, &query) } else { None };
            let question = match known {
                Some(_) => Question::default(),
                None => question(&mut session, spec, sql, interval, origin.progress)
                    .await
                    .map_err(|e| place(e, &spec.name, &sql.path))?,
            };
            asked.push(Asked { spec, sql, constant: constant.then_some(query), question, known });
        }
        Ok(Snapshot { origin, session, asked })
    }

    /// Tables whose times without a zone are of another clock than the one by which their SQL compares them with the interval.
    pub fn other_clocks(&self, job: Tz) -> Vec<String> {
        let other = |asked: &Asked<'_>| {
            let used = placeholders::used(&asked.sql.text);
            let bounded = ["start", "end"].iter().any(|name| used.contains(*name));
            let says = asked.sql.text.to_lowercase().contains("at time zone");
            let local = asked.question.columns.iter().find_map(|(name, wire)| match wire {
                Wire::Local(zone) if *zone != job => Some((name, zone)),
                _ => None,
            });
            let (column, zone) = local.filter(|_| bounded && !says)?;
            Some(format!(
                "table {}: {column} is of the clock of {zone}, and {} compares it with :start and :end by the clock of {job}; if so, write \
                 :start AT TIME ZONE '{zone}'",
                asked.spec.name,
                asked.sql.path.display()
            ))
        };
        self.asked.iter().filter_map(other).collect()
    }

    /// Every table with its columns: with its rows when they are known, without when they are not.
    pub fn tables(&self) -> Result<Vec<(String, DataFrame)>> {
        let frame = |asked: &Asked<'_>| match &asked.known {
            Some(table) => Ok(table.frame.clone()),
            None => arrow_bridge::to_frame(&RecordBatch::new_empty(decode::schema(&asked.question.columns))),
        };
        self.asked.iter().map(|asked| Ok((asked.spec.name.clone(), frame(asked)?))).collect()
    }

    /// Reads all tables. Of the table `driving`, when it is larger than a chunk, only the beginning is read.
    pub async fn read(
        self,
        driving: Option<&str>,
        sessions: &mut Sessions,
    ) -> Result<(Vec<Read<'a>>, Option<StreamingTable>)> {
        self.each(driving, true, sessions).await
    }

    async fn each(
        self,
        driving: Option<&str>,
        keep: bool,
        sessions: &mut Sessions,
    ) -> Result<(Vec<Read<'a>>, Option<StreamingTable>)> {
        let Snapshot { origin, mut session, mut asked } = self;
        let drives = |asked: &Asked<'_>| asked.constant.is_none() && Some(asked.spec.name.as_str()) == driving;
        asked.sort_by_key(drives);
        let mut tables = Vec::with_capacity(asked.len());
        for asked in asked {
            let drives = drives(&asked);
            let Asked { spec, sql, constant, question, known } = asked;
            if let Some(table) = known {
                tables.push(Read { spec, table });
                continue;
            }
            let Question { copy, columns, ignored } = question;
            let mut stream = CopyStream::start(session, (copy, drives), columns, origin.progress);
            let mut came = Vec::new();
            while let Some(chunk) = stream.next().await {
                came.push(chunk);
                if drives && came.len() == 2 {
                    let (table, connection) = (spec.name.clone(), origin.name.to_owned());
                    let path = sql.path.clone();
                    return Ok((tables, Some(StreamingTable { table, ignored, came, stream, connection, path })));
                }
                // Only the digest is asked for; but what other intervals will ask for again is worth its memory.
                if !keep && constant.is_none() {
                    came.truncate(1);
                }
            }
            let (returned, arrived) = stream.finish().await.map_err(|e| place(e, &spec.name, &sql.path))?;
            session = returned;
            let table = Table { frame: joined(came)?, rows: arrived.rows, ignored, digest: arrived.digest };
            if let Some(query) = constant {
                origin.cache.keep_table(origin.name, &query, &table);
            }
            tables.push(Read { spec, table });
        }
        end_snapshot(session, origin.name, origin.cache, sessions).await;
        Ok((tables, None))
    }

    /// The digests of all tables' rows, without keeping the rows.
    pub async fn digests(self, sessions: &mut Sessions) -> Result<Vec<(&'a TableSpec, String)>> {
        let (tables, _) = self.each(None, false, sessions).await?;
        Ok(tables.into_iter().map(|read| (read.spec, read.table.digest)).collect())
    }
}

/// Which table an error is about, and which file, unless it says so itself.
pub(super) fn place(error: Error, table: &str, path: &Path) -> Error {
    match error.message.as_str() {
        said if said.starts_with(&format!("table {table}: ")) => error,
        said if said.starts_with(&path.display().to_string()) => error.context(format!("table {table}")),
        _ => error.context(format!("table {table}, {}", path.display())),
    }
}

pub(super) fn joined(chunks: Vec<DataFrame>) -> Result<DataFrame> {
    let mut chunks = chunks.into_iter();
    let mut whole = chunks.next().ok_or_else(|| Error::defect("a query gave no frame"))?;
    for chunk in chunks {
        whole.vstack_mut_owned(chunk).map_err(|e| Error::defect("chunks of one query differ").cause(e))?;
    }
    Ok(whole)
}

/// A session that fails now has given its rows, and is dropped; one that does not can read the next interval.
async fn end_snapshot(session: Session, name: &str, cache: &Cache, sessions: &mut Sessions) {
    let (mut connection, backend) = session;
    if !cache.keeps() {
        let _ = connection.close().await;
    } else if backend.answered(sqlx::query("COMMIT").execute(&mut connection)).await.is_ok() {
        sessions.insert(name.to_owned(), (connection, backend));
    }
}

async fn session(
    (origin, dsn): (Origin<'_>, &Dsn),
    sessions: &mut Sessions,
    job: &Job,
    interval: &Interval,
) -> Result<Session> {
    if let Some(mut kept) = sessions.remove(origin.name)
        && kept.1.clone().answered(begin_snapshot(&mut kept.0, job)).await.is_ok()
    {
        return Ok(kept);
    }
    let application = format!("daymill/{}/{}/extract", job.name, interval.label());
    let mut connection = crate::postgres::connect(dsn, &application).await?;
    let backend = Backend::of(&mut connection, dsn).await?;
    attended(begin_snapshot(&mut connection, job), &backend, origin.progress).await?;
    Ok((connection, backend))
}

/// The columns that a query gives, without running it: name, family (when there is one) and type.
pub async fn describe(
    (connection, backend): &mut Session,
    sql: &SqlFile,
    date: NaiveDate,
    span: &Interval,
    progress: &Progress,
) -> Result<Vec<(String, Option<Wire>, String)>> {
    let text = placeholders::postgres(&sql.text, date, span)?;
    let prepared = connection.prepare(AssertSqlSafe(text.clone()).into_sql_str());
    let statement = answered(prepared, backend, progress).await?.map_err(|e| located(&e, sql, &text))?;
    let describe = |column: &sqlx::postgres::PgColumn| {
        let info = column.type_info();
        let is_enum = matches!(info.kind(), PgTypeKind::Enum(_));
        (column.name().to_owned(), Wire::of(info.name(), is_enum), info.name().to_lowercase())
    };
    Ok(statement.columns().iter().map(describe).collect())
}

/// The declared columns of a query, or all of them, with their form on the wire.
pub fn wanted(spec: &TableSpec, source: &str, found: &[(String, Option<Wire>, String)]) -> Result<Vec<(String, Wire)>> {
    let kind = |wire: Option<Wire>| match wire {
        Some(Wire::Timestamp) => Kind::Naive,
        wire => wire.and_then(Wire::column_type).map_or(Kind::Unreadable, Kind::Of),
    };
    let columns: Vec<Found> = found.iter().map(|(name, wire, t)| Found::new(name, kind(*wire), t)).collect();
    let unreadable = |(name, wire, _): &&(String, Option<Wire>, String)| match kind(*wire) {
        Kind::Naive => spec.zone_of(name).is_none(),
        kind => kind == Kind::Unreadable,
    };
    if spec.columns.is_empty()
        && let Some((name, wire, type_name)) = found.iter().find(unreadable)
    {
        let cast = "cast it in the SQL (to text, bigint, double precision, date or timestamptz), or leave it out";
        let zone = "say which clock wrote it, as in zone = \"Europe/Berlin\" in [extract.TABLE], or cast it in the SQL";
        return Err(Error::data(format!(
            "table {}: column {name:?} has the type {type_name}, which Daymill does not read",
            spec.name
        ))
        .hint(if kind(*wire) == Kind::Naive { zone } else { cast }));
    }
    let wire = |name: &String| {
        let (.., wire, _) = found.iter().find(|(n, ..)| n == name)?;
        match (*wire, spec.zone_of(name)) {
            (Some(Wire::Timestamp), Some(zone)) => Some(Wire::Local(zone)),
            (wire, _) => wire,
        }
    };
    let names = schema::agree(spec, source, &columns)?;
    Ok(names.iter().filter_map(|(name, _)| Some((name.clone(), wire(name)?))).collect())
}

/// How the rows of a query are asked for: the COPY, the form of its columns, and the columns nobody asked for.
#[derive(Default)]
pub(super) struct Question {
    pub(super) copy: String,
    pub(super) columns: Vec<(String, Wire)>,
    ignored: Vec<String>,
}

pub(super) async fn question(
    session: &mut Session,
    spec: &TableSpec,
    sql: &SqlFile,
    interval: &Interval,
    progress: &Progress,
) -> Result<Question> {
    let span = interval.extended_back(spec.lookback_days)?;
    let found = describe(session, sql, interval.date(), &span, progress).await?;
    let columns = wanted(spec, &sql.path.display().to_string(), &found)?;
    let left = found.iter().filter(|(name, ..)| columns.iter().all(|(wanted, _)| wanted != name));
    let ignored = left.map(|(name, ..)| name.clone()).collect();
    let list =
        columns.iter().map(|(name, _)| Ok(Identifier::new(name)?.to_string())).collect::<Result<Vec<_>>>()?.join(", ");
    let query = placeholders::postgres(&sql.text, interval.date(), &span)?;
    let copy = format!("COPY (SELECT {list} FROM (\n{query}\n) AS daymill_source) TO STDOUT (FORMAT binary)");
    Ok(Question { copy, columns, ignored })
}

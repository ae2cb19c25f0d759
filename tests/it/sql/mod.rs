//! The SQL of the transform beside Postgres: queries over small tables, through the same plan and engine as a run, and
//! what the server of the tests answers to the same text.

mod corpus;
mod drawn;
mod generated;
mod generator;
mod limits;
mod meaning;
mod pages;
mod whole;

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use chrono::{DateTime, NaiveDate, NaiveDateTime};
use daymill::interval::{Interval, day};
use daymill::project::job::SqlFile;
use polars::prelude::*;
use sqlx::{AssertSqlSafe, Connection, PgConnection};

/// A value, of ours or of Postgres.
#[derive(Clone, Debug, PartialEq)]
pub enum Cell {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
    /// Days since 1970.
    Date(i64),
    /// Microseconds since 1970.
    Time(i64),
}

/// What a query gives: the names of its columns, and its rows.
#[derive(Clone, Debug)]
pub struct Answer {
    pub names: Vec<String>,
    pub rows: Vec<Vec<Cell>>,
}

/// Whether it was refused when it was planned, or raised while it ran; and what it said.
#[derive(Clone, Debug)]
pub struct Refusal {
    pub planned: bool,
    pub said: String,
}

/// A table for both sides.
#[derive(Clone)]
pub struct Table {
    pub name: String,
    pub frame: DataFrame,
}

/// The day of the tests, in a zone.
pub fn interval(zone: &str) -> Interval {
    day(NaiveDate::from_ymd_opt(2024, 3, 10).unwrap(), zone.parse().unwrap()).unwrap()
}

/// Our answer.
pub fn ours(sql: &str, tables: &[Table], zone: &str) -> Result<Answer, Refusal> {
    let file = SqlFile { path: PathBuf::from("q.sql"), text: sql.to_owned() };
    let frames: Vec<_> = tables.iter().map(|t| (t.name.clone(), t.frame.clone().lazy())).collect();
    let interval = interval(zone);
    let refused = |planned: bool, e: &dyn std::fmt::Display| Refusal { planned, said: e.to_string() };
    let mut plan = daymill::transform::plan(&file, &frames, &interval).map_err(|e| refused(true, &e))?.frame;
    let schema = plan.collect_schema().unwrap();
    let parts: Arc<Mutex<Vec<DataFrame>>> = Arc::default();
    let sink = parts.clone();
    let each: daymill::transform::Each = Arc::new(move |frame| {
        sink.lock().unwrap().push(frame);
        true
    });
    let raised = |e| daymill::transform::run_error(&file, &e);
    daymill::transform::stream(plan, 1000, each).map_err(|e| refused(false, &raised(e))).inspect_err(|e| {
        assert!(!e.said.contains("panicked"), "{sql}: {}", e.said);
    })?;
    let names = schema.iter_names().map(|n| n.to_string()).collect();
    let parts = parts.lock().unwrap();
    Ok(Answer { names, rows: parts.iter().flat_map(rows_of).collect() })
}

pub fn rows_of(frame: &DataFrame) -> Vec<Vec<Cell>> {
    let columns: Vec<Vec<Cell>> = frame.columns().iter().map(cells).collect();
    (0..frame.height()).map(|row| columns.iter().map(|c| c[row].clone()).collect()).collect()
}

fn cells(column: &Column) -> Vec<Cell> {
    let cell = |value: AnyValue<'_>| match value {
        AnyValue::Null => Cell::Null,
        AnyValue::Boolean(v) => Cell::Bool(v),
        AnyValue::Int64(v) => Cell::Int(v),
        AnyValue::Float64(v) => Cell::Float(v),
        AnyValue::Float32(v) => Cell::Float(v.into()),
        AnyValue::String(v) => Cell::Text(v.to_owned()),
        AnyValue::StringOwned(v) => Cell::Text(v.to_string()),
        AnyValue::Date(v) => Cell::Date(v.into()),
        AnyValue::Datetime(v, ..) | AnyValue::DatetimeOwned(v, ..) => Cell::Time(v),
        other => panic!("{other:?}"),
    };
    column.as_materialized_series().rechunk().iter().map(cell).collect()
}

/// A session of the tests' Postgres with the tables in it, in a database that orders text by its bytes.
pub struct Server {
    url: String,
    zone: String,
    connection: PgConnection,
    runtime: tokio::runtime::Runtime,
}

impl Server {
    pub fn new(tables: &[Table], zone: &str) -> Server {
        let url = std::env::var("DAYMILL_TEST_PG").expect("DAYMILL_TEST_PG is not set: run the tests with `make test`");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let name = format!("s{}", uuid::Uuid::now_v7().simple());
        let (address, _) = url.rsplit_once('/').unwrap();
        let own = format!("{address}/{name}");
        let connection = runtime.block_on(async {
            let mut server = PgConnection::connect(&url).await.expect("the Postgres of the tests does not answer");
            let create = format!("CREATE DATABASE {name} TEMPLATE template0 ENCODING 'UTF8' LOCALE 'C.UTF-8'");
            sqlx::raw_sql(AssertSqlSafe(create)).execute(&mut server).await.unwrap();
            PgConnection::connect(&own).await.unwrap()
        });
        let mut server = Server { url: own, zone: zone.to_owned(), connection, runtime };
        server.settle();
        for table in tables {
            server.load(table);
        }
        server
    }

    fn settle(&mut self) {
        let zone = self.zone.clone();
        self.execute(&format!("SET TimeZone = '{zone}'; SET statement_timeout = '20s'; SET jit = off"));
    }

    pub fn execute(&mut self, sql: &str) {
        let run = sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&mut self.connection);
        self.runtime.block_on(run).unwrap();
    }

    fn load(&mut self, table: &Table) {
        let kind = |dtype: &DataType| match dtype {
            DataType::Boolean => "boolean",
            DataType::Int64 => "bigint",
            DataType::Float64 => "double precision",
            DataType::String => "text",
            DataType::Date => "date",
            DataType::Datetime(..) => "timestamptz",
            other => panic!("{other:?}"),
        };
        let columns: Vec<String> =
            table.frame.columns().iter().map(|c| format!("{} {}", c.name(), kind(c.dtype()))).collect();
        self.execute(&format!("CREATE TABLE {} ({})", table.name, columns.join(", ")));
        let mut text = String::new();
        for row in rows_of(&table.frame) {
            let cells: Vec<String> = row.iter().map(copied).collect();
            text.push_str(&cells.join("\t"));
            text.push('\n');
        }
        let into = format!("COPY {} FROM STDIN", table.name);
        self.runtime.block_on(async {
            let mut copy = self.connection.copy_in_raw(&into).await.unwrap();
            copy.send(text.into_bytes()).await.unwrap();
            copy.finish().await.unwrap();
        });
    }

    /// Postgres' answer, its columns read as `types` of ours.
    pub fn answer(&mut self, sql: &str, types: Option<&[DataType]>) -> Result<Answer, String> {
        let out = format!("COPY ({sql}\n) TO STDOUT (FORMAT text, HEADER)");
        let bytes = self.runtime.block_on(async {
            use futures_util::StreamExt;
            let mut stream = self.connection.copy_out_raw(&out).await?;
            let mut all = Vec::new();
            while let Some(part) = stream.next().await {
                all.extend_from_slice(&part?);
            }
            Ok::<_, sqlx::Error>(all)
        });
        let bytes = match bytes {
            Ok(bytes) => bytes,
            Err(e) => {
                // A COPY that broke off leaves the session in the middle of an answer.
                self.connection = self.runtime.block_on(PgConnection::connect(&self.url)).unwrap();
                self.settle();
                return Err(match e.as_database_error() {
                    Some(error) => format!("{} {error}", error.code().unwrap_or_default()),
                    None => panic!("{sql}: {e}"),
                });
            }
        };
        let text = String::from_utf8(bytes).unwrap();
        let mut lines = text.lines();
        let names: Vec<String> = lines.next().unwrap_or_default().split('\t').map(unescaped).collect();
        let types = types.map(<[_]>::to_vec).unwrap_or_else(|| vec![DataType::String; names.len()]);
        let row = |line: &str| line.split('\t').zip(&types).map(|(cell, ty)| read(cell, ty)).collect();
        Ok(Answer { names, rows: lines.map(row).collect() })
    }
}

/// A cell in the text format of COPY.
fn copied(cell: &Cell) -> String {
    match cell {
        Cell::Null => "\\N".into(),
        Cell::Bool(v) => {
            if *v {
                "t".into()
            } else {
                "f".into()
            }
        }
        Cell::Int(v) => v.to_string(),
        Cell::Float(v) if v.is_infinite() => {
            if *v > 0.0 {
                "Infinity".into()
            } else {
                "-Infinity".into()
            }
        }
        Cell::Float(v) => format!("{v:?}"),
        Cell::Text(v) => v.replace('\\', "\\\\").replace('\t', "\\t").replace('\n', "\\n").replace('\r', "\\r"),
        Cell::Date(v) => NaiveDate::from_epoch_days(*v as i32).unwrap().to_string(),
        Cell::Time(v) => DateTime::from_timestamp_micros(*v).unwrap().format("%Y-%m-%d %H:%M:%S%.6f+00").to_string(),
    }
}

fn unescaped(text: &str) -> String {
    let (mut out, mut chars) = (String::new(), text.chars());
    while let Some(c) = chars.next() {
        match (c, if c == '\\' { chars.next() } else { None }) {
            ('\\', Some('n')) => out.push('\n'),
            ('\\', Some('t')) => out.push('\t'),
            ('\\', Some('r')) => out.push('\r'),
            ('\\', Some('b')) => out.push('\u{8}'),
            ('\\', Some('f')) => out.push('\u{c}'),
            ('\\', Some('v')) => out.push('\u{b}'),
            ('\\', Some(other)) => out.push(other),
            (c, _) => out.push(c),
        }
    }
    out
}

/// A cell that Postgres wrote, as a type of ours; as text when it is none of that.
fn read(cell: &str, ty: &DataType) -> Cell {
    if cell == "\\N" {
        return Cell::Null;
    }
    let text = unescaped(cell);
    let time = |text: &str| -> Option<i64> {
        let zoned = ["%Y-%m-%d %H:%M:%S%.f%#z"].iter().find_map(|f| DateTime::parse_from_str(text, f).ok());
        // Before there were zones, offsets had seconds: -04:56:02.
        let local = text.rsplit_once(['+', '-']).filter(|(local, offset)| local.contains(':') && offset.len() == 8);
        if let Some((local, offset)) = local {
            let parts: Vec<i64> = offset.split(':').filter_map(|p| p.parse().ok()).collect();
            let seconds = (parts[0] * 60 + parts[1]) * 60 + parts[2];
            let sign = if text.as_bytes()[local.len()] == b'-' { 1 } else { -1 };
            let wall = NaiveDateTime::parse_from_str(local, "%Y-%m-%d %H:%M:%S%.f").ok()?;
            return Some(wall.and_utc().timestamp_micros() + sign * seconds * 1_000_000);
        }
        let naive = || NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S%.f").ok();
        zoned.map(|t| t.timestamp_micros()).or_else(|| naive().map(|t| t.and_utc().timestamp_micros()))
    };
    let made = match ty {
        DataType::Boolean => match text.as_str() {
            "t" => Some(Cell::Bool(true)),
            "f" => Some(Cell::Bool(false)),
            _ => None,
        },
        DataType::Int64 => text.parse().ok().map(Cell::Int).or_else(|| text.parse().ok().map(Cell::Float)),
        DataType::Float64 | DataType::Float32 => text.parse().ok().map(Cell::Float),
        DataType::Date => text.parse().ok().map(|d: NaiveDate| Cell::Date(d.to_epoch_days().into())),
        DataType::Datetime(..) => time(&text).map(Cell::Time),
        _ => None,
    };
    made.unwrap_or(Cell::Text(text))
}

fn number(cell: &Cell) -> Option<f64> {
    match cell {
        Cell::Int(v) => Some(*v as f64),
        Cell::Float(v) => Some(*v),
        _ => None,
    }
}

/// The same value, floats within 1e-9.
pub fn alike(a: &Cell, b: &Cell) -> bool {
    match (a, b) {
        (Cell::Int(a), Cell::Int(b)) => a == b,
        _ => match (number(a), number(b)) {
            (Some(x), Some(y)) => {
                x == y
                    || (x.is_nan() && y.is_nan())
                    || (x - y).abs() <= 1e-9 * x.abs().max(y.abs())
                    || (x - y).abs() < 1e-12
            }
            _ => a == b,
        },
    }
}

/// The same rows, in any order.
pub fn same_rows(a: &[Vec<Cell>], b: &[Vec<Cell>]) -> bool {
    let key = |row: &Vec<Cell>| -> String {
        row.iter()
            .map(|cell| match number(cell) {
                Some(v) => format!("{:.6e} ", if v == 0.0 { 0.0 } else { v }),
                None => format!("{cell:?} "),
            })
            .collect()
    };
    let sorted = |rows: &[Vec<Cell>]| {
        let mut rows = rows.to_vec();
        rows.sort_by_cached_key(key);
        rows
    };
    if a.len() != b.len() {
        return false;
    }
    let row_alike = |x: &[Cell], y: &[Cell]| x.len() == y.len() && x.iter().zip(y).all(|(p, q)| alike(p, q));
    let (a, mut b) = (sorted(a), sorted(b));
    if a.iter().zip(&b).all(|(x, y)| row_alike(x, y)) {
        return true;
    }
    // Rounding may have sorted them otherwise.
    a.iter().all(|x| match b.iter().position(|y| row_alike(x, y)) {
        Some(place) => {
            b.swap_remove(place);
            true
        }
        None => false,
    })
}

/// The types of our columns, for reading what Postgres writes.
pub fn types_of(sql: &str, tables: &[Table], zone: &str) -> Option<Vec<DataType>> {
    let file = SqlFile { path: PathBuf::from("q.sql"), text: sql.to_owned() };
    let frames: Vec<_> = tables.iter().map(|t| (t.name.clone(), t.frame.clone().lazy())).collect();
    let compiled = daymill::transform::compile(&file, &frames, &interval(zone)).ok()?;
    Some(compiled.columns.iter().map(|c| c.ty.published()).collect())
}

/// Asserts that both answer alike, names too.
#[track_caller]
pub fn agree(sql: &str, tables: &[Table], server: &mut Server, zone: &str) {
    let mine = ours(sql, tables, zone).unwrap_or_else(|r| panic!("{sql}\nrefused: {}", r.said));
    let types = types_of(sql, tables, zone).unwrap();
    let theirs = server.answer(sql, Some(&types)).unwrap_or_else(|e| panic!("{sql}\nPostgres: {e}"));
    assert_eq!(mine.names, theirs.names, "{sql}");
    assert!(same_rows(&mine.rows, &theirs.rows), "{sql}\nours:   {:?}\ntheirs: {:?}", mine.rows, theirs.rows);
}

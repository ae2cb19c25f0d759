//! Files as a table: whether they are whole and as declared, and one lazy frame over the rows of all of them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use chrono::NaiveDate;
use polars::prelude::*;

use super::format::{Column, Format, OpenFile};
use super::formats;
use super::location::{self, Listing, Partition};
use super::reading::{Reading, Rewritten, Room};
use super::version::Known;
use super::{decode, engine};
use crate::error::{Error, Result};
use crate::extract::cache::Cache;
use crate::extract::chunk::chunk_rows;
use crate::extract::input::Input;
use crate::extract::schema::{self, Found, Kind, Wanted};
use crate::interval::{Grain, Interval};
use crate::project::job::{FileFormat, FileSource, TableSpec};
use crate::rows::ColumnType;

/// A table of more chunks than this is worth reading in pieces.
const LONG: usize = 4;
/// A table with a file of more groups than this is never read in pieces: its footer takes longer to read than its rows.
const MOST_GROUPS: usize = 2048;

pub struct Scan {
    pub frame: LazyFrame,
    /// The same rows, in order, in parts that can be read one after the other.
    pub pieces: Vec<Piece>,
    pub inputs: Vec<Input>,
    pub warnings: Vec<String>,
    /// Files that were written anew for the engine; they are gone when nobody holds them any more.
    pub temporary: Vec<Arc<Rewritten>>,
}

/// A part of a file: whole groups of rows of a large one, or as many rows of a small one.
pub struct Piece {
    file: Arc<Rows>,
    from: u64,
    /// At most: those outside the interval are still among them.
    pub rows: u64,
}

impl Piece {
    pub fn frame(&self) -> Result<LazyFrame> {
        self.file.frame(Some((self.from, self.rows)))
    }

    /// Takes in the piece that follows in the same file. The engine would read a file that stands in a plan twice as one,
    /// from its beginning.
    pub fn take(&mut self, next: &Piece) -> bool {
        let follows = Arc::ptr_eq(&self.file, &next.file) && self.from + self.rows == next.from;
        if follows {
            self.rows += next.rows;
        }
        follows
    }
}

/// Looks at every file, compares their columns with the declared ones and puts one frame together.
pub fn scan(
    root: &Path,
    spec: &TableSpec,
    source: &FileSource,
    listing: &Listing,
    interval: &Interval,
    cache: &Cache,
) -> Result<Scan> {
    let span = interval.extended_back(spec.lookback_days)?;
    let partitions = location::partitions(root, &listing.files, spec);
    let files = open_all(spec, &*formats::of(&source.format), listing, &partitions, cache)?;
    let found: Vec<Vec<Found>> = files
        .iter()
        .zip(&partitions)
        .map(|(file, folders)| with_partition(file.known().columns.clone(), folders))
        .collect();
    let names: Vec<String> = listing.files.iter().map(|path| path.display().to_string()).collect();
    let sources: Vec<(&str, &[Found])> = names.iter().zip(&found).map(|(n, f)| (n.as_str(), f.as_slice())).collect();
    let wanted = schema::agree_all(spec, &sources)?;
    let during = source.time_column.as_ref().map(|name| During::new(spec, name, &wanted, &span)).transpose()?;
    let decoded: u64 = files.iter().map(|file| file.known().decoded).sum();
    // All files or none; every piece reads its file's footer again.
    let long = files.iter().map(|file| file.known().rows).sum::<u64>() > LONG as u64 * chunk_rows() as u64
        && files.iter().all(|file| file.known().groups.len() <= MOST_GROUPS);
    let (mut inputs, mut frames, mut pieces) = (Vec::with_capacity(files.len()), Vec::new(), Vec::new());
    let (mut temporary, mut without_time) = (Vec::new(), 0);
    for (((path, file), found), partition) in listing.files.iter().zip(files).zip(&found).zip(partitions) {
        let known = file.known().clone();
        let small = known.stamp.bytes() <= decode::limit() && decoded <= decode::TABLE_LIMIT;
        let own = own_columns(spec, &wanted, found, &partition);
        let rows = file.rows(&own, small, cache)?;
        let mut input = Input {
            table: spec.name.clone(),
            from: path.display().to_string(),
            rows: known.rows,
            ignored: schema::ignored(found, &wanted),
            bytes: Some(known.stamp.bytes()),
            sha256: Some(known.sha256.clone()),
            file: Some(known.stamp.clone()),
            by_engine: matches!(rows, Reading::Engine(_)),
            ..Input::default()
        };
        temporary.extend(rows.temporary());
        let decoded = matches!(rows, Reading::Decoded(_));
        let file =
            Arc::new(Rows { path: path.clone(), rows, wanted: wanted.clone(), own, partition, during: during.clone() });
        if long {
            pieces.extend(cut(&known.groups, decoded).map(|(from, rows)| Piece { file: file.clone(), from, rows }));
        }
        if let Some(during) = &during {
            (input.outside, input.without_time) = during.left_out(file.all(None)?, &known)?;
            without_time += input.without_time;
        }
        inputs.push(input);
        frames.push(file.frame(None)?);
    }
    if frames.is_empty() {
        return Err(Error::input(format!("table {}: there is no file to read", spec.name)));
    }
    let union = UnionArgs { parallel: true, rechunk: false, ..UnionArgs::default() };
    let frame =
        if frames.len() == 1 { frames.remove(0) } else { concat(frames, union).map_err(|e| plan_error(spec, &e))? };
    let mut warnings = warnings(spec, listing);
    if let (Some(during), true) = (&during, without_time > 0) {
        let (table, column) = (&spec.name, &during.column);
        warnings.push(format!("table {table}: {without_time} rows have no {column}, and belong to no interval"));
    }
    Ok(Scan { frame, pieces, inputs, warnings, temporary })
}

/// Looks at every file of a listing.
fn open_all(
    spec: &TableSpec,
    format: &dyn Format,
    listing: &Listing,
    partitions: &[Vec<Partition>],
    cache: &Cache,
) -> Result<Vec<Box<dyn OpenFile>>> {
    let room = Room::of(decode::TABLE_LIMIT);
    let open = |(path, folders): (&PathBuf, &Vec<Partition>)| format.open(path, &declared(spec, folders), &room, cache);
    listing.files.iter().zip(partitions).map(open).collect()
}

/// The declared columns that no folder gives.
fn declared(spec: &TableSpec, folders: &[Partition]) -> Vec<Column> {
    let own = spec.columns.iter().filter(|(name, _)| folder(folders, name).is_none());
    own.map(|(name, kind)| Column::of(spec, name, *kind)).collect()
}

/// What of a listing is worth a word.
fn warnings(spec: &TableSpec, listing: &Listing) -> Vec<String> {
    let mut warnings = Vec::new();
    if let (Some(first), Some(last)) = (listing.missing.first(), listing.missing.last()) {
        let n = listing.missing.len();
        warnings.push(format!(
            "table {}: {n} of {} days of the lookback have no file ({first} to {last})",
            spec.name, spec.lookback_days
        ));
    }
    if let Some(first) = listing.left_out.first() {
        let (table, n, first) = (&spec.name, listing.left_out.len(), first.display());
        warnings.push(format!(
            "table {table}: {n} files whose names begin with _ were left out as unfinished, as {first}; a pattern that begins so means them"
        ));
    }
    warnings
}

/// A folder's value stands for a column of the same name in the file.
fn with_partition(mut columns: Vec<Found>, partition: &[Partition]) -> Vec<Found> {
    columns.retain(|found| partition.iter().all(|folder| folder.key != found.name));
    columns.extend(partition.iter().map(|folder| match &folder.value {
        Some(value) => Found::new(&folder.key, Kind::Of(folder.kind), format!("the folder {}={value}", folder.key)),
        None => Found::new(&folder.key, Kind::Null, "NULL by the name of its folder"),
    }));
    columns
}

/// Where to cut a file, as first row and number of rows. A large file is decoded group by group, so it is cut between them.
fn cut(groups: &[u64], small: bool) -> impl Iterator<Item = (u64, u64)> {
    let (rows, chunk) = (groups.iter().sum::<u64>(), chunk_rows() as u64);
    let mut ends: Vec<u64> = match small {
        true => (0..rows).step_by(chunk_rows()).map(|from| (from + chunk).min(rows)).collect(),
        false => groups
            .iter()
            .scan(0, |end, rows| {
                *end += rows;
                Some(*end)
            })
            .collect(),
    };
    ends.dedup();
    let mut from = 0;
    ends.into_iter().map(move |end| (std::mem::replace(&mut from, end), end)).map(|(from, end)| (from, end - from))
}

/// The wanted columns that stand in the file itself.
fn own_columns(spec: &TableSpec, wanted: &Wanted, found: &[Found], partition: &[Partition]) -> Vec<Column> {
    let uuid = |name: &str| found.iter().any(|found| found.name == name && found.kind == Kind::Uuid);
    let own = wanted.iter().filter(|(name, _)| folder(partition, name).is_none());
    own.map(|(name, kind)| Column { uuid: uuid(name), ..Column::of(spec, name, *kind) }).collect()
}

/// The columns of a file, the folders it lies in included.
pub fn described(root: &Path, path: &Path, spec: &TableSpec, format: &FileFormat) -> Result<Vec<Found>> {
    let folders = location::partitions(root, &[path.to_owned()], spec).remove(0);
    let found = formats::of(format).describe(path, &declared(spec, &folders))?;
    Ok(with_partition(found, &folders))
}

/// The named columns of any one file, each as the type it has; one that is all NULL as the type given. What comes with
/// the rows must live as long as they are read.
pub fn standalone(
    path: &Path,
    names: &[(&str, ColumnType)],
    cache: &Cache,
) -> Result<(LazyFrame, Option<Arc<Rewritten>>)> {
    let file = formats::of(&FileFormat::Parquet).open(path, &[], &Room::of(0), cache)?;
    let known = file.known();
    let spec = TableSpec::loose("input");
    let named = |found: &Found| {
        let (_, kind) = names.iter().find(|(name, _)| *name == found.name)?;
        let typed = Found { kind: Kind::Of(*kind), ..found.clone() };
        Some(if found.kind == Kind::Null { typed } else { found.clone() })
    };
    let found: Vec<Found> = known.columns.iter().filter_map(named).collect();
    let wanted = schema::agree(&spec, &path.display().to_string(), &found)?;
    let own = own_columns(&spec, &wanted, &found, &[]);
    let naive = known.columns.iter().filter(|found| found.kind == Kind::Naive).map(|found| found.name.clone());
    let naive: Vec<String> = naive.filter(|name| own.iter().any(|column| column.name == *name)).collect();
    let small = known.stamp.bytes() <= decode::limit() && known.decoded <= decode::TABLE_LIMIT;
    let rows = file.rows(&own, small, cache)?;
    let temporary = rows.temporary();
    let rows = Rows { path: path.to_owned(), rows, wanted, own, partition: Vec::new(), during: None };
    // Without a job there is no clock to read them by: they stay as they stand.
    let bare = |name: &String| col(name.as_str()).cast(DataType::Datetime(TimeUnit::Microseconds, None));
    Ok((rows.frame(None)?.with_columns(naive.iter().map(bare).collect::<Vec<_>>()), temporary))
}

/// The rows of one file as the wanted columns.
struct Rows {
    path: PathBuf,
    rows: Reading,
    wanted: Wanted,
    /// Those of them that stand in the file itself.
    own: Vec<Column>,
    partition: Vec<Partition>,
    during: Option<During>,
}

/// Only rows of which a column lies in the span of the table.
#[derive(Clone)]
struct During {
    column: String,
    kind: ColumnType,
    /// Half-open: microseconds, or days.
    bounds: (i64, i64),
}

impl During {
    fn new(spec: &TableSpec, column: &str, wanted: &Wanted, span: &Interval) -> Result<During> {
        let kind = wanted.iter().find(|(name, _)| name == column).map(|(_, kind)| *kind);
        let bounds = match kind {
            Some(ColumnType::Timestamp) => (span.start.timestamp_micros(), span.end.timestamp_micros()),
            Some(ColumnType::Date) if span.grain == Grain::Day => span.days(),
            Some(ColumnType::Date) => {
                return Err(Error::config(format!("table {}: the time_column {column:?} is a date", spec.name))
                    .hint("an hour needs a timestamp: by its date every hour would take the whole day"));
            }
            other => {
                let what = other.map_or("is not there".into(), |kind| format!("is {}", kind.name()));
                return Err(Error::data(format!("table {}: the time_column {column:?} {what}", spec.name))
                    .hint("it must be a timestamp or a date among the columns of the table"));
            }
        };
        Ok(During { column: column.to_owned(), kind: kind.unwrap_or(ColumnType::Timestamp), bounds })
    }

    fn inside(&self) -> Expr {
        let at = |value: i64| match self.kind {
            ColumnType::Date => lit(value as i32).cast(self.kind.polars()),
            kind => lit(value).cast(kind.polars()),
        };
        let column = || col(self.column.as_str());
        column().gt_eq(at(self.bounds.0)).and(column().lt(at(self.bounds.1)))
    }

    /// How many rows are outside of the span, and how many have no time.
    fn left_out(&self, rows: LazyFrame, known: &Known) -> Result<(u64, u64)> {
        let failed = |e: PolarsError| Error::input(format!("the column {:?} cannot be read", self.column)).cause(e);
        let count = |rows: LazyFrame| -> Result<u64> {
            let counted = rows.select([len().cast(DataType::Int64).alias("n")]);
            let counted = counted.collect_with_engine(Engine::Streaming).map_err(failed)?.unwrap_single();
            Ok(counted.column("n").and_then(|n| Ok(n.i64()?.get(0))).map_err(failed)?.unwrap_or(0) as u64)
        };
        // Only the groups of rows that may hold the span are read, and what has no time, the file mostly says itself.
        let inside = count(rows.clone().filter(self.inside()))?;
        let missing = match known.nulls.get(&self.column) {
            Some(missing) => *missing,
            None => count(rows.filter(col(self.column.as_str()).is_null()))?,
        };
        Ok((known.rows.saturating_sub(inside + missing), missing))
    }
}

impl Rows {
    /// All rows of the span, or those of a part of the file.
    fn frame(&self, part: Option<(u64, u64)>) -> Result<LazyFrame> {
        let frame = self.all(part)?;
        Ok(match &self.during {
            Some(during) => frame.filter(during.inside()),
            None => frame,
        })
    }

    /// All rows, or so many from one on.
    fn all(&self, part: Option<(u64, u64)>) -> Result<LazyFrame> {
        let scanned = |path: &Path| -> Result<LazyFrame> {
            let rows = match part {
                None => engine::scan(path)?,
                Some((from, n)) => engine::scan(path)?.slice(from as i64, n as IdxSize),
            };
            let cast = |column: &Column| col(column.name.as_str()).strict_cast(column.kind.polars());
            Ok(rows.select(self.own.iter().map(cast).collect::<Vec<_>>()))
        };
        let frame = match (&self.rows, part) {
            (Reading::Decoded(rows), None) => rows.clone().lazy(),
            (Reading::Decoded(rows), Some((from, n))) => rows.slice(from as i64, n as usize).lazy(),
            (Reading::Engine(path), _) => scanned(path)?,
            (Reading::Rewritten(file), _) => scanned(file.path())?,
        };
        let literals = self
            .wanted
            .iter()
            .filter_map(|(name, kind)| Some((folder(&self.partition, name)?, kind)))
            .map(|(folder, kind)| {
                Ok(literal(&self.path, folder, *kind)?.strict_cast(kind.polars()).alias(folder.key.as_str()))
            })
            .collect::<Result<Vec<Expr>>>()?;
        let columns: Vec<Expr> = self.wanted.iter().map(|(name, _)| col(name.as_str())).collect();
        Ok(frame.with_columns(literals).select(columns))
    }
}

/// The folder that stands for a column.
fn folder<'a>(partition: &'a [Partition], name: &str) -> Option<&'a Partition> {
    partition.iter().find(|folder| folder.key == name)
}

/// The value of a `key=value` folder, as its type.
fn literal(path: &Path, folder: &Partition, kind: ColumnType) -> Result<Expr> {
    let Some(value) = folder.value.as_deref() else { return Ok(lit(NULL)) };
    let key = &folder.key;
    let wrong = || Error::input(format!("{}: {key}={value} is not of the type {}", path.display(), kind.name()));
    Ok(match kind {
        ColumnType::Date => {
            let date = value.parse::<NaiveDate>().map_err(|_| wrong())?;
            lit(date.to_epoch_days()).cast(DataType::Date)
        }
        ColumnType::Int => lit(value.parse::<i64>().map_err(|_| wrong())?),
        ColumnType::Float => lit(value.parse::<f64>().map_err(|_| wrong())?),
        ColumnType::Bool => lit(value.parse::<bool>().map_err(|_| wrong())?),
        ColumnType::Text => lit(value),
        ColumnType::Timestamp => return Err(wrong()),
    })
}

fn plan_error(spec: &TableSpec, error: &PolarsError) -> Error {
    Error::data(format!("table {}: its files do not fit together", spec.name)).cause(error)
}

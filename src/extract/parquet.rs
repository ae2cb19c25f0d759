//! Parquet files as a table: which files an interval needs, whether they are whole and as declared, and one lazy scan
//! over them with projection and predicate pushdown.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use chrono::NaiveDate;
use polars::prelude::*;

use super::cache::{Cache, Known};
use super::copy_stream::chunk_rows;
use super::decode::{self, Column, Rewritten};
use super::describe;
use super::files::{self, Listing, Partition};
use super::footer::{self, footer};
use super::schema::{self, Found, Kind, Wanted};
use super::{Input, canonical};
use crate::error::{Error, Result};
use crate::interval::{Grain, Interval};
use crate::project::job::{ColumnType, ParquetSource, TableSpec};

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

/// A file as it was when the run listed it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stamp {
    path: PathBuf,
    bytes: u64,
    modified: Option<SystemTime>,
}

impl Stamp {
    pub fn of(path: &Path) -> Result<Stamp> {
        let metadata = std::fs::metadata(path).map_err(|e| Error::unreadable(path, &e))?;
        Ok(Stamp { path: path.to_owned(), bytes: metadata.len(), modified: metadata.modified().ok() })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Microseconds since 1970.
    pub fn modified_micros(&self) -> Option<i64> {
        let since = self.modified?.duration_since(SystemTime::UNIX_EPOCH).ok()?;
        i64::try_from(since.as_micros()).ok()
    }

    /// The file must still be what the run read.
    pub fn recheck(&self) -> Result<()> {
        match Stamp::of(&self.path) {
            Ok(now) if now == *self => Ok(()),
            _ => Err(self.changed()),
        }
    }

    /// The file is not what it was.
    pub fn changed(&self) -> Error {
        Error::input(format!("{} changed while it was being read", self.path.display()))
            .hint("run again when the writer has finished; writers should rename a whole file into place")
            .transient()
    }
}

/// Reads the footers, compares them with the declared columns and puts one lazy scan together.
pub fn scan(
    root: &Path,
    spec: &TableSpec,
    source: &ParquetSource,
    listing: &Listing,
    interval: &Interval,
    cache: &Cache,
) -> Result<Scan> {
    let span = interval.extended_back(spec.lookback_days)?;
    let known = listing.files.iter().map(|path| cache.file(path)).collect::<Result<Vec<_>>>()?;
    let partitions = files::partitions(root, &listing.files, spec);
    let found: Vec<Vec<Found>> =
        known.iter().zip(&partitions).map(|(known, folders)| with_partition(known.columns.clone(), folders)).collect();
    let names: Vec<String> = listing.files.iter().map(|path| path.display().to_string()).collect();
    let sources: Vec<(&str, &[Found])> = names.iter().zip(&found).map(|(n, f)| (n.as_str(), f.as_slice())).collect();
    let wanted = schema::agree_all(spec, &sources)?;
    let during = source.time_column.as_ref().map(|name| During::new(spec, name, &wanted, &span)).transpose()?;
    let decoded: u64 = known.iter().map(|known| known.decoded).sum();
    // All files or none; every piece reads its file's footer again.
    let long = known.iter().map(|known| known.rows).sum::<u64>() > LONG as u64 * chunk_rows() as u64
        && known.iter().all(|known| known.groups.len() <= MOST_GROUPS);
    let (mut inputs, mut frames, mut pieces) = (Vec::with_capacity(known.len()), Vec::new(), Vec::new());
    let (mut temporary, mut without_time) = (Vec::new(), 0);
    for (((path, known), found), partition) in listing.files.iter().zip(known).zip(&found).zip(partitions) {
        let mut input = Input {
            table: spec.name.clone(),
            from: path.display().to_string(),
            rows: known.rows,
            ignored: schema::ignored(found, &wanted),
            bytes: Some(known.stamp.bytes),
            sha256: Some(known.sha256.clone()),
            file: Some(known.stamp.clone()),
            ..Input::default()
        };
        let small = known.stamp.bytes() <= decode::limit() && decoded <= decode::TABLE_LIMIT;
        let own = own_columns(spec, &wanted, found, &partition);
        let rows = rows(path, &known, &own, small, cache)?;
        temporary.extend(rows.temporary());
        let file =
            Arc::new(Rows { path: path.clone(), rows, wanted: wanted.clone(), own, partition, during: during.clone() });
        if long {
            pieces.extend(cut(&known.groups, small).map(|(from, rows)| Piece { file: file.clone(), from, rows }));
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
    let mut warnings = told(spec, listing);
    if let (Some(during), true) = (&during, without_time > 0) {
        let (table, column) = (&spec.name, &during.column);
        warnings.push(format!("table {table}: {without_time} rows have no {column}, and belong to no interval"));
    }
    Ok(Scan { frame, pieces, inputs, warnings, temporary })
}

/// What of a listing is worth a word.
fn told(spec: &TableSpec, listing: &Listing) -> Vec<String> {
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

/// The wanted columns that stand in the file itself.
fn own_columns(spec: &TableSpec, wanted: &Wanted, found: &[Found], partition: &[Partition]) -> Vec<Column> {
    let own = wanted.iter().filter(|(name, _)| folder(partition, name).is_none());
    own.map(|(name, kind)| Column {
        name: name.clone(),
        kind: *kind,
        zone: spec.zone_of(name),
        uuid: found.iter().any(|found| found.name == *name && found.kind == Kind::Uuid),
    })
    .collect()
}

/// The named columns of any one file, each as the type it has; one that is all NULL as the type given. What comes with
/// the rows must live as long as they are read.
pub fn loose(path: &Path, names: &[(&str, ColumnType)], cache: &Cache) -> Result<(LazyFrame, Option<Arc<Rewritten>>)> {
    let known = cache.file(path)?;
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
    let rows = rows(path, &known, &own, small, cache)?;
    let temporary = rows.temporary();
    let rows = Rows { path: path.to_owned(), rows, wanted, own, partition: Vec::new(), during: None };
    // Without a job there is no clock to read them by: they stay as they stand.
    let bare = |name: &String| col(name.as_str()).cast(DataType::Datetime(TimeUnit::Microseconds, None));
    Ok((rows.frame(None)?.with_columns(naive.iter().map(bare).collect::<Vec<_>>()), temporary))
}

/// How the rows of a file are read: small ones now, large ones by the engine, from a file that our reader wrote if the
/// engine would not give the same values.
fn rows(path: &Path, known: &Known, own: &[Column], small: bool, cache: &Cache) -> Result<Reading> {
    if own.is_empty() {
        // Its folders say everything, and how many rows there are, its footer.
        let rows = DataFrame::new(known.rows as usize, Vec::new());
        return rows.map(Reading::Decoded).map_err(|e| Error::defect("a frame without columns").cause(e));
    }
    if small {
        return Ok(Reading::Decoded(cache.frame(&format!("{own:?}"), known, || decode::decode(path, known, own))?));
    }
    match own.iter().all(|column| known.plain.contains(&column.name)) && engine_reads(path, own) {
        true => {
            // Of a large file this was done when it was first seen.
            if known.stamp.bytes() <= decode::limit() {
                footer::pages(path, &footer(path)?)?;
            }
            Ok(Reading::Engine(path.to_owned()))
        }
        false => {
            Ok(Reading::Rewritten(cache.rewritten(&format!("{own:?}"), known, || decode::rewrite(path, known, own))?))
        }
    }
}

/// Whether the engine opens the file and sees in it what our reader sees.
fn engine_reads(path: &Path, own: &[Column]) -> bool {
    let schema = || large(path).ok()?.collect_schema().ok();
    let Ok(Some(schema)) = std::panic::catch_unwind(schema) else { return false };
    own.iter().all(|column| match (schema.get(&column.name), column.kind) {
        (Some(held), ColumnType::Int) => held.is_integer(),
        (Some(held), ColumnType::Float) => held.is_float(),
        (Some(DataType::Datetime(TimeUnit::Microseconds, zone)), ColumnType::Timestamp) => zone.is_some(),
        (Some(held), kind) => *held == canonical(kind),
        (None, _) => false,
    })
}

/// The columns of a file, the folders it lies in included.
pub fn described(root: &Path, path: &Path, spec: &TableSpec) -> Result<Vec<Found>> {
    let folders = files::partitions(root, &[path.to_owned()], spec).remove(0);
    Ok(with_partition(describe::columns(path, &footer(path)?)?, &folders))
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

/// Where the rows of a file come from.
enum Reading {
    Decoded(DataFrame),
    Engine(PathBuf),
    Rewritten(Arc<Rewritten>),
}

impl Reading {
    fn temporary(&self) -> Option<Arc<Rewritten>> {
        match self {
            Reading::Rewritten(file) => Some(file.clone()),
            _ => None,
        }
    }
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
            ColumnType::Date => lit(value as i32).cast(canonical(self.kind)),
            kind => lit(value).cast(canonical(kind)),
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
                None => large(path)?,
                Some((from, n)) => large(path)?.slice(from as i64, n as IdxSize),
            };
            let cast = |column: &Column| col(column.name.as_str()).strict_cast(canonical(column.kind));
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
                Ok(literal(&self.path, folder, *kind)?.strict_cast(canonical(*kind)).alias(folder.key.as_str()))
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

fn large(path: &Path) -> Result<LazyFrame> {
    let args = ScanArgsParquet {
        glob: false,
        hive_options: polars::io::HiveOptions::new_disabled(),
        ..ScanArgsParquet::default()
    };
    let name = path.to_str().ok_or_else(|| Error::config(format!("the path {} is not UTF-8", path.display())))?;
    LazyFrame::scan_parquet(PlRefPath::new(name), args)
        .map_err(|e| Error::input(format!("cannot read {}", path.display())).cause(e))
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

/// Everything about a file that its stamp vouches for.
pub fn know(path: &Path) -> Result<Known> {
    let stamp = Stamp::of(path)?;
    let footer = footer(path)?;
    if stamp.bytes > decode::limit() {
        footer::pages(path, &footer)?;
    }
    let columns = describe::columns(path, &footer)?;
    Ok(Known {
        plain: describe::plain(&footer, &columns),
        nulls: describe::nulls(&footer),
        columns,
        rows: footer.file_metadata().num_rows().max(0) as u64,
        groups: footer.row_groups().iter().map(|group| group.num_rows().max(0) as u64).collect(),
        decoded: footer.row_groups().iter().map(|group| group.total_byte_size().max(0) as u64).sum(),
        sha256: crate::digest::file_hex(path)?,
        stamp,
    })
}

/// Decodes every page of a file, to find out whether it is the reason why a plan failed.
pub fn verify(path: &Path) -> Result<()> {
    let damaged =
        |e: String| Error::input(format!("{} is damaged", path.display())).cause(e).hint("replace it with a whole one");
    let file = File::open(path).map_err(|e| Error::unreadable(path, &e))?;
    let read = move || -> Result<(), String> {
        for batch in crate::parquet_file::reader(file, |_| true).map_err(|e| e.to_string())? {
            batch.map_err(|e| e.to_string())?;
        }
        Ok(())
    };
    match std::panic::catch_unwind(std::panic::AssertUnwindSafe(read)) {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(damaged(error)),
        Err(_) => Err(damaged("a page makes no sense".into())),
    }
}

fn plan_error(spec: &TableSpec, error: &PolarsError) -> Error {
    Error::data(format!("table {}: its files do not fit together", spec.name)).cause(error)
}

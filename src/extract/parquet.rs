//! Parquet files as a table: which files an interval needs, whether they are whole and as declared, and one lazy scan
//! over them with projection and predicate pushdown.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use arrow::datatypes::DataType as ArrowType;
use chrono::{Datelike, NaiveDate};
use parquet::arrow::parquet_to_arrow_schema;
use parquet::file::metadata::ParquetMetaData;
use polars::prelude::*;

use super::cache::{Cache, Known};
use super::footer::{self, footer};
use super::incoming::chunk_rows;
use super::{Input, agree, canonical, ignored, small};
use crate::error::{Error, Result};
use crate::interval::Interval;
use crate::project::job::{ColumnType, MissingLookback, TableSpec};

/// The files of a table, and the dates of its lookback that have none.
pub struct Listing {
    pub files: Vec<PathBuf>,
    pub missing: Vec<String>,
}

/// A table of more chunks than this is worth reading in pieces.
const LONG: usize = 4;
/// ... but not one with a file of more groups than this, whose footer takes longer to read than its rows.
const MOST_GROUPS: usize = 2048;

pub struct Scan {
    pub frame: LazyFrame,
    /// The same rows, in order, in parts that can be read one after the other.
    pub pieces: Vec<Piece>,
    pub inputs: Vec<Input>,
    pub warnings: Vec<String>,
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

/// The files of the interval and of its lookback. A missing file of the interval itself is never an empty day.
pub fn list(root: &Path, spec: &TableSpec, template: &str, interval: &Interval) -> Result<Listing> {
    let span = interval.extended_back(spec.lookback_days)?;
    let own = slots(template, interval);
    let mut patterns: BTreeMap<String, bool> = BTreeMap::new();
    for (date, hour) in slots(template, &span) {
        let required = own.contains(&(date, hour)) || spec.missing_lookback == MissingLookback::Error;
        let entry = patterns.entry(fill(template, date, hour)).or_insert(required);
        *entry |= required;
    }
    let mut listing = Listing { files: Vec::new(), missing: Vec::new() };
    for (pattern, required) in patterns {
        let files = glob_files(root, &pattern)?;
        if files.is_empty() && required {
            return Err(Error::input(format!("table {}: no file matches {pattern}", spec.name))
                .hint("a missing file is never an empty day: wait for it, or write an empty Parquet file"));
        }
        if files.is_empty() {
            listing.missing.push(pattern);
        }
        listing.files.extend(files);
    }
    listing.files.sort();
    listing.files.dedup();
    Ok(listing)
}

fn slots(template: &str, span: &Interval) -> Vec<(NaiveDate, Option<u32>)> {
    match template.contains("{hour}") {
        true => span.local_hours().into_iter().map(|(date, hour)| (date, Some(hour))).collect(),
        false => span.dates().into_iter().map(|date| (date, None)).collect(),
    }
}

fn fill(template: &str, date: NaiveDate, hour: Option<u32>) -> String {
    template
        .replace("{date}", &date.to_string())
        .replace("{year}", &format!("{:04}", date.year()))
        .replace("{month}", &format!("{:02}", date.month()))
        .replace("{day}", &format!("{:02}", date.day()))
        .replace("{hour}", &format!("{:02}", hour.unwrap_or(0)))
}

fn glob_files(root: &Path, pattern: &str) -> Result<Vec<PathBuf>> {
    if !pattern.contains(['*', '?', '[']) {
        let path = root.join(pattern);
        return Ok(if path.exists() { vec![path] } else { Vec::new() });
    }
    let full = Path::new(&glob::Pattern::escape(&root.to_string_lossy())).join(pattern);
    let paths = glob::glob(&full.to_string_lossy())
        .map_err(|e| Error::config(format!("the pattern {pattern} is wrong")).cause(e))?;
    paths
        .map(|path| path.map_err(|e| Error::new(crate::error::Class::Io, format!("cannot list {pattern}")).cause(e)))
        .filter(|path| path.as_ref().map_or(true, |p| p.is_file()))
        .collect()
}

/// Reads the footers, compares them with the declared columns and puts one lazy scan together.
pub fn scan(
    root: &Path,
    spec: &TableSpec,
    time_column: Option<&str>,
    listing: &Listing,
    interval: &Interval,
    cache: &Cache,
) -> Result<Scan> {
    let mut inputs = Vec::with_capacity(listing.files.len());
    let (mut frames, mut pieces) = (Vec::new(), Vec::new());
    let span = interval.extended_back(spec.lookback_days)?;
    let during = time_column.map(|name| (name.to_owned(), span.start.timestamp_micros(), span.end.timestamp_micros()));
    let known = listing.files.iter().map(|path| cache.file(path)).collect::<Result<Vec<_>>>()?;
    let decoded: u64 = known.iter().map(|known| known.decoded).sum();
    // All files or none; every piece reads its file's footer again.
    let long = known.iter().map(|known| known.rows).sum::<u64>() > LONG as u64 * chunk_rows() as u64
        && known.iter().all(|known| known.groups.len() <= MOST_GROUPS);
    for (path, known) in listing.files.iter().zip(known) {
        let partition = hive(root, path, spec);
        let found = with_partition(known.columns.clone(), &partition);
        let wanted = agree(spec, &path.display().to_string(), &found)?;
        let names: Vec<&String> = wanted.iter().map(|(name, _)| name).collect();
        inputs.push(Input {
            table: spec.name.clone(),
            from: path.display().to_string(),
            rows: known.rows,
            ignored: ignored(found.iter().map(|(name, ..)| name), &names),
            bytes: Some(known.stamp.bytes),
            sha256: Some(known.sha256.clone()),
            file: Some(known.stamp.clone()),
            ..Input::default()
        });
        let small = known.stamp.bytes() <= small::limit() && decoded <= small::TABLE_LIMIT;
        let own: Vec<_> = wanted.iter().filter(|(name, _)| folder(&partition, name).is_none()).cloned().collect();
        let decode = || cache.frame(&spec.name, &known, || small::decode(path, &known, &own));
        let decoded = if small { Some(decode()?) } else { None };
        let file = Arc::new(Rows { path: path.clone(), decoded, wanted, own, partition, during: during.clone() });
        if long {
            pieces.extend(cut(&known.groups, small).map(|(from, rows)| Piece { file: file.clone(), from, rows }));
        }
        frames.push(file.frame(None)?);
    }
    if frames.is_empty() {
        return Err(Error::input(format!("table {}: there is no file to read", spec.name)));
    }
    let union = UnionArgs { parallel: true, rechunk: false, ..UnionArgs::default() };
    let frame =
        if frames.len() == 1 { frames.remove(0) } else { concat(frames, union).map_err(|e| plan_error(spec, &e))? };
    let mut warnings = Vec::new();
    if let (Some(first), Some(last)) = (listing.missing.first(), listing.missing.last()) {
        let n = listing.missing.len();
        warnings.push(format!(
            "table {}: {n} of {} days of the lookback have no file ({first} to {last})",
            spec.name, spec.lookback_days
        ));
    }
    Ok(Scan { frame, pieces, inputs, warnings })
}

/// Name, family and full type of each column of a file, the folders it lies in included.
pub fn described(root: &Path, path: &Path, spec: &TableSpec) -> Result<Described> {
    Ok(with_partition(columns(path, &footer(path)?)?, &hive(root, path, spec)))
}

pub type Described = Vec<(String, Option<ColumnType>, String)>;

/// A folder's value stands for a column of the same name in the file.
fn with_partition(mut columns: Described, partition: &[(String, String, ColumnType)]) -> Described {
    columns.retain(|(name, ..)| !partition.iter().any(|(key, ..)| key == name));
    columns.extend(
        partition.iter().map(|(key, value, kind)| (key.clone(), Some(*kind), format!("the folder {key}={value}"))),
    );
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

/// The rows of one file as the wanted columns: those of a small one are decoded, those of a large one are scanned by the
/// engine.
struct Rows {
    path: PathBuf,
    decoded: Option<DataFrame>,
    wanted: Vec<(String, ColumnType)>,
    /// Those of them that stand in the file itself.
    own: Vec<(String, ColumnType)>,
    partition: Vec<(String, String, ColumnType)>,
    /// Only rows of which this column lies between these microseconds.
    during: Option<(String, i64, i64)>,
}

impl Rows {
    /// All rows, or so many from one on.
    fn frame(&self, part: Option<(u64, u64)>) -> Result<LazyFrame> {
        let cast = |(name, kind): &(String, ColumnType)| col(name.as_str()).strict_cast(canonical(*kind));
        let rows = match (&self.decoded, part) {
            (Some(rows), None) => rows.clone().lazy(),
            (Some(rows), Some((from, n))) => rows.slice(from as i64, n as usize).lazy(),
            (None, None) => large(&self.path)?,
            (None, Some((from, n))) => large(&self.path)?.slice(from as i64, n as IdxSize),
        };
        let frame = match self.decoded {
            Some(_) => rows,
            None => rows.select(self.own.iter().map(cast).collect::<Vec<_>>()),
        };
        let literals = self
            .wanted
            .iter()
            .filter_map(|(name, kind)| Some((name, folder(&self.partition, name)?, kind)))
            .map(|(name, value, kind)| {
                Ok(literal(&self.path, name, value, *kind)?.strict_cast(canonical(*kind)).alias(name.as_str()))
            })
            .collect::<Result<Vec<Expr>>>()?;
        let columns: Vec<Expr> = self.wanted.iter().map(|(name, _)| col(name.as_str())).collect();
        let frame = frame.with_columns(literals).select(columns);
        let Some((name, start, end)) = &self.during else { return Ok(frame) };
        let at = |micros: i64| lit(micros).cast(canonical(ColumnType::Timestamp));
        Ok(frame.filter(col(name.as_str()).gt_eq(at(*start)).and(col(name.as_str()).lt(at(*end)))))
    }
}

/// The value of a folder that stands for a column.
fn folder<'a>(partition: &'a [(String, String, ColumnType)], name: &str) -> Option<&'a str> {
    partition.iter().find(|(key, ..)| key == name).map(|(_, value, _)| value.as_str())
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
fn literal(path: &Path, key: &str, value: &str, kind: ColumnType) -> Result<Expr> {
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

/// `key=value` folders of the path: columns, of the declared type or of the type the value looks like.
fn hive(root: &Path, path: &Path, spec: &TableSpec) -> Vec<(String, String, ColumnType)> {
    // Folders above the project are not the data's.
    let own = path.strip_prefix(root).ok().and_then(Path::parent);
    let folder = own.map(|p| p.to_string_lossy().into_owned()).unwrap_or_default();
    let parts = folder.split('/').filter_map(|part| part.split_once('='));
    parts
        .map(|(key, value)| {
            let declared = spec.columns.iter().find(|(name, _)| name == key).map(|(_, kind)| *kind);
            let kind = declared.unwrap_or_else(|| match value {
                v if v.parse::<NaiveDate>().is_ok() => ColumnType::Date,
                v if v.parse::<i64>().is_ok() => ColumnType::Int,
                _ => ColumnType::Text,
            });
            (key.to_owned(), value.to_owned(), kind)
        })
        .collect()
}

/// Everything about a file that its stamp vouches for.
pub fn know(path: &Path) -> Result<Known> {
    let stamp = Stamp::of(path)?;
    let footer = footer(path)?;
    if stamp.bytes > small::limit() {
        footer::pages(path, &footer)?;
    }
    Ok(Known {
        columns: columns(path, &footer)?,
        rows: footer.file_metadata().num_rows().max(0) as u64,
        groups: footer.row_groups().iter().map(|group| group.num_rows().max(0) as u64).collect(),
        decoded: footer.row_groups().iter().map(|group| group.total_byte_size().max(0) as u64).sum(),
        sha256: crate::digest::file_hex(path)?,
        stamp,
    })
}

/// Name, family and full type of each column.
fn columns(path: &Path, footer: &ParquetMetaData) -> Result<Described> {
    let metadata = footer.file_metadata();
    let schema = parquet_to_arrow_schema(metadata.schema_descr(), metadata.key_value_metadata())
        .map_err(|e| Error::input(format!("{} has a schema that makes no sense", path.display())).cause(e))?;
    Ok(schema
        .fields()
        .iter()
        .map(|field| (field.name().clone(), family(field.data_type()), field.data_type().to_string()))
        .collect())
}

fn family(kind: &ArrowType) -> Option<ColumnType> {
    Some(match kind {
        ArrowType::Boolean => ColumnType::Bool,
        k if k.is_integer() => ColumnType::Int,
        ArrowType::Float32 | ArrowType::Float64 => ColumnType::Float,
        ArrowType::Utf8 | ArrowType::LargeUtf8 | ArrowType::Utf8View => ColumnType::Text,
        ArrowType::Dictionary(_, value) => return family(value).filter(|f| *f == ColumnType::Text),
        ArrowType::Date32 => ColumnType::Date,
        ArrowType::Timestamp(_, Some(_)) => ColumnType::Timestamp,
        _ => return None,
    })
}

/// Decodes every page of a file, to find out whether it is the reason why a plan failed.
pub fn verify(path: &Path) -> Result<()> {
    let damaged =
        |e: String| Error::input(format!("{} is damaged", path.display())).cause(e).hint("replace it with a whole one");
    let file = File::open(path).map_err(|e| Error::unreadable(path, &e))?;
    let read = move || -> Result<(), String> {
        let reader =
            parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder::try_new(file).map_err(|e| e.to_string())?;
        for batch in reader.build().map_err(|e| e.to_string())? {
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

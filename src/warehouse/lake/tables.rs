//! The tables of a folder of Parquet files, as they stand.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::path::{Path, PathBuf};

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type, TimestampMicrosecondType};
use arrow::util::display::array_value_to_string;
use chrono::{DateTime, Utc};

use super::files::{Folder, same};
use super::load::{LakeLoad, stored};
use super::manifest;
use crate::digest::{self, ContentHash};
use crate::error::{Error, Result};
use crate::identifier::Identifier;
use crate::ledger::Db;
use crate::parquet_file;
use crate::postgres::encode::{Tail, encode};
use crate::warehouse::table::{Column, SqlType, TableSchema};
use crate::warehouse::{Lineage, LoadPath, Tables, Task, Warehouse};

/// The folder.
pub struct Lake {
    pub path: PathBuf,
}

impl Tables for Lake {
    fn columns<'a>(&'a self, _: &'a mut Db, table: &'a Identifier) -> Task<'a, Vec<(String, String)>> {
        Box::pin(async move { Ok(manifest::read(&Folder::of(&self.path, table))?.columns) })
    }

    fn check<'a>(&'a self, db: &'a mut Db, table: &'a TableSchema) -> Task<'a, ()> {
        Box::pin(async move { table.agrees_with(&self.columns(db, &table.name).await?) })
    }

    fn missing<'a>(
        &'a self,
        db: &'a mut Db,
        table: &'a Identifier,
        starts: &'a [DateTime<Utc>],
    ) -> Task<'a, Vec<DateTime<Utc>>> {
        Box::pin(async move {
            let folder = Folder::of(&self.path, table);
            let current = manifest::read(&folder)?;
            let (ledger, _) = manifest::of_ledger(db, &self.path, table).await?;
            let run = |start: &DateTime<Utc>| ledger.intervals.iter().find(|entry| entry.start == *start);
            // A reader by the manifest and one by the names must both see the run that the ledger knows.
            let seen = |start: &&DateTime<Utc>| {
                run(start).is_some_and(|of| {
                    current.intervals.iter().any(|entry| entry.start == of.start && entry.run_id == of.run_id)
                        && folder.visible(&of.interval).is_file()
                })
            };
            Ok(starts.iter().filter(|start| !seen(start)).copied().collect())
        })
    }

    fn content<'a>(
        &'a self,
        _: &'a mut Db,
        table: &'a Identifier,
        columns: &'a [Column],
        start: DateTime<Utc>,
    ) -> Task<'a, ContentHash> {
        Box::pin(async move {
            let folder = Folder::of(&self.path, table);
            let current = manifest::read(&folder)?;
            let Some(entry) = current.intervals.into_iter().find(|entry| entry.start == start) else {
                return Ok(ContentHash::default());
            };
            let (version, visible) = (folder.version(&entry.run_id), folder.visible(&entry.interval));
            let by_manifest = content(&version, columns)?;
            let by_name = if same(&version, &visible) { by_manifest } else { content(&visible, columns)? };
            // Of two answers the one that is wrong is told.
            Ok(if by_name.hex() == entry.content { by_manifest } else { by_name })
        })
    }

    fn lineage<'a>(&'a self, _: &'a mut Db, table: &'a Identifier) -> Task<'a, Vec<Lineage>> {
        Box::pin(async move {
            let folder = Folder::of(&self.path, table);
            let mut counts = BTreeMap::new();
            for path in visible_files(&folder)? {
                each(
                    &path,
                    |name| ["interval_start", "model", "model_version", "run_id"].contains(&name),
                    |batch| count(&path, batch, &mut counts),
                )?;
            }
            let row = |((start, run_id, model), rows)| Lineage { start, run_id, model, rows };
            Ok(counts.into_iter().map(row).collect())
        })
    }

    fn recover<'a>(&'a self, db: &'a mut Db) -> Task<'a, ()> {
        Box::pin(async move {
            let sql = "SELECT DISTINCT table_name FROM {intervals} WHERE run_id IS NOT NULL AND table_name IS NOT NULL";
            for row in db.fetch(sql, &[]).await? {
                let Some(name) = row.into_iter().next().flatten().filter(|name| !name.is_empty()) else { continue };
                // One table that cannot be brought up is no reason to publish to none.
                if let Err(error) = self.bring_up(db, &name).await {
                    tracing::warn!("the table {name} is not brought up to the ledger: {error}");
                }
            }
            Ok(())
        })
    }

    fn load(&self, _: Option<LoadPath>) -> Box<dyn Warehouse> {
        Box::new(LakeLoad::new(self.path.clone()))
    }
}

impl Lake {
    /// Shows what the ledger has of a table, where readers do not see it yet.
    async fn bring_up(&self, db: &mut Db, name: &str) -> Result<()> {
        let table = Identifier::new(name)?;
        let folder = Folder::of(&self.path, &table);
        let (ledger, _) = manifest::of_ledger(db, &self.path, &table).await?;
        if !folder.root().is_dir() || manifest::agrees(&manifest::known(&folder)?, &ledger) {
            return Ok(());
        }
        let head = manifest::head(db).await?;
        manifest::show(&folder, &ledger, head)
    }
}

/// Every file that a reader by names sees.
fn visible_files(folder: &Folder) -> Result<Vec<PathBuf>> {
    let pattern = Path::new(&glob::Pattern::escape(&folder.root().to_string_lossy())).join("dt=*/*.parquet");
    let found = glob::glob(&pattern.to_string_lossy()).map_err(|e| Error::defect("a pattern of files").cause(e))?;
    let mut paths: Vec<PathBuf> = found.flatten().collect();
    paths.sort();
    Ok(paths)
}

/// Hands over the rows of a file.
fn each(path: &Path, wanted: impl Fn(&str) -> bool, mut take: impl FnMut(&RecordBatch) -> Result<()>) -> Result<()> {
    let file = File::open(path).map_err(|e| Error::unreadable(path, &e))?;
    let damaged = |e: String| parquet_file::damaged(path, e);
    let read = || -> Result<()> {
        for batch in parquet_file::reader(file, wanted).map_err(|e| damaged(e.to_string()))? {
            take(&batch.map_err(|e| damaged(e.to_string()))?)?;
        }
        Ok(())
    };
    let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(read));
    caught.map_err(|panic| damaged(crate::panic_text(&*panic)))?
}

/// The columns of a batch, in order, as they are hashed.
fn canonical(path: &Path, batch: &RecordBatch, columns: &[Column]) -> Result<RecordBatch> {
    let column = |(name, kind): &Column| {
        let array = batch.column_by_name(name.name()).filter(|array| *array.data_type() == stored(*kind));
        let array = array.ok_or_else(|| {
            Error::data(format!("{} does not have the column {:?} that was published", path.display(), name.name()))
        })?;
        let to = if *kind == SqlType::Text { DataType::Utf8View } else { stored(*kind) };
        let array = cast(array, &to).map_err(|e| Error::defect("a column of a file").cause(e))?;
        Ok((name.name().to_owned(), array))
    };
    let arrays = columns.iter().map(column).collect::<Result<Vec<_>>>()?;
    RecordBatch::try_from_iter(arrays).map_err(|e| Error::defect("columns of a file").cause(e))
}

fn content(path: &Path, columns: &[Column]) -> Result<ContentHash> {
    let mut rows = ContentHash::default();
    each(
        path,
        |_| true,
        |batch| {
            rows.merge(&encode(&canonical(path, batch, columns)?, 0, &Tail::default())?.rows);
            Ok(())
        },
    )?;
    Ok(rows)
}

/// What the lineage columns of a row say.
type Key = (DateTime<Utc>, String, Option<String>);

fn count(path: &Path, batch: &RecordBatch, counts: &mut BTreeMap<Key, u64>) -> Result<()> {
    let wrong = || Error::data(format!("{} has no lineage columns that a run wrote", path.display()));
    let column = |name: &str| batch.column_by_name(name).ok_or_else(wrong);
    let start = column("interval_start")?.as_primitive_opt::<TimestampMicrosecondType>().ok_or_else(wrong)?;
    let model = column("model")?.as_string_opt::<i32>().ok_or_else(wrong)?;
    let version = column("model_version")?.as_primitive_opt::<Int64Type>().ok_or_else(wrong)?;
    let run_id = column("run_id")?.as_string_opt::<i32>().ok_or_else(wrong)?;
    for row in 0..batch.num_rows() {
        let start = DateTime::from_timestamp_micros(start.value(row)).ok_or_else(wrong)?;
        let scored = model.is_valid(row) || version.is_valid(row);
        let label = scored.then(|| format!("{}@{}", model.value(row), version.value(row)));
        *counts.entry((start, run_id.value(row).to_owned(), label)).or_default() += 1;
    }
    Ok(())
}

/// Whether two files do not have the same bytes. One that is not there differs.
pub fn differ(one: &Path, other: &Path) -> bool {
    !matches!((digest::file_hex(one), digest::file_hex(other)), (Ok(one), Ok(other)) if one == other)
}

/// Keys that are counted at a time.
const AT_ONCE: u64 = 4 << 20;

/// A few keys that stand on more than one of the `rows` of a file, for a message. Memory holds a part of them at a time.
pub fn repeated(path: &Path, table: &TableSchema, rows: u64) -> Result<Vec<String>> {
    let keys = &table.columns[..table.key_columns];
    let wanted = |name: &str| keys.iter().any(|(key, _)| key.name() == name);
    let parts = u128::from(rows / AT_ONCE + 1);
    for part in 0..parts {
        let mut seen: HashMap<u128, u64> = HashMap::new();
        each(path, wanted, |batch| {
            let hashes = encode(&canonical(path, batch, keys)?, keys.len(), &Tail::default())?.keys;
            hashes.into_iter().filter(|key| key % parts == part).for_each(|key| *seen.entry(key).or_default() += 1);
            Ok(())
        })?;
        seen.retain(|_, rows| *rows > 1);
        if !seen.is_empty() {
            return named(path, keys, &seen);
        }
    }
    Ok(Vec::new())
}

/// The first of these keys, in words.
fn named(path: &Path, keys: &[Column], seen: &HashMap<u128, u64>) -> Result<Vec<String>> {
    let wanted = |name: &str| keys.iter().any(|(key, _)| key.name() == name);
    let mut named: BTreeMap<Vec<String>, u64> = BTreeMap::new();
    each(path, wanted, |batch| {
        let part = canonical(path, batch, keys)?;
        for (row, key) in encode(&part, keys.len(), &Tail::default())?.keys.iter().enumerate() {
            if let Some(rows) = seen.get(key) {
                named.insert(shown(&part, keys, row), *rows);
                if named.len() > 3 {
                    named.pop_last();
                }
            }
        }
        Ok(())
    })?;
    Ok(named.into_iter().map(|(key, rows)| format!("{} on {rows} rows", key.join(" "))).collect())
}

fn shown(batch: &RecordBatch, keys: &[Column], row: usize) -> Vec<String> {
    let value = |(array, (name, kind)): (&arrow::array::ArrayRef, &Column)| match array.is_null(row) {
        true => format!("{}=NULL", name.name()),
        false => {
            let text = array_value_to_string(array, row).unwrap_or_default();
            if *kind == SqlType::Text { format!("{}='{text}'", name.name()) } else { format!("{}={text}", name.name()) }
        }
    };
    batch.columns().iter().zip(keys).map(value).collect()
}

//! The rows of a file that a run wrote: their content as it was hashed, and keys that repeat.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::path::Path;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use arrow::util::display::array_value_to_string;

use crate::digest::{self, ContentHash};
use crate::error::{Error, Result};
use crate::parquet_file;
use crate::rows::{SqlType, Tail, encode, key_hashes};
use crate::warehouse::table::{Column, TableSchema};

/// The Arrow type that a column is stored as: text as every reader knows it.
pub fn stored(kind: SqlType) -> DataType {
    match kind.arrow() {
        DataType::Utf8View => DataType::Utf8,
        other => other,
    }
}

/// Hands over the rows of a file.
pub fn each(
    path: &Path,
    wanted: impl Fn(&str) -> bool,
    mut take: impl FnMut(&RecordBatch) -> Result<()>,
) -> Result<()> {
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
        let to = if *kind == SqlType::Uuid { stored(*kind) } else { kind.arrow() };
        let array = cast(array, &to).map_err(|e| Error::defect("a column of a file").cause(e))?;
        Ok((name.name().to_owned(), array))
    };
    let arrays = columns.iter().map(column).collect::<Result<Vec<_>>>()?;
    RecordBatch::try_from_iter(arrays).map_err(|e| Error::defect("columns of a file").cause(e))
}

pub fn content(path: &Path, columns: &[Column]) -> Result<ContentHash> {
    let mut rows = ContentHash::default();
    each(
        path,
        |_| true,
        |batch| {
            rows.merge(&encode(&canonical(path, batch, columns)?, &Tail::default())?.content);
            Ok(())
        },
    )?;
    Ok(rows)
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
            let hashes = hashes(&canonical(path, batch, keys)?, keys)?;
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

fn hashes(batch: &RecordBatch, keys: &[Column]) -> Result<Vec<u128>> {
    key_hashes(batch, &keys.iter().map(|(name, _)| name.name().to_owned()).collect::<Vec<_>>())
}

/// The first of these keys, in words.
fn named(path: &Path, keys: &[Column], seen: &HashMap<u128, u64>) -> Result<Vec<String>> {
    let wanted = |name: &str| keys.iter().any(|(key, _)| key.name() == name);
    let mut named: BTreeMap<Vec<String>, u64> = BTreeMap::new();
    each(path, wanted, |batch| {
        let part = canonical(path, batch, keys)?;
        for (row, key) in hashes(&part, keys)?.iter().enumerate() {
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
    let value = |(array, (name, kind)): (&ArrayRef, &Column)| match array.is_null(row) {
        true => format!("{}=NULL", name.name()),
        false => {
            let text = array_value_to_string(array, row).unwrap_or_default();
            if *kind == SqlType::Text { format!("{}='{text}'", name.name()) } else { format!("{}={text}", name.name()) }
        }
    };
    batch.columns().iter().zip(keys).map(value).collect()
}

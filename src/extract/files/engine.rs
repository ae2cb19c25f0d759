//! Parquet files as the engine reads them.

use std::path::Path;

use polars::prelude::*;

use super::format::Column;
use crate::error::{Error, Result};
use crate::rows::ColumnType;

/// Whether the engine opens the file and sees in it what our reader sees.
pub fn reads(path: &Path, own: &[Column]) -> bool {
    let schema = || scan(path).ok()?.collect_schema().ok();
    let Ok(Some(schema)) = std::panic::catch_unwind(schema) else { return false };
    own.iter().all(|column| match (schema.get(&column.name), column.kind) {
        (Some(held), ColumnType::Int) => held.is_integer(),
        (Some(held), ColumnType::Float) => held.is_float(),
        (Some(DataType::Datetime(TimeUnit::Microseconds, zone)), ColumnType::Timestamp) => zone.is_some(),
        (Some(held), kind) => *held == kind.polars(),
        (None, _) => false,
    })
}

/// A file as the engine scans it, with projection and predicate pushdown.
pub fn scan(path: &Path) -> Result<LazyFrame> {
    let args = ScanArgsParquet {
        glob: false,
        hive_options: polars::io::HiveOptions::new_disabled(),
        ..ScanArgsParquet::default()
    };
    let name = path.to_str().ok_or_else(|| Error::config(format!("the path {} is not UTF-8", path.display())))?;
    LazyFrame::scan_parquet(PlRefPath::new(name), args)
        .map_err(|e| Error::input(format!("cannot read {}", path.display())).cause(e))
}

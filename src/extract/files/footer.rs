//! What a Parquet file says of itself, and whether it can be: the engine believes a footer, reads where it says and
//! makes room for what it claims.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use parquet::column::page::PageReader;
use parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData};
use parquet::file::serialized_reader::SerializedPageReader;

use crate::error::{Error, Result};
use crate::parquet_file::parse;
use crate::plain_file::regular;

fn damaged(path: &Path, what: impl std::fmt::Display) -> Error {
    Error::input(format!("{} is not a whole Parquet file", path.display()))
        .cause(what)
        .hint("was it still being written? Replace it with a whole one")
}

/// The footer, read by a reader that survives any bytes.
pub fn footer(path: &Path) -> Result<ParquetMetaData> {
    regular(path)?;
    let file = File::open(path).map_err(|e| Error::unreadable(path, &e))?;
    let size = file.metadata().map_err(|e| Error::unreadable(path, &e))?.len();
    match std::panic::catch_unwind(|| parse(&file)) {
        Ok(Ok(metadata)) => match nonsense(&metadata, size) {
            None => Ok(metadata),
            Some(what) => Err(damaged(path, what)),
        },
        Ok(Err(error)) => Err(damaged(path, error)),
        Err(_) => Err(damaged(path, "the footer makes no sense")),
    }
}

/// What a footer says that cannot be: the engine believes a footer, and reads where it says.
fn nonsense(metadata: &ParquetMetaData, size: u64) -> Option<String> {
    let rows: i64 = metadata.row_groups().iter().map(|group| group.num_rows()).sum();
    if rows != metadata.file_metadata().num_rows() {
        return Some(format!(
            "the footer says {} rows, and its row groups {rows}",
            metadata.file_metadata().num_rows()
        ));
    }
    for (number, group) in metadata.row_groups().iter().enumerate() {
        for column in group.columns() {
            // What is encrypted says nothing of itself; a chunk without values may stand anywhere.
            if column.crypto_metadata().is_some() || (group.num_rows() == 0 && column.num_values() == 0) {
                continue;
            }
            let (data, length) = (column.data_page_offset(), column.compressed_size());
            let start = column.dictionary_page_offset().unwrap_or(data);
            let end = start.checked_add(length).and_then(|end| u64::try_from(end).ok());
            let inside = 4 <= start && start <= data && length >= 0 && end.is_some_and(|end| end <= size);
            let flat = column.column_descr().max_rep_level() == 0;
            if !inside || group.num_rows() < 0 || (flat && column.num_values() != group.num_rows()) {
                return Some(format!("row group {number} and its column {} do not fit together", column.column_path()));
            }
        }
    }
    None
}

/// Makes sure that the pages of each column hold as many values as the footer says, without decoding them.
pub fn pages(path: &Path, metadata: &ParquetMetaData) -> Result<()> {
    let file = Arc::new(File::open(path).map_err(|e| Error::unreadable(path, &e))?);
    for (number, group) in metadata.row_groups().iter().enumerate() {
        for column in group.columns().iter().filter(|c| c.crypto_metadata().is_none() && c.num_values() != 0) {
            let place = || format!("row group {number}, column {}", column.column_path());
            let counted = std::panic::catch_unwind(|| values(&file, column));
            match counted {
                Ok(Ok(values)) if values == column.num_values() => {}
                Ok(Ok(values)) => {
                    let claimed = column.num_values();
                    let what = format!("{}: the footer says {claimed} values, and its pages {values}", place());
                    return Err(damaged(path, what));
                }
                Ok(Err(error)) => return Err(damaged(path, format!("{}: {error}", place()))),
                Err(_) => return Err(damaged(path, format!("{}: its pages make no sense", place()))),
            }
        }
    }
    Ok(())
}

fn values(file: &Arc<File>, column: &ColumnChunkMetaData) -> parquet::errors::Result<i64> {
    let mut reader = SerializedPageReader::new(file.clone(), column, column.num_values().max(0) as usize, None)?;
    let mut values = 0;
    while let Some(page) = reader.peek_next_page()? {
        if !page.is_dict {
            values += page.num_levels.or(page.num_rows).unwrap_or(0) as i64;
        }
        reader.skip_next_page()?;
    }
    Ok(values)
}

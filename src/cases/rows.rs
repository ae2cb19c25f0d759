//! Published rows as text, and the CSV files that hold them.

use std::path::Path;

use crate::error::{Class, Error, Result};

/// Published rows as text, the header first.
pub type Rows = Vec<Vec<String>>;

pub fn read_csv(path: &Path) -> Result<Rows> {
    let wrong = |e: csv::Error| {
        Error::input(format!("cannot read {}", path.display())).cause(e).hint("make it with: daymill test --bless")
    };
    let mut reader = csv::ReaderBuilder::new().has_headers(false).from_path(path).map_err(wrong)?;
    reader.records().map(|record| Ok(record.map_err(wrong)?.iter().map(str::to_owned).collect())).collect()
}

pub fn write_csv(path: &Path, rows: &Rows) -> Result<()> {
    let wrong = |e: csv::Error| Error::new(Class::Io, format!("cannot write {}", path.display())).cause(e);
    let mut writer = csv::Writer::from_path(path).map_err(wrong)?;
    rows.iter().try_for_each(|row| writer.write_record(row)).map_err(wrong)?;
    writer.flush().map_err(|e| Error::io(path, "write", &e))
}

//! The tables of a case: each a file in its folder, read as a job would read it.

use std::path::Path;

use crate::error::{Error, Result};
use crate::project::job::{CsvOptions, FileFormat, FileSource, TableSource, TableSpec};

/// The case's own file for a table, in place of where the job reads it from.
pub fn input(folder: &Path, spec: &TableSpec) -> Result<TableSource> {
    let time_column = match &spec.source {
        TableSource::Files(source) => source.time_column.clone(),
        TableSource::Query { .. } => None,
    };
    let formats = [
        ("parquet", FileFormat::Parquet),
        ("csv", FileFormat::Csv(CsvOptions::default())),
        ("jsonl", FileFormat::JsonLines),
    ];
    let file = |ending: &str| folder.join(format!("{}.{ending}", spec.name));
    let Some((ending, format)) = formats.into_iter().find(|(ending, _)| file(ending).is_file()) else {
        let (parquet, csv, jsonl) = (file("parquet"), file("csv"), file("jsonl"));
        let (parquet, csv, jsonl) = (parquet.display(), csv.display(), jsonl.display());
        return Err(Error::input(format!("the case has none of {parquet}, {csv} and {jsonl}")));
    };
    if format != FileFormat::Parquet && spec.columns.is_empty() {
        return Err(Error::config(format!("table {} has a fixture of text but no declared columns", spec.name))
            .hint("add [extract.TABLE.columns] to the job file"));
    }
    Ok(TableSource::Files(FileSource {
        format,
        template: file(ending).display().to_string(),
        time_column,
        complete: None,
    }))
}

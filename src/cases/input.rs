//! The tables of a case: each a file in its folder, read as a job would read it.

use std::path::Path;

use crate::error::{Error, Result};
use crate::project::job::{FileFormat, FileSource, TableSource, TableSpec};

/// The case's own file for a table, in place of where the job reads it from.
pub fn input(case: &Path, spec: &TableSpec) -> Result<TableSource> {
    let folder = case.join("input");
    let time_column = match &spec.source {
        TableSource::Files(source) => source.time_column.clone(),
        TableSource::Query { .. } => None,
    };
    let file = |format: &FileFormat| folder.join(format!("{}.{}", spec.name, format.key()));
    let Some(format) = FileFormat::all().into_iter().find(|format| file(format).is_file()) else {
        let files = FileFormat::all().map(|format| file(&format).display().to_string());
        let (last, first) = (&files[files.len() - 1], files[..files.len() - 1].join(", "));
        let error = Error::input(format!("the case has none of {first} and {last}"));
        return Err(match case.join("source").is_dir() {
            true => error.hint("its rows come of the job's own SQL: pass --postgres URL, a server for tests"),
            false => error,
        });
    };
    if format.is_text() && spec.columns.is_empty() {
        return Err(Error::config(format!("table {} has a fixture of text but no declared columns", spec.name))
            .hint("add [extract.TABLE.columns] to the job file"));
    }
    Ok(TableSource::Files(FileSource {
        template: glob::Pattern::escape(&file(&format).display().to_string()),
        format,
        time_column,
        complete: None,
    }))
}

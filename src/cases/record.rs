//! Makes a case of a real day: some rows of each table, with values masked where they are nobody's business, and what the job
//! makes of them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch, StringViewArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type};

use super::case::{Case, FOLDER};
use super::results::Outcome;
use super::run::{Means, run};
use crate::config::toml_string;
use crate::digest;
use crate::error::{Error, Result};
use crate::extract::whole::sample;
use crate::interval::Interval;
use crate::pipeline::stages::Writer;
use crate::project::{Job, Project};

/// What is recorded.
pub struct Recording<'a> {
    pub interval: &'a Interval,
    /// Of each table that follows the interval.
    pub rows: u32,
    pub mask: &'a [String],
    pub name: String,
}

/// Writes the case; each table's name and rows. What fails leaves nothing.
pub async fn record(project: &Project, job: &Job, wanted: &Recording<'_>) -> Result<(PathBuf, Vec<(String, usize)>)> {
    if !crate::project::job::valid_name(&wanted.name) {
        return Err(Error::usage(format!("{:?} cannot be the name of a case", wanted.name))
            .hint("letters, digits, _ and - make a name: pass --case NAME"));
    }
    let folder = project.root.join(FOLDER).join(&job.name).join(&wanted.name);
    if folder.exists() {
        return Err(Error::usage(format!("{} is there already", folder.display())).hint("choose another --case"));
    }
    let written = write(project, job, wanted, &folder).await;
    if written.is_err() {
        let _ = std::fs::remove_dir_all(&folder);
        // Only those that hold nothing else.
        let _ = folder.ancestors().skip(1).take(3).try_for_each(std::fs::remove_dir);
    }
    Ok((folder, written?))
}

async fn write(project: &Project, job: &Job, wanted: &Recording<'_>, folder: &Path) -> Result<Vec<(String, usize)>> {
    let mut tables = sample(project, job, wanted.interval, wanted.rows).await?;
    let salt = uuid::Uuid::now_v7().to_string() + &uuid::Uuid::now_v7().to_string();
    for name in wanted.mask {
        let mut found = false;
        for (_, batch) in tables.iter_mut().filter(|(_, batch)| batch.column_by_name(name).is_some()) {
            found = true;
            *batch = masked(batch, name, &salt)?;
        }
        if !found {
            return Err(Error::usage(format!("--mask: no table has a column {name:?}")));
        }
    }
    for (name, batch) in &tables {
        let kind = if readable(job, name, batch) { "csv" } else { "parquet" };
        let mut writer = Writer::create(&folder.join(format!("input/{name}.{kind}")), &batch.schema(), &[])?;
        writer.write(batch)?;
        writer.finish()?;
    }
    let label = wanted.interval.label();
    let text = format!(
        "#:schema ../../../../schemas/case.json\ndescription = {}\ndate = {}\n",
        toml_string(&format!("Rows of {label}")),
        toml_string(&label)
    );
    let file = folder.join("case.toml");
    std::fs::write(&file, text).map_err(|e| Error::io(&file, "write", &e))?;
    let case = Case { folder: folder.to_owned(), job: job.name.clone(), name: wanted.name.clone() };
    match run(project, &case, &Means { bless: true, ..Means::default() }).await? {
        Outcome::Blessed => Ok(tables.into_iter().map(|(name, batch)| (name, batch.num_rows())).collect()),
        other => Err(Error::data(other.lines().join("\n"))),
    }
}

/// Whether a table can be CSV, which people can read, and come back as it was: its types are declared, and it has no text
/// without characters, which would be NULL, and no number that is none.
fn readable(job: &Job, table: &str, batch: &RecordBatch) -> bool {
    let declared = job.extract.iter().any(|spec| spec.name == table && !spec.columns.is_empty());
    let fine = |array: &ArrayRef| match array.data_type() {
        DataType::Utf8View => array.as_string_view().iter().flatten().all(|text| !text.is_empty()),
        DataType::Float64 => array.as_primitive::<Float64Type>().iter().flatten().all(f64::is_finite),
        _ => true,
    };
    // A row of nothing is a line of nothing, which is no row.
    let lines = batch.num_columns() > 1 || batch.columns().iter().all(|array| array.null_count() == 0);
    declared && lines && batch.columns().iter().all(fine)
}

/// Other values in a column, the same for the same one in every table; nobody can tell what they were.
fn masked(batch: &RecordBatch, column: &str, salt: &str) -> Result<RecordBatch> {
    let at = batch.schema().index_of(column).map_err(|e| Error::defect("a column").cause(e))?;
    let array = batch.column(at);
    let text = cast(array, &DataType::Utf8View).map_err(|e| Error::defect("a column as text").cause(e))?;
    let hash = |value: &str| digest::hex(format!("{salt}\0{value}").as_bytes());
    // As small as columns of Postgres may be.
    let number = |value: &str| i64::from_str_radix(&hash(value)[..8], 16).unwrap_or_default() >> 1;
    let values = text.as_string_view().iter();
    let masked: ArrayRef = match array.data_type() {
        DataType::Utf8View => {
            Arc::new(values.map(|v| v.map(|v| format!("x{}", &hash(v)[..10]))).collect::<StringViewArray>())
        }
        DataType::Int64 => Arc::new(values.map(|v| v.map(number)).collect::<Int64Array>()),
        other => {
            return Err(Error::usage(format!("--mask {column}: a column of the type {other} is not masked"))
                .hint("text and whole numbers are; leave others out of the job, or edit the case"));
        }
    };
    let mut columns = batch.columns().to_vec();
    columns[at] = masked;
    RecordBatch::try_new(batch.schema(), columns).map_err(|e| Error::defect("a masked column").cause(e))
}

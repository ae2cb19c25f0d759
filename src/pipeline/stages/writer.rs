//! The file that a stage leaves: it appears whole or not at all.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::Schema;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;

use crate::error::{Class, Error, Result};
use crate::pipeline::evidence::Evidence;
use crate::pipeline::flow::{BatchSource, Finished, Stop, Work};
use crate::pipeline::report::{RunReport, WrittenFile};
use crate::pipeline::sink::{Sink, drain};
use crate::progress::Stage;

/// What a file is written as.
enum Form {
    Parquet(Box<ArrowWriter<File>>),
    Csv(Box<arrow::csv::Writer<File>>),
}

/// A file that appears whole or not at all: Parquet or CSV, as its name says.
pub struct Writer {
    form: Form,
    draft: PathBuf,
    out: PathBuf,
    rows: u64,
    columns: Vec<String>,
}

impl Writer {
    pub fn create(out: &Path, schema: &Schema, marks: &[(String, String)]) -> Result<Writer> {
        let csv = extension(out)? == "csv";
        let columns = schema.fields().iter().map(|field| field.name().clone()).collect();
        if let Some(folder) = out.parent().filter(|f| !f.as_os_str().is_empty()) {
            std::fs::create_dir_all(folder).map_err(|e| Error::io(folder, "create", &e))?;
        }
        let mut draft = out.as_os_str().to_owned();
        draft.push(format!(".{}.part", std::process::id()));
        let draft = PathBuf::from(draft);
        let file = File::create(&draft).map_err(|e| Error::io(&draft, "write", &e))?;
        if csv {
            let form = Form::Csv(Box::new(arrow::csv::WriterBuilder::new().with_header(true).build(file)));
            let mut writer = Writer { form, draft, out: out.to_owned(), rows: 0, columns };
            // The names of the columns, also where there are no rows.
            writer.write(&RecordBatch::new_empty(Arc::new(schema.clone())))?;
            return Ok(writer);
        }
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::default()))
            .set_key_value_metadata(Some(marks.iter().map(|(k, v)| KeyValue::new(k.clone(), v.clone())).collect()))
            .build();
        let writer = ArrowWriter::try_new(file, Arc::new(schema.clone()), Some(properties))
            .map_err(|e| Error::defect(format!("cannot write {}", out.display())).cause(e))?;
        Ok(Writer { form: Form::Parquet(Box::new(writer)), draft, out: out.to_owned(), rows: 0, columns })
    }

    pub fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        self.rows += batch.num_rows() as u64;
        let failed = |e: &dyn std::fmt::Display| {
            Error::new(Class::Io, format!("cannot write {}", self.draft.display())).cause(e)
        };
        match &mut self.form {
            Form::Parquet(writer) => writer.write(batch).map_err(|e| failed(&e)),
            Form::Csv(writer) => writer.write(batch).map_err(|e| failed(&e)),
        }
    }

    /// The whole file stands under its name.
    pub fn finish(mut self) -> Result<WrittenFile> {
        if let Form::Parquet(writer) = &mut self.form {
            let failed = format!("cannot write {}", self.draft.display());
            writer.finish().map_err(|e| Error::new(Class::Io, failed).cause(e))?;
        }
        std::fs::rename(&self.draft, &self.out).map_err(|e| Error::io(&self.out, "write", &e))?;
        let columns = std::mem::take(&mut self.columns);
        Ok(WrittenFile { path: self.out.display().to_string(), rows: self.rows, columns })
    }
}

/// The form that a name asks for.
fn extension(out: &Path) -> Result<&'static str> {
    match out.extension().map(|e| e.to_string_lossy().to_lowercase()).as_deref() {
        Some("parquet") | None => Ok("parquet"),
        Some("csv") => Ok("csv"),
        Some(other) => {
            Err(Error::usage(format!("{} cannot be written: .{other} is not a form that is known", out.display()))
                .hint("name it .parquet or .csv"))
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // Gone already when the file was finished.
        let _ = std::fs::remove_file(&self.draft);
    }
}

/// Runs a flow into a file. `place` is what an error of the engine is about.
pub async fn score_into(
    (work, source): (Work, BatchSource),
    report: &mut RunReport,
    out: &Path,
    schema: &Schema,
    marks: &[(String, String)],
    place: &Path,
    gate: impl Fn(&Evidence) -> Result<()>,
) -> Result<()> {
    work.progress.enter(Stage::Score);
    let mut writer = Writer::create(out, schema, marks)?;
    let evidence = drain(work, source, &mut writer, report).await.map_err(|stop| match stop {
        Stop::Other(error) => error,
        Stop::Engine(error) => Error::input(format!("cannot read {}", place.display())).cause(error),
    })?;
    gate(&evidence)?;
    report.files.push(writer.finish()?);
    Ok(())
}

impl Sink for Writer {
    const STAGE: &'static str = "write";

    async fn take(&mut self, finished: &Finished) -> Result<()> {
        self.write(&finished.batch)
    }
}

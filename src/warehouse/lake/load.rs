//! Publishing to a folder of Parquet files: the rows of an attempt go into one file, and which file is an interval's, the
//! ledger says.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{ArrayRef, Date32Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::compute::cast;
use arrow::datatypes::{Field, Schema, SchemaRef};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;

use super::files::{Folder, same, sync};
use super::manifest::{self, Entry, Manifest};
use super::rows::{self, stored};
use crate::error::{Class, Error, Result};
use crate::failpoints;
use crate::ledger::{Db, claim};
use crate::rows::SqlType;
use crate::warehouse::table::{TableSchema, always};
use crate::warehouse::{Expected, Rows, Step, Task, Warehouse};

/// Rows of a group, and bytes after which a group ends earlier.
const GROUP_ROWS: usize = 1 << 18;
const GROUP_BYTES: usize = 64 << 20;

/// A load into one table.
pub struct LakeLoad {
    lake: PathBuf,
    writer: Option<ArrowWriter<File>>,
    /// The file is whole and has its last name.
    finished: bool,
    taken: u64,
    /// What is shown once the ledger has committed.
    next: Option<Manifest>,
    warnings: Vec<String>,
}

impl LakeLoad {
    pub fn new(lake: PathBuf) -> LakeLoad {
        LakeLoad { lake, writer: None, finished: false, taken: 0, next: None, warnings: Vec::new() }
    }

    fn folder(&self, step: &Step) -> Folder {
        Folder::of(&self.lake, &step.table.name)
    }

    fn writer(&mut self, step: &Step) -> Result<&mut ArrowWriter<File>> {
        if self.writer.is_none() {
            let folder = self.folder(step);
            folder.make()?;
            let draft = folder.draft(&step.id.run_id);
            let file = File::create(&draft).map_err(|e| Error::io(&draft, "write", &e))?;
            let properties = WriterProperties::builder()
                .set_compression(Compression::ZSTD(ZstdLevel::default()))
                .set_max_row_group_row_count(Some(GROUP_ROWS))
                .build();
            // Without the Arrow schema every reader takes the types from Parquet itself.
            let options = ArrowWriterOptions::new().with_properties(properties).with_skip_arrow_metadata(true);
            let writer = ArrowWriter::try_new_with_options(file, schema(&step.table), options);
            self.writer = Some(writer.map_err(|e| failed(&draft, &e))?);
        }
        self.writer.as_mut().ok_or_else(|| Error::defect("a file that is being written"))
    }

    fn put(&mut self, step: &Step, batch: &RecordBatch) -> Result<()> {
        let rows = batch.num_rows();
        let batch = with_lineage(step, batch)?;
        let draft = self.folder(step).draft(&step.id.run_id);
        let writer = self.writer(step)?;
        writer.write(&batch).map_err(|e| failed(&draft, &e))?;
        if writer.in_progress_size() > GROUP_BYTES {
            writer.flush().map_err(|e| failed(&draft, &e))?;
        }
        self.taken += rows as u64;
        Ok(())
    }

    /// Makes the file whole, on the disk, under the name that it keeps.
    fn finish(&mut self, step: &Step) -> Result<()> {
        if self.finished {
            return Ok(());
        }
        self.writer(step)?;
        let Some(writer) = self.writer.take() else { return Ok(()) };
        let (folder, run_id) = (self.folder(step), &step.id.run_id);
        let file = writer.into_inner().map_err(|e| failed(&folder.draft(run_id), &e))?;
        file.sync_all().map_err(|e| Error::io(&folder.draft(run_id), "write", &e))?;
        failpoints::at("lake-written");
        std::fs::rename(folder.draft(run_id), folder.version(run_id))
            .map_err(|e| Error::io(&folder.version(run_id), "write", &e))?;
        sync(&folder.versions())?;
        self.finished = true;
        Ok(())
    }

    async fn replace(&mut self, db: &mut Db, step: &Step, expected: Expected<'_>) -> Result<()> {
        self.finish(step)?;
        if self.taken != expected.rows {
            return Err(Error::defect(format!("the file has {} of {} rows", self.taken, expected.rows)));
        }
        db.script(db.dialect().begin()).await?;
        step.fence(db).await?;
        claim::claim_table(db, &step.table.name, &step.id.job).await?;
        let (mut next, lost) = manifest::of_ledger(db, &self.lake, &step.table.name).await?;
        let (folder, interval) = (self.folder(step), &step.id.interval);
        self.warn(step, &folder, &next, lost);
        let mut entry = Entry::new(&folder, (interval.start, interval.end), &interval.label(), &step.id.run_id);
        (entry.rows, entry.content) = (expected.rows, expected.content_hash.to_owned());
        next.intervals.retain(|old| old.start != interval.start);
        let at = next.intervals.partition_point(|old| old.start < interval.start);
        next.intervals.insert(at, entry);
        let own = step.table.with_lineage().map(|(name, kind)| (name, kind.name().to_owned())).collect();
        let others = std::mem::replace(&mut next.columns, own);
        manifest::extend(&mut next.columns, others);
        // The event of this publication is the next of the chain.
        next.version = manifest::head(db).await? + 1;
        self.next = Some(next);
        Ok(())
    }

    /// What somebody else did to the files of the table.
    fn warn(&mut self, step: &Step, folder: &Folder, ledger: &Manifest, lost: u64) {
        let (table, job) = (step.table.name.name(), &step.id.job);
        if lost > 0 {
            self.warnings.push(format!(
                "files of the table {table} are gone: the rows of {lost} intervals are missing (daymill backfill {job})"
            ));
        }
        let start = step.id.interval.start;
        let Some(old) = ledger.intervals.iter().find(|entry| entry.start == start) else { return };
        let (version, visible) = (folder.version(&old.run_id), folder.visible(&old.interval));
        if !same(&version, &visible) && rows::differ(&version, &visible) {
            self.warnings.push(format!(
                "{} was not what was published: somebody else changed it; it was replaced",
                visible.display()
            ));
        }
    }
}

impl Warehouse for LakeLoad {
    fn prepare<'a>(&'a mut self, _: &'a mut Db, step: &'a mut Step) -> Task<'a, ()> {
        Box::pin(async move { manifest::fit(&self.folder(step), &mut step.table) })
    }

    fn write<'a>(&'a mut self, _db: &'a mut Db, step: &'a Step, rows: Rows<'a>) -> Task<'a, ()> {
        Box::pin(async move { self.put(step, rows.batch) })
    }

    fn repeated<'a>(&'a mut self, _db: &'a mut Db, step: &'a Step) -> Task<'a, Vec<String>> {
        Box::pin(async move {
            self.finish(step)?;
            rows::repeated(&self.folder(step).version(&step.id.run_id), &step.table, self.taken)
        })
    }

    fn publish<'a>(&'a mut self, db: &'a mut Db, step: &'a Step, expected: Expected<'a>) -> Task<'a, ()> {
        Box::pin(self.replace(db, step, expected))
    }

    fn committed<'a>(&'a mut self, db: &'a mut Db, step: &'a Step, _rows: u64) -> Task<'a, ()> {
        Box::pin(async move {
            let Some(next) = self.next.take() else { return Ok(()) };
            manifest::show(db, &self.folder(step), &next).await
        })
    }

    fn abandoned<'a>(&'a mut self, step: &'a Step) -> Task<'a, ()> {
        Box::pin(async move {
            self.writer = None;
            let (folder, run_id) = (self.folder(step), &step.id.run_id);
            for path in [folder.draft(run_id), folder.version(run_id)] {
                let _ = std::fs::remove_file(path);
            }
            Ok(())
        })
    }

    fn warnings(&mut self) -> Vec<String> {
        std::mem::take(&mut self.warnings)
    }
}

fn failed(path: &Path, error: &parquet::errors::ParquetError) -> Error {
    Error::new(Class::Io, format!("cannot write {}", path.display())).cause(error).hint("is the disk full?")
}

/// The columns of a file: the job's own, then the lineage.
fn schema(table: &TableSchema) -> SchemaRef {
    let required: Vec<&str> = table.columns[..table.key_columns].iter().map(|(name, _)| name.name()).collect();
    let field = |(name, kind): (String, SqlType)| {
        let nullable = !required.contains(&name.as_str()) && !always(&name);
        Field::new(name, stored(kind), nullable)
    };
    Arc::new(Schema::new(table.with_lineage().map(field).collect::<Vec<_>>()))
}

fn with_lineage(step: &Step, batch: &RecordBatch) -> Result<RecordBatch> {
    let (schema, rows) = (schema(&step.table), batch.num_rows());
    let wrong = |e: arrow::error::ArrowError| Error::defect("rows do not fit their table").cause(e);
    let mut columns: Vec<ArrayRef> = Vec::with_capacity(schema.fields().len());
    for (array, field) in batch.columns().iter().zip(schema.fields()) {
        columns.push(cast(array, field.data_type()).map_err(wrong)?);
    }
    let model = step.id.model.as_deref().and_then(crate::models::reference::label_parts);
    let start = step.id.interval.start.timestamp_micros();
    columns.push(Arc::new(TimestampMicrosecondArray::from_value(start, rows).with_timezone("UTC")));
    let date = step.id.interval.date().to_epoch_days();
    columns.push(Arc::new(Date32Array::from_value(date, rows)));
    columns.push(Arc::new(StringArray::from_iter(std::iter::repeat_n(model.map(|(name, _)| name), rows))));
    columns.push(Arc::new(Int64Array::from_iter(std::iter::repeat_n(model.map(|(_, version)| version), rows))));
    columns.push(Arc::new(StringArray::from_iter_values(std::iter::repeat_n(step.id.run_id.as_str(), rows))));
    RecordBatch::try_new(schema, columns).map_err(wrong)
}

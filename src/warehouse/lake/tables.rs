//! The tables of a folder of Parquet files, as they stand.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{Int64Type, TimestampMicrosecondType};
use chrono::{DateTime, Utc};

use super::files::{Folder, same};
use super::load::LakeLoad;
use super::manifest;
use super::rows::{content, each};
use crate::digest::ContentHash;
use crate::error::{Error, Result};
use crate::identifier::Identifier;
use crate::ledger::Db;
use crate::warehouse::table::{Column, Existing, TableSchema};
use crate::warehouse::{LoadPath, RowsByLineage, Tables, Task, Warehouse};

/// The folder.
pub struct Lake {
    pub path: PathBuf,
}

impl Tables for Lake {
    fn columns<'a>(&'a self, _: &'a mut Db, table: &'a Identifier) -> Task<'a, Vec<Existing>> {
        Box::pin(async move { manifest::columns(&Folder::of(&self.path, table)) })
    }

    fn check<'a>(&'a self, _: &'a mut Db, table: &'a mut TableSchema) -> Task<'a, ()> {
        Box::pin(async move { manifest::fit(&Folder::of(&self.path, &table.name), table) })
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

    fn lineage<'a>(&'a self, _: &'a mut Db, table: &'a Identifier) -> Task<'a, Vec<RowsByLineage>> {
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
            let row = |((start, run_id, model), rows)| RowsByLineage { start, run_id, model, rows };
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
                    tracing::warn!(
                        "readers of the table {name} see older rows than the ledger has, until the next run shows them: {error}"
                    );
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
        manifest::show(db, &folder, &ledger).await
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

//! `_current.json`: the files of a table, as one version of it. Readers that go by it see all intervals as they were at one
//! moment; the files that it names are not changed, and stay for an hour after they were replaced.

use std::fs::File;
use std::path::Path;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::files::{self, Folder};
use crate::error::{Class, Error, Result};
use crate::failpoints;
use crate::identifier::Identifier;
use crate::interval::instant;
use crate::ledger::Db;
use crate::plain_file;
use crate::warehouse::table::LINEAGE;

/// A manifest of a newer Daymill may say what this one does not understand.
const FORMAT: u32 = 1;

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    pub format: u32,
    pub table: String,
    /// Grows with every publication.
    pub version: i64,
    pub written_at: String,
    /// Names and types, in order.
    pub columns: Vec<(String, String)>,
    pub intervals: Vec<Entry>,
}

/// An interval, and the file of its rows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    pub interval: String,
    pub start: DateTime<Utc>,
    pub end: DateTime<Utc>,
    pub run_id: String,
    pub rows: u64,
    pub bytes: u64,
    /// The hash of the rows that the ledger has.
    pub content: String,
    /// Below the table's folder; it never changes.
    pub path: String,
    /// The same file by its interval; it is replaced when the interval is.
    pub visible: String,
}

impl Entry {
    pub fn new(folder: &Folder, (start, end): (DateTime<Utc>, DateTime<Utc>), label: &str, run_id: &str) -> Entry {
        let bytes = std::fs::metadata(folder.version(run_id)).map_or(0, |of| of.len());
        Entry {
            interval: label.to_owned(),
            start,
            end,
            run_id: run_id.to_owned(),
            rows: 0,
            bytes,
            content: String::new(),
            path: format!("_versions/{run_id}"),
            visible: files::visible(label),
        }
    }
}

/// The manifest as it stands; an empty one of a table that is not there.
pub fn read(folder: &Folder) -> Result<Manifest> {
    let path = folder.manifest();
    if !path.exists() {
        return Ok(Manifest { format: FORMAT, ..Manifest::default() });
    }
    let bytes = plain_file::read(&path, plain_file::PLAN)?;
    let broken = |what: String| {
        Error::data(format!("{} is not a manifest of Daymill", path.display()))
            .cause(what)
            .hint("remove it: the next run writes it again from the ledger")
    };
    let manifest: Manifest = serde_json::from_slice(&bytes).map_err(|e| broken(e.to_string()))?;
    match manifest.format <= FORMAT {
        true => Ok(manifest),
        false => {
            Err(Error::config(format!("{} has the format {}", path.display(), manifest.format))
                .hint("use a newer Daymill"))
        }
    }
}

/// The same, where one that is damaged is none: it is written again.
pub fn known(folder: &Folder) -> Result<Manifest> {
    match read(folder) {
        Err(error) if error.class == Class::Data => Ok(Manifest::default()),
        read => read,
    }
}

/// What the ledger says of a table. A file that is gone is left out: `lost` counts them.
pub async fn of_ledger(db: &mut Db, lake: &Path, table: &Identifier) -> Result<(Manifest, u64)> {
    let folder = Folder::of(lake, table);
    let sql = "SELECT i.interval_start, i.interval_end, i.label, i.run_id, CAST(i.rows_published AS TEXT), i.content_hash, \
               i.columns, (SELECT CAST(n AS TEXT) FROM {chain}) FROM {intervals} i \
               WHERE i.table_name = $1 AND i.run_id IS NOT NULL ORDER BY i.interval_start";
    let mut manifest = Manifest {
        format: FORMAT,
        table: table.name().to_owned(),
        written_at: instant(Utc::now()),
        ..Manifest::default()
    };
    let mut lost = 0;
    for row in db.fetch(sql, &[table.name().into()]).await? {
        let text = |i: usize| row[i].clone().unwrap_or_default();
        let time = |i: usize| {
            text(i).parse::<DateTime<Utc>>().map_err(|_| {
                Error::data(format!("the ledger's interval {} of {} makes no sense", text(2), table.name()))
                    .hint("run: daymill ledger verify")
            })
        };
        let mut entry = Entry::new(&folder, (time(0)?, time(1)?), &text(2), &text(3));
        (entry.rows, entry.content) = (text(4).parse().unwrap_or_default(), text(5));
        if let Ok(columns) = serde_json::from_str(&text(6)) {
            manifest.columns = columns;
            let lineage = LINEAGE.iter().map(|(name, kind)| ((*name).to_owned(), kind.name().to_owned()));
            manifest.columns.extend(lineage);
        }
        manifest.version = text(7).parse().unwrap_or_default();
        match folder.version(&entry.run_id).is_file() {
            true => manifest.intervals.push(entry),
            false => lost += 1,
        }
    }
    Ok((manifest, lost))
}

/// Shows what a manifest says, unless a newer one stands: first the files by their intervals, then the manifest.
pub fn show(folder: &Folder, manifest: &Manifest) -> Result<()> {
    let lock = hold(folder)?;
    let current = known(folder)?;
    if current.version >= manifest.version {
        return Ok(());
    }
    let before = |entry: &Entry| current.intervals.iter().find(|old| old.start == entry.start);
    for entry in &manifest.intervals {
        // What was shown before needs no look.
        if before(entry).is_none_or(|old| old.run_id != entry.run_id) {
            folder.show(&entry.run_id, &entry.interval)?;
        }
    }
    failpoints::at("lake-shown");
    let draft = folder.root().join("_next.json");
    let text = serde_json::to_vec_pretty(manifest).map_err(|e| Error::defect("a manifest").cause(e))?;
    files::write(&draft, &text)?;
    std::fs::rename(&draft, folder.manifest()).map_err(|e| Error::io(&folder.manifest(), "write", &e))?;
    files::sync(folder.root())?;
    failpoints::at("lake-renamed");
    for old in &current.intervals {
        let gone = |entry: &Entry| entry.run_id == old.run_id;
        if !manifest.intervals.iter().any(gone) {
            folder.replaced(&old.run_id);
        }
    }
    drop(lock);
    folder.sweep(|name| manifest.intervals.iter().any(|entry| entry.run_id == name))
}

/// Held until it is dropped.
fn hold(folder: &Folder) -> Result<File> {
    let path = folder.lock();
    let file = File::options().create(true).write(true).truncate(false).open(&path);
    let file = file.map_err(|e| Error::io(&path, "open the lock", &e))?;
    file.lock().map_err(|e| Error::io(&path, "lock", &e))?;
    Ok(file)
}

/// Whether readers see what the ledger says.
pub fn agrees(current: &Manifest, ledger: &Manifest) -> bool {
    let runs = |manifest: &Manifest| -> Vec<(DateTime<Utc>, String)> {
        manifest.intervals.iter().map(|entry| (entry.start, entry.run_id.clone())).collect()
    };
    runs(current) == runs(ledger)
}

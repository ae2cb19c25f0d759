//! `_current.json`: the files of a table, as one version of it. Readers that go by it see all intervals as they were at one
//! moment; the files that it names are not changed, and stay for an hour after they were replaced.

use std::collections::HashSet;
use std::fs::{File, TryLockError};
use std::path::Path;
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use super::files::{self, Folder};
use crate::error::{Class, Error, Result};
use crate::failpoints;
use crate::identifier::Identifier;
use crate::interval::instant;
use crate::ledger::Db;
use crate::plain_file;
use crate::rows::LINEAGE;
use crate::warehouse::table::{Existing, TableSchema};

/// Versions that are not read any more stay so long, for readers that began before.
const KEPT: TimeDelta = TimeDelta::hours(1);
const PATIENCE: Duration = Duration::from_secs(30);
const LOOK_AGAIN: Duration = Duration::from_millis(5);

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
    /// Files that were replaced, and when; they stay for an hour.
    #[serde(default)]
    pub replaced: Vec<Replaced>,
}

/// A file that a later run has replaced.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Replaced {
    pub run_id: String,
    pub at: DateTime<Utc>,
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

/// The columns of all files.
pub fn columns(folder: &Folder) -> Result<Vec<Existing>> {
    let columns = read(folder)?.columns.into_iter();
    Ok(columns.map(|(name, kind)| Existing { name, kind, required: false }).collect())
}

/// Fits a schema to the files that are there: each has its own columns, and all that are written now have the date.
pub fn fit(folder: &Folder, table: &mut TableSchema) -> Result<()> {
    table.fit(&columns(folder)?, "")?;
    table.dated = true;
    Ok(())
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
        if let Ok(columns) = serde_json::from_str::<Vec<(String, String)>>(&text(6)) {
            extend(&mut manifest.columns, columns);
        }
        manifest.version = text(7).parse().unwrap_or_default();
        match folder.version(&entry.run_id).is_file() {
            true => manifest.intervals.push(entry),
            false => lost += 1,
        }
    }
    if !manifest.columns.is_empty() {
        let lineage = LINEAGE.iter().map(|(name, kind)| ((*name).to_owned(), kind.name().to_owned()));
        extend(&mut manifest.columns, lineage);
    }
    Ok((manifest, lost))
}

/// Adds the columns that are not among those known.
pub fn extend(known: &mut Vec<(String, String)>, more: impl IntoIterator<Item = (String, String)>) {
    for (name, kind) in more {
        if !known.iter().any(|(other, _)| *other == name) {
            known.push((name, kind));
        }
    }
}

/// Shows what a manifest says, unless a newer one stands: first the files by their intervals, then the manifest. What stands with
/// a higher number than the end of the ledger's chain was written by a ledger that is not there any more. Intervals that the
/// ledger does not speak of stay as they are.
pub async fn show(db: &mut Db, folder: &Folder, manifest: &Manifest) -> Result<()> {
    let lock = hold(folder)?;
    // Asked while the lock is held: whoever wrote what stands had committed it before, so it is at most the end of the chain.
    let head = head(db).await?;
    failpoints::at("lake-held");
    let current = known(folder)?;
    if (manifest.version..=head).contains(&current.version) {
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
    let next = following(&current, manifest.clone());
    let draft = folder.root().join("_next.json");
    let text = serde_json::to_vec_pretty(&next).map_err(|e| Error::defect("a manifest").cause(e))?;
    files::write(&draft, &text)?;
    std::fs::rename(&draft, folder.manifest()).map_err(|e| Error::io(&folder.manifest(), "write", &e))?;
    files::sync(folder.root())?;
    failpoints::at("lake-renamed");
    drop(lock);
    folder.sweep(|name| {
        next.intervals.iter().any(|entry| entry.run_id == name) || next.replaced.iter().any(|old| old.run_id == name)
    })
}

/// The manifest that follows another: with the intervals that only the other has, and with what it replaces.
fn following(current: &Manifest, mut next: Manifest) -> Manifest {
    let own: HashSet<DateTime<Utc>> = next.intervals.iter().map(|entry| entry.start).collect();
    next.intervals.extend(current.intervals.iter().filter(|old| !own.contains(&old.start)).cloned());
    next.intervals.sort_by_key(|entry| entry.start);
    let runs: HashSet<&str> = next.intervals.iter().map(|entry| entry.run_id.as_str()).collect();
    let now = Utc::now();
    let gone = current.intervals.iter().filter(|old| !runs.contains(old.run_id.as_str()));
    let gone: Vec<Replaced> = gone.map(|old| Replaced { run_id: old.run_id.clone(), at: now }).collect();
    let recent = current.replaced.iter().filter(|old| now - old.at < KEPT && !runs.contains(old.run_id.as_str()));
    next.replaced = recent.cloned().chain(gone).collect();
    next
}

/// Held until it is dropped. Who has it needs a moment; one that was stopped in it must not stop the others.
fn hold(folder: &Folder) -> Result<File> {
    let path = folder.lock();
    let file = File::options().create(true).write(true).truncate(false).open(&path);
    let file = file.map_err(|e| Error::io(&path, "open the lock", &e))?;
    let asked = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) if asked.elapsed() < PATIENCE => std::thread::sleep(LOOK_AGAIN),
            Err(TryLockError::WouldBlock) => {
                let text = format!("another process has held {} for {} s", path.display(), PATIENCE.as_secs());
                return Err(Error::new(Class::Unavailable, text)
                    .hint("find it and end it, or let it go on; the next run shows what the ledger has"));
            }
            Err(TryLockError::Error(e)) => return Err(Error::io(&path, "lock", &e)),
        }
    }
}

/// Whether readers see what the ledger says.
pub fn agrees(current: &Manifest, ledger: &Manifest) -> bool {
    let runs: HashSet<(DateTime<Utc>, &str)> =
        current.intervals.iter().map(|entry| (entry.start, entry.run_id.as_str())).collect();
    ledger.intervals.iter().all(|entry| runs.contains(&(entry.start, entry.run_id.as_str())))
}

/// The number of the ledger's last event.
pub async fn head(db: &mut Db) -> Result<i64> {
    let rows = db.fetch("SELECT CAST(n AS TEXT) FROM {chain}", &[]).await?;
    Ok(rows.first().and_then(|row| row[0].as_ref()?.parse().ok()).unwrap_or(0))
}

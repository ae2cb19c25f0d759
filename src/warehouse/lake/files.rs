//! Where things lie in the folder of a table, and writing that the disk has when it returns.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::error::{Error, Result};
use crate::identifier::Identifier;

/// Versions that no manifest has named stay so long: an attempt may be about to publish one.
const UNNAMED: Duration = Duration::from_secs(3600);
/// Files that an attempt began and nobody has written to for so long are of an attempt that died.
const ABANDONED: Duration = Duration::from_secs(24 * 3600);

/// The folder of a table.
#[derive(Clone, Debug)]
pub struct Folder {
    root: PathBuf,
}

impl Folder {
    pub fn of(lake: &Path, table: &Identifier) -> Folder {
        Folder { root: lake.join(encoded(table.name())) }
    }

    pub fn manifest(&self) -> PathBuf {
        self.root.join("_current.json")
    }

    /// Held by who changes what is seen.
    pub fn lock(&self) -> PathBuf {
        self.root.join("_lock")
    }

    pub fn versions(&self) -> PathBuf {
        self.root.join("_versions")
    }

    pub fn version(&self, run_id: &str) -> PathBuf {
        self.versions().join(run_id)
    }

    /// Where an attempt writes.
    pub fn draft(&self, run_id: &str) -> PathBuf {
        self.versions().join(format!("{run_id}.draft"))
    }

    pub fn visible(&self, label: &str) -> PathBuf {
        self.root.join(visible(label))
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    pub fn make(&self) -> Result<()> {
        let folder = self.versions();
        std::fs::create_dir_all(&folder).map_err(|e| Error::io(&folder, "create", &e))?;
        sync(&self.root)?;
        self.root.parent().map_or(Ok(()), sync)
    }

    /// Gives the file of a run the name by which an interval is seen.
    pub fn show(&self, run_id: &str, label: &str) -> Result<()> {
        let (version, visible) = (self.version(run_id), self.visible(label));
        let folder = visible.parent().unwrap_or(&self.root).to_owned();
        if same(&version, &visible) {
            // Who gave it the name may have died before the disk had it.
            sync(&folder)?;
            return sync(&self.root);
        }
        std::fs::create_dir_all(&folder).map_err(|e| Error::io(&folder, "create", &e))?;
        let draft = folder.join(format!("_{run_id}"));
        let _ = std::fs::remove_file(&draft);
        // Where a file cannot have two names it has a copy.
        std::fs::hard_link(&version, &draft)
            .or_else(|_| std::fs::copy(&version, &draft).and_then(|_| File::open(&draft)?.sync_all()))
            .map_err(|e| Error::io(&draft, "write", &e))?;
        std::fs::rename(&draft, &visible).map_err(|e| Error::io(&visible, "write", &e))?;
        sync(&folder)?;
        sync(&self.root)
    }

    /// Removes versions that nothing speaks of any more.
    pub fn sweep(&self, current: impl Fn(&str) -> bool) -> Result<()> {
        let folder = self.versions();
        let entries = std::fs::read_dir(&folder).map_err(|e| Error::unreadable(&folder, &e))?;
        for entry in entries.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let age = entry.metadata().and_then(|of| of.modified()).map(|at| at.elapsed().unwrap_or_default());
            let limit = if name.ends_with(".draft") { ABANDONED } else { UNNAMED };
            if age.is_ok_and(|age| age > limit) && !current(&name) {
                std::fs::remove_file(entry.path()).map_err(|e| Error::io(&entry.path(), "remove", &e))?;
            }
        }
        Ok(())
    }
}

/// The name by which an interval is seen, below its table's folder.
pub fn visible(label: &str) -> String {
    format!("dt={}/part-0.parquet", encoded(label))
}

/// Whether two names are of one file.
pub fn same(one: &Path, other: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let id = |path: &Path| std::fs::metadata(path).map(|of| (of.dev(), of.ino()));
    matches!((id(one), id(other)), (Ok(one), Ok(other)) if one == other)
}

/// As Hive writes what a path cannot hold: `%` and two hexadecimal digits.
fn encoded(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let mut out = String::with_capacity(text.len());
    for (at, byte) in text.bytes().enumerate() {
        // Names that begin so are hidden from readers.
        match plain(byte) && !(at == 0 && matches!(byte, b'.' | b'_')) {
            true => out.push(char::from(byte)),
            false => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

/// Writes a file under another name first.
pub fn write(draft: &Path, bytes: &[u8]) -> Result<()> {
    let written = File::create(draft).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()
    });
    written.map_err(|e| Error::io(draft, "write", &e))
}

/// The disk has the names of a folder.
pub fn sync(folder: &Path) -> Result<()> {
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(|e| Error::io(folder, "write", &e))
}

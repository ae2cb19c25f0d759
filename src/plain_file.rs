//! Reading files that somebody named: regular ones only, and no larger than what they are for.

use std::path::Path;

use crate::error::{Error, Result};

/// The most that is read of a file of settings or SQL, of a secret, of a plan, of a model.
pub const SETTINGS: u64 = 16 << 20;
pub const SECRET: u64 = 64 << 10;
pub const PLAN: u64 = 512 << 20;
pub const MODEL: u64 = 4 << 30;

/// A whole file. A pipe would wait for ever, and a device never ends.
pub fn read(path: &Path, most: u64) -> Result<Vec<u8>> {
    let size = regular(path)?;
    if size > most {
        return Err(Error::input(format!(
            "{} has {size} bytes; at most {most} are read of such a file",
            path.display()
        )));
    }
    std::fs::read(path).map_err(|e| Error::unreadable(path, &e))
}

/// Makes sure that a path names a regular file; its size.
pub fn regular(path: &Path) -> Result<u64> {
    let shown = path.display();
    match std::fs::metadata(path) {
        Ok(metadata) if metadata.is_file() => Ok(metadata.len()),
        Ok(metadata) if metadata.is_dir() => {
            Err(Error::input(format!("{shown} is a folder, where a file is expected"))
                .hint(format!("to read the files in it, write {shown}/*.parquet")))
        }
        Ok(_) => Err(Error::input(format!("{shown} is not a regular file")).hint("only regular files are read")),
        Err(error) if path.is_symlink() => {
            Err(Error::input(format!("{shown} is a link to a file that cannot be read")).cause(error))
        }
        Err(error) => Err(Error::unreadable(path, &error)),
    }
}

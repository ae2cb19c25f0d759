//! A file of TOML as text, and the faults that were found in it.

use std::cell::RefCell;
use std::path::{Path, PathBuf};

use crate::error::{Error, Fault, Result};
use crate::plain_file;

/// One file and the faults found in it so far.
pub struct Source {
    pub path: PathBuf,
    pub(super) text: String,
    faults: RefCell<Vec<Fault>>,
}

impl Source {
    /// A byte order mark and CRLF line ends are fine.
    pub fn open(path: &Path) -> Result<Source> {
        let bytes = plain_file::read(path, plain_file::SETTINGS)?;
        let text = String::from_utf8(bytes).map_err(|e| {
            let line = e.as_bytes()[..e.utf8_error().valid_up_to()].iter().filter(|b| **b == b'\n').count() + 1;
            Error::config(format!("{}:{line}: not UTF-8 text", path.display()))
        })?;
        let text = text.strip_prefix('\u{feff}').unwrap_or(&text).to_owned();
        Ok(Source { path: path.to_owned(), text, faults: RefCell::default() })
    }

    pub fn text(&self) -> &str {
        &self.text
    }

    pub fn fault(&self, line: usize, message: impl Into<String>, hint: Option<String>) {
        self.faults.borrow_mut().push(Fault { file: self.path.clone(), line, message: message.into(), hint });
    }

    pub fn has_faults(&self) -> bool {
        !self.faults.borrow().is_empty()
    }

    pub fn into_faults(self) -> Vec<Fault> {
        self.faults.into_inner()
    }

    pub(super) fn line_of(&self, offset: usize) -> usize {
        self.text.as_bytes()[..offset.min(self.text.len())].iter().filter(|b| **b == b'\n').count() + 1
    }
}

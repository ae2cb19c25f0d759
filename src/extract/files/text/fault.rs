//! What is wrong with a text, and where.

use std::path::Path;

use crate::error::Error;

/// A text that cannot be read, at a line and a column.
#[derive(Debug, PartialEq)]
pub struct Fault {
    pub line: u64,
    pub column: Option<String>,
    pub what: String,
    pub hint: Option<String>,
}

impl Fault {
    pub fn at(line: u64, what: impl Into<String>) -> Fault {
        Fault { line, column: None, what: what.into(), hint: None }
    }

    pub fn of(self, path: &Path) -> Error {
        let column = self.column.map(|name| format!(", column {name:?}")).unwrap_or_default();
        let error = Error::data(format!("{}, line {}{column}: {}", path.display(), self.line, self.what));
        error.hint(
            self.hint.unwrap_or_else(|| "correct the file, or how the job file reads it; nothing was written".into()),
        )
    }
}

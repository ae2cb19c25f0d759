//! What is wrong with a query: a SQLSTATE as Postgres gives it, where in the text, what to write instead; shown with the
//! line and a caret.

use std::path::Path;

use polars::prelude::PolarsError;
use sqlparser::tokenizer::Span;

use crate::error::Error;

/// A place in the text: line and column of its first character, both from 1; 0 when it is not known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    pub line: u32,
    pub column: u32,
}

impl From<Span> for Place {
    fn from(span: Span) -> Place {
        Place { line: span.start.line as u32, column: span.start.column as u32 }
    }
}

/// A query that is refused at planning.
#[derive(Clone, Debug)]
pub struct SqlError {
    pub code: &'static str,
    pub place: Place,
    pub message: String,
    pub hint: Option<String>,
}

pub type Result<T> = std::result::Result<T, SqlError>;

impl SqlError {
    pub fn new(code: &'static str, place: impl Into<Place>, message: impl Into<String>) -> SqlError {
        SqlError { code, place: place.into(), message: message.into(), hint: None }
    }

    /// Something that Postgres has and Daymill has not.
    pub fn unsupported(place: impl Into<Place>, what: impl std::fmt::Display) -> SqlError {
        SqlError::new(UNSUPPORTED, place, format!("{what} is not supported"))
    }

    pub fn hint(mut self, hint: impl Into<String>) -> SqlError {
        self.hint = Some(hint.into());
        self
    }

    /// Gives a place to an error that has none.
    pub fn or_at(mut self, place: impl Into<Place>) -> SqlError {
        if self.place == Place::default() {
            self.place = place.into();
        }
        self
    }

    /// The name of a column that is not there, when that is what is wrong.
    pub fn no_column(&self) -> Option<&str> {
        self.message.strip_prefix(MISSING).filter(|_| self.code == NO_COLUMN)
    }

    /// The place, what is wrong and what to do, on one line.
    pub fn line(&self, path: &Path) -> String {
        let hint = self.hint.as_ref().filter(|hint| hint.starts_with("did you mean"));
        let hint = hint.map(|hint| format!(" ({hint})")).unwrap_or_default();
        format!("{}{hint}", located(path, self.place, &self.message))
    }

    /// In the words of the program: the file, the line, the column, a caret.
    pub fn in_file(&self, path: &Path, text: &str) -> Error {
        let mut error = Error::config(located(path, self.place, &self.message));
        error.causes = caret(text, self.place);
        error.hint = self.hint.clone();
        error
    }
}

/// How the message about a column that is not there begins.
pub const MISSING: &str = "there is no column ";

pub const UNSUPPORTED: &str = "0A000";
pub const SYNTAX: &str = "42601";
pub const NO_COLUMN: &str = "42703";
pub const NO_TABLE: &str = "42P01";
pub const NO_FUNCTION: &str = "42883";
pub const AMBIGUOUS: &str = "42702";
pub const MISMATCH: &str = "42804";
pub const GROUPING: &str = "42803";
pub const DUPLICATE: &str = "42701";

fn located(path: &Path, place: Place, message: &str) -> String {
    match place.line {
        0 => format!("{}: {message}", path.display()),
        line => format!("{}:{line}:{}: {message}", path.display(), place.column),
    }
}

/// The line of the text with a caret below the place; only so much of a long line as stands around it.
pub fn caret(text: &str, place: Place) -> Vec<String> {
    const AROUND: usize = 60;
    let Some(line) = (place.line > 0).then(|| text.lines().nth(place.line as usize - 1)).flatten() else {
        return Vec::new();
    };
    let column = (place.column.max(1) as usize - 1).min(line.chars().count());
    let first = column.saturating_sub(AROUND);
    let shown: String = line.chars().skip(first).take(2 * AROUND).map(|c| if c == '\t' { ' ' } else { c }).collect();
    vec![format!("  {}", shown.trim_end()), format!("  {}^", " ".repeat(column - first))]
}

/// What went wrong with a value while a query ran. It travels through the engine as text.
#[derive(Debug, PartialEq, Eq)]
pub struct Fault {
    pub code: &'static str,
    pub message: String,
}

impl Fault {
    pub fn new(code: &'static str, message: impl Into<String>) -> Fault {
        Fault { code, message: message.into() }
    }

    pub fn range(kind: &str) -> Fault {
        Fault::new("22003", format!("{kind} out of range"))
    }

    pub fn zero() -> Fault {
        Fault::new("22012", "division by zero")
    }
}

const MARK: char = '\u{1}';

/// A fault at a place, as the engine's own error.
pub fn engine_error(fault: &Fault, place: Place) -> PolarsError {
    PolarsError::ComputeError(
        format!("{MARK}{}{MARK}{}{MARK}{}{MARK}{}{MARK}", fault.code, place.line, place.column, fault.message).into(),
    )
}

/// The fault that an engine's error carries, in the words of the program.
pub fn fault_in(error: &PolarsError, path: &Path, text: &str) -> Option<Error> {
    let said = error.to_string();
    let mut parts = said.split(MARK).skip(1);
    let (code, line, column, message) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let place = Place { line: line.parse().ok()?, column: column.parse().ok()? };
    let mut error = Error::data(located(path, place, message));
    error.causes = caret(text, place);
    Some(error.hint(match instead(code) {
        Some(instead) => format!("nothing was written; {instead}"),
        None => "nothing was written".into(),
    }))
}

/// What to write so that a value of this kind does not stop the query.
fn instead(code: &str) -> Option<&'static str> {
    Some(match code {
        "22012" => "x / NULLIF(y, 0) is NULL where y is 0",
        "22003" => "compute with a wider type, CAST(x AS DOUBLE PRECISION), or leave out the rows with such values",
        "22P02" | "22007" | "22008" => "CASE WHEN x ~ '...' THEN CAST(x AS ...) END casts only the values that fit",
        "21000" => "give the subquery an aggregate, or ORDER BY ... LIMIT 1",
        "2201E" | "2201F" => "CASE WHEN x > 0 THEN ... END asks only the values that it is defined for",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_names_the_file_the_line_and_the_column() {
        let text = "SELECT a,\n  naïve(b)\nFROM t";
        let error = SqlError::new(NO_FUNCTION, Place { line: 2, column: 3 }, "there is no function naïve");
        let said = error.in_file(Path::new("q.sql"), text).to_string();
        assert_eq!(said, "q.sql:2:3: there is no function naïve\n      naïve(b)\n      ^");
    }

    #[test]
    fn a_fault_comes_back_from_the_engine() {
        let error = engine_error(&Fault::zero(), Place { line: 1, column: 8 });
        let error = PolarsError::ComputeError(format!("in the engine: {error}").into());
        let error = fault_in(&error, Path::new("q.sql"), "SELECT 1/0").unwrap();
        let said = error.to_string();
        assert!(error.hint.is_some_and(|hint| hint.contains("NULLIF")));
        assert!(said.contains("q.sql:1:8: division by zero\n    SELECT 1/0\n           ^"), "{said}");
    }
}

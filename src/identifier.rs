//! SQL identifiers: the one type through which a name reaches a statement, and the one place that quotes it.

use std::fmt;

use crate::error::{Error, Result};

/// Postgres truncates longer names without a word, so they are refused.
const MAX_BYTES: usize = 63;

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Identifier(String);

impl Identifier {
    pub fn new(name: &str) -> Result<Identifier> {
        let wrong = |what: &str| Err(Error::config(format!("the name {name:?} {what}")));
        if name.is_empty() {
            return wrong("is empty");
        }
        if name.len() > MAX_BYTES {
            return wrong(&format!("is longer than {MAX_BYTES} bytes, which Postgres would cut"));
        }
        if name.chars().any(char::is_control) {
            return wrong("has a control character");
        }
        // In statements of the ledger braces stand for the names of its tables.
        if name.contains(['{', '}']) {
            return wrong("has a brace");
        }
        Ok(Identifier(name.to_owned()))
    }

    pub fn name(&self) -> &str {
        &self.0
    }
}

/// Quoted, for a statement of Postgres or SQLite.
impl fmt::Display for Identifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0.replace('"', "\"\""))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_leave_its_quotes() {
        assert_eq!(Identifier::new("a\"; DROP TABLE x;--").unwrap().to_string(), "\"a\"\"; DROP TABLE x;--\"");
        assert!(Identifier::new(&"é".repeat(32)).is_err());
        assert!(Identifier::new("a\nb").is_err());
        assert!(Identifier::new("").is_err());
        assert!(Identifier::new("{runs}").is_err());
    }
}

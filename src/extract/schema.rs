//! The columns that a source has against those that a job declares: which can be read, as what, and which are refused.

use polars::prelude::{DataFrame, Field, Schema};

use crate::error::{Class, Error, Result};
use crate::project::job::TableSpec;
use crate::rows::ColumnType;

/// What a column of a source holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// One type and no other.
    Of(ColumnType),
    /// A number that can be read as int or float where its value allows it.
    Number(ColumnType),
    Decimal,
    /// A date and a time of day, and no zone.
    Naive,
    /// NULL in every row, and no type.
    Null,
    /// Bytes that may be text.
    Bytes,
    Uuid,
    Unreadable,
}

/// A column of a source.
#[derive(Clone, Debug)]
pub struct Found {
    pub name: String,
    pub kind: Kind,
    /// Its type in the words of the source.
    pub shown: String,
}

impl Found {
    pub fn new(name: &str, kind: Kind, shown: impl Into<String>) -> Found {
        Found { name: name.to_owned(), kind, shown: shown.into() }
    }

    /// The type that it has when nothing is declared.
    fn natural(&self, spec: &TableSpec) -> Option<ColumnType> {
        match self.kind {
            Kind::Of(kind) | Kind::Number(kind) => Some(kind),
            Kind::Decimal => Some(ColumnType::Float),
            Kind::Naive => spec.zone_of(&self.name).map(|_| ColumnType::Timestamp),
            Kind::Uuid => Some(ColumnType::Text),
            Kind::Null | Kind::Bytes | Kind::Unreadable => None,
        }
    }

    /// Whether it can be read as the declared type: exactly, or not at all.
    fn takes(&self, declared: ColumnType, spec: &TableSpec) -> bool {
        use ColumnType::{Float, Int, Text};
        match self.kind {
            Kind::Null => true,
            Kind::Decimal => matches!(declared, Float | Int | Text),
            Kind::Number(_) => matches!(declared, Int | Float),
            Kind::Bytes => declared == Text,
            _ => self.natural(spec) == Some(declared),
        }
    }

    /// What makes it readable.
    fn cure(&self) -> &'static str {
        match self.kind {
            Kind::Naive => {
                "it has no time zone: say which clock wrote it, as in zone = \"Europe/Berlin\" in [extract.TABLE]"
            }
            Kind::Bytes => "if it is UTF-8 text, declare it: [extract.TABLE.columns] with NAME = \"text\"",
            _ => "name the columns to read in [extract.TABLE.columns], or leave this one out of the source",
        }
    }
}

/// What is shown of a column whose bytes are closed.
pub const ENCRYPTED: &str = "encrypted";

/// Columns to take, in order.
pub type Wanted = Vec<(String, ColumnType)>;

/// The columns of a source that nobody asked for.
pub fn ignored(found: &[Found], wanted: &Wanted) -> Vec<String> {
    let left = found.iter().filter(|found| wanted.iter().all(|(name, _)| *name != found.name));
    left.map(|found| found.name.clone()).collect()
}

/// The columns to take of one source, in the declared order; of a table that declares none, all.
pub fn agree(spec: &TableSpec, source: &str, found: &[Found]) -> Result<Wanted> {
    agree_all(spec, &[(source, found)])
}

/// The same of several sources that make one table.
pub fn agree_all(spec: &TableSpec, sources: &[(&str, &[Found])]) -> Result<Wanted> {
    for (source, found) in sources {
        let twice = |f: &&Found| {
            let wanted = spec.columns.is_empty() || spec.columns.iter().any(|(name, _)| *name == f.name);
            wanted && found.iter().filter(|other| other.name == f.name).count() > 1
        };
        if let Some(twice) = found.iter().find(twice) {
            return Err(Error::data(format!("table {}: {source} has two columns {:?}", spec.name, twice.name))
                .hint("give each column of the source a name of its own; nothing was written"));
        }
        if !spec.columns.is_empty() {
            declared(spec, source, found)?;
        }
    }
    match spec.columns.is_empty() {
        true => undeclared(spec, sources),
        false => Ok(spec.columns.clone()),
    }
}

fn declared(spec: &TableSpec, source: &str, found: &[Found]) -> Result<()> {
    let mut error = Error::data(format!("table {}: {source} does not have the declared columns", spec.name))
        .hint("correct the source, or [extract.TABLE.columns] in the job file; nothing was written");
    for (name, declared) in &spec.columns {
        match found.iter().find(|found| found.name == *name) {
            Some(found) if found.takes(*declared, spec) => {}
            Some(found) => {
                error.causes.push(format!("column {name:?} is declared {} and is {}", declared.name(), found.shown));
                if found.kind == Kind::Naive && *declared == ColumnType::Timestamp {
                    error.hint = Some(found.cure().into());
                }
            }
            None => {
                let near = crate::config::meant(name, found.iter().map(|found| found.name.as_str()));
                let near = near.map(|near| format!(" ({near})")).unwrap_or_default();
                error.causes.push(format!("column {name:?} is missing{near}"));
            }
        }
    }
    if error.causes.iter().any(|cause| cause.ends_with(ENCRYPTED)) {
        error.class = Class::Input;
    }
    if error.causes.is_empty() { Ok(()) } else { Err(error) }
}

/// A table that declares no columns has those of its first source, and every source must have the same.
fn undeclared(spec: &TableSpec, sources: &[(&str, &[Found])]) -> Result<Wanted> {
    let Some((first, columns)) = sources.first() else { return Ok(Wanted::new()) };
    let mut wanted = Wanted::new();
    for column in *columns {
        // The first source that knows its type, and the type.
        let mut known: Option<(&str, &Found, ColumnType)> = None;
        for (source, found) in sources {
            let Some(found) = found.iter().find(|found| found.name == column.name) else {
                return Err(differ(spec, format!("{first} has the column {:?}, and {source} has not", column.name)));
            };
            match (found.kind, found.natural(spec), known) {
                (Kind::Null, ..) => {}
                (_, None, _) => return Err(unreadable(spec, source, found)),
                (_, Some(kind), None) => known = Some((source, found, kind)),
                (_, Some(kind), Some((other, one, before))) if kind != before => {
                    let (name, was, is) = (&column.name, &one.shown, &found.shown);
                    return Err(differ(spec, format!("the column {name:?} is {was} in {other}, and {is} in {source}")));
                }
                _ => {}
            }
        }
        wanted.push((column.name.clone(), known.map_or(ColumnType::Text, |(.., kind)| kind)));
    }
    for (source, found) in sources {
        if let Some(more) = found.iter().find(|found| columns.iter().all(|column| column.name != found.name)) {
            return Err(differ(spec, format!("{source} has the column {:?}, and {first} has not", more.name)));
        }
    }
    Ok(wanted)
}

fn differ(spec: &TableSpec, what: String) -> Error {
    Error::data(format!("table {}: its files do not have the same columns", spec.name))
        .cause(what)
        .hint("declare the columns to read in [extract.TABLE.columns] of the job file; nothing was written")
}

fn unreadable(spec: &TableSpec, source: &str, found: &Found) -> Error {
    let class = if found.shown == ENCRYPTED { Class::Input } else { Class::Data };
    Error::new(
        class,
        format!("table {}: {source}: the column {:?} is {}, which is not read", spec.name, found.name, found.shown),
    )
    .hint(found.cure())
}

/// An empty frame of these columns.
pub fn empty(columns: &Wanted) -> DataFrame {
    let field = |(name, kind): &(String, ColumnType)| Field::new(name.as_str().into(), kind.polars());
    DataFrame::empty_with_schema(&columns.iter().map(field).collect::<Schema>())
}

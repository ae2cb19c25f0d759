//! Names: which column a name means, as Postgres finds it: folded to small letters unless quoted, ambiguous names refused.

use sqlparser::ast::Ident;

use super::error::{AMBIGUOUS, MISSING, NO_COLUMN, NO_TABLE, Place, Result, SqlError};
use super::expr::{Ex, Id};
use super::types::Ty;

/// What a name stands for.
#[derive(Clone, Debug)]
#[allow(clippy::large_enum_variant, reason = "there are as many as the query has expressions, and most are values")]
pub enum Meaning {
    Value(Ex),
    /// An interval is three numbers: months, days, microseconds.
    Interval([Ex; 3]),
}

#[derive(Clone, Debug)]
pub struct Named {
    /// The table or alias that it is a column of; none for a column that USING merged.
    pub table: Option<String>,
    pub name: String,
    pub meaning: Meaning,
    /// It answers to `table.name` but not to `name` or `*`, because USING merged it.
    pub hidden: bool,
}

/// The columns that expressions of one query level can name.
#[derive(Clone, Debug, Default)]
pub struct Scope {
    pub names: Vec<Named>,
    /// Tables and aliases, in the order of FROM, with those that have no columns.
    pub tables: Vec<String>,
}

/// As an unquoted name is read.
pub fn folded(ident: &Ident) -> String {
    if ident.quote_style.is_some() { ident.value.clone() } else { ident.value.to_ascii_lowercase() }
}

impl Scope {
    pub fn of_table(table: &str, columns: Vec<(String, Meaning)>) -> Scope {
        let named = |(name, meaning)| Named { table: Some(table.to_owned()), name, meaning, hidden: false };
        Scope { names: columns.into_iter().map(named).collect(), tables: vec![table.to_owned()] }
    }

    /// Both, side by side. A table may be named once.
    pub fn beside(mut self, other: Scope, place: Place) -> Result<Scope> {
        if let Some(twice) = other.tables.iter().find(|name| self.tables.contains(name)) {
            return Err(SqlError::new("42712", place, format!("the table name {twice} stands in FROM more than once"))
                .hint("give one of them another name: FROM t AS other"));
        }
        self.names.extend(other.names);
        self.tables.extend(other.tables);
        Ok(self)
    }

    /// The column of an unqualified name, if there is one.
    pub fn column(&self, name: &str, place: Place) -> Result<Option<&Named>> {
        let mut found = self.names.iter().filter(|n| !n.hidden && n.name == name);
        let first = found.next();
        match found.next() {
            None => Ok(first),
            Some(_) => {
                let tables: Vec<String> = self
                    .names
                    .iter()
                    .filter(|n| !n.hidden && n.name == name)
                    .filter_map(|n| n.table.as_ref().map(|t| format!("{t}.{name}")))
                    .collect();
                Err(SqlError::new(AMBIGUOUS, place, format!("the column {name} is ambiguous"))
                    .hint(format!("say which: {}", tables.join(" or "))))
            }
        }
    }

    /// The column of `table.name`, if the table is here.
    pub fn qualified(&self, table: &str, name: &str, place: Place) -> Result<Option<&Named>> {
        if !self.tables.iter().any(|t| t == table) {
            return Ok(None);
        }
        let mut found = self.names.iter().filter(|n| n.table.as_deref() == Some(table) && n.name == name);
        let first = found.next();
        if found.next().is_some() {
            return Err(SqlError::new(AMBIGUOUS, place, format!("the column {table}.{name} is ambiguous")));
        }
        first.map(Some).ok_or_else(|| {
            let of = self.names.iter().filter(|n| n.table.as_deref() == Some(table)).map(|n| n.name.as_str());
            missing(name, Some(table), &of.collect::<Vec<_>>(), place)
        })
    }

    /// The columns of `*`, or of `table.*`.
    pub fn star(&self, table: Option<&str>) -> Vec<&Named> {
        let wanted = |n: &&Named| match table {
            None => !n.hidden,
            Some(table) => n.table.as_deref() == Some(table),
        };
        self.names.iter().filter(wanted).collect()
    }

    pub fn no_column(&self, ident: &Ident, outer: &[&Scope]) -> SqlError {
        let scopes = std::iter::once(self).chain(outer.iter().copied());
        let all: Vec<&str> = scopes.flat_map(|s| s.names.iter().map(|n| n.name.as_str())).collect();
        missing(&folded(ident), None, &all, ident.span.into()).exact(ident, &all)
    }
}

/// There is no such column; what there is instead.
pub fn missing(name: &str, table: Option<&str>, columns: &[&str], place: Place) -> SqlError {
    let full = table.map_or(name.to_owned(), |t| format!("{t}.{name}"));
    let mut error = SqlError::new(NO_COLUMN, place, format!("{MISSING}{full}"));
    let near = crate::config::meant(name, columns.iter().copied());
    let mut listed: Vec<&str> = Vec::new();
    for column in columns {
        if !listed.contains(column) {
            listed.push(column);
        }
    }
    error.hint = near.or_else(|| {
        let some: Vec<&str> = listed.iter().take(30).copied().collect();
        (!some.is_empty()).then(|| format!("the columns are: {}", some.join(", ")))
    });
    error
}

pub fn no_table(name: &str, tables: &[&str], place: Place) -> SqlError {
    let mut error = SqlError::new(NO_TABLE, place, format!("there is no table {name}"));
    let near = crate::config::meant(name, tables.iter().copied());
    error.hint = near.or_else(|| Some(format!("the tables are the names under [extract]: {}", tables.join(", "))));
    error
}

impl SqlError {
    /// A name in capitals is read in small letters unless it is quoted.
    fn exact(mut self, ident: &Ident, columns: &[&str]) -> SqlError {
        if ident.quote_style.is_none() && columns.contains(&ident.value.as_str()) {
            self.hint = Some(format!("unquoted names are read in small letters; write \"{}\"", ident.value));
        }
        self
    }
}

/// A column of the plan as a meaning.
pub fn value(id: Id, ty: Ty) -> Meaning {
    Meaning::Value(Ex::column(id, ty, Place::default()))
}

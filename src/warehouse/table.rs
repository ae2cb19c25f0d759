//! The published table: its columns, made from the output of the job, and whether an existing one agrees.

use arrow::datatypes::Schema;

use crate::error::{Error, Result};
use crate::identifier::Identifier;
use crate::project::job::{LoadSpec, SchemaChange};
use crate::rows::{INTERVAL_DATE, LINEAGE, SqlType};

/// A column of a published table, and its type.
pub type Column = (Identifier, SqlType);

#[derive(Clone, Debug)]
pub struct TableSchema {
    pub name: Identifier,
    /// The key first, then what the job keeps, then the scores.
    pub columns: Vec<Column>,
    pub key_columns: usize,
    /// Whether it has the date of the interval.
    pub dated: bool,
    /// Whether columns that it lacks may be added to it.
    appends: bool,
    /// `name type` of the columns that are to be added to it.
    pub added: Vec<String>,
    /// Columns that it has beyond those of the job.
    pub beyond: Vec<String>,
}

/// A column of a table that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Existing {
    pub name: String,
    /// As `format_type` of Postgres spells it.
    pub kind: String,
    /// Every row must be given a value.
    pub required: bool,
}

/// Whether every row has this part of its lineage.
pub fn always(name: &str) -> bool {
    matches!(name, "interval_start" | "run_id")
}

impl TableSchema {
    pub fn new(load: &LoadSpec, columns: &Schema, key: &[String]) -> Result<TableSchema> {
        let columns = columns.fields().iter().map(|field| {
            let identifier = Identifier::new(field.name())?;
            if LINEAGE.iter().any(|(reserved, _)| *reserved == field.name()) {
                return Err(Error::config(format!("the column {:?} is one that Daymill adds itself", field.name()))
                    .hint("give it another name in the transform"));
            }
            let kind = SqlType::of(field.data_type()).ok_or_else(|| {
                Error::config(format!("column {:?} of type {} cannot be published", field.name(), field.data_type()))
            })?;
            Ok((identifier, kind))
        });
        Ok(TableSchema {
            name: Identifier::new(&load.table)?,
            columns: columns.collect::<Result<_>>()?,
            key_columns: key.len(),
            dated: true,
            appends: load.on_schema_change == SchemaChange::Append,
            added: Vec::new(),
            beyond: Vec::new(),
        })
    }

    /// Every column of the table.
    pub fn with_lineage(&self) -> impl Iterator<Item = (String, SqlType)> {
        self.all().map(|(_, name, kind)| (name, kind))
    }

    fn all(&self) -> impl Iterator<Item = (String, String, SqlType)> {
        let own = self.columns.iter().map(|(name, kind)| (name.to_string(), name.name().to_owned(), *kind));
        let lineage = LINEAGE.iter().filter(|(name, _)| self.dated || *name != INTERVAL_DATE);
        own.chain(lineage.map(|(name, kind)| ((*name).to_owned(), (*name).to_owned(), *kind)))
    }

    /// `name type` of every column; keys and lineage are NOT NULL unless it is a staging table.
    pub fn definitions(&self, staging: bool) -> Vec<String> {
        let keys = self.key_columns;
        let define = |(i, (quoted, name, kind)): (usize, (String, String, SqlType))| {
            let required = !staging && (i < keys || always(&name));
            format!("{quoted} {}{}", kind.name(), if required { " NOT NULL" } else { "" })
        };
        self.all().enumerate().map(define).collect()
    }

    /// `name type` of the job's own columns.
    pub fn row_definitions(&self) -> Vec<String> {
        self.columns.iter().map(|(name, kind)| format!("{name} {}", kind.name())).collect()
    }

    pub fn row_list(&self) -> String {
        self.columns.iter().map(|(name, _)| name.to_string()).collect::<Vec<_>>().join(", ")
    }

    pub fn column_list(&self) -> String {
        self.all().map(|(quoted, ..)| quoted).collect::<Vec<_>>().join(", ")
    }

    /// Its own columns in the order in which rows are hashed, as JSON; by these they can be read back.
    pub fn own_columns(&self) -> String {
        let columns: Vec<(&str, &str)> = self.columns.iter().map(|(name, kind)| (name.name(), kind.name())).collect();
        serde_json::to_string(&columns).unwrap_or_default()
    }

    /// Fits the columns of a table that is there: those that it lacks are to be added, if the job says so; those that it has
    /// beyond this job's stay as they are. `published` is its name in SQL, for a message.
    pub fn fit(&mut self, existing: &[Existing], published: &str) -> Result<()> {
        if existing.is_empty() {
            return Ok(());
        }
        self.dated = existing.iter().any(|column| column.name == INTERVAL_DATE);
        let (mut faults, mut lacking, mut added) = (Vec::new(), Vec::new(), Vec::new());
        let own = self.columns.len();
        for (at, (quoted, name, kind)) in self.all().enumerate() {
            let alike = || existing.iter().find(|column| column.name.eq_ignore_ascii_case(&name));
            match existing.iter().find(|column| column.name == name).or_else(alike) {
                Some(other) if other.name != name => {
                    faults.push(format!("it has the column {:?}, and the job publishes {name:?}", other.name));
                }
                Some(found) if !found.kind.eq_ignore_ascii_case(kind.name()) => {
                    faults.push(format!("its column {name:?} is {}, not {}", found.kind, kind.name()));
                }
                Some(_) => {}
                None if at >= self.key_columns && at < own => {
                    added.push(format!("{quoted} {}", kind.name()));
                    lacking.push(format!("it has no column {name:?} ({})", kind.name()));
                }
                None => faults.push(format!("it has no column {name:?} ({})", kind.name())),
            }
        }
        let others: Vec<&Existing> =
            existing.iter().filter(|column| !self.all().any(|(_, name, _)| name == column.name)).collect();
        let beyond = others.iter().filter(|column| column.required);
        faults.extend(beyond.map(|column| {
            format!("its column {:?} is NOT NULL without a default, and this job does not write it", column.name)
        }));
        if faults.is_empty() && (added.is_empty() || self.appends) {
            let lineage = |name: &str| LINEAGE.iter().any(|(own, _)| *own == name);
            self.beyond = others.iter().map(|column| column.name.clone()).filter(|name| !lineage(name)).collect();
            self.added = added;
            return Ok(());
        }
        let mut error = Error::config(format!("the table {} is there with other columns", self.name.name()));
        let hint = match (faults.is_empty(), published.is_empty()) {
            (false, _) => {
                "Daymill never changes a column: change it yourself, or give load.table another name".to_owned()
            }
            (true, true) => "say on_schema_change = \"append\" in [load], and new files have the column".to_owned(),
            (true, false) => format!(
                "{}; or say on_schema_change = \"append\" in [load]",
                added
                    .iter()
                    .map(|column| format!("ALTER TABLE {published} ADD COLUMN {column}"))
                    .collect::<Vec<_>>()
                    .join("; ")
            ),
        };
        error.causes = faults.into_iter().chain(lacking).collect();
        Err(error.hint(hint))
    }
}

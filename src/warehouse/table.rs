//! The published table: its columns, made from the output of the job, and whether an existing one agrees.

use arrow::datatypes::Schema;

use crate::error::{Error, Result};
use crate::identifier::Identifier;
use crate::rows::{LINEAGE, SqlType};

/// A column of a published table, and its type.
pub type Column = (Identifier, SqlType);

#[derive(Clone, Debug)]
pub struct TableSchema {
    pub name: Identifier,
    /// The key first, then what the job keeps, then the scores.
    pub columns: Vec<Column>,
    pub key_columns: usize,
}

impl TableSchema {
    pub fn new(name: &str, columns: &Schema, key: &[String]) -> Result<TableSchema> {
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
            name: Identifier::new(name)?,
            columns: columns.collect::<Result<_>>()?,
            key_columns: key.len(),
        })
    }

    /// Every column of the table.
    pub fn with_lineage(&self) -> impl Iterator<Item = (String, SqlType)> {
        self.all().map(|(_, name, kind)| (name, kind))
    }

    fn all(&self) -> impl Iterator<Item = (String, String, SqlType)> {
        let own = self.columns.iter().map(|(name, kind)| (name.to_string(), name.name().to_owned(), *kind));
        own.chain(LINEAGE.iter().map(|(name, kind)| ((*name).to_owned(), (*name).to_owned(), *kind)))
    }

    /// `name type` of every column; keys and lineage are NOT NULL unless it is a staging table.
    pub fn definitions(&self, staging: bool) -> Vec<String> {
        let keys = self.key_columns;
        let define = |(i, (quoted, name, kind)): (usize, (String, String, SqlType))| {
            let required = !staging && (i < keys || matches!(name.as_str(), "interval_start" | "run_id"));
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

    /// A table that is there must have exactly the columns that this run writes.
    pub fn agrees_with(&self, existing: &[(String, String)]) -> Result<()> {
        if existing.is_empty() {
            return Ok(());
        }
        let wanted: Vec<(String, String)> =
            self.with_lineage().map(|(name, kind)| (name, kind.name().to_owned())).collect();
        let mut faults = Vec::new();
        for (name, kind) in &wanted {
            match existing.iter().find(|(n, _)| n == name) {
                None => faults.push(format!("it has no column {name:?} ({kind})")),
                Some((_, found)) if !found.eq_ignore_ascii_case(kind) => {
                    faults.push(format!("its column {name:?} is {found}, not {kind}"))
                }
                Some(_) => {}
            }
        }
        faults.extend(
            existing
                .iter()
                .filter(|(n, _)| !wanted.iter().any(|(w, _)| w == n))
                .map(|(n, k)| format!("it has the column {n:?} ({k}), which this job does not write")),
        );
        if faults.is_empty() {
            return Ok(());
        }
        let mut error = Error::config(format!("the table {} is there with other columns", self.name.name()));
        error.causes = faults;
        Err(error.hint("Daymill never alters your table: change it yourself, or give load.table another name"))
    }
}

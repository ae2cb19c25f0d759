//! Which warehouse a target is.

use super::Tables;
use super::lake::Lake;
use super::postgres::Postgres;
use super::sql_tables::SqlTables;
use super::sqlite::Sqlite;
use crate::project::{Project, Target};

/// The tables of a target.
pub fn of(project: &Project, target: &str) -> Box<dyn Tables> {
    match &project.targets[target] {
        Target::Postgres { .. } => Box::new(SqlTables(&Postgres)),
        Target::Sqlite { .. } => Box::new(SqlTables(&Sqlite)),
        Target::Parquet { path, .. } => Box::new(Lake { path: path.clone() }),
    }
}

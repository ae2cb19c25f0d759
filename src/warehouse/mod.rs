//! The places to which rows are published. What a load does to one is the trait [`Warehouse`]; which implementation it is, is
//! decided once, where a warehouse is opened. Load keeps the order of things and the ledger, a warehouse keeps the rows.

mod contract;
mod postgres;
pub mod preflight;
pub mod presence;
pub mod readback;
pub mod relation;
mod sql;
mod sqlite;
pub mod table;

pub use contract::{Expected, LoadPath, Rows, Step, Task, Warehouse};

use crate::ledger::Db;

/// The warehouse of a session. `path` is a wish: SQLite always stages.
pub fn of(db: &Db, path: Option<LoadPath>) -> Box<dyn Warehouse> {
    Box::new(sql::SqlWarehouse::new(words(db), path))
}

/// How the warehouse of a session is spoken to.
fn words(db: &Db) -> &'static dyn sql::Words {
    match db {
        Db::Postgres { .. } => &postgres::Postgres,
        Db::Sqlite(_) => &sqlite::Sqlite,
    }
}

//! The ledger: runs and intervals, in the warehouse itself, committed together with the rows they speak of. Opening
//! it makes or migrates it.

pub mod batch;
pub mod chain;
pub mod claim;
pub mod db;
mod dialect;
pub mod history;
pub mod lock;
mod open;
pub mod profiles;
pub mod quarantine;
pub mod record;
mod tables_agree;
pub mod told;
pub mod verify;

pub use db::{Db, RowsOf, Value};
pub use dialect::Dialect;
pub use lock::{Holder, Lock};
pub use open::{bring_up, connect, is_new, open, open_to_read, require_primary};
pub use record::{AttemptId, End};

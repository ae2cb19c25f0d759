//! Rows as every part of the program has them: six types of columns, the bytes that a row is hashed and compared by, keys, and
//! the lineage that each published row carries.

mod column_type;
mod encode;
mod keys;
mod lineage;
mod sql_type;

pub use column_type::{COLUMN_TYPES, ColumnType};
pub use encode::{EPOCH_DAYS, EPOCH_MICROS, Encoded, Tail, encode};
pub use keys::{key_hashes, one_zero};
pub use lineage::{INTERVAL_DATE, LINEAGE, Lineage};
pub use sql_type::SqlType;

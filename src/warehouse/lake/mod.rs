//! A folder of Parquet files as a warehouse. The ledger lies beside the tables in a SQLite file and decides what is published;
//! readers use either the manifest of a table, `_current.json`, or the files by their names, `dt=INTERVAL/part-0.parquet`.
//!
//! The rows of an attempt are one file, `_versions/RUN_ID`, which never changes. Its publication is the ledger's COMMIT. What
//! follows is told by the ledger alone and may be done again at any time: the interval's visible name becomes one more name of
//! the file, by a rename, and then a new manifest takes the place of the old one, by a rename too, unless a newer one is there.
//! A program that died in between left the old rows to be seen; the next that opens the warehouse to write goes on where
//! it ended.

mod files;
mod load;
mod manifest;
mod rows;
mod tables;

pub use tables::Lake;

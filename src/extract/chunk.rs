//! How many rows are handed on at a time.

use crate::failpoints;

/// Rows of one chunk of a table.
pub fn chunk_rows() -> usize {
    failpoints::limit("CHUNK_ROWS", 1 << 16)
}

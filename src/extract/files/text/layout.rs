//! What a kind of text is asked for: how it is split, and which columns it has.

use arrow::array::RecordBatch;

use super::fault::Fault;
use super::records::{Records, Split};
use crate::error::Result;
use crate::extract::files::format::Column;

/// How the text of one file is made into columns.
pub trait Layout: Send {
    /// How its text is split into records.
    fn splitter(&self) -> Box<dyn Split>;

    /// The columns of records, in the order of [`Layout::columns`].
    fn convert(&mut self, records: &Records) -> Result<RecordBatch, Fault>;

    /// The declared columns that the file has, in order.
    fn columns(&self) -> &[Column];

    /// Whether no record had a column.
    fn missing(&self, _: &Column) -> bool {
        false
    }

    /// The names of its other columns, as far as they were met.
    fn others(&self) -> Vec<String>;
}

//! The columns of a text file as they come: few in memory, many in a temporary file.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{Array, RecordBatch};
use arrow::datatypes::SchemaRef;
use polars::prelude::DataFrame;

use crate::arrow_bridge;
use crate::error::{Error, Result};
use crate::extract::files::decode;
use crate::extract::files::format::Column;
use crate::extract::files::reading::{Draft, Reading, Room};
use crate::extract::files::version::{Known, Stamp};
use crate::extract::schema::Found;

/// Rows of a group of the temporary file.
const GROUP_ROWS: usize = 1 << 17;

pub struct Collector<'a> {
    schema: SchemaRef,
    room: &'a Room,
    kept: Kept,
    rows: u64,
    bytes: u64,
    nulls: Vec<u64>,
}

enum Kept {
    Memory(Vec<RecordBatch>),
    File(Box<Draft>),
}

impl Collector<'_> {
    pub fn new<'a>(columns: &[Column], room: &'a Room) -> Collector<'a> {
        let schema = Arc::new(decode::schema(columns));
        Collector { schema, room, kept: Kept::Memory(Vec::new()), rows: 0, bytes: 0, nulls: vec![0; columns.len()] }
    }

    pub fn rows(&self) -> u64 {
        self.rows
    }

    pub fn add(&mut self, batch: RecordBatch) -> Result<()> {
        let bytes = batch.get_array_memory_size() as u64;
        self.rows += batch.num_rows() as u64;
        self.bytes += bytes;
        for (nulls, column) in self.nulls.iter_mut().zip(batch.columns()) {
            *nulls += column.null_count() as u64;
        }
        // A table whose columns all come from elsewhere has only a number of rows.
        let fits = self.schema.fields().is_empty() || (self.bytes <= decode::limit() && self.room.take(bytes));
        match &mut self.kept {
            Kept::File(draft) => draft.write(&batch),
            Kept::Memory(batches) if fits => {
                batches.push(batch);
                Ok(())
            }
            Kept::Memory(batches) => {
                let mut draft = Draft::new(self.schema.clone(), GROUP_ROWS)?;
                batches.iter().chain([&batch]).try_for_each(|batch| draft.write(batch))?;
                self.kept = Kept::File(Box::new(draft));
                Ok(())
            }
        }
    }

    pub fn finish(self, stamp: Stamp, sha256: String, columns: Vec<Found>) -> Result<(Known, Reading)> {
        let names = self.schema.fields().iter().map(|field| field.name().clone());
        let nulls: HashMap<String, u64> = names.clone().zip(self.nulls).collect();
        let (reading, groups) = match self.kept {
            Kept::File(draft) => {
                let (file, groups) = draft.finish()?;
                (Reading::Rewritten(Arc::new(file)), groups)
            }
            Kept::Memory(batches) => (Reading::Decoded(frame(&self.schema, &batches)?), vec![self.rows]),
        };
        let plain = names.collect();
        let known = Known { stamp, sha256, rows: self.rows, groups, decoded: self.bytes, columns, plain, nulls };
        Ok((known, reading))
    }
}

fn frame(schema: &SchemaRef, batches: &[RecordBatch]) -> Result<DataFrame> {
    let mut frame = arrow_bridge::to_frame(&RecordBatch::new_empty(schema.clone()))?;
    for batch in batches.iter().filter(|_| !schema.fields().is_empty()) {
        let part = arrow_bridge::to_frame(batch)?;
        frame.vstack_mut_owned(part).map_err(|e| Error::defect("parts of one file differ").cause(e))?;
    }
    Ok(frame)
}

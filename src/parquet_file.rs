//! Parquet files read by a reader that survives any bytes, as they stand: the footer, the rows, and what is no file.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder,
};
use parquet::basic::Type as Physical;
use parquet::file::metadata::{ParquetMetaData, ParquetMetaDataReader};
use parquet::file::reader::ChunkReader;

use crate::error::{Error, Result};

/// Rows of a batch.
const BATCH_ROWS: usize = 1 << 16;

/// The file is there and not whole.
pub fn damaged(path: &Path, what: impl std::fmt::Display) -> Error {
    Error::input(format!("{} is damaged", path.display())).cause(what).hint("replace it with a whole one")
}

/// The footer as it stands.
pub fn parse(input: &impl ChunkReader) -> parquet::errors::Result<ParquetMetaData> {
    ParquetMetaDataReader::new().parse_and_finish(input).or_else(|error| without_groups(input).ok_or(error))
}

/// fastparquet gives the empty list of row groups an element of the wrong type, which other readers do not look at.
fn without_groups(input: &impl ChunkReader) -> Option<ParquetMetaData> {
    const LIST: u8 = 0x19;
    const STRUCT: u8 = 0x0c;
    let end = input.len().checked_sub(8)?;
    let size = u64::from(u32::from_le_bytes(input.get_bytes(end, 4).ok()?.as_ref().try_into().ok()?));
    let mut bytes = input.get_bytes(end.checked_sub(size)?, size as usize).ok()?.to_vec();
    let places: Vec<usize> =
        (1..bytes.len()).filter(|at| bytes[at - 1] == LIST && bytes[*at] < STRUCT).take(64).collect();
    places.into_iter().find_map(|at| {
        let was = std::mem::replace(&mut bytes[at], STRUCT);
        let read = ParquetMetaDataReader::decode_metadata(&bytes).ok();
        bytes[at] = was;
        read.filter(|metadata| metadata.num_row_groups() == 0 && metadata.file_metadata().num_rows() == 0)
    })
}

/// Every row of a file, as it stands in it.
pub fn all(path: &Path, input: impl ChunkReader + 'static) -> Result<RecordBatch> {
    let read = || -> std::result::Result<RecordBatch, String> {
        let reader = reader(input, |_| true).map_err(|e| e.to_string())?;
        let schema = arrow::array::RecordBatchReader::schema(&reader);
        let batches = reader.collect::<std::result::Result<Vec<RecordBatch>, _>>().map_err(|e| e.to_string())?;
        arrow::compute::concat_batches(&schema, &batches).map_err(|e| e.to_string())
    };
    let read = catch_unwind(AssertUnwindSafe(read));
    read.map_err(|panic| damaged(path, crate::panic_text(&*panic)))?.map_err(|e| damaged(path, e))
}

/// The wanted columns of a file, as they stand in it.
pub fn reader(
    input: impl ChunkReader + 'static,
    wanted: impl Fn(&str) -> bool,
) -> parquet::errors::Result<ParquetRecordBatchReader> {
    let metadata = ArrowReaderMetadata::try_new(Arc::new(parse(&input)?), ArrowReaderOptions::new())?;
    let schema = readable_schema(metadata.metadata(), metadata.schema());
    let options = ArrowReaderOptions::new().with_schema(Arc::new(schema));
    let metadata = ArrowReaderMetadata::try_new(metadata.metadata().clone(), options)?;
    let fields = metadata.schema().fields().iter().enumerate();
    let roots: Vec<usize> = fields.filter(|(_, field)| wanted(field.name())).map(|(i, _)| i).collect();
    let mask = ProjectionMask::roots(metadata.parquet_schema(), roots);
    ParquetRecordBatchReaderBuilder::new_with_metadata(input, metadata)
        .with_projection(mask)
        .with_batch_size(BATCH_ROWS)
        .build()
}

/// The Arrow schema of a file as it is read: 96-bit timestamps in microseconds, since 64 bits of nanoseconds end in 2262, and
/// dictionaries as their values, since the library cannot read those of every type.
pub fn readable_schema(footer: &ParquetMetaData, schema: &Schema) -> Schema {
    let roots = footer.file_metadata().schema_descr().root_schema().get_fields();
    let field = |(field, root): (&Arc<Field>, &parquet::schema::types::TypePtr)| {
        let field = field.as_ref().clone();
        match field.data_type() {
            _ if root.is_primitive() && root.get_physical_type() == Physical::INT96 => {
                field.with_data_type(DataType::Timestamp(TimeUnit::Microsecond, None))
            }
            DataType::Dictionary(_, value) => {
                let value = value.as_ref().clone();
                field.with_data_type(value)
            }
            _ => field,
        }
    };
    let fields: Vec<Field> = schema.fields().iter().zip(roots).map(field).collect();
    Schema::new_with_metadata(fields, schema.metadata().clone())
}

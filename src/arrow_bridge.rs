//! The border between Polars frames and Arrow record batches: columns cross it without a copy, by the Arrow C data
//! interface.

use std::mem;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions, make_array};
use arrow::datatypes::{Field as ArrowField, Schema as ArrowSchema};
use arrow::ffi::{FFI_ArrowArray, FFI_ArrowSchema, from_ffi, to_ffi};
use polars::prelude::*;
use polars_arrow::ffi as polars_ffi;

use crate::error::{Error, Result};

// Both libraries bind the same C structures; `mem::transmute` below refuses to compile if their sizes part ways.

/// Shares every column of a frame. A column of several chunks is made one first.
pub fn to_batch(frame: &DataFrame) -> Result<RecordBatch> {
    let mut fields = Vec::with_capacity(frame.width());
    let mut arrays = Vec::with_capacity(frame.width());
    for column in frame.columns() {
        let array = to_array(column)?;
        fields.push(ArrowField::new(column.name().as_str(), array.data_type().clone(), true));
        arrays.push(array);
    }
    let options = RecordBatchOptions::new().with_row_count(Some(frame.height()));
    RecordBatch::try_new_with_options(Arc::new(ArrowSchema::new(fields)), arrays, &options)
        .map_err(|e| Error::defect("a frame does not make a record batch").cause(e))
}

fn to_array(column: &Column) -> Result<ArrayRef> {
    let series = column.as_materialized_series().rechunk();
    let level = CompatLevel::newest();
    let field = series.field().to_arrow(level);
    let array = series.to_arrow(0, level);
    let schema = polars_ffi::export_field_to_c(&field);
    let array = polars_ffi::export_array_to_c(array);
    // SAFETY: both sides are the C data interface's ArrowSchema and ArrowArray; ownership moves with the value.
    let (schema, array) = unsafe {
        (
            mem::transmute::<polars_ffi::ArrowSchema, FFI_ArrowSchema>(schema),
            mem::transmute::<polars_ffi::ArrowArray, FFI_ArrowArray>(array),
        )
    };
    // SAFETY: the structures were just exported by Polars, whose arrays are valid.
    let data = unsafe { from_ffi(array, &schema) }
        .map_err(|e| Error::defect(format!("column {} cannot cross to Arrow", column.name())).cause(e))?;
    Ok(make_array(data))
}

/// Shares every column of a record batch.
pub fn to_frame(batch: &RecordBatch) -> Result<DataFrame> {
    let mut columns = Vec::with_capacity(batch.num_columns());
    for (field, array) in batch.schema().fields().iter().zip(batch.columns()) {
        columns.push(to_column(field, array)?);
    }
    DataFrame::new(batch.num_rows(), columns)
        .map_err(|e| Error::defect("a record batch does not make a frame").cause(e))
}

fn to_column(field: &ArrowField, array: &ArrayRef) -> Result<Column> {
    let broken = |e: String| Error::defect(format!("column {} cannot cross from Arrow", field.name())).cause(e);
    let (array, _) = to_ffi(&array.to_data()).map_err(|e| broken(e.to_string()))?;
    let schema = FFI_ArrowSchema::try_from(field).map_err(|e| broken(e.to_string()))?;
    // SAFETY: as above, in the other direction.
    let (schema, array) = unsafe {
        (
            mem::transmute::<FFI_ArrowSchema, polars_ffi::ArrowSchema>(schema),
            mem::transmute::<FFI_ArrowArray, polars_ffi::ArrowArray>(array),
        )
    };
    // SAFETY: the structures were just exported by arrow-rs, whose arrays are valid.
    let series = unsafe {
        let field = polars_ffi::import_field_from_c(&schema).map_err(|e| broken(e.to_string()))?;
        let array = polars_ffi::import_array_from_c(array, field.dtype.clone()).map_err(|e| broken(e.to_string()))?;
        Series::try_from((&field, array)).map_err(|e| broken(e.to_string()))?
    };
    Ok(series.into_column())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_survives_the_border_and_back() {
        let frame = df!(
            "int" => [Some(1i64), None, Some(3)],
            "float" => [0.5f64, f64::NAN, -0.0],
            "text" => [Some("a"), None, Some("a text that is longer than a view holds inline, é")],
            "bool" => [Some(true), None, Some(false)],
        )
        .unwrap()
        .lazy()
        .with_columns([
            col("int").cast(DataType::Date).alias("date"),
            col("int").cast(DataType::Datetime(TimeUnit::Microseconds, Some(TimeZone::UTC))).alias("at"),
        ])
        .collect()
        .unwrap();
        let back = to_frame(&to_batch(&frame).unwrap()).unwrap();
        assert!(frame.equals_missing(&back), "{frame:?} {back:?}");
        assert_eq!(frame.schema(), back.schema());
        let sliced = frame.slice(1, 2);
        assert!(sliced.equals_missing(&to_frame(&to_batch(&sliced).unwrap()).unwrap()));
    }
}

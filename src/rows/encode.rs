//! Rows as the tuples of Postgres' binary COPY. The bytes of a row before its lineage are also its canonical form, for every
//! warehouse: the content hash and the hash of a key are made of them.

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{DataType, Date32Type, Float32Type, Float64Type, Int64Type, TimeUnit, TimestampMicrosecondType};

use crate::digest::ContentHash;
use crate::error::{Error, Result};

/// Days and microseconds from 1970 to 2000, where Postgres counts from.
pub const EPOCH_DAYS: i32 = 10_957;
pub const EPOCH_MICROS: i64 = EPOCH_DAYS as i64 * 86_400_000_000;

/// The fields that are the same for every row of a run, already encoded.
#[derive(Clone, Debug, Default)]
pub struct Tail {
    fields: i16,
    bytes: Vec<u8>,
}

impl Tail {
    pub fn push(&mut self, value: &[u8]) {
        self.fields += 1;
        self.bytes.extend((value.len() as i32).to_be_bytes());
        self.bytes.extend_from_slice(value);
    }

    pub fn push_null(&mut self) {
        self.fields += 1;
        self.bytes.extend((-1i32).to_be_bytes());
    }
}

/// One encoded batch.
#[derive(Debug, Default)]
pub struct Encoded {
    pub bytes: Vec<u8>,
    pub content: ContentHash,
}

enum Values<'a> {
    Bool(&'a arrow::array::BooleanArray),
    Int(&'a [i64]),
    Float32(&'a [f32]),
    Float64(&'a [f64]),
    Text(&'a arrow::array::StringViewArray),
    Date(&'a [i32]),
    Timestamp(&'a [i64]),
}

/// Encodes every row, and hashes it without its lineage.
pub fn encode(batch: &RecordBatch, lineage: &Tail) -> Result<Encoded> {
    let named = batch.schema_ref().fields().iter().zip(batch.columns());
    let columns = named.map(|(field, array)| Field::of(field.name(), array)).collect::<Result<Vec<_>>>()?;
    let count = (columns.len() as i16 + lineage.fields).to_be_bytes();
    let mut out = Encoded { bytes: Vec::with_capacity(batch.num_rows() * 96), ..Encoded::default() };
    for row in 0..batch.num_rows() {
        out.bytes.extend(count);
        let start = out.bytes.len();
        fields(&columns, row, &mut out.bytes)?;
        out.content.add(&out.bytes[start..]);
        out.bytes.extend_from_slice(&lineage.bytes);
    }
    Ok(out)
}

/// A column that is encoded.
pub struct Field<'a> {
    values: Values<'a>,
    nulls: Option<&'a NullBuffer>,
}

impl<'a> Field<'a> {
    pub fn of(name: &str, array: &'a ArrayRef) -> Result<Field<'a>> {
        Ok(Field { values: view(name, array)?, nulls: array.nulls() })
    }
}

/// Appends the fields of one row.
#[inline]
pub fn fields(columns: &[Field<'_>], row: usize, out: &mut Vec<u8>) -> Result<()> {
    for Field { values, nulls } in columns {
        match nulls.is_some_and(|nulls| nulls.is_null(row)) {
            true => out.extend((-1i32).to_be_bytes()),
            false => value(values, row, out)?,
        }
    }
    Ok(())
}

fn view<'a>(name: &str, array: &'a ArrayRef) -> Result<Values<'a>> {
    Ok(match array.data_type() {
        DataType::Boolean => Values::Bool(array.as_boolean()),
        DataType::Int64 => Values::Int(array.as_primitive::<Int64Type>().values()),
        DataType::Float32 => Values::Float32(array.as_primitive::<Float32Type>().values()),
        DataType::Float64 => Values::Float64(array.as_primitive::<Float64Type>().values()),
        DataType::Utf8View => Values::Text(array.as_string_view()),
        DataType::Date32 => Values::Date(array.as_primitive::<Date32Type>().values()),
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            Values::Timestamp(array.as_primitive::<TimestampMicrosecondType>().values())
        }
        other => return Err(Error::defect(format!("column {name:?} of type {other} reached the encoder"))),
    })
}

fn value(values: &Values<'_>, row: usize, out: &mut Vec<u8>) -> Result<()> {
    /// Length and value in one write.
    fn eight(out: &mut Vec<u8>, value: [u8; 8]) {
        let mut field = [0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0];
        field[4..].copy_from_slice(&value);
        out.extend_from_slice(&field);
    }
    fn four(out: &mut Vec<u8>, value: [u8; 4]) {
        let mut field = [0, 0, 0, 4, 0, 0, 0, 0];
        field[4..].copy_from_slice(&value);
        out.extend_from_slice(&field);
    }
    match values {
        Values::Bool(array) => out.extend_from_slice(&[0, 0, 0, 1, u8::from(array.value(row))]),
        Values::Int(values) => eight(out, values[row].to_be_bytes()),
        Values::Float32(values) => four(out, values[row].to_be_bytes()),
        Values::Float64(values) => eight(out, values[row].to_be_bytes()),
        Values::Text(array) => {
            let text = array.value(row);
            out.extend_from_slice(&(text.len() as i32).to_be_bytes());
            out.extend_from_slice(text.as_bytes());
        }
        Values::Date(values) => {
            let days =
                values[row].checked_sub(EPOCH_DAYS).ok_or_else(|| Error::data("a date is out of Postgres's range"))?;
            four(out, days.to_be_bytes());
        }
        Values::Timestamp(values) => {
            let micros = values[row]
                .checked_sub(EPOCH_MICROS)
                .ok_or_else(|| Error::data("a timestamp is out of Postgres's range"))?;
            eight(out, micros.to_be_bytes());
        }
    }
    Ok(())
}

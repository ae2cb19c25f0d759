//! What columns a Parquet file has, by its footer: what each holds, and whether the engine reads it as our reader does.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use arrow::datatypes::{DataType as ArrowType, Field};
use parquet::arrow::parquet_to_arrow_schema;
use parquet::basic::{Compression, ConvertedType, LogicalType, Type as Physical};
use parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData};
use parquet::schema::types::TypePtr;

use crate::error::{Error, Result};
use crate::extract::schema::{ENCRYPTED, Found, Kind};
use crate::rows::ColumnType;

/// The columns of a file.
pub fn columns(path: &Path, footer: &ParquetMetaData) -> Result<Vec<Found>> {
    let metadata = footer.file_metadata();
    let schema = parquet_to_arrow_schema(metadata.schema_descr(), metadata.key_value_metadata())
        .map_err(|e| Error::input(format!("{} has a schema that makes no sense", path.display())).cause(e))?;
    let schema = crate::parquet_file::readable_schema(footer, &schema);
    let roots = metadata.schema_descr().root_schema().get_fields();
    let chunks = by_root(footer);
    let column = |(field, root): (&Arc<Field>, &TypePtr)| {
        let name = field.name();
        match chunks.get(name.as_str()).into_iter().flatten().find_map(|chunk| closed(chunk)) {
            Some(reason) => Found::new(name, Kind::Unreadable, reason),
            None if root.get_basic_info().logical_type_ref() == Some(&LogicalType::Uuid) => {
                Found::new(name, Kind::Uuid, "uuid")
            }
            None => Found::new(name, kind(field.data_type()), shown(field.data_type())),
        }
    };
    Ok(schema.fields().iter().zip(roots).map(column).collect())
}

/// The chunks of each column, by its name; a column of columns has those of all of them.
fn by_root(footer: &ParquetMetaData) -> HashMap<&str, Vec<&ColumnChunkMetaData>> {
    let mut found: HashMap<&str, Vec<&ColumnChunkMetaData>> = HashMap::new();
    for chunk in footer.row_groups().iter().flat_map(|group| group.columns()) {
        let root = chunk.column_path().parts().first().map_or("", String::as_str);
        found.entry(root).or_default().push(chunk);
    }
    found
}

/// Rows without a value of each column, where every chunk of it says how many.
pub fn nulls(footer: &ParquetMetaData) -> HashMap<String, u64> {
    let count = |chunks: &Vec<&ColumnChunkMetaData>| {
        let nulls = chunks.iter().map(|chunk| match chunk.num_values() {
            0 => Some(0),
            _ => chunk.statistics().and_then(|statistics| statistics.null_count_opt()),
        });
        nulls.sum::<Option<u64>>()
    };
    by_root(footer).into_iter().filter_map(|(name, chunks)| Some((name.to_owned(), count(&chunks)?))).collect()
}

/// Why nothing of a column's bytes can be read.
fn closed(chunk: &ColumnChunkMetaData) -> Option<String> {
    match (chunk.crypto_metadata(), chunk.compression()) {
        (Some(_), _) => Some(ENCRYPTED.into()),
        (None, codec @ Compression::LZO) => Some(format!("compressed with {codec}")),
        _ => None,
    }
}

fn kind(held: &ArrowType) -> Kind {
    use ArrowType as T;
    match held {
        T::Boolean => Kind::Of(ColumnType::Bool),
        held if held.is_integer() => Kind::Number(ColumnType::Int),
        T::Float16 | T::Float32 | T::Float64 => Kind::Number(ColumnType::Float),
        T::Decimal32(..) | T::Decimal64(..) | T::Decimal128(..) | T::Decimal256(..) => Kind::Decimal,
        T::Utf8 | T::LargeUtf8 | T::Utf8View => Kind::Of(ColumnType::Text),
        T::Binary | T::LargeBinary | T::BinaryView | T::FixedSizeBinary(_) => Kind::Bytes,
        T::Date32 | T::Date64 => Kind::Of(ColumnType::Date),
        T::Timestamp(_, Some(_)) => Kind::Of(ColumnType::Timestamp),
        T::Timestamp(_, None) => Kind::Naive,
        T::Null => Kind::Null,
        T::Dictionary(_, value) => kind(value),
        T::RunEndEncoded(_, values) => kind(values.data_type()),
        _ => Kind::Unreadable,
    }
}

/// A type as people name it.
fn shown(held: &ArrowType) -> String {
    match held {
        ArrowType::Timestamp(_, None) => "a timestamp without a time zone".into(),
        ArrowType::Null => "all NULL, without a type".into(),
        ArrowType::Decimal128(precision, scale) => format!("decimal({precision}, {scale})"),
        ArrowType::Dictionary(_, value) => shown(value),
        ArrowType::Utf8 | ArrowType::LargeUtf8 | ArrowType::Utf8View => "text".into(),
        other => other.to_string(),
    }
}

/// The columns of which the engine gives the same values as our own reader: few types, but the common ones.
pub fn plain(footer: &ParquetMetaData, columns: &[Found]) -> Vec<String> {
    let codec = |chunk: &ColumnChunkMetaData| {
        use Compression as C;
        matches!(chunk.compression(), C::UNCOMPRESSED | C::SNAPPY | C::GZIP(_) | C::BROTLI(_) | C::ZSTD(_) | C::LZ4_RAW)
    };
    let held = |chunk: &ColumnChunkMetaData| {
        let column = chunk.column_descr();
        matches!(
            (column.physical_type(), column.converted_type(), column.logical_type_ref()),
            (Physical::BOOLEAN | Physical::FLOAT | Physical::DOUBLE, ..)
                | (Physical::BYTE_ARRAY, ConvertedType::UTF8, _)
                | (Physical::INT32 | Physical::INT64, ConvertedType::NONE, None)
                | (_, ConvertedType::INT_8 | ConvertedType::INT_16 | ConvertedType::INT_32 | ConvertedType::INT_64, _)
                | (Physical::INT32, ConvertedType::DATE, _)
                | (Physical::INT64, ConvertedType::TIMESTAMP_MICROS, _)
        )
    };
    let chunks = by_root(footer);
    let plain = |found: &&Found| {
        let mut own = chunks.get(found.name.as_str()).into_iter().flatten();
        matches!(found.kind, Kind::Of(_) | Kind::Number(_)) && own.all(|chunk| codec(chunk) && held(chunk))
    };
    columns.iter().filter(plain).map(|found| found.name.clone()).collect()
}

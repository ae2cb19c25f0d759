//! The six types of columns, and what each is to the libraries.

use arrow::datatypes::{DataType, TimeUnit};

/// The families of types that a job can declare; each is one column type in every source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ColumnType {
    Int,
    Float,
    Text,
    Bool,
    Date,
    Timestamp,
}

pub const COLUMN_TYPES: [(&str, ColumnType); 6] = [
    ("int", ColumnType::Int),
    ("float", ColumnType::Float),
    ("text", ColumnType::Text),
    ("bool", ColumnType::Bool),
    ("date", ColumnType::Date),
    ("timestamp", ColumnType::Timestamp),
];

impl ColumnType {
    pub fn name(self) -> &'static str {
        COLUMN_TYPES.iter().find(|(_, t)| *t == self).map_or("?", |(name, _)| name)
    }

    /// As Arrow has it.
    pub fn arrow(self) -> DataType {
        match self {
            ColumnType::Int => DataType::Int64,
            ColumnType::Float => DataType::Float64,
            ColumnType::Text => DataType::Utf8View,
            ColumnType::Bool => DataType::Boolean,
            ColumnType::Date => DataType::Date32,
            ColumnType::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        }
    }

    /// The type that a column of Polars has, if it is one of the six.
    pub fn of_polars(kind: &polars::prelude::DataType) -> Option<ColumnType> {
        COLUMN_TYPES.iter().map(|(_, known)| *known).find(|known| known.polars() == *kind)
    }

    /// As Polars has it.
    pub fn polars(self) -> polars::prelude::DataType {
        use polars::prelude::{DataType, TimeUnit, TimeZone};
        match self {
            ColumnType::Int => DataType::Int64,
            ColumnType::Float => DataType::Float64,
            ColumnType::Text => DataType::String,
            ColumnType::Bool => DataType::Boolean,
            ColumnType::Date => DataType::Date,
            ColumnType::Timestamp => DataType::Datetime(TimeUnit::Microseconds, Some(TimeZone::UTC)),
        }
    }
}

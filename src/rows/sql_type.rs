//! The types of published columns: the six of a job, and those that scores and lineage have.

use arrow::datatypes::{DataType, TimeUnit};

/// The type of a column of a published table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SqlType {
    Boolean,
    BigInt,
    Real,
    Double,
    Text,
    Date,
    Timestamp,
    TimestampTz,
    Uuid,
}

impl SqlType {
    /// The type of a published column; none of what cannot be published.
    pub fn of(kind: &DataType) -> Option<SqlType> {
        Some(match kind {
            DataType::Boolean => SqlType::Boolean,
            DataType::Int64 => SqlType::BigInt,
            DataType::Float32 => SqlType::Real,
            DataType::Float64 => SqlType::Double,
            DataType::Utf8View => SqlType::Text,
            DataType::Date32 => SqlType::Date,
            DataType::Timestamp(_, None) => SqlType::Timestamp,
            DataType::Timestamp(_, Some(_)) => SqlType::TimestampTz,
            _ => return None,
        })
    }

    /// By its name.
    pub fn named(name: &str) -> Option<SqlType> {
        use SqlType::*;
        [Boolean, BigInt, Real, Double, Text, Date, Timestamp, TimestampTz, Uuid].into_iter().find(|t| t.name() == name)
    }

    /// As `format_type` of Postgres spells it; SQLite takes the same words.
    pub fn name(self) -> &'static str {
        match self {
            SqlType::Boolean => "boolean",
            SqlType::BigInt => "bigint",
            SqlType::Real => "real",
            SqlType::Double => "double precision",
            SqlType::Text => "text",
            SqlType::Date => "date",
            SqlType::Timestamp => "timestamp without time zone",
            SqlType::TimestampTz => "timestamp with time zone",
            SqlType::Uuid => "uuid",
        }
    }

    /// As Arrow has it.
    pub fn arrow(self) -> DataType {
        match self {
            SqlType::Boolean => DataType::Boolean,
            SqlType::BigInt => DataType::Int64,
            SqlType::Real => DataType::Float32,
            SqlType::Double => DataType::Float64,
            SqlType::Text | SqlType::Uuid => DataType::Utf8View,
            SqlType::Date => DataType::Date32,
            SqlType::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, None),
            SqlType::TimestampTz => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        }
    }
}

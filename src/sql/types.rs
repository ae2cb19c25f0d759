//! The types of the transform's SQL, how they are held, and which becomes which: Postgres' rules for these types.

use polars::prelude::{DataType, TimeUnit, TimeZone};

use super::error::{MISMATCH, Place, Result, SqlError};

/// A type as Postgres has it. Whole numbers of every width are held in 64 bits, numerics in 64 bits as well: without a
/// fraction as a whole number, else as a float of which fifteen digits are trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Ty {
    /// NULL, or a quoted literal that has met no type yet.
    Unknown,
    Bool,
    Int2,
    Int4,
    Int8,
    /// numeric, known to have no fraction: SUM of bigint, most of EXTRACT.
    Whole,
    Numeric,
    Float4,
    Float8,
    Text,
    Date,
    Timestamp,
    Timestamptz,
}

use Ty::*;

impl Ty {
    /// As it is said to a person.
    pub fn name(self) -> &'static str {
        match self {
            Unknown => "unknown",
            Bool => "boolean",
            Int2 => "smallint",
            Int4 => "integer",
            Int8 => "bigint",
            Whole | Numeric => "numeric",
            Float4 => "real",
            Float8 => "double precision",
            Text => "text",
            Date => "date",
            Timestamp => "timestamp without time zone",
            Timestamptz => "timestamp with time zone",
        }
    }

    /// The column type of the engine that holds it while the query runs.
    pub fn held(self) -> DataType {
        match self {
            Bool => DataType::Boolean,
            Int2 | Int4 | Int8 | Whole => DataType::Int64,
            Numeric | Float4 | Float8 => DataType::Float64,
            Text | Unknown => DataType::String,
            Date => DataType::Date,
            Timestamp => DataType::Datetime(TimeUnit::Microseconds, None),
            Timestamptz => DataType::Datetime(TimeUnit::Microseconds, Some(TimeZone::UTC)),
        }
    }

    /// The column type that is published.
    pub fn published(self) -> DataType {
        match self {
            Float4 => DataType::Float32,
            other => other.held(),
        }
    }

    /// The type of a source's column; nothing when the transform does not know it.
    pub fn of(held: &DataType) -> Option<Ty> {
        Some(match held {
            DataType::Boolean => Bool,
            kind if kind.is_integer() => Int8,
            DataType::Float32 | DataType::Float64 => Float8,
            DataType::String | DataType::Categorical(..) | DataType::Enum(..) => Text,
            DataType::Date => Date,
            DataType::Datetime(_, None) => Timestamp,
            DataType::Datetime(_, Some(_)) => Timestamptz,
            _ => return None,
        })
    }

    pub fn is_int(self) -> bool {
        matches!(self, Int2 | Int4 | Int8)
    }

    /// Held as a 64-bit whole number.
    pub fn is_whole(self) -> bool {
        self.is_int() || self == Whole
    }

    pub fn is_numeric(self) -> bool {
        matches!(self, Whole | Numeric)
    }

    pub fn is_float(self) -> bool {
        matches!(self, Float4 | Float8)
    }

    pub fn is_number(self) -> bool {
        self.is_int() || self.is_numeric() || self.is_float()
    }

    pub fn is_time(self) -> bool {
        matches!(self, Date | Timestamp | Timestamptz)
    }

    /// The range of a whole number of this type.
    pub fn bounds(self) -> (i64, i64) {
        match self {
            Int2 => (i16::MIN.into(), i16::MAX.into()),
            Int4 => (i32::MIN.into(), i32::MAX.into()),
            _ => (i64::MIN, i64::MAX),
        }
    }
}

/// The type of an operation between two numbers, or of a list with both.
pub fn common_number(a: Ty, b: Ty) -> Option<Ty> {
    if !a.is_number() || !b.is_number() {
        return None;
    }
    if a.is_float() || b.is_float() {
        return Some(if a == Float4 && b == Float4 { Float4 } else { Float8 });
    }
    // In their order, each holds those before it.
    Some(a.max(b))
}

/// The type that both become in a comparison, UNION, CASE, COALESCE, IN or VALUES.
pub fn common(a: Ty, b: Ty) -> Option<Ty> {
    if a == b {
        return Some(a);
    }
    match (a, b) {
        (Unknown, other) | (other, Unknown) => Some(other),
        _ if a.is_number() && b.is_number() => common_number(a, b),
        _ if a.is_time() && b.is_time() => Some(a.max(b)),
        _ => None,
    }
}

/// The common type of all; text when none is known.
pub fn common_of(types: impl IntoIterator<Item = Ty>, what: &str, place: Place) -> Result<Ty> {
    let mut all = Unknown;
    for ty in types {
        all = common(all, ty).ok_or_else(|| {
            SqlError::new(MISMATCH, place, format!("{what} mixes {} and {}", all.name(), ty.name()))
                .hint("cast one to the type of the other: CAST(x AS ...)")
        })?;
    }
    Ok(if all == Unknown { Text } else { all })
}

/// Whether a value of one type stands for another without a cast being written.
pub fn implicit(from: Ty, to: Ty) -> bool {
    match (from, to) {
        _ if from == to => true,
        (Unknown, _) => true,
        _ if from.is_number() && to.is_number() => common_number(from, to) == Some(to),
        (Date, Timestamp | Timestamptz) | (Timestamp, Timestamptz) => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_meet_as_in_postgres() {
        for (a, b, both) in [
            (Int2, Int4, Some(Int4)),
            (Int8, Int4, Some(Int8)),
            (Int8, Whole, Some(Whole)),
            (Whole, Numeric, Some(Numeric)),
            (Numeric, Float8, Some(Float8)),
            (Float4, Int8, Some(Float8)),
            (Float4, Float4, Some(Float4)),
            (Date, Timestamptz, Some(Timestamptz)),
            (Timestamp, Date, Some(Timestamp)),
            (Unknown, Date, Some(Date)),
            (Text, Int8, None),
            (Bool, Int4, None),
            (Date, Int4, None),
        ] {
            assert_eq!(common(a, b), both, "{a:?} {b:?}");
            assert_eq!(common(b, a), both, "{b:?} {a:?}");
        }
    }
}

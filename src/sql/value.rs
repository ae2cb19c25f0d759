//! What expressions are made of below the tree: constants, functions over whole columns, operators, frames of windows.

use std::fmt;
use std::sync::Arc;

use polars::prelude::{AnyValue, Column, PlSmallStr, PolarsResult, Scalar as Value, TimeUnit, TimeZone};

use super::error::Fault;
use super::types::Ty;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arith {
    Add,
    Sub,
    Mul,
    Div,
    Rem,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cmp {
    Eq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
}

impl Cmp {
    /// `a < b` is `b > a`.
    pub fn turned(self) -> Cmp {
        match self {
            Cmp::Lt => Cmp::Gt,
            Cmp::Le => Cmp::Ge,
            Cmp::Gt => Cmp::Lt,
            Cmp::Ge => Cmp::Le,
            same => same,
        }
    }

    pub fn negated(self) -> Cmp {
        match self {
            Cmp::Eq => Cmp::Ne,
            Cmp::Ne => Cmp::Eq,
            Cmp::Lt => Cmp::Ge,
            Cmp::Le => Cmp::Gt,
            Cmp::Gt => Cmp::Le,
            Cmp::Ge => Cmp::Lt,
        }
    }
}

/// A constant. Quoted text and written numbers keep their words until they have met a type.
#[derive(Clone, Debug)]
pub enum Literal {
    Null,
    Bool(bool),
    Int(i64),
    /// With its words, of a number that was written.
    Float(f64, Option<String>),
    Text(String),
    /// Days since 1970.
    Date(i32),
    /// Microseconds since 1970, of the clock on the wall or of UTC: the type says which.
    Micros(i64),
}

/// The same constant: NaN is itself.
impl PartialEq for Literal {
    fn eq(&self, other: &Literal) -> bool {
        use Literal::*;
        match (self, other) {
            (Null, Null) => true,
            (Bool(a), Bool(b)) => a == b,
            (Int(a), Int(b)) | (Micros(a), Micros(b)) => a == b,
            (Float(a, x), Float(b, y)) => a.to_bits() == b.to_bits() && x == y,
            (Text(a), Text(b)) => a == b,
            (Date(a), Date(b)) => a == b,
            _ => false,
        }
    }
}

/// What a function does with whole columns. Columns of one row stand for as many as the others have.
pub type Run = Arc<dyn Fn(&[Column]) -> PolarsResult<std::result::Result<Column, Fault>> + Send + Sync>;

/// A scalar function: Postgres' meaning, whatever the engine's is.
#[derive(Clone)]
pub struct Func {
    pub name: &'static str,
    /// What it was made with (a zone, a pattern): two functions of one name and one parameter are the same.
    pub parameter: String,
    pub run: Run,
    /// Whether it can raise. What can raise is never asked of rows that a condition leaves out.
    pub fallible: bool,
}

impl fmt::Debug for Func {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}[{}]", self.name, self.parameter)
    }
}

impl PartialEq for Func {
    fn eq(&self, other: &Func) -> bool {
        self.name == other.name && self.parameter == other.parameter
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Units {
    Rows,
    Range,
    Groups,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Bound {
    Unbounded,
    Current,
    /// So many rows, groups, or units of the key: numbers, days or microseconds.
    Preceding(Offset),
    Following(Offset),
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Offset {
    Whole(i64),
    Float(f64),
    /// Months, days and microseconds.
    Interval(i32, i32, i64),
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Frame {
    pub units: Units,
    pub start: Bound,
    pub end: Bound,
}

impl Frame {
    /// What OVER (ORDER BY ...) means: up to the last peer of the row.
    pub const DEFAULT: Frame = Frame { units: Units::Range, start: Bound::Unbounded, end: Bound::Current };
    pub const WHOLE: Frame = Frame { units: Units::Rows, start: Bound::Unbounded, end: Bound::Unbounded };
}

/// The literal as the engine's value.
pub fn value(literal: &Literal, ty: Ty) -> Value {
    let any = match literal {
        Literal::Null => return Value::null(ty.held()),
        Literal::Micros(micros) => {
            let zone = (ty == Ty::Timestamptz).then_some(TimeZone::UTC);
            return Value::new_datetime(*micros, TimeUnit::Microseconds, zone);
        }
        Literal::Bool(value) => AnyValue::Boolean(*value),
        Literal::Int(value) if ty.is_whole() => AnyValue::Int64(*value),
        Literal::Int(value) => AnyValue::Float64(*value as f64),
        Literal::Float(value, _) => AnyValue::Float64(*value),
        Literal::Text(text) => AnyValue::StringOwned(text.as_str().into()),
        Literal::Date(days) => AnyValue::Date(*days),
    };
    Value::new(ty.held(), any)
}

/// A column of one row.
pub fn constant(literal: &Literal, ty: Ty) -> Column {
    Column::new_scalar(PlSmallStr::EMPTY, value(literal, ty), 1)
}

/// The literal that a column of one row holds.
pub fn literal_of(column: &Column, ty: Ty) -> Option<Literal> {
    if column.dtype() != &ty.held() {
        return None;
    }
    Some(match column.get(0).ok()? {
        AnyValue::Null => Literal::Null,
        AnyValue::Boolean(value) => Literal::Bool(value),
        AnyValue::Int64(value) => Literal::Int(value),
        AnyValue::Float64(value) => Literal::Float(value, None),
        AnyValue::String(text) => Literal::Text(text.to_owned()),
        AnyValue::StringOwned(text) => Literal::Text(text.to_string()),
        AnyValue::Date(days) => Literal::Date(days),
        AnyValue::Datetime(micros, _, _) | AnyValue::DatetimeOwned(micros, _, _) => Literal::Micros(micros),
        _ => return None,
    })
}

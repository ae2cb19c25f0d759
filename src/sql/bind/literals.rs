//! Constants: numbers, text, dates, intervals, placeholders; and the types that CAST names.

use sqlparser::ast::{
    CharacterLength, DataType, DateTimeField, DollarQuotedString, ExactNumberInfo, Expr, Interval, TimezoneInfo,
    TypedString, Value, ValueWithSpan,
};

use super::{Binder, Cx, intervals, place};
use crate::sql::error::{Place, Result, SYNTAX, SqlError};
use crate::sql::expr::{Ex, Literal};
use crate::sql::functions::cast;
use crate::sql::kernels::text;
use crate::sql::kernels::zone::DAY;
use crate::sql::scope::Meaning;
use crate::sql::types::Ty;

/// A type with what stands in its brackets.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Target {
    Ty(Ty),
    /// VARCHAR(n), or CHAR(n), which is filled with blanks.
    Cut {
        length: usize,
        padded: bool,
    },
    Places {
        precision: u64,
        scale: i64,
    },
    Interval,
}

/// The type that a CAST names.
pub fn target(data_type: &DataType, place: Place) -> Result<Target> {
    let cut = |length: &Option<CharacterLength>, padded: bool| match length {
        Some(CharacterLength::IntegerLength { length: 0, .. }) => {
            Err(SqlError::new("22023", place, "the length of a text type must be at least 1"))
        }
        Some(CharacterLength::IntegerLength { length, .. }) => Ok(Target::Cut { length: *length as usize, padded }),
        Some(CharacterLength::Max) | None if padded => Ok(Target::Cut { length: 1, padded }),
        Some(CharacterLength::Max) | None => Ok(Target::Ty(Ty::Text)),
    };
    let exact = |info: &ExactNumberInfo| match info {
        ExactNumberInfo::None => Target::Ty(Ty::Numeric),
        ExactNumberInfo::Precision(precision) => Target::Places { precision: *precision, scale: 0 },
        ExactNumberInfo::PrecisionAndScale(precision, scale) => Target::Places { precision: *precision, scale: *scale },
    };
    Ok(match data_type {
        DataType::Bool | DataType::Boolean => Target::Ty(Ty::Bool),
        DataType::SmallInt(_) | DataType::Int2(_) | DataType::TinyInt(_) => Target::Ty(Ty::Int2),
        DataType::Int(_) | DataType::Integer(_) | DataType::Int4(_) | DataType::Int32 => Target::Ty(Ty::Int4),
        DataType::BigInt(_) | DataType::Int8(_) | DataType::Int64 => Target::Ty(Ty::Int8),
        DataType::Real | DataType::Float4 | DataType::Float32 => Target::Ty(Ty::Float4),
        DataType::Float(ExactNumberInfo::Precision(1..=24)) => Target::Ty(Ty::Float4),
        DataType::Float(_) | DataType::Double(_) | DataType::DoublePrecision | DataType::Float8 | DataType::Float64 => {
            Target::Ty(Ty::Float8)
        }
        DataType::Numeric(info) | DataType::Decimal(info) | DataType::Dec(info) => exact(info),
        DataType::Text | DataType::String(_) => Target::Ty(Ty::Text),
        DataType::Varchar(length) | DataType::CharacterVarying(length) | DataType::CharVarying(length) => {
            cut(length, false)?
        }
        DataType::Char(length) | DataType::Character(length) => cut(length, true)?,
        DataType::Custom(name, modifiers)
            if name.to_string().eq_ignore_ascii_case("bpchar") && modifiers.is_empty() =>
        {
            Target::Ty(Ty::Text)
        }
        DataType::Date => Target::Ty(Ty::Date),
        DataType::Timestamp(None, TimezoneInfo::None | TimezoneInfo::WithoutTimeZone) | DataType::Datetime(None) => {
            Target::Ty(Ty::Timestamp)
        }
        DataType::Timestamp(None, _) => Target::Ty(Ty::Timestamptz),
        DataType::Timestamp(Some(_), _) => {
            return Err(SqlError::unsupported(place, "a timestamp with fewer digits")
                .hint("DATE_TRUNC('second', x) cuts the fraction off"));
        }
        DataType::Interval { .. } => Target::Interval,
        DataType::Time(..) => {
            return Err(SqlError::unsupported(place, "the type TIME")
                .hint("EXTRACT(HOUR FROM x) and EXTRACT(MINUTE FROM x) give the parts, TO_CHAR(x, 'HH24:MI') a text"));
        }
        other => {
            return Err(SqlError::unsupported(place, format!("the type {other}"))
                .hint("the types are BOOLEAN, SMALLINT, INTEGER, BIGINT, NUMERIC, REAL, DOUBLE PRECISION, TEXT, DATE, TIMESTAMP, TIMESTAMPTZ"));
        }
    })
}

/// The words of a quoted text, whichever quotes it has.
pub fn quoted(value: &Value) -> Option<&str> {
    match value {
        Value::SingleQuotedString(text)
        | Value::EscapedStringLiteral(text)
        | Value::UnicodeStringLiteral(text)
        | Value::NationalStringLiteral(text)
        | Value::DollarQuotedString(DollarQuotedString { value: text, .. }) => Some(text),
        _ => None,
    }
}

impl Binder<'_> {
    pub fn literal(&mut self, value: &ValueWithSpan) -> Result<Ex> {
        let place: Place = value.span.into();
        if let Some(text) = quoted(&value.value) {
            if text.contains('\0') {
                return Err(SqlError::new("22021", place, "text cannot have the character 0"));
            }
            return Ok(Ex::literal(Literal::Text(text.to_owned()), Ty::Unknown, place));
        }
        match &value.value {
            Value::Null => Ok(Ex::null(Ty::Unknown, place)),
            Value::Boolean(value) => Ok(Ex::bool(*value, place)),
            Value::Number(digits, _) => number(digits, place),
            Value::Placeholder(name) => self.placeholder(name, place),
            other => Err(SqlError::unsupported(place, format!("the constant {other}"))),
        }
    }

    /// `:date`, `:start` and `:end`: typed constants of the interval, never text.
    fn placeholder(&mut self, name: &str, place: Place) -> Result<Ex> {
        let epoch = || chrono::NaiveDate::from_epoch_days(0).unwrap_or_default();
        match name {
            ":date" => {
                let days = self.bounds.date.signed_duration_since(epoch()).num_days() as i32;
                Ok(Ex::literal(Literal::Date(days), Ty::Date, place))
            }
            ":start" => Ok(Ex::literal(Literal::Micros(self.bounds.start), Ty::Timestamptz, place)),
            ":end" => Ok(Ex::literal(Literal::Micros(self.bounds.end), Ty::Timestamptz, place)),
            other => Err(SqlError::new("42P02", place, format!("unknown placeholder {other}"))
                .hint("known are :date, :start and :end")),
        }
    }

    /// DATE '2024-03-10' and other constants with their type before them.
    pub fn typed_string(&mut self, typed: &TypedString) -> Result<Meaning> {
        let place: Place = typed.value.span.into();
        let Some(text) = quoted(&typed.value.value) else {
            return Err(SqlError::new(SYNTAX, place, "a constant of this type is written in single quotes"));
        };
        let literal = Ex::literal(Literal::Text(text.to_owned()), Ty::Unknown, place);
        self.cast_to(Meaning::Value(literal), target(&typed.data_type, place)?, place)
    }

    pub fn cast_to(&mut self, from: Meaning, to: Target, place: Place) -> Result<Meaning> {
        let ex = match (from, to) {
            (interval @ Meaning::Interval(_), Target::Interval) => return Ok(interval),
            (Meaning::Interval(_), _) => {
                return Err(SqlError::unsupported(place, "a CAST of an interval")
                    .hint("EXTRACT(EPOCH FROM x) gives its seconds"));
            }
            (Meaning::Value(ex), Target::Interval) => match ex.as_literal() {
                Some(Literal::Text(text)) => return intervals::parsed(text, None, ex.place),
                _ => {
                    return Err(
                        SqlError::unsupported(place, "a CAST to INTERVAL").hint("multiply: x * INTERVAL '1 hour'")
                    );
                }
            },
            (Meaning::Value(ex), _) => ex,
        };
        Ok(Meaning::Value(match to {
            Target::Ty(Ty::Bool) if ex.ty == Ty::Int8 || ex.ty == Ty::Int2 => cast::explicit(ex, Ty::Bool, self.zone)?,
            Target::Ty(ty) => cast::explicit(ex, ty, self.zone)?,
            Target::Places { precision, scale } => cast::places(ex, precision, scale, self.zone)?,
            Target::Cut { length, padded } => {
                let text_ex = cast::explicit(ex, Ty::Text, self.zone)?;
                let cut = Ex::call(text::cut(length, false), vec![text_ex], Ty::Text, place);
                // The blanks that fill a CHAR(n) do not count when it is compared, measured or put together.
                match text::text_text("rtrim").filter(|_| padded) {
                    Some(rtrim) => {
                        let blank = Ex::literal(Literal::Text(" ".into()), Ty::Text, place);
                        Ex::call(rtrim, vec![cut, blank], Ty::Text, place)
                    }
                    None => cut,
                }
            }
            Target::Interval => ex,
        }))
    }

    /// INTERVAL '3 days', INTERVAL '3' DAY
    pub fn interval(&mut self, interval: &Interval, cx: Cx<'_>) -> Result<Meaning> {
        let at = place(&interval.value);
        if interval.last_field.is_some() || interval.leading_precision.is_some() {
            return Err(SqlError::unsupported(at, "INTERVAL with two fields").hint("write INTERVAL '1 day 2 hours'"));
        }
        let field = interval.leading_field.as_ref().map(field_name);
        let ex = self.value(&interval.value, cx)?;
        match ex.as_literal() {
            Some(Literal::Text(text)) => intervals::parsed(text, field.as_deref(), at),
            Some(Literal::Int(n)) => intervals::parsed(&n.to_string(), field.as_deref(), at),
            _ => Err(SqlError::unsupported(at, "INTERVAL of something that is no constant")
                .hint("multiply: x * INTERVAL '1 hour'")),
        }
    }
}

/// A written number: an integer as narrow as it fits, else a numeric.
fn number(digits: &str, place: Place) -> Result<Ex> {
    if digits.contains('_') {
        let plain: String = digits.chars().filter(|c| *c != '_').collect();
        return Err(SqlError::new(SYNTAX, place, "a number has no underscores").hint(format!("write {plain}")));
    }
    let plain = digits;
    if let Ok(value) = plain.parse::<i64>() {
        let ty = if i32::try_from(value).is_ok() { Ty::Int4 } else { Ty::Int8 };
        return Ok(Ex::literal(Literal::Int(value), ty, place));
    }
    match plain.parse::<f64>() {
        Ok(value) if value.is_finite() => {
            let words = (!plain.contains(['e', 'E'])).then(|| plain.to_owned());
            Ok(Ex::literal(Literal::Float(value, words), Ty::Numeric, place))
        }
        Ok(_) => Err(SqlError::new("22003", place, format!("{digits} is too large"))),
        Err(_) => Err(SqlError::new(SYNTAX, place, format!("{digits} is not a number"))),
    }
}

pub fn field_name(field: &DateTimeField) -> String {
    match field {
        DateTimeField::Custom(ident) => ident.value.to_lowercase(),
        other => other.to_string().to_lowercase().trim_matches(['\'', '"']).to_owned(),
    }
}

/// A constant that must be a whole number that is not negative: LIMIT, OFFSET, a frame.
pub fn count(ex: &Ex, what: &str) -> Result<Option<u64>> {
    match ex.as_literal() {
        Some(Literal::Null) => Ok(None),
        Some(Literal::Int(n)) if *n >= 0 => Ok(Some(*n as u64)),
        Some(Literal::Int(_)) => Err(SqlError::new("2201W", ex.place, format!("{what} must not be negative"))),
        Some(Literal::Float(value, _)) if *value >= 0.0 => Ok(Some(value.round() as u64)),
        _ => Err(SqlError::unsupported(ex.place, format!("{what} that is no constant whole number"))),
    }
}

/// Microseconds of a constant interval without months, for those who can use no other.
pub fn fixed(span: crate::sql::kernels::interval::Span) -> Option<i64> {
    span.days.checked_mul(DAY)?.checked_add(span.micros).filter(|_| span.months == 0)
}

/// The first character of an ESCAPE clause; none when it is empty.
pub fn escape(value: Option<&ValueWithSpan>) -> Result<Option<char>> {
    let Some(value) = value else { return Ok(Some('\\')) };
    let Some(text) = quoted(&value.value) else {
        return Err(SqlError::unsupported(value.span, "ESCAPE with anything but a quoted character"));
    };
    let mut chars = text.chars();
    match (chars.next(), chars.next()) {
        (first, None) => Ok(first),
        _ => Err(SqlError::new("22025", Place::from(value.span), "ESCAPE takes one character")),
    }
}

/// Whether an expression is the placeholder or constant of a position: ORDER BY 2.
pub fn ordinal(expr: &Expr) -> Option<&str> {
    match expr {
        Expr::Value(ValueWithSpan { value: Value::Number(digits, _), .. }) => Some(digits),
        _ => None,
    }
}

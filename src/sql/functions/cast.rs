//! Making one type of another: by itself where Postgres does, by CAST where it is asked.

use chrono_tz::Tz;

use crate::sql::error::{MISMATCH, Result, SqlError};
use crate::sql::expr::{Ex, Kind, Literal};
use crate::sql::kernels::cast::{Cast, cast, to_places};
use crate::sql::kernels::math;
use crate::sql::types::{Ty, implicit};
use crate::sql::value::constant;

/// The expression as another type, where that needs no CAST; an unknown literal is read as that type.
pub fn coerce(ex: Ex, to: Ty, zone: Tz) -> Result<Ex> {
    if ex.ty == to {
        return Ok(ex);
    }
    if !implicit(ex.ty, to) {
        return Err(SqlError::new(
            MISMATCH,
            ex.place,
            format!("this is {}, and {} is needed", ex.ty.name(), to.name()),
        )
        .hint(format!("cast it: CAST(x AS {})", to.name().to_uppercase())));
    }
    convert(ex, to, zone)
}

/// CAST(x AS type).
pub fn explicit(ex: Ex, to: Ty, zone: Tz) -> Result<Ex> {
    convert(ex, to, zone)
}

fn convert(ex: Ex, to: Ty, zone: Tz) -> Result<Ex> {
    let (from, place) = (ex.ty, ex.place);
    if from == to {
        return Ok(ex);
    }
    if let Some(literal) = ex.as_literal() {
        if *literal == Literal::Null {
            return Ok(Ex::null(to, place));
        }
        if let (Literal::Float(_, Some(words)), Ty::Text) = (literal, to) {
            return Ok(Ex::literal(Literal::Text(words.clone()), Ty::Text, place));
        }
        if let (Literal::Float(value, _), Ty::Float8) = (literal, to) {
            return Ok(Ex::literal(Literal::Float(*value, None), to, place));
        }
    }
    match cast(from, to, zone) {
        // A chain computes in its own type.
        Cast::Same if matches!(ex.kind, Kind::Chain(..)) => {
            let same = if from.is_whole() { math::same_whole() } else { math::same_float() };
            Ok(Ex::call(same, vec![ex], to, place))
        }
        Cast::Same => Ok(Ex { ty: to, ..ex }),
        Cast::Impossible => {
            Err(SqlError::new("42846", place, format!("{} cannot be cast to {}", from.name(), to.name()))
                .hint(instead(from, to)))
        }
        Cast::By(func) => {
            // A literal is read when the query is planned, and a wrong one refused there.
            if let Kind::Literal(literal) = &ex.kind
                && from == Ty::Unknown
                && let Ok(Err(fault)) = (func.run)(&[constant(literal, from)])
            {
                return Err(SqlError::new(fault.code, place, fault.message));
            }
            Ok(Ex::call(func, vec![ex], to, place))
        }
    }
}

fn instead(from: Ty, to: Ty) -> &'static str {
    match (from, to) {
        (Ty::Numeric, Ty::Text) => "the digits of a numeric are not kept; cast it to BIGINT or DOUBLE PRECISION first",
        (_, Ty::Bool) => "write a comparison: x <> 0",
        (_, Ty::Date) => "MAKE_DATE(year, month, day) or DATE '1970-01-01' + days",
        (_, Ty::Timestamp | Ty::Timestamptz) => "TO_TIMESTAMP(seconds)",
        (Ty::Date | Ty::Timestamp | Ty::Timestamptz, _) => {
            "EXTRACT(EPOCH FROM x) gives seconds, x - DATE '1970-01-01' days"
        }
        _ => "there is no such cast in Postgres either",
    }
}

/// CAST(x AS NUMERIC(p, s)).
pub fn places(ex: Ex, precision: u64, scale: i64, zone: Tz) -> Result<Ex> {
    let place = ex.place;
    let ex = explicit(ex, Ty::Numeric, zone)?;
    Ok(Ex::call(to_places(precision, scale), vec![ex], Ty::Numeric, place))
}

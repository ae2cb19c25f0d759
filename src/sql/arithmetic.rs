//! Steps of arithmetic between numbers and dates, and the error that names an operator which is not there.

use chrono_tz::Tz;
use sqlparser::ast::BinaryOperator as Op;

use crate::sql::error::{NO_FUNCTION, Result, SqlError};
use crate::sql::expr::{Arith, Cmp, Ex, Kind, Literal};
use crate::sql::functions::cast::coerce;
use crate::sql::kernels::{arith, time};
use crate::sql::types::Ty;

/// No operator is written so between such types.
pub fn undefined(left: &Ex, sign: &str, right: &Ex) -> SqlError {
    SqlError::new(
        NO_FUNCTION,
        right.place,
        format!("there is no operator {} {sign} {}", left.ty.name(), right.ty.name()),
    )
    .hint("cast one side to the type of the other: CAST(x AS ...)")
}

/// A step of arithmetic, appended to the chain on its left where it has the same type.
pub fn chain(left: Ex, op: Arith, right: Ex, ty: Ty, zone: Tz) -> Result<Ex> {
    let (place, right) = (left.place, coerce(right, ty, zone)?);
    if left.ty == ty
        && let Kind::Chain(first, mut rest) = left.kind
    {
        let null = right.as_literal() == Some(&Literal::Null);
        rest.push((op, right));
        let longer = Ex::new(Kind::Chain(first, rest), ty, place);
        return Ok(if null && longer.settled() { Ex::null(ty, place) } else { longer });
    }
    let left = coerce(left, ty, zone)?;
    Ok(folded(Ex::new(Kind::Chain(Box::new(left), vec![(op, right)]), ty, place)))
}

/// A chain of two literals is a literal.
fn folded(ex: Ex) -> Ex {
    use crate::sql::value::constant;
    let Kind::Chain(first, rest) = &ex.kind else { return ex };
    if ex.has_null() && ex.settled() {
        return Ex::null(ex.ty, ex.place);
    }
    let (Some(a), [(op, right)]) = (first.as_literal(), rest.as_slice()) else { return ex };
    let Some(b) = right.as_literal() else { return ex };
    let columns = [constant(a, ex.ty), constant(b, ex.ty)];
    let Ok(Ok(column)) = arith::chain(&columns, &[*op], ex.ty) else { return ex };
    let literal = match column.get(0) {
        Ok(polars::prelude::AnyValue::Int64(value)) => Literal::Int(value),
        Ok(polars::prelude::AnyValue::Float64(value)) => Literal::Float(value, None),
        Ok(polars::prelude::AnyValue::Null) => Literal::Null,
        _ => return ex,
    };
    Ex::literal(literal, ex.ty, ex.place)
}

/// Whole-number arithmetic of the plan's own.
pub fn whole(left: Ex, op: Arith, right: Ex) -> Ex {
    let place = left.place;
    folded(Ex::new(Kind::Chain(Box::new(left), vec![(op, right)]), Ty::Int8, place))
}

/// An operator as it is written.
pub fn sign(op: Arith) -> &'static str {
    match op {
        Arith::Add => "+",
        Arith::Sub => "-",
        Arith::Mul => "*",
        Arith::Div => "/",
        Arith::Rem => "%",
    }
}

/// The comparison that an operator is.
pub fn comparison(op: &Op) -> Option<Cmp> {
    Some(match op {
        Op::Eq => Cmp::Eq,
        Op::NotEq => Cmp::Ne,
        Op::Lt => Cmp::Lt,
        Op::LtEq => Cmp::Le,
        Op::Gt => Cmp::Gt,
        Op::GtEq => Cmp::Ge,
        _ => return None,
    })
}

/// Days between two dates, or a date so many days later.
pub fn date_arithmetic(left: Ex, op: Arith, right: Ex, zone: Tz) -> Option<Result<Ex>> {
    let place = left.place;
    let days = |date: Ex, n: Ex, sign| -> Result<Ex> {
        Ok(Ex::call(time::date_plus(sign), vec![date, coerce(n, Ty::Int8, zone)?], Ty::Date, place))
    };
    Some(match (left.ty, op, right.ty) {
        (Ty::Date, Arith::Sub, Ty::Date) => Ok(Ex::call(time::days_between(), vec![left, right], Ty::Int4, place)),
        (Ty::Date, Arith::Sub, Ty::Unknown) => coerce(right, Ty::Date, zone)
            .map(|right| Ex::call(time::days_between(), vec![left, right], Ty::Int4, place)),
        (Ty::Date, Arith::Add, ty) if ty.is_int() => days(left, right, 1),
        (Ty::Date, Arith::Sub, ty) if ty.is_int() => days(left, right, -1),
        (ty, Arith::Add, Ty::Date) if ty.is_int() => days(right, left, 1),
        _ => return None,
    })
}

/// There is no such operator between times.
pub fn no_times(left: &Ex, op: Arith, right: &Ex) -> SqlError {
    let error = undefined(left, sign(op), right);
    match (left.ty, right.ty) {
        (Ty::Timestamp | Ty::Timestamptz, ty) if ty.is_number() => {
            error.hint("add an interval: x + INTERVAL '1 hour' * n")
        }
        (Ty::Date, ty) if ty.is_number() => error.hint("days are whole numbers: CAST(n AS INTEGER)"),
        _ => error,
    }
}

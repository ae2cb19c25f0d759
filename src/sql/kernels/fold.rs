//! Constant expressions are computed when the query is planned. What raises is left for the run: a condition may leave
//! it out.

use polars::prelude::{AnyValue, Column, PlSmallStr};

use crate::sql::expr::{Ex, Kind, Literal, value};
use crate::sql::types::Ty;

/// Functions that have a value for NULL.
const LENIENT: [&str; 5] = ["concat", "concat_ws", "format", "only_row", "grouping"];

/// The literal that a call of literals is, or the call.
pub fn folded(ex: Ex) -> Ex {
    let Kind::Call(func, args) = &ex.kind else { return ex };
    // A strict function of NULL is NULL, whatever the other arguments would raise.
    if !LENIENT.contains(&func.name) && ex.has_null() && ex.settled() {
        return Ex::null(ex.ty, ex.place);
    }
    let mut columns = Vec::with_capacity(args.len());
    for arg in args {
        let Some(literal) = arg.as_literal() else { return ex };
        columns.push(constant(literal, arg.ty));
    }
    match (func.run)(&columns) {
        Ok(Ok(column)) if column.len() == 1 => match literal_of(&column, ex.ty) {
            Some(literal) => Ex::literal(literal, ex.ty, ex.place),
            None => ex,
        },
        _ => ex,
    }
}

/// A column of one row.
pub fn constant(literal: &Literal, ty: Ty) -> Column {
    Column::new_scalar(PlSmallStr::EMPTY, value(literal, ty), 1)
}

fn literal_of(column: &Column, ty: Ty) -> Option<Literal> {
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

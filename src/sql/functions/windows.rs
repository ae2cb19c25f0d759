//! Functions that only have a meaning with OVER.

use super::{Call, cast};
pub use crate::sql::aggregate::Win;
use crate::sql::error::{Result, SqlError};
use crate::sql::expr::{Ex, Literal};
use crate::sql::kernels::window::Over;
use crate::sql::types::Ty;

pub fn is_window(name: &str) -> bool {
    matches!(
        name,
        "row_number"
            | "rank"
            | "dense_rank"
            | "percent_rank"
            | "cume_dist"
            | "ntile"
            | "lag"
            | "lead"
            | "first_value"
            | "last_value"
            | "nth_value"
    )
}

/// The function with its arguments as the types that it takes.
pub fn bind(call: &Call<'_>) -> Result<(Win, Vec<Ex>)> {
    let ty = call.ty(0);
    if ty == Ty::Unknown && !call.args.is_empty() {
        return Err(SqlError::new(
            "42804",
            call.place,
            format!("{} of a constant without a type", call.name.to_uppercase()),
        )
        .hint("cast it: CAST('a' AS TEXT)"));
    }
    let arg = |n: usize, ty: Ty| cast::coerce(call.args[n].clone(), ty, call.zone);
    let made = |over, ty, args| Ok((Win { over, ty }, args));
    match (call.name, call.args.len()) {
        ("row_number", 0) => made(Over::RowNumber, Ty::Int8, vec![]),
        ("rank", 0) => made(Over::Rank, Ty::Int8, vec![]),
        ("dense_rank", 0) => made(Over::DenseRank, Ty::Int8, vec![]),
        ("percent_rank", 0) => made(Over::PercentRank, Ty::Float8, vec![]),
        ("cume_dist", 0) => made(Over::CumeDist, Ty::Float8, vec![]),
        ("ntile", 1) => made(Over::Ntile, Ty::Int4, vec![arg(0, Ty::Int4)?]),
        ("lag" | "lead", 1..=3) => {
            let over = if call.name == "lag" { Over::Lag } else { Over::Lead };
            let offset = match call.args.len() {
                1 => Ex::literal(Literal::Int(1), Ty::Int4, call.place),
                _ => arg(1, Ty::Int4)?,
            };
            let mut args = vec![arg(0, ty)?, offset];
            if call.args.len() == 3 {
                let both = crate::sql::types::common(ty, call.ty(2)).ok_or_else(|| call.unknown())?;
                args[0] = cast::coerce(args[0].clone(), both, call.zone)?;
                args.push(arg(2, both)?);
                return made(over, both, args);
            }
            made(over, ty, args)
        }
        ("first_value", 1) => made(Over::FirstValue, ty, vec![arg(0, ty)?]),
        ("last_value", 1) => made(Over::LastValue, ty, vec![arg(0, ty)?]),
        ("nth_value", 2) => made(Over::NthValue, ty, vec![arg(0, ty)?, arg(1, Ty::Int4)?]),
        _ => Err(call.unknown()),
    }
}

//! Aggregate functions: their names, what they take and what they give.

use super::{Call, cast};
pub use crate::sql::aggregate::{Agg, AggKind};
use crate::sql::error::{MISMATCH, Place, Result, SqlError};
use crate::sql::expr::{Ex, SortKey};
use crate::sql::kernels::group::Group;
use crate::sql::types::Ty;

pub fn is_aggregate(name: &str) -> bool {
    NAMES.split(' ').any(|known| known == name)
}

const NAMES: &str = "count sum avg mean min max stddev stddev_samp stddev_pop variance var_samp var_pop bool_and bool_or \
    every bit_and bit_or bit_xor string_agg corr covar_pop covar_samp regr_slope regr_intercept regr_r2 \
    regr_count regr_avgx regr_avgy regr_sxx regr_syy regr_sxy percentile_cont percentile_disc mode \
    median quantile_cont quantile_disc first last any_value count_if var std";

/// The call of an aggregate, bound: its kind, its arguments as the types that it takes, the order of its rows.
pub struct Bound {
    pub agg: Agg,
    pub args: Vec<Ex>,
    pub order: Vec<SortKey>,
}

/// `order` is that of ORDER BY within the brackets, or of WITHIN GROUP.
pub fn bind(call: &Call<'_>, distinct: bool, order: Vec<SortKey>, within: bool) -> Result<Bound> {
    if let Some(bound) = pairs(call)? {
        return Ok(bound);
    }
    if let "percentile_cont" | "percentile_disc" | "mode" | "median" | "quantile_cont" | "quantile_disc" = call.name {
        return percentile(call, order, within);
    }
    if within {
        return Err(SqlError::unsupported(call.place, format!("WITHIN GROUP for {}", call.name.to_uppercase())));
    }
    match call.name {
        "count" | "count_if" => counted(call, distinct),
        "bool_and" | "every" | "bool_or" | "bit_and" | "bit_or" | "bit_xor" => bits(call),
        "string_agg" | "first" | "last" | "any_value" => picked(call, order),
        _ => numbers(call),
    }
}

fn plain(call: &Call<'_>, kind: AggKind, ty: Ty, types: &[Ty]) -> Result<Bound> {
    let args = call.args.iter().zip(types).map(|(arg, ty)| cast::coerce(arg.clone(), *ty, call.zone));
    Ok(Bound { agg: Agg { kind, ty }, args: args.collect::<Result<_>>()?, order: Vec::new() })
}

/// A constant without a type is text.
fn known(ty: Ty) -> Ty {
    if ty == Ty::Unknown { Ty::Text } else { ty }
}

fn counted(call: &Call<'_>, distinct: bool) -> Result<Bound> {
    match (call.name, call.args.len()) {
        ("count", 0) => plain(call, AggKind::CountRows, Ty::Int8, &[]),
        ("count", 1) => plain(call, AggKind::Count, Ty::Int8, &[known(call.ty(0))]),
        ("count", _) if distinct => {
            let types: Vec<Ty> = call.types().into_iter().map(known).collect();
            plain(call, AggKind::Group(Group::DistinctRows { nulls: false }), Ty::Int8, &types)
        }
        ("count_if", 1) if call.ty(0) == Ty::Bool => {
            let counted = call.args[0].clone().only_if(call.args[0].clone());
            Ok(Bound { agg: Agg { kind: AggKind::Count, ty: Ty::Int8 }, args: vec![counted], order: Vec::new() })
        }
        _ => Err(call.unknown()),
    }
}

fn bits(call: &Call<'_>) -> Result<Bound> {
    let ty = call.ty(0);
    let group = match call.name {
        "bool_or" => Group::BoolOr,
        "bool_and" | "every" => Group::BoolAnd,
        "bit_and" => Group::BitAnd,
        "bit_or" => Group::BitOr,
        _ => Group::BitXor,
    };
    match call.name {
        _ if call.args.len() != 1 => Err(call.unknown()),
        "bool_or" | "bool_and" | "every" if matches!(ty, Ty::Bool | Ty::Unknown) => {
            plain(call, AggKind::Group(group), Ty::Bool, &[Ty::Bool])
        }
        "bit_and" | "bit_or" | "bit_xor" if ty.is_int() => plain(call, AggKind::Group(group), ty, &[ty]),
        _ => Err(call.unknown()),
    }
}

fn picked(call: &Call<'_>, order: Vec<SortKey>) -> Result<Bound> {
    let ty = known(call.ty(0));
    let bound = match (call.name, call.args.len()) {
        ("string_agg", 2) if ty == Ty::Text => {
            plain(call, AggKind::Group(Group::StringAgg), Ty::Text, &[Ty::Text, Ty::Text])?
        }
        ("last", 1) => plain(call, AggKind::Group(Group::Last), ty, &[ty])?,
        ("first" | "any_value", 1) => plain(call, AggKind::Group(Group::First), ty, &[ty])?,
        _ => return Err(call.unknown()),
    };
    Ok(Bound { order, ..bound })
}

/// Aggregates of numbers, and MIN and MAX.
fn numbers(call: &Call<'_>) -> Result<Bound> {
    let ty = call.ty(0);
    let number = || -> Result<Ty> {
        let ty = if ty == Ty::Unknown { Ty::Float8 } else { ty };
        if ty.is_number() { Ok(ty) } else { Err(call.unknown()) }
    };
    if call.args.len() != 1 {
        return Err(call.unknown());
    }
    match call.name {
        "sum" if ty == Ty::Bool => {
            let as_number = cast::explicit(call.args[0].clone(), Ty::Int4, call.zone)?;
            Ok(Bound { agg: Agg { kind: AggKind::Sum, ty: Ty::Int8 }, args: vec![as_number], order: Vec::new() })
        }
        "sum" => {
            let from = number()?;
            let to = match from {
                Ty::Int2 | Ty::Int4 => Ty::Int8,
                Ty::Int8 => Ty::Whole,
                other => other,
            };
            plain(call, AggKind::Sum, to, &[from])
        }
        "avg" | "mean" => {
            let from = number()?;
            plain(call, AggKind::Avg, if from.is_float() { Ty::Float8 } else { Ty::Numeric }, &[from])
        }
        "min" | "max" if ty != Ty::Bool => {
            let ty = known(ty);
            plain(call, if call.name == "min" { AggKind::Min } else { AggKind::Max }, ty, &[ty])
        }
        "stddev" | "stddev_samp" | "std" | "stddev_pop" | "variance" | "var_samp" | "var" | "var_pop" => {
            let to = if number()?.is_float() { Ty::Float8 } else { Ty::Numeric };
            let kind = AggKind::Spread { root: call.name.starts_with("std"), sample: !call.name.ends_with("_pop") };
            plain(call, kind, to, &[Ty::Float8])
        }
        _ => Err(call.unknown()),
    }
}

/// Aggregates of pairs: y and x.
fn pairs(call: &Call<'_>) -> Result<Option<Bound>> {
    let group = match call.name {
        "corr" => Group::Corr,
        "covar_pop" => Group::CovarPop,
        "covar_samp" => Group::CovarSamp,
        "regr_slope" => Group::RegrSlope,
        "regr_intercept" => Group::RegrIntercept,
        "regr_r2" => Group::RegrR2,
        "regr_count" => Group::RegrCount,
        "regr_avgx" => Group::RegrAvgX,
        "regr_avgy" => Group::RegrAvgY,
        "regr_sxx" => Group::RegrSxx,
        "regr_syy" => Group::RegrSyy,
        "regr_sxy" => Group::RegrSxy,
        _ => return Ok(None),
    };
    if !call.takes(&[Ty::Float8, Ty::Float8]) {
        return Err(call.unknown());
    }
    let ty = if group == Group::RegrCount { Ty::Int8 } else { Ty::Float8 };
    let args = call.args.iter().map(|a| cast::coerce(a.clone(), Ty::Float8, call.zone)).collect::<Result<Vec<_>>>()?;
    Ok(Some(Bound { agg: Agg { kind: AggKind::Group(group), ty }, args, order: Vec::new() }))
}

/// Those of ordered values: WITHIN GROUP (ORDER BY x), or with the value as first argument.
fn percentile(call: &Call<'_>, order: Vec<SortKey>, within: bool) -> Result<Bound> {
    let fraction = |n: usize| -> Result<Ex> {
        let arg = call.args.get(n).cloned().ok_or_else(|| call.unknown())?;
        let (place, arg) = (arg.place, cast::coerce(arg, Ty::Float8, call.zone)?);
        match arg.as_literal() {
            Some(crate::sql::expr::Literal::Float(value, _)) if (0.0..=1.0).contains(value) => Ok(arg),
            Some(crate::sql::expr::Literal::Float(value, _)) => {
                Err(SqlError::new("22003", place, format!("percentile value {value} is not between 0 and 1")))
            }
            _ => Err(SqlError::unsupported(place, "a percentile that is no constant between 0 and 1")),
        }
    };
    let half = || Ex::literal(crate::sql::expr::Literal::Float(0.5, None), Ty::Float8, call.place);
    let ascending = |ex: Ex| SortKey { ex, descending: false, nulls_last: true };
    let (key, fraction) = match (call.name, within) {
        ("percentile_cont" | "percentile_disc", true) if call.args.len() == 1 => {
            (one(order, call.place)?, fraction(0)?)
        }
        ("mode", true) if call.args.is_empty() => (one(order, call.place)?, half()),
        ("quantile_cont" | "quantile_disc", false) if call.args.len() == 2 => {
            (ascending(call.args[0].clone()), fraction(1)?)
        }
        ("median" | "mode", false) if call.args.len() == 1 => (ascending(call.args[0].clone()), half()),
        ("percentile_cont" | "percentile_disc" | "mode", _) => {
            return Err(SqlError::new(
                "42809",
                call.place,
                format!("{} needs WITHIN GROUP (ORDER BY ...)", call.name.to_uppercase()),
            )
            .hint(format!("write {}(0.5) WITHIN GROUP (ORDER BY x)", call.name.to_uppercase())));
        }
        _ => return Err(call.unknown()),
    };
    let known = if key.ex.ty == Ty::Unknown { Ty::Text } else { key.ex.ty };
    let (group, ty) = match call.name {
        "mode" => (Group::Mode, known),
        "percentile_disc" | "quantile_disc" => (Group::PercentileDisc, known),
        _ => (Group::PercentileCont, Ty::Float8),
    };
    if ty == Ty::Float8 && group == Group::PercentileCont && !(known.is_number() || key.ex.ty == Ty::Unknown) {
        return Err(SqlError::new(MISMATCH, key.ex.place, format!("{} needs numbers", call.name.to_uppercase())));
    }
    let value = cast::coerce(key.ex.clone(), ty, call.zone)?;
    let key = SortKey { ex: value.clone(), ..key };
    let args = if group == Group::Mode { vec![value] } else { vec![value, fraction] };
    Ok(Bound { agg: Agg { kind: AggKind::Group(group), ty }, args, order: vec![key] })
}

fn one(mut order: Vec<SortKey>, place: Place) -> Result<SortKey> {
    match (order.pop(), order.is_empty()) {
        (Some(key), true) => Ok(key),
        _ => Err(SqlError::unsupported(place, "WITHIN GROUP by more than one key")),
    }
}

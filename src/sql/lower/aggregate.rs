//! GROUP BY: the engine groups; sums are looked at for overflow, aggregates that it has not are ours.

use polars::prelude::*;

use super::Lowerer;
use super::expr::{column, kernel, lowered, name, whole};
use crate::sql::error::{Fault, Place, engine_error};
use crate::sql::expr::{AggCall, Ex, Id};
use crate::sql::functions::aggregates::AggKind;
use crate::sql::kernels::group::{self, Group};
use crate::sql::kernels::math;
use crate::sql::types::Ty;

impl Lowerer<'_> {
    pub fn aggregate(
        &mut self,
        input: LazyFrame,
        keys: &[(Id, Ex)],
        calls: &[(Id, AggCall)],
    ) -> PolarsResult<LazyFrame> {
        let mut computed = self.named(keys);
        let (mut aggs, mut after) = (Vec::new(), Vec::new());
        for (id, call) in calls {
            let args: Vec<Id> = call.args.iter().map(|_| self.fresh()).collect();
            computed.extend(call.args.iter().zip(&args).map(|(ex, arg)| lowered(ex).alias(name(*arg))));
            let order: Vec<Id> = call.order.iter().map(|_| self.fresh()).collect();
            computed.extend(call.order.iter().zip(&order).map(|(key, by)| lowered(&key.ex).alias(name(*by))));
            self.one(*id, call, &args, &order, &mut aggs, &mut after);
        }
        let mut shown: Vec<Expr> = keys.iter().map(|(id, _)| column(*id)).collect();
        shown.extend(calls.iter().map(|(id, _)| column(*id)));
        let by: Vec<Expr> = keys.iter().map(|(id, _)| column(*id)).collect();
        let input = if computed.is_empty() { input } else { input.with_columns(computed) };
        let grouped = match (by.is_empty(), aggs.is_empty()) {
            (false, _) => input.group_by(by).agg(aggs),
            (true, false) => input.select(aggs),
            // One row, whatever the input has.
            (true, true) => input.select([len().alias(name(self.fresh()))]),
        };
        let grouped = if after.is_empty() { grouped } else { grouped.with_columns(after) };
        Ok(grouped.select(if shown.is_empty() { vec![col("*")] } else { shown }))
    }

    /// What is computed in the groups for one call, and what of it afterwards.
    fn one(&mut self, id: Id, call: &AggCall, args: &[Id], order: &[Id], aggs: &mut Vec<Expr>, after: &mut Vec<Expr>) {
        let place = call.args.first().map(|a| a.place).unwrap_or_default();
        let arg = |n: usize| column(args[n]);
        let out = |expr: Expr| expr.alias(name(id));
        match call.agg.kind {
            AggKind::CountRows => aggs.push(out(len().cast(DataType::Int64))),
            AggKind::Count if call.distinct => aggs.push(out(arg(0).drop_nulls().n_unique().cast(DataType::Int64))),
            AggKind::Count => aggs.push(out(arg(0).count().cast(DataType::Int64))),
            AggKind::Min => aggs.push(out(arg(0).min())),
            // NaN is above all numbers; the engine passes it by.
            AggKind::Max if matches!(call.agg.ty.held(), DataType::Float64) => {
                let (most, nan) = (self.fresh(), self.fresh());
                aggs.push(arg(0).max().alias(name(most)));
                aggs.push(arg(0).is_nan().any(true).alias(name(nan)));
                let not_a_number = Expr::Literal(LiteralValue::Scalar(f64::NAN.into()));
                after.push(out(when(column(nan)).then(not_a_number).otherwise(column(most))));
            }
            AggKind::Max => aggs.push(out(arg(0).max())),
            AggKind::Avg => {
                let values = if call.distinct { arg(0).drop_nulls().unique() } else { arg(0) };
                if call.args[0].ty != Ty::Numeric {
                    return aggs.push(out(values.mean()));
                }
                // Of decimals, the decimal that it is.
                let (sum, count) = (self.fresh(), self.fresh());
                aggs.push(values.clone().sum().alias(name(sum)));
                aggs.push(values.count().cast(DataType::Float64).alias(name(count)));
                let inputs = vec![column(sum), column(count)];
                after.push(out(kernel(decimal_mean, inputs, DataType::Float64)));
            }
            AggKind::Spread { root, sample } => {
                let values = if call.distinct { arg(0).drop_nulls().unique() } else { arg(0) };
                let ddof = u8::from(sample);
                let (spread, low, high) = (self.fresh(), self.fresh(), self.fresh());
                aggs.push((if root { values.std(ddof) } else { values.var(ddof) }).alias(name(spread)));
                aggs.push(arg(0).min().alias(name(low)));
                aggs.push(arg(0).max().alias(name(high)));
                // Of values that are all the same it is 0, not what rounding leaves.
                let (spread, same) = (column(spread), column(low).eq(column(high)).and(column(spread).is_not_null()));
                let zero = Expr::Literal(LiteralValue::Scalar(0.0f64.into()));
                after.push(out(when(same).then(zero).otherwise(spread)));
            }
            AggKind::Sum => self.sum(id, call, arg(0), place, aggs, after),
            AggKind::Group(Group::First) if order.is_empty() => aggs.push(out(arg(0).first())),
            AggKind::Group(Group::Last) if order.is_empty() => aggs.push(out(arg(0).last())),
            AggKind::Group(Group::BoolAnd) => aggs.push(out(arg(0).cast(DataType::Int8).min().cast(DataType::Boolean))),
            AggKind::Group(Group::BoolOr) => aggs.push(out(arg(0).cast(DataType::Int8).max().cast(DataType::Boolean))),
            AggKind::Group(group) => aggs.push(out(self.ours(group, call, args, order))),
        }
    }

    /// SUM: NULL of no value, and an error where the engine's would wrap or become infinite.
    fn sum(&mut self, id: Id, call: &AggCall, arg: Expr, place: Place, aggs: &mut Vec<Expr>, after: &mut Vec<Expr>) {
        let values = if call.distinct { arg.drop_nulls().unique() } else { arg };
        let (sum, check, count) = (self.fresh(), self.fresh(), self.fresh());
        aggs.push(values.clone().count().alias(name(count)));
        aggs.push(values.clone().sum().alias(name(sum)));
        let whole_number = call.agg.ty.is_whole();
        // Beside a sum that wraps, one that does not: a float is near enough to tell. Of floats, whether one was infinite.
        aggs.push(match whole_number {
            true => values.cast(DataType::Float64).sum().alias(name(check)),
            false => abs_max(values).alias(name(check)),
        });
        let ty = call.agg.ty;
        let run = move |c: &mut [Column]| sum_checked(c, ty, place);
        let inputs = vec![column(sum), column(check), column(count)];
        after.push(kernel(run, inputs, ty.held()).alias(name(id)));
    }

    fn ours(&mut self, group: Group, call: &AggCall, args: &[Id], order: &[Id]) -> Expr {
        let mut inputs: Vec<Expr> = args.iter().map(|id| column(*id)).collect();
        inputs.extend(order.iter().map(|id| column(*id)));
        let keys: Vec<(bool, bool)> = call.order.iter().map(|key| (key.descending, key.nulls_last)).collect();
        let (dtype, distinct) = (call.agg.ty.held(), call.distinct);
        let held = dtype.clone();
        let run = move |c: &mut [Column]| {
            let whole_rows = matches!(group, Group::DistinctRows { .. });
            let rows = if distinct && !whole_rows { distinct_rows(c)? } else { c.to_vec() };
            let value = group::value(group, &group::ordered(&rows, &keys)?, &held)?;
            Ok(Column::new_scalar(PlSmallStr::EMPTY, value, 1))
        };
        whole(run, inputs, dtype, true)
    }
}

/// The columns without the rows whose first value was there before.
fn distinct_rows(columns: &[Column]) -> PolarsResult<Vec<Column>> {
    let first = columns[0].as_materialized_series().arg_unique()?;
    let mut index = first.iter().flatten().collect::<Vec<_>>();
    index.sort_unstable();
    let index = IdxCa::from_vec(PlSmallStr::EMPTY, index);
    columns.iter().map(|c| if c.len() == 1 { Ok(c.clone()) } else { c.take(&index) }).collect()
}

fn sum_checked(c: &mut [Column], ty: Ty, place: Place) -> PolarsResult<Column> {
    let counts = c[2].cast(&DataType::Int64)?;
    let some = counts.i64()?.iter().map(|n| n.is_some_and(|n| n > 0)).collect::<Vec<_>>();
    if ty.is_whole() {
        let (sums, floats) = (c[0].i64()?, c[1].f64()?);
        let apart = |s: i64, f: f64| (s as f64 - f).abs() > 4.6e18;
        if sums.iter().zip(floats.iter()).any(|(s, f)| s.zip(f).is_some_and(|(s, f)| apart(s, f))) {
            return Err(engine_error(&Fault::range(if ty == Ty::Whole { "bigint" } else { ty.name() }), place));
        }
        let out: Int64Chunked = sums.iter().zip(some).map(|(s, some)| s.filter(|_| some)).collect();
        return Ok(out.into_column());
    }
    let (sums, most) = (c[0].f64()?, c[1].f64()?);
    let infinite = |s: f64, m: Option<f64>| s.is_infinite() && m.is_some_and(f64::is_finite);
    if sums.iter().zip(most.iter()).any(|(s, m)| s.is_some_and(|s| infinite(s, m))) {
        return Err(engine_error(&Fault::new("22003", "value out of range: overflow"), place));
    }
    let decimal = |s: f64| if ty == Ty::Numeric { math::snapped_sum(s) } else { s };
    let out: Float64Chunked = sums.iter().zip(some).map(|(s, some)| s.filter(|_| some).map(decimal)).collect();
    Ok(out.into_column())
}

fn decimal_mean(c: &mut [Column]) -> PolarsResult<Column> {
    let (sums, counts) = (c[0].f64()?, c[1].f64()?);
    let each = sums.iter().zip(counts.iter());
    let out: Float64Chunked =
        each.map(|(sum, count)| Some(math::decimal_mean(sum?, count.filter(|n| *n > 0.0)?))).collect();
    Ok(out.into_column())
}

/// The largest distance from zero.
fn abs_max(values: Expr) -> Expr {
    let (high, low) = (values.clone().max(), values.min());
    let run = |c: &mut [Column]| {
        let (high, low) = (c[0].f64()?, c[1].f64()?);
        let out: Float64Chunked =
            high.iter().zip(low.iter()).map(|(h, l)| h.zip(l).map(|(h, l)| h.abs().max(l.abs()))).collect();
        Ok(out.into_column())
    };
    kernel(run, vec![high, low], DataType::Float64)
}

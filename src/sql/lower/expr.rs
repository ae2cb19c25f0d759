//! Expressions in the engine's words. What can raise is asked only of the rows that a condition around it lets through.

use polars::prelude::*;

pub use super::columns::{column, kernel, name};
use crate::sql::error::{Place, engine_error};
use crate::sql::expr::{Arith, Cmp, Ex, Func, Kind, value};
use crate::sql::kernels::arith;
use crate::sql::types::Ty;

pub fn lowered(ex: &Ex) -> Expr {
    super::eval::evaluated(ex).unwrap_or_else(|| with(ex, None))
}

/// Behind this a filter stays where it is.
pub fn fenced(predicate: Expr) -> Expr {
    let as_number = |c: &mut [Column]| c[0].cast(&DataType::Int8);
    kernel(as_number, vec![predicate], DataType::Int8).strict_cast(DataType::Boolean)
}

/// `guard` is true for the rows for which the value is wanted.
fn with(ex: &Ex, guard: Option<&Expr>) -> Expr {
    stacker::maybe_grow(256 << 10, 4 << 20, || any(ex, guard))
}

fn any(ex: &Ex, guard: Option<&Expr>) -> Expr {
    let all = |parts: &[Ex]| parts.iter().map(|part| with(part, guard)).collect::<Vec<_>>();
    match &ex.kind {
        Kind::Column(id) => column(*id),
        Kind::Literal(literal) => Expr::Literal(LiteralValue::Scalar(value(literal, ex.ty))),
        Kind::Call(func, args) => call(func, args, ex, guard),
        Kind::Chain(first, rest) => chain(first, rest, ex, guard),
        Kind::Case { branches, otherwise } => case(branches, otherwise, guard),
        Kind::Coalesce(parts) => coalesced(parts, guard),
        Kind::Extreme { greatest, of } => extreme(*greatest, all(of), ex.ty),
        Kind::And(parts) => junction(parts, true, guard),
        Kind::Or(parts) => junction(parts, false, guard),
        Kind::Not(inner) => with(inner, guard).not(),
        Kind::IsNull(inner) => with(inner, guard).is_null(),
        Kind::Same(a, b) => with(a, guard).eq_missing(with(b, guard)),
        Kind::Compare(cmp, a, b) => {
            let (a, b) = (with(a, guard), with(b, guard));
            match cmp {
                Cmp::Eq => a.eq(b),
                Cmp::Ne => a.neq(b),
                Cmp::Lt => a.lt(b),
                Cmp::Le => a.lt_eq(b),
                Cmp::Gt => a.gt(b),
                Cmp::Ge => a.gt_eq(b),
            }
        }
        // Gone since the query was bound; a NULL would be an answer, so it is none.
        Kind::Agg(_) | Kind::Win(_) | Kind::Sub(_) => col("an expression that was not resolved"),
    }
}

/// A value that is NULL for rows for which it is not wanted.
fn guarded(value: Expr, guard: Option<&Expr>, ty: Ty) -> Expr {
    match guard {
        None => value,
        Some(guard) => when(guard.clone()).then(value).otherwise(null(ty)),
    }
}

pub fn null(ty: Ty) -> Expr {
    Expr::Literal(LiteralValue::Scalar(Scalar::null(ty.held())))
}

fn call(func: &Func, args: &[Ex], ex: &Ex, guard: Option<&Expr>) -> Expr {
    let mut inputs: Vec<Expr> = args.iter().map(|arg| with(arg, guard)).collect();
    if func.fallible
        && let (Some(first), Some(arg)) = (inputs.first_mut(), args.first())
    {
        *first = guarded(first.clone(), guard, arg.ty);
    }
    let (run, place) = (func.run.clone(), ex.place);
    let whole = move |c: &mut [Column]| run(c)?.map_err(|fault| engine_error(&fault, place));
    kernel(whole, inputs, ex.ty.held())
}

fn chain(first: &Ex, rest: &[(Arith, Ex)], ex: &Ex, guard: Option<&Expr>) -> Expr {
    let mut inputs = vec![guarded(with(first, guard), guard, first.ty)];
    inputs.extend(rest.iter().map(|(_, operand)| with(operand, guard)));
    let ops: Vec<Arith> = rest.iter().map(|(op, _)| *op).collect();
    let places: Vec<Place> = rest.iter().map(|(_, operand)| operand.place).collect();
    let (ty, own) = (ex.ty, ex.place);
    let run = move |c: &mut [Column]| {
        arith::chain(c, &ops, ty)?.map_err(|(fault, step)| {
            let place = places.get(step).copied().filter(|p| *p != Place::default()).unwrap_or(own);
            engine_error(&fault, place)
        })
    };
    kernel(run, inputs, ty.held())
}

/// The guard of something that is wanted only where a condition holds, within a guard.
fn narrowed(guard: Option<&Expr>, condition: Expr) -> Expr {
    match guard {
        None => condition,
        Some(guard) => guard.clone().and(condition),
    }
}

/// Not true: false or unknown.
fn not_true(condition: Expr) -> Expr {
    condition.eq_missing(Expr::Literal(LiteralValue::Scalar(true.into()))).not()
}

fn case(branches: &[(Ex, Ex)], otherwise: &Ex, guard: Option<&Expr>) -> Expr {
    let mut guard: Option<Expr> = guard.cloned();
    let fallible =
        |from: usize| branches[from..].iter().any(|(c, v)| c.fallible() || v.fallible()) || otherwise.fallible();
    let mut lowered_branches = Vec::with_capacity(branches.len());
    for (n, (condition, result)) in branches.iter().enumerate() {
        let condition = with(condition, guard.as_ref());
        let result = match result.fallible() {
            true => with(result, Some(&narrowed(guard.as_ref(), condition.clone()))),
            false => with(result, None),
        };
        if n + 1 < branches.len() && fallible(n + 1) || n + 1 == branches.len() && otherwise.fallible() {
            guard = Some(narrowed(guard.as_ref(), not_true(condition.clone())));
        }
        lowered_branches.push((condition, result));
    }
    let last = with(otherwise, guard.as_ref());
    lowered_branches
        .into_iter()
        .rev()
        .fold(last, |rest, (condition, result)| when(condition).then(result).otherwise(rest))
}

fn coalesced(parts: &[Ex], guard: Option<&Expr>) -> Expr {
    let mut guard: Option<Expr> = guard.cloned();
    let mut values = Vec::with_capacity(parts.len());
    for (n, part) in parts.iter().enumerate() {
        let value = with(part, guard.as_ref());
        if parts[n + 1..].iter().any(Ex::fallible) {
            guard = Some(narrowed(guard.as_ref(), value.clone().is_null()));
        }
        values.push(value);
    }
    if values.len() == 1 { values.remove(0) } else { coalesce(&values) }
}

/// Pairwise, as a tree: a list of thousands is no deeper than its logarithm.
fn balanced(mut parts: Vec<Expr>, join: &dyn Fn(Expr, Expr) -> Expr) -> Expr {
    while parts.len() > 1 {
        let mut next = Vec::with_capacity(parts.len().div_ceil(2));
        let mut pairs = parts.into_iter();
        while let Some(first) = pairs.next() {
            next.push(match pairs.next() {
                Some(second) => join(first, second),
                None => first,
            });
        }
        parts = next;
    }
    parts.pop().unwrap_or_else(|| null(Ty::Bool))
}

/// AND and OR. What can raise is asked only of the rows that the parts before it have left open.
fn junction(parts: &[Ex], and: bool, guard: Option<&Expr>) -> Expr {
    let mut guard: Option<Expr> = guard.cloned();
    let mut values = Vec::with_capacity(parts.len());
    let last_fallible = parts.iter().rposition(Ex::fallible);
    let mut open: Vec<Expr> = Vec::new();
    for (n, part) in parts.iter().enumerate() {
        if part.fallible() && !open.is_empty() {
            let so_far = balanced(std::mem::take(&mut open), &|a, b| a.and(b));
            guard = Some(narrowed(guard.as_ref(), so_far));
        }
        let value = with(part, if part.fallible() { guard.as_ref() } else { None });
        if last_fallible.is_some_and(|last| n < last) {
            // Of AND, a part that is not false leaves the row open; of OR, one that is not true.
            open.push(if and { value.clone().eq_missing(truth(false)).not() } else { not_true(value.clone()) });
        }
        values.push(value);
    }
    if and { balanced(values, &|a, b| a.and(b)) } else { balanced(values, &|a, b| a.or(b)) }
}

fn truth(value: bool) -> Expr {
    Expr::Literal(LiteralValue::Scalar(value.into()))
}

/// GREATEST and LEAST: NULLs are passed by, NaN is above all numbers. Each value is looked at once.
fn extreme(greatest: bool, parts: Vec<Expr>, ty: Ty) -> Expr {
    let run = move |c: &mut [Column]| {
        let height = c.iter().map(Column::len).find(|n| *n != 1).unwrap_or(1);
        super::eval::largest(greatest, c.to_vec(), height)
    };
    kernel(run, parts, ty.held())
}

/// A function over all rows of a column at once.
pub fn whole(
    run: impl Fn(&mut [Column]) -> PolarsResult<Column> + Send + Sync + 'static,
    args: Vec<Expr>,
    dtype: DataType,
    scalar: bool,
) -> Expr {
    polars_plan::dsl::apply_multiple(
        run,
        args,
        move |_: &Schema, fields: &[Field]| Ok(Field::new(fields[0].name().clone(), dtype.clone())),
        scalar,
    )
}

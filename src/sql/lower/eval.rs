//! Expressions that are too large in the engine's words: each condition of a CASE is written into all that it guards, so
//! a hundred of them would be thousands of nodes. Such an expression is one function of its columns, which walks the tree
//! and asks each part only of the rows that are left for it.

use std::collections::{BTreeSet, HashMap};

use polars::prelude::*;

use super::columns::{column, kernel, name};
use crate::sql::error::engine_error;
use crate::sql::expr::{Cmp, Ex, Id, Kind};
use crate::sql::kernels::arith;
use crate::sql::types::Ty;
use crate::sql::value::constant;

/// Nodes in the engine's words, at most.
const LARGEST: usize = 2_000;

/// The expression as one function, if it is too large for the engine.
pub fn evaluated(ex: &Ex) -> Option<Expr> {
    if weight(ex, 0) <= LARGEST {
        return None;
    }
    let ids: Vec<Id> = ex.columns().into_iter().collect::<BTreeSet<_>>().into_iter().collect();
    if ids.is_empty() {
        return None;
    }
    let (tree, own) = (ex.clone(), ids.clone());
    let run = move |c: &mut [Column]| {
        let height = c.iter().map(Column::len).find(|n| *n != 1).unwrap_or(1);
        let columns = own.iter().copied().zip(c.iter().cloned()).collect();
        full(eval(&tree, &Rows { columns, height })?, height)
    };
    Some(kernel(run, ids.iter().map(|id| column(*id)).collect(), ex.ty.held()))
}

/// How many nodes an expression is in the engine's words, within a guard of so many.
fn weight(ex: &Ex, guard: usize) -> usize {
    let sum = |parts: &[&Ex], guard| parts.iter().fold(1usize, |sum, part| sum.saturating_add(weight(part, guard)));
    let guarded = |parts: &mut dyn Iterator<Item = (&Ex, Option<&Ex>)>| {
        let (mut total, mut guard) = (1usize, guard);
        for (condition, value) in parts {
            let own = weight(condition, guard);
            let inner =
                value.map_or(0, |v| if v.fallible() { weight(v, guard.saturating_add(own)) } else { weight(v, 0) });
            total = total.saturating_add(own).saturating_add(inner);
            guard = guard.saturating_add(own);
        }
        total
    };
    match &ex.kind {
        Kind::Column(_) | Kind::Literal(_) => 1,
        Kind::Case { branches, otherwise } if ex.fallible() => {
            let all = branches.iter().map(|(c, v)| (c, Some(v))).chain(std::iter::once((&**otherwise, None)));
            guarded(&mut { all })
        }
        Kind::Coalesce(parts) | Kind::And(parts) | Kind::Or(parts) if ex.fallible() => {
            guarded(&mut parts.iter().map(|part| (part, None)))
        }
        Kind::Call(func, _) if func.fallible => sum(&ex.children(), guard).saturating_add(guard),
        Kind::Chain(..) => sum(&ex.children()[..1], guard).saturating_add(guard),
        _ => sum(&ex.children(), guard),
    }
}

/// The rows that are asked.
struct Rows {
    columns: HashMap<Id, Column>,
    height: usize,
}

impl Rows {
    fn only(&self, rows: &[IdxSize]) -> PolarsResult<Rows> {
        let index = IdxCa::from_slice(PlSmallStr::EMPTY, rows);
        let taken = |(id, c): (&Id, &Column)| {
            Ok((*id, if c.len() == 1 && self.height != 1 { c.clone() } else { c.take(&index)? }))
        };
        Ok(Rows { columns: self.columns.iter().map(taken).collect::<PolarsResult<_>>()?, height: rows.len() })
    }
}

/// A column of one row for all of them is as many.
fn full(column: Column, height: usize) -> PolarsResult<Column> {
    Ok(if column.len() == 1 && height != 1 { column.new_from_index(0, height) } else { column })
}

fn eval(ex: &Ex, rows: &Rows) -> PolarsResult<Column> {
    stacker::maybe_grow(256 << 10, 4 << 20, || any(ex, rows))
}

fn any(ex: &Ex, rows: &Rows) -> PolarsResult<Column> {
    let all = |parts: &[&Ex]| parts.iter().map(|part| eval(part, rows)).collect::<PolarsResult<Vec<_>>>();
    Ok(match &ex.kind {
        Kind::Column(id) => match rows.columns.get(id) {
            Some(column) => column.clone(),
            None => polars_bail!(ColumnNotFound: "{}", name(*id)),
        },
        Kind::Literal(literal) => constant(literal, ex.ty),
        Kind::Call(func, _) => (func.run)(&all(&ex.children())?)?.map_err(|fault| engine_error(&fault, ex.place))?,
        Kind::Chain(_, rest) => {
            let ops: Vec<_> = rest.iter().map(|(op, _)| *op).collect();
            let made = arith::chain(&all(&ex.children())?, &ops, ex.ty)?;
            made.map_err(|(fault, step)| engine_error(&fault, rest.get(step).map_or(ex.place, |(_, e)| e.place)))?
        }
        Kind::Case { branches, otherwise } => case(branches, otherwise, ex.ty, rows)?,
        Kind::Coalesce(parts) => coalesced(parts, ex.ty, rows)?,
        Kind::And(parts) => junction(parts, false, rows)?,
        Kind::Or(parts) => junction(parts, true, rows)?,
        Kind::Not(inner) => (!eval(inner, rows)?.bool()?.clone()).into_column(),
        Kind::IsNull(inner) => eval(inner, rows)?.is_null().into_column(),
        Kind::Same(a, b) => {
            let (a, b) = (full(eval(a, rows)?, rows.height)?, full(eval(b, rows)?, rows.height)?);
            a.as_materialized_series().equal_missing(b.as_materialized_series())?.into_column()
        }
        Kind::Compare(cmp, a, b) => {
            let (a, b) = (full(eval(a, rows)?, rows.height)?, full(eval(b, rows)?, rows.height)?);
            let (a, b) = (a.as_materialized_series(), b.as_materialized_series());
            match cmp {
                Cmp::Eq => a.equal(b)?,
                Cmp::Ne => a.not_equal(b)?,
                Cmp::Lt => a.lt(b)?,
                Cmp::Le => a.lt_eq(b)?,
                Cmp::Gt => a.gt(b)?,
                Cmp::Ge => a.gt_eq(b)?,
            }
            .into_column()
        }
        Kind::Extreme { greatest, .. } => largest(*greatest, all(&ex.children())?, rows.height)?,
        Kind::Agg(_) | Kind::Win(_) | Kind::Sub(_) => {
            polars_bail!(ComputeError: "an expression of this kind cannot be evaluated by rows")
        }
    })
}

/// GREATEST and LEAST pass NULLs by.
pub fn largest(greatest: bool, columns: Vec<Column>, height: usize) -> PolarsResult<Column> {
    let mut columns = columns.into_iter();
    let Some(first) = columns.next() else { polars_bail!(ComputeError: "GREATEST of nothing") };
    let mut best = full(first, height)?;
    for other in columns {
        let other = full(other, height)?;
        let (a, b) = (best.as_materialized_series(), other.as_materialized_series());
        let better = if greatest { a.gt_eq(b)? } else { a.lt_eq(b)? };
        let keep: BooleanChunked = better
            .iter()
            .zip(b.is_null().iter())
            .map(|(better, null)| Some(better == Some(true) || null == Some(true)))
            .collect();
        best = best.zip_with(&keep, &other)?;
    }
    Ok(best)
}

/// AND and OR from left to right; what can raise is asked only of rows that are not decided.
fn junction(parts: &[Ex], decides: bool, rows: &Rows) -> PolarsResult<Column> {
    let mut state: Vec<Option<bool>> = vec![Some(!decides); rows.height];
    for part in parts {
        let open: Vec<IdxSize> =
            (0..rows.height as IdxSize).filter(|row| state[*row as usize] != Some(decides)).collect();
        if open.is_empty() {
            break;
        }
        let some = if open.len() == rows.height { None } else { Some(rows.only(&open)?) };
        let values = full(eval(part, some.as_ref().unwrap_or(rows))?, open.len())?;
        for (row, value) in open.iter().zip(values.bool()?.iter()) {
            let so_far = &mut state[*row as usize];
            *so_far = match value {
                Some(value) if value == decides => Some(decides),
                None => None,
                Some(_) => *so_far,
            };
        }
    }
    Ok(state.into_iter().collect::<BooleanChunked>().into_column())
}

fn case(branches: &[(Ex, Ex)], otherwise: &Ex, ty: Ty, rows: &Rows) -> PolarsResult<Column> {
    let mut left: Vec<IdxSize> = (0..rows.height as IdxSize).collect();
    let mut pieces: Vec<(Vec<IdxSize>, Column)> = Vec::new();
    for (condition, value) in branches {
        if left.is_empty() {
            break;
        }
        let asked = rows.only(&left)?;
        let conditions = full(eval(condition, &asked)?, left.len())?;
        let (mut taken, mut rest) = (Vec::new(), Vec::new());
        for (row, holds) in left.iter().zip(conditions.bool()?.iter()) {
            if holds == Some(true) { taken.push(*row) } else { rest.push(*row) }
        }
        if !taken.is_empty() {
            let values = full(eval(value, &rows.only(&taken)?)?, taken.len())?;
            pieces.push((taken, values));
        }
        left = rest;
    }
    if !left.is_empty() {
        let values = full(eval(otherwise, &rows.only(&left)?)?, left.len())?;
        pieces.push((left, values));
    }
    together(pieces, ty, rows.height)
}

fn coalesced(parts: &[Ex], ty: Ty, rows: &Rows) -> PolarsResult<Column> {
    let mut left: Vec<IdxSize> = (0..rows.height as IdxSize).collect();
    let mut pieces: Vec<(Vec<IdxSize>, Column)> = Vec::new();
    for (n, part) in parts.iter().enumerate() {
        if left.is_empty() {
            break;
        }
        let values = full(eval(part, &rows.only(&left)?)?, left.len())?;
        let last = n + 1 == parts.len();
        let nulls = values.is_null();
        let kept: Vec<IdxSize> =
            (0..left.len()).filter(|i| last || nulls.get(*i) != Some(true)).map(|i| i as IdxSize).collect();
        let taken = kept.iter().map(|i| left[*i as usize]).collect();
        pieces.push((taken, values.take(&IdxCa::from_slice(PlSmallStr::EMPTY, &kept))?));
        left = (0..left.len()).filter(|i| !last && nulls.get(*i) == Some(true)).map(|i| left[i]).collect();
    }
    together(pieces, ty, rows.height)
}

/// The pieces in the order of their rows.
fn together(pieces: Vec<(Vec<IdxSize>, Column)>, ty: Ty, height: usize) -> PolarsResult<Column> {
    let mut place = vec![0 as IdxSize; height];
    let mut all = Column::new_empty(PlSmallStr::EMPTY, &ty.held());
    let mut next = 0;
    for (rows, values) in pieces {
        for row in rows {
            place[row as usize] = next;
            next += 1;
        }
        all.append(&values.with_name(PlSmallStr::EMPTY))?;
    }
    all.take(&IdxCa::from_slice(PlSmallStr::EMPTY, &place))
}

//! Subqueries as values: EXISTS, IN, ANY, and one that stands for its value. Each becomes a join with the query around
//! it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use sqlparser::ast::Query;

use super::operators::compare;
use super::{Binder, Cx, Level, query_place};
use crate::sql::error::{Fault, Place, Result, SqlError};
use crate::sql::expr::{AggCall, Cmp, Ex, Func, Id, Kind, Literal};
use crate::sql::functions::aggregates::AggKind;
use crate::sql::kernels::group::Group;
use crate::sql::rel::{How, Key, Rel};
pub use crate::sql::rel::{Sub, SubKind};
use crate::sql::types::Ty;

/// The value of a subquery from its first row and its number of rows.
fn only_row(ty: Ty) -> Func {
    let run = Arc::new(move |c: &[polars::prelude::Column]| {
        let counts = c[1].i64()?;
        if counts.iter().flatten().any(|n| n > 1) {
            return Ok(Err(Fault::new("21000", "more than one row returned by a subquery used as an expression")));
        }
        Ok(Ok(c[0].clone()))
    });
    Func { name: "only_row", parameter: format!("{ty:?}"), run, fallible: true }
}

fn count_rows() -> AggCall {
    AggCall::of(AggKind::CountRows, Ty::Int8, Vec::new())
}

fn count_of(ex: Ex) -> AggCall {
    AggCall::of(AggKind::Count, Ty::Int8, vec![ex])
}

/// An aggregate of the type of its argument.
fn call_of(kind: AggKind, ex: Ex) -> AggCall {
    AggCall::of(kind, ex.ty, vec![ex])
}

fn case(branches: Vec<(Ex, Ex)>, otherwise: Ex) -> Ex {
    let (ty, place) = (otherwise.ty, otherwise.place);
    Ex::new(Kind::Case { branches, otherwise: Box::new(otherwise) }, ty, place)
}

fn coalesce(a: Ex, b: Ex) -> Ex {
    let (ty, place) = (a.ty, a.place);
    Ex::new(Kind::Coalesce(vec![a, b]), ty, place)
}

fn above_zero(ex: Ex) -> Ex {
    let place = ex.place;
    Ex::compare(Cmp::Gt, ex, Ex::int(0, place))
}

/// One key that every row has: a join with the one row of the other side.
fn constant_key() -> Vec<Key> {
    let one = || Ex::int(1, Place::default());
    vec![Key { left: one(), right: one(), null_safe: false }]
}

impl Binder<'_> {
    /// Binds a subquery; the rows around it are those of the scope.
    pub fn subquery(&mut self, query: &Query, kind: SubKind, operand: Vec<Ex>, cx: Cx<'_>) -> Result<Ex> {
        let level = Level { scope: cx.scope, outer: cx.env.outer };
        let env = super::Env { ctes: cx.env.ctes.clone(), outer: Some(&level) };
        let place = query_place(query);
        let mut sub = self.within(|this| this.bound_subquery(query, kind, &env, place))?;
        sub.operand = operand;
        let wanted = match kind {
            SubKind::Exists => sub.values.len(),
            SubKind::Scalar => 1,
            SubKind::Any(_) => sub.operand.len(),
        };
        if sub.values.len() != wanted {
            let message = format!(
                "the subquery has {} columns, and {wanted} {} needed",
                sub.values.len(),
                if wanted == 1 { "is" } else { "are" }
            );
            return Err(SqlError::new("42601", place, message));
        }
        for value in &mut sub.values {
            if value.ty == Ty::Unknown {
                *value = crate::sql::functions::cast::coerce(value.clone(), Ty::Text, self.zone)?;
            }
        }
        // Operand and value become one type before anything is joined.
        if let SubKind::Any(cmp) = kind {
            let pairs = sub.operand.iter_mut().zip(&mut sub.values);
            for (operand, value) in pairs {
                let met = super::operators::meet(
                    operand.clone(),
                    value.clone(),
                    if cmp == Cmp::Eq { "=" } else { "<" },
                    self.zone,
                )?;
                (*operand, *value) = met;
            }
        }
        let ty = if kind == SubKind::Scalar { sub.values[0].ty } else { Ty::Bool };
        Ok(Ex::new(Kind::Sub(Box::new(sub)), ty, place))
    }

    /// Joins every subquery in an expression to the plan; its value is a column from then on.
    pub fn attach(&mut self, mut rel: Rel, ex: &mut Ex) -> Result<Rel> {
        if let Kind::Sub(_) = &ex.kind {
            let place = ex.place;
            let Kind::Sub(mut sub) = std::mem::replace(&mut ex.kind, Kind::Literal(Literal::Null)) else {
                return Ok(rel);
            };
            for operand in &mut sub.operand {
                rel = self.attach(rel, operand)?;
            }
            let (joined, value) = self.joined(rel, *sub)?;
            *ex = Ex { place, ..value };
            return Ok(joined);
        }
        for child in ex.children_mut() {
            rel = self.attach(rel, child)?;
        }
        Ok(rel)
    }

    /// EXISTS and IN that decide alone whether a row stays: a semi join, or an anti join.
    pub fn decided(&mut self, rel: Rel, sub: Sub, stays: bool) -> Result<Rel> {
        let tied = Tied::new(&rel, &sub)?;
        let mut keys = tied.keys;
        if sub.kind != SubKind::Exists {
            keys.extend(sub.operand.iter().zip(&sub.values).map(|(operand, value)| Key {
                left: operand.clone(),
                right: value.clone(),
                null_safe: false,
            }));
        }
        let how = if stays { How::Semi } else { How::Anti };
        if keys.is_empty() && tied.residual.is_empty() {
            keys = constant_key();
        }
        let residual = (!tied.residual.is_empty()).then(|| Ex::and(tied.residual, sub.place));
        Ok(rel.join(sub.inner, how, keys, residual))
    }

    fn joined(&mut self, rel: Rel, sub: Sub) -> Result<(Rel, Ex)> {
        let tied = Tied::new(&rel, &sub)?;
        let foreign = |ex: &Ex| ex.columns().iter().any(|id| tied.around.contains(id));
        // A value of both sides can only be computed when the rows have met.
        let inside = match &sub.calls {
            Some(calls) => calls.iter().any(|(_, call)| call.args.iter().any(foreign)),
            None => sub.values.iter().any(foreign),
        };
        let met = !tied.residual.is_empty() || inside || (matches!(sub.kind, SubKind::Any(_)) && !tied.keys.is_empty());
        if met { self.met(rel, sub, tied) } else { self.apart(rel, sub, tied.keys) }
    }

    /// The subquery is computed by itself, once for each value of the keys, and then joined.
    fn apart(&mut self, rel: Rel, sub: Sub, keys: Vec<Key>) -> Result<(Rel, Ex)> {
        let inner: Vec<Ex> = keys.iter().map(|key| key.right.clone()).collect();
        match sub.kind {
            SubKind::Any(cmp) => self.any_apart(rel, sub, cmp),
            SubKind::Exists if inner.is_empty() => {
                let one = Rel::Limit { input: Box::new(sub.inner), offset: 0, limit: Some(1) };
                let (counted, mut columns) = self.aggregated(one, vec![], vec![count_rows()]);
                let count = columns.remove(0);
                Ok((rel.join(counted, How::Left, constant_key(), None), above_zero(count)))
            }
            SubKind::Exists => {
                let (marked, keys, marker) = self.marked(sub.inner, keys);
                Ok((rel.join(marked, How::Left, keys, None), marker.is_null().negate()))
            }
            SubKind::Scalar => {
                let (calls, value) = self.scalar_calls(&sub);
                let input = match &sub.first {
                    Some(order) => self.first_of_each(sub.inner, &inner, order),
                    None => sub.inner,
                };
                let by: Vec<(Id, Ex)> = inner.into_iter().map(|ex| (self.id(), ex)).collect();
                let keys = match by.is_empty() {
                    true => constant_key(),
                    false => keys
                        .into_iter()
                        .zip(&by)
                        .map(|(key, (id, ex))| Key { right: Ex::column(*id, ex.ty, ex.place), ..key })
                        .collect(),
                };
                let grouped = Rel::Aggregate { input: Box::new(input), keys: by, calls };
                Ok((rel.join(grouped, How::Left, keys, None), value))
            }
        }
    }

    /// Every row around is numbered and meets the rows of the subquery that are tied to it; the result comes back by
    /// the number.
    fn met(&mut self, rel: Rel, sub: Sub, tied: Tied) -> Result<(Rel, Ex)> {
        let (number, part) = (self.id(), self.part());
        let numbered = Arc::new(Rel::Number { input: Box::new(rel), id: number });
        let own = numbered.columns().into_iter().map(|(id, ty)| (id, id, ty)).collect();
        let left = Rel::Shared { part, input: numbered.clone(), columns: own };
        // The same rows again, under other numbers.
        let mut names: BTreeMap<Id, Id> = BTreeMap::new();
        let again = numbered.columns().into_iter().map(|(id, ty)| {
            let other = self.id();
            names.insert(id, other);
            (id, other, ty)
        });
        let again = Rel::Shared { part, input: numbered.clone(), columns: again.collect() };
        let renamed = |mut ex: Ex| {
            ex.rewrite(&mut |ex| {
                let id = ex.as_column().and_then(|id| names.get(&id))?;
                Some(Ex::column(*id, ex.ty, ex.place))
            });
            ex
        };
        let keys = tied.keys.into_iter().map(|key| Key { left: renamed(key.left), ..key }).collect();
        let residual: Vec<Ex> = tied.residual.into_iter().map(&renamed).collect();
        let residual = (!residual.is_empty()).then(|| Ex::and(residual, sub.place));
        let pairs = super::from::inner(again, sub.inner.clone(), keys, residual);
        let row = |id: Id| Ex::column(id, Ty::Int8, Place::default());
        let by_number = |id: Id| vec![Key { left: row(number), right: row(id), null_safe: false }];
        let again_number = names.get(&number).copied().unwrap_or(number);
        match sub.kind {
            SubKind::Exists => {
                let key = Key { left: row(number), right: row(again_number), null_safe: false };
                let (marked, keys, marker) = self.marked(pairs, vec![key]);
                Ok((left.join(marked, How::Left, keys, None), marker.is_null().negate()))
            }
            SubKind::Any(cmp) => {
                if sub.operand.len() > 1 && cmp != Cmp::Eq {
                    return Err(SqlError::unsupported(sub.place, "ANY or ALL with rows"));
                }
                let mut tests = Vec::with_capacity(sub.operand.len());
                for (operand, value) in sub.operand.iter().zip(&sub.values) {
                    tests.push(compare(renamed(operand.clone()), cmp, renamed(value.clone()), self.zone)?);
                }
                let (id, test) = (self.id(), Ex::and(tests, sub.place));
                let tested = Ex::column(id, Ty::Bool, sub.place);
                let pairs = pairs.extend(vec![(id, test)]);
                let calls =
                    vec![call_of(AggKind::Group(Group::BoolOr), tested.clone()), count_rows(), count_of(tested)];
                let (grouped, mut columns) = self.aggregated(pairs, vec![row(again_number)], calls);
                let key = columns.remove(0).as_column().unwrap_or_default();
                let joined = left.join(grouped, How::Left, by_number(key), None);
                let [any, rows, known] =
                    <[Ex; 3]>::try_from(columns).map_err(|_| SqlError::unsupported(sub.place, "this subquery"))?;
                Ok((joined, quantified(any, rows, known, sub.place)))
            }
            SubKind::Scalar => {
                let mut own = Sub { inner: Rel::Values { columns: vec![], rows: vec![] }, ..sub.clone() };
                if sub.calls.is_none() {
                    own.values = own.values.into_iter().map(&renamed).collect();
                }
                let (mut calls, value) = self.scalar_calls(&own);
                for (_, call) in &mut calls {
                    call.args = std::mem::take(&mut call.args).into_iter().map(&renamed).collect();
                }
                let pairs = match &sub.first {
                    Some(order) => self.first_of_each(pairs, &[row(again_number)], order),
                    None => pairs,
                };
                let id = self.id();
                let grouped = Rel::Aggregate { input: Box::new(pairs), keys: vec![(id, row(again_number))], calls };
                Ok((left.join(grouped, How::Left, by_number(id), None), value))
            }
        }
    }

    /// The aggregates that give a subquery's value, and the value over their results.
    fn scalar_calls(&mut self, sub: &Sub) -> (Vec<(Id, AggCall)>, Ex) {
        match &sub.calls {
            Some(calls) => {
                let mut value = sub.values[0].clone();
                // A row around that met nothing: COUNT is 0 there.
                let zero: BTreeSet<Id> =
                    calls.iter().filter(|(_, c)| c.agg.of_none_is_zero()).map(|(id, _)| *id).collect();
                value.rewrite(&mut |ex| {
                    let counted = ex.as_column().filter(|id| zero.contains(id))?;
                    let column = Ex::column(counted, ex.ty, ex.place);
                    Some(coalesce(column, Ex::literal(Literal::Int(0), ex.ty, ex.place)))
                });
                (calls.clone(), value)
            }
            None => {
                let value = sub.values[0].clone();
                let (first, count) = (self.id(), self.id());
                let ty = value.ty;
                let calls = vec![(first, call_of(AggKind::Group(Group::First), value)), (count, count_rows())];
                let args = vec![Ex::column(first, ty, sub.place), Ex::column(count, Ty::Int8, sub.place)];
                (calls, Ex::call(only_row(ty), args, ty, sub.place))
            }
        }
    }

    /// An aggregate with new numbers; its columns are those of the keys and of the calls.
    fn aggregated(&mut self, input: Rel, keys: Vec<Ex>, calls: Vec<AggCall>) -> (Rel, Vec<Ex>) {
        let keys: Vec<(Id, Ex)> = keys.into_iter().map(|ex| (self.id(), ex)).collect();
        let calls: Vec<(Id, AggCall)> = calls.into_iter().map(|call| (self.id(), call)).collect();
        let mut columns: Vec<Ex> = keys.iter().map(|(id, ex)| Ex::column(*id, ex.ty, ex.place)).collect();
        columns.extend(calls.iter().map(|(id, call)| Ex::column(*id, call.agg.ty, Place::default())));
        (Rel::Aggregate { input: Box::new(input), keys, calls }, columns)
    }

    /// The different values of the keys, with a column that is true: where a left join finds none, there is no row.
    fn marked(&mut self, input: Rel, keys: Vec<Key>) -> (Rel, Vec<Key>, Ex) {
        let columns: Vec<(Id, Ex)> = keys.iter().map(|key| (self.id(), key.right.clone())).collect();
        let keys = keys
            .into_iter()
            .zip(&columns)
            .map(|(key, (id, ex))| Key { right: Ex::column(*id, ex.ty, ex.place), ..key })
            .collect();
        let marker = self.id();
        let distinct = Rel::Distinct { input: Box::new(input.project(columns)) };
        let marked = distinct.extend(vec![(marker, Ex::bool(true, Place::default()))]);
        (marked, keys, Ex::column(marker, Ty::Bool, Place::default()))
    }

    /// x = ANY, x < ANY and so on over rows that do not depend on the row around.
    fn any_apart(&mut self, rel: Rel, sub: Sub, cmp: Cmp) -> Result<(Rel, Ex)> {
        let ([operand], [value]) = (sub.operand.as_slice(), sub.values.as_slice()) else {
            return Err(SqlError::unsupported(sub.place, "IN with rows in this place")
                .hint("alone in WHERE it can stand; elsewhere write EXISTS with the columns compared"));
        };
        let (operand, place, part) = (operand.clone(), sub.place, self.part());
        let (id, column) = self.column(value);
        let input = Arc::new(sub.inner.project(vec![(id, value.clone())]));
        let mut shared = || {
            let other = self.id();
            (
                Rel::Shared { part, input: input.clone(), columns: vec![(id, other, column.ty)] },
                Ex::column(other, column.ty, place),
            )
        };
        let (first, of_first) = shared();
        let (second, of_second) = shared();
        let mut calls = vec![count_rows(), count_of(of_second.clone())];
        if cmp != Cmp::Eq {
            calls.push(call_of(AggKind::Min, of_second.clone()));
            calls.push(call_of(AggKind::Max, of_second));
        }
        let (counted, columns) = self.aggregated(second, vec![], calls);
        let rel = rel.join(counted, How::Left, constant_key(), None);
        let test = |cmp: Cmp, n: usize| compare(operand.clone(), cmp, columns[n].clone(), self.zone);
        let (rel, any) = match cmp {
            Cmp::Eq => {
                let key = Key { left: operand.clone(), right: of_first, null_safe: false };
                let (marked, keys, marker) = self.marked(first, vec![key]);
                (rel.join(marked, How::Left, keys, None), marker.is_null().negate())
            }
            Cmp::Lt | Cmp::Le => (rel, test(cmp, 3)?),
            Cmp::Gt | Cmp::Ge => (rel, test(cmp, 2)?),
            Cmp::Ne => {
                let either = vec![test(Cmp::Ne, 2)?, test(Cmp::Ne, 3)?];
                (rel, Ex::new(Kind::Or(either), Ty::Bool, place))
            }
        };
        let (rows, known) = (columns[0].clone(), columns[1].clone());
        let empty = Ex::compare(Cmp::Eq, rows.clone(), Ex::int(0, place));
        let unknown = Ex::new(Kind::Or(vec![operand.is_null(), Ex::compare(Cmp::Lt, known, rows)]), Ty::Bool, place);
        let yes = (any, Ex::bool(true, place));
        let none = (empty, Ex::bool(false, place));
        Ok((rel, case(vec![none, yes, (unknown, Ex::null(Ty::Bool, place))], Ex::bool(false, place))))
    }
}

/// Whether any test was true; unknown when one was unknown and none true.
fn quantified(any: Ex, rows: Ex, known: Ex, place: Place) -> Ex {
    let yes = (any, Ex::bool(true, place));
    let unknown = (Ex::compare(Cmp::Lt, known, rows), Ex::null(Ty::Bool, place));
    case(vec![yes, unknown], Ex::bool(false, place))
}

/// What ties a subquery to the rows around it: equalities of both sides, and the rest.
struct Tied {
    keys: Vec<Key>,
    residual: Vec<Ex>,
    around: BTreeSet<Id>,
}

impl Tied {
    fn new(rel: &Rel, sub: &Sub) -> Result<Tied> {
        let ids = |rel: &Rel| -> BTreeSet<Id> { rel.columns().into_iter().map(|(id, _)| id).collect() };
        let (around, inside) = (ids(rel), ids(&sub.inner));
        let within = |ex: &Ex, set: &BTreeSet<Id>| ex.columns().iter().all(|id| set.contains(id));
        let (mut keys, mut residual) = (Vec::new(), Vec::new());
        for tie in &sub.ties {
            if !tie.columns().iter().all(|id| around.contains(id) || inside.contains(id)) {
                return Err(SqlError::unsupported(
                    tie.place,
                    "a subquery that depends on a query two levels around it",
                )
                .hint("join the tables in WITH parts"));
            }
            match super::from::equality(tie) {
                Some((a, b, null_safe)) if within(a, &inside) && within(b, &around) => {
                    keys.push(Key { left: b.clone(), right: a.clone(), null_safe });
                }
                Some((a, b, null_safe)) if within(b, &inside) && within(a, &around) => {
                    keys.push(Key { left: a.clone(), right: b.clone(), null_safe });
                }
                _ => residual.push(tie.clone()),
            }
        }
        Ok(Tied { keys, residual, around })
    }
}

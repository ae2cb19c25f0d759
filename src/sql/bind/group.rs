//! GROUP BY: keys and sets of keys, and every expression above them in terms of keys and aggregates.

use std::collections::BTreeSet;
use std::sync::Arc;

use sqlparser::ast::{Expr, GroupByExpr, SelectItem};

use super::exprs::unnested;
use super::literals::ordinal;
use super::{Binder, Cx, Output, intervals, place};
use crate::sql::error::{GROUPING, Place, Result, SqlError};
use crate::sql::expr::{AggCall, Ex, Func, Id, Kind, Literal};
use crate::sql::functions::cast::coerce;
use crate::sql::rel::Rel;
use crate::sql::scope::{Meaning, folded};
use crate::sql::types::Ty;

/// More sets than these would each read the input again.
const MOST_SETS: usize = 64;

/// The keys of a GROUP BY, and which of them each set has.
#[derive(Clone, Debug, Default)]
pub struct Groups {
    pub keys: Vec<Ex>,
    pub sets: Vec<Vec<usize>>,
    /// Whether there is a GROUP BY at all: GROUP BY () has no keys.
    pub written: bool,
}

/// The keys of both sets, each once.
fn joined(set: &[usize], more: &[usize]) -> Vec<usize> {
    let mut all = set.to_vec();
    all.extend(more.iter().filter(|n| !set.contains(n)));
    all
}

/// GROUPING(...), until it is known of which set it speaks.
pub fn grouping() -> Func {
    let run = Arc::new(|_: &[polars::prelude::Column]| {
        Ok(Err(crate::sql::error::Fault::new(GROUPING, "GROUPING stands outside of a grouped query")))
    });
    Func { name: "grouping", parameter: String::new(), run, fallible: true }
}

impl Binder<'_> {
    /// The keys; a number means a column of the select list, and so does a name that is no column of the input.
    pub fn groups(&mut self, by: &GroupByExpr, items: &[SelectItem], outputs: &[Output], cx: Cx<'_>) -> Result<Groups> {
        let exprs = match by {
            GroupByExpr::Expressions(exprs, modifiers) if modifiers.is_empty() => exprs,
            GroupByExpr::Expressions(..) => return Err(SqlError::unsupported(Place::default(), "GROUP BY ... WITH")),
            GroupByExpr::All(_) => {
                return Err(SqlError::unsupported(Place::default(), "GROUP BY ALL").hint("name the columns"));
            }
        };
        let mut groups = Groups { keys: Vec::new(), sets: vec![Vec::new()], written: !exprs.is_empty() };
        for expr in exprs {
            let sets: Vec<Vec<Vec<Expr>>> = match expr {
                Expr::Rollup(lists) => vec![(0..=lists.len()).rev().map(|n| lists[..n].concat()).collect()],
                Expr::Cube(lists) if lists.len() <= 6 => {
                    let of = |bits: usize| {
                        (0..lists.len()).filter(|i| bits & (1 << i) == 0).flat_map(|i| lists[i].clone()).collect()
                    };
                    vec![(0..1 << lists.len()).map(of).collect()]
                }
                Expr::Cube(_) => return Err(SqlError::unsupported(place(expr), "CUBE of more than six columns")),
                Expr::GroupingSets(sets) => vec![sets.clone()],
                Expr::Tuple(list) if list.is_empty() => vec![vec![Vec::new()]],
                Expr::Tuple(list) => vec![vec![list.clone()]],
                one => vec![vec![vec![one.clone()]]],
            };
            for sets in sets {
                let mut product = Vec::new();
                for set in &sets {
                    let mut keys = Vec::new();
                    for key in set {
                        let n = self.key(key, items, outputs, cx, &mut groups.keys)?;
                        if !keys.contains(&n) {
                            keys.push(n);
                        }
                    }
                    product.push(keys);
                }
                groups.sets =
                    groups.sets.iter().flat_map(|set| product.iter().map(move |more| joined(set, more))).collect();
                if groups.sets.len() > MOST_SETS {
                    return Err(SqlError::unsupported(place(expr), format!("more than {MOST_SETS} grouping sets")));
                }
            }
        }
        Ok(groups)
    }

    /// The number of a key among the keys.
    fn key(
        &mut self,
        expr: &Expr,
        items: &[SelectItem],
        outputs: &[Output],
        cx: Cx<'_>,
        keys: &mut Vec<Ex>,
    ) -> Result<usize> {
        let meaning = match (ordinal(expr), unnested(expr)) {
            (Some(digits), _) => {
                let n: usize = digits.parse().unwrap_or(0);
                let star =
                    items.iter().any(|i| matches!(i, SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(..)));
                match outputs.get(n.wrapping_sub(1)) {
                    Some(out) if !star => out.meaning.clone(),
                    _ => {
                        return Err(SqlError::new(
                            "42P10",
                            place(expr),
                            format!("GROUP BY position {digits} is not in the select list"),
                        ));
                    }
                }
            }
            (None, Expr::UnaryOp { op: sqlparser::ast::UnaryOperator::Minus, expr: inner })
                if ordinal(unnested(inner)).is_some() =>
            {
                return Err(SqlError::new("42P10", place(expr), "a position of the select list is not negative"));
            }
            (None, Expr::Value(value)) if !matches!(value.value, sqlparser::ast::Value::Placeholder(_)) => {
                return Err(SqlError::new("42601", place(expr), "a constant that is no position cannot be grouped by"));
            }
            (None, Expr::Identifier(ident)) if cx.scope.column(&folded(ident), ident.span.into())?.is_none() => {
                match outputs.iter().find(|out| out.name == folded(ident)) {
                    Some(out) => out.meaning.clone(),
                    None => self.expr(expr, cx)?,
                }
            }
            _ => self.expr(expr, cx)?,
        };
        let ex = match meaning {
            Meaning::Value(ex) if ex.ty == Ty::Unknown => coerce(ex, Ty::Text, self.zone)?,
            Meaning::Value(ex) => ex,
            Meaning::Interval(parts) => intervals::key(&parts),
        };
        if ex.has_aggregate() || ex.has_window() {
            return Err(SqlError::new(
                GROUPING,
                place(expr),
                "an aggregate or a window function cannot stand in GROUP BY",
            ));
        }
        Ok(keys.iter().position(|known| *known == ex).unwrap_or_else(|| {
            keys.push(ex);
            keys.len() - 1
        }))
    }

    /// Groups the plan, and puts keys and aggregates in their places in the expressions.
    pub fn group(&mut self, mut rel: Rel, mut groups: Groups, exprs: &mut [&mut Ex]) -> Result<Rel> {
        for key in &mut groups.keys {
            rel = self.attach(rel, key)?;
        }
        for ex in exprs.iter_mut() {
            rel = self.attach_in_aggregates(rel, ex)?;
        }
        let mut calls: Vec<AggCall> = Vec::new();
        let mut gauges: Vec<Vec<Ex>> = Vec::new();
        for ex in exprs.iter() {
            ex.each(&mut |ex| match &ex.kind {
                Kind::Agg(call) if !calls.contains(call) => calls.push((**call).clone()),
                Kind::Call(func, args) if func.name == "grouping" && !gauges.contains(args) => {
                    gauges.push(args.clone())
                }
                _ => {}
            });
        }
        let before: BTreeSet<Id> = rel.columns().into_iter().map(|(id, _)| id).collect();
        let keys: Vec<(Id, Ex)> = groups.keys.iter().map(|ex| (self.id(), ex.clone())).collect();
        let calls: Vec<(Id, AggCall)> = calls.into_iter().map(|call| (self.id(), call)).collect();
        let gauges: Vec<(Id, Vec<Ex>)> = gauges.into_iter().map(|args| (self.id(), args)).collect();
        for (_, args) in &gauges {
            if let Some(arg) = args.iter().find(|arg| !groups.keys.contains(arg)) {
                return Err(SqlError::new(GROUPING, arg.place, "an argument of GROUPING must be a key of GROUP BY"));
            }
        }
        let mut wrong: Option<Place> = None;
        for ex in exprs.iter_mut() {
            ex.rewrite(&mut |ex| {
                let column = |id: Id| Some(Ex::column(id, ex.ty, ex.place));
                // A quoted constant is text as a key.
                let quoted =
                    |key: &Ex| ex.ty == Ty::Unknown && ex.as_literal().is_some() && key.as_literal() == ex.as_literal();
                if let Some((id, key)) = keys.iter().find(|(_, key)| key == ex || quoted(key)) {
                    return Some(Ex::column(*id, key.ty, ex.place));
                }
                match &ex.kind {
                    Kind::Agg(call) => calls.iter().find(|(_, known)| known == &**call).and_then(|(id, _)| column(*id)),
                    Kind::Call(func, args) if func.name == "grouping" => {
                        gauges.iter().find(|(_, known)| known == args).and_then(|(id, _)| column(*id))
                    }
                    Kind::Column(id) if before.contains(id) => {
                        wrong.get_or_insert(ex.place);
                        None
                    }
                    _ => None,
                }
            });
        }
        if let Some(place) = wrong {
            return Err(SqlError::new(GROUPING, place, "this column must stand in GROUP BY or in an aggregate"));
        }
        Ok(self.grouped(rel, &groups.sets, keys, calls, &gauges))
    }

    fn grouped(
        &mut self,
        rel: Rel,
        sets: &[Vec<usize>],
        keys: Vec<(Id, Ex)>,
        calls: Vec<(Id, AggCall)>,
        gauges: &[(Id, Vec<Ex>)],
    ) -> Rel {
        let gauge = |set: &[usize], args: &[Ex]| {
            let missing = |arg: &Ex| !set.iter().any(|n| keys[*n].1 == *arg);
            let bits = args.iter().fold(0, |bits, arg| bits * 2 + i64::from(missing(arg)));
            Ex::literal(Literal::Int(bits), Ty::Int4, Place::default())
        };
        if let [set] = sets {
            let gauged = gauges.iter().map(|(id, args)| (*id, gauge(set, args))).collect();
            let used = set.iter().map(|n| keys[*n].clone()).collect();
            return Rel::Aggregate { input: Box::new(rel), keys: used, calls }.extend(gauged);
        }
        let (part, input) = (self.part(), Arc::new(rel));
        let mut columns: Vec<(Id, Ty)> = keys.iter().map(|(id, ex)| (*id, ex.ty)).collect();
        columns.extend(calls.iter().map(|(id, call)| (*id, call.agg.ty)));
        columns.extend(gauges.iter().map(|(id, _)| (*id, Ty::Int4)));
        let mut inputs = Vec::new();
        for set in sets {
            let same = input.columns().into_iter().map(|(id, ty)| (id, id, ty)).collect();
            let shared = Rel::Shared { part, input: input.clone(), columns: same };
            let of_set: Vec<(Id, Ex)> = set.iter().map(|n| (self.id(), keys[*n].1.clone())).collect();
            let of_calls: Vec<(Id, AggCall)> = calls.iter().map(|(_, call)| (self.id(), call.clone())).collect();
            let mut exprs = Vec::new();
            for (n, (_, key)) in keys.iter().enumerate() {
                let place = set.iter().position(|own| *own == n);
                let ex =
                    place.map_or_else(|| Ex::null(key.ty, key.place), |p| Ex::column(of_set[p].0, key.ty, key.place));
                exprs.push((self.id(), ex));
            }
            for (id, call) in &of_calls {
                exprs.push((self.id(), Ex::column(*id, call.agg.ty, Place::default())));
            }
            for (_, args) in gauges {
                exprs.push((self.id(), gauge(set, args)));
            }
            let grouped = Rel::Aggregate { input: Box::new(shared), keys: of_set, calls: of_calls };
            inputs.push(grouped.project(exprs));
        }
        Rel::Concat { inputs, columns }
    }

    /// Subqueries within aggregates are joined below the grouping.
    fn attach_in_aggregates(&mut self, mut rel: Rel, ex: &mut Ex) -> Result<Rel> {
        if let Kind::Agg(call) = &mut ex.kind {
            for arg in call.args.iter_mut().chain(call.order.iter_mut().map(|k| &mut k.ex)) {
                rel = self.attach(rel, arg)?;
            }
            return Ok(rel);
        }
        for child in ex.children_mut() {
            rel = self.attach_in_aggregates(rel, child)?;
        }
        Ok(rel)
    }
}

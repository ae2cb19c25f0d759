//! A whole query: WITH, what it selects, ORDER BY and LIMIT; and a query that stands within another.

use std::collections::BTreeSet;
use std::sync::Arc;

use sqlparser::ast::{Expr, LimitClause, OrderByExpr, OrderByKind, Query, SetExpr, Spanned};

use super::select::{Limits, Parts};
use super::subquery::{Sub, SubKind};
use super::{Binder, Cte, Cx, Env, Output, literals};
use crate::sql::error::{Place, Result, SqlError};
use crate::sql::expr::{AggCall, Ex, Id, Kind};
use crate::sql::rel::Rel;
use crate::sql::scope::{Meaning, Scope, folded};
use crate::sql::types::Ty;

/// A query as a plan, and the columns of its result.
pub struct Bound {
    pub rel: Rel,
    pub out: Vec<Output>,
}

impl Binder<'_> {
    /// The query of the file: its order is kept.
    pub fn top(&mut self, query: &Query) -> Result<Bound> {
        let bound = self.any(query, &Env::default(), true)?;
        Ok(settled(bound))
    }

    pub fn query(&mut self, query: &Query, env: &Env<'_>) -> Result<Bound> {
        self.within(|this| this.any(query, env, false)).map(settled)
    }

    fn any(&mut self, query: &Query, env: &Env<'_>, keep_order: bool) -> Result<Bound> {
        refuse_clauses(query)?;
        let env = self.with(query, env)?;
        let order = order_of(query)?;
        let limits = self.limits(query, &env)?;
        if let SetExpr::Select(select) = &*query.body {
            let parts = self.parts(select, order, limits, &env)?;
            self.closed(&parts)?;
            let (rel, out) = self.assembled(parts, keep_order)?;
            return Ok(Bound { rel, out });
        }
        let Bound { rel, out } = self.body(&query.body, &env, keep_order && order.is_empty())?;
        let scope = Scope::of_table("", super::from::columns_of(out.clone()));
        let cx = Cx::of_clause(&scope, &env, "ORDER BY");
        let mut keys = Vec::with_capacity(order.len());
        for key in order {
            let ex = self.output_or_column(&key.expr, &out, cx)?;
            keys.push(super::calls::sort_key(ex, key));
        }
        let sorted = !keys.is_empty() && (keep_order || !limits.none());
        let rel = if sorted { Rel::Sort { input: Box::new(rel), keys } } else { rel };
        Ok(Bound { rel: limits.of(rel), out })
    }

    fn body(&mut self, body: &SetExpr, env: &Env<'_>, keep_order: bool) -> Result<Bound> {
        match body {
            SetExpr::Query(inner) => self.any(inner, env, keep_order),
            SetExpr::SetOperation { .. } => self.set_operation(body, env),
            SetExpr::Values(values) => self.values(values, env),
            SetExpr::Select(select) => {
                let parts = self.parts(select, &[], Limits::default(), env)?;
                self.closed(&parts)?;
                let (rel, out) = self.assembled(parts, keep_order)?;
                Ok(Bound { rel, out })
            }
            other => Err(SqlError::unsupported(other.span(), "this form of a query").hint("write SELECT * FROM t")),
        }
    }

    /// One arm of a set operation.
    pub fn arm(&mut self, body: &SetExpr, env: &Env<'_>) -> Result<Bound> {
        self.within(|this| this.body(body, env, false))
    }

    /// A query that is not tied to one around it.
    fn closed(&self, parts: &Parts) -> Result<()> {
        match parts.ties.first() {
            None => Ok(()),
            Some(tie) => Err(SqlError::unsupported(tie.place, "a condition on the query around in this place")
                .hint("a subquery can depend on the query around it in its own WHERE, joined with AND")),
        }
    }

    /// What WITH names, and what was named around. The parts see no query around them.
    fn with<'e>(&mut self, query: &Query, env: &Env<'_>) -> Result<Env<'e>> {
        let mut inner: Env<'e> = Env { ctes: env.ctes.clone(), outer: None };
        let Some(with) = &query.with else { return Ok(inner) };
        if with.recursive {
            return Err(SqlError::unsupported(with.with_token.0.span, "WITH RECURSIVE")
                .hint("without RECURSIVE, WITH names parts of the query"));
        }
        let mut own: Vec<String> = Vec::new();
        for cte in &with.cte_tables {
            let name = folded(&cte.alias.name);
            if own.contains(&name) {
                return Err(SqlError::new("42712", cte.alias.name.span, format!("WITH names {name} twice")));
            }
            let bound = self.query(&cte.query, &inner)?;
            let out = self.renamed(bound.out, Some(&cte.alias))?;
            inner.ctes.push(Cte { name: name.clone(), part: self.part(), rel: Arc::new(bound.rel), out });
            own.push(name);
        }
        Ok(inner)
    }

    fn limits(&mut self, query: &Query, env: &Env<'_>) -> Result<Limits> {
        let scope = Scope::default();
        let cx = Cx::of_clause(&scope, env, "LIMIT");
        let mut number = |expr: &Expr, what: &str| -> Result<Option<u64>> {
            let ex = self.value(expr, cx)?;
            literals::count(&ex, what)
        };
        let mut limits = Limits::default();
        match &query.limit_clause {
            None => {}
            Some(LimitClause::LimitOffset { limit, offset, limit_by }) if limit_by.is_empty() => {
                if let Some(expr) = limit {
                    limits.limit = number(expr, "LIMIT")?;
                }
                if let Some(offset) = offset {
                    limits.offset = number(&offset.value, "OFFSET")?.unwrap_or(0);
                }
            }
            Some(_) => {
                return Err(SqlError::unsupported(query.span(), "this form of LIMIT").hint("write LIMIT n OFFSET m"));
            }
        }
        if let Some(fetch) = &query.fetch {
            if fetch.with_ties || fetch.percent {
                return Err(SqlError::unsupported(query.span(), "FETCH WITH TIES or PERCENT")
                    .hint("RANK() OVER (...) <= n keeps ties"));
            }
            limits.limit = match &fetch.quantity {
                Some(expr) => number(expr, "FETCH")?,
                None => Some(1),
            };
        }
        Ok(limits)
    }

    /// A query that stands within an expression; it may depend on the rows around it.
    pub fn bound_subquery(&mut self, query: &Query, kind: SubKind, env: &Env<'_>, at: Place) -> Result<Sub> {
        let whole = |rel: Rel, out: Vec<Output>| -> Result<Sub> {
            let values = out.into_iter().map(scalar_output).collect::<Result<Vec<_>>>()?;
            let none = Vec::new();
            Ok(Sub { kind, inner: rel, values, calls: None, first: None, ties: none, operand: Vec::new(), place: at })
        };
        let select = match &*query.body {
            SetExpr::Select(select) => select,
            _ => {
                let bound = self.query(query, &Env { ctes: env.ctes.clone(), outer: None })?;
                return whole(bound.rel, bound.out);
            }
        };
        refuse_clauses(query)?;
        let mut own = self.with(query, env)?;
        own.outer = env.outer;
        let limits = self.limits(query, &own)?;
        let mut parts = self.parts(select, order_of(query)?, limits, &own)?;
        let here: BTreeSet<Id> = parts.rel.columns().into_iter().map(|(id, _)| id).collect();
        let foreign = |ex: &Ex| ex.columns().iter().any(|id| !here.contains(id));
        let group_keys = parts.groups.keys.iter().any(foreign);
        let tied = !parts.ties.is_empty() || group_keys || parts.above().iter().any(|ex| foreign(ex));
        if !tied {
            if kind == SubKind::Exists && parts.limits.none() {
                parts.order.clear();
            }
            let (rel, out) = self.assembled(parts, false)?;
            return whole(rel, out);
        }
        self.tied_subquery(parts, kind, at)
    }

    /// A subquery that depends on the row around: its WHERE holds the ties, and it selects values or aggregates.
    fn tied_subquery(&mut self, mut parts: Parts, kind: SubKind, at: Place) -> Result<Sub> {
        let refuse = |what: &str| {
            Err(SqlError::unsupported(at, format!("{what} in a subquery that depends on the query around it"))
                .hint("compute it for all keys in a WITH part, and join that"))
        };
        if parts.above().iter().any(|ex| ex.has_window()) || parts.qualify.is_some() {
            return refuse("a window function");
        }
        if parts.above().iter().any(|ex| ex.any(&|ex| matches!(ex.kind, Kind::Sub(_)))) {
            return refuse("another subquery");
        }
        let grouped = parts.grouped();
        if parts.having.is_some() || !parts.groups.keys.is_empty() || parts.groups.sets.len() > 1 {
            return refuse("GROUP BY or HAVING");
        }
        let limited = parts.limits != Limits::default();
        let first_row = kind == SubKind::Scalar && !grouped && parts.limits == (Limits { offset: 0, limit: Some(1) });
        let harmless = kind == SubKind::Exists && parts.limits.offset == 0 && parts.limits.limit.is_none_or(|n| n > 0);
        if (limited && !first_row && !harmless)
            || !parts.distinct_on.is_empty()
            || (parts.distinct && kind == SubKind::Scalar)
        {
            return refuse("LIMIT, OFFSET or DISTINCT");
        }
        if grouped && kind != SubKind::Scalar {
            return refuse("an aggregate");
        }
        let own: BTreeSet<Id> = parts.rel.columns().into_iter().map(|(id, _)| id).collect();
        let of_outer = |ex: &Ex| {
            let columns = ex.columns();
            matches!(ex.kind, Kind::Agg(_)) && !columns.is_empty() && columns.iter().all(|id| !own.contains(id))
        };
        if parts.above().iter().any(|ex| ex.any(&of_outer)) {
            return refuse("an aggregate over columns of the query around");
        }
        let mut values = parts.outputs.into_iter().map(scalar_output).collect::<Result<Vec<_>>>()?;
        let mut calls = None;
        if grouped {
            let mut found: Vec<(Id, AggCall)> = Vec::new();
            for value in &mut values {
                value.rewrite(&mut |ex| {
                    let Kind::Agg(call) = &ex.kind else { return None };
                    let known = found.iter().find(|(_, c)| *c == **call).map(|(id, _)| *id);
                    let id = known.unwrap_or_else(|| {
                        let id = self.id();
                        found.push((id, (**call).clone()));
                        id
                    });
                    Some(Ex::column(id, ex.ty, ex.place))
                });
            }
            calls = Some(found);
        }
        let first = first_row.then_some(parts.order);
        Ok(Sub { kind, inner: parts.rel, values, calls, first, ties: parts.ties, operand: Vec::new(), place: at })
    }
}

/// Quoted constants and NULLs that met no type are text from here on.
fn settled(mut bound: Bound) -> Bound {
    for out in &mut bound.out {
        if let Meaning::Value(ex) = &mut out.meaning
            && ex.ty == Ty::Unknown
        {
            ex.ty = Ty::Text;
        }
    }
    bound
}

fn scalar_output(out: Output) -> Result<Ex> {
    match out.meaning {
        Meaning::Value(ex) => Ok(ex),
        Meaning::Interval(_) => Err(SqlError::unsupported(out.place, "an interval as the value of a subquery")),
    }
}

fn order_of(query: &Query) -> Result<&[OrderByExpr]> {
    match &query.order_by {
        None => Ok(&[]),
        Some(order) => match &order.kind {
            OrderByKind::Expressions(exprs) if order.interpolate.is_none() => Ok(exprs),
            _ => Err(SqlError::unsupported(query.span(), "ORDER BY ALL").hint("name the columns")),
        },
    }
}

fn refuse_clauses(query: &Query) -> Result<()> {
    let clause = match query {
        Query { for_clause: Some(_), .. } => "FOR XML or JSON",
        Query { settings: Some(_), .. } => "SETTINGS",
        Query { format_clause: Some(_), .. } => "FORMAT",
        _ if !query.locks.is_empty() => "FOR UPDATE",
        _ if !query.pipe_operators.is_empty() => "a pipe",
        _ => return Ok(()),
    };
    Err(SqlError::unsupported(query.span(), clause))
}

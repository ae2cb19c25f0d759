//! One SELECT: its parts bound, then put together in the order in which SQL means them.

use std::collections::BTreeSet;

use sqlparser::ast::{Distinct, Expr, OrderByExpr, Select, SelectItem, SelectItemQualifiedWildcardKind};

use super::calls::sort_key;
use super::exprs::unnested;
use super::from::{equality, ids, inner};
use super::group::Groups;
use super::literals::{Target, ordinal, target};
use super::subquery::{Sub, SubKind};
use super::{Binder, Cx, Env, Output, intervals, place};
use crate::sql::error::{NO_TABLE, Place, Result, SqlError};
use crate::sql::expr::{Cmp, Ex, Id, Kind, SortKey};
use crate::sql::functions::cast::coerce;
use crate::sql::kernels::text;
use crate::sql::rel::{Key, Rel};
use crate::sql::scope::{Meaning, Scope, folded};
use crate::sql::types::Ty;

/// LIMIT and OFFSET.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Limits {
    pub offset: u64,
    pub limit: Option<u64>,
}

impl Limits {
    pub fn none(self) -> bool {
        self == Limits::default()
    }

    pub fn of(self, rel: Rel) -> Rel {
        if self.none() { rel } else { Rel::Limit { input: Box::new(rel), offset: self.offset, limit: self.limit } }
    }
}

/// A SELECT whose names are known, before it is a plan.
pub struct Parts {
    /// FROM, and of WHERE what speaks of it alone.
    pub rel: Rel,
    /// Of WHERE what speaks of the query around too.
    pub ties: Vec<Ex>,
    pub groups: Groups,
    pub having: Option<Ex>,
    pub qualify: Option<Ex>,
    pub outputs: Vec<Output>,
    pub order: Vec<SortKey>,
    pub distinct: bool,
    pub distinct_on: Vec<Ex>,
    pub limits: Limits,
}

impl Parts {
    /// Every expression above the grouping.
    pub fn above(&mut self) -> Vec<&mut Ex> {
        let mut all: Vec<&mut Ex> = Vec::new();
        for out in &mut self.outputs {
            match &mut out.meaning {
                Meaning::Value(ex) => all.push(ex),
                Meaning::Interval(parts) => all.extend(parts.iter_mut()),
            }
        }
        all.extend(self.having.as_mut());
        all.extend(self.qualify.as_mut());
        all.extend(self.order.iter_mut().map(|key| &mut key.ex));
        all.extend(self.distinct_on.iter_mut());
        all
    }

    pub fn grouped(&mut self) -> bool {
        self.groups.written
            || self.groups.sets.len() > 1
            || self.having.is_some()
            || self.above().iter().any(|ex| ex.has_aggregate())
    }
}

impl Binder<'_> {
    pub fn parts(&mut self, select: &Select, order: &[OrderByExpr], limits: Limits, env: &Env<'_>) -> Result<Parts> {
        refuse_clauses(select)?;
        let (items, scope) = self.from(&select.from, env)?;
        let cx = Cx { windows: &select.named_window, ..Cx::of_clause(&scope, env, "WHERE") };
        let conditions = match &select.selection {
            Some(expr) => self.condition(expr, cx, "WHERE")?.conjuncts(),
            None => Vec::new(),
        };
        let (rel, ties) = self.filtered(items, conditions)?;
        let free = Cx { no_aggregates: None, no_windows: None, ..cx };
        let outputs = self.outputs(&select.projection, free)?;
        let grouping = Cx { no_aggregates: Some("GROUP BY"), no_windows: Some("GROUP BY"), ..cx };
        let groups = self.groups(&select.group_by, &select.projection, &outputs, grouping)?;
        let having = Cx { no_windows: Some("HAVING"), ..free };
        let having = select.having.as_ref().map(|h| self.condition(h, having, "HAVING")).transpose()?;
        let qualify = Cx { aliases: &outputs, ..free };
        let qualify = select.qualify.as_ref().map(|q| self.condition(q, qualify, "QUALIFY")).transpose()?;
        let order = self.order(order, &outputs, free)?;
        let (distinct, distinct_on) = match &select.distinct {
            None | Some(Distinct::All) => (false, Vec::new()),
            Some(Distinct::Distinct) => (true, Vec::new()),
            Some(Distinct::On(exprs)) => {
                let keys =
                    exprs.iter().map(|e| self.output_or_column(e, &outputs, free)).collect::<Result<Vec<_>>>()?;
                (false, keys)
            }
        };
        if let Some(n) = (0..distinct_on.len().min(order.len())).find(|n| !distinct_on.contains(&order[*n].ex)) {
            return Err(SqlError::new("42P10", order[n].ex.place, "ORDER BY must begin with the keys of DISTINCT ON"));
        }
        Ok(Parts { rel, ties, groups, having, qualify, outputs, order, distinct, distinct_on, limits })
    }

    /// FROM with WHERE: the items are joined by the equalities between them; what speaks of a query around is given back.
    fn filtered(&mut self, items: Vec<Rel>, conditions: Vec<Ex>) -> Result<(Rel, Vec<Ex>)> {
        let here: BTreeSet<Id> = items.iter().flat_map(ids).collect();
        let (mut plain, mut subs, mut ties) = (Vec::new(), Vec::new(), Vec::new());
        for condition in conditions {
            let has_sub = condition.any(&|ex| matches!(ex.kind, Kind::Sub(_)));
            if !condition.columns().iter().all(|id| here.contains(id)) {
                if has_sub {
                    return Err(SqlError::unsupported(
                        condition.place,
                        "a subquery within a condition on the query around",
                    ));
                }
                ties.push(condition);
            } else if has_sub {
                subs.push(condition);
            } else {
                plain.push(condition);
            }
        }
        let mut rel = combined(items, plain);
        for mut condition in subs {
            match decisive(condition) {
                Ok((sub, stays)) => rel = self.decided(rel, sub, stays)?,
                Err(other) => {
                    condition = other;
                    rel = self.attach(rel, &mut condition)?;
                    rel = rel.filter(condition);
                }
            }
        }
        Ok((rel, ties))
    }

    fn outputs(&mut self, items: &[SelectItem], cx: Cx<'_>) -> Result<Vec<Output>> {
        let mut outputs = Vec::new();
        for item in items {
            match item {
                SelectItem::UnnamedExpr(expr) => {
                    let meaning = self.shown(expr, cx)?;
                    outputs.push(Output { name: super::output_names::output_name(expr), meaning, place: place(expr) });
                }
                SelectItem::ExprWithAlias { alias, .. } if alias.quote_style == Some('\'') => {
                    return Err(SqlError::new("42601", alias.span, "a name is not written in single quotes")
                        .hint(format!("write AS \"{}\"", alias.value)));
                }
                SelectItem::ExprWithAlias { expr, alias } => {
                    let meaning = self.shown(expr, cx)?;
                    outputs.push(Output { name: folded(alias), meaning, place: alias.span.into() });
                }
                SelectItem::Wildcard(options) => {
                    let at: Place = options.wildcard_token.0.span.into();
                    plain_star(options, at)?;
                    if cx.scope.tables.is_empty() && cx.scope.names.is_empty() {
                        return Err(SqlError::new("42601", at, "* without FROM has no columns"));
                    }
                    outputs.extend(starred(cx.scope, None, at));
                }
                SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(name), options) => {
                    let ident = name.0.last().and_then(|part| part.as_ident());
                    let at = ident.map(|i| i.span.into()).unwrap_or_default();
                    plain_star(options, at)?;
                    let table = ident.map(folded).unwrap_or_default();
                    if !cx.scope.tables.contains(&table) {
                        return Err(SqlError::new(NO_TABLE, at, format!("there is no table {table} in FROM")));
                    }
                    outputs.extend(starred(cx.scope, Some(&table), at));
                }
                other => return Err(SqlError::unsupported(Place::default(), format!("{other} in the select list"))),
            }
        }
        if outputs.is_empty() {
            return Err(SqlError::new("42601", Place::default(), "the select list is empty"));
        }
        Ok(outputs)
    }

    /// An expression of the select list: a CHAR(n) is filled with blanks when it is a column of the result.
    fn shown(&mut self, expr: &Expr, cx: Cx<'_>) -> Result<Meaning> {
        let meaning = self.expr(expr, cx)?;
        let Expr::Cast { data_type, .. } = unnested(expr) else { return Ok(meaning) };
        match (target(data_type, place(expr)), meaning) {
            (Ok(Target::Cut { padded: true, .. }), _) if self.depth > 0 => {
                Err(SqlError::unsupported(place(expr), "CHAR(n) in a part of a query")
                    .hint("VARCHAR(n) is not filled with blanks"))
            }
            (Ok(Target::Cut { length, padded: true }), Meaning::Value(ex)) => {
                let at = ex.place;
                Ok(Meaning::Value(Ex::call(text::cut(length, true), vec![ex], Ty::Text, at)))
            }
            (_, meaning) => Ok(meaning),
        }
    }

    /// ORDER BY: a number or a name of the select list, or an expression over the input.
    fn order(&mut self, by: &[OrderByExpr], outputs: &[Output], cx: Cx<'_>) -> Result<Vec<SortKey>> {
        by.iter()
            .map(|key| {
                if key.with_fill.is_some() {
                    return Err(SqlError::unsupported(place(&key.expr), "WITH FILL"));
                }
                Ok(sort_key(self.output_or_column(&key.expr, outputs, cx)?, key))
            })
            .collect()
    }

    pub fn output_or_column(&mut self, expr: &Expr, outputs: &[Output], cx: Cx<'_>) -> Result<Ex> {
        let meaning = match (ordinal(expr), unnested(expr)) {
            (Some(digits), _) => {
                let n: usize = digits.parse().unwrap_or(0);
                let wrong =
                    || SqlError::new("42P10", place(expr), format!("position {digits} is not in the select list"));
                outputs.get(n.wrapping_sub(1)).ok_or_else(wrong)?.meaning.clone()
            }
            (None, Expr::UnaryOp { op: sqlparser::ast::UnaryOperator::Minus, expr: inner })
                if ordinal(unnested(inner)).is_some() =>
            {
                return Err(SqlError::new("42P10", place(expr), "a position of the select list is not negative"));
            }
            (None, Expr::Value(value)) if !matches!(value.value, sqlparser::ast::Value::Placeholder(_)) => {
                return Err(SqlError::new("42601", place(expr), "a constant that is no position cannot be sorted by"));
            }
            (None, Expr::Identifier(ident)) => {
                let name = folded(ident);
                let mut named = outputs.iter().filter(|out| out.name == name);
                match (named.next(), named.next()) {
                    (Some(out), None) => out.meaning.clone(),
                    (Some(_), Some(_)) => {
                        return Err(SqlError::new(
                            "42702",
                            place(expr),
                            format!("the name {name} stands in the select list twice"),
                        ));
                    }
                    (None, _) => self.expr(expr, cx)?,
                }
            }
            _ => self.expr(expr, cx)?,
        };
        match meaning {
            Meaning::Value(ex) if ex.ty == Ty::Unknown => coerce(ex, Ty::Text, self.zone),
            Meaning::Value(ex) => Ok(ex),
            Meaning::Interval(parts) => Ok(intervals::key(&parts)),
        }
    }

    /// The plan of a SELECT. An order that nothing reads is dropped unless it is to be kept.
    pub fn assembled(&mut self, mut parts: Parts, keep_order: bool) -> Result<(Rel, Vec<Output>)> {
        let mut rel = std::mem::replace(&mut parts.rel, Rel::Values { columns: Vec::new(), rows: Vec::new() });
        if parts.grouped() {
            let groups = std::mem::take(&mut parts.groups);
            let groups = if groups.sets.is_empty() { Groups { sets: vec![Vec::new()], ..groups } } else { groups };
            rel = self.group(rel, groups, &mut parts.above())?;
        }
        if let Some(mut having) = parts.having.take() {
            rel = self.attach(rel, &mut having)?;
            rel = rel.filter(having);
        }
        for ex in parts.above() {
            rel = self.attach(rel, ex)?;
        }
        rel = self.with_windows(rel, &mut parts.above());
        if let Some(qualify) = parts.qualify.take() {
            rel = rel.filter(qualify);
        }
        if !parts.distinct_on.is_empty() {
            rel = self.first_of_each(rel, &parts.distinct_on, &parts.order);
        }
        let sorted = !parts.order.is_empty() && (keep_order || !parts.limits.none());
        if !parts.distinct {
            if sorted {
                rel = Rel::Sort { input: Box::new(rel), keys: parts.order };
            }
            return self.projected(parts.limits.of(rel), parts.outputs);
        }
        let shown = parts.outputs.clone();
        let (projected, outputs) = self.projected(rel, parts.outputs)?;
        let mut rel = Rel::Distinct { input: Box::new(projected) };
        if sorted {
            let mut keys = Vec::new();
            for key in parts.order {
                let of = |out: &Output| matches!(&out.meaning, Meaning::Value(ex) if *ex == key.ex);
                match shown.iter().position(of).map(|n| &outputs[n].meaning) {
                    Some(Meaning::Value(ex)) => keys.push(SortKey { ex: ex.clone(), ..key }),
                    _ => {
                        return Err(SqlError::new(
                            "42P10",
                            key.ex.place,
                            "with DISTINCT, what ORDER BY sorts by must be in the select list",
                        ));
                    }
                }
            }
            rel = Rel::Sort { input: Box::new(rel), keys };
        }
        Ok((parts.limits.of(rel), outputs))
    }

    /// The outputs as columns of the plan, each with a number of its own.
    pub fn projected(&mut self, rel: Rel, outputs: Vec<Output>) -> Result<(Rel, Vec<Output>)> {
        let (mut exprs, mut named) = (Vec::new(), Vec::with_capacity(outputs.len()));
        for out in outputs {
            let mut one = |ex: Ex| {
                let (id, column) = self.column(&ex);
                exprs.push((id, ex));
                column
            };
            let meaning = match out.meaning {
                Meaning::Value(ex) => Meaning::Value(one(ex)),
                Meaning::Interval(parts) => Meaning::Interval(parts.map(&mut one)),
            };
            named.push(Output { meaning, ..out });
        }
        Ok((rel.project(exprs), named))
    }
}

/// EXISTS or IN as a whole condition, and whether its rows stay; else the condition back.
fn decisive(condition: Ex) -> std::result::Result<(Sub, bool), Ex> {
    match condition.kind {
        Kind::Sub(sub) if matches!(sub.kind, SubKind::Exists | SubKind::Any(Cmp::Eq)) && plain(&sub) => {
            Ok((*sub, true))
        }
        Kind::Not(inner) => match inner.kind {
            Kind::Sub(sub) if sub.kind == SubKind::Exists && plain(&sub) => Ok((*sub, false)),
            kind => {
                let inner = Box::new(Ex { kind, ..*inner });
                Err(Ex { kind: Kind::Not(inner), ..condition })
            }
        },
        kind => Err(Ex { kind, ..condition }),
    }
}

/// Nothing within it is a subquery again.
fn plain(sub: &Sub) -> bool {
    !sub.outer().any(|ex| ex.any(&|ex| matches!(ex.kind, Kind::Sub(_))))
}

/// The items of FROM as one plan. Equalities of WHERE between two of them join them; the rest is a filter on top.
fn combined(items: Vec<Rel>, conditions: Vec<Ex>) -> Rel {
    let mut waiting: Vec<Rel> = items;
    let mut rel = waiting.remove(0);
    let mut conditions: Vec<Option<Ex>> = conditions.into_iter().map(Some).collect();
    while !waiting.is_empty() {
        let have = ids(&rel);
        let mut best: Option<(usize, Vec<usize>)> = None;
        for (n, item) in waiting.iter().enumerate() {
            let other = ids(item);
            let links: Vec<usize> = conditions
                .iter()
                .enumerate()
                .filter(|(_, c)| c.as_ref().is_some_and(|c| link(c, &have, &other).is_some()))
                .map(|(i, _)| i)
                .collect();
            if !links.is_empty() {
                best = Some((n, links));
                break;
            }
        }
        let (n, links) = best.unwrap_or((0, Vec::new()));
        let item = waiting.remove(n);
        let other = ids(&item);
        let keys: Vec<Key> =
            links.into_iter().filter_map(|i| conditions[i].take().and_then(|c| link(&c, &have, &other))).collect();
        let mut residual = None;
        if keys.is_empty() {
            // Without an equality, what both sides speak of decides which rows meet.
            let both: BTreeSet<Id> = have.union(&other).copied().collect();
            let of_both = |c: &Ex| {
                let columns = c.columns();
                columns.iter().all(|id| both.contains(id))
                    && columns.iter().any(|id| have.contains(id))
                    && columns.iter().any(|id| other.contains(id))
            };
            let found: Vec<Ex> =
                conditions.iter_mut().filter(|c| c.as_ref().is_some_and(of_both)).filter_map(Option::take).collect();
            residual = (!found.is_empty()).then(|| Ex::and(found, Place::default()));
        }
        rel = inner(rel, item, keys, residual);
    }
    let rest: Vec<Ex> = conditions.into_iter().flatten().collect();
    if rest.is_empty() { rel } else { rel.filter(Ex::and(rest, Place::default())) }
}

fn link(condition: &Ex, left: &BTreeSet<Id>, right: &BTreeSet<Id>) -> Option<Key> {
    let (a, b, null_safe) = equality(condition)?;
    let within = |ex: &Ex, set: &BTreeSet<Id>| {
        let columns = ex.columns();
        !columns.is_empty() && columns.iter().all(|id| set.contains(id))
    };
    if within(a, left) && within(b, right) {
        return Some(Key { left: a.clone(), right: b.clone(), null_safe });
    }
    (within(b, left) && within(a, right)).then(|| Key { left: b.clone(), right: a.clone(), null_safe })
}

fn starred(scope: &Scope, table: Option<&str>, at: Place) -> Vec<Output> {
    let output = |n: &crate::sql::scope::Named| Output { name: n.name.clone(), meaning: n.meaning.clone(), place: at };
    scope.star(table).into_iter().map(output).collect()
}

fn plain_star(options: &sqlparser::ast::WildcardAdditionalOptions, at: Place) -> Result<()> {
    let more = options.opt_ilike.is_some()
        || options.opt_exclude.is_some()
        || options.opt_except.is_some()
        || options.opt_replace.is_some()
        || options.opt_rename.is_some()
        || options.opt_alias.is_some();
    if more {
        Err(SqlError::unsupported(at, "* with EXCEPT, EXCLUDE, REPLACE or RENAME").hint("name the columns"))
    } else {
        Ok(())
    }
}

fn refuse_clauses(select: &Select) -> Result<()> {
    let at = select.select_token.0.span;
    let clause = match select {
        Select { top: Some(_), .. } => "TOP",
        Select { into: Some(_), .. } => "SELECT INTO",
        Select { prewhere: Some(_), .. } => "PREWHERE",
        Select { exclude: Some(_), .. } => "EXCLUDE",
        Select { value_table_mode: Some(_), .. } => "SELECT AS",
        _ if !select.lateral_views.is_empty() => "LATERAL VIEW",
        _ if !select.connect_by.is_empty() => "CONNECT BY",
        _ if !select.cluster_by.is_empty() || !select.distribute_by.is_empty() || !select.sort_by.is_empty() => {
            "CLUSTER, DISTRIBUTE or SORT BY"
        }
        _ => return Ok(()),
    };
    Err(SqlError::unsupported(at, clause))
}

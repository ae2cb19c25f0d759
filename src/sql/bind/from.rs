//! FROM: tables, subqueries and VALUES, and how they are joined.

use std::collections::BTreeSet;

use sqlparser::ast::{Join, JoinConstraint, JoinOperator, ObjectName, TableAlias, TableFactor, TableWithJoins};

use super::{Binder, Cx, Env, Output};
use crate::sql::error::{Place, Result, SqlError};
use crate::sql::expr::{Cmp, Ex, Id, Kind, Literal};
use crate::sql::rel::{How, Key, Rel};
use crate::sql::scope::{Meaning, Named, Scope, folded, no_table, value};
use crate::sql::types::Ty;

/// How two tables are joined, as SQL says it.
#[derive(Clone, Copy, PartialEq)]
enum Kindred {
    Inner,
    Left,
    Right,
    Full,
    Semi,
    Anti,
}

pub fn ids(rel: &Rel) -> BTreeSet<Id> {
    rel.columns().into_iter().map(|(id, _)| id).collect()
}

/// The two sides of an equality, and whether NULL equals NULL.
pub fn equality(ex: &Ex) -> Option<(&Ex, &Ex, bool)> {
    match &ex.kind {
        Kind::Compare(Cmp::Eq, a, b) => Some((a, b, false)),
        Kind::Same(a, b) => Some((a, b, true)),
        _ => None,
    }
}

/// An inner join. What is no equality is a filter above it, but for a join that has no equality at all.
pub fn inner(left: Rel, right: Rel, keys: Vec<Key>, residual: Option<Ex>) -> Rel {
    if keys.is_empty() {
        return left.join(right, How::Inner, keys, residual);
    }
    let joined = left.join(right, How::Inner, keys, None);
    match residual {
        Some(predicate) => joined.filter(predicate),
        None => joined,
    }
}

impl Binder<'_> {
    /// Every item of FROM by itself, and the names of all.
    pub fn from(&mut self, from: &[TableWithJoins], env: &Env<'_>) -> Result<(Vec<Rel>, Scope)> {
        let (mut rels, mut scope) = (Vec::new(), Scope::default());
        for item in from {
            let (rel, names) = self.joined_tables(item, env)?;
            scope = scope.beside(names, Place::default()).map_err(|e| e.or_at(factor_place(&item.relation)))?;
            rels.push(rel);
        }
        if rels.is_empty() {
            let id = self.id();
            rels.push(Rel::Values { columns: vec![(id, Ty::Int8)], rows: vec![vec![Literal::Int(0)]] });
        }
        Ok((rels, scope))
    }

    fn joined_tables(&mut self, item: &TableWithJoins, env: &Env<'_>) -> Result<(Rel, Scope)> {
        let (mut rel, mut scope) = self.table(&item.relation, env)?;
        for join in &item.joins {
            let right = self.table(&join.relation, env)?;
            (rel, scope) = self.join((rel, scope), right, join, env)?;
        }
        Ok((rel, scope))
    }

    fn table(&mut self, factor: &TableFactor, env: &Env<'_>) -> Result<(Rel, Scope)> {
        let at = factor_place(factor);
        match factor {
            TableFactor::Table { name, alias, args, sample, version, with_hints, .. } => {
                if args.is_some() || sample.is_some() || version.is_some() || !with_hints.is_empty() {
                    return Err(SqlError::unsupported(at, "a table function, TABLESAMPLE or a hint")
                        .hint("generate_series: list the values, FROM (VALUES (1), (2)) AS t(n)"));
                }
                self.named_table(name, alias.as_ref(), at, env)
            }
            TableFactor::Derived { lateral, subquery, alias, sample: None } => {
                if *lateral {
                    return Err(SqlError::unsupported(at, "LATERAL").hint(
                        "a window numbers the rows of each key: ROW_NUMBER() OVER (PARTITION BY k ORDER BY t DESC)",
                    ));
                }
                let inner = Env { ctes: env.ctes.clone(), outer: None };
                let bound = self.query(subquery, &inner)?;
                let outputs = self.renamed(bound.out, alias.as_ref())?;
                let Some(alias) = alias else {
                    return Err(SqlError::new("42601", at, "a subquery in FROM must have a name")
                        .hint("write FROM (SELECT ...) AS name"));
                };
                let scope = Scope::of_table(&folded(&alias.name), columns_of(outputs));
                Ok((bound.rel, scope))
            }
            TableFactor::NestedJoin { table_with_joins, alias } => {
                let (rel, scope) = self.joined_tables(table_with_joins, env)?;
                match alias {
                    None => Ok((rel, scope)),
                    Some(_) => Err(SqlError::unsupported(at, "an alias of a join in brackets")),
                }
            }
            TableFactor::Function { .. } | TableFactor::TableFunction { .. } | TableFactor::UNNEST { .. } => {
                Err(SqlError::unsupported(at, "a function in FROM")
                    .hint("list the values: FROM (VALUES (1), (2)) AS t(n), or extract a table with them"))
            }
            other => {
                let said: String = other.to_string().chars().take(40).collect();
                Err(SqlError::unsupported(at, format!("{said} in FROM")))
            }
        }
    }

    fn named_table(
        &mut self,
        name: &ObjectName,
        alias: Option<&TableAlias>,
        at: Place,
        env: &Env<'_>,
    ) -> Result<(Rel, Scope)> {
        let idents: Vec<_> = name.0.iter().filter_map(|part| part.as_ident()).collect();
        let (schema, table) = match idents.as_slice() {
            [table] => (None, folded(table)),
            [schema, table] => (Some(folded(schema)), folded(table)),
            _ => return Err(SqlError::unsupported(at, format!("the table name {name}"))),
        };
        if let Some(schema) = schema.as_ref().filter(|s| *s != "public") {
            return Err(SqlError::new("3F000", at, format!("there is no schema {schema}"))
                .hint("the tables are the names under [extract], without a schema"));
        }
        let shown = alias.map_or(table.clone(), |alias| folded(&alias.name));
        if schema.is_none()
            && let Some(cte) = env.ctes.iter().rev().find(|cte| cte.name == table)
        {
            let (rel, outputs) = self.reference(cte);
            let outputs = self.renamed(outputs, alias)?;
            return Ok((rel, Scope::of_table(&shown, columns_of(outputs))));
        }
        let Some(number) = self.tables.iter().position(|t| t.name == table) else {
            let mut known: Vec<&str> = self.tables.iter().map(|t| t.name.as_str()).collect();
            known.extend(env.ctes.iter().map(|cte| cte.name.as_str()));
            return Err(no_table(&table, &known, at));
        };
        let columns: Vec<(Id, String, Ty)> =
            self.tables[number].columns.iter().map(|(name, ty)| (self.id(), name.clone(), *ty)).collect();
        let outputs = columns
            .iter()
            .map(|(id, name, ty)| Output { name: name.clone(), meaning: value(*id, *ty), place: at })
            .collect();
        let outputs = self.renamed(outputs, alias)?;
        Ok((Rel::Scan { table: number, columns }, Scope::of_table(&shown, columns_of(outputs))))
    }

    /// A part under new numbers.
    fn reference(&mut self, cte: &super::Cte) -> (Rel, Vec<Output>) {
        let columns: Vec<(Id, Id, Ty)> = cte.rel.columns().into_iter().map(|(id, ty)| (id, self.id(), ty)).collect();
        let other = |ex: &Ex| {
            let id = ex.as_column().and_then(|id| columns.iter().find(|(old, ..)| *old == id));
            id.map_or_else(|| ex.clone(), |(_, new, _)| Ex::column(*new, ex.ty, ex.place))
        };
        let outputs = cte.out.iter().map(|out| Output {
            meaning: match &out.meaning {
                Meaning::Value(ex) => Meaning::Value(other(ex)),
                Meaning::Interval(parts) => Meaning::Interval([other(&parts[0]), other(&parts[1]), other(&parts[2])]),
            },
            ..out.clone()
        });
        let outputs = outputs.collect();
        (Rel::Shared { part: cte.part, input: cte.rel.clone(), columns }, outputs)
    }

    /// The columns under the names that stand behind an alias.
    pub fn renamed(&mut self, mut outputs: Vec<Output>, alias: Option<&TableAlias>) -> Result<Vec<Output>> {
        let Some(alias) = alias else { return Ok(outputs) };
        if alias.columns.len() > outputs.len() {
            let message =
                format!("{} has {} columns, and {} names are given", alias.name, outputs.len(), alias.columns.len());
            return Err(SqlError::new("42P10", alias.name.span, message));
        }
        for (out, column) in outputs.iter_mut().zip(&alias.columns) {
            out.name = folded(&column.name);
        }
        Ok(outputs)
    }

    fn join(&mut self, left: (Rel, Scope), right: (Rel, Scope), join: &Join, env: &Env<'_>) -> Result<(Rel, Scope)> {
        let at = factor_place(&join.relation);
        use JoinOperator as J;
        let (kind, constraint) = match &join.join_operator {
            J::Join(c) | J::Inner(c) => (Kindred::Inner, c),
            J::CrossJoin(c) => (Kindred::Inner, c),
            J::Left(c) | J::LeftOuter(c) => (Kindred::Left, c),
            J::Right(c) | J::RightOuter(c) => (Kindred::Right, c),
            J::FullOuter(c) => (Kindred::Full, c),
            J::LeftSemi(c) | J::Semi(c) => (Kindred::Semi, c),
            J::LeftAnti(c) | J::Anti(c) => (Kindred::Anti, c),
            _ => {
                return Err(SqlError::unsupported(at, "this kind of join")
                    .hint("JOIN, LEFT, RIGHT, FULL and CROSS JOIN are there"));
            }
        };
        let cross = matches!(join.join_operator, J::CrossJoin(_));
        let ((left, left_scope), (right, right_scope)) = (left, right);
        let names: Option<Vec<String>> = match constraint {
            JoinConstraint::Using(names) => Some(names.iter().map(using_name).collect()),
            JoinConstraint::Natural => {
                let shared = left_scope.names.iter().filter(|n| !n.hidden).map(|n| n.name.clone());
                Some(shared.filter(|name| right_scope.names.iter().any(|r| !r.hidden && r.name == *name)).collect())
            }
            JoinConstraint::None if !cross => {
                return Err(SqlError::new("42601", at, "JOIN needs ON or USING")
                    .hint("CROSS JOIN pairs every row with every row"));
            }
            _ => None,
        };
        if let Some(names) = names {
            return self.join_using((left, left_scope), (right, right_scope), kind, &names, at);
        }
        let both = left_scope.clone().beside(right_scope, at)?;
        let on = match constraint {
            JoinConstraint::On(expr) => {
                let cx = Cx::of_clause(&both, env, "ON");
                let condition = self.condition(expr, cx, "ON")?;
                if condition.any(&|ex| matches!(ex.kind, Kind::Sub(_))) {
                    return Err(SqlError::unsupported(condition.place, "a subquery in ON")
                        .hint("put it into WHERE, or join its result"));
                }
                condition.conjuncts()
            }
            _ => Vec::new(),
        };
        let rel = joined(left, right, kind, on)?;
        let scope = if matches!(kind, Kindred::Semi | Kindred::Anti) { left_scope } else { both };
        Ok((rel, scope))
    }

    /// USING and NATURAL: each name is one column of the result.
    fn join_using(
        &mut self,
        left: (Rel, Scope),
        right: (Rel, Scope),
        kind: Kindred,
        names: &[String],
        at: Place,
    ) -> Result<(Rel, Scope)> {
        let ((left, left_scope), (right, right_scope)) = (left, right);
        let mut on = Vec::new();
        let mut merged = Vec::new();
        for name in names {
            let of = |scope: &Scope, side: &str| -> Result<Ex> {
                match scope.column(name, at)?.map(|n| n.meaning.clone()) {
                    Some(Meaning::Value(ex)) => Ok(ex),
                    _ => Err(SqlError::new(
                        "42703",
                        at,
                        format!("the column {name} of USING is not in the {side} table"),
                    )),
                }
            };
            let (a, b) = (of(&left_scope, "left")?, of(&right_scope, "right")?);
            let (x, y) = super::operators::meet(a.clone(), b.clone(), "=", self.zone)?;
            on.push(Ex::compare(Cmp::Eq, x.clone(), y.clone()));
            merged.push((name.clone(), a, x, y));
        }
        let mut rel = joined(left, right, kind, on)?;
        if matches!(kind, Kindred::Semi | Kindred::Anti) {
            return Ok((rel, left_scope));
        }
        let mut both = left_scope.beside(right_scope, at)?;
        both.names.iter_mut().filter(|n| names.contains(&n.name)).for_each(|n| n.hidden = true);
        let mut front = Vec::new();
        for (name, a, x, y) in merged {
            let meaning = match kind {
                Kindred::Right => Meaning::Value(y),
                Kindred::Full => {
                    // The key of the side that has the row.
                    let ty = x.ty;
                    let key = Ex::new(Kind::Coalesce(vec![x, y]), ty, at);
                    let (id, column) = self.column(&key);
                    rel = rel.extend(vec![(id, key)]);
                    Meaning::Value(column)
                }
                _ => Meaning::Value(a),
            };
            front.push(Named { table: None, name, meaning, hidden: false });
        }
        front.extend(both.names);
        both.names = front;
        Ok((rel, both))
    }
}

fn using_name(name: &ObjectName) -> String {
    name.0.last().and_then(|part| part.as_ident()).map(folded).unwrap_or_default()
}

pub fn columns_of(outputs: Vec<Output>) -> Vec<(String, Meaning)> {
    outputs.into_iter().map(|out| (out.name, out.meaning)).collect()
}

pub fn factor_place(factor: &TableFactor) -> Place {
    match factor {
        TableFactor::Table { name, .. } => {
            name.0.first().and_then(|part| part.as_ident()).map(|i| i.span.into()).unwrap_or_default()
        }
        TableFactor::Derived { subquery, .. } => super::query_place(subquery),
        TableFactor::NestedJoin { table_with_joins, .. } => factor_place(&table_with_joins.relation),
        other => sqlparser::ast::Spanned::span(other).into(),
    }
}

/// A join by its conditions: equalities become keys, conditions of one side go to that side, the rest is asked of pairs.
fn joined(left: Rel, right: Rel, kind: Kindred, on: Vec<Ex>) -> Result<Rel> {
    if kind == Kindred::Right {
        return joined(right, left, Kindred::Left, on);
    }
    let (mut left, mut right) = (left, right);
    let (of_left, of_right) = (ids(&left), ids(&right));
    let within = |ex: &Ex, set: &BTreeSet<Id>| ex.columns().iter().all(|id| set.contains(id));
    let (mut keys, mut only_left, mut only_right, mut rest) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for condition in on {
        let columns = condition.columns();
        if matches!(condition.as_literal(), Some(Literal::Bool(true))) {
            continue;
        }
        let key = equality(&condition).and_then(|(a, b, null_safe)| {
            let has = |ex: &Ex| !ex.columns().is_empty();
            match () {
                _ if has(a) && has(b) && within(a, &of_left) && within(b, &of_right) => {
                    Some((a.clone(), b.clone(), null_safe))
                }
                _ if has(a) && has(b) && within(b, &of_left) && within(a, &of_right) => {
                    Some((b.clone(), a.clone(), null_safe))
                }
                _ => None,
            }
        });
        match key {
            Some((left, right, null_safe)) => keys.push(Key { left, right, null_safe }),
            None if columns.is_empty() => rest.push(condition),
            None if within(&condition, &of_left) => only_left.push(condition),
            None if within(&condition, &of_right) => only_right.push(condition),
            None => rest.push(condition),
        }
    }
    let place = Place::default();
    if kind == Kindred::Inner {
        if !only_left.is_empty() {
            left = left.filter(Ex::and(only_left, place));
        }
        if !only_right.is_empty() {
            right = right.filter(Ex::and(only_right, place));
        }
        let residual = (!rest.is_empty()).then(|| Ex::and(rest, place));
        return Ok(inner(left, right, keys, residual));
    }
    let how = match kind {
        Kindred::Left => How::Left,
        Kindred::Full => How::Full,
        Kindred::Semi => How::Semi,
        _ => How::Anti,
    };
    if how != How::Full && !only_right.is_empty() {
        right = right.filter(Ex::and(std::mem::take(&mut only_right), place));
    }
    // A row whose key is NULL meets nothing, and stays: a condition of its own side.
    match keys.first_mut().filter(|key| !key.null_safe) {
        Some(key) => {
            if !only_left.is_empty() {
                key.left = key.left.clone().only_if(Ex::and(std::mem::take(&mut only_left), place));
            }
            if !only_right.is_empty() {
                key.right = key.right.clone().only_if(Ex::and(std::mem::take(&mut only_right), place));
            }
        }
        None => {
            rest.append(&mut only_left);
            rest.append(&mut only_right);
        }
    }
    let residual = (!rest.is_empty()).then(|| Ex::and(rest, place));
    Ok(left.join(right, how, keys, residual))
}

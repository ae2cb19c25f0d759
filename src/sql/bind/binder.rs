//! What binding carries along: the tables, the outer queries, the notes.

use std::sync::Arc;

use chrono::NaiveDate;
use chrono_tz::Tz;
use sqlparser::ast::{Expr, NamedWindowDefinition, Query, Spanned};

use crate::sql::error::{MISMATCH, Place, Result, SqlError};
use crate::sql::expr::{Ex, Id};
use crate::sql::rel::Rel;
use crate::sql::scope::{Meaning, Scope};
use crate::sql::types::Ty;

/// A table that the query may read.
#[derive(Clone, Debug)]
pub struct Table {
    pub name: String,
    /// Names and types.
    pub columns: Vec<(String, Ty)>,
}

/// What the placeholders stand for.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    pub date: NaiveDate,
    /// Microseconds of UTC.
    pub start: i64,
    pub end: i64,
}

/// Something that is right but may not be what was meant.
#[derive(Clone, Debug)]
pub struct Note {
    pub place: Place,
    pub message: String,
}

pub struct Binder<'a> {
    pub tables: &'a [Table],
    pub zone: Tz,
    pub bounds: Bounds,
    next: Id,
    parts: usize,
    /// How many queries are around the one that is bound.
    pub depth: usize,
    pub notes: Vec<Note>,
}

/// A part of the query under a name: bound once, however often it is named.
#[derive(Clone)]
pub struct Cte {
    pub name: String,
    pub part: usize,
    pub rel: Arc<Rel>,
    pub out: Vec<Output>,
}

/// What a query can see beside its own FROM.
#[derive(Clone, Default)]
pub struct Env<'e> {
    pub ctes: Vec<Cte>,
    pub outer: Option<&'e Level<'e>>,
}

/// The columns of a query around a subquery.
pub struct Level<'e> {
    pub scope: &'e Scope,
    pub outer: Option<&'e Level<'e>>,
}

/// A column of a query's result.
#[derive(Clone, Debug)]
pub struct Output {
    pub name: String,
    pub meaning: Meaning,
    pub place: Place,
}

/// Where an expression stands.
#[derive(Clone, Copy)]
pub struct Cx<'c> {
    pub scope: &'c Scope,
    pub env: &'c Env<'c>,
    pub windows: &'c [NamedWindowDefinition],
    /// Names of the select list, for clauses that may use them.
    pub aliases: &'c [Output],
    /// In words, when aggregates cannot stand here.
    pub no_aggregates: Option<&'static str>,
    pub no_windows: Option<&'static str>,
}

impl<'c> Cx<'c> {
    /// In a clause that has neither aggregates nor windows.
    pub fn of_clause(scope: &'c Scope, env: &'c Env<'c>, clause: &'static str) -> Cx<'c> {
        Cx { scope, env, windows: &[], aliases: &[], no_aggregates: Some(clause), no_windows: Some(clause) }
    }
}

impl<'a> Binder<'a> {
    pub fn new(tables: &'a [Table], zone: Tz, bounds: Bounds) -> Binder<'a> {
        Binder { tables, zone, bounds, next: 1, parts: 0, depth: 0, notes: Vec::new() }
    }

    pub fn id(&mut self) -> Id {
        self.next += 1;
        self.next
    }

    pub fn part(&mut self) -> usize {
        self.parts += 1;
        self.parts
    }

    /// An expression as a column of a plan: its number, and what it is from then on.
    pub fn column(&mut self, ex: &Ex) -> (Id, Ex) {
        let id = self.id();
        (id, Ex::column(id, ex.ty, ex.place))
    }

    /// Binds a query within the one that is bound.
    pub fn within<T>(&mut self, bind: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        self.depth += 1;
        let bound = stacker::maybe_grow(256 << 10, 4 << 20, || bind(self));
        self.depth -= 1;
        bound
    }

    pub fn note(&mut self, place: Place, message: impl Into<String>) {
        self.notes.push(Note { place, message: message.into() });
    }

    /// A value, where an interval cannot stand.
    pub fn value(&mut self, expr: &Expr, cx: Cx<'_>) -> Result<Ex> {
        match self.expr(expr, cx)? {
            Meaning::Value(ex) => Ok(ex),
            Meaning::Interval(_) => Err(SqlError::unsupported(place(expr), "an interval in this place")
                .hint("EXTRACT(EPOCH FROM x) makes a number of it")),
        }
    }

    /// A condition.
    pub fn condition(&mut self, expr: &Expr, cx: Cx<'_>, clause: &str) -> Result<Ex> {
        let ex = self.value(expr, cx)?;
        match ex.ty {
            Ty::Bool => Ok(ex),
            Ty::Unknown => crate::sql::functions::cast::coerce(ex, Ty::Bool, self.zone),
            other => Err(SqlError::new(
                MISMATCH,
                place(expr),
                format!("{clause} needs a condition, and this is {}", other.name()),
            )
            .hint("write a comparison: x <> 0")),
        }
    }
}

/// Where an expression begins.
pub fn place(expr: &Expr) -> Place {
    let mut expr = expr;
    loop {
        expr = match expr {
            Expr::BinaryOp { left, .. } => left,
            Expr::Nested(inner) | Expr::Cast { expr: inner, .. } => inner,
            Expr::IsNull(inner) | Expr::IsNotNull(inner) | Expr::UnaryOp { expr: inner, .. } => inner,
            Expr::Between { expr, .. } | Expr::InList { expr, .. } | Expr::Like { expr, .. } => expr,
            Expr::Identifier(ident) => return ident.span.into(),
            Expr::CompoundIdentifier(parts) => return parts.first().map(|p| p.span.into()).unwrap_or_default(),
            Expr::Value(value) => return value.span.into(),
            Expr::Case { case_token, .. } => return case_token.0.span.into(),
            other => return other.span().into(),
        };
    }
}

/// Where a query stands in the text.
pub fn query_place(query: &Query) -> Place {
    match &*query.body {
        sqlparser::ast::SetExpr::Select(select) => select.select_token.0.span.into(),
        sqlparser::ast::SetExpr::Query(inner) => query_place(inner),
        _ => Place::default(),
    }
}

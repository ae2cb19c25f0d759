//! Conditions: IS, BETWEEN, IN, LIKE, ANY and ALL, rows compared with rows, EXISTS.

use sqlparser::ast::{BinaryOperator as Op, Expr, Query};

use super::exprs::unnested;
use super::literals::escape;
use super::operators::{compare, meet};
use super::subquery::SubKind;
use super::{Binder, Cx, place};
use crate::sql::arithmetic::comparison;
use crate::sql::error::{Place, Result, SqlError};
use crate::sql::expr::{Cmp, Ex, Kind, Literal};
use crate::sql::functions::cast::coerce;
use crate::sql::kernels::columns::{in_ints, in_texts};
use crate::sql::kernels::pattern::Syntax;
use crate::sql::scope::Meaning;
use crate::sql::types::{Ty, common_of};

/// From so many constants on, IN looks them up.
const MANY: usize = 8;

impl Binder<'_> {
    pub fn predicate(&mut self, expr: &Expr, cx: Cx<'_>) -> Result<Ex> {
        let at = place(expr);
        match expr {
            Expr::IsNull(inner) => Ok(self.known(inner, cx)?.is_null()),
            Expr::IsNotNull(inner) => Ok(self.known(inner, cx)?.is_null().negate()),
            Expr::IsTrue(inner) => self.is(inner, true, cx),
            Expr::IsNotTrue(inner) => Ok(self.is(inner, true, cx)?.negate()),
            Expr::IsFalse(inner) => self.is(inner, false, cx),
            Expr::IsNotFalse(inner) => Ok(self.is(inner, false, cx)?.negate()),
            Expr::IsUnknown(inner) => Ok(self.condition(inner, cx, "IS UNKNOWN")?.is_null()),
            Expr::IsNotUnknown(inner) => Ok(self.condition(inner, cx, "IS UNKNOWN")?.is_null().negate()),
            Expr::IsDistinctFrom(a, b) => Ok(self.same(a, b, cx)?.negate()),
            Expr::IsNotDistinctFrom(a, b) => self.same(a, b, cx),
            Expr::Between { expr: of, negated, low, high } => self.between(of, *negated, low, high, cx),
            Expr::InList { expr: of, list, negated } => {
                let found = self.in_list(of, list, cx)?;
                Ok(if *negated { found.negate() } else { found })
            }
            Expr::InSubquery { expr: of, subquery, negated } => self.in_subquery(of, subquery, *negated, cx),
            Expr::AnyOp { left, compare_op, right, .. } => self.quantified(left, compare_op, right, false, cx),
            Expr::AllOp { left, compare_op, right } => self.quantified(left, compare_op, right, true, cx),
            Expr::Exists { subquery, negated } => {
                let found = self.subquery(subquery, SubKind::Exists, Vec::new(), cx)?;
                Ok(if *negated { found.negate() } else { found })
            }
            Expr::Subquery(query) => self.subquery(query, SubKind::Scalar, Vec::new(), cx),
            Expr::Like { negated, any: false, expr: of, pattern, escape_char } => {
                let syntax = Syntax::Like { escape: escape(escape_char.as_ref())?, fold: false };
                self.like(of, pattern, syntax, *negated, cx)
            }
            Expr::ILike { negated, any: false, expr: of, pattern, escape_char } => {
                let syntax = Syntax::Like { escape: escape(escape_char.as_ref())?, fold: true };
                self.like(of, pattern, syntax, *negated, cx)
            }
            Expr::SimilarTo { negated, expr: of, pattern, escape_char } => {
                let syntax = Syntax::Similar { escape: escape(escape_char.as_ref())? };
                self.like(of, pattern, syntax, *negated, cx)
            }
            Expr::RLike { negated, expr: of, pattern, .. } => {
                self.like(of, pattern, Syntax::Posix { fold: false }, *negated, cx)
            }
            other => {
                let said = other.to_string();
                let short: String = said.chars().take(60).collect();
                Err(SqlError::unsupported(at, format!("the expression {short}")))
            }
        }
    }

    /// An operand that may be an interval, as something that IS NULL can ask.
    fn known(&mut self, inner: &Expr, cx: Cx<'_>) -> Result<Ex> {
        match self.expr(inner, cx)? {
            Meaning::Value(ex) if ex.ty == Ty::Unknown => coerce(ex, Ty::Text, self.zone),
            Meaning::Value(ex) => Ok(ex),
            Meaning::Interval(parts) => Ok(super::intervals::key(&parts)),
        }
    }

    fn is(&mut self, inner: &Expr, wanted: bool, cx: Cx<'_>) -> Result<Ex> {
        let ex = self.condition(inner, cx, if wanted { "IS TRUE" } else { "IS FALSE" })?;
        let at = ex.place;
        Ok(Ex::new(Kind::Same(Box::new(ex), Box::new(Ex::bool(wanted, at))), Ty::Bool, at))
    }

    fn same(&mut self, a: &Expr, b: &Expr, cx: Cx<'_>) -> Result<Ex> {
        let (a, b) = (self.value(a, cx)?, self.value(b, cx)?);
        let at = a.place;
        let (a, b) = meet(a, b, "IS DISTINCT FROM", self.zone)?;
        Ok(Ex::new(Kind::Same(Box::new(a), Box::new(b)), Ty::Bool, at))
    }

    fn between(&mut self, of: &Expr, negated: bool, low: &Expr, high: &Expr, cx: Cx<'_>) -> Result<Ex> {
        let of = self.expr(of, cx)?;
        let (low, high) = (self.expr(low, cx)?, self.expr(high, cx)?);
        let mut side = |op: &Op, bound: Meaning| match self.operate(of.clone(), op, bound)? {
            Meaning::Value(ex) => Ok(ex),
            Meaning::Interval(parts) => Err(SqlError::unsupported(parts[0].place, "BETWEEN in this place")),
        };
        let (from, to) = (side(&Op::GtEq, low)?, side(&Op::LtEq, high)?);
        let at = from.place;
        let inside = Ex::new(Kind::And(vec![from, to]), Ty::Bool, at);
        Ok(if negated { inside.negate() } else { inside })
    }

    fn in_list(&mut self, of: &Expr, list: &[Expr], cx: Cx<'_>) -> Result<Ex> {
        let at = place(of);
        if let Expr::Tuple(columns) = unnested(of) {
            let mut any = Vec::with_capacity(list.len());
            for row in list {
                let Expr::Tuple(values) = unnested(row) else {
                    return Err(SqlError::new(
                        "42601",
                        place(row),
                        "IN compares a row with rows: (a, b) IN ((1, 2), (3, 4))",
                    ));
                };
                any.push(self.rows(columns, &Op::Eq, values, at, cx)?);
            }
            return Ok(any_of(any, at));
        }
        let of = self.value(of, cx)?;
        let mut values = Vec::with_capacity(list.len());
        for value in list {
            values.push(self.value(value, cx)?);
        }
        let types = values.iter().map(|v| v.ty).chain(std::iter::once(of.ty));
        let ty = common_of(types, "IN", at)?;
        let whole = of.ty.is_whole() && ty == Ty::Numeric;
        if !whole && values.len() >= MANY && values.iter().all(|v| v.as_literal().is_some()) {
            let of = coerce(of.clone(), ty, self.zone)?;
            let same: Result<Vec<Ex>> = values.iter().map(|v| coerce(v.clone(), ty, self.zone)).collect();
            if let Some(found) = looked_up(of, &same?) {
                return Ok(found);
            }
        }
        let mut any = Vec::with_capacity(values.len());
        for value in values {
            any.push(compare(of.clone(), Cmp::Eq, value, self.zone)?);
        }
        Ok(any_of(any, at))
    }

    /// (a, b) = (1, 2)
    pub fn rows(&mut self, left: &[Expr], op: &Op, right: &[Expr], at: Place, cx: Cx<'_>) -> Result<Ex> {
        if left.len() != right.len() {
            return Err(SqlError::new("42601", at, "rows of different lengths cannot be compared"));
        }
        let mut all = Vec::with_capacity(left.len());
        for (a, b) in left.iter().zip(right) {
            let (a, b) = (self.value(a, cx)?, self.value(b, cx)?);
            all.push(compare(a, Cmp::Eq, b, self.zone)?);
        }
        let equal = Ex::and(all, at);
        match comparison(op) {
            Some(Cmp::Eq) => Ok(equal),
            Some(Cmp::Ne) => Ok(equal.negate()),
            _ => Err(SqlError::unsupported(at, format!("{op} between rows"))
                .hint("write it column by column, with AND and OR")),
        }
    }

    fn in_subquery(&mut self, of: &Expr, query: &Query, negated: bool, cx: Cx<'_>) -> Result<Ex> {
        let operand = match unnested(of) {
            Expr::Tuple(columns) => columns.iter().map(|c| self.value(c, cx)).collect::<Result<Vec<_>>>()?,
            one => vec![self.value(one, cx)?],
        };
        let found = self.subquery(query, SubKind::Any(Cmp::Eq), operand, cx)?;
        Ok(if negated { found.negate() } else { found })
    }

    /// x < ANY (SELECT ...), x <> ALL (ARRAY[1, 2])
    fn quantified(&mut self, left: &Expr, op: &Op, right: &Expr, all: bool, cx: Cx<'_>) -> Result<Ex> {
        let word = if all { "ALL" } else { "ANY" };
        let cmp = comparison(op).ok_or_else(|| SqlError::unsupported(place(left), format!("{op} {word}")))?;
        let of = self.value(left, cx)?;
        let values = match unnested(right) {
            Expr::Subquery(query) => {
                // Not all are so if one is not.
                let asked = if all { cmp.negated() } else { cmp };
                let found = self.subquery(query, SubKind::Any(asked), vec![of], cx)?;
                return Ok(if all { found.negate() } else { found });
            }
            Expr::Array(array) => &array.elem,
            other => {
                return Err(SqlError::unsupported(place(other), format!("{word} of something that is no subquery"))
                    .hint("x IN (a, b) asks whether x is one of a and b"));
            }
        };
        let (at, mut parts) = (of.place, Vec::new());
        for value in values {
            let value = self.value(value, cx)?;
            parts.push(compare(of.clone(), cmp, value, self.zone)?);
        }
        Ok(if all { Ex::and(parts, at) } else { any_of(parts, at) })
    }

    fn like(&mut self, of: &Expr, pattern: &Expr, syntax: Syntax, negated: bool, cx: Cx<'_>) -> Result<Ex> {
        let (of, pattern) = (self.value(of, cx)?, self.value(pattern, cx)?);
        self.matching(of, pattern, syntax, negated)
    }
}

fn any_of(mut parts: Vec<Ex>, at: Place) -> Ex {
    match parts.len() {
        0 => Ex::bool(false, at),
        1 => parts.remove(0),
        _ => Ex::new(Kind::Or(parts), Ty::Bool, at),
    }
}

/// IN as a look-up in a set of constants; NULL among them makes what is not found unknown.
fn looked_up(of: Ex, values: &[Ex]) -> Option<Ex> {
    let at = of.place;
    let literals: Vec<&Literal> = values.iter().filter_map(Ex::as_literal).collect();
    let null = literals.iter().any(|l| **l == Literal::Null);
    let func = match of.ty {
        ty if ty.is_whole() => in_ints(
            literals.iter().filter_map(|l| if let Literal::Int(v) = l { Some(*v) } else { None }).collect(),
            null,
        ),
        Ty::Text => in_texts(
            literals.iter().filter_map(|l| if let Literal::Text(t) = l { Some(t.clone()) } else { None }).collect(),
            null,
        ),
        _ => return None,
    };
    Some(Ex::call(func, vec![of], Ty::Bool, at))
}

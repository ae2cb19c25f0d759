//! Expressions: every form that the parser knows, bound or refused by name.

use sqlparser::ast::{BinaryOperator as Op, CastKind, CeilFloorKind, Expr, Ident, TrimWhereField, UnaryOperator};

use super::literals::{field_name, target};
use super::{Binder, Cx, place};
use crate::sql::error::{Place, Result, SqlError};
use crate::sql::expr::{Ex, Kind, Literal};
use crate::sql::functions::cast::coerce;
use crate::sql::functions::{Call, scalar, times};
use crate::sql::scope::{Meaning, folded};
use crate::sql::types::{Ty, common_of};

/// Stack that one level of an expression may take, and how much is taken anew when there is less.
const RED_ZONE: usize = 256 << 10;
const MORE: usize = 4 << 20;

impl Binder<'_> {
    pub fn expr(&mut self, expr: &Expr, cx: Cx<'_>) -> Result<Meaning> {
        stacker::maybe_grow(RED_ZONE, MORE, || self.any_expr(expr, cx))
    }

    fn any_expr(&mut self, expr: &Expr, cx: Cx<'_>) -> Result<Meaning> {
        let ex = match expr {
            Expr::Nested(inner) => return self.expr(inner, cx),
            Expr::Identifier(ident) => return self.name(ident, cx),
            Expr::CompoundIdentifier(parts) => return self.qualified(parts, cx),
            Expr::BinaryOp { .. } => return self.binary(expr, cx),
            Expr::UnaryOp { op, expr: inner } => return self.unary(op, inner, cx),
            Expr::Interval(interval) => return self.interval(interval, cx),
            Expr::TypedString(typed) => return self.typed_string(typed),
            Expr::Function(function) => return self.function(function, cx),
            Expr::Cast { kind, expr: inner, data_type, array: false, format: None } => {
                return self.cast(kind, inner, data_type, cx);
            }
            Expr::Value(value) => self.literal(value)?,
            Expr::Case { operand, conditions, else_result, .. } => {
                self.case(place(expr), operand.as_deref(), conditions, else_result.as_deref(), cx)?
            }
            Expr::Extract { field, expr: from, .. } => self.extract(&field_name(field), from, place(expr), cx)?,
            Expr::AtTimeZone { timestamp, time_zone } => {
                let (time, zone) = (self.value(timestamp, cx)?, self.value(time_zone, cx)?);
                times::at_time_zone(time, zone, &self.call("timezone", Vec::new(), place(timestamp)))?
            }
            Expr::Ceil { expr: inner, field } => self.rounded("ceil", inner, field, cx)?,
            Expr::Floor { expr: inner, field } => self.rounded("floor", inner, field, cx)?,
            Expr::Position { expr: part, r#in } => {
                let args = vec![self.value(r#in, cx)?, self.value(part, cx)?];
                scalar(&self.call("strpos", args, place(expr)))?
            }
            Expr::Substring { expr: of, substring_from, substring_for, .. } => {
                self.substring(of, substring_from.as_deref(), substring_for.as_deref(), cx)?
            }
            Expr::Trim { trim_where, trim_what, expr: of, trim_characters } => {
                let mut args = vec![self.value(of, cx)?];
                let listed = trim_characters.iter().flatten();
                for what in trim_what.as_deref().into_iter().chain(listed) {
                    args.push(self.value(what, cx)?);
                }
                let name = match trim_where {
                    Some(TrimWhereField::Leading) => "ltrim",
                    Some(TrimWhereField::Trailing) => "rtrim",
                    _ => "btrim",
                };
                scalar(&self.call(name, args, place(of)))?
            }
            Expr::Overlay { expr: of, overlay_what, overlay_from, overlay_for } => {
                let mut args = vec![self.value(of, cx)?, self.value(overlay_what, cx)?, self.value(overlay_from, cx)?];
                if let Some(count) = overlay_for {
                    args.push(self.value(count, cx)?);
                }
                scalar(&self.call("overlay", args, place(of)))?
            }
            Expr::Collate { expr: inner, collation } => {
                let name = collation.to_string().to_lowercase();
                if !matches!(name.trim_matches('"'), "c" | "posix" | "c.utf8" | "c.utf-8" | "ucs_basic") {
                    return Err(SqlError::unsupported(place(inner), format!("the collation {collation}"))
                        .hint("text is compared by its bytes, as COLLATE \"C\" does"));
                }
                self.value(inner, cx)?
            }
            Expr::Tuple(_) => {
                return Err(SqlError::unsupported(place(expr), "a row in this place")
                    .hint("compare its columns one by one, with AND"));
            }
            Expr::Array(_) => {
                return Err(
                    SqlError::unsupported(place(expr), "an array").hint("x IN (a, b) asks whether x is one of a and b")
                );
            }
            other => self.predicate(other, cx)?,
        };
        Ok(Meaning::Value(ex))
    }

    pub fn call<'n>(&self, name: &'n str, args: Vec<Ex>, place: Place) -> Call<'n> {
        Call { name, args, place, zone: self.zone }
    }

    /// A column by its name alone; what SQL calls by a bare word; else a column of a query around this one.
    fn name(&mut self, ident: &Ident, cx: Cx<'_>) -> Result<Meaning> {
        let (name, at) = (folded(ident), Place::from(ident.span));
        if let Some(found) = cx.scope.column(&name, at)? {
            return Ok(placed(&found.meaning, at));
        }
        if let Some(alias) = cx.aliases.iter().find(|out| out.name == name) {
            return Ok(placed(&alias.meaning, at));
        }
        let mut level = cx.env.outer;
        let mut around = Vec::new();
        while let Some(outer) = level {
            if let Some(found) = outer.scope.column(&name, at)? {
                return Ok(placed(&found.meaning, at));
            }
            around.push(outer.scope);
            level = outer.outer;
        }
        if ident.quote_style.is_none()
            && matches!(&*name, "current_date" | "current_timestamp" | "localtimestamp" | "current_time")
        {
            return Err(SqlError::new("0A000", at, format!("{} changes from run to run", name.to_uppercase()))
                .hint("a run must give the same rows tomorrow: use :date, :start or :end of the interval"));
        }
        if cx.scope.tables.contains(&name) {
            return Err(SqlError::unsupported(at, format!("a whole row of {name} as a value")).hint("name its columns"));
        }
        Err(cx.scope.no_column(ident, &around))
    }

    fn qualified(&mut self, parts: &[Ident], cx: Cx<'_>) -> Result<Meaning> {
        let at = parts.first().map(|p| Place::from(p.span)).unwrap_or_default();
        let (table, column) = match parts {
            [table, column] => (table, column),
            // schema.table.column
            [schema, table, column] if folded(schema) == "public" => (table, column),
            _ => return Err(SqlError::unsupported(at, "a name of so many parts")),
        };
        let (table, name) = (folded(table), folded(column));
        if let Some(found) = cx.scope.qualified(&table, &name, at)? {
            return Ok(placed(&found.meaning, at));
        }
        let mut level = cx.env.outer;
        while let Some(outer) = level {
            if let Some(found) = outer.scope.qualified(&table, &name, at)? {
                return Ok(placed(&found.meaning, at));
            }
            level = outer.outer;
        }
        let mut error = SqlError::new("42P01", at, format!("there is no table {table} in FROM"));
        error.hint = crate::config::meant(&table, cx.scope.tables.iter().map(String::as_str));
        Err(error)
    }

    /// A chain of operators is walked, not descended: it may have thousands.
    fn binary(&mut self, expr: &Expr, cx: Cx<'_>) -> Result<Meaning> {
        let (mut spine, mut first) = (Vec::new(), expr);
        while let Expr::BinaryOp { left, op, right } = first {
            spine.push((op, &**right));
            first = left;
        }
        let mut left = None;
        while let Some((op, right)) = spine.pop() {
            if let (None, Expr::Tuple(a), Expr::Tuple(b)) = (&left, unnested(first), unnested(right)) {
                left = Some(Meaning::Value(self.rows(a, op, b, place(first), cx)?));
                continue;
            }
            left = Some(match op {
                Op::And | Op::Or => {
                    let so_far = match left {
                        None => self.expr(first, cx)?,
                        Some(left) => left,
                    };
                    Meaning::Value(self.junction(so_far, op, right, place(first), cx)?)
                }
                _ => {
                    let so_far = match left {
                        None => self.expr(first, cx)?,
                        Some(left) => left,
                    };
                    let right = self.expr(right, cx)?;
                    self.operate(so_far, op, right)?
                }
            });
        }
        left.ok_or_else(|| SqlError::unsupported(place(expr), "this expression"))
    }

    fn junction(&mut self, left: Meaning, op: &Op, right: &Expr, at: Place, cx: Cx<'_>) -> Result<Ex> {
        let word = if *op == Op::And { "AND" } else { "OR" };
        let left = match left {
            Meaning::Value(ex) if matches!(ex.ty, Ty::Bool | Ty::Unknown) => coerce(ex, Ty::Bool, self.zone)?,
            Meaning::Value(ex) => {
                return Err(SqlError::new(
                    "42804",
                    ex.place,
                    format!("{word} needs conditions, and this is {}", ex.ty.name()),
                ));
            }
            Meaning::Interval(_) => return Err(SqlError::new("42804", at, format!("{word} needs conditions"))),
        };
        let right = self.condition(right, cx, word)?;
        Ok(match (op, left.kind) {
            (Op::And, Kind::And(mut parts)) => {
                parts.push(right);
                Ex::new(Kind::And(parts), Ty::Bool, left.place)
            }
            (Op::Or, Kind::Or(mut parts)) => {
                parts.push(right);
                Ex::new(Kind::Or(parts), Ty::Bool, left.place)
            }
            (Op::And, kind) => Ex::new(Kind::And(vec![Ex { kind, ..left }, right]), Ty::Bool, left.place),
            (_, kind) => Ex::new(Kind::Or(vec![Ex { kind, ..left }, right]), Ty::Bool, left.place),
        })
    }

    fn unary(&mut self, op: &UnaryOperator, inner: &Expr, cx: Cx<'_>) -> Result<Meaning> {
        let at = place(inner);
        Ok(Meaning::Value(match op {
            UnaryOperator::Not => self.condition(inner, cx, "NOT")?.negate(),
            UnaryOperator::Minus => {
                let of = self.expr(inner, cx)?;
                let negated = self.minus(of, at)?;
                // -2147483648 is an integer, though 2147483648 is a bigint.
                return Ok(match negated {
                    Meaning::Value(ex)
                        if matches!(unnested(inner), Expr::Value(_))
                            && ex.as_literal() == Some(&Literal::Int(i32::MIN.into())) =>
                    {
                        Meaning::Value(Ex { ty: Ty::Int4, ..ex })
                    }
                    other => other,
                });
            }
            UnaryOperator::Plus => return self.expr(inner, cx),
            UnaryOperator::PGAbs => {
                let ex = self.value(inner, cx)?;
                scalar(&self.call("abs", vec![ex], at))?
            }
            UnaryOperator::PGSquareRoot => {
                let ex = self.value(inner, cx)?;
                scalar(&self.call("sqrt", vec![ex], at))?
            }
            UnaryOperator::PGCubeRoot => {
                let ex = self.value(inner, cx)?;
                scalar(&self.call("cbrt", vec![ex], at))?
            }
            UnaryOperator::BitwiseNot => {
                let ex = self.value(inner, cx)?;
                let (ty, func) = (ex.ty, crate::sql::kernels::math::whole("bit_not", ex.ty));
                match func.filter(|_| ty.is_int()) {
                    Some(func) => Ex::call(func, vec![ex], ty, at),
                    None => return Err(SqlError::new("42883", at, format!("there is no operator ~ {}", ty.name()))),
                }
            }
            other => return Err(SqlError::unsupported(at, format!("the operator {other}"))),
        }))
    }

    fn cast(&mut self, kind: &CastKind, inner: &Expr, to: &sqlparser::ast::DataType, cx: Cx<'_>) -> Result<Meaning> {
        let at = place(inner);
        let from = self.expr(inner, cx)?;
        let to = target(to, at)?;
        let forgives = !matches!(kind, CastKind::Cast | CastKind::DoubleColon);
        let cast = match (self.cast_to(from, to, at), to) {
            // A constant that cannot be read as the type.
            (Err(e), super::literals::Target::Ty(ty)) if forgives && e.code.starts_with("22") => {
                Meaning::Value(Ex::null(ty, at))
            }
            (cast, _) => cast?,
        };
        if matches!(kind, CastKind::Cast | CastKind::DoubleColon) {
            return Ok(cast);
        }
        // TRY_CAST: NULL where CAST raises.
        match cast {
            Meaning::Value(Ex { kind: Kind::Call(func, args), ty, place }) => {
                let func = crate::sql::kernels::columns::forgiving(func, ty);
                Ok(Meaning::Value(Ex::call(func, args, ty, place)))
            }
            other => Ok(other),
        }
    }

    fn case(
        &mut self,
        at: Place,
        operand: Option<&Expr>,
        conditions: &[sqlparser::ast::CaseWhen],
        otherwise: Option<&Expr>,
        cx: Cx<'_>,
    ) -> Result<Ex> {
        let operand = operand.map(|o| self.value(o, cx)).transpose()?;
        let mut branches = Vec::with_capacity(conditions.len());
        for when in conditions {
            let condition = match &operand {
                None => self.condition(&when.condition, cx, "WHEN")?,
                Some(operand) => {
                    let value = self.value(&when.condition, cx)?;
                    super::operators::compare(operand.clone(), crate::sql::expr::Cmp::Eq, value, self.zone)?
                }
            };
            branches.push((condition, self.value(&when.result, cx)?));
        }
        let otherwise = match otherwise {
            Some(expr) => self.value(expr, cx)?,
            None => Ex::null(Ty::Unknown, at),
        };
        let types = branches.iter().map(|(_, value)| value.ty).chain(std::iter::once(otherwise.ty));
        let ty = common_of(types, "CASE", at)?;
        let mut same = Vec::with_capacity(branches.len());
        for (condition, value) in branches {
            same.push((condition, coerce(value, ty, self.zone)?));
        }
        let otherwise = coerce(otherwise, ty, self.zone)?;
        Ok(Ex::case(same, otherwise, at))
    }

    pub fn extract(&mut self, field: &str, from: &Expr, at: Place, cx: Cx<'_>) -> Result<Ex> {
        match self.expr(from, cx)? {
            Meaning::Interval(parts) => super::intervals::extract(field, &parts, at),
            Meaning::Value(ex) => times::extract(field, ex, &self.call("extract", Vec::new(), at)),
        }
    }

    fn rounded(&mut self, name: &str, inner: &Expr, field: &CeilFloorKind, cx: Cx<'_>) -> Result<Ex> {
        if !matches!(field, CeilFloorKind::DateTimeField(sqlparser::ast::DateTimeField::NoDateTime)) {
            return Err(SqlError::unsupported(place(inner), format!("{} with a unit or places", name.to_uppercase())));
        }
        let ex = self.value(inner, cx)?;
        scalar(&self.call(name, vec![ex], place(inner)))
    }

    fn substring(&mut self, of: &Expr, from: Option<&Expr>, count: Option<&Expr>, cx: Cx<'_>) -> Result<Ex> {
        let mut args = vec![self.value(of, cx)?];
        match from {
            Some(from) => args.push(self.value(from, cx)?),
            None => args.push(Ex::literal(Literal::Int(1), Ty::Int4, place(of))),
        }
        if let Some(count) = count {
            args.push(self.value(count, cx)?);
        }
        scalar(&self.call("substring", args, place(of)))
    }
}

/// A meaning, at the place where it is named.
fn placed(meaning: &Meaning, at: Place) -> Meaning {
    match meaning.clone() {
        Meaning::Value(ex) => Meaning::Value(Ex { place: at, ..ex }),
        Meaning::Interval(parts) => Meaning::Interval(parts.map(|part| Ex { place: at, ..part })),
    }
}

/// Without the brackets around it.
pub fn unnested(expr: &Expr) -> &Expr {
    let mut expr = expr;
    while let Expr::Nested(inner) = expr {
        expr = inner;
    }
    expr
}

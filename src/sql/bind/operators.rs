//! Operators between values: arithmetic, comparison, text, and arithmetic of dates and times.

use chrono_tz::Tz;
use sqlparser::ast::BinaryOperator as Op;

use super::Binder;
use super::intervals;
use crate::sql::arithmetic::{chain, comparison, sign, undefined, whole};
use crate::sql::error::{MISMATCH, NO_FUNCTION, Place, Result, SqlError};
use crate::sql::expr::{Arith, Cmp, Ex, Kind, Literal};
use crate::sql::functions::cast::{coerce, explicit};
use crate::sql::kernels::{arith, math, pattern, text};
use crate::sql::scope::Meaning;
use crate::sql::types::{Ty, common, common_number};

impl Binder<'_> {
    /// Any operator of two operands that are bound.
    pub fn operate(&mut self, left: Meaning, op: &Op, right: Meaning) -> Result<Meaning> {
        let (left, right) = match (left, right) {
            (Meaning::Value(left), Meaning::Value(right)) => (left, right),
            (left, right) => return self.with_interval(left, op, right),
        };
        if let Some(cmp) = comparison(op) {
            return Ok(Meaning::Value(compare(left, cmp, right, self.zone)?));
        }
        if let Some(arith) = arithmetic(op) {
            return self.arithmetic(left, arith, right);
        }
        self.other(left, op, right).map(Meaning::Value)
    }

    fn arithmetic(&mut self, left: Ex, op: Arith, right: Ex) -> Result<Meaning> {
        if left.ty.is_time() || right.ty.is_time() {
            return intervals::of_times(left, op, right, self.zone);
        }
        let both = match (left.ty, right.ty) {
            (Ty::Unknown, Ty::Unknown) => return Err(undefined(&left, sign(op), &right)),
            (Ty::Unknown, ty) | (ty, Ty::Unknown) if ty.is_number() => Some(ty),
            (a, b) => common_number(a, b),
        };
        let Some(mut ty) = both else { return Err(undefined(&left, sign(op), &right)) };
        match op {
            Arith::Div if ty == Ty::Whole => ty = Ty::Numeric,
            Arith::Div if ty.is_int() => {
                let place = right.place;
                self.note(place, "/ of whole numbers gives a whole number, as in Postgres: 7 / 2 is 3; write x * 1.0 / y for the quotient");
            }
            Arith::Rem if ty.is_float() => return Err(undefined(&left, "%", &right).hint("cast both to NUMERIC")),
            _ => {}
        }
        Ok(Meaning::Value(chain(left, op, right, ty, self.zone)?))
    }

    fn other(&mut self, left: Ex, op: &Op, right: Ex) -> Result<Ex> {
        let (place, zone) = (left.place, self.zone);
        let bits = |name: &'static str, left: Ex, right: Ex| -> Result<Ex> {
            let ty = match common(left.ty, right.ty) {
                Some(ty) if ty.is_int() => ty,
                _ => return Err(undefined(&left, &op.to_string(), &right)),
            };
            let func = math::whole2(name, ty).ok_or_else(|| undefined(&left, &op.to_string(), &right))?;
            Ok(Ex::call(func, vec![coerce(left, ty, zone)?, coerce(right, ty, zone)?], ty, place))
        };
        match op {
            Op::StringConcat => concat(left, right, zone),
            Op::BitwiseAnd => bits("bit_and", left, right),
            Op::BitwiseOr => bits("bit_or", left, right),
            Op::PGBitwiseXor => bits("bit_xor", left, right),
            Op::PGBitwiseShiftLeft | Op::PGBitwiseShiftRight => {
                let name = if *op == Op::PGBitwiseShiftLeft { "shift_left" } else { "shift_right" };
                if !left.ty.is_int() || !matches!(right.ty, Ty::Int2 | Ty::Int4) {
                    return Err(undefined(&left, &op.to_string(), &right));
                }
                let ty = left.ty;
                let func = math::whole2(name, ty).ok_or_else(|| undefined(&left, &op.to_string(), &right))?;
                Ok(Ex::call(func, vec![left, coerce(right, ty.max(Ty::Int4), zone)?], ty, place))
            }
            Op::PGExp | Op::BitwiseXor => {
                let call = crate::sql::functions::Call { name: "power", args: vec![left, right], place, zone };
                crate::sql::functions::scalar(&call)
            }
            Op::DuckIntegerDivide => floor_div(left, right, zone),
            Op::PGStartsWith => {
                let call = crate::sql::functions::Call { name: "starts_with", args: vec![left, right], place, zone };
                crate::sql::functions::scalar(&call)
            }
            Op::PGRegexMatch => self.matching(left, right, pattern::Syntax::Posix { fold: false }, false),
            Op::PGRegexIMatch => self.matching(left, right, pattern::Syntax::Posix { fold: true }, false),
            Op::PGRegexNotMatch => self.matching(left, right, pattern::Syntax::Posix { fold: false }, true),
            Op::PGRegexNotIMatch => self.matching(left, right, pattern::Syntax::Posix { fold: true }, true),
            other => Err(SqlError::unsupported(right.place, format!("the operator {other}"))),
        }
    }

    /// A text against a pattern; one that is known now is read now.
    pub fn matching(&mut self, left: Ex, right: Ex, syntax: pattern::Syntax, negated: bool) -> Result<Ex> {
        let place = left.place;
        let wrong = |ex: &Ex| {
            SqlError::new(MISMATCH, ex.place, format!("a pattern needs text, and this is {}", ex.ty.name()))
                .hint("cast it: CAST(x AS TEXT)")
        };
        if let Some(ex) = [&left, &right].into_iter().find(|ex| !matches!(ex.ty, Ty::Text | Ty::Unknown)) {
            return Err(wrong(ex));
        }
        let (left, right) = (coerce(left, Ty::Text, self.zone)?, coerce(right, Ty::Text, self.zone)?);
        let found = match right.as_literal() {
            Some(Literal::Null) => return Ok(Ex::null(Ty::Bool, place)),
            Some(Literal::Text(pattern)) => {
                let func = pattern::matches_constant(pattern, syntax)
                    .map_err(|fault| SqlError::new(fault.code, right.place, fault.message))?;
                Ex::call(func, vec![left], Ty::Bool, place)
            }
            _ => Ex::call(pattern::matches_computed(syntax), vec![left, right], Ty::Bool, place),
        };
        Ok(if negated { found.negate() } else { found })
    }

    /// -x
    pub fn minus(&mut self, of: Meaning, place: Place) -> Result<Meaning> {
        let ex = match of {
            Meaning::Interval(parts) => {
                return Ok(Meaning::Interval(parts.map(|part| whole(Ex::int(0, part.place), Arith::Sub, part))));
            }
            Meaning::Value(ex) => ex,
        };
        let ex = if ex.ty == Ty::Unknown { coerce(ex, Ty::Float8, self.zone)? } else { ex };
        let negated = match &ex.kind {
            Kind::Literal(Literal::Int(value)) if ex.ty != Ty::Int2 => Some(Literal::Int(value.wrapping_neg())),
            Kind::Literal(Literal::Float(value, words)) => {
                Some(Literal::Float(-value, words.as_ref().map(|w| format!("-{w}"))))
            }
            _ => None,
        };
        if let Some(literal) = negated {
            let edge = matches!(literal, Literal::Float(value, _) if value == -9_223_372_036_854_775_808.0);
            if edge && ex.ty == Ty::Numeric {
                return Ok(Meaning::Value(Ex::literal(Literal::Int(i64::MIN), Ty::Whole, place)));
            }
            return Ok(Meaning::Value(Ex::literal(literal, ex.ty, place)));
        }
        let ty = ex.ty;
        let func = match ty {
            ty if ty.is_whole() => arith::negate(ty),
            ty if ty.is_number() => {
                math::simple("negate_float").ok_or_else(|| SqlError::unsupported(place, "a minus in this place"))?
            }
            other => return Err(SqlError::new(NO_FUNCTION, place, format!("there is no operator - {}", other.name()))),
        };
        Ok(Meaning::Value(Ex::call(func, vec![ex], ty, place)))
    }
}

fn arithmetic(op: &Op) -> Option<Arith> {
    Some(match op {
        Op::Plus => Arith::Add,
        Op::Minus => Arith::Sub,
        Op::Multiply => Arith::Mul,
        Op::Divide => Arith::Div,
        Op::Modulo => Arith::Rem,
        _ => return None,
    })
}

/// Both sides of a comparison as one type.
pub fn meet(left: Ex, right: Ex, sign: &str, zone: Tz) -> Result<(Ex, Ex)> {
    let both = match common(left.ty, right.ty) {
        Some(Ty::Unknown) => Ty::Text,
        Some(ty) => ty,
        None => return Err(undefined(&left, sign, &right)),
    };
    Ok((coerce(left, both, zone)?, coerce(right, both, zone)?))
}

pub fn compare(left: Ex, cmp: Cmp, right: Ex, zone: Tz) -> Result<Ex> {
    let sign = match cmp {
        Cmp::Eq => "=",
        Cmp::Ne => "<>",
        Cmp::Lt => "<",
        Cmp::Le => "<=",
        Cmp::Gt => ">",
        Cmp::Ge => ">=",
    };
    // A whole number and a written one with a fraction meet exactly, which floats do not.
    let exact = |a: &Ex, b: &Ex| a.ty.is_whole() && b.ty == Ty::Numeric && b.as_literal().is_some();
    if exact(&left, &right) || exact(&right, &left) {
        let (cmp, a, b) = if exact(&left, &right) { (cmp, left, right) } else { (cmp.turned(), right, left) };
        let place = a.place;
        let order = Ex::call(math::order_whole_float(), vec![a, b], Ty::Int8, place);
        return Ok(Ex::compare(cmp, order, Ex::int(0, place)));
    }
    let (left, right) = meet(left, right, sign, zone)?;
    Ok(Ex::compare(cmp, left, right))
}

/// x || y: one of them is text.
fn concat(left: Ex, right: Ex, zone: Tz) -> Result<Ex> {
    let text_like = |ex: &Ex| matches!(ex.ty, Ty::Text | Ty::Unknown);
    if !text_like(&left) && !text_like(&right) {
        return Err(undefined(&left, "||", &right));
    }
    let place = left.place;
    let right = explicit(right, Ty::Text, zone)?;
    match left.kind {
        Kind::Call(func, mut args) if func.name == "||" => {
            args.push(right);
            Ok(Ex::new(Kind::Call(func, args), Ty::Text, place))
        }
        kind => {
            let left = explicit(Ex { kind, ..left }, Ty::Text, zone)?;
            Ok(Ex::call(text::join_all(), vec![left, right], Ty::Text, place))
        }
    }
}

/// x // y: the quotient, rounded down.
fn floor_div(left: Ex, right: Ex, zone: Tz) -> Result<Ex> {
    let place = left.place;
    let Some(ty) = common_number(left.ty, right.ty) else { return Err(undefined(&left, "//", &right)) };
    if ty.is_whole() {
        let func = math::whole2("floor_div", ty).ok_or_else(|| undefined(&left, "//", &right))?;
        return Ok(Ex::call(func, vec![coerce(left, ty, zone)?, coerce(right, ty, zone)?], ty, place));
    }
    let args = vec![coerce(left, Ty::Float8, zone)?, coerce(right, Ty::Float8, zone)?];
    Ok(Ex::call(math::floor_div_float(), args, ty, place))
}

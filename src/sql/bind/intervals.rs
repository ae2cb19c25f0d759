//! Intervals while a query is bound: three expressions (months, days, microseconds) that never become a column of the
//! result, and what they do with times and numbers.

use chrono_tz::Tz;
use sqlparser::ast::BinaryOperator as Op;

use super::Binder;
use crate::sql::arithmetic::{comparison, date_arithmetic, no_times, whole};
use crate::sql::error::{NO_FUNCTION, Place, Result, SqlError};
use crate::sql::expr::{Arith, Ex, Kind, Literal};
use crate::sql::functions::cast::{coerce, explicit};
use crate::sql::functions::times::clock_of;
use crate::sql::kernels::interval::{self, Part, Span};
use crate::sql::kernels::math;
use crate::sql::kernels::time::Field;
use crate::sql::kernels::zone::DAY;
use crate::sql::scope::Meaning;
use crate::sql::types::Ty;

/// A constant interval.
pub fn constant(span: Span, place: Place) -> Meaning {
    Meaning::Interval([span.months, span.days, span.micros].map(|n| Ex::int(n, place)))
}

/// The text of an interval, read.
pub fn parsed(text: &str, field: Option<&str>, place: Place) -> Result<Meaning> {
    let span = interval::parse(text, field).map_err(|f| SqlError::new(f.code, place, f.message))?;
    Ok(constant(span, place))
}

/// Arithmetic in which a date or a timestamp is.
pub fn of_times(left: Ex, op: Arith, right: Ex, zone: Tz) -> Result<Meaning> {
    let (a, b) = (left.ty, right.ty);
    // timestamp + '1 day'
    let quoted = |ex: &Ex| match ex.as_literal() {
        Some(Literal::Text(text)) if ex.ty == Ty::Unknown => Some(text.clone()),
        _ => None,
    };
    if let (Ty::Timestamp | Ty::Timestamptz, Arith::Add, Some(text)) = (a, op, quoted(&right)) {
        let Meaning::Interval(parts) = parsed(&text, None, right.place)? else {
            return Err(no_times(&left, op, &right));
        };
        return moved(left, parts, zone).map(Meaning::Value);
    }
    if let Some(made) = date_arithmetic(left.clone(), op, right.clone(), zone) {
        return made.map(Meaning::Value);
    }
    if op != Arith::Sub || !(a.is_time() || a == Ty::Unknown) || !(b.is_time() || b == Ty::Unknown) {
        return Err(no_times(&left, op, &right));
    }
    let place = left.place;
    let both = a.max(b);
    let args = vec![coerce(left, both, zone)?, coerce(right, both, zone)?];
    let part = |part: Part| Ex::call(interval::difference(part), args.clone(), Ty::Int8, place);
    Ok(Meaning::Interval([Ex::int(0, place), part(Part::Days), part(Part::Micros)]))
}

/// AGE(late, early)
pub fn age(late: Ex, early: Ex, zone: Tz, place: Place) -> Result<Meaning> {
    let both = if late.ty == Ty::Timestamp || early.ty == Ty::Timestamp { Ty::Timestamp } else { Ty::Timestamptz };
    let clock = |ex: Ex| -> Result<Ex> {
        // By the clock of the zone, as a person counts.
        let ex = coerce(ex, both, zone)?;
        explicit(ex, Ty::Timestamp, zone)
    };
    let args = vec![clock(late)?, clock(early)?];
    let part = |part: Part| Ex::call(interval::age(part), args.clone(), Ty::Int8, place);
    Ok(Meaning::Interval([part(Part::Months), part(Part::Days), part(Part::Micros)]))
}

/// time + interval. A date becomes a timestamp.
pub fn moved(time: Ex, [months, days, micros]: [Ex; 3], zone: Tz) -> Result<Ex> {
    let place = time.place;
    let ty = match time.ty {
        Ty::Date => Ty::Timestamp,
        Ty::Unknown => Ty::Timestamptz,
        other => other,
    };
    let time = coerce(time, ty, zone)?;
    Ok(Ex::call(interval::add(clock_of(ty, zone)), vec![time, months, days, micros], ty, place))
}

/// What an interval is compared, sorted and grouped by: a month counts as thirty days.
pub fn key([months, days, micros]: &[Ex; 3]) -> Ex {
    let day = |n: i64| Ex::int(n, months.place);
    let all = whole(whole(months.clone(), Arith::Mul, day(30)), Arith::Add, days.clone());
    whole(whole(all, Arith::Mul, day(DAY)), Arith::Add, micros.clone())
}

fn pairwise(a: [Ex; 3], op: Arith, b: [Ex; 3]) -> Meaning {
    let [a0, a1, a2] = a;
    let [b0, b1, b2] = b;
    Meaning::Interval([whole(a0, op, b0), whole(a1, op, b1), whole(a2, op, b2)])
}

/// A constant interval, if it is one.
pub fn known(parts: &[Ex; 3]) -> Option<Span> {
    let number = |ex: &Ex| match ex.as_literal() {
        Some(Literal::Int(value)) => Some(*value),
        _ => None,
    };
    Some(Span { months: number(&parts[0])?, days: number(&parts[1])?, micros: number(&parts[2])? })
}

/// interval * number. A part of a month becomes days, a part of a day time.
fn scaled(parts: [Ex; 3], by: Ex, divide: bool, zone: Tz) -> Result<Meaning> {
    if by.ty.is_whole() && !divide {
        let by = if by.ty == Ty::Whole { by } else { coerce(by, Ty::Int8, zone)? };
        return Ok(Meaning::Interval(parts.map(|part| whole(part, Arith::Mul, by.clone()))));
    }
    let place = by.place;
    let by = coerce(by, Ty::Float8, zone)?;
    let part = |which: Part| {
        let mut args = parts.to_vec();
        args.push(by.clone());
        Ex::call(interval::scale(which, divide), args, Ty::Int8, place)
    };
    Ok(Meaning::Interval([part(Part::Months), part(Part::Days), part(Part::Micros)]))
}

impl Binder<'_> {
    /// An operator of which at least one side is an interval.
    pub fn with_interval(&mut self, left: Meaning, op: &Op, right: Meaning) -> Result<Meaning> {
        use Meaning::{Interval, Value};
        let zone = self.zone;
        let undefined = |place: Place| {
            SqlError::new(NO_FUNCTION, place, format!("there is no such operator {op} with an interval"))
        };
        let quoted = |ex: &Ex| -> Option<Result<[Ex; 3]>> {
            let Some(Literal::Text(text)) = ex.as_literal().filter(|_| ex.ty == Ty::Unknown) else { return None };
            Some(parsed(text, None, ex.place).and_then(|m| match m {
                Interval(parts) => Ok(parts),
                Value(ex) => Err(SqlError::unsupported(ex.place, "this interval")),
            }))
        };
        if let Some(cmp) = comparison(op) {
            let (a, b) = match (left, right) {
                (Interval(a), Interval(b)) => (a, b),
                (Interval(a), Value(ex)) => (
                    a,
                    quoted(&ex).ok_or_else(|| {
                        undefined(ex.place)
                            .hint("compare with INTERVAL '5 days', or EXTRACT(EPOCH FROM x) with a number")
                    })??,
                ),
                (Value(ex), Interval(b)) => (
                    quoted(&ex).ok_or_else(|| {
                        undefined(ex.place)
                            .hint("compare with INTERVAL '5 days', or EXTRACT(EPOCH FROM x) with a number")
                    })??,
                    b,
                ),
                (Value(a), Value(_)) => return Err(undefined(a.place)),
            };
            return Ok(Value(Ex::compare(cmp, key(&a), key(&b))));
        }
        Ok(match (left, op, right) {
            (Interval(a), Op::Plus, Interval(b)) => pairwise(a, Arith::Add, b),
            (Interval(a), Op::Minus, Interval(b)) => pairwise(a, Arith::Sub, b),
            (Value(time), Op::Plus, Interval(parts)) | (Interval(parts), Op::Plus, Value(time))
                if time.ty.is_time() || time.ty == Ty::Unknown =>
            {
                Value(moved(time, parts, zone)?)
            }
            (Value(time), Op::Minus, Interval(parts)) if time.ty.is_time() || time.ty == Ty::Unknown => {
                let negated = parts.map(|part| whole(Ex::int(0, part.place), Arith::Sub, part));
                Value(moved(time, negated, zone)?)
            }
            (Interval(parts), Op::Multiply, Value(by)) | (Value(by), Op::Multiply, Interval(parts))
                if by.ty.is_number() =>
            {
                scaled(parts, by, false, zone)?
            }
            (Interval(parts), Op::Divide, Value(by)) if by.ty.is_number() => scaled(parts, by, true, zone)?,
            (Value(ex), ..) | (.., Value(ex)) => return Err(undefined(ex.place)),
            (Interval(parts), ..) => return Err(undefined(parts[0].place)),
        })
    }
}

/// EXTRACT(field FROM interval)
pub fn extract(field: &str, parts: &[Ex; 3], place: Place) -> Result<Ex> {
    let [months, days, micros] = parts;
    let int = |n: i64| Ex::int(n, place);
    let field = Field::named(field)
        .ok_or_else(|| SqlError::new("22023", place, format!("there is no field \"{field}\" in an interval")))?;
    let of = |ex: &Ex, op: Arith, n: i64| whole(ex.clone(), op, int(n));
    let (second, minute, hour) = (1_000_000, 60_000_000, 3_600_000_000);
    let ratio = |micros: Ex, by: i64| -> Ex { Ex::call(math::ratio(by), vec![micros], Ty::Numeric, place) };
    let whole_number = |ex: Ex| Ex { ty: Ty::Whole, ..cast_whole(ex) };
    Ok(match field {
        Field::Year => whole_number(of(months, Arith::Div, 12)),
        Field::Month => whole_number(of(months, Arith::Rem, 12)),
        Field::Day => whole_number(days.clone()),
        Field::Hour => whole_number(of(micros, Arith::Div, hour)),
        Field::Minute => whole_number(of(&of(micros, Arith::Div, minute), Arith::Rem, 60)),
        Field::Second => ratio(of(micros, Arith::Rem, minute), second),
        Field::Milliseconds => ratio(of(micros, Arith::Rem, minute), 1000),
        Field::Microseconds => whole_number(of(micros, Arith::Rem, minute)),
        Field::Quarter => whole_number(of(&of(&of(months, Arith::Rem, 12), Arith::Div, 3), Arith::Add, 1)),
        Field::Epoch => {
            // A year has 365.25 days, a month beyond years thirty.
            let years = of(&of(months, Arith::Div, 12), Arith::Mul, 31_557_600);
            let rest = of(&of(months, Arith::Rem, 12), Arith::Mul, 2_592_000);
            let seconds = whole(whole(years, Arith::Add, rest), Arith::Add, of(days, Arith::Mul, 86_400));
            ratio(whole(of(&seconds, Arith::Mul, second), Arith::Add, micros.clone()), second)
        }
        _ => return Err(SqlError::unsupported(place, "this field of an interval")),
    })
}

/// A bigint as a numeric without a fraction: held alike.
fn cast_whole(ex: Ex) -> Ex {
    match ex.kind {
        Kind::Literal(_) | Kind::Column(_) | Kind::Call(..) => ex,
        kind => Ex::call(math::same_whole(), vec![Ex { kind, ..ex }], Ty::Whole, ex.place),
    }
}

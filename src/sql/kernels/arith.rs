//! + - * / % over whole columns, from left to right: overflow and division by zero are faults, as in Postgres.

use std::sync::Arc;

use polars::prelude::*;
use polars_arrow::bitmap::Bitmap;

use super::columns::Out;
use crate::sql::error::Fault;
use crate::sql::types::Ty;
use crate::sql::value::{Arith, Func};

/// The numbers of a column, one after the other, and which of them are valid. What lies under a NULL is arbitrary.
struct Numbers<T> {
    values: Vec<T>,
    valid: Option<Bitmap>,
}

/// One number for all rows, or one for each.
enum Operand<'a, T> {
    One(Option<T>),
    Each(&'a [T], Option<&'a Bitmap>),
}

/// A chain of operations of one type: the first number, then each with its operator. Gives the fault with the number of
/// the operation that raised it.
pub fn chain(columns: &[Column], ops: &[Arith], ty: Ty) -> PolarsResult<std::result::Result<Column, (Fault, usize)>> {
    if ty.is_whole() {
        let (low, high) = ty.bounds();
        let mut state = ints(&columns[0])?;
        for (step, (op, column)) in ops.iter().zip(&columns[1..]).enumerate() {
            let array = column.i64()?.rechunk();
            if let Err(fault) = whole_step(&mut state, *op, operand(&array), ty, (low, high)) {
                return Ok(Err((fault, step)));
            }
        }
        let out = Int64Chunked::from_vec_validity(PlSmallStr::EMPTY, state.values, state.valid);
        return Ok(Ok(out.into_column()));
    }
    let mut state = floats(&columns[0])?;
    for (step, (op, column)) in ops.iter().zip(&columns[1..]).enumerate() {
        let array = column.f64()?.rechunk();
        if let Err(fault) = float_step(&mut state, *op, operand(&array), ty) {
            return Ok(Err((fault, step)));
        }
    }
    let out = Float64Chunked::from_vec_validity(PlSmallStr::EMPTY, state.values, state.valid);
    Ok(Ok(out.into_column()))
}

fn ints(column: &Column) -> PolarsResult<Numbers<i64>> {
    let array = column.i64()?.rechunk();
    let array = array.downcast_as_array();
    Ok(Numbers { values: array.values().as_slice().to_vec(), valid: array.validity().cloned() })
}

fn floats(column: &Column) -> PolarsResult<Numbers<f64>> {
    let array = column.f64()?.rechunk();
    let array = array.downcast_as_array();
    Ok(Numbers { values: array.values().as_slice().to_vec(), valid: array.validity().cloned() })
}

fn operand<T: PolarsNumericType>(array: &ChunkedArray<T>) -> Operand<'_, T::Native> {
    match array.len() {
        1 => Operand::One(array.get(0)),
        _ => {
            let array = array.downcast_as_array();
            Operand::Each(array.values(), array.validity())
        }
    }
}

fn both(a: Option<Bitmap>, b: Option<&Bitmap>) -> Option<Bitmap> {
    match (a, b) {
        (Some(a), Some(b)) => Some(&a & b),
        (a, b) => a.or_else(|| b.cloned()),
    }
}

/// The two operands of a row, given all those of the left.
type Pair<'a, T> = Box<dyn Fn(&[T], usize) -> (T, T) + 'a>;

/// Applies an operation to every row. Of the first row whose result must raise and which is no NULL, the right operand.
fn apply<T: Copy>(state: &mut Numbers<T>, right: Operand<'_, T>, f: impl Fn(T, T) -> (T, bool)) -> Option<T> {
    let mut any = false;
    let mut step = |x: T, y: T| {
        let (value, bad) = f(x, y);
        any |= bad;
        value
    };
    let (values, pair): (Vec<T>, Pair<'_, T>) = match right {
        Operand::One(None) => {
            state.valid = Some(Bitmap::new_zeroed(state.values.len()));
            return None;
        }
        Operand::One(Some(y)) => {
            (state.values.iter().map(|x| step(*x, y)).collect(), Box::new(move |left, row| (left[row], y)))
        }
        Operand::Each(right, valid) => {
            if let (&[x], true) = (&state.values[..], right.len() != 1) {
                let null = state.valid.as_ref().is_some_and(|v| !v.get_bit(0));
                state.values = vec![x; right.len()];
                state.valid = null.then(|| Bitmap::new_zeroed(right.len()));
            }
            state.valid = both(state.valid.take(), valid);
            let values = state.values.iter().zip(right).map(|(x, y)| step(*x, *y)).collect();
            (values, Box::new(move |left, row| (left[row], right[row])))
        }
    };
    let left = std::mem::replace(&mut state.values, values);
    let valid = |row: &usize| state.valid.as_ref().is_none_or(|v| v.get_bit(*row));
    let mut operands = (0..left.len()).filter(valid).map(|row| pair(&left, row));
    if any { operands.find(|(x, y)| f(*x, *y).1).map(|(_, y)| y) } else { None }
}

fn whole_step(
    state: &mut Numbers<i64>,
    op: Arith,
    right: Operand<'_, i64>,
    ty: Ty,
    (low, high): (i64, i64),
) -> std::result::Result<(), Fault> {
    let narrow = move |(value, bad): (i64, bool)| (value, bad | (value < low) | (value > high));
    let bad = match op {
        Arith::Add => apply(state, right, |x, y| narrow(x.overflowing_add(y))),
        Arith::Sub => apply(state, right, |x, y| narrow(x.overflowing_sub(y))),
        Arith::Mul => apply(state, right, |x, y| narrow(x.overflowing_mul(y))),
        Arith::Div => apply(state, right, |x, y| if y == 0 { (0, true) } else { narrow(x.overflowing_div(y)) }),
        Arith::Rem => apply(state, right, |x, y| if y == 0 { (0, true) } else { (x.wrapping_rem(y), false) }),
    };
    match bad {
        None => Ok(()),
        Some(0) if matches!(op, Arith::Div | Arith::Rem) => Err(Fault::zero()),
        Some(_) => Err(Fault::range(ty.name())),
    }
}

fn float_step(state: &mut Numbers<f64>, op: Arith, right: Operand<'_, f64>, ty: Ty) -> std::result::Result<(), Fault> {
    // float8 raises when finite numbers leave the range; numeric has no such range, and is refused where a float ends.
    let round = move |value: f64| match ty {
        Ty::Float4 => f64::from(value as f32),
        Ty::Numeric => super::math::snapped(value),
        _ => value,
    };
    let beyond = |value: f64, x: f64, y: f64| value.is_infinite() && x.is_finite() && y.is_finite();
    let below = |value: f64, x: f64, y: f64| value == 0.0 && x != 0.0 && y != 0.0;
    let numeric = ty == Ty::Numeric;
    let bad = match op {
        Arith::Add => apply(state, right, |x, y| {
            let value = round(x + y);
            (value, beyond(value, x, y))
        }),
        Arith::Sub => apply(state, right, |x, y| {
            let value = round(x - y);
            (value, beyond(value, x, y))
        }),
        Arith::Mul => apply(state, right, |x, y| {
            let value = round(x * y);
            (value, beyond(value, x, y) || (!numeric && below(value, x, y)))
        }),
        Arith::Div => apply(state, right, |x, y| {
            if y == 0.0 && !x.is_nan() {
                return (0.0, true);
            }
            let value = if numeric { x / y } else { round(x / y) };
            (value, beyond(value, x, y) || (!numeric && value == 0.0 && x != 0.0 && y.is_finite()))
        }),
        Arith::Rem => apply(state, right, |x, y| {
            if y == 0.0 {
                return (0.0, true);
            }
            (round(remainder(x, y)), false)
        }),
    };
    match bad {
        None => Ok(()),
        Some(y) if y == 0.0 && matches!(op, Arith::Div | Arith::Rem) => Err(Fault::zero()),
        Some(_) => Err(Fault::new("22003", "value out of range: a floating-point number overflows or underflows")),
    }
}

/// Of decimals held as floats: 0.3 % 0.1 is 0, because it is asked of the decimal numbers that they stand for.
fn remainder(x: f64, y: f64) -> f64 {
    let decimal = |v: f64| -> Option<(i128, i32)> {
        let text = format!("{v:e}");
        let (mantissa, exponent) = text.split_once('e')?;
        let places = mantissa.split_once('.').map_or(0, |(_, fraction)| fraction.len() as i32);
        let digits: i128 = mantissa.replace('.', "").parse().ok()?;
        Some((digits, exponent.parse::<i32>().ok()? - places))
    };
    let exact = || -> Option<f64> {
        let ((a, a_exponent), (b, b_exponent)) = (decimal(x)?, decimal(y)?);
        let least = a_exponent.min(b_exponent);
        let scaled = |digits: i128, exponent: i32| digits.checked_mul(10i128.checked_pow((exponent - least) as u32)?);
        let rest = scaled(a, a_exponent)? % scaled(b, b_exponent)?;
        format!("{rest}e{least}").parse().ok()
    };
    exact().unwrap_or(x % y)
}

/// -x, of whole numbers.
pub fn negate(ty: Ty) -> Func {
    let run = Arc::new(move |c: &[Column]| -> Out {
        let array = c[0].i64()?.rechunk();
        let mut zeros = Numbers { values: vec![0; array.len()], valid: None };
        let ended = whole_step(&mut zeros, Arith::Sub, operand(&array), ty, ty.bounds());
        let out = Int64Chunked::from_vec_validity(PlSmallStr::EMPTY, zeros.values, zeros.valid);
        Ok(ended.map(|()| out.into_column()))
    });
    Func { name: "negate", parameter: ty.name().into(), run, fallible: true }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn int(values: &[Option<i64>]) -> Column {
        Int64Chunked::from_iter(values.iter().copied()).into_column()
    }

    fn run(ty: Ty, first: Column, rest: &[(Arith, Column)]) -> std::result::Result<Vec<Option<i64>>, Fault> {
        let mut columns = vec![first];
        columns.extend(rest.iter().map(|(_, c)| c.clone()));
        let ops: Vec<Arith> = rest.iter().map(|(op, _)| *op).collect();
        chain(&columns, &ops, ty).unwrap().map(|c| c.i64().unwrap().iter().collect()).map_err(|(fault, _)| fault)
    }

    #[test]
    fn whole_numbers_never_wrap() {
        let max = int(&[Some(i64::MAX), None, Some(1)]);
        assert_eq!(run(Ty::Int8, max.clone(), &[(Arith::Add, int(&[Some(1)]))]), Err(Fault::range("bigint")));
        let ones = int(&[Some(0), Some(1), Some(1)]);
        assert_eq!(
            run(Ty::Int8, max, &[(Arith::Add, ones)]),
            Ok(vec![Some(i64::MAX), None, Some(2)]),
            "what lies under a NULL does not raise"
        );
        assert_eq!(run(Ty::Int2, int(&[Some(32767)]), &[(Arith::Add, int(&[Some(1)]))]), Err(Fault::range("smallint")));
        let ends = int(&[Some(i64::MIN)]);
        assert_eq!(run(Ty::Int8, ends.clone(), &[(Arith::Div, int(&[Some(-1)]))]), Err(Fault::range("bigint")));
        assert_eq!(run(Ty::Int8, ends, &[(Arith::Rem, int(&[Some(-1)]))]), Ok(vec![Some(0)]));
        let (left, right) = (int(&[None, Some(i64::MIN)]), int(&[Some(0), Some(-1)]));
        assert_eq!(
            run(Ty::Int8, left, &[(Arith::Div, right)]),
            Err(Fault::range("bigint")),
            "the zero is under a NULL"
        );
    }

    #[test]
    fn division_truncates_and_raises_for_zero() {
        let left = int(&[Some(7), Some(-7), None]);
        assert_eq!(run(Ty::Int8, left.clone(), &[(Arith::Div, int(&[Some(2)]))]), Ok(vec![Some(3), Some(-3), None]));
        assert_eq!(run(Ty::Int8, left.clone(), &[(Arith::Rem, int(&[Some(3)]))]), Ok(vec![Some(1), Some(-1), None]));
        let zero = int(&[Some(1), Some(1), Some(0)]);
        assert_eq!(run(Ty::Int8, left.clone(), &[(Arith::Div, zero)]), Ok(vec![Some(7), Some(-7), None]));
        assert_eq!(run(Ty::Int8, left, &[(Arith::Div, int(&[Some(0)]))]), Err(Fault::zero()));
    }

    #[test]
    fn a_chain_goes_from_left_to_right_and_one_row_stands_for_all() {
        let steps = [(Arith::Sub, int(&[Some(5)])), (Arith::Sub, int(&[Some(2), Some(3)]))];
        assert_eq!(run(Ty::Int8, int(&[Some(10)]), &steps), Ok(vec![Some(3), Some(2)]));
        let null = [(Arith::Mul, int(&[None])), (Arith::Add, int(&[Some(1), Some(2)]))];
        assert_eq!(run(Ty::Int8, int(&[Some(10), Some(11)]), &null), Ok(vec![None, None]));
    }
}

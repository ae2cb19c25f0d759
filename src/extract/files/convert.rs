//! Values of a file as the few types of a table: exactly, or with the row and the value that cannot be.

use std::sync::Arc;

use arrow::array::types::{Decimal32Type, Decimal64Type, Decimal128Type, Decimal256Type};
use arrow::array::{
    Array, ArrayRef, AsArray, Float64Array, Int64Array, StringViewArray, TimestampMicrosecondArray, new_null_array,
};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{
    DataType, Date64Type, Float64Type, TimeUnit, TimestampMicrosecondType, TimestampMillisecondType,
    TimestampNanosecondType, TimestampSecondType, i256,
};
use arrow::util::display::array_value_to_string;
use chrono_tz::Tz;

use crate::rows::ColumnType;
use crate::sql::kernels::zone;

/// The row, counted from 0, and what is wrong with its value.
pub type Fault = (usize, String);
type Of<T> = Result<T, Fault>;

/// Whole numbers up to this are floats, each a different one.
const EXACT: i128 = 1 << 53;
const DAY_MILLIS: i64 = 86_400_000;

/// An array as the wanted type. A time without a zone is read by the clock of `zone`.
pub fn convert(array: &ArrayRef, wanted: ColumnType, zone: Option<Tz>) -> Of<ArrayRef> {
    use DataType as T;
    match (array.data_type(), wanted) {
        (T::Null, _) => Ok(new_null_array(&wanted.arrow(), array.len())),
        (T::Dictionary(_, value), _) => convert(&cast(array, value)?, wanted, zone),
        (T::RunEndEncoded(_, values), _) => convert(&cast(array, values.data_type())?, wanted, zone),
        (T::Decimal32(..) | T::Decimal64(..) | T::Decimal128(..) | T::Decimal256(..), _) => decimal(array, wanted),
        (T::Binary | T::LargeBinary | T::BinaryView | T::FixedSizeBinary(_), ColumnType::Text) => text(array),
        (T::Date64, ColumnType::Date) => {
            let days = |millis: i64| match millis.rem_euclid(DAY_MILLIS) {
                0 => Ok(millis.div_euclid(DAY_MILLIS)),
                _ => Err("is a date with a time of day".to_owned()),
            };
            let days = each(array, array.as_primitive::<Date64Type>().iter(), days)?;
            cast(&(Arc::new(Int64Array::from(days)) as ArrayRef), &T::Int32).and_then(|days| cast(&days, &T::Date32))
        }
        (T::Timestamp(unit, held), ColumnType::Timestamp) => instants(array, *unit, held.is_none(), zone),
        (held, ColumnType::Float) if held.is_integer() => {
            let wide = cast(array, &T::Decimal128(38, 0))?;
            decimal(&wide, ColumnType::Float)
        }
        (held, ColumnType::Int) if held.is_floating() => whole(&cast(array, &T::Float64)?),
        _ => cast(array, &wanted.arrow()),
    }
}

/// A cast that fails where it would lose a value.
fn cast(array: &ArrayRef, to: &DataType) -> Of<ArrayRef> {
    let strict = CastOptions { safe: false, ..CastOptions::default() };
    let error = match cast_with_options(array, to, &strict) {
        Ok(cast) => return Ok(cast),
        Err(error) => error,
    };
    // Which row it was, a cast does not say.
    let failed = |row: &usize| cast_with_options(&array.slice(*row, 1), to, &strict).is_err();
    let row = (0..array.len()).find(failed).unwrap_or(0);
    Err(fault(array, row, &format!("does not fit ({error})")))
}

fn fault(array: &dyn Array, row: usize, what: &str) -> Fault {
    let value = array_value_to_string(array, row).unwrap_or_default();
    let short: String = value.chars().take(60).collect();
    (row, format!("the value {short} {what}"))
}

/// Values one by one; the first that does not fit is told.
fn each<A, B>(
    array: &ArrayRef,
    values: impl Iterator<Item = Option<A>>,
    convert: impl Fn(A) -> Result<B, String>,
) -> Of<Vec<Option<B>>> {
    let one = |(row, value): (usize, Option<A>)| match value.map(&convert).transpose() {
        Ok(value) => Ok(value),
        Err(what) => Err(fault(array, row, &what)),
    };
    values.enumerate().map(one).collect()
}

fn instants(array: &ArrayRef, unit: TimeUnit, naive: bool, zone: Option<Tz>) -> Of<ArrayRef> {
    let beyond = || "is a timestamp out of range".to_owned();
    let times = |factor: i64| move |value: i64| value.checked_mul(factor).ok_or_else(beyond);
    let micros =
        match unit {
            TimeUnit::Second => each(array, array.as_primitive::<TimestampSecondType>().iter(), times(1_000_000))?,
            TimeUnit::Millisecond => each(array, array.as_primitive::<TimestampMillisecondType>().iter(), times(1000))?,
            TimeUnit::Microsecond => each(array, array.as_primitive::<TimestampMicrosecondType>().iter(), Ok)?,
            // Down, also before 1970.
            TimeUnit::Nanosecond => {
                each(array, array.as_primitive::<TimestampNanosecondType>().iter(), |nanos: i64| {
                    Ok(nanos.div_euclid(1000))
                })?
            }
        };
    let micros = match (naive, zone) {
        (false, _) => micros,
        (true, Some(zone)) => {
            each(array, micros.into_iter(), |local| zone::instant(zone, local).map_err(|_| beyond()))?
        }
        (true, None) => return Err((0, "the column has no time zone".into())),
    };
    Ok(Arc::new(TimestampMicrosecondArray::from(micros).with_timezone("UTC")))
}

/// Floats that are whole numbers, as whole numbers.
fn whole(array: &ArrayRef) -> Of<ArrayRef> {
    let convert = |value: f64| match value {
        // Beyond these no float tells a whole number from its neighbours.
        _ if value.fract() == 0.0 && value.abs() <= EXACT as f64 => Ok(value as i64),
        _ => Err("is not a whole number that a float holds exactly".to_owned()),
    };
    Ok(Arc::new(Int64Array::from(each(array, array.as_primitive::<Float64Type>().iter(), convert)?)))
}

/// Bytes that are UTF-8.
fn text(array: &ArrayRef) -> Of<ArrayRef> {
    let binary = cast(array, &DataType::LargeBinary)?;
    cast(&binary, &DataType::Utf8View)
}

/// Sixteen bytes each, as a UUID is written.
pub fn uuids(array: &ArrayRef) -> Of<ArrayRef> {
    let Some(bytes) = array.as_fixed_size_binary_opt() else { return text(array) };
    let shown = |value: &[u8]| uuid::Uuid::from_slice(value).map(|id| id.to_string()).map_err(|e| e.to_string());
    Ok(Arc::new(StringViewArray::from_iter(each(array, bytes.iter(), shown)?)))
}

fn decimal(array: &ArrayRef, wanted: ColumnType) -> Of<ArrayRef> {
    let scale = match array.data_type() {
        DataType::Decimal32(_, scale)
        | DataType::Decimal64(_, scale)
        | DataType::Decimal128(_, scale)
        | DataType::Decimal256(_, scale) => i32::from(*scale),
        _ => 0,
    };
    let values: Vec<Option<i256>> = match array.data_type() {
        DataType::Decimal32(..) => {
            array.as_primitive::<Decimal32Type>().iter().map(|v| v.map(|v| i256::from_i128(v.into()))).collect()
        }
        DataType::Decimal64(..) => {
            array.as_primitive::<Decimal64Type>().iter().map(|v| v.map(|v| i256::from_i128(v.into()))).collect()
        }
        DataType::Decimal256(..) => array.as_primitive::<Decimal256Type>().iter().collect(),
        _ => array.as_primitive::<Decimal128Type>().iter().map(|v| v.map(i256::from_i128)).collect(),
    };
    let values = values.into_iter();
    match wanted {
        ColumnType::Float => Ok(Arc::new(Float64Array::from(each(array, values, |v| as_float(v, scale))?))),
        ColumnType::Int => Ok(Arc::new(Int64Array::from(each(array, values, |v| as_int(v, scale))?))),
        _ => cast(array, &DataType::Utf8View),
    }
}

/// The nearest float. A whole number that no float holds is refused: it is an identifier, not a measure.
fn as_float(value: i256, scale: i32) -> Result<f64, String> {
    if let Some(small) = value.to_i128().filter(|v| v.abs() <= EXACT)
        && (0..=22).contains(&scale)
    {
        // Both are exact, so that the quotient is the nearest.
        return Ok(small as f64 / 10f64.powi(scale));
    }
    let digits = value.to_string();
    let float: f64 = format!("{digits}e{}", -scale).parse().map_err(|_| "is no number".to_owned())?;
    let whole = as_whole(&digits, scale);
    match whole {
        Some(whole) if format!("{float:.0}") != whole => {
            Err("is a whole number that no float holds: declare the column int or text".into())
        }
        _ => Ok(float),
    }
}

fn as_int(value: i256, scale: i32) -> Result<i64, String> {
    let whole = as_whole(&value.to_string(), scale).ok_or("is not a whole number")?;
    whole.parse().map_err(|_| "is more than a 64-bit integer holds".into())
}

/// The digits of a whole number, when there is nothing but zeros behind the point.
fn as_whole(digits: &str, scale: i32) -> Option<String> {
    let scale = usize::try_from(scale).ok()?;
    let (sign, digits) = digits.strip_prefix('-').map_or(("", digits), |rest| ("-", rest));
    let padded = format!("{digits:0>width$}", width = scale + 1);
    let (whole, fraction) = padded.split_at(padded.len() - scale);
    let sign = if whole.bytes().all(|b| b == b'0') { "" } else { sign };
    fraction.bytes().all(|b| b == b'0').then(|| format!("{sign}{whole}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Date64Array, Decimal128Array, TimestampNanosecondArray};
    use arrow::datatypes::Int64Type;

    fn decimals(values: &[i128], scale: i8) -> ArrayRef {
        Arc::new(Decimal128Array::from(values.to_vec()).with_precision_and_scale(38, scale).unwrap())
    }

    fn floats(array: &ArrayRef) -> Of<Vec<f64>> {
        convert(array, ColumnType::Float, None).map(|a| a.as_primitive::<Float64Type>().values().to_vec())
    }

    fn ints(array: &ArrayRef) -> Of<Vec<i64>> {
        convert(array, ColumnType::Int, None).map(|a| a.as_primitive::<Int64Type>().values().to_vec())
    }

    #[test]
    fn decimals_are_exact_or_the_nearest_float() {
        assert_eq!(floats(&decimals(&[12345, -1, 0], 2)), Ok(vec![123.45, -0.01, 0.0]));
        assert_eq!(floats(&decimals(&[123_456_789_012_345_678_901], 10)), Ok(vec![12_345_678_901.234_568]));
        assert_eq!(floats(&decimals(&[900_719_925_474_099_200], 2)), Ok(vec![9_007_199_254_740_992.0]));
        let (row, what) = floats(&decimals(&[100, 900_719_925_474_099_300], 2)).unwrap_err();
        assert!(row == 1 && what.contains("9007199254740993.00") && what.contains("no float holds"), "{what}");
        assert_eq!(ints(&decimals(&[700, -100, 0], 2)), Ok(vec![7, -1, 0]));
        assert_eq!(ints(&decimals(&[i128::from(i64::MIN)], 0)), Ok(vec![i64::MIN]));
        assert!(ints(&decimals(&[701], 2)).unwrap_err().1.contains("not a whole number"));
        assert!(ints(&decimals(&[i128::from(i64::MAX) + 1], 0)).is_err());
        let text = convert(&decimals(&[150, -5], 2), ColumnType::Text, None).unwrap();
        assert_eq!(text.as_string_view().iter().flatten().collect::<Vec<_>>(), ["1.50", "-0.05"]);
    }

    #[test]
    fn a_number_is_another_only_when_nothing_is_lost() {
        let floats_of = |values: &[f64]| Arc::new(Float64Array::from(values.to_vec())) as ArrayRef;
        assert_eq!(ints(&floats_of(&[1.0, -2.0, 9_007_199_254_740_992.0])), Ok(vec![1, -2, 1 << 53]));
        for wrong in [0.5, f64::NAN, f64::INFINITY, 1e300] {
            assert_eq!(ints(&floats_of(&[1.0, wrong])).unwrap_err().0, 1);
        }
        let ints_of = |values: &[i64]| Arc::new(Int64Array::from(values.to_vec())) as ArrayRef;
        assert_eq!(floats(&ints_of(&[1, -3])), Ok(vec![1.0, -3.0]));
        assert_eq!(floats(&ints_of(&[i64::MIN])), Ok(vec![i64::MIN as f64]));
        assert!(floats(&ints_of(&[1, (1 << 53) + 1])).is_err());
    }

    #[test]
    fn times_are_rounded_down_and_read_by_their_clock() {
        let micros = |array: &ArrayRef, zone| {
            convert(array, ColumnType::Timestamp, zone)
                .map(|a| a.as_primitive::<TimestampMicrosecondType>().values().to_vec())
        };
        let nanos = TimestampNanosecondArray::from(vec![-1, -1500, 1500]);
        assert_eq!(micros(&(Arc::new(nanos.clone().with_timezone("UTC")) as ArrayRef), None), Ok(vec![-1, -2, 1]));
        let naive = Arc::new(nanos) as ArrayRef;
        assert!(micros(&naive, None).is_err());
        let hour = 3_600_000_000;
        assert_eq!(micros(&naive, Some(Tz::Europe__Berlin)), Ok(vec![-hour - 1, -hour - 2, 1 - hour]));
        let days =
            |values: &[i64]| convert(&(Arc::new(Date64Array::from(values.to_vec())) as _), ColumnType::Date, None);
        assert_eq!(array_value_to_string(&days(&[-DAY_MILLIS]).unwrap(), 0).unwrap(), "1969-12-31");
        assert!(days(&[1]).is_err());
    }
}

//! Aggregates that the engine has not, or has with another meaning: the values of one group, one result.

use polars::prelude::*;

use super::columns::{Bools, Floats, Get, Ints, Texts};

/// Aggregates of ours. Each sees the columns of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// Text, one behind the other with a separator between; its columns are the text and the separator.
    StringAgg,
    /// The value at a fraction of the ordered values, or between two.
    PercentileCont,
    PercentileDisc,
    /// The most frequent; of several, the smallest.
    Mode,
    BoolAnd,
    BoolOr,
    BitAnd,
    BitOr,
    BitXor,
    /// Two columns of floats.
    Corr,
    CovarPop,
    CovarSamp,
    RegrSlope,
    RegrIntercept,
    RegrR2,
    RegrCount,
    RegrAvgX,
    RegrAvgY,
    RegrSxx,
    RegrSyy,
    RegrSxy,
    /// How many different rows; its columns are those of the row. Rows with a NULL count, or do not.
    DistinctRows {
        nulls: bool,
    },
    /// The first row in the order.
    First,
    Last,
}

/// The rows of a group in the order of its keys, which are the last of its columns.
pub fn ordered(columns: &[Column], keys: &[(bool, bool)]) -> PolarsResult<Vec<Column>> {
    if keys.is_empty() || columns.first().is_none_or(|c| c.len() < 2) {
        return Ok(columns.to_vec());
    }
    let (values, by) = columns.split_at(columns.len() - keys.len());
    let options = SortMultipleOptions {
        descending: keys.iter().map(|(descending, _)| *descending).collect(),
        nulls_last: keys.iter().map(|(_, last)| *last).collect(),
        maintain_order: true,
        multithreaded: false,
        ..SortMultipleOptions::default()
    };
    let order = match by {
        [one] => one.as_materialized_series().arg_sort(SortOptions {
            descending: keys[0].0,
            nulls_last: keys[0].1,
            maintain_order: true,
            multithreaded: false,
            limit: None,
        }),
        [first, rest @ ..] => first.as_materialized_series().arg_sort_multiple(rest, &options)?,
        [] => return Ok(values.to_vec()),
    };
    values.iter().map(|c| if c.len() == 1 { Ok(c.clone()) } else { c.take(&order) }).collect()
}

/// The result of a group.
pub fn value(group: Group, columns: &[Column], dtype: &DataType) -> PolarsResult<Scalar> {
    let null = || Scalar::null(dtype.clone());
    let float = |v: Option<f64>| v.map_or_else(null, |v| Scalar::new(DataType::Float64, AnyValue::Float64(v)));
    let int = |v: Option<i64>| v.map_or_else(null, |v| Scalar::new(DataType::Int64, AnyValue::Int64(v)));
    let bool = |v: Option<bool>| v.map_or_else(null, |v| Scalar::new(DataType::Boolean, AnyValue::Boolean(v)));
    Ok(match group {
        Group::StringAgg => string_agg(columns)?
            .map_or_else(null, |text| Scalar::new(DataType::String, AnyValue::StringOwned(text.as_str().into()))),
        Group::PercentileCont => float(percentile_cont(columns)?),
        Group::PercentileDisc => one_row(&columns[0], percentile_row(columns)?, dtype),
        Group::Mode => one_row(&columns[0], mode_row(&columns[0]), dtype),
        Group::First => one_row(&columns[0], (!columns[0].is_empty()).then_some(0), dtype),
        Group::Last => one_row(&columns[0], columns[0].len().checked_sub(1), dtype),
        Group::BoolAnd | Group::BoolOr => {
            let values = Bools::of(&columns[0])?;
            let wanted = group == Group::BoolOr;
            bool(values.0.iter().flatten().reduce(|a, b| if wanted { a | b } else { a & b }))
        }
        Group::BitAnd | Group::BitOr | Group::BitXor => {
            let values = Ints::of(&columns[0])?;
            int(values.0.iter().flatten().reduce(|a, b| match group {
                Group::BitAnd => a & b,
                Group::BitOr => a | b,
                _ => a ^ b,
            }))
        }
        Group::DistinctRows { nulls } => int(Some(distinct_rows(columns, nulls)?)),
        Group::RegrCount => int(Some(Moments::of(columns)?.n as i64)),
        _ => float(Moments::of(columns)?.result(group)),
    })
}

fn one_row(column: &Column, row: Option<usize>, dtype: &DataType) -> Scalar {
    let found = row.and_then(|row| column.get(row).ok()).map(|v| v.into_static());
    found.map_or_else(|| Scalar::null(dtype.clone()), |v| Scalar::new(dtype.clone(), v))
}

fn string_agg(columns: &[Column]) -> PolarsResult<Option<String>> {
    let (texts, separators) = (Texts::of(&columns[0])?, Texts::of(&columns[1])?);
    let mut out: Option<String> = None;
    for row in 0..texts.rows() {
        let Some(text) = texts.at(row) else { continue };
        match &mut out {
            None => out = Some(text.to_owned()),
            Some(out) => {
                out.push_str(separators.at(row).unwrap_or_default());
                out.push_str(text);
            }
        }
    }
    Ok(out)
}

/// The fraction of a percentile, if there are rows to take it of.
fn fraction(column: &Column, rows: bool) -> PolarsResult<Option<f64>> {
    if rows { Ok(Floats::of(column)?.at(0)) } else { Ok(None) }
}

/// Its columns are the values in their order and the fraction.
fn percentile_cont(columns: &[Column]) -> PolarsResult<Option<f64>> {
    let values = columns[0].drop_nulls();
    let Some(fraction) = fraction(&columns[1], !values.is_empty())? else { return Ok(None) };
    let values = Floats::of(&values)?;
    let place = fraction * (values.rows() - 1) as f64;
    let (low, high) = (values.at(place.floor() as usize), values.at(place.ceil() as usize));
    Ok(low.zip(high).map(|(low, high)| low + (place - place.floor()) * (high - low)))
}

/// The row among those that are not NULL, which stand before or behind the others.
fn percentile_row(columns: &[Column]) -> PolarsResult<Option<usize>> {
    let count = columns[0].len() - columns[0].null_count();
    let Some(fraction) = fraction(&columns[1], count > 0)? else { return Ok(None) };
    let place = ((fraction * count as f64).ceil() as usize).clamp(1, count) - 1;
    let valid = columns[0].is_not_null();
    Ok(valid.iter().enumerate().filter(|(_, v)| *v == Some(true)).nth(place).map(|(row, _)| row))
}

/// Of ordered values, the first of the longest run.
fn mode_row(values: &Column) -> Option<usize> {
    let series = values.as_materialized_series();
    let (mut best, mut begin): (Option<(usize, usize)>, usize) = (None, 0);
    for row in 1..=series.len() {
        let same = row < series.len() && matches!((series.get(row), series.get(begin)), (Ok(a), Ok(b)) if a == b);
        if !same {
            let null = matches!(series.get(begin), Ok(AnyValue::Null));
            if !null && best.is_none_or(|(_, length)| row - begin > length) {
                best = Some((begin, row - begin));
            }
            begin = row;
        }
    }
    best.map(|(row, _)| row)
}

fn distinct_rows(columns: &[Column], nulls: bool) -> PolarsResult<i64> {
    let height = columns[0].len();
    let named = columns.iter().enumerate().map(|(i, c)| c.clone().with_name(format!("{i}").into())).collect();
    let frame = DataFrame::new(height, named)?;
    let frame = if nulls { frame } else { frame.drop_nulls::<&str>(None)? };
    let groups = frame.group_by((0..columns.len()).map(|i| format!("{i}")))?;
    Ok(groups.get_groups().len() as i64)
}

/// Sums of pairs in which neither is NULL; the first of a pair is y.
struct Moments {
    n: f64,
    mean_x: f64,
    mean_y: f64,
    xx: f64,
    yy: f64,
    xy: f64,
}

impl Moments {
    fn of(columns: &[Column]) -> PolarsResult<Moments> {
        let (ys, xs) = (Floats::of(&columns[0])?, Floats::of(&columns[1])?);
        let mut m = Moments { n: 0.0, mean_x: 0.0, mean_y: 0.0, xx: 0.0, yy: 0.0, xy: 0.0 };
        for row in 0..super::columns::rows(&[ys.rows(), xs.rows()]) {
            let (Some(y), Some(x)) = (ys.at(row), xs.at(row)) else { continue };
            m.n += 1.0;
            let (dx, dy) = (x - m.mean_x, y - m.mean_y);
            m.mean_x += dx / m.n;
            m.mean_y += dy / m.n;
            m.xx += dx * (x - m.mean_x);
            m.yy += dy * (y - m.mean_y);
            m.xy += dx * (y - m.mean_y);
        }
        Ok(m)
    }

    fn result(&self, group: Group) -> Option<f64> {
        let Moments { n, mean_x, mean_y, xx, yy, xy } = *self;
        let some = n > 0.0;
        match group {
            Group::Corr => (some && xx != 0.0 && yy != 0.0).then(|| xy / (xx * yy).sqrt()),
            Group::CovarPop => some.then(|| xy / n),
            Group::CovarSamp => (n > 1.0).then(|| xy / (n - 1.0)),
            Group::RegrSlope => (some && xx != 0.0).then(|| xy / xx),
            Group::RegrIntercept => (some && xx != 0.0).then(|| mean_y - mean_x * xy / xx),
            Group::RegrR2 if some && xx != 0.0 => Some(if yy == 0.0 { 1.0 } else { xy * xy / (xx * yy) }),
            Group::RegrAvgX => some.then_some(mean_x),
            Group::RegrAvgY => some.then_some(mean_y),
            Group::RegrSxx => some.then_some(xx),
            Group::RegrSyy => some.then_some(yy),
            Group::RegrSxy => some.then_some(xy),
            _ => None,
        }
    }
}

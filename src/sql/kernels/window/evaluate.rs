//! Window functions over the frames of each row.

use std::cmp::Ordering;

use polars::prelude::*;

use super::bounds::Rows;
use super::slide::{fold, slide};
use crate::sql::error::Fault;
use crate::sql::kernels::columns::{Floats, Get, Ints, Put};
use crate::sql::kernels::group::{self, Group};
use crate::sql::kernels::math;
use crate::sql::types::Ty;

/// What a window function does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Over {
    RowNumber,
    Rank,
    DenseRank,
    PercentRank,
    CumeDist,
    /// Its argument: how many parts.
    Ntile,
    /// Value, offset, default.
    Lag,
    Lead,
    FirstValue,
    LastValue,
    /// Value, which.
    NthValue,
    CountRows,
    Count,
    CountDistinct,
    Sum,
    Avg,
    Min,
    Max,
    /// Deviation or variance, of the sample or of all.
    Spread {
        root: bool,
        sample: bool,
    },
    /// An aggregate of ours.
    Group(Group),
}

type Made = PolarsResult<std::result::Result<Column, Fault>>;

/// The results, one a row. `frames` are the rows that each row's frame has.
pub fn evaluate(over: Over, ty: Ty, rows: &Rows, frames: &[(u32, u32)], args: &[Column]) -> Made {
    let n = rows.count();
    let ints = |each: &dyn Fn(usize) -> i64| i64::column((0..n).map(|row| Some(each(row))));
    let floats = |each: &dyn Fn(usize) -> f64| f64::column((0..n).map(|row| Some(each(row))));
    let size = |row: usize| (rows.partition[row].1 - rows.partition[row].0) as i64;
    let place = |row: usize| row as i64 - i64::from(rows.partition[row].0);
    let rank = |row: usize| i64::from(rows.peers[row].0 - rows.partition[row].0);
    Ok(Ok(match over {
        Over::RowNumber => ints(&|row| place(row) + 1),
        Over::Rank => ints(&|row| rank(row) + 1),
        Over::DenseRank => {
            let mut dense = 0;
            i64::column((0..n).map(|row| {
                if rows.partition[row].0 as usize == row {
                    dense = 0;
                }
                dense += i64::from(rows.peers[row].0 as usize == row);
                Some(dense)
            }))
        }
        Over::PercentRank => floats(&|row| if size(row) > 1 { rank(row) as f64 / (size(row) - 1) as f64 } else { 0.0 }),
        Over::CumeDist => floats(&|row| f64::from(rows.peers[row].1 - rows.partition[row].0) / size(row) as f64),
        Over::Ntile => return ntile(rows, &args[0], &size, &place),
        Over::Lag | Over::Lead => return shifted(over == Over::Lead, rows, args),
        Over::FirstValue => taken(&args[0], frames.iter().map(|(start, end)| (start < end).then_some(*start)))?,
        Over::LastValue => taken(&args[0], frames.iter().map(|(start, end)| (start < end).then(|| end - 1)))?,
        Over::NthValue => return nth(frames, args),
        Over::CountRows => ints(&|row| i64::from(frames[row].1 - frames[row].0)),
        Over::Count => counted(&args[0], frames),
        Over::Sum if ty.is_whole() => return sum_whole(&Ints::of(&args[0])?, frames, ty),
        Over::Sum => return sum_float(&Floats::of(&args[0])?, frames, ty),
        Over::Avg => average(&args[0], frames, ty)?,
        Over::Min | Over::Max => extreme(&args[0], frames, over == Over::Max)?,
        Over::Spread { root, sample } => spread(&Floats::of(&args[0].cast(&DataType::Float64)?)?, frames, root, sample),
        Over::CountDistinct | Over::Group(_) => by_slices(over, ty, frames, args)?,
    }))
}

fn ntile(rows: &Rows, parts: &Column, size: &dyn Fn(usize) -> i64, place: &dyn Fn(usize) -> i64) -> Made {
    let parts = Ints::of(parts)?;
    crate::sql::kernels::columns::collect(rows.count(), |row| {
        // The number of parts is that of the partition's first row.
        let Some(parts) = parts.at(rows.partition[row].0 as usize) else { return Ok(None) };
        if parts <= 0 {
            return Err(Fault::new("22014", "argument of ntile must be greater than zero"));
        }
        let (each, larger) = (size(row) / parts, size(row) % parts);
        let place = place(row);
        let first = larger * (each + 1);
        Ok(Some(if place < first { place / (each + 1) } else { larger + (place - first) / each.max(1) } + 1))
    })
}

fn taken(values: &Column, from: impl Iterator<Item = Option<u32>>) -> PolarsResult<Column> {
    let index: IdxCa = from.collect();
    let values = if values.len() == 1 { values.new_from_index(0, index.len().max(1)) } else { values.clone() };
    values.take(&index)
}

fn shifted(ahead: bool, rows: &Rows, args: &[Column]) -> Made {
    let offsets = Ints::of(&args[1])?;
    let target = |row: usize| -> Option<std::result::Result<u32, ()>> {
        let by = offsets.at(row)?;
        let wanted = if ahead { (row as i64).checked_add(by) } else { (row as i64).checked_sub(by) };
        let (first, behind) = rows.partition[row];
        let inside = wanted.filter(|w| (i64::from(first)..i64::from(behind)).contains(w));
        Some(inside.map(|w| w as u32).ok_or(()))
    };
    let found = taken(&args[0], (0..rows.count()).map(|row| target(row).and_then(|t| t.ok())))?;
    let Some(default) = args.get(2) else { return Ok(Ok(found)) };
    // The default stands where the row is outside of the partition, not where its value or the offset is NULL.
    let default = if default.len() == 1 { default.new_from_index(0, rows.count()) } else { default.clone() };
    let keep: BooleanChunked = (0..rows.count()).map(|row| Some(!matches!(target(row), Some(Err(()))))).collect();
    Ok(Ok(found.zip_with(&keep, &default)?))
}

fn nth(frames: &[(u32, u32)], args: &[Column]) -> Made {
    let which = Ints::of(&args[1])?;
    let mut rows = Vec::with_capacity(frames.len());
    for (row, (start, end)) in frames.iter().enumerate() {
        let row = match which.at(row) {
            Some(n) if n <= 0 => {
                return Ok(Err(Fault::new("22016", "argument of nth_value must be greater than zero")));
            }
            Some(n) if n <= i64::from(end - start) => Some(start + (n - 1) as u32),
            _ => None,
        };
        rows.push(row);
    }
    Ok(Ok(taken(&args[0], rows.into_iter())?))
}

fn valid(values: &Column, rows: usize) -> Vec<bool> {
    let valid = values.is_not_null();
    if valid.len() == 1 {
        vec![valid.get(0) == Some(true); rows]
    } else {
        valid.iter().map(|v| v == Some(true)).collect()
    }
}

fn counted(values: &Column, frames: &[(u32, u32)]) -> Column {
    let mut sums = vec![0i64];
    for valid in valid(values, frames.len()) {
        sums.push(sums[sums.len() - 1] + i64::from(valid));
    }
    i64::column(frames.iter().map(|(start, end)| Some(sums[*end as usize] - sums[*start as usize])))
}

fn sum_whole(values: &Ints, frames: &[(u32, u32)], ty: Ty) -> Made {
    let mut sums = vec![(0i128, 0u32)];
    for row in 0..frames.len() {
        let (sum, count) = sums[row];
        sums.push(values.at(row).map_or((sum, count), |v| (sum + i128::from(v), count + 1)));
    }
    crate::sql::kernels::columns::collect(frames.len(), |row| {
        let (start, end) = (sums[frames[row].0 as usize], sums[frames[row].1 as usize]);
        if start.1 == end.1 {
            return Ok(None);
        }
        i64::try_from(end.0 - start.0).map(Some).map_err(|_| Fault::range(ty.name()))
    })
}

/// Count and sum of the values that are not NULL.
fn sums(values: &Floats, frames: &[(u32, u32)], mut out: impl FnMut(usize, i64, f64)) {
    let value = |row: usize| values.at(row).map_or((0i64, 0.0), |v| (1, v));
    // An empty part adds nothing: 0.0 + -0.0 would be 0.0.
    let add = |a: &(i64, f64), b: &(i64, f64)| match (a.0, b.0) {
        (0, _) => *b,
        (_, 0) => *a,
        _ => (a.0 + b.0, a.1 + b.1),
    };
    fold(frames, (0, 0.0), value, add, |row, (count, sum)| out(row, *count, *sum));
}

fn sum_float(values: &Floats, frames: &[(u32, u32)], ty: Ty) -> Made {
    let finite = (0..frames.len()).all(|row| values.at(row).is_none_or(f64::is_finite));
    let mut out = Vec::with_capacity(frames.len());
    let decimal = |sum: f64| if ty == Ty::Numeric { math::snapped_sum(sum) } else { sum };
    sums(values, frames, |_, count, sum| out.push((count > 0).then(|| decimal(sum))));
    if finite && out.iter().flatten().any(|sum| !sum.is_finite()) {
        return Ok(Err(Fault::new("22003", "value out of range: overflow")));
    }
    Ok(Ok(f64::column(out.into_iter())))
}

fn average(values: &Column, frames: &[(u32, u32)], ty: Ty) -> PolarsResult<Column> {
    if values.dtype() == &DataType::Int64 {
        let values = Ints::of(values)?;
        let mut sums = vec![(0i128, 0u32)];
        for row in 0..frames.len() {
            let (sum, count) = sums[row];
            sums.push(values.at(row).map_or((sum, count), |v| (sum + i128::from(v), count + 1)));
        }
        return Ok(f64::column(frames.iter().map(|(start, end)| {
            let (start, end) = (sums[*start as usize], sums[*end as usize]);
            (start.1 < end.1).then(|| (end.0 - start.0) as f64 / f64::from(end.1 - start.1))
        })));
    }
    let mut out = Vec::with_capacity(frames.len());
    let mean = |sum: f64, count: f64| match ty {
        Ty::Numeric => math::decimal_mean(sum, count),
        _ => sum / count,
    };
    sums(&Floats::of(values)?, frames, |_, count, sum| out.push((count > 0).then(|| mean(sum, count as f64))));
    Ok(f64::column(out.into_iter()))
}

/// The row of the smallest or the largest value of each frame.
fn extreme(values: &Column, frames: &[(u32, u32)], largest: bool) -> PolarsResult<Column> {
    let physical = values.to_physical_repr();
    let valid = valid(values, frames.len());
    let order: Box<dyn Fn(u32, u32) -> Ordering> = match physical.dtype() {
        DataType::String => {
            let texts = crate::sql::kernels::columns::Texts::of(&physical)?;
            Box::new(move |a, b| texts.at(a as usize).cmp(&texts.at(b as usize)))
        }
        DataType::Float64 => {
            let floats = Floats::of(&physical)?;
            Box::new(move |a, b| match (floats.at(a as usize), floats.at(b as usize)) {
                (Some(a), Some(b)) => a.partial_cmp(&b).unwrap_or_else(|| a.is_nan().cmp(&b.is_nan())),
                _ => Ordering::Equal,
            })
        }
        _ => {
            let ints = Ints::of(&physical.cast(&DataType::Int64)?)?;
            Box::new(move |a, b| ints.at(a as usize).cmp(&ints.at(b as usize)))
        }
    };
    let value = |row: usize| valid[row].then_some(row as u32);
    let better = |a: &Option<u32>, b: &Option<u32>| match (a, b) {
        (Some(x), Some(y)) => {
            let wanted = if largest { Ordering::Greater } else { Ordering::Less };
            if order(*y, *x) == wanted { *b } else { *a }
        }
        _ => a.or(*b),
    };
    let mut found = vec![None; frames.len()];
    slide(frames, None, value, better, |row, best| found[row] = *best);
    taken(values, found.into_iter())
}

fn spread(values: &Floats, frames: &[(u32, u32)], root: bool, sample: bool) -> Column {
    // Count, mean, and the sum of squares around it.
    let value = |row: usize| values.at(row).map_or((0.0, 0.0, 0.0), |v| (1.0, v, 0.0 * v));
    let merge = |a: &(f64, f64, f64), b: &(f64, f64, f64)| {
        let n = a.0 + b.0;
        if a.0 == 0.0 || b.0 == 0.0 {
            return if a.0 == 0.0 { *b } else { *a };
        }
        let apart = b.1 - a.1;
        (n, a.1 + apart * b.0 / n, a.2 + b.2 + apart * apart * a.0 * b.0 / n)
    };
    let mut out = vec![None; frames.len()];
    fold(frames, (0.0, 0.0, 0.0), value, merge, |row, (n, _, squares)| {
        let by = if sample { n - 1.0 } else { *n };
        out[row] = (by > 0.0).then(|| if root { (squares / by).sqrt() } else { squares / by });
    });
    f64::column(out.into_iter())
}

/// Aggregates that look at the rows of each frame anew, but not twice at the same frame.
fn by_slices(over: Over, ty: Ty, frames: &[(u32, u32)], args: &[Column]) -> PolarsResult<Column> {
    let dtype = ty.held();
    let full: Vec<Column> =
        args.iter().map(|c| if c.len() == 1 { c.new_from_index(0, frames.len()) } else { c.clone() }).collect();
    let mut out: Vec<AnyValue<'static>> = Vec::with_capacity(frames.len());
    let mut last: Option<(u32, u32)> = None;
    for frame in frames {
        if last == Some(*frame)
            && let Some(value) = out.last()
        {
            out.push(value.clone());
            continue;
        }
        let part: Vec<Column> = full.iter().map(|c| c.slice(frame.0.into(), (frame.1 - frame.0) as usize)).collect();
        let value = match over {
            Over::Group(group) => group::value(group, &part, &dtype)?.into_value(),
            _ => AnyValue::Int64(part[0].drop_nulls().n_unique()? as i64),
        };
        out.push(value);
        last = Some(*frame);
    }
    Ok(Series::from_any_values_and_dtype(PlSmallStr::EMPTY, &out, &dtype, false)?.into_column())
}

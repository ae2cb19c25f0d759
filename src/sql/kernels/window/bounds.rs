//! Which rows of its partition the frame of each row has.

use chrono_tz::Tz;
use polars::prelude::*;

use crate::sql::error::Fault;
use crate::sql::kernels::columns::{Get, Ints};
use crate::sql::kernels::interval;
use crate::sql::kernels::zone::DAY;
use crate::sql::types::Ty;
use crate::sql::value::{Bound, Frame, Offset, Units};

/// Rows in the order of partition and keys: where partitions begin, and where rows begin that are no peers of the row
/// before.
pub struct Rows {
    /// For each row, the first of its partition and the first behind it.
    pub partition: Vec<(u32, u32)>,
    /// For each row, the first of its peers and the first behind them.
    pub peers: Vec<(u32, u32)>,
}

impl Rows {
    /// `starts` says which rows begin a partition, `changes` which begin a group of peers.
    pub fn new(starts: &BooleanChunked, changes: &BooleanChunked) -> Rows {
        let starts: Vec<bool> = starts.iter().map(|v| v == Some(true)).collect();
        let changes: Vec<bool> = changes.iter().zip(&starts).map(|(v, s)| *s || v == Some(true)).collect();
        Rows { partition: spans(&starts), peers: spans(&changes) }
    }

    pub fn count(&self) -> usize {
        self.partition.len()
    }
}

fn spans(starts: &[bool]) -> Vec<(u32, u32)> {
    let mut out = vec![(0, 0); starts.len()];
    let mut begin = 0;
    for row in 1..=starts.len() {
        if row == starts.len() || starts[row] {
            out[begin..row].fill((begin as u32, row as u32));
            begin = row;
        }
    }
    out
}

/// The one key that RANGE with an offset measures on.
pub struct Measure {
    pub ty: Ty,
    pub descending: bool,
    pub nulls_last: bool,
    pub zone: Tz,
}

/// The frame of each row, as rows from the first to the one behind the last.
pub fn frames(
    rows: &Rows,
    frame: Frame,
    key: Option<(&Column, &Measure)>,
) -> PolarsResult<std::result::Result<Vec<(u32, u32)>, Fault>> {
    let offset = |bound: Bound| matches!(bound, Bound::Preceding(_) | Bound::Following(_));
    let measured = frame.units == Units::Range && (offset(frame.start) || offset(frame.end));
    let values = match key {
        Some((column, measure)) if measured => Some(Values::read(column, measure)?),
        _ => None,
    };
    let groups = if frame.units == Units::Groups { Some(Groups::new(rows)) } else { None };
    let mut out = Vec::with_capacity(rows.count());
    for row in 0..rows.count() {
        let one = |bound: Bound, end: bool| -> std::result::Result<i64, Fault> {
            match (frame.units, bound) {
                (_, Bound::Unbounded) => Ok(i64::from(if end { rows.partition[row].1 } else { rows.partition[row].0 })),
                (Units::Rows, Bound::Current) => Ok(row as i64 + i64::from(end)),
                (_, Bound::Current) => Ok(i64::from(if end { rows.peers[row].1 } else { rows.peers[row].0 })),
                (Units::Rows, bound) => Ok((row as i64).saturating_add(steps(bound)).saturating_add(i64::from(end))),
                (Units::Groups, bound) => Ok(groups.as_ref().map_or(0, |g| g.edge(rows, row, steps(bound), end))),
                (Units::Range, bound) => match &values {
                    Some(values) => values.edge(rows, row, bound, end),
                    None => Ok(0),
                },
            }
        };
        let (first, behind) = rows.partition[row];
        let bounds = one(frame.start, false).and_then(|start| Ok((start, one(frame.end, true)?)));
        let (start, end) = match bounds {
            Ok(bounds) => bounds,
            Err(fault) => return Ok(Err(fault)),
        };
        let start = start.clamp(first.into(), behind.into());
        let end = end.clamp(start, behind.into());
        out.push((start as u32, end as u32));
    }
    Ok(Ok(out))
}

fn steps(bound: Bound) -> i64 {
    match bound {
        Bound::Preceding(Offset::Whole(n)) => n.saturating_neg(),
        Bound::Following(Offset::Whole(n)) => n,
        _ => 0,
    }
}

/// The groups of peers of all partitions, numbered.
struct Groups {
    number: Vec<u32>,
    spans: Vec<(u32, u32)>,
}

impl Groups {
    fn new(rows: &Rows) -> Groups {
        let (mut number, mut spans) = (Vec::with_capacity(rows.count()), Vec::new());
        for (row, span) in rows.peers.iter().enumerate() {
            if span.0 as usize == row {
                spans.push(*span);
            }
            number.push(spans.len() as u32 - 1);
        }
        Groups { number, spans }
    }

    fn edge(&self, rows: &Rows, row: usize, by: i64, end: bool) -> i64 {
        let wanted = i64::from(self.number[row]).saturating_add(by);
        let (first, behind) = rows.partition[row];
        let (lowest, highest) = (i64::from(self.number[first as usize]), i64::from(self.number[behind as usize - 1]));
        if wanted < lowest {
            return first.into();
        }
        if wanted > highest {
            return behind.into();
        }
        let span = self.spans[wanted as usize];
        i64::from(if end { span.1 } else { span.0 })
    }
}

/// The values of the key, ascending in the order of the rows: of a descending key, their opposites.
struct Values<'a> {
    whole: Vec<Option<i128>>,
    float: Option<Vec<Option<f64>>>,
    measure: &'a Measure,
}

impl<'a> Values<'a> {
    fn read(column: &Column, measure: &'a Measure) -> PolarsResult<Values<'a>> {
        let physical = column.to_physical_repr();
        if measure.ty.is_float() || measure.ty == Ty::Numeric {
            let turn = if measure.descending { -1.0 } else { 1.0 };
            let floats = column.f64()?.iter().map(|v| v.map(|v| v * turn)).collect();
            return Ok(Values { whole: Vec::new(), float: Some(floats), measure });
        }
        let scale = if measure.ty == Ty::Date { i128::from(DAY) } else { 1 };
        let ints = Ints::of(&physical.cast(&DataType::Int64)?)?;
        let turn = if measure.descending { -1 } else { 1 };
        let whole = ints.0.iter().map(|v| v.map(|v| i128::from(v) * scale * turn)).collect();
        Ok(Values { whole, float: None, measure })
    }

    fn null(&self, row: usize) -> bool {
        match &self.float {
            Some(values) => values[row].is_none(),
            None => self.whole[row].is_none(),
        }
    }

    /// Where the frame of a row begins or ends when the key may differ by so much.
    fn edge(&self, rows: &Rows, row: usize, bound: Bound, end: bool) -> std::result::Result<i64, Fault> {
        if self.null(row) {
            let peers = rows.peers[row];
            return Ok(i64::from(if end { peers.1 } else { peers.0 }));
        }
        // The rows of the partition whose key is no NULL.
        let (mut first, mut behind) = (rows.partition[row].0 as usize, rows.partition[row].1 as usize);
        if self.measure.nulls_last {
            behind = rows.peers[behind - 1].1 as usize;
            if self.null(behind - 1) {
                behind = rows.peers[behind - 1].0 as usize;
            }
        } else if self.null(first) {
            first = rows.peers[first].1 as usize;
        }
        let count = match &self.float {
            Some(values) => {
                let target = self.float_target(values[row].unwrap_or_default(), bound);
                let before = |v: &Option<f64>| v.is_some_and(|v| below(v, target, end));
                values[first..behind].partition_point(before)
            }
            None => {
                let target = self.whole_target(self.whole[row].unwrap_or_default(), bound)?;
                let before = |v: &Option<i128>| v.is_some_and(|v| if end { v <= target } else { v < target });
                self.whole[first..behind].partition_point(before)
            }
        };
        Ok((first + count) as i64)
    }

    fn float_target(&self, value: f64, bound: Bound) -> f64 {
        let by = |offset: Offset| match offset {
            Offset::Float(by) => by,
            Offset::Whole(by) => by as f64,
            Offset::Interval(..) => 0.0,
        };
        match bound {
            Bound::Preceding(offset) => value - by(offset),
            Bound::Following(offset) => value + by(offset),
            _ => value,
        }
    }

    fn whole_target(&self, value: i128, bound: Bound) -> std::result::Result<i128, Fault> {
        let (offset, sign) = match bound {
            Bound::Preceding(offset) => (offset, -1i128),
            Bound::Following(offset) => (offset, 1),
            _ => return Ok(value),
        };
        match offset {
            Offset::Whole(by) => Ok(value + sign * i128::from(by)),
            Offset::Float(by) => Ok(value + sign * by as i128),
            Offset::Interval(months, days, micros) => {
                let turn = if self.measure.descending { -1 } else { 1 };
                let at = i64::try_from(value * turn).map_err(|_| super::super::zone::beyond())?;
                let sign = (sign * turn) as i64;
                let zone = (self.measure.ty == Ty::Timestamptz).then_some(self.measure.zone);
                let moved = interval::moved(at, sign * i64::from(months), sign * i64::from(days), sign * micros, zone)?;
                Ok(i128::from(moved) * turn)
            }
        }
    }
}

/// Floats in the order of rows: NaN is above all numbers.
fn below(value: f64, target: f64, or_equal: bool) -> bool {
    match (value.is_nan(), target.is_nan()) {
        (true, true) => or_equal,
        (true, false) => false,
        (false, true) => true,
        _ if or_equal => value <= target,
        _ => value < target,
    }
}

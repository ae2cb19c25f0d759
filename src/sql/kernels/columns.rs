//! How a kernel reads columns and makes one: values by row, NULL where an argument is NULL, a column of one row standing
//! for all.

use std::sync::Arc;

type HashSet<T> = std::collections::HashSet<T, foldhash::fast::RandomState>;

use polars::prelude::*;

use crate::sql::error::Fault;
use crate::sql::value::{Func, Run};

pub type Out = PolarsResult<std::result::Result<Column, Fault>>;

/// A column as a kernel reads it.
pub trait Get: Sized {
    type Item<'a>
    where
        Self: 'a;
    fn of(column: &Column) -> PolarsResult<Self>;
    fn rows(&self) -> usize;
    fn at(&self, row: usize) -> Option<Self::Item<'_>>;
}

macro_rules! getter {
    ($name:ident, $array:ty, $item:ty, $of:expr) => {
        pub struct $name(pub $array);
        impl Get for $name {
            type Item<'a> = $item;
            fn of(column: &Column) -> PolarsResult<Self> {
                let of: fn(&Column) -> PolarsResult<$array> = $of;
                of(column).map($name)
            }
            fn rows(&self) -> usize {
                self.0.len()
            }
            #[inline]
            fn at(&self, row: usize) -> Option<$item> {
                self.0.get(if self.0.len() == 1 { 0 } else { row })
            }
        }
    };
}

getter!(Ints, Int64Chunked, i64, |c| Ok(c.i64()?.rechunk().into_owned()));
getter!(Floats, Float64Chunked, f64, |c| Ok(c.f64()?.rechunk().into_owned()));
getter!(Bools, BooleanChunked, bool, |c| Ok(c.bool()?.rechunk().into_owned()));
getter!(Dates, Int32Chunked, i32, |c| Ok(c.date()?.physical().rechunk().into_owned()));
getter!(Micros, Int64Chunked, i64, |c| Ok(c.datetime()?.physical().rechunk().into_owned()));

pub struct Texts(pub StringChunked);
impl Get for Texts {
    type Item<'a> = &'a str;
    fn of(column: &Column) -> PolarsResult<Self> {
        Ok(Texts(column.str()?.rechunk().into_owned()))
    }
    fn rows(&self) -> usize {
        self.0.len()
    }
    #[inline]
    fn at(&self, row: usize) -> Option<&str> {
        self.0.get(if self.0.len() == 1 { 0 } else { row })
    }
}

/// A column as a kernel makes it.
pub trait Put: Sized {
    fn column(values: impl Iterator<Item = Option<Self>>) -> Column;
}

fn named(series: Series) -> Column {
    series.with_name(PlSmallStr::EMPTY).into_column()
}

impl Put for i64 {
    fn column(values: impl Iterator<Item = Option<Self>>) -> Column {
        named(values.collect::<Int64Chunked>().into_series())
    }
}
impl Put for f64 {
    fn column(values: impl Iterator<Item = Option<Self>>) -> Column {
        named(values.collect::<Float64Chunked>().into_series())
    }
}
impl Put for bool {
    fn column(values: impl Iterator<Item = Option<Self>>) -> Column {
        named(values.collect::<BooleanChunked>().into_series())
    }
}
impl Put for String {
    fn column(values: impl Iterator<Item = Option<Self>>) -> Column {
        named(values.collect::<StringChunked>().into_series())
    }
}

/// Days since 1970.
pub struct Day(pub i32);
impl Put for Day {
    fn column(values: impl Iterator<Item = Option<Self>>) -> Column {
        let days: Int32Chunked = values.map(|v| v.map(|d| d.0)).collect();
        named(days.into_date().into_series())
    }
}

/// Microseconds of UTC since 1970.
pub struct Instant(pub i64);
impl Put for Instant {
    fn column(values: impl Iterator<Item = Option<Self>>) -> Column {
        let micros: Int64Chunked = values.map(|v| v.map(|t| t.0)).collect();
        named(micros.into_datetime(TimeUnit::Microseconds, Some(TimeZone::UTC)).into_series())
    }
}

/// Microseconds of a clock on the wall since 1970.
pub struct Clock(pub i64);
impl Put for Clock {
    fn column(values: impl Iterator<Item = Option<Self>>) -> Column {
        let micros: Int64Chunked = values.map(|v| v.map(|t| t.0)).collect();
        named(micros.into_datetime(TimeUnit::Microseconds, None).into_series())
    }
}

/// The rows that columns of these lengths make: a column of one row stands for as many as the others have.
pub fn rows(lengths: &[usize]) -> usize {
    lengths.iter().copied().find(|n| *n != 1).unwrap_or(1)
}

/// Collects what each row gives, or the first fault.
pub fn collect<R: Put>(n: usize, mut each: impl FnMut(usize) -> std::result::Result<Option<R>, Fault>) -> Out {
    let mut fault = None;
    let column = R::column((0..n).map(|row| {
        if fault.is_some() {
            return None;
        }
        each(row).unwrap_or_else(|f| {
            fault = Some(f);
            None
        })
    }));
    Ok(match fault {
        Some(fault) => Err(fault),
        None => Ok(column),
    })
}

/// A function of one value.
pub fn map1<A, R, F>(name: &'static str, parameter: String, fallible: bool, f: F) -> Func
where
    A: Get + 'static,
    R: Put,
    F: for<'a> Fn(A::Item<'a>) -> std::result::Result<R, Fault> + Send + Sync + 'static,
{
    let run: Run = Arc::new(move |c| {
        let a = A::of(&c[0])?;
        collect(a.rows(), |row| a.at(row).map(&f).transpose())
    });
    Func { name, parameter, run, fallible }
}

/// A function of two values.
pub fn map2<A, B, R, F>(name: &'static str, parameter: String, fallible: bool, f: F) -> Func
where
    A: Get + 'static,
    B: Get + 'static,
    R: Put,
    F: for<'a> Fn(A::Item<'a>, B::Item<'a>) -> std::result::Result<R, Fault> + Send + Sync + 'static,
{
    let run: Run = Arc::new(move |c| {
        let (a, b) = (A::of(&c[0])?, B::of(&c[1])?);
        collect(rows(&[a.rows(), b.rows()]), |row| match (a.at(row), b.at(row)) {
            (Some(x), Some(y)) => f(x, y).map(Some),
            _ => Ok(None),
        })
    });
    Func { name, parameter, run, fallible }
}

/// A function of three values.
pub fn map3<A, B, C, R, F>(name: &'static str, parameter: String, fallible: bool, f: F) -> Func
where
    A: Get + 'static,
    B: Get + 'static,
    C: Get + 'static,
    R: Put,
    F: for<'a> Fn(A::Item<'a>, B::Item<'a>, C::Item<'a>) -> std::result::Result<R, Fault> + Send + Sync + 'static,
{
    let run: Run = Arc::new(move |c| {
        let (a, b, d) = (A::of(&c[0])?, B::of(&c[1])?, C::of(&c[2])?);
        collect(rows(&[a.rows(), b.rows(), d.rows()]), |row| match (a.at(row), b.at(row), d.at(row)) {
            (Some(x), Some(y), Some(z)) => f(x, y, z).map(Some),
            _ => Ok(None),
        })
    });
    Func { name, parameter, run, fallible }
}

/// A function of four values.
pub fn map4<A, B, C, D, R, F>(name: &'static str, parameter: String, fallible: bool, f: F) -> Func
where
    A: Get + 'static,
    B: Get + 'static,
    C: Get + 'static,
    D: Get + 'static,
    R: Put,
    F: for<'a> Fn(A::Item<'a>, B::Item<'a>, C::Item<'a>, D::Item<'a>) -> std::result::Result<R, Fault>
        + Send
        + Sync
        + 'static,
{
    let run: Run = Arc::new(move |c| {
        let (a, b, d, e) = (A::of(&c[0])?, B::of(&c[1])?, C::of(&c[2])?, D::of(&c[3])?);
        let n = rows(&[a.rows(), b.rows(), d.rows(), e.rows()]);
        collect(n, |row| match (a.at(row), b.at(row), d.at(row), e.at(row)) {
            (Some(x), Some(y), Some(z), Some(w)) => f(x, y, z, w).map(Some),
            _ => Ok(None),
        })
    });
    Func { name, parameter, run, fallible }
}

/// The function with NULL in place of a fault, row by row.
pub fn forgiving(func: Func, ty: crate::sql::types::Ty) -> Func {
    let inner = func.run.clone();
    let run: Run = Arc::new(move |c| {
        if let Ok(column) = inner(c)? {
            return Ok(Ok(column));
        }
        let n = rows(&c.iter().map(|c| c.len()).collect::<Vec<_>>());
        let mut parts = Vec::with_capacity(n);
        for row in 0..n {
            let one: Vec<Column> = c.iter().map(|c| c.slice(if c.len() == 1 { 0 } else { row as i64 }, 1)).collect();
            parts.push(match inner(&one)? {
                Ok(column) => column.get(0)?.into_static(),
                Err(_) => AnyValue::Null,
            });
        }
        Ok(Ok(Series::from_any_values_and_dtype(PlSmallStr::EMPTY, &parts, &ty.held(), false)?.into_column()))
    });
    Func { name: "try", parameter: format!("{}\u{0}{}", func.name, func.parameter), run, fallible: false }
}

/// x IN (whole numbers); what is not found is unknown when NULL is among them.
pub fn in_ints(values: std::collections::BTreeSet<i64>, null: bool) -> Func {
    let parameter = format!("{values:?}{null}");
    let set: HashSet<i64> = values.into_iter().collect();
    let run: Run = Arc::new(move |c| {
        let a = Ints::of(&c[0])?;
        collect(a.rows(), |row| {
            Ok(a.at(row).and_then(|v| if set.contains(&v) { Some(true) } else { (!null).then_some(false) }))
        })
    });
    Func { name: "in", parameter, run, fallible: false }
}

/// x IN (texts)
pub fn in_texts(values: std::collections::BTreeSet<String>, null: bool) -> Func {
    let parameter = format!("{values:?}{null}");
    let set: HashSet<String> = values.into_iter().collect();
    let run: Run = Arc::new(move |c| {
        let a = Texts::of(&c[0])?;
        collect(a.rows(), |row| {
            Ok(a.at(row).and_then(|v| if set.contains(v) { Some(true) } else { (!null).then_some(false) }))
        })
    });
    Func { name: "in", parameter, run, fallible: false }
}

//! Lowers relations to lazy frames.

use std::collections::{BTreeMap, HashMap};

use chrono_tz::Tz;
use polars::prelude::*;

use super::expr::{column, lowered, name};
use crate::sql::expr::{Ex, Id, Literal, SortKey, value};
use crate::sql::rel::Rel;
use crate::sql::types::Ty;

/// Filters that are put one above the other; more are one expression.
const MOST_FENCES: usize = 16;

/// Lowers one plan: its tables, and the parts that are computed once for all who read them.
pub struct Lowerer<'a> {
    pub tables: &'a [LazyFrame],
    pub zone: Tz,
    uses: BTreeMap<usize, usize>,
    parts: HashMap<usize, LazyFrame>,
    next: Id,
}

impl<'a> Lowerer<'a> {
    pub fn new(tables: &'a [LazyFrame], zone: Tz, rel: &Rel) -> Lowerer<'a> {
        let mut uses = BTreeMap::new();
        rel.count_uses(&mut uses);
        // Numbers of the lowering's own are far above those of the plan.
        Lowerer { tables, zone, uses, parts: HashMap::new(), next: 1 << 24 }
    }

    pub fn fresh(&mut self) -> Id {
        self.next += 1;
        self.next
    }

    pub fn rel(&mut self, rel: &Rel) -> PolarsResult<LazyFrame> {
        stacker::maybe_grow(256 << 10, 4 << 20, || self.any(rel))
    }

    fn any(&mut self, rel: &Rel) -> PolarsResult<LazyFrame> {
        Ok(match rel {
            Rel::Scan { table, columns } => self.scan(*table, columns)?,
            Rel::Values { columns, rows } => values(columns, rows)?,
            Rel::Extend { input, exprs } => {
                let input = self.rel(input)?;
                input.with_columns(self.named(exprs))
            }
            Rel::Project { input, exprs } => {
                let input = self.rel(input)?;
                self.project(input, exprs)
            }
            Rel::Filter { input, predicate } => {
                let input = self.rel(input)?;
                self.filter(input, predicate)
            }
            Rel::Join(join) => self.join(join)?,
            Rel::Aggregate { input, keys, calls } => {
                let input = self.rel(input)?;
                self.aggregate(input, keys, calls)?
            }
            Rel::Window { input, partition, order, calls } => {
                let input = self.rel(input)?;
                self.window(input, partition, order, calls)?
            }
            Rel::Distinct { input } => {
                let columns = input.columns();
                let frame = self.rel(input)?;
                // A column of one type that has only NULLs is still a column.
                frame
                    .select(columns.iter().map(|(id, _)| column(*id)).collect::<Vec<_>>())
                    .unique(None, UniqueKeepStrategy::Any)
            }
            Rel::Sort { input, keys } => {
                let frame = self.rel(input)?;
                self.sorted(frame, keys)
            }
            Rel::Limit { input, offset, limit } => {
                let most = limit.map_or(IdxSize::MAX, |n| IdxSize::try_from(n).unwrap_or(IdxSize::MAX));
                self.rel(input)?.slice(i64::try_from(*offset).unwrap_or(i64::MAX), most)
            }
            Rel::Concat { inputs, columns } => self.concat(inputs, columns)?,
            Rel::Number { input, id } => self.rel(input)?.with_row_index(name(*id), None),
            Rel::Shared { part, input, columns } => self.shared(*part, input, columns)?,
        })
    }

    fn scan(&mut self, table: usize, columns: &[(Id, String, Ty)]) -> PolarsResult<LazyFrame> {
        let mut frame = self.tables[table].clone();
        let schema = frame.collect_schema()?;
        let mut exprs = Vec::with_capacity(columns.len());
        for (id, source, ty) in columns {
            let held = schema.get(source.as_str()).is_some_and(|dtype| *dtype == ty.held());
            let read = col(source.as_str());
            let read = if held { read } else { read.strict_cast(ty.held()) };
            exprs.push(read.alias(name(*id)));
        }
        Ok(frame.select(exprs))
    }

    pub fn named(&self, exprs: &[(Id, Ex)]) -> Vec<Expr> {
        exprs.iter().map(|(id, ex)| lowered(ex).alias(name(*id))).collect()
    }

    fn project(&self, input: LazyFrame, exprs: &[(Id, Ex)]) -> LazyFrame {
        let names: Vec<Expr> = exprs.iter().map(|(id, _)| column(*id)).collect();
        // Of constants alone the engine would make one row, not one for each of the input.
        if exprs.iter().all(|(_, ex)| ex.columns().is_empty()) {
            return input.with_columns(self.named(exprs)).select(names);
        }
        input.select(self.named(exprs))
    }

    pub fn filter(&self, input: LazyFrame, predicate: &Ex) -> LazyFrame {
        // One filter above the other, in the order in which they are written: what can raise is asked only of the rows
        // that those before it let through. It is fenced, or the engine would merge it with them.
        let parts = predicate.clone().conjuncts();
        if parts.iter().filter(|part| part.fallible()).count() > MOST_FENCES {
            return input.filter(super::expr::fenced(lowered(predicate)));
        }
        let mut frame = input;
        let mut open: Vec<Ex> = Vec::new();
        for part in parts {
            if !part.fallible() {
                open.push(part);
                continue;
            }
            if !open.is_empty() {
                frame = frame.filter(lowered(&Ex::and(std::mem::take(&mut open), predicate.place)));
            }
            frame = frame.filter(super::expr::fenced(lowered(&part)));
        }
        if open.is_empty() { frame } else { frame.filter(lowered(&Ex::and(open, predicate.place))) }
    }

    pub fn sorted(&mut self, input: LazyFrame, keys: &[SortKey]) -> LazyFrame {
        // The engine takes a column once; what is sorted already stays as it is.
        let keys: Vec<&SortKey> = keys
            .iter()
            .enumerate()
            .filter(|(n, key)| keys[..*n].iter().all(|k| k.ex != key.ex))
            .map(|(_, key)| key)
            .collect();
        let mut computed = Vec::new();
        let mut by = Vec::new();
        for key in &keys {
            match key.ex.as_column() {
                Some(id) => by.push(column(id)),
                None => {
                    let id = self.fresh();
                    computed.push((id, key.ex.clone()));
                    by.push(column(id));
                }
            }
        }
        let input = if computed.is_empty() { input } else { input.with_columns(self.named(&computed)) };
        let options = SortMultipleOptions {
            descending: keys.iter().map(|key| key.descending).collect(),
            nulls_last: keys.iter().map(|key| key.nulls_last).collect(),
            maintain_order: true,
            ..SortMultipleOptions::default()
        };
        input.sort_by_exprs(by, options)
    }

    fn concat(&mut self, inputs: &[Rel], columns: &[(Id, Ty)]) -> PolarsResult<LazyFrame> {
        let mut frames = Vec::with_capacity(inputs.len());
        for input in inputs {
            let renamed: Vec<Expr> = input
                .columns()
                .iter()
                .zip(columns)
                .map(|((from, _), (to, _))| column(*from).alias(name(*to)))
                .collect();
            frames.push(self.rel(input)?.select(renamed));
        }
        concat(frames, UnionArgs { maintain_order: false, ..UnionArgs::default() })
    }

    /// A part that is read once stands where it is read.
    fn shared(&mut self, part: usize, input: &Rel, columns: &[(Id, Id, Ty)]) -> PolarsResult<LazyFrame> {
        let frame = match self.parts.get(&part) {
            Some(frame) => frame.clone(),
            None => {
                let frame = self.rel(input)?;
                let often = self.uses.get(&part).copied().unwrap_or(1) > 1;
                let frame = if often { frame.cache() } else { frame };
                self.parts.insert(part, frame.clone());
                frame
            }
        };
        let renamed: Vec<Expr> = columns.iter().map(|(from, to, _)| column(*from).alias(name(*to))).collect();
        Ok(frame.select(renamed))
    }
}

/// Literal rows as a frame.
fn values(columns: &[(Id, Ty)], rows: &[Vec<Literal>]) -> PolarsResult<LazyFrame> {
    let mut made = Vec::with_capacity(columns.len());
    for (n, (id, ty)) in columns.iter().enumerate() {
        let cells: Vec<AnyValue<'static>> = rows.iter().map(|row| value(&row[n], *ty).into_value()).collect();
        let series = Series::from_any_values_and_dtype(name(*id), &cells, &ty.held(), false)?;
        made.push(series.into_column());
    }
    Ok(DataFrame::new(rows.len(), made)?.lazy())
}

//! Window functions: the rows are sorted once by partition and keys, and each function is a kernel over whole columns.
//! Aggregates of whole partitions need no sorting.

use polars::prelude::*;

use super::Lowerer;
use super::expr::{column, lowered, name, whole};
use crate::sql::error::{Place, engine_error};
use crate::sql::expr::{AggCall, Ex, Frame, Id, Kind, SortKey, WinCall};
use crate::sql::functions::aggregates::AggKind;
use crate::sql::kernels::window::Over;
use crate::sql::kernels::window::bounds::{Measure, Rows, frames};
use crate::sql::kernels::window::evaluate;
use crate::sql::rel::{How, Key};
use crate::sql::types::Ty;

impl Lowerer<'_> {
    pub fn window(
        &mut self,
        input: LazyFrame,
        partition: &[Ex],
        order: &[SortKey],
        calls: &[(Id, WinCall)],
    ) -> PolarsResult<LazyFrame> {
        if order.is_empty()
            && partition.iter().all(|ex| !ex.ty.is_float() && ex.ty != Ty::Numeric)
            && let Some(aggregates) =
                calls.iter().map(|(id, call)| Some((*id, as_aggregate(call)?))).collect::<Option<Vec<_>>>()
        {
            return self.over_partitions(input, partition, &aggregates);
        }
        Ok(self.over_sorted(input, partition, order, calls))
    }

    /// Aggregates of whole partitions: grouped, and joined back. Nothing is sorted.
    fn over_partitions(
        &mut self,
        input: LazyFrame,
        partition: &[Ex],
        calls: &[(Id, AggCall)],
    ) -> PolarsResult<LazyFrame> {
        let input = input.cache();
        let by: Vec<(Id, Ex)> = partition.iter().map(|ex| (self.fresh(), ex.clone())).collect();
        let grouped = self.aggregate(input.clone(), &by, calls)?;
        let one = || Ex::int(1, Place::default());
        let keys: Vec<Key> = match by.is_empty() {
            true => vec![Key { left: one(), right: one(), null_safe: false }],
            false => by
                .iter()
                .map(|(id, ex)| Key { left: ex.clone(), right: Ex::column(*id, ex.ty, ex.place), null_safe: true })
                .collect(),
        };
        Ok(self.by_keys(input, grouped, &keys, How::Left))
    }

    fn over_sorted(
        &mut self,
        input: LazyFrame,
        partition: &[Ex],
        order: &[SortKey],
        calls: &[(Id, WinCall)],
    ) -> LazyFrame {
        let mut computed = Vec::new();
        let mut key = |this: &mut Self, ex: &Ex| match ex.as_column() {
            Some(id) => id,
            None => {
                let id = this.fresh();
                computed.push(lowered(ex).alias(name(id)));
                id
            }
        };
        let parts: Vec<Id> = partition.iter().map(|ex| key(self, ex)).collect();
        let keys: Vec<Id> = order.iter().map(|k| key(self, &k.ex)).collect();
        let mut arguments = Vec::new();
        for (_, call) in calls {
            let ids: Vec<Id> = call.args.iter().map(|ex| key(self, ex)).collect();
            arguments.push(ids);
        }
        let input = if computed.is_empty() { input } else { input.with_columns(computed) };
        let directions = parts.iter().map(|_| (false, true)).chain(order.iter().map(|k| (k.descending, k.nulls_last)));
        let mut by: Vec<(Id, (bool, bool))> = Vec::new();
        for (id, direction) in parts.iter().chain(&keys).copied().zip(directions) {
            // The engine takes a column once.
            if by.iter().all(|(known, _)| *known != id) {
                by.push((id, direction));
            }
        }
        let options = SortMultipleOptions {
            descending: by.iter().map(|(_, (descending, _))| *descending).collect(),
            nulls_last: by.iter().map(|(_, (_, last))| *last).collect(),
            maintain_order: true,
            ..SortMultipleOptions::default()
        };
        let sorted = match by.is_empty() {
            true => input,
            false => input.sort_by_exprs(by.iter().map(|(id, _)| column(*id)).collect::<Vec<_>>(), options),
        };
        // Which rows begin a partition, and which a group of peers. The rows are numbered, so that there is a column of
        // their length whatever the window has.
        let (number, starts, changes) = (self.fresh(), self.fresh(), self.fresh());
        let marked = sorted
            .with_row_index(name(number), None)
            .with_columns([changed(number, &parts).alias(name(starts)), changed(number, &keys).alias(name(changes))]);
        let results: Vec<Expr> = calls
            .iter()
            .zip(&arguments)
            .map(|((id, call), args)| self.result(call, args, &keys, order, starts, changes).alias(name(*id)))
            .collect();
        marked.with_columns(results)
    }

    fn result(&self, call: &WinCall, args: &[Id], keys: &[Id], order: &[SortKey], starts: Id, changes: Id) -> Expr {
        let mut inputs = vec![column(starts), column(changes)];
        inputs.extend(args.iter().map(|id| column(*id)));
        let measured = match (order, keys) {
            ([only], [id]) => {
                inputs.push(column(*id));
                let (ty, zone) = (only.ex.ty, self.zone);
                Some(Measure { ty, descending: only.descending, nulls_last: only.nulls_last, zone })
            }
            _ => None,
        };
        let (over, ty, frame, count) = (call.win.over, call.win.ty, call.frame, args.len());
        let place = call
            .args
            .iter()
            .find(|ex| !matches!(ex.kind, Kind::Literal(_)))
            .map(|ex| ex.place)
            .unwrap_or(Place::default());
        let run = move |c: &mut [Column]| {
            let rows = Rows::new(c[0].bool()?, c[1].bool()?);
            let key = measured.as_ref().map(|measure| (&c[2 + count], measure));
            let spans = frames(&rows, frame, key)?.map_err(|fault| engine_error(&fault, place))?;
            let made =
                evaluate(over, ty, &rows, &spans, &c[2..2 + count])?.map_err(|fault| engine_error(&fault, place))?;
            if made.dtype() == &ty.held() { Ok(made) } else { made.cast(&ty.held()) }
        };
        whole(run, inputs, ty.held(), false)
    }
}

/// The aggregate that a window function over whole partitions is.
fn as_aggregate(call: &WinCall) -> Option<AggCall> {
    if call.frame != Frame::WHOLE {
        return None;
    }
    let kind = match call.win.over {
        Over::CountRows => AggKind::CountRows,
        Over::Count => AggKind::Count,
        Over::Sum => AggKind::Sum,
        Over::Avg => AggKind::Avg,
        Over::Min => AggKind::Min,
        Over::Max => AggKind::Max,
        _ => return None,
    };
    Some(AggCall::of(kind, call.win.ty, call.args.clone()))
}

/// Whether a row differs from the one before it in one of the columns; NULL is equal to NULL. The first row does.
fn changed(number: Id, ids: &[Id]) -> Expr {
    let run = |c: &mut [Column]| {
        let mut out: BooleanChunked = (0..c[0].len()).map(|row| Some(row == 0)).collect();
        let rows = out.len();
        for one in c.iter().skip(1).filter(|one| one.len() == rows) {
            let series = one.as_materialized_series();
            out = out | series.not_equal_missing(&series.shift(1))?;
        }
        Ok(out.into_column())
    };
    let inputs = std::iter::once(number).chain(ids.iter().copied()).map(column).collect();
    whole(run, inputs, DataType::Boolean, false)
}

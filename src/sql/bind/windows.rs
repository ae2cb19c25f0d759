//! OVER: partition, order and frame of a window function, with the windows that the query names.

use sqlparser::ast::{
    Expr, NamedWindowDefinition, NamedWindowExpr, WindowFrame, WindowFrameBound, WindowFrameUnits, WindowSpec,
    WindowType,
};

use super::literals::count;
use super::{Binder, Cx, intervals, place};
use crate::sql::error::{Place, Result, SqlError};
use crate::sql::expr::{Bound, Cmp, Ex, Frame, Kind, Literal, Offset, SortKey, Units, WinCall};
use crate::sql::functions::cast::coerce;
use crate::sql::functions::windows::Win;
use crate::sql::kernels::window::Over;
use crate::sql::rel::Rel;
use crate::sql::scope::{Meaning, folded};
use crate::sql::types::Ty;

impl Binder<'_> {
    pub fn over(&mut self, win: Win, args: Vec<Ex>, over: &WindowType, at: Place, cx: Cx<'_>) -> Result<Ex> {
        if let Some(clause) = cx.no_windows {
            return Err(SqlError::new("42P20", at, format!("a window function cannot stand in {clause}"))
                .hint("compute it in a subquery and filter outside, or use QUALIFY"));
        }
        if args.iter().any(Ex::has_window) {
            return Err(SqlError::new("42P20", at, "a window function cannot stand within another"));
        }
        let inner = Cx { no_windows: Some("OVER (...)"), ..cx };
        let spec = self.spec(over, at, inner, 0)?;
        let frame = match &spec.frame {
            Some(frame) => self.frame(frame, &spec.order, at, inner)?,
            None if spec.order.is_empty() => Frame::WHOLE,
            None => Frame::DEFAULT,
        };
        let call = WinCall { win, args, partition: spec.partition, order: spec.order, frame };
        Ok(Ex::new(Kind::Win(Box::new(call)), win.ty, at))
    }

    fn spec<'e>(&mut self, over: &'e WindowType, at: Place, cx: Cx<'e>, depth: usize) -> Result<Spec<'e>> {
        match over {
            WindowType::NamedWindow(name) => self.named(&folded(name), name.span.into(), cx, depth),
            WindowType::WindowSpec(spec) => self.written(spec, at, cx, depth),
        }
    }

    fn named<'e>(&mut self, name: &str, at: Place, cx: Cx<'e>, depth: usize) -> Result<Spec<'e>> {
        let found = cx.windows.iter().find(|NamedWindowDefinition(ident, _)| folded(ident) == name);
        let Some(NamedWindowDefinition(_, window)) = found.filter(|_| depth < 50) else {
            return Err(SqlError::new("42704", at, format!("there is no window {name}")));
        };
        match window {
            NamedWindowExpr::NamedWindow(other) => self.named(&folded(other), other.span.into(), cx, depth + 1),
            NamedWindowExpr::WindowSpec(spec) => self.written(spec, at, cx, depth + 1),
        }
    }

    fn written<'e>(&mut self, spec: &'e WindowSpec, at: Place, cx: Cx<'e>, depth: usize) -> Result<Spec<'e>> {
        let mut all = match &spec.window_name {
            None => Spec { partition: Vec::new(), order: Vec::new(), frame: None },
            Some(base) => {
                let base_spec = self.named(&folded(base), base.span.into(), cx, depth + 1)?;
                let refused = |what: &str| Err(SqlError::new("42P20", at, format!("{what} of the window {base}")));
                if !spec.partition_by.is_empty() {
                    return refused("PARTITION BY cannot be added to that");
                }
                if !spec.order_by.is_empty() && !base_spec.order.is_empty() {
                    return refused("ORDER BY cannot replace that");
                }
                if base_spec.frame.is_some() {
                    return refused("nothing can be added to the frame");
                }
                base_spec
            }
        };
        for expr in &spec.partition_by {
            let ex = match self.expr(expr, cx)? {
                Meaning::Value(ex) if ex.ty == Ty::Unknown => coerce(ex, Ty::Text, self.zone)?,
                Meaning::Value(ex) => ex,
                Meaning::Interval(parts) => intervals::key(&parts),
            };
            all.partition.push(ex);
        }
        all.order.extend(self.sort_keys(&spec.order_by, cx)?);
        if spec.window_frame.is_some() {
            all.frame = spec.window_frame.as_ref();
        }
        Ok(all)
    }

    fn frame(&mut self, frame: &WindowFrame, order: &[SortKey], at: Place, cx: Cx<'_>) -> Result<Frame> {
        let units = match frame.units {
            WindowFrameUnits::Rows => Units::Rows,
            WindowFrameUnits::Range => Units::Range,
            WindowFrameUnits::Groups => Units::Groups,
        };
        if units == Units::Groups && order.is_empty() {
            return Err(SqlError::new("42P20", at, "GROUPS needs ORDER BY"));
        }
        let start = self.bound(&frame.start_bound, units, order, at, cx)?;
        let end = match &frame.end_bound {
            None => Bound::Current,
            Some(end) => self.bound(end, units, order, at, cx)?,
        };
        let wrong = |message: &str| Err(SqlError::new("42P20", at, message));
        match (&frame.start_bound, &frame.end_bound) {
            (WindowFrameBound::Following(None), _) => return wrong("a frame cannot begin at UNBOUNDED FOLLOWING"),
            (_, Some(WindowFrameBound::Preceding(None))) => return wrong("a frame cannot end at UNBOUNDED PRECEDING"),
            (WindowFrameBound::CurrentRow, Some(WindowFrameBound::Preceding(_)))
            | (
                WindowFrameBound::Following(_),
                Some(WindowFrameBound::Preceding(_) | WindowFrameBound::CurrentRow) | None,
            ) => {
                return wrong("a frame cannot end before it begins");
            }
            _ => {}
        }
        Ok(Frame { units, start, end })
    }

    fn bound(
        &mut self,
        bound: &WindowFrameBound,
        units: Units,
        order: &[SortKey],
        at: Place,
        cx: Cx<'_>,
    ) -> Result<Bound> {
        let (expr, following) = match bound {
            WindowFrameBound::CurrentRow => return Ok(Bound::Current),
            WindowFrameBound::Preceding(None) | WindowFrameBound::Following(None) => return Ok(Bound::Unbounded),
            WindowFrameBound::Preceding(Some(expr)) => (&**expr, false),
            WindowFrameBound::Following(Some(expr)) => (&**expr, true),
        };
        let offset = match units {
            Units::Rows | Units::Groups => {
                let ex = self.value(expr, cx)?;
                match count(&ex, "the offset of a frame")? {
                    Some(n) => Offset::Whole(n.min(i64::MAX as u64) as i64),
                    None => return Err(SqlError::new("22013", place(expr), "the offset of a frame must not be NULL")),
                }
            }
            Units::Range => self.distance(expr, order, at, cx)?,
        };
        Ok(if following { Bound::Following(offset) } else { Bound::Preceding(offset) })
    }

    /// The offset of RANGE, in units of the one key.
    fn distance(&mut self, expr: &Expr, order: &[SortKey], at: Place, cx: Cx<'_>) -> Result<Offset> {
        let [key] = order else {
            return Err(SqlError::new("42P20", at, "RANGE with an offset needs ORDER BY with one column"));
        };
        let negative = || SqlError::new("22013", place(expr), "the offset of a frame must not be negative");
        match self.expr(expr, cx)? {
            Meaning::Interval(parts) => {
                let span = intervals::known(&parts)
                    .ok_or_else(|| SqlError::unsupported(place(expr), "the offset of a frame that is no constant"))?;
                if !key.ex.ty.is_time() {
                    return Err(SqlError::new(
                        "42P20",
                        at,
                        format!("RANGE by an interval needs a time, and the key is {}", key.ex.ty.name()),
                    ));
                }
                if span.months < 0 || span.days < 0 || span.micros < 0 {
                    return Err(negative());
                }
                Ok(Offset::Interval(span.months as i32, span.days as i32, span.micros))
            }
            Meaning::Value(ex) => match ex.as_literal() {
                Some(Literal::Int(n)) if *n >= 0 && key.ex.ty.is_number() => Ok(Offset::Whole(*n)),
                Some(Literal::Float(n, _)) if *n >= 0.0 && (key.ex.ty.is_float() || key.ex.ty == Ty::Numeric) => {
                    Ok(Offset::Float(*n))
                }
                Some(Literal::Int(_) | Literal::Float(..)) if key.ex.ty.is_number() => Err(negative()),
                _ => {
                    Err(SqlError::unsupported(place(expr), format!("RANGE with this offset over {}", key.ex.ty.name()))
                        .hint("a constant number for a number, an INTERVAL for a date or a timestamp"))
                }
            },
        }
    }

    /// Computes every window function in the expressions on top of the plan; each is a column from then on.
    pub fn with_windows(&mut self, mut rel: Rel, exprs: &mut [&mut Ex]) -> Rel {
        let mut calls: Vec<WinCall> = Vec::new();
        for ex in exprs.iter() {
            ex.each(&mut |ex| {
                if let Kind::Win(call) = &ex.kind
                    && !calls.contains(call)
                {
                    calls.push((**call).clone());
                }
            });
        }
        let mut made: Vec<(WinCall, Ex)> = Vec::new();
        while let Some(first) = calls.first().cloned() {
            // Those of one partition and order are computed over one sorting.
            let (together, rest): (Vec<_>, Vec<_>) =
                calls.into_iter().partition(|c| c.partition == first.partition && c.order == first.order);
            calls = rest;
            let mut columns = Vec::with_capacity(together.len());
            for call in together {
                let id = self.id();
                made.push((call.clone(), Ex::column(id, call.win.ty, Place::default())));
                columns.push((id, call));
            }
            rel = Rel::Window { input: Box::new(rel), partition: first.partition, order: first.order, calls: columns };
        }
        for ex in exprs.iter_mut() {
            ex.rewrite(&mut |ex| match &ex.kind {
                Kind::Win(call) => made
                    .iter()
                    .find(|(known, _)| *known == **call)
                    .map(|(_, column)| Ex { place: ex.place, ..column.clone() }),
                _ => None,
            });
        }
        rel
    }
}

/// A window as it was put together.
struct Spec<'e> {
    partition: Vec<Ex>,
    order: Vec<SortKey>,
    frame: Option<&'e WindowFrame>,
}

impl Binder<'_> {
    /// The rows of each partition, numbered from 1 in an order, and the column of the numbers.
    pub fn numbered(&mut self, rel: Rel, partition: &[Ex], order: &[SortKey]) -> (Rel, Ex) {
        let (id, partition, order) = (self.id(), partition.to_vec(), order.to_vec());
        let call = WinCall {
            win: Win { over: Over::RowNumber, ty: Ty::Int8 },
            args: Vec::new(),
            partition: partition.clone(),
            order: order.clone(),
            frame: Frame::DEFAULT,
        };
        let rel = Rel::Window { input: Box::new(rel), partition, order, calls: vec![(id, call)] };
        (rel, Ex::column(id, Ty::Int8, Place::default()))
    }

    /// Of the rows with one key the first in the order: DISTINCT ON, and a subquery with ORDER BY ... LIMIT 1.
    pub fn first_of_each(&mut self, rel: Rel, keys: &[Ex], order: &[SortKey]) -> Rel {
        let (numbered, number) = self.numbered(rel, keys, order);
        numbered.filter(Ex::compare(Cmp::Eq, number, Ex::int(1, Place::default())))
    }
}

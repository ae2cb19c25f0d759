//! Scalar expressions once their names and types are known: columns are numbers, every node has its type and its place.

use super::aggregate::{Agg, AggKind, Win};
use super::error::Place;
use super::rel::Sub;
use super::types::Ty;
pub use super::value::{Arith, Bound, Cmp, Frame, Func, Literal, Offset, Run, Units, value};
use super::value::{constant, literal_of};

/// A column of the plan. Numbers are never used twice within a query.
pub type Id = u32;

#[derive(Clone, Debug)]
pub struct Ex {
    pub kind: Kind,
    pub ty: Ty,
    pub place: Place,
}

#[derive(Clone, Debug)]
pub enum Kind {
    Column(Id),
    Literal(Literal),
    /// A function of ours, from the values of its arguments.
    Call(Func, Vec<Ex>),
    /// A first number, then operations from left to right, all of one type. Held flat: sums of thousands of terms are.
    Chain(Box<Ex>, Vec<(Arith, Ex)>),
    Case {
        branches: Vec<(Ex, Ex)>,
        otherwise: Box<Ex>,
    },
    Coalesce(Vec<Ex>),
    /// The largest or the smallest of values that are not NULL.
    Extreme {
        greatest: bool,
        of: Vec<Ex>,
    },
    And(Vec<Ex>),
    Or(Vec<Ex>),
    Not(Box<Ex>),
    Compare(Cmp, Box<Ex>, Box<Ex>),
    IsNull(Box<Ex>),
    /// IS NOT DISTINCT FROM: equal, or both NULL.
    Same(Box<Ex>, Box<Ex>),
    /// Until grouping is resolved.
    Agg(Box<AggCall>),
    /// Until windows are resolved.
    Win(Box<WinCall>),
    /// Until it is a join.
    Sub(Box<Sub>),
}

#[derive(Clone, Debug, PartialEq)]
pub struct AggCall {
    pub agg: Agg,
    pub args: Vec<Ex>,
    pub distinct: bool,
    pub order: Vec<SortKey>,
}

impl AggCall {
    /// Over all rows, in no order.
    pub fn of(kind: AggKind, ty: Ty, args: Vec<Ex>) -> AggCall {
        AggCall { agg: Agg { kind, ty }, args, distinct: false, order: Vec::new() }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct SortKey {
    pub ex: Ex,
    pub descending: bool,
    pub nulls_last: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub struct WinCall {
    pub win: Win,
    pub args: Vec<Ex>,
    pub partition: Vec<Ex>,
    pub order: Vec<SortKey>,
    pub frame: Frame,
}

/// The same expression, wherever it stands in the text.
impl PartialEq for Ex {
    fn eq(&self, other: &Ex) -> bool {
        use Kind::*;
        self.ty == other.ty
            && match (&self.kind, &other.kind) {
                (Column(a), Column(b)) => a == b,
                (Literal(a), Literal(b)) => a == b,
                (Call(f, a), Call(g, b)) => f == g && a == b,
                (Chain(a, x), Chain(b, y)) => a == b && x == y,
                (Case { branches: a, otherwise: x }, Case { branches: b, otherwise: y }) => a == b && x == y,
                (Coalesce(a), Coalesce(b)) | (And(a), And(b)) | (Or(a), Or(b)) => a == b,
                (Extreme { greatest: g, of: a }, Extreme { greatest: h, of: b }) => g == h && a == b,
                (Not(a), Not(b)) | (IsNull(a), IsNull(b)) => a == b,
                (Compare(c, a, x), Compare(d, b, y)) => c == d && a == b && x == y,
                (Same(a, x), Same(b, y)) => a == b && x == y,
                (Agg(a), Agg(b)) => a == b,
                (Win(a), Win(b)) => a == b,
                _ => false,
            }
    }
}

impl Ex {
    pub fn new(kind: Kind, ty: Ty, place: Place) -> Ex {
        Ex { kind, ty, place }
    }

    pub fn column(id: Id, ty: Ty, place: Place) -> Ex {
        Ex::new(Kind::Column(id), ty, place)
    }

    pub fn literal(value: Literal, ty: Ty, place: Place) -> Ex {
        Ex::new(Kind::Literal(value), ty, place)
    }

    pub fn null(ty: Ty, place: Place) -> Ex {
        Ex::literal(Literal::Null, ty, place)
    }

    pub fn int(value: i64, place: Place) -> Ex {
        Ex::literal(Literal::Int(value), Ty::Int8, place)
    }

    pub fn bool(value: bool, place: Place) -> Ex {
        Ex::literal(Literal::Bool(value), Ty::Bool, place)
    }

    pub fn call(func: Func, args: Vec<Ex>, ty: Ty, place: Place) -> Ex {
        folded(Ex::new(Kind::Call(func, args), ty, place))
    }

    /// True when all are; one of them alone is itself.
    pub fn and(mut parts: Vec<Ex>, place: Place) -> Ex {
        match parts.len() {
            0 => Ex::bool(true, place),
            1 => parts.remove(0),
            _ => Ex::new(Kind::And(parts), Ty::Bool, place),
        }
    }

    pub fn negate(self) -> Ex {
        let place = self.place;
        Ex::new(Kind::Not(Box::new(self)), Ty::Bool, place)
    }

    pub fn is_null(self) -> Ex {
        let place = self.place;
        Ex::new(Kind::IsNull(Box::new(self)), Ty::Bool, place)
    }

    /// CASE. Branches whose condition is known to fail are left out, and so is all behind one that is known to hold.
    pub fn case(branches: Vec<(Ex, Ex)>, otherwise: Ex, place: Place) -> Ex {
        let (ty, mut kept, mut last) = (otherwise.ty, Vec::with_capacity(branches.len()), otherwise);
        for (condition, value) in branches {
            match condition.as_literal() {
                Some(Literal::Bool(true)) => {
                    last = value;
                    break;
                }
                Some(_) if value.settled() => {}
                _ => kept.push((condition, value)),
            }
        }
        if kept.is_empty() {
            return Ex { place, ..last };
        }
        Ex::new(Kind::Case { branches: kept, otherwise: Box::new(last) }, ty, place)
    }

    /// Whether one of its operands is the constant NULL.
    pub fn has_null(&self) -> bool {
        self.children().into_iter().any(|child| child.as_literal() == Some(&Literal::Null))
    }

    /// Whether nothing in it waits to be resolved: what is dropped then leaves no trace in the plan.
    pub fn settled(&self) -> bool {
        !self.any(&|ex| matches!(ex.kind, Kind::Agg(_) | Kind::Win(_) | Kind::Sub(_)))
    }

    pub fn compare(cmp: Cmp, a: Ex, b: Ex) -> Ex {
        let place = a.place;
        let null = |ex: &Ex| ex.as_literal() == Some(&Literal::Null);
        if (null(&a) || null(&b)) && a.settled() && b.settled() {
            return Ex::null(Ty::Bool, place);
        }
        Ex::new(Kind::Compare(cmp, Box::new(a), Box::new(b)), Ty::Bool, place)
    }

    /// This where the condition is true, else NULL.
    pub fn only_if(self, condition: Ex) -> Ex {
        let (ty, place) = (self.ty, self.place);
        let otherwise = Box::new(Ex::null(ty, place));
        Ex::new(Kind::Case { branches: vec![(condition, self)], otherwise }, ty, place)
    }

    pub fn as_column(&self) -> Option<Id> {
        match self.kind {
            Kind::Column(id) => Some(id),
            _ => None,
        }
    }

    pub fn as_literal(&self) -> Option<&Literal> {
        match &self.kind {
            Kind::Literal(value) => Some(value),
            _ => None,
        }
    }

    /// The parts of a conjunction.
    pub fn conjuncts(self) -> Vec<Ex> {
        match self.kind {
            Kind::And(parts) => parts.into_iter().flat_map(Ex::conjuncts).collect(),
            _ => vec![self],
        }
    }

    /// The expressions right below this one.
    pub fn children(&self) -> Vec<&Ex> {
        use Kind::*;
        match &self.kind {
            Column(_) | Literal(_) => Vec::new(),
            Call(_, args) | Coalesce(args) | And(args) | Or(args) | Extreme { of: args, .. } => args.iter().collect(),
            Chain(first, rest) => std::iter::once(&**first).chain(rest.iter().map(|(_, e)| e)).collect(),
            Case { branches, otherwise } => {
                branches.iter().flat_map(|(c, v)| [c, v]).chain(std::iter::once(&**otherwise)).collect()
            }
            Not(a) | IsNull(a) => vec![a],
            Compare(_, a, b) | Same(a, b) => vec![a, b],
            Agg(call) => call.args.iter().chain(call.order.iter().map(|k| &k.ex)).collect(),
            Win(call) => call.args.iter().chain(&call.partition).chain(call.order.iter().map(|k| &k.ex)).collect(),
            Sub(sub) => sub.outer().collect(),
        }
    }

    pub fn children_mut(&mut self) -> Vec<&mut Ex> {
        use Kind::*;
        match &mut self.kind {
            Column(_) | Literal(_) => Vec::new(),
            Call(_, args) | Coalesce(args) | And(args) | Or(args) | Extreme { of: args, .. } => {
                args.iter_mut().collect()
            }
            Chain(first, rest) => std::iter::once(&mut **first).chain(rest.iter_mut().map(|(_, e)| e)).collect(),
            Case { branches, otherwise } => {
                branches.iter_mut().flat_map(|(c, v)| [c, v]).chain(std::iter::once(&mut **otherwise)).collect()
            }
            Not(a) | IsNull(a) => vec![a],
            Compare(_, a, b) | Same(a, b) => vec![a, b],
            Agg(call) => {
                let order = call.order.iter_mut().map(|k| &mut k.ex);
                call.args.iter_mut().chain(order).collect()
            }
            Win(call) => {
                let order = call.order.iter_mut().map(|k| &mut k.ex);
                call.args.iter_mut().chain(&mut call.partition).chain(order).collect()
            }
            Sub(sub) => sub.outer_mut().collect(),
        }
    }

    /// Whether any part of it is so.
    pub fn any(&self, test: &dyn Fn(&Ex) -> bool) -> bool {
        test(self) || self.children().into_iter().any(|child| child.any(test))
    }

    /// Every column that it reads; of a subquery, those of the query around.
    pub fn columns(&self) -> Vec<Id> {
        let mut all = Vec::new();
        self.add_columns(&mut all);
        all
    }

    fn add_columns(&self, all: &mut Vec<Id>) {
        match &self.kind {
            Kind::Column(id) => all.push(*id),
            Kind::Sub(sub) => {
                let mut own: Vec<Id> = sub.inner.columns().into_iter().map(|(id, _)| id).collect();
                own.extend(sub.calls.iter().flatten().map(|(id, _)| *id));
                let mut read = Vec::new();
                sub.outer().for_each(|ex| ex.add_columns(&mut read));
                all.extend(read.into_iter().filter(|id| !own.contains(id)));
            }
            _ => self.children().into_iter().for_each(|child| child.add_columns(all)),
        }
    }

    pub fn each(&self, visit: &mut dyn FnMut(&Ex)) {
        visit(self);
        self.children().into_iter().for_each(|child| child.each(visit));
    }

    /// Replaces parts from the top down; what was replaced is not looked into.
    pub fn rewrite(&mut self, change: &mut dyn FnMut(&Ex) -> Option<Ex>) {
        match change(self) {
            Some(other) => *self = other,
            None => self.children_mut().into_iter().for_each(|child| child.rewrite(change)),
        }
    }

    pub fn has_aggregate(&self) -> bool {
        self.any(&|ex| matches!(ex.kind, Kind::Agg(_)))
    }

    pub fn has_window(&self) -> bool {
        self.any(&|ex| matches!(ex.kind, Kind::Win(_)))
    }

    /// Whether it can raise for some row.
    pub fn fallible(&self) -> bool {
        self.any(&|ex| match &ex.kind {
            Kind::Call(func, _) => func.fallible,
            Kind::Chain(..) => true,
            _ => false,
        })
    }
}

/// Functions that have a value for NULL.
const LENIENT: [&str; 5] = ["concat", "concat_ws", "format", "only_row", "grouping"];

/// The literal that a call of literals is, or the call.
fn folded(ex: Ex) -> Ex {
    let Kind::Call(func, args) = &ex.kind else { return ex };
    // A strict function of NULL is NULL, whatever the other arguments would raise.
    if !LENIENT.contains(&func.name) && ex.has_null() && ex.settled() {
        return Ex::null(ex.ty, ex.place);
    }
    let mut columns = Vec::with_capacity(args.len());
    for arg in args {
        let Some(literal) = arg.as_literal() else { return ex };
        columns.push(constant(literal, arg.ty));
    }
    match (func.run)(&columns) {
        Ok(Ok(column)) if column.len() == 1 => match literal_of(&column, ex.ty) {
            Some(literal) => Ex::literal(literal, ex.ty, ex.place),
            None => ex,
        },
        _ => ex,
    }
}

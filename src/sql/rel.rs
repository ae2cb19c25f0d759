//! The plan of a query: a small relational tree over numbered columns. What it reads row by row, and where each column
//! comes from, are asked of it here.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::error::Place;
use super::expr::{AggCall, Cmp, Ex, Id, Literal, SortKey, WinCall};
use super::types::Ty;

#[derive(Clone, Debug)]
pub enum Rel {
    /// A table of the job; of its columns those that the query names.
    Scan {
        table: usize,
        columns: Vec<(Id, String, Ty)>,
    },
    Values {
        columns: Vec<(Id, Ty)>,
        rows: Vec<Vec<Literal>>,
    },
    /// The columns of the input and more.
    Extend {
        input: Box<Rel>,
        exprs: Vec<(Id, Ex)>,
    },
    /// These alone, one row for each row of the input.
    Project {
        input: Box<Rel>,
        exprs: Vec<(Id, Ex)>,
    },
    Filter {
        input: Box<Rel>,
        predicate: Ex,
    },
    Join(Box<Join>),
    /// Without keys, one row whatever the input has.
    Aggregate {
        input: Box<Rel>,
        keys: Vec<(Id, Ex)>,
        calls: Vec<(Id, AggCall)>,
    },
    /// The rows of the input with the results of window functions that share partition and order.
    Window {
        input: Box<Rel>,
        partition: Vec<Ex>,
        order: Vec<SortKey>,
        calls: Vec<(Id, WinCall)>,
    },
    Distinct {
        input: Box<Rel>,
    },
    Sort {
        input: Box<Rel>,
        keys: Vec<SortKey>,
    },
    Limit {
        input: Box<Rel>,
        offset: u64,
        limit: Option<u64>,
    },
    /// One below the other, column by column.
    Concat {
        inputs: Vec<Rel>,
        columns: Vec<(Id, Ty)>,
    },
    /// The rows of the input, numbered.
    Number {
        input: Box<Rel>,
        id: Id,
    },
    /// A part of the query that stands in it more than once, under new numbers.
    Shared {
        part: usize,
        input: Arc<Rel>,
        columns: Vec<(Id, Id, Ty)>,
    },
}

#[derive(Clone, Debug)]
pub struct Join {
    pub left: Rel,
    pub right: Rel,
    pub how: How,
    pub keys: Vec<Key>,
    /// What else must hold between a row of the left and one of the right for them to be a pair.
    pub residual: Option<Ex>,
}

/// Equality of an expression of the left and one of the right.
#[derive(Clone, Debug)]
pub struct Key {
    pub left: Ex,
    pub right: Ex,
    /// NULL is equal to NULL.
    pub null_safe: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    Inner,
    Left,
    Full,
    Semi,
    Anti,
}

impl Rel {
    pub fn extend(self, exprs: Vec<(Id, Ex)>) -> Rel {
        if exprs.is_empty() { self } else { Rel::Extend { input: Box::new(self), exprs } }
    }

    pub fn project(self, exprs: Vec<(Id, Ex)>) -> Rel {
        Rel::Project { input: Box::new(self), exprs }
    }

    pub fn filter(self, predicate: Ex) -> Rel {
        Rel::Filter { input: Box::new(self), predicate }
    }

    pub fn join(self, right: Rel, how: How, keys: Vec<Key>, residual: Option<Ex>) -> Rel {
        Rel::Join(Box::new(Join { left: self, right, how, keys, residual }))
    }

    /// Its columns, in their order.
    pub fn columns(&self) -> Vec<(Id, Ty)> {
        match self {
            Rel::Scan { columns, .. } => columns.iter().map(|(id, _, ty)| (*id, *ty)).collect(),
            Rel::Values { columns, .. } | Rel::Concat { columns, .. } => columns.clone(),
            Rel::Shared { columns, .. } => columns.iter().map(|(_, id, ty)| (*id, *ty)).collect(),
            Rel::Project { exprs, .. } => exprs.iter().map(|(id, ex)| (*id, ex.ty)).collect(),
            Rel::Extend { input, exprs } => {
                let mut all = input.columns();
                all.extend(exprs.iter().map(|(id, ex)| (*id, ex.ty)));
                all
            }
            Rel::Aggregate { keys, calls, .. } => {
                let keys = keys.iter().map(|(id, ex)| (*id, ex.ty));
                keys.chain(calls.iter().map(|(id, call)| (*id, call.agg.ty))).collect()
            }
            Rel::Window { input, calls, .. } => {
                let mut all = input.columns();
                all.extend(calls.iter().map(|(id, call)| (*id, call.win.ty)));
                all
            }
            Rel::Number { input, id } => {
                let mut all = input.columns();
                all.push((*id, Ty::Int8));
                all
            }
            Rel::Join(join) => {
                let mut all = join.left.columns();
                if !matches!(join.how, How::Semi | How::Anti) {
                    all.extend(join.right.columns());
                }
                all
            }
            Rel::Filter { input, .. }
            | Rel::Distinct { input }
            | Rel::Sort { input, .. }
            | Rel::Limit { input, .. } => input.columns(),
        }
    }

    pub fn inputs(&self) -> Vec<&Rel> {
        match self {
            Rel::Scan { .. } | Rel::Values { .. } => Vec::new(),
            Rel::Join(join) => vec![&join.left, &join.right],
            Rel::Concat { inputs, .. } => inputs.iter().collect(),
            Rel::Shared { input, .. } => vec![input],
            Rel::Extend { input, .. }
            | Rel::Project { input, .. }
            | Rel::Filter { input, .. }
            | Rel::Aggregate { input, .. }
            | Rel::Window { input, .. }
            | Rel::Distinct { input }
            | Rel::Sort { input, .. }
            | Rel::Limit { input, .. }
            | Rel::Number { input, .. } => vec![input],
        }
    }

    /// The table whose rows the query takes one by one: its answer over all of them is its answers over each part of
    /// them, one below the other.
    pub fn driving(&self) -> Option<usize> {
        let mut uses = BTreeMap::new();
        self.count_uses(&mut uses);
        let table = self.leaf(&uses)?;
        // A table that stands in the plan twice is joined with itself.
        (self.scans(table, &mut BTreeMap::new()) == 1).then_some(table)
    }

    /// How often each part is named.
    pub fn count_uses(&self, uses: &mut BTreeMap<usize, usize>) {
        if let Rel::Shared { part, .. } = self {
            let seen = uses.entry(*part).or_insert(0);
            *seen += 1;
            if *seen > 1 {
                return;
            }
        }
        self.inputs().into_iter().for_each(|input| input.count_uses(uses));
    }

    fn leaf(&self, uses: &BTreeMap<usize, usize>) -> Option<usize> {
        match self {
            // What is named once stands where it is named.
            Rel::Shared { part, input, .. } if uses.get(part) == Some(&1) => input.leaf(uses),
            Rel::Scan { table, .. } => Some(*table),
            Rel::Extend { input, .. } | Rel::Project { input, .. } | Rel::Filter { input, .. } => input.leaf(uses),
            Rel::Join(join) if join.how != How::Full && !join.keys.is_empty() && join.right.plain(uses) => {
                join.left.leaf(uses)
            }
            _ => None,
        }
    }

    /// Whether its rows are the same each time they are asked for: the right side of a join is computed for every part,
    /// and a sum of floats, or the first rows of an unsorted table, may come out another way.
    fn plain(&self, uses: &BTreeMap<usize, usize>) -> bool {
        match self {
            Rel::Shared { part, input, .. } if uses.get(part) == Some(&1) => input.plain(uses),
            Rel::Scan { .. } | Rel::Values { .. } => true,
            Rel::Extend { input, .. } | Rel::Project { input, .. } | Rel::Filter { input, .. } => input.plain(uses),
            _ => false,
        }
    }

    /// How often a table stands in it, were every part written out.
    fn scans(&self, wanted: usize, known: &mut BTreeMap<usize, usize>) -> usize {
        if let Rel::Scan { table, .. } = self {
            return usize::from(*table == wanted);
        }
        if let Rel::Shared { part, .. } = self
            && let Some(count) = known.get(part)
        {
            return *count;
        }
        let count = self.inputs().into_iter().fold(0usize, |sum, input| sum.saturating_add(input.scans(wanted, known)));
        if let Rel::Shared { part, .. } = self {
            known.insert(*part, count);
        }
        count
    }

    /// How many nodes it has, were every part written out.
    pub fn size(&self, known: &mut BTreeMap<usize, usize>) -> usize {
        if let Rel::Shared { part, .. } = self
            && let Some(size) = known.get(part)
        {
            return *size;
        }
        let size = self.inputs().into_iter().fold(1usize, |sum, input| sum.saturating_add(input.size(known)));
        if let Rel::Shared { part, .. } = self {
            known.insert(*part, size);
        }
        size
    }
}

/// The columns of tables that a column is made of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// Number of the table, and the column's name there.
    pub from: BTreeSet<(usize, String)>,
    /// It is the source's value as it stands.
    pub copied: bool,
}

/// Where every column of the plan comes from. What only decides which rows there are (a filter, a key of a join) is not
/// counted.
pub fn lineage(rel: &Rel) -> BTreeMap<Id, Origin> {
    let mut known = BTreeMap::new();
    trace(rel, &mut known, &mut BTreeSet::new());
    known
}

fn trace(rel: &Rel, known: &mut BTreeMap<Id, Origin>, parts: &mut BTreeSet<usize>) {
    let seen = matches!(rel, Rel::Shared { part, .. } if !parts.insert(*part));
    if !seen {
        rel.inputs().into_iter().for_each(|input| trace(input, known, parts));
    }
    let of = |ex: &Ex, known: &BTreeMap<Id, Origin>| -> Origin {
        if let Some(id) = ex.as_column() {
            return known.get(&id).cloned().unwrap_or_default();
        }
        let from = ex.columns().iter().filter_map(|id| known.get(id)).flat_map(|o| o.from.clone()).collect();
        Origin { from, copied: false }
    };
    match rel {
        Rel::Scan { table, columns } => known.extend(
            columns
                .iter()
                .map(|(id, name, _)| (*id, Origin { from: BTreeSet::from([(*table, name.clone())]), copied: true })),
        ),
        Rel::Extend { exprs, .. } | Rel::Project { exprs, .. } => {
            let found: Vec<_> = exprs.iter().map(|(id, ex)| (*id, of(ex, known))).collect();
            known.extend(found);
        }
        Rel::Aggregate { keys, calls, .. } => {
            let mut found: Vec<_> = keys.iter().map(|(id, ex)| (*id, of(ex, known))).collect();
            for (id, call) in calls {
                let parts = call.args.iter().chain(call.order.iter().map(|key| &key.ex));
                let from = parts.flat_map(|ex| of(ex, known).from).collect();
                found.push((*id, Origin { from, copied: false }));
            }
            known.extend(found);
        }
        Rel::Window { partition, order, calls, .. } => {
            let shared: BTreeSet<_> =
                partition.iter().chain(order.iter().map(|k| &k.ex)).flat_map(|ex| of(ex, known).from).collect();
            for (id, call) in calls {
                let mut from: BTreeSet<_> = call.args.iter().flat_map(|ex| of(ex, known).from).collect();
                from.extend(shared.iter().cloned());
                known.insert(*id, Origin { from, copied: false });
            }
        }
        Rel::Concat { inputs, columns } => {
            for (position, (id, _)) in columns.iter().enumerate() {
                let parts: Vec<Origin> = inputs
                    .iter()
                    .filter_map(|input| input.columns().get(position).and_then(|(id, _)| known.get(id).cloned()))
                    .collect();
                let copied = parts.iter().all(|part| part.copied);
                known.insert(*id, Origin { from: parts.into_iter().flat_map(|part| part.from).collect(), copied });
            }
        }
        Rel::Shared { columns, .. } => {
            for (inner, id, _) in columns {
                let origin = known.get(inner).cloned().unwrap_or_default();
                known.insert(*id, origin);
            }
        }
        _ => {}
    }
}

/// How the value of a subquery comes of its rows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum SubKind {
    Exists,
    /// Whether the operand is so to any of the rows.
    Any(Cmp),
    /// The value of its one row; NULL when there is none.
    Scalar,
}

/// A subquery, until it is a join.
#[derive(Clone, Debug)]
pub struct Sub {
    pub kind: SubKind,
    pub inner: Rel,
    /// Its columns, over those of `inner`, or over the results of `calls`.
    pub values: Vec<Ex>,
    /// Aggregates over all rows of `inner` that belong to a row around.
    pub calls: Option<Vec<(Id, AggCall)>>,
    /// The first in this order is the value.
    pub first: Option<Vec<SortKey>>,
    /// What ties a row of `inner` to a row around it.
    pub ties: Vec<Ex>,
    pub operand: Vec<Ex>,
    pub place: Place,
}

impl Sub {
    /// The expressions in which columns of the query around may stand.
    pub fn outer(&self) -> impl Iterator<Item = &Ex> {
        self.operand.iter().chain(&self.ties).chain(&self.values)
    }

    pub fn outer_mut(&mut self) -> impl Iterator<Item = &mut Ex> {
        self.operand.iter_mut().chain(&mut self.ties).chain(&mut self.values)
    }
}

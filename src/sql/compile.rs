//! From the text of a query to a plan: parse, bind, lower; and what the plan gives.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use chrono_tz::Tz;
use polars::prelude::{LazyFrame, PolarsResult};

use super::bind::{Binder, Bounds, Note, Table};
use super::error::{DUPLICATE, Place, Result, SqlError};
use super::expr::{Ex, Id};
use super::rel::{How, Origin, Rel};
use super::scope::Meaning;
use super::types::Ty;

/// A query whose names and types are known. Nothing has been read.
#[derive(Debug)]
pub struct Compiled {
    pub columns: Vec<Column>,
    /// The table that the query takes row by row, by its number.
    pub driving: Option<usize>,
    /// What may not have been meant.
    pub notes: Vec<Note>,
    rel: Rel,
    zone: Tz,
}

/// A column of the result.
#[derive(Clone, Debug)]
pub struct Column {
    pub name: String,
    pub ty: Ty,
    /// What it is made of.
    pub origin: Origin,
    id: Id,
}

/// Bytes of stack that a byte of the query may cost while its tree is built and dropped.
const STACK_PER_BYTE: usize = 200;
/// Nodes of a plan, were every part written out, at most.
const LARGEST: usize = 50_000;
const LEAST_STACK: usize = 8 << 20;

/// Binds a query to tables. The placeholders stand for the bounds, the clock is that of the zone.
pub fn compile(text: &str, tables: &[Table], zone: Tz, bounds: Bounds) -> Result<Compiled> {
    // The parser's tree is as deep as its longest chain of operators, and is dropped node by node.
    let stack = (text.len().saturating_mul(STACK_PER_BYTE) + LEAST_STACK).min(1 << 32);
    stacker::maybe_grow(LEAST_STACK, stack, || {
        let query = super::parse::parse(text)?;
        let mut binder = Binder::new(tables, zone, bounds);
        let bound = binder.top(&query)?;
        let notes = std::mem::take(&mut binder.notes);
        let origins = super::rel::lineage(&bound.rel);
        let (mut columns, mut names) = (Vec::with_capacity(bound.out.len()), HashSet::new());
        for out in bound.out {
            let Meaning::Value(ex) = &out.meaning else {
                return Err(SqlError::unsupported(out.place, "an interval as a column of the result")
                    .hint("EXTRACT(EPOCH FROM x) gives its seconds"));
            };
            if !names.insert(out.name.clone()) {
                return Err(SqlError::new(
                    DUPLICATE,
                    out.place,
                    format!("two columns of the result are named {}", out.name),
                )
                .hint("give one of them another name: AS other_name"));
            }
            let id = ex.as_column().unwrap_or_default();
            let origin = origins.get(&id).cloned().unwrap_or_default();
            columns.push(Column { name: out.name, ty: ex.ty, origin, id });
        }
        if bound.rel.size(&mut BTreeMap::new()) > LARGEST {
            return Err(SqlError::new(
                "54001",
                Place::default(),
                "the query is too large when its WITH parts are written out",
            )
            .hint("parts that name the part before them more than once double with each"));
        }
        closed(&bound.rel, &mut BTreeSet::new())?;
        let driving = bound.rel.driving();
        Ok(Compiled { columns, driving, notes, rel: bound.rel, zone })
    })
}

impl Compiled {
    /// The plan over these frames, which stand for the tables it was compiled with, in their order.
    pub fn frame(&self, tables: &[LazyFrame]) -> PolarsResult<LazyFrame> {
        let mut lowerer = super::lower::Lowerer::new(tables, self.zone, &self.rel);
        let frame = lowerer.rel(&self.rel)?;
        let shown = self.columns.iter().map(|c| {
            let column = super::lower::expr::column(c.id);
            let column = if c.ty.published() == c.ty.held() { column } else { column.cast(c.ty.published()) };
            column.alias(c.name.as_str())
        });
        Ok(frame.select(shown.collect::<Vec<_>>()))
    }
}

/// Every column that an expression reads is one of its input. What is not depends on a query around it in a way that no
/// join stands for.
fn closed(rel: &Rel, seen: &mut BTreeSet<usize>) -> Result<()> {
    let ids = |rel: &Rel| -> BTreeSet<Id> { rel.columns().into_iter().map(|(id, _)| id).collect() };
    let check = |exprs: &mut dyn Iterator<Item = &Ex>, have: &BTreeSet<Id>| -> Result<()> {
        for ex in exprs {
            let mut place: Option<Place> = None;
            ex.each(&mut |ex| {
                if ex.as_column().is_some_and(|id| !have.contains(&id)) {
                    place.get_or_insert(ex.place);
                }
            });
            if let Some(place) = place {
                return Err(SqlError::unsupported(place, "a column of a query around in this place")
                    .hint("a subquery can depend on the query around it in its own WHERE"));
            }
        }
        Ok(())
    };
    match rel {
        Rel::Extend { input, exprs } | Rel::Project { input, exprs } => {
            check(&mut exprs.iter().map(|(_, ex)| ex), &ids(input))?;
        }
        Rel::Filter { input, predicate } => check(&mut std::iter::once(predicate), &ids(input))?,
        Rel::Sort { input, keys } => check(&mut keys.iter().map(|key| &key.ex), &ids(input))?,
        Rel::Aggregate { input, keys, calls } => {
            let args = calls.iter().flat_map(|(_, c)| c.args.iter().chain(c.order.iter().map(|k| &k.ex)));
            check(&mut keys.iter().map(|(_, ex)| ex).chain(args), &ids(input))?;
        }
        Rel::Window { input, partition, order, calls } => {
            let args = calls.iter().flat_map(|(_, c)| c.args.iter());
            check(&mut partition.iter().chain(order.iter().map(|k| &k.ex)).chain(args), &ids(input))?;
        }
        Rel::Join(join) => {
            let (left, right) = (ids(&join.left), ids(&join.right));
            check(&mut join.keys.iter().map(|key| &key.left), &left)?;
            check(&mut join.keys.iter().map(|key| &key.right), &right)?;
            check(&mut join.residual.iter(), &left.union(&right).copied().collect())?;
            debug_assert!(join.how != How::Inner || left.is_disjoint(&right));
        }
        _ => {}
    }
    match rel {
        Rel::Shared { part, .. } if !seen.insert(*part) => Ok(()),
        other => other.inputs().into_iter().try_for_each(|input| closed(input, seen)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compiled(sql: &str) -> Compiled {
        let table = |name: &str, columns: &[(&str, Ty)]| Table {
            name: name.into(),
            columns: columns.iter().map(|(name, ty)| ((*name).to_owned(), *ty)).collect(),
        };
        let tables = [
            table("names", &[("k", Ty::Int8), ("name", Ty::Text)]),
            table("facts", &[("k", Ty::Int8), ("n", Ty::Int8), ("s", Ty::Text), ("at", Ty::Timestamptz)]),
        ];
        let bounds = Bounds { date: chrono::NaiveDate::default(), start: 0, end: 86_400_000_000 };
        compile(sql, &tables, Tz::UTC, bounds).unwrap_or_else(|e| panic!("{sql}: {e:?}"))
    }

    #[test]
    fn queries_that_take_rows_one_by_one_are_told_from_those_that_do_not() {
        for sql in [
            "SELECT * FROM facts",
            "SELECT 1 AS one FROM facts",
            "SELECT k, n + 1 AS m, upper(s) AS t, CASE WHEN n > 3 THEN 1.5 ELSE NULL END AS c, 'x' AS x FROM facts",
            "SELECT k FROM facts WHERE n BETWEEN 1 AND 5 AND s IN ('a', 'b') OR s LIKE 'c%'",
            "SELECT k, at::date AS day, DATE_TRUNC('week', at) AS week FROM facts WHERE at >= :start AND at < :end",
            "SELECT f.k, name FROM facts AS f LEFT JOIN names AS n ON f.k = n.k",
            "SELECT f.k, name FROM facts AS f LEFT JOIN names AS n ON f.k = n.k AND n.name <> 'y' AND f.n > f.k",
            "SELECT f.k, name FROM facts AS f JOIN names AS n ON f.k = n.k WHERE name <> 'y'",
            "SELECT f.k, name FROM facts AS f, names AS n WHERE f.k = n.k",
            "SELECT f.k, d.name FROM facts AS f LEFT JOIN (SELECT k, upper(name) AS name FROM names WHERE k > 1) AS d ON f.k = d.k",
            "WITH g AS (SELECT *, n * 2 AS twice FROM facts) SELECT k, twice FROM g WHERE twice > 2",
            "SELECT f.k FROM facts AS f LEFT SEMI JOIN names AS n ON f.k = n.k",
            "SELECT f.k FROM facts AS f WHERE EXISTS (SELECT 1 FROM names AS n WHERE f.k = n.k AND n.k > f.n)",
            "SELECT f.k FROM facts AS f WHERE NOT EXISTS (SELECT 1 FROM names AS n WHERE f.k = n.k)",
            "SELECT f.k FROM facts AS f WHERE f.k IN (SELECT k FROM names)",
        ] {
            assert_eq!(compiled(sql).driving, Some(1), "{sql}");
        }
        for sql in [
            "SELECT count(*) AS n FROM facts",
            "SELECT f.k, d.name FROM facts AS f LEFT JOIN (SELECT k, max(name) AS name FROM names GROUP BY k) AS d ON f.k = d.k",
            "SELECT f.k, d.name FROM facts AS f LEFT JOIN (SELECT k, name FROM names LIMIT 1) AS d ON f.k = d.k",
            "SELECT s, sum(n) AS n FROM facts GROUP BY s",
            "SELECT DISTINCT s FROM facts",
            "SELECT k FROM facts ORDER BY n",
            "SELECT k FROM facts LIMIT 5",
            "SELECT k, n - (SELECT avg(n) FROM facts) AS d FROM facts",
            "SELECT k, rank() OVER (ORDER BY n) AS r FROM facts",
            "SELECT k, sum(n) OVER (PARTITION BY s) AS r FROM facts",
            "SELECT k FROM facts WHERE n IN (SELECT max(n) FROM facts)",
            "SELECT a.k FROM facts AS a JOIN facts AS b ON a.n = b.n",
            "WITH g AS (SELECT k FROM facts) SELECT a.k FROM g AS a JOIN g AS b ON a.k = b.k",
            "SELECT k FROM facts UNION ALL SELECT k FROM names",
            "SELECT f.k FROM facts AS f FULL JOIN names AS n ON f.k = n.k",
            "SELECT f.k FROM facts AS f CROSS JOIN names AS n",
        ] {
            assert_eq!(compiled(sql).driving, None, "{sql}");
        }
        let right = "SELECT name FROM names AS n RIGHT JOIN facts AS f ON f.k = n.k";
        assert_eq!(compiled(right).driving, Some(1), "a right join is a left join from the other side");
        assert_eq!(compiled("SELECT n.k FROM names AS n JOIN facts AS f ON f.k = n.k").driving, Some(0));
    }

    #[test]
    fn columns_know_their_types_and_what_they_are_made_of() {
        let sql = "WITH g AS (SELECT k, SUM(n) AS total FROM facts WHERE s = 'a' GROUP BY k)
                   SELECT f.k, f.n / 2.0 + g.total AS x, n.name || f.s AS label, COUNT(*) OVER (PARTITION BY f.s) AS c, 1 AS one
                   FROM facts AS f LEFT JOIN g ON g.k = f.k LEFT JOIN names AS n ON n.k = f.k";
        let compiled = compiled(sql);
        let shown: Vec<(String, Ty, bool, Vec<String>)> = compiled
            .columns
            .iter()
            .map(|c| {
                let from = c.origin.from.iter().map(|(table, name)| format!("{table}.{name}")).collect();
                (c.name.clone(), c.ty, c.origin.copied, from)
            })
            .collect();
        let made = |name: &str, ty: Ty, copied: bool, from: &[&str]| {
            (name.to_owned(), ty, copied, from.iter().map(|f| (*f).to_owned()).collect::<Vec<_>>())
        };
        assert_eq!(
            shown,
            [
                made("k", Ty::Int8, true, &["1.k"]),
                made("x", Ty::Numeric, false, &["1.n"]),
                made("label", Ty::Text, false, &["0.name", "1.s"]),
                made("c", Ty::Int8, false, &["1.s"]),
                made("one", Ty::Int4, false, &[]),
            ]
        );
        assert!(compiled.notes.is_empty());
        assert_eq!(self::compiled("SELECT n / 2 AS h FROM facts").notes.len(), 1);
    }
}

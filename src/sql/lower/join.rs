//! Joins: equalities by the engine's hash join; whatever else must hold of a pair is asked of the pairs.

use polars::prelude::*;

use super::Lowerer;
use super::expr::{column, lowered, name, null};
use crate::sql::expr::Literal;
use crate::sql::expr::{Cmp, Ex, Id, Kind};
use crate::sql::rel::{How, Join, Key, Rel};
use crate::sql::types::Ty;
use crate::sql::value::constant;

impl Lowerer<'_> {
    pub fn join(&mut self, join: &Join) -> PolarsResult<LazyFrame> {
        let (left, right) = (self.rel(&join.left)?, self.rel(&join.right)?);
        match (&join.residual, join.how) {
            (None, how) if !join.keys.is_empty() => Ok(self.by_keys(left, right, &join.keys, how)),
            (_, How::Inner) => self.pairs(left, right, &join.keys, join.residual.as_ref()),
            (_, how) => self.by_pairs((left, &join.left), (right, &join.right), join, how),
        }
    }

    /// By equalities alone. Keys that are no columns are computed first: the engine takes no two of one name.
    pub fn by_keys(&mut self, left: LazyFrame, right: LazyFrame, keys: &[Key], how: How) -> LazyFrame {
        let (mut left, mut right) = (left, right);
        let all_safe = keys.iter().all(|key| key.null_safe);
        let (mut on_left, mut on_right) = (Vec::new(), Vec::new());
        let (mut of_left, mut of_right) = (Vec::new(), Vec::new());
        for key in keys {
            let (a, b) = (name(self.fresh()), name(self.fresh()));
            if key.null_safe && !all_safe {
                // Among keys that do not match on NULL: whether it is NULL, and a value in its place.
                let (c, d) = (name(self.fresh()), name(self.fresh()));
                let filled = |ex: &Ex| lowered(ex).fill_null(filler(ex.ty));
                of_left.extend([lowered(&key.left).is_null().alias(a.clone()), filled(&key.left).alias(c.clone())]);
                of_right.extend([lowered(&key.right).is_null().alias(b.clone()), filled(&key.right).alias(d.clone())]);
                on_left.extend([col(a), col(c)]);
                on_right.extend([col(b), col(d)]);
                continue;
            }
            of_left.push(lowered(&key.left).alias(a.clone()));
            of_right.push(lowered(&key.right).alias(b.clone()));
            on_left.push(col(a));
            on_right.push(col(b));
        }
        let plain = |keys: &[&Ex]| keys.iter().all(|ex| ex.as_column().is_some());
        let sides: (Vec<&Ex>, Vec<&Ex>) =
            (keys.iter().map(|k| &k.left).collect(), keys.iter().map(|k| &k.right).collect());
        // Columns as they stand need no copies, as long as none stands twice.
        if plain(&sides.0)
            && plain(&sides.1)
            && (all_safe || keys.iter().all(|key| !key.null_safe))
            && once(&sides.0)
            && once(&sides.1)
        {
            on_left = sides.0.iter().filter_map(|ex| ex.as_column()).map(column).collect();
            on_right = sides.1.iter().filter_map(|ex| ex.as_column()).map(column).collect();
        } else {
            left = left.with_columns(of_left);
            right = right.with_columns(of_right);
        }
        left.join_builder()
            .with(right)
            .left_on(on_left)
            .right_on(on_right)
            .how(kind(how))
            .join_nulls(all_safe)
            .coalesce(JoinCoalesce::KeepColumns)
            .finish()
    }

    /// Pairs of an inner join.
    fn pairs(
        &mut self,
        left: LazyFrame,
        right: LazyFrame,
        keys: &[Key],
        residual: Option<&Ex>,
    ) -> PolarsResult<LazyFrame> {
        if !keys.is_empty() {
            let joined = self.by_keys(left, right, keys, How::Inner);
            return Ok(match residual {
                Some(predicate) => self.filter(joined, predicate),
                None => joined,
            });
        }
        let Some(residual) = residual else { return Ok(left.cross_join(right, None)) };
        let parts = residual.clone().conjuncts();
        // The engine has a join for inequalities between the two sides; anything else is asked of all pairs.
        let (fit, rest): (Vec<Ex>, Vec<Ex>) = parts.into_iter().partition(inequality);
        if fit.is_empty() {
            return Ok(self.filter(left.cross_join(right, None), residual));
        }
        let mut computed = (Vec::new(), Vec::new());
        let mut predicates = Vec::new();
        let (of_left, of_right) = (names(&left)?, names(&right)?);
        for part in &fit {
            let Kind::Compare(cmp, a, b) = &part.kind else { continue };
            let belongs = |ex: &Ex, names: &[PlSmallStr]| ex.columns().iter().all(|id| names.contains(&name(*id)));
            let (cmp, a, b) =
                match (belongs(a, &of_left) && belongs(b, &of_right), belongs(b, &of_left) && belongs(a, &of_right)) {
                    (true, _) => (*cmp, a, b),
                    (_, true) => (cmp.turned(), b, a),
                    _ => return Ok(self.filter(left.cross_join(right, None), residual)),
                };
            let (x, y) = (self.fresh(), self.fresh());
            computed.0.push(lowered(a).alias(name(x)));
            computed.1.push(lowered(b).alias(name(y)));
            let (x, y) = (column(x), column(y));
            predicates.push(match cmp {
                Cmp::Lt => x.lt(y),
                Cmp::Le => x.lt_eq(y),
                Cmp::Gt => x.gt(y),
                _ => x.gt_eq(y),
            });
        }
        let joined =
            left.with_columns(computed.0).join_builder().with(right.with_columns(computed.1)).join_where(predicates);
        Ok(if rest.is_empty() { joined } else { self.filter(joined, &Ex::and(rest, residual.place)) })
    }

    /// An outer, semi or anti join with more than equalities: rows are numbered, the pairs are found, and rows without a
    /// pair are told by their numbers.
    fn by_pairs(
        &mut self,
        left: (LazyFrame, &Rel),
        right: (LazyFrame, &Rel),
        join: &Join,
        how: How,
    ) -> PolarsResult<LazyFrame> {
        let ((left, left_rel), (right, right_rel)) = (left, right);
        let (l, r, met) = (self.fresh(), self.fresh(), self.fresh());
        let left = left.with_row_index(name(l), None).cache();
        let full = how == How::Full;
        let right = if full { right.with_row_index(name(r), None).cache() } else { right };
        let pairs = self.pairs(left.clone(), right.clone(), &join.keys, join.residual.as_ref())?;
        let numbers = |frame: LazyFrame, id: Id| frame.select([column(id).alias(name(met))]);
        let by = |frame: LazyFrame, id: Id, other: LazyFrame, how: JoinType| {
            frame
                .join_builder()
                .with(other)
                .left_on([column(id)])
                .right_on([column(met)])
                .how(how)
                .coalesce(JoinCoalesce::KeepColumns)
                .finish()
        };
        Ok(match how {
            How::Semi => by(left, l, numbers(pairs, l), JoinType::Semi),
            How::Anti => by(left, l, numbers(pairs, l), JoinType::Anti),
            How::Left | How::Inner => {
                let mut kept = vec![column(l).alias(name(met))];
                kept.extend(right_rel.columns().iter().map(|(id, _)| column(*id)));
                by(left, l, pairs.select(kept), JoinType::Left)
            }
            How::Full => {
                let pairs = pairs.cache();
                let alone_left = by(left, l, numbers(pairs.clone(), l), JoinType::Anti);
                let alone_right = by(right, r, numbers(pairs.clone(), r), JoinType::Anti);
                let shown = |missing: Option<&Rel>| -> Vec<Expr> {
                    let gone: Vec<Id> =
                        missing.map(|rel| rel.columns().into_iter().map(|(id, _)| id).collect()).unwrap_or_default();
                    let all = left_rel.columns().into_iter().chain(right_rel.columns());
                    all.map(|(id, ty)| if gone.contains(&id) { null(ty).alias(name(id)) } else { column(id) }).collect()
                };
                let parts = vec![
                    pairs.select(shown(None)),
                    alone_left.select(shown(Some(right_rel))),
                    alone_right.select(shown(Some(left_rel))),
                ];
                let union = UnionArgs { maintain_order: false, ..UnionArgs::default() };
                concat(parts, union)?
            }
        })
    }
}

fn once(keys: &[&Ex]) -> bool {
    (0..keys.len()).all(|n| keys[..n].iter().all(|other| other.as_column() != keys[n].as_column()))
}

fn kind(how: How) -> JoinType {
    match how {
        How::Inner => JoinType::Inner,
        How::Left => JoinType::Left,
        How::Full => JoinType::Full,
        How::Semi => JoinType::Semi,
        How::Anti => JoinType::Anti,
    }
}

/// Any value: it stands beside the mark that there is none.
fn filler(ty: Ty) -> Expr {
    let literal = match ty {
        Ty::Bool => Literal::Bool(false),
        Ty::Text | Ty::Unknown => Literal::Text(String::new()),
        Ty::Date => Literal::Date(0),
        Ty::Timestamp | Ty::Timestamptz => Literal::Micros(0),
        Ty::Numeric | Ty::Float4 | Ty::Float8 => Literal::Float(0.0, None),
        _ => Literal::Int(0),
    };
    let scalar = constant(&literal, ty);
    let cell = scalar.get(0).map(|v| v.into_static()).unwrap_or(AnyValue::Null);
    Expr::Literal(LiteralValue::Scalar(Scalar::new(ty.held(), cell)))
}

/// A comparison that the engine's join for inequalities takes: of numbers and times.
fn inequality(ex: &Ex) -> bool {
    match &ex.kind {
        Kind::Compare(Cmp::Lt | Cmp::Le | Cmp::Gt | Cmp::Ge, a, b) => {
            (a.ty.is_whole() || a.ty.is_time()) && !a.columns().is_empty() && !b.columns().is_empty()
        }
        _ => false,
    }
}

fn names(frame: &LazyFrame) -> PolarsResult<Vec<PlSmallStr>> {
    Ok(frame.clone().collect_schema()?.iter_names().cloned().collect())
}

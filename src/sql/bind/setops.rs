//! UNION, INTERSECT, EXCEPT and VALUES.

use sqlparser::ast::{SetExpr, SetOperator, SetQuantifier, Spanned, Values};

use super::query::Bound;
use super::{Binder, Cx, Env, Output, place};
use crate::sql::error::{MISMATCH, Place, Result, SqlError};
use crate::sql::expr::{Ex, Id};
use crate::sql::functions::cast::coerce;
use crate::sql::rel::{How, Key, Rel};
use crate::sql::scope::{Meaning, Scope, value};
use crate::sql::types::{Ty, common, common_of};

/// An arm of a set operation: its plan and its columns.
struct Arm {
    rel: Rel,
    out: Vec<Output>,
    place: Place,
}

impl Binder<'_> {
    /// A chain of set operations is walked, not descended.
    pub fn set_operation(&mut self, body: &SetExpr, env: &Env<'_>) -> Result<Bound> {
        let (mut spine, mut first) = (Vec::new(), body);
        while let SetExpr::SetOperation { left, op, set_quantifier, right } = first {
            spine.push((*op, *set_quantifier, &**right));
            first = left;
        }
        let mut arms = vec![self.arm_of(first, env)?];
        while let Some((op, quantifier, right)) = spine.pop() {
            let all = match quantifier {
                SetQuantifier::All => true,
                SetQuantifier::Distinct | SetQuantifier::None => false,
                _ => return Err(SqlError::unsupported(right.span(), "UNION BY NAME")),
            };
            let right = self.arm_of(right, env)?;
            if op == SetOperator::Union && all {
                arms.push(right);
                continue;
            }
            let left = self.stacked(arms)?;
            let at = right.place;
            let joined = match op {
                SetOperator::Union => {
                    let both = self.stacked(vec![left, right])?;
                    Arm { rel: Rel::Distinct { input: Box::new(both.rel) }, ..both }
                }
                SetOperator::Intersect => self.compared(left, right, How::Semi, all)?,
                SetOperator::Except => self.compared(left, right, How::Anti, all)?,
                SetOperator::Minus => return Err(SqlError::unsupported(at, "MINUS").hint("write EXCEPT")),
            };
            arms = vec![joined];
        }
        let whole = self.stacked(arms)?;
        Ok(Bound { rel: whole.rel, out: whole.out })
    }

    fn arm_of(&mut self, body: &SetExpr, env: &Env<'_>) -> Result<Arm> {
        let at: Place = body.span().into();
        let Bound { rel, out } = self.arm(body, env)?;
        if let Some(interval) = out.iter().find(|o| matches!(o.meaning, Meaning::Interval(_))) {
            return Err(SqlError::unsupported(interval.place, "an interval in UNION, INTERSECT or EXCEPT"));
        }
        Ok(Arm { rel, out, place: at })
    }

    /// Arms one below the other, their columns as common types under the names of the first.
    fn stacked(&mut self, mut arms: Vec<Arm>) -> Result<Arm> {
        if arms.len() == 1 {
            return Ok(arms.remove(0));
        }
        let types = common_types(&arms.iter().collect::<Vec<_>>())?;
        let at = arms[0].place;
        let names: Vec<(String, Place)> = arms[0].out.iter().map(|o| (o.name.clone(), o.place)).collect();
        let mut inputs = Vec::with_capacity(arms.len());
        for arm in arms {
            inputs.push(self.as_types(arm, &types)?.0);
        }
        let columns: Vec<(Id, Ty)> = types.iter().map(|ty| (self.id(), *ty)).collect();
        let out = names
            .into_iter()
            .zip(&columns)
            .map(|((name, place), (id, ty))| Output { name, meaning: value(*id, *ty), place })
            .collect();
        Ok(Arm { rel: Rel::Concat { inputs, columns }, out, place: at })
    }

    /// The arm with exactly its columns, as these types.
    fn as_types(&mut self, arm: Arm, types: &[Ty]) -> Result<(Rel, Vec<Ex>)> {
        let (mut exprs, mut columns) = (Vec::new(), Vec::new());
        for (out, ty) in arm.out.iter().zip(types) {
            let Meaning::Value(ex) = &out.meaning else { continue };
            let ex = coerce(ex.clone(), *ty, self.zone)?;
            let (id, column) = self.column(&ex);
            exprs.push((id, ex));
            columns.push(column);
        }
        Ok((arm.rel.project(exprs), columns))
    }

    /// INTERSECT and EXCEPT: rows of the left that are, or are not, among those of the right. NULL equals NULL. With ALL,
    /// the copies of a row are numbered on both sides.
    fn compared(&mut self, left: Arm, right: Arm, how: How, all: bool) -> Result<Arm> {
        let at = left.place;
        let names: Vec<(String, Place)> = left.out.iter().map(|o| (o.name.clone(), o.place)).collect();
        let types = common_types(&[&left, &right])?;
        let (left, left_columns) = self.as_types(left, &types)?;
        let (right, right_columns) = self.as_types(right, &types)?;
        let mut keys: Vec<Key> = left_columns
            .iter()
            .zip(&right_columns)
            .map(|(l, r)| Key { left: l.clone(), right: r.clone(), null_safe: true })
            .collect();
        let rel = if all {
            let (left, n) = self.numbered(left, &left_columns, &[]);
            let (right, m) = self.numbered(right, &right_columns, &[]);
            keys.push(Key { left: n, right: m, null_safe: true });
            left.join(right, how, keys, None)
        } else {
            Rel::Distinct { input: Box::new(left) }.join(right, how, keys, None)
        };
        let out = names
            .into_iter()
            .zip(left_columns)
            .map(|((name, place), ex)| Output { name, meaning: Meaning::Value(ex), place })
            .collect();
        Ok(Arm { rel, out, place: at })
    }

    pub fn values(&mut self, values: &Values, env: &Env<'_>) -> Result<Bound> {
        let scope = Scope::default();
        let cx = Cx::of_clause(&scope, env, "VALUES");
        let mut rows: Vec<Vec<Ex>> = Vec::with_capacity(values.rows.len());
        for row in &values.rows {
            let row = &row.content;
            let bound = row.iter().map(|e| self.value(e, cx)).collect::<Result<Vec<_>>>()?;
            if rows.first().is_some_and(|first| first.len() != bound.len()) {
                let at = row.first().map(place).unwrap_or_default();
                return Err(SqlError::new("42601", at, "the rows of VALUES have different lengths"));
            }
            rows.push(bound);
        }
        let width = rows.first().map_or(0, Vec::len);
        let mut columns = Vec::with_capacity(width);
        for n in 0..width {
            let ty = common_of(rows.iter().map(|row| row[n].ty), "VALUES", rows[0][n].place)?;
            columns.push((self.id(), ty));
        }
        let mut literals = Vec::with_capacity(rows.len());
        for row in rows {
            let mut made = Vec::with_capacity(width);
            for (ex, (_, ty)) in row.into_iter().zip(&columns) {
                let at = ex.place;
                match coerce(ex, *ty, self.zone)?.as_literal() {
                    Some(literal) => made.push(literal.clone()),
                    None => return Err(SqlError::unsupported(at, "something that is no constant in VALUES")),
                }
            }
            literals.push(made);
        }
        let named = |(n, (id, ty)): (usize, &(Id, Ty))| Output {
            name: format!("column{}", n + 1),
            meaning: value(*id, *ty),
            place: Place::default(),
        };
        let out = columns.iter().enumerate().map(named).collect();
        Ok(Bound { rel: Rel::Values { columns, rows: literals }, out })
    }
}

fn common_types(arms: &[&Arm]) -> Result<Vec<Ty>> {
    let width = arms[0].out.len();
    let mut types = Vec::with_capacity(width);
    if let Some(arm) = arms.iter().find(|arm| arm.out.len() != width) {
        let message = format!("the queries of UNION, INTERSECT or EXCEPT have {width} and {} columns", arm.out.len());
        return Err(SqlError::new("42601", arm.place, message));
    }
    for n in 0..width {
        let mut all = Ty::Unknown;
        for arm in arms {
            let Meaning::Value(ex) = &arm.out[n].meaning else { continue };
            // A bare NULL, or a quoted constant, of an arm has become text; it still stands for any type there.
            all = common(all, ex.ty).ok_or_else(|| {
                SqlError::new(
                    MISMATCH,
                    arm.out[n].place,
                    format!("the column {} mixes {} and {}", arms[0].out[n].name, all.name(), ex.ty.name()),
                )
                .hint("cast one to the type of the other: CAST(x AS ...)")
            })?;
        }
        types.push(if all == Ty::Unknown { Ty::Text } else { all });
    }
    Ok(types)
}

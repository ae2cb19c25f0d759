//! Function calls: what looks like a function but is an expression of its own, aggregates, windows, and all others.

use sqlparser::ast::{
    DuplicateTreatment, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgumentClause, FunctionArguments,
    OrderByExpr,
};

use super::{Binder, Cx, intervals};
use crate::sql::arithmetic::whole;
use crate::sql::error::{GROUPING, Place, Result, SqlError};
use crate::sql::expr::{AggCall, Cmp, Ex, Kind, SortKey};
use crate::sql::functions::{aggregates, cast, scalar, windows};
use crate::sql::kernels::group::Group;
use crate::sql::scope::{Meaning, folded};
use crate::sql::types::{Ty, common_of};

/// The arguments of a call as they are written.
struct Written<'e> {
    args: Vec<&'e Expr>,
    star: bool,
    distinct: bool,
    order: &'e [OrderByExpr],
}

impl Binder<'_> {
    pub fn function(&mut self, function: &Function, cx: Cx<'_>) -> Result<Meaning> {
        let (name, at) = self.function_name(function)?;
        let written = written(function, &name, at)?;
        if let Some(meaning) = self.special(&name, &written, at, cx)? {
            return Ok(meaning);
        }
        if function.null_treatment.is_some() {
            return Err(SqlError::unsupported(at, "IGNORE NULLS or RESPECT NULLS"));
        }
        if aggregates::is_aggregate(&name) {
            return self.aggregate(&name, function, &written, at, cx);
        }
        let outside = |what: &str| {
            Err(SqlError::new(
                "42809",
                at,
                format!("{what} has no meaning for {}, which is no aggregate", name.to_uppercase()),
            ))
        };
        if windows::is_window(&name) {
            if written.distinct || function.filter.is_some() || !function.within_group.is_empty() {
                return outside("DISTINCT, FILTER or WITHIN GROUP");
            }
            let Some(over) = &function.over else {
                return Err(SqlError::new("42P20", at, format!("{} needs OVER (...)", name.to_uppercase())));
            };
            let args = written.args.iter().map(|a| self.value(a, cx)).collect::<Result<Vec<_>>>()?;
            let (win, args) = windows::bind(&self.call(&name, args, at))?;
            return self.over(win, args, over, at, cx).map(Meaning::Value);
        }
        if function.over.is_some() || function.filter.is_some() || written.distinct || written.star {
            return outside("OVER, FILTER, DISTINCT or *");
        }
        let args = written.args.iter().map(|a| self.value(a, cx)).collect::<Result<Vec<_>>>()?;
        scalar(&self.call(&name, args, at)).map(Meaning::Value)
    }

    fn function_name(&self, function: &Function) -> Result<(String, Place)> {
        let idents: Vec<_> = function.name.0.iter().filter_map(|part| part.as_ident()).collect();
        match idents.as_slice() {
            [name] => Ok((folded(name), name.span.into())),
            [schema, name] if folded(schema) == "pg_catalog" => Ok((folded(name), name.span.into())),
            [first, ..] => Err(SqlError::unsupported(first.span, format!("the function {}", function.name))),
            [] => Err(SqlError::unsupported(Place::default(), format!("the function {}", function.name))),
        }
    }

    /// Expressions in the clothes of functions.
    fn special(&mut self, name: &str, written: &Written<'_>, at: Place, cx: Cx<'_>) -> Result<Option<Meaning>> {
        let args = &written.args;
        let found = match (name, args.len()) {
            ("coalesce" | "ifnull", 1..) => {
                let values = self.alike(args, "COALESCE", at, cx)?;
                let ty = values.first().map_or(Ty::Text, |v| v.ty);
                Ex::new(Kind::Coalesce(values), ty, at)
            }
            ("greatest" | "least", 1..) => {
                let of = self.alike(args, &name.to_uppercase(), at, cx)?;
                let ty = of.first().map_or(Ty::Text, |v| v.ty);
                Ex::new(Kind::Extreme { greatest: name == "greatest", of }, ty, at)
            }
            ("nullif", 2) => {
                let (a, b) = (self.value(args[0], cx)?, self.value(args[1], cx)?);
                let a = match (a.ty, b.ty) {
                    (Ty::Unknown, Ty::Unknown) => cast::coerce(a, Ty::Text, self.zone)?,
                    (Ty::Unknown, ty) => cast::coerce(a, ty, self.zone)?,
                    _ => a,
                };
                let equal = super::operators::compare(a.clone(), Cmp::Eq, b, self.zone)?;
                let null = Ex::null(a.ty, at);
                Ex::case(vec![(equal, null)], a, at)
            }
            ("if", 3) => {
                let condition = self.condition(args[0], cx, "IF")?;
                let values = self.alike(&args[1..], "IF", at, cx)?;
                let [yes, no] = <[Ex; 2]>::try_from(values).map_err(|_| SqlError::unsupported(at, "this IF"))?;
                Ex::case(vec![(condition, yes)], no, at)
            }
            ("age", 2) => {
                let (late, early) = (self.value(args[0], cx)?, self.value(args[1], cx)?);
                return intervals::age(late, early, self.zone, at).map(Some);
            }
            ("age", 1) => {
                return Err(SqlError::new(
                    "0A000",
                    at,
                    "AGE of one time counts from today, which changes from run to run",
                )
                .hint("AGE(:date, x) counts from the date of the interval"));
            }
            ("date_part", 2) => {
                let Meaning::Interval(parts) = self.expr(args[1], cx)? else { return Ok(None) };
                let field = self.value(args[0], cx)?;
                let field = self.call(name, vec![field], at).constant_text(0, "the field")?.unwrap_or_default();
                cast::explicit(intervals::extract(&field, &parts, at)?, Ty::Float8, self.zone)?
            }
            ("date_bin", 3) => return self.date_bin(args, at, cx).map(Some),
            ("grouping", 1..) => {
                let of = args.iter().map(|a| self.value(a, cx)).collect::<Result<Vec<_>>>()?;
                Ex::new(Kind::Call(super::group::grouping(), of), Ty::Int4, at)
            }
            _ => return Ok(None),
        };
        Ok(Some(Meaning::Value(found)))
    }

    /// Values as their common type.
    fn alike(&mut self, exprs: &[&Expr], what: &str, at: Place, cx: Cx<'_>) -> Result<Vec<Ex>> {
        let values = exprs.iter().map(|a| self.value(a, cx)).collect::<Result<Vec<_>>>()?;
        let ty = common_of(values.iter().map(|v| v.ty), what, at)?;
        values.into_iter().map(|v| cast::coerce(v, ty, self.zone)).collect()
    }

    fn date_bin(&mut self, args: &[&Expr], at: Place, cx: Cx<'_>) -> Result<Meaning> {
        let stride = match self.expr(args[0], cx)? {
            Meaning::Interval(parts) => intervals::known(&parts).and_then(super::literals::fixed),
            Meaning::Value(ex) => match ex.as_literal() {
                Some(crate::sql::expr::Literal::Text(text)) => {
                    let span = crate::sql::kernels::interval::parse(text, None);
                    super::literals::fixed(span.map_err(|f| SqlError::new(f.code, at, f.message))?)
                }
                _ => None,
            },
        };
        let stride = stride
            .ok_or_else(|| SqlError::unsupported(at, "DATE_BIN with a stride that is no constant, or has months"))?;
        let (of, origin) = (self.value(args[1], cx)?, self.value(args[2], cx)?);
        let ty = if of.ty == Ty::Timestamp { Ty::Timestamp } else { Ty::Timestamptz };
        let call = [Ex::int(stride, at), cast::coerce(of, ty, self.zone)?, cast::coerce(origin, ty, self.zone)?];
        let func = crate::sql::kernels::time::bin(ty);
        Ok(Meaning::Value(Ex::call(func, call.to_vec(), ty, at)))
    }

    fn aggregate(
        &mut self,
        name: &str,
        function: &Function,
        written: &Written<'_>,
        at: Place,
        cx: Cx<'_>,
    ) -> Result<Meaning> {
        if function.over.is_none()
            && let Some(clause) = cx.no_aggregates
        {
            return Err(SqlError::new(GROUPING, at, format!("an aggregate cannot stand in {clause}"))
                .hint("aggregate in a subquery or a WITH part, or ask in HAVING"));
        }
        if written.star && name != "count" {
            return Err(SqlError::new("42883", at, format!("{}(*) has no meaning", name.to_uppercase())));
        }
        // Within an aggregate, no other one; a window may have aggregates in it.
        let inner = match function.over {
            Some(_) => cx,
            None => Cx {
                no_aggregates: Some("the argument of an aggregate"),
                no_windows: Some("the argument of an aggregate"),
                ..cx
            },
        };
        if let ("sum" | "min" | "max" | "count" | "avg", [only]) = (name, written.args.as_slice())
            && !matches!(super::exprs::unnested(only), Expr::Tuple(_))
            && let Meaning::Interval(parts) = self.expr(only, inner)?
        {
            return self.of_interval(name, parts, function, written, at, inner);
        }
        // COUNT(DISTINCT (a, b)) counts rows, those with a NULL too.
        let row = match written.args.as_slice() {
            [one] if name == "count" && written.distinct => match super::exprs::unnested(one) {
                Expr::Tuple(columns) => Some(columns),
                _ => None,
            },
            _ => None,
        };
        let exprs: Vec<&Expr> = row.map_or_else(|| written.args.clone(), |columns| columns.iter().collect());
        let args = exprs.into_iter().map(|a| self.value(a, inner)).collect::<Result<Vec<_>>>()?;
        let within = !function.within_group.is_empty();
        let order = self.sort_keys(if within { &function.within_group } else { written.order }, inner)?;
        let filter = function.filter.as_ref().map(|f| self.condition(f, inner, "FILTER")).transpose()?;
        let mut bound = aggregates::bind(&self.call(name, args, at), written.distinct, order, within)?;
        if row.is_some() {
            bound.agg.kind = aggregates::AggKind::Group(Group::DistinctRows { nulls: true });
        }
        if let Some(filter) = filter {
            if matches!(
                bound.agg.kind,
                aggregates::AggKind::Group(Group::DistinctRows { .. } | Group::First | Group::Last)
            ) {
                return Err(
                    SqlError::unsupported(at, "FILTER here").hint("CASE WHEN condition THEN x END in the argument")
                );
            }
            mask(&mut bound.args, &mut bound.agg, filter);
        }
        let Some(over) = &function.over else {
            let call = AggCall { agg: bound.agg, args: bound.args, distinct: written.distinct, order: bound.order };
            let ty = call.agg.ty;
            return Ok(Meaning::Value(Ex::new(Kind::Agg(Box::new(call)), ty, at)));
        };
        self.aggregate_over(name, bound, written.distinct, over, at, cx).map(Meaning::Value)
    }

    /// An aggregate as a window function. With an order of its own, only those of a whole partition.
    fn aggregate_over(
        &mut self,
        name: &str,
        mut bound: aggregates::Bound,
        distinct: bool,
        over: &sqlparser::ast::WindowType,
        at: Place,
        cx: Cx<'_>,
    ) -> Result<Ex> {
        let win = windows::Win { over: bound.agg.over(distinct), ty: bound.agg.ty };
        let plain =
            matches!(bound.agg.kind, aggregates::AggKind::Min | aggregates::AggKind::Max | aggregates::AggKind::Count);
        if distinct && !plain {
            return Err(SqlError::unsupported(at, format!("{}(DISTINCT ...) OVER", name.to_uppercase())));
        }
        let own = std::mem::take(&mut bound.order);
        let ex = self.over(win, bound.args, over, at, cx)?;
        let Kind::Win(mut call) = ex.kind else { return Ok(ex) };
        if !own.is_empty() || (distinct && call.win.over == crate::sql::kernels::window::Over::CountDistinct) {
            if !call.order.is_empty() {
                return Err(SqlError::unsupported(at, format!("{} over a part of a partition", name.to_uppercase()))
                    .hint("leave ORDER BY out of OVER (...)"));
            }
            call.order = own;
        }
        let ty = call.win.ty;
        Ok(Ex::new(Kind::Win(call), ty, at))
    }

    /// SUM, MIN, MAX and COUNT of intervals.
    fn of_interval(
        &mut self,
        name: &str,
        parts: [Ex; 3],
        function: &Function,
        written: &Written<'_>,
        at: Place,
        cx: Cx<'_>,
    ) -> Result<Meaning> {
        let filter = function.filter.as_ref().map(|f| self.condition(f, cx, "FILTER")).transpose()?;
        let days_only = matches!(parts[0].as_literal(), Some(crate::sql::expr::Literal::Int(0)));
        let one = |this: &mut Self, name: &str, part: Ex| -> Result<Ex> {
            let mut bound = aggregates::bind(&this.call(name, vec![part], at), written.distinct, Vec::new(), false)?;
            if let Some(filter) = filter.clone() {
                mask(&mut bound.args, &mut bound.agg, filter);
            }
            if let Some(over) = &function.over {
                return this.aggregate_over(name, bound, written.distinct, over, at, cx);
            }
            let call = AggCall { agg: bound.agg, args: bound.args, distinct: written.distinct, order: Vec::new() };
            let ty = call.agg.ty;
            Ok(Ex::new(Kind::Agg(Box::new(call)), ty, at))
        };
        match name {
            "count" => one(self, "count", intervals::key(&parts)).map(Meaning::Value),
            "sum" => {
                let [months, days, micros] = parts;
                let (months, days, micros) =
                    (one(self, "sum", months)?, one(self, "sum", days)?, one(self, "sum", micros)?);
                Ok(Meaning::Interval([months, days, micros].map(|ex| Ex { ty: Ty::Int8, ..ex })))
            }
            // Of intervals without months, the length says all.
            "min" | "max" if days_only => {
                let micros = one(self, name, intervals::key(&parts))?;
                let day = || Ex::int(crate::sql::kernels::zone::DAY, at);
                use crate::sql::expr::Arith::{Div, Rem};
                let days = whole(micros.clone(), Div, day());
                Ok(Meaning::Interval([Ex::int(0, at), days, whole(micros, Rem, day())]))
            }
            _ => Err(SqlError::unsupported(at, format!("{} of intervals", name.to_uppercase()))
                .hint("AVG(EXTRACT(EPOCH FROM x)) gives seconds")),
        }
    }

    /// The keys of an ORDER BY over the columns that are there.
    pub fn sort_keys(&mut self, by: &[OrderByExpr], cx: Cx<'_>) -> Result<Vec<SortKey>> {
        by.iter()
            .map(|key| {
                let ex = match self.expr(&key.expr, cx)? {
                    Meaning::Value(ex) if ex.ty == Ty::Unknown => cast::coerce(ex, Ty::Text, self.zone)?,
                    Meaning::Value(ex) => ex,
                    Meaning::Interval(parts) => intervals::key(&parts),
                };
                Ok(sort_key(ex, key))
            })
            .collect()
    }
}

/// Ascending with NULLs last, descending with NULLs first, unless it says otherwise.
pub fn sort_key(ex: Ex, key: &OrderByExpr) -> SortKey {
    let descending = key.options.asc == Some(false);
    SortKey { ex, descending, nulls_last: key.options.nulls_first.map_or(!descending, |first| !first) }
}

/// FILTER: the argument is NULL for rows that are left out; every aggregate passes NULL by.
fn mask(args: &mut Vec<Ex>, agg: &mut aggregates::Agg, filter: Ex) {
    use aggregates::AggKind;
    if agg.kind == AggKind::CountRows {
        agg.kind = AggKind::Count;
        let place = filter.place;
        args.push(Ex::bool(true, place));
    }
    if let Some(first) = args.first_mut() {
        *first = first.clone().only_if(filter.clone());
    }
}

fn written<'e>(function: &'e Function, name: &str, at: Place) -> Result<Written<'e>> {
    let none = Written { args: Vec::new(), star: false, distinct: false, order: &[] };
    let list = match &function.args {
        FunctionArguments::None => return Ok(none),
        FunctionArguments::Subquery(_) => {
            return Err(SqlError::unsupported(at, "a subquery as the arguments of a function"));
        }
        FunctionArguments::List(list) => list,
    };
    if !matches!(function.parameters, FunctionArguments::None) {
        return Err(SqlError::unsupported(at, format!("{} with two lists of arguments", name.to_uppercase())));
    }
    let mut written = Written { distinct: list.duplicate_treatment == Some(DuplicateTreatment::Distinct), ..none };
    for arg in &list.args {
        match arg {
            FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => written.args.push(expr),
            FunctionArg::Unnamed(FunctionArgExpr::Wildcard) => written.star = true,
            _ => return Err(SqlError::unsupported(at, format!("named arguments of {}", name.to_uppercase()))),
        }
    }
    for clause in &list.clauses {
        match clause {
            FunctionArgumentClause::OrderBy(order) => written.order = order,
            _ => {
                return Err(SqlError::unsupported(
                    at,
                    format!("what stands behind the arguments of {}", name.to_uppercase()),
                ));
            }
        }
    }
    Ok(written)
}

//! Which table drives a plan: the one whose rows it takes one by one. If every step from a table to the result looks at
//! one row at a time (filters, expressions, joins against other tables), then the plan over all of its rows is the plan
//! over each piece of them, and the pieces need not be in memory together.

use std::sync::Arc;

use polars::prelude::{DataFrame, IntoLazy, JoinBuildSide, JoinType, LazyFrame};
use polars_plan::dsl::DslPlan;
use polars_plan::plans::expr_ir::ExprIR;
use polars_plan::plans::{IR, IRPlan, is_elementwise_rec, is_length_preserving_ae};
use polars_plan::prelude::Node;

use crate::error::{Error, Result};

/// The tables as they are, but without rows.
pub fn empty(tables: &[(String, LazyFrame)]) -> Result<Vec<(String, LazyFrame)>> {
    let empty = |(name, frame): &(String, LazyFrame)| {
        let schema = frame.clone().collect_schema();
        let schema = schema.map_err(|e| Error::data(format!("the table {name} has no schema")).cause(e))?;
        Ok((name.clone(), DataFrame::empty_with_schema(&schema).lazy()))
    };
    tables.iter().map(empty).collect()
}

/// The name of the table that drives `plan`, if one does; `tables` are those of the plan, all in memory.
pub fn driving(plan: LazyFrame, tables: &[(String, LazyFrame)]) -> Result<Option<String>> {
    let plan = plan.to_alp().map_err(|e| Error::defect("a plan that was checked cannot be read").cause(e))?;
    let Some(leaf) = leaf(&plan, plan.lp_top) else { return Ok(None) };
    // A table that stands in the plan twice is joined with itself.
    if occurrences(&plan, plan.lp_top, leaf) != 1 {
        return Ok(None);
    }
    let is_leaf =
        |frame: &LazyFrame| matches!(&frame.logical_plan, DslPlan::DataFrameScan { df, .. } if Arc::ptr_eq(df, leaf));
    Ok(tables.iter().find(|(_, frame)| is_leaf(frame)).map(|(name, _)| name.clone()))
}

/// Tells the engine that what the driving table is joined with is the smaller side. Left to itself it reads on, and keeps
/// what it reads, until it knows.
pub fn driven(plan: LazyFrame) -> LazyFrame {
    let mut plan = plan.logical_plan;
    build_right(&mut plan);
    plan.into()
}

fn build_right(plan: &mut DslPlan) {
    match plan {
        DslPlan::IR { dsl, .. } => {
            *plan = DslPlan::clone(dsl);
            build_right(plan);
        }
        DslPlan::Select { input, .. }
        | DslPlan::HStack { input, .. }
        | DslPlan::Filter { input, .. }
        | DslPlan::MapFunction { input, .. } => build_right(Arc::make_mut(input)),
        DslPlan::Join { input_left, options, .. } => {
            if matches!(options.args.how, JoinType::Inner | JoinType::Left) {
                Arc::make_mut(options).args.build_side = Some(JoinBuildSide::ForceRight);
            }
            build_right(Arc::make_mut(input_left));
        }
        _ => {}
    }
}

/// Whether the rows of `node` are the same each time they are asked for: the right side of a join is computed for every
/// piece, and a sum of floats, or the first rows of an unsorted table, may come out another way.
fn plain(plan: &IRPlan, node: Node) -> bool {
    match plan.lp_arena.get(node) {
        IR::DataFrameScan { .. } | IR::Scan { .. } => true,
        IR::SimpleProjection { input, .. } => plain(plan, *input),
        IR::Filter { input, predicate } => alone(plan, predicate) && plain(plan, *input),
        IR::HStack { input, exprs, .. } => exprs.iter().all(|e| alone(plan, e)) && plain(plan, *input),
        IR::Select { input, expr, .. } => expr.iter().all(|e| alone(plan, e)) && plain(plan, *input),
        _ => false,
    }
}

/// Whether an expression takes each row alone.
fn alone(plan: &IRPlan, expression: &ExprIR) -> bool {
    is_elementwise_rec(expression.node(), &plan.expr_arena)
}

/// Down from `node` by steps that take each row alone.
fn leaf(plan: &IRPlan, node: Node) -> Option<&Arc<DataFrame>> {
    let alone = |expression: &ExprIR| alone(plan, expression);
    match plan.lp_arena.get(node) {
        IR::DataFrameScan { df, .. } => Some(df),
        IR::SimpleProjection { input, .. } => leaf(plan, *input),
        IR::Filter { input, predicate } if alone(predicate) => leaf(plan, *input),
        IR::HStack { input, exprs, .. } if exprs.iter().all(alone) => leaf(plan, *input),
        // Of literals alone, a projection makes one row, not one for each.
        IR::Select { input, expr, .. }
            if expr.iter().all(alone) && expr.iter().any(|e| is_length_preserving_ae(e.node(), &plan.expr_arena)) =>
        {
            leaf(plan, *input)
        }
        IR::Join { input_left, input_right, left_on, right_on, options, .. }
            if plain(plan, *input_right)
                && options.args.slice.is_none()
                && !options.args.validation.needs_checks()
                && matches!(options.args.how, JoinType::Inner | JoinType::Left | JoinType::Semi | JoinType::Anti)
                && left_on.iter().chain(right_on).all(alone) =>
        {
            leaf(plan, *input_left)
        }
        _ => None,
    }
}

fn occurrences(plan: &IRPlan, node: Node, table: &Arc<DataFrame>) -> usize {
    let ir = plan.lp_arena.get(node);
    let here = matches!(ir, IR::DataFrameScan { df, .. } if Arc::ptr_eq(df, table));
    usize::from(here) + ir.inputs().map(|input| occurrences(plan, input, table)).sum::<usize>()
}

#[cfg(test)]
mod tests {
    use polars::prelude::*;
    use polars::sql::SQLContext;

    use super::*;

    fn driving_of(sql: &str) -> Option<String> {
        let facts = df!("k" => [1i64], "n" => [1i64], "s" => ["a"]).unwrap().lazy();
        let facts = ("facts".to_owned(), facts);
        let names = ("names".to_owned(), df!("k" => [1i64], "name" => ["x"]).unwrap().lazy());
        let tables = [names, facts];
        let mut context = SQLContext::new();
        tables.iter().for_each(|(name, frame)| context.register(name, frame.clone()));
        let plan = context.execute(sql).unwrap();
        let casts: Vec<Expr> = plan.clone().collect_schema().unwrap().iter_names().map(|n| col(n.clone())).collect();
        driving(plan.select(casts), &tables).unwrap()
    }

    #[test]
    fn plans_that_take_rows_one_by_one_are_told_from_those_that_do_not() {
        for sql in [
            "SELECT * FROM facts",
            "SELECT 1 AS one FROM facts",
            "SELECT k, n + 1 AS m, upper(s) AS t, CASE WHEN n > 3 THEN 1.5 ELSE NULL END AS c, 'x' AS x FROM facts",
            "SELECT k FROM facts WHERE n BETWEEN 1 AND 5 AND s IN ('a', 'b') OR s LIKE 'c%'",
            "SELECT f.k, name FROM facts AS f LEFT JOIN names AS n ON f.k = n.k",
            "SELECT f.k, name FROM facts AS f JOIN names AS n ON f.k = n.k WHERE name <> 'y'",
            "SELECT f.k, d.name FROM facts AS f LEFT JOIN (SELECT k, upper(name) AS name FROM names WHERE k > 1) AS d ON f.k = d.k",
            "WITH g AS (SELECT *, n * 2 AS twice FROM facts) SELECT k, twice FROM g WHERE twice > 2",
            "SELECT f.k FROM facts AS f LEFT SEMI JOIN names AS n ON f.k = n.k",
            "SELECT f.k FROM facts AS f LEFT ANTI JOIN names AS n ON f.k = n.k",
        ] {
            assert_eq!(driving_of(sql).as_deref(), Some("facts"), "{sql}");
        }
        for sql in [
            "SELECT count(*) AS n FROM facts",
            "SELECT f.k, d.name FROM facts AS f LEFT JOIN (SELECT k, max(name) AS name FROM names GROUP BY k) AS d ON f.k = d.k",
            "SELECT f.k, d.name FROM facts AS f LEFT JOIN (SELECT k, name FROM names LIMIT 1) AS d ON f.k = d.k",
            "SELECT s, sum(n) AS n FROM facts GROUP BY s",
            "SELECT DISTINCT s FROM facts",
            "SELECT k FROM facts ORDER BY n",
            "SELECT k FROM facts LIMIT 5",
            "SELECT k, n - avg(n) AS d FROM facts",
            "SELECT k, rank() OVER (ORDER BY n) AS r FROM facts",
            "SELECT k, sum(n) OVER (PARTITION BY s) AS r FROM facts",
            "SELECT k FROM facts WHERE n IN (SELECT max(n) FROM facts)",
            "SELECT a.k FROM facts AS a JOIN facts AS b ON a.n = b.n",
            "SELECT f.k FROM facts AS f LEFT JOIN (SELECT s, sum(n) AS n FROM facts GROUP BY s) AS t ON f.s = t.s",
            "SELECT k FROM facts UNION ALL SELECT k FROM names",
            "SELECT name FROM names AS n RIGHT JOIN facts AS f ON f.k = n.k",
            "SELECT f.k FROM facts AS f FULL JOIN names AS n ON f.k = n.k",
        ] {
            assert_eq!(driving_of(sql).as_deref(), None, "{sql}");
        }
        assert_eq!(driving_of("SELECT n.k FROM names AS n JOIN facts AS f ON f.k = n.k").as_deref(), Some("names"));
    }
}

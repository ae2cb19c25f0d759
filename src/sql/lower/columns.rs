//! Columns of the plan in the engine's words, and functions over them.

use polars::prelude::*;
use polars_plan::dsl::map_multiple;

use crate::sql::expr::Id;

/// The made-up name of a column.
pub fn name(id: Id) -> PlSmallStr {
    format!("c{id}").into()
}

pub fn column(id: Id) -> Expr {
    col(name(id))
}

/// A function of ours over columns.
pub fn kernel(
    run: impl Fn(&mut [Column]) -> PolarsResult<Column> + Send + Sync + 'static,
    args: Vec<Expr>,
    dtype: DataType,
) -> Expr {
    map_multiple(run, args, move |_: &Schema, fields: &[Field]| Ok(Field::new(fields[0].name().clone(), dtype.clone())))
}

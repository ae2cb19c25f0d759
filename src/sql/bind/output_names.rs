//! The name of a column without an alias.

use sqlparser::ast::{Expr, SetExpr, TrimWhereField};

use super::exprs::unnested;
use super::{literals, place};
use crate::sql::error::Place;
use crate::sql::scope::folded;
use crate::sql::types::Ty;

/// The name of a column without an alias, as Postgres gives it.
pub fn output_name(expr: &Expr) -> String {
    named(expr).map_or("?column?".into(), |(name, _)| name)
}

/// A name, and whether it is one that a cast or a CASE around it leaves standing.
fn named(expr: &Expr) -> Option<(String, bool)> {
    let strong = |name: &str| Some((name.to_owned(), true));
    match unnested(expr) {
        Expr::Identifier(ident) => Some((folded(ident), true)),
        Expr::CompoundIdentifier(parts) => parts.last().map(|part| (folded(part), true)),
        Expr::Function(function) => function.name.0.last().and_then(|p| p.as_ident()).map(|i| (folded(i), true)),
        Expr::Cast { expr, data_type, .. } => {
            named(expr).filter(|(_, stands)| *stands).or_else(|| Some((type_name(data_type, place(expr)), false)))
        }
        Expr::Case { else_result, .. } => {
            let otherwise = else_result.as_ref().and_then(|e| named(e)).filter(|(_, stands)| *stands);
            otherwise.or_else(|| Some(("case".into(), false)))
        }
        Expr::Extract { .. } => strong("extract"),
        Expr::Ceil { .. } => strong("ceil"),
        Expr::Floor { .. } => strong("floor"),
        Expr::Position { .. } => strong("position"),
        Expr::Substring { shorthand: true, .. } => strong("substr"),
        Expr::Substring { .. } => strong("substring"),
        Expr::Overlay { .. } => strong("overlay"),
        Expr::Trim { trim_where: Some(TrimWhereField::Leading), .. } => strong("ltrim"),
        Expr::Trim { trim_where: Some(TrimWhereField::Trailing), .. } => strong("rtrim"),
        Expr::Trim { .. } => strong("btrim"),
        Expr::AtTimeZone { .. } => strong("timezone"),
        Expr::Exists { .. } => strong("exists"),
        Expr::TypedString(typed) => Some((type_name(&typed.data_type, Place::default()), false)),
        Expr::Interval(_) => Some(("interval".into(), false)),
        Expr::Collate { expr, .. } => named(expr),
        Expr::Subquery(query) => match &*query.body {
            SetExpr::Select(select) => match select.projection.first()? {
                sqlparser::ast::SelectItem::UnnamedExpr(expr) => named(expr),
                sqlparser::ast::SelectItem::ExprWithAlias { alias, .. } => Some((folded(alias), true)),
                _ => None,
            },
            _ => None,
        },
        _ => None,
    }
}

/// A type as Postgres calls the column of a cast.
fn type_name(data_type: &sqlparser::ast::DataType, at: Place) -> String {
    use literals::Target;
    match literals::target(data_type, at) {
        Ok(Target::Ty(ty)) => match ty {
            Ty::Bool => "bool",
            Ty::Int2 => "int2",
            Ty::Int4 => "int4",
            Ty::Int8 => "int8",
            Ty::Float4 => "float4",
            Ty::Float8 => "float8",
            Ty::Date => "date",
            Ty::Timestamp => "timestamp",
            Ty::Timestamptz => "timestamptz",
            Ty::Whole | Ty::Numeric => "numeric",
            Ty::Text | Ty::Unknown => {
                if matches!(data_type, sqlparser::ast::DataType::Text) {
                    "text"
                } else {
                    "varchar"
                }
            }
        },
        Ok(Target::Cut { padded, .. }) => {
            if padded {
                "bpchar"
            } else {
                "varchar"
            }
        }
        Ok(Target::Places { .. }) => "numeric",
        Ok(Target::Interval) => "interval",
        Err(_) => "?column?",
    }
    .into()
}

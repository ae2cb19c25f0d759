//! Conditions over the rows of a transform, in its SQL, as columns of truths.

use std::path::Path;

use polars::prelude::LazyFrame;
use sqlparser::dialect::PostgreSqlDialect;
use sqlparser::keywords::Keyword;
use sqlparser::tokenizer::{Token, Tokenizer};

use super::plan::compile;
use crate::error::{Error, Result};
use crate::interval::Interval;
use crate::project::job::SqlFile;

/// The name of the transform's rows.
const ROWS: &str = "rows";

/// The frame, and after its columns one for each condition: a name, the SQL, and the line of the file that has it.
pub fn with_conditions(
    frame: LazyFrame,
    conditions: &[(String, &str, usize)],
    interval: &Interval,
    file: &Path,
) -> Result<LazyFrame> {
    if conditions.is_empty() {
        return Ok(frame);
    }
    let own = frame.clone().collect_schema().map(|schema| schema.len());
    let own = own.map_err(|e| Error::defect("the transform has no schema").cause(e))?;
    let tables = [(ROWS.to_owned(), frame)];
    let query = |select: String| SqlFile { path: file.to_owned(), text: format!("SELECT {select} FROM {ROWS}") };
    let mut all = vec![format!("{ROWS}.*")];
    for (name, condition, line) in conditions {
        let at_fault = |error: Error| {
            // The place is one within the query that is made of the condition.
            let place = format!("{}:", file.display());
            let what = match error.message.strip_prefix(&place) {
                Some(rest) => rest.trim_start_matches(|c: char| c.is_ascii_digit() || matches!(c, ':' | ' ')),
                None => error.message.as_str(),
            };
            let mut fault = Error::config(format!("{}:{line}: the condition {condition:?}: {what}", file.display()));
            fault.hint = error.hint.clone();
            fault
        };
        of_one_row(condition).map_err(|what| at_fault(Error::config(what)))?;
        // Each by itself first, so that the fault is told of the one that has it.
        let compiled =
            compile(&query(format!("{ROWS}.*, ({condition}\n) AS \"{name}\"")), &tables, interval).map_err(at_fault)?;
        match compiled.columns.last() {
            _ if compiled.columns.len() != own + 1 => {
                return Err(at_fault(Error::config("it is more than one condition")));
            }
            Some(last) if last.ty.name() == "boolean" => {}
            Some(last) => {
                return Err(at_fault(Error::config(format!("it is {}, not true or false", last.ty.name()))));
            }
            None => {}
        }
        all.push(format!("({condition}\n) AS \"{name}\""));
    }
    let compiled = compile(&query(all.join(", ")), &tables, interval)?;
    let frames = tables.map(|(_, frame)| frame);
    compiled
        .frame(&frames)
        .map_err(|e| Error::defect(format!("{}: the checks in SQL cannot be planned", file.display())).cause(e))
}

/// Rows come in parts, and each part is asked by itself: what looks at other rows would see those of its part alone.
fn of_one_row(condition: &str) -> std::result::Result<(), String> {
    let tokens = Tokenizer::new(&PostgreSqlDialect {}, condition).tokenize().map_err(|e| e.to_string())?;
    let word = |token: &Token| match token {
        Token::Word(word) if word.quote_style.is_none() => Some(word.keyword),
        _ => None,
    };
    match tokens.iter().filter_map(word).find(|word| matches!(word, Keyword::SELECT | Keyword::OVER)) {
        Some(Keyword::OVER) => {
            Err("it has a window, which looks at other rows; make a column of it in the transform".into())
        }
        Some(_) => {
            Err("it has a query of its own, which looks at other rows; make a column of it in the transform".into())
        }
        None => Ok(()),
    }
}

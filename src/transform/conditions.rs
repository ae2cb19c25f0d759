//! Conditions over the rows of a transform, in its SQL, as columns of truths.

use std::path::Path;

use polars::prelude::LazyFrame;

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
    let tables = [(ROWS.to_owned(), frame)];
    let query = |select: String| SqlFile { path: file.to_owned(), text: format!("SELECT {select} FROM {ROWS}") };
    let mut all = vec![format!("{ROWS}.*")];
    for (name, condition, line) in conditions {
        let at_fault = |error: Error| {
            let what = error.causes.first().unwrap_or(&error.message).clone();
            // The place is one within the query that is made of the condition.
            let what = what
                .rsplit(&format!("{}:", file.display()))
                .next()
                .unwrap_or(&what)
                .trim_start_matches(|c: char| c.is_ascii_digit() || matches!(c, ':' | ' '));
            let mut fault = Error::config(format!("{}:{line}: the condition {condition:?}: {what}", file.display()));
            fault.hint = error.hint;
            fault
        };
        // Alone, so that a comment or a parenthesis does not reach into another.
        let compiled = compile(&query(format!("({condition}\n) AS holds")), &tables, interval).map_err(at_fault)?;
        match compiled.columns.as_slice() {
            [one] if one.ty.name() == "boolean" => {}
            [one] => return Err(at_fault(Error::config(format!("it is {}, not true or false", one.ty.name())))),
            _ => return Err(at_fault(Error::config("it is more than one condition"))),
        }
        all.push(format!("({condition}\n) AS \"{name}\""));
    }
    let compiled = compile(&query(all.join(", ")), &tables, interval)?;
    let frames = tables.map(|(_, frame)| frame);
    compiled
        .frame(&frames)
        .map_err(|e| Error::defect(format!("{}: the checks in SQL cannot be planned", file.display())).cause(e))
}

//! Transform: the job's Polars SQL over the extracted tables, as one lazy plan for the whole interval, run by the
//! streaming engine and handed on in batches.

pub mod checks;
pub mod rowwise;

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex};

use polars::lazy::dsl::col;
use polars::prelude::*;
use polars::sql::SQLContext;

use crate::error::{Error, Result};
use crate::interval::Interval;
use crate::placeholders;
use crate::project::Job;
use crate::project::job::SqlFile;

/// What the engine said while it worked, each thing once. That a part of Polars is old is not the user's business.
static HEARD: Mutex<Vec<String>> = Mutex::new(Vec::new());

fn hear(text: &str, kind: polars_error::PolarsWarning) {
    let mut heard = HEARD.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    if !matches!(kind, polars_error::PolarsWarning::Deprecation) && !heard.iter().any(|h| h == text) {
        heard.push(text.to_owned());
    }
}

/// The engine's warnings since the last time.
pub fn warnings() -> Vec<String> {
    std::mem::take(&mut *HEARD.lock().unwrap_or_else(|poisoned| poisoned.into_inner()))
}

/// How a panic of the engine is told apart from its errors.
const ENGINE_PANIC: &str = "the engine panicked";

/// Plans the SQL over the tables. Every output column is cast to one of the canonical types, losslessly.
pub fn plan(sql: &SqlFile, tables: &[(String, LazyFrame)], interval: &Interval) -> Result<LazyFrame> {
    polars_error::set_warning_function(hear);
    let text = placeholders::polars(&sql.text, interval).map_err(|e| e.context(sql.path.display()))?;
    let mut context = SQLContext::new();
    for (name, frame) in tables {
        context.register(name, frame.clone());
    }
    let wrong = |e: &PolarsError| sql_error(sql, e);
    let mut frame = context.execute(&text).map_err(|e| wrong(&e))?;
    frame.collect_schema().map_err(|e| wrong(&e))?;
    canonical_columns(frame, &sql.path)
}

/// Casts every column to one of the canonical types, losslessly; `place` is who to blame.
pub fn canonical_columns(mut frame: LazyFrame, place: &std::path::Path) -> Result<LazyFrame> {
    let schema = frame.collect_schema().map_err(|e| Error::config(place.display().to_string()).cause(e))?;
    let mut casts = Vec::with_capacity(schema.len());
    for (name, kind) in schema.iter() {
        let target = canonical(kind).ok_or_else(|| {
            Error::config(format!(
                "{}: column {name:?} has the type {kind}, which cannot be published",
                place.display()
            ))
            .hint("cast it in the SQL to BIGINT, DOUBLE, VARCHAR, BOOLEAN, DATE or TIMESTAMP")
        })?;
        casts.push(if target == *kind { col(name.clone()) } else { col(name.clone()).strict_cast(target) });
    }
    Ok(frame.select(casts))
}

fn canonical(kind: &DataType) -> Option<DataType> {
    Some(match kind {
        DataType::Boolean | DataType::Float32 | DataType::Float64 | DataType::String | DataType::Date => kind.clone(),
        DataType::Datetime(_, zone) => DataType::Datetime(TimeUnit::Microseconds, zone.clone()),
        k if k.is_integer() => DataType::Int64,
        DataType::Categorical(..) | DataType::Enum(..) => DataType::String,
        DataType::Null => DataType::Float64,
        _ => return None,
    })
}

/// The job's key must be among the columns of the transform, and so must what it keeps.
pub fn require_columns(job: &Job, schema: &Schema) -> Result<()> {
    let missing: Vec<_> = job.key.iter().chain(&job.load.keep).filter(|name| !schema.contains(name)).cloned().collect();
    if missing.is_empty() {
        return Ok(());
    }
    let near = crate::project::reader::meant(&missing[0], schema.iter_names().map(|n| n.as_str()));
    let mut error = Error::config(format!("{} does not select {}", job.transform.path.display(), missing.join(", ")));
    error.hint = near.or_else(|| Some("the key and load.keep of the job must be columns of the transform".into()));
    Err(error)
}

/// Takes a batch; says whether it wants another.
pub type Each = Arc<dyn Fn(DataFrame) -> bool + Send + Sync>;

/// Runs the plan on this thread and gives each batch to `each`, in order, until it says stop.
pub fn stream(frame: LazyFrame, batch_rows: usize, each: Each) -> PolarsResult<()> {
    let callback = PlanCallback::new(move |batch: DataFrame| Ok(!each(batch)));
    let run = move || {
        frame
            .sink_batches(callback, true, NonZeroUsize::new(batch_rows))?
            .collect_with_engine(Engine::Streaming)
            .map(|_| ())
    };
    match std::panic::catch_unwind(std::panic::AssertUnwindSafe(run)) {
        Ok(result) => result,
        Err(panic) => Err(PolarsError::ComputeError(format!("{ENGINE_PANIC}: {}", crate::panic_text(&*panic)).into())),
    }
}

/// What Polars says of the SQL, in the file's name. A column that is not there is the data breaking its contract.
fn sql_error(sql: &SqlFile, error: &PolarsError) -> Error {
    let path = sql.path.display();
    match error {
        PolarsError::ColumnNotFound(name) => {
            Error::data(format!("{path}: there is no column {name}")).hint("nothing was written")
        }
        PolarsError::SQLInterface(message) if message.contains("relation") => {
            Error::config(format!("{path}: {message}")).hint("the tables are the names under [extract]")
        }
        PolarsError::SQLInterface(message) if message.contains("no column named") => {
            Error::data(format!("{path}: {message}")).hint("nothing was written")
        }
        other => Error::config(format!("{path}: {other}")),
    }
}

/// What a failed run of the plan means.
pub fn run_error(sql: &SqlFile, error: &PolarsError) -> Error {
    match error {
        PolarsError::ComputeError(message) if message.starts_with(ENGINE_PANIC) => Error::defect(message.to_string()),
        PolarsError::IO { error, .. } => {
            Error::new(crate::error::Class::Io, format!("{}: cannot read its input", sql.path.display())).cause(error)
        }
        other => Error::data(format!("{}: {other}", sql.path.display())).hint("nothing was written"),
    }
}

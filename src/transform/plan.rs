//! The plan of a query over the tables of an interval, and its run by the streaming engine.

use std::num::NonZeroUsize;
use std::sync::Arc;

use polars::prelude::*;
use polars_plan::dsl::DslPlan;

use crate::error::{Error, Result};
use crate::interval::Interval;
use crate::project::Job;
use crate::project::job::SqlFile;
use crate::sql::{self, Bounds, Compiled, Table};

/// How a panic of the engine is told apart from its errors.
const ENGINE_PANIC: &str = "the engine panicked";

/// Binds the SQL to the tables: names, types, lineage. No row is read.
pub fn compile(file: &SqlFile, tables: &[(String, LazyFrame)], interval: &Interval) -> Result<Compiled> {
    let mut known = Vec::with_capacity(tables.len());
    for (name, frame) in tables {
        let schema = frame.clone().collect_schema();
        let schema = schema.map_err(|e| Error::data(format!("the table {name} has no schema")).cause(e))?;
        let column = |(column, held): (&PlSmallStr, &DataType)| match sql::types::Ty::of(held) {
            Some(ty) => Ok((column.to_string(), ty)),
            None => Err(Error::defect(format!("the column {name}.{column} is {held}, which no source may give"))),
        };
        known.push(Table { name: name.clone(), columns: schema.iter().map(column).collect::<Result<_>>()? });
    }
    let micros = |at: chrono::DateTime<chrono::Utc>| at.timestamp_micros();
    let bounds = Bounds { date: interval.date(), start: micros(interval.start), end: micros(interval.end) };
    let compile = |known: &[Table]| sql::compile(&file.text, known, interval.zone, bounds);
    compile(&known).map_err(|first| {
        let mut error = first.in_file(&file.path, &file.text);
        error.causes.extend(others_missing(first, known, compile).iter().map(|other| other.line(&file.path)));
        error
    })
}

/// Other columns that are not there, when the first fault is one that is not: each is taken for a number, and the query is bound
/// again, until something else is wrong with it.
fn others_missing(
    first: sql::error::SqlError,
    mut known: Vec<Table>,
    compile: impl Fn(&[Table]) -> sql::error::Result<Compiled>,
) -> Vec<sql::error::SqlError> {
    const MOST: usize = 20;
    let mut found: Vec<sql::error::SqlError> = Vec::new();
    while let Some(full) = found.last().unwrap_or(&first).no_column()
        && found.len() < MOST
    {
        let name = full.rsplit('.').next().unwrap_or(full).to_owned();
        // What stands before a name may be an alias of any table.
        let into = if full.contains('.') { known.len() } else { 1 };
        known.iter_mut().take(into).for_each(|table| table.columns.push((name.clone(), sql::types::Ty::Float8)));
        match compile(&known) {
            Err(error) if error.no_column().is_some_and(|next| next != full) => found.push(error),
            _ => break,
        }
    }
    found
}

/// A query over tables, ready to run, and what is known of it before any row is read.
pub struct Plan {
    pub frame: LazyFrame,
    pub columns: Vec<Lineage>,
    /// What may not have been meant.
    pub notes: Vec<String>,
}

/// Plans the SQL over the tables. Every output column has one of the canonical types.
pub fn plan(file: &SqlFile, tables: &[(String, LazyFrame)], interval: &Interval) -> Result<Plan> {
    super::warnings::attend();
    let compiled = compile(file, tables, interval)?;
    let frames: Vec<LazyFrame> = tables.iter().map(|(_, frame)| frame.clone()).collect();
    let planned = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let mut frame = compiled.frame(&frames)?;
        frame.collect_schema().map(|schema| (frame, schema))
    }));
    let wrong = |what: &dyn std::fmt::Display| {
        Error::defect(format!("{}: the query could not be planned", file.path.display())).cause(what)
    };
    let (frame, schema) = match planned {
        Ok(planned) => planned.map_err(|e| wrong(&e))?,
        Err(panic) => return Err(wrong(&crate::panic_text(&*panic))),
    };
    // What the engine makes is what was promised.
    for column in &compiled.columns {
        if schema.get(&column.name) != Some(&column.ty.published()) {
            return Err(wrong(&format!("the column {} is {:?}", column.name, schema.get(&column.name))));
        }
    }
    let (columns, notes) = described(&compiled, file, tables);
    Ok(Plan { frame, columns, notes })
}

/// A column of the transform: its type, and the columns of the sources that it is made of. What only decides which rows
/// there are (a filter, the key of a join) is not among them.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
pub struct Lineage {
    pub column: String,
    #[serde(rename = "type")]
    pub kind: String,
    /// As `table.column`.
    pub from: Vec<String>,
    /// It is the source's value as it stands.
    pub copied: bool,
}

fn described(compiled: &Compiled, file: &SqlFile, tables: &[(String, LazyFrame)]) -> (Vec<Lineage>, Vec<String>) {
    let column = |column: &sql::Column| Lineage {
        column: column.name.clone(),
        kind: column.ty.name().to_owned(),
        from: column.origin.from.iter().map(|(table, name)| format!("{}.{name}", tables[*table].0)).collect(),
        copied: column.origin.copied,
    };
    let place = |note: &sql::Note| match note.place.line {
        0 => format!("{}: {}", file.path.display(), note.message),
        line => format!("{}:{line}:{}: {}", file.path.display(), note.place.column, note.message),
    };
    (compiled.columns.iter().map(column).collect(), compiled.notes.iter().map(place).collect())
}

/// The table that drives the query: the one whose rows it takes one by one.
pub fn driving(file: &SqlFile, tables: &[(String, LazyFrame)], interval: &Interval) -> Result<Option<String>> {
    let compiled = compile(file, tables, interval)?;
    Ok(compiled.driving.map(|table| tables[table].0.clone()))
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

/// The job's key must be among the columns of the transform, and so must what it keeps.
pub fn require_columns(job: &Job, schema: &Schema) -> Result<()> {
    let missing: Vec<_> = job.key.iter().chain(&job.load.keep).filter(|name| !schema.contains(name)).cloned().collect();
    if missing.is_empty() {
        return Ok(());
    }
    let near = crate::config::meant(&missing[0], schema.iter_names().map(|n| n.as_str()));
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

/// All rows of a small plan.
pub fn collect(frame: LazyFrame) -> PolarsResult<DataFrame> {
    match std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| frame.collect_with_engine(Engine::Streaming))) {
        Ok(result) => result.map(|query| query.unwrap_single()),
        Err(panic) => Err(PolarsError::ComputeError(format!("{ENGINE_PANIC}: {}", crate::panic_text(&*panic)).into())),
    }
}

/// What a failed run of the plan means.
pub fn run_error(file: &SqlFile, error: &PolarsError) -> Error {
    if let Some(fault) = sql::error::fault_in(error, &file.path, &file.text) {
        return fault;
    }
    match error {
        PolarsError::ComputeError(message) if message.starts_with(ENGINE_PANIC) => Error::defect(message.to_string()),
        PolarsError::IO { error, .. } => {
            Error::new(crate::error::Class::Io, format!("{}: cannot read its input", file.path.display())).cause(error)
        }
        other => Error::data(format!("{}: {other}", file.path.display())).hint("nothing was written"),
    }
}

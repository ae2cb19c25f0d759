//! Runs a case on the embedded warehouse in a temporary folder, three times, so that batch size and thread count are tested
//! with it.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use super::case::{Case, Settings};
use super::compare::compare;
use super::input::input;
use super::results::Outcome;
use super::rows::{Rows, read_csv, write_csv};
use super::source;
use crate::error::{Class, Error, Result};
use crate::identifier::Identifier;
use crate::interval::{Interval, Selection, resolve};
use crate::ledger;
use crate::pipeline::report::RunReport;
use crate::pipeline::stages::Writer;
use crate::pipeline::{self, Context};
use crate::project::check_spec::Budget;
use crate::project::connection::Connection;
use crate::project::job::{FileFormat, FileSource, TableSource};
use crate::project::{Job, Project, Target};

/// With what cases are run.
#[derive(Default)]
pub struct Means {
    /// What comes out is taken for right.
    pub bless: bool,
    /// A server for tests, on which the SQL of sources is run too.
    pub postgres: Option<Connection>,
}

pub async fn run(project: &Project, case: &Case, means: &Means) -> Result<Outcome> {
    let settings = case.settings()?;
    // Where the rows of a case come from, no target decides.
    let first = || project.targets.keys().next().cloned();
    let target = project.target_name(None).or_else(|error| first().ok_or(error))?;
    let mut job = project.job(&case.job, &target)?;
    let work = tempfile::tempdir().map_err(|e| Error::new(Class::Io, "cannot make a temporary folder").cause(e))?;
    // A fixture is small on purpose.
    job.checks.retain(|check| check.rule.is_of_rows() || check.column.is_some());
    (job.quarantine.max_bad, job.quarantine.max_rows) = (Budget::Share(1.0), u64::MAX);
    job.checks.iter_mut().filter(|check| check.on_fail.removes()).for_each(|check| check.max_bad = None);
    job.require_interval()?;
    let interval = interval(&job, &settings)?;
    let given = given(project, &job, case, &interval, means, work.path()).await?;
    for spec in &mut job.extract {
        // The case's rows are those of its day.
        spec.snapshot = true;
        spec.source = match given.get(&spec.name) {
            Some(source) => source.clone(),
            None => input(&case.folder, spec)?,
        };
        // Times of a fixture without a zone are of UTC, whatever clock the source has.
        spec.zone = spec.zone.or(Some(chrono_tz::Tz::UTC));
        spec.formats.clear();
    }
    let many = std::thread::available_parallelism().map_or(2, usize::from).max(2);
    let mut first: Option<(Rows, String)> = None;
    for (batch_rows, threads) in [(job.batch_rows, many), (1, 1), (7, many)] {
        let came = once(project, &job, &interval, work.path(), batch_rows, threads).await;
        let (rows, hash) = match (came, &settings.error) {
            (Err(error), Some(expected)) => match unlike(&error, expected) {
                Some(text) => return Ok(Outcome::Failed(text)),
                None => continue,
            },
            (Ok(_), Some((code, _))) => {
                return Ok(Outcome::Failed(format!(
                    "the job succeeded, and was expected to fail with the exit code {code}"
                )));
            }
            (came, None) => came?,
        };
        match &first {
            None => first = Some((rows, hash)),
            Some((_, before)) if *before == hash => {}
            Some(_) => {
                let text = format!("the rows differ in batches of {batch_rows} on {threads} threads");
                return Ok(Outcome::Failed(text));
            }
        }
    }
    let Some((rows, _)) = first else { return Ok(Outcome::Passed) };
    let expected = case.folder.join("expected.csv");
    if means.bless {
        write_csv(&expected, &rows)?;
        return Ok(Outcome::Blessed);
    }
    let header = rows.first().cloned().unwrap_or_default();
    if let Some(column) = settings.tolerance.keys().find(|column| !header.contains(column)) {
        return Ok(Outcome::Failed(format!("case.toml has a tolerance for {column:?}, which is not published")));
    }
    let differences = compare(&read_csv(&expected)?, &rows, job.key.len(), &settings.tolerance);
    Ok(if differences.is_empty() { Outcome::Passed } else { Outcome::Differs(differences) })
}

/// In what an error is not the expected one.
fn unlike(error: &Error, (code, message): &(u8, String)) -> Option<String> {
    let found = error.class.exit_code();
    let text = format!("{error}\n{}", error.hint.as_deref().unwrap_or_default());
    if found != *code {
        return Some(format!("the job failed with the exit code {found}, not {code}\n{error}"));
    }
    (!text.contains(message)).then(|| format!("the error does not say {message:?}\n{error}"))
}

/// The tables that the SQL of Postgres sources gives on a server for tests.
async fn given(
    project: &Project,
    job: &Job,
    case: &Case,
    interval: &Interval,
    means: &Means,
    work: &Path,
) -> Result<BTreeMap<String, TableSource>> {
    let mut given = BTreeMap::new();
    let Some(connection) = means.postgres.as_ref().filter(|_| case.has_source()) else { return Ok(given) };
    for (name, batch) in source::rows(project, job, case, interval, connection).await? {
        let path = work.join(format!("{name}.parquet"));
        let mut writer = Writer::create(&path, &batch.schema(), &[])?;
        writer.write(&batch)?;
        writer.finish()?;
        let template = glob::Pattern::escape(&path.display().to_string());
        let source = FileSource { format: FileFormat::Parquet, template, time_column: None, complete: None };
        given.insert(name, TableSource::Files(source));
    }
    Ok(given)
}

fn interval(job: &Job, settings: &Settings) -> Result<Interval> {
    let now = settings
        .now
        .as_deref()
        .unwrap_or("9999-01-01T00:00:00Z")
        .parse()
        .map_err(|e| Error::config("now in case.toml is not a time").cause(e))?;
    resolve(&Selection::Date(settings.date.clone()), job.grain, job.zone, now, false)
}

/// One run on a new warehouse; its rows in the order of the key, and their hash.
async fn once(
    project: &Project,
    job: &Job,
    interval: &Interval,
    work: &Path,
    batch_rows: usize,
    threads: usize,
) -> Result<(Rows, String)> {
    let path = work.join(format!("{batch_rows}-{threads}.sqlite"));
    let project = Arc::new(Project {
        id: None,
        root: project.root.clone(),
        connections: BTreeMap::new(),
        targets: BTreeMap::from([("test".to_owned(), Target::Sqlite { path })]),
        default_target: None,
        batch_rows,
        threads,
        keep_runs: 0,
    });
    let job = Arc::new(Job { batch_rows, ..job.clone() });
    let context = Context::new(project.clone(), job.clone(), "test", interval.clone(), threads);
    let mut report = RunReport::new("test");
    pipeline::run(&context, &mut pipeline::Sessions::default(), &mut report).await?;
    let mut db = ledger::open(&project, "test", "daymill/test").await?;
    let table = Identifier::new(&job.load.table)?;
    let there = crate::warehouse::of(&project, "test").columns(&mut db, &table).await?;
    let lineage = |name: &String| crate::rows::LINEAGE.iter().any(|(own, _)| own == name);
    let own: Vec<String> = there.into_iter().map(|column| column.name).filter(|name| !lineage(name)).collect();
    let columns = own
        .iter()
        .map(|n| Ok(format!("CAST({} AS TEXT)", Identifier::new(n)?)))
        .collect::<Result<Vec<_>>>()?
        .join(", ");
    let order = job.key.iter().map(|n| Ok(Identifier::new(n)?.to_string())).collect::<Result<Vec<_>>>()?.join(", ");
    let rows = db.fetch(&format!("SELECT {columns} FROM {table} ORDER BY {order}"), &[]).await?;
    db.close().await;
    let rows = rows.into_iter().map(|row| row.into_iter().map(Option::unwrap_or_default).collect());
    Ok((std::iter::once(own.to_vec()).chain(rows).collect(), report.content_hash.unwrap_or_default()))
}

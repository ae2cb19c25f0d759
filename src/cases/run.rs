//! Runs a case on the embedded warehouse in a temporary folder, three times, so that batch size and thread count are tested
//! with it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::compare::compare;
use super::input::input;
use super::rows::{Rows, read_csv, write_csv};
use crate::config::Source;
use crate::error::{Class, Error, Result};
use crate::identifier::Identifier;
use crate::interval::{Selection, resolve};
use crate::ledger;
use crate::pipeline::report::RunReport;
use crate::pipeline::{self, Context};
use crate::project::{Job, Project, Target, job};

/// A folder of a case.
pub struct Case {
    pub folder: PathBuf,
    pub job: String,
    pub name: String,
}

/// case.toml as written.
struct Settings {
    date: String,
    now: Option<String>,
    tolerance: BTreeMap<String, f64>,
}

/// The cases of a project, or of one job.
pub fn find(root: &Path, job: Option<&str>) -> Result<Vec<Case>> {
    if let Some(name) = job
        && !job::list(root)?.iter().any(|j| j == name)
    {
        return Err(Error::config(format!("there is no job {name:?}")));
    }
    let pattern = Path::new(&glob::Pattern::escape(&root.to_string_lossy())).join("fixtures/cases/*/*/case.toml");
    let paths =
        glob::glob(&pattern.to_string_lossy()).map_err(|e| Error::defect("the pattern of cases is wrong").cause(e))?;
    let mut cases = Vec::new();
    for path in paths.flatten() {
        let folder = path.parent().map(Path::to_owned).unwrap_or_default();
        let name = |p: Option<&Path>| {
            p.and_then(Path::file_name).map(|n| n.to_string_lossy().into_owned()).unwrap_or_default()
        };
        let case = Case { name: name(Some(&folder)), job: name(folder.parent()), folder };
        if job.is_none_or(|wanted| wanted == case.job) {
            cases.push(case);
        }
    }
    Ok(cases)
}

/// What differs; nothing when the case passes.
pub async fn run(project: &Project, case: &Case, bless: bool) -> Result<Vec<String>> {
    let settings = settings(&case.folder.join("case.toml"))?;
    let target = project.target_name(None)?;
    let mut job = project.job(&case.job, &target)?;
    let work = tempfile::tempdir().map_err(|e| Error::new(Class::Io, "cannot make a temporary folder").cause(e))?;
    // A fixture is small on purpose.
    job.checks.retain(|check| check.column.is_some());
    job.require_interval()?;
    for spec in &mut job.extract {
        // The case's rows are those of its day.
        spec.snapshot = true;
        spec.source = input(&case.folder.join("input"), spec)?;
        // Times of a fixture without a zone are of UTC, whatever clock the source has.
        spec.zone = spec.zone.or(Some(chrono_tz::Tz::UTC));
        spec.formats.clear();
    }
    let many = std::thread::available_parallelism().map_or(2, usize::from).max(2);
    let mut first: Option<(Rows, String)> = None;
    for (batch_rows, threads) in [(job.batch_rows, many), (1, 1), (7, many)] {
        let (rows, hash) = once(project, &job, &settings, work.path(), batch_rows, threads).await?;
        match &first {
            None => first = Some((rows, hash)),
            Some((_, before)) if *before == hash => {}
            Some(_) => return Ok(vec![format!("the rows differ in batches of {batch_rows} on {threads} threads")]),
        }
    }
    let (rows, _) = first.unwrap_or_default();
    let expected = case.folder.join("expected.csv");
    if bless {
        write_csv(&expected, &rows)?;
        return Ok(Vec::new());
    }
    Ok(compare(&read_csv(&expected)?, &rows, job.key.len(), &settings.tolerance))
}

/// One run on a new warehouse; its rows in the order of the key, and their hash.
async fn once(
    project: &Project,
    job: &Job,
    settings: &Settings,
    work: &Path,
    batch_rows: usize,
    threads: usize,
) -> Result<(Rows, String)> {
    let now = settings
        .now
        .as_deref()
        .unwrap_or("9999-01-01T00:00:00Z")
        .parse()
        .map_err(|e| Error::config("now in case.toml is not a time").cause(e))?;
    let interval = resolve(&Selection::Date(settings.date.clone()), job.grain, job.zone, now, false)?;
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
    let context = Context::new(project.clone(), job.clone(), "test", interval, threads);
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

fn settings(path: &Path) -> Result<Settings> {
    let source = Source::open(path)?;
    let settings = source.read(&crate::keys::CASE, |table| {
        table.string("description");
        let tolerance = table.table("tolerance").map(|section| {
            section.keys().into_iter().filter_map(|key| Some((key.clone(), section.float(&key)?.value))).collect()
        });
        Some(Settings {
            date: table.string("date")?.value,
            now: table.string("now").map(|at| at.value),
            tolerance: tolerance.unwrap_or_default(),
        })
    });
    match settings {
        Some(settings) if !source.has_faults() => Ok(settings),
        _ => Err(Error::faults(source.into_faults())),
    }
}

//! `test`: a case is a folder with input tables, an interval and the published rows that are expected. It runs on the
//! embedded warehouse in a temporary folder, three times, so that batch size and thread count are tested with it.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema, TimeUnit, TimestampMicrosecondType};
use parquet::arrow::ArrowWriter;

use crate::cli::{Global, Output};
use crate::error::{Class, Error, Result};
use crate::identifier::Identifier;
use crate::interval::{Selection, resolve};
use crate::ledger;
use crate::output;
use crate::pipeline::report::RunReport;
use crate::pipeline::{self, Context};
use crate::project::job::{self, ColumnType, ParquetSource, TableSource, TableSpec};
use crate::project::reader::Source;
use crate::project::{Job, Project, Target};

/// Differences shown of one case.
const SHOWN: usize = 10;

struct Case {
    folder: PathBuf,
    job: String,
    name: String,
}

/// case.toml as written.
struct Settings {
    date: String,
    now: Option<String>,
    tolerance: BTreeMap<String, f64>,
}

/// Published rows as text, the header first.
type Rows = Vec<Vec<String>>;

pub fn test(global: &Global, job: Option<&str>, filter: Option<&str>, bless: bool) -> Result<u8> {
    let root = super::root(global)?;
    let project = Project::open(&root)?;
    let cases: Vec<Case> =
        find(&root, job)?.into_iter().filter(|c| filter.is_none_or(|text| c.name.contains(text))).collect();
    if cases.is_empty() {
        return Err(Error::usage("there are no cases to run")
            .hint("a case is a folder fixtures/cases/JOB/CASE with case.toml, input/ and expected.csv"));
    }
    let runtime = super::runtime()?;
    let mut results = Vec::new();
    for case in &cases {
        let outcome = runtime.block_on(run_case(&project, case, bless));
        let differences = outcome.unwrap_or_else(|error| vec![error.to_string()]);
        let title = format!("{}/{}", case.job, case.name);
        match differences.as_slice() {
            [] => output::note(&format!("{} {title}", if bless { "blessed" } else { "ok     " })),
            lines => output::note(&format!("FAILED  {title}\n        {}", lines.join("\n        "))),
        }
        results.push((title, differences));
    }
    runtime.shutdown_background();
    let failed = results.iter().filter(|(_, differences)| !differences.is_empty()).count();
    match global.output {
        Output::Human => output::result(&format!("{} passed, {failed} failed", results.len() - failed))?,
        Output::Json => {
            let cases: Vec<_> = results
                .iter()
                .map(|(title, d)| serde_json::json!({"case": title, "passed": d.is_empty(), "differences": d}))
                .collect();
            output::json(serde_json::json!({"passed": results.len() - failed, "failed": failed, "cases": cases}))?;
        }
    }
    if failed == 0 {
        return Ok(0);
    }
    Err(Error::data(format!("{failed} of {} cases failed", results.len()))
        .hint("if the new rows are right, run again with --bless and read the change"))
}

fn find(root: &Path, job: Option<&str>) -> Result<Vec<Case>> {
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
async fn run_case(project: &Project, case: &Case, bless: bool) -> Result<Vec<String>> {
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
        spec.source = input(&case.folder.join("input"), spec, work.path())?;
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
    });
    let job = Arc::new(Job { batch_rows, ..job.clone() });
    let context = Context::new(project.clone(), job.clone(), "test", interval, threads);
    let mut report = RunReport::new("test");
    pipeline::run(&context, &mut pipeline::Sessions::default(), &mut report).await?;
    let mut db = ledger::open(&project, "test", "daymill/test").await?;
    let table = Identifier::new(&job.load.table)?;
    let names: Vec<String> =
        crate::warehouse::table::existing(&mut db, &table).await?.into_iter().map(|(name, _)| name).collect();
    let own = &names[..names.len().saturating_sub(crate::warehouse::table::LINEAGE.len())];
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
    let settings = source.read(|table| {
        table.string("description");
        let tolerance = table.table("tolerance").map(|section| {
            section.keys().into_iter().filter_map(|key| Some((key.clone(), section.float(&key)?.value))).collect()
        });
        Some(Settings {
            date: table.required_string("date")?.value,
            now: table.string("now").map(|at| at.value),
            tolerance: tolerance.unwrap_or_default(),
        })
    });
    match settings {
        Some(settings) if !source.has_faults() => Ok(settings),
        _ => Err(Error::faults(source.into_faults())),
    }
}

/// The case's own file for a table: Parquet as it is, CSV read with the declared types.
fn input(folder: &Path, spec: &TableSpec, work: &Path) -> Result<TableSource> {
    let time_column = match &spec.source {
        TableSource::Parquet(source) => source.time_column.clone(),
        TableSource::Postgres { .. } => None,
    };
    let parquet = folder.join(format!("{}.parquet", spec.name));
    let csv = folder.join(format!("{}.csv", spec.name));
    let path = match (parquet.is_file(), csv.is_file()) {
        (true, _) => parquet,
        (_, true) => convert(&csv, spec, work)?,
        _ => return Err(Error::input(format!("the case has neither {} nor {}", parquet.display(), csv.display()))),
    };
    Ok(TableSource::Parquet(ParquetSource { template: path.display().to_string(), time_column, complete: None }))
}

fn convert(csv: &Path, spec: &TableSpec, work: &Path) -> Result<PathBuf> {
    let wrong = |e: &dyn std::fmt::Display| Error::input(format!("cannot read {}", csv.display())).cause(e);
    if spec.columns.is_empty() {
        return Err(Error::config(format!("table {} has a CSV fixture but no declared columns", spec.name))
            .hint("add [extract.TABLE.columns] to the job file"));
    }
    let header = read_csv(csv)?.into_iter().next().unwrap_or_default();
    let declared = |name: &String| spec.columns.iter().find(|(column, _)| column == name).map(|(_, kind)| *kind);
    let schema = |kind: fn(ColumnType) -> DataType| {
        let field = |name: &String| Field::new(name, declared(name).map_or(DataType::Utf8, kind), true);
        Arc::new(Schema::new(header.iter().map(field).collect::<Vec<_>>()))
    };
    let written = schema(arrow_type);
    crate::plain_file::regular(csv)?;
    let file = File::open(csv).map_err(|e| Error::unreadable(csv, &e))?;
    let reader =
        arrow::csv::ReaderBuilder::new(schema(as_read)).with_header(true).build(file).map_err(|e| wrong(&e))?;
    let out = work.join(format!("{}.parquet", spec.name));
    let created = File::create(&out).map_err(|e| Error::io(&out, "write", &e))?;
    let mut writer = ArrowWriter::try_new(created, written.clone(), None).map_err(|e| wrong(&e))?;
    for batch in reader {
        let batch = batch.map_err(|e| wrong(&e))?;
        let zoned = |array: &ArrayRef| match array.as_primitive_opt::<TimestampMicrosecondType>() {
            Some(times) => Arc::new(times.clone().with_timezone("UTC")) as ArrayRef,
            None => array.clone(),
        };
        let batch = RecordBatch::try_new(written.clone(), batch.columns().iter().map(zoned).collect())
            .map_err(|e| wrong(&e))?;
        writer.write(&batch).map_err(|e| wrong(&e))?;
    }
    writer.close().map_err(|e| wrong(&e))?;
    Ok(out)
}

/// A time is read as UTC and gets its zone afterwards.
fn as_read(kind: ColumnType) -> DataType {
    match kind {
        ColumnType::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, None),
        other => arrow_type(other),
    }
}

fn arrow_type(kind: ColumnType) -> DataType {
    match kind {
        ColumnType::Int => DataType::Int64,
        ColumnType::Float => DataType::Float64,
        ColumnType::Text => DataType::Utf8,
        ColumnType::Bool => DataType::Boolean,
        ColumnType::Date => DataType::Date32,
        ColumnType::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
    }
}

fn read_csv(path: &Path) -> Result<Rows> {
    let wrong = |e: csv::Error| {
        Error::input(format!("cannot read {}", path.display())).cause(e).hint("make it with: daymill test --bless")
    };
    let mut reader = csv::ReaderBuilder::new().has_headers(false).from_path(path).map_err(wrong)?;
    reader.records().map(|record| Ok(record.map_err(wrong)?.iter().map(str::to_owned).collect())).collect()
}

fn write_csv(path: &Path, rows: &Rows) -> Result<()> {
    let wrong = |e: csv::Error| Error::new(Class::Io, format!("cannot write {}", path.display())).cause(e);
    let mut writer = csv::Writer::from_path(path).map_err(wrong)?;
    rows.iter().try_for_each(|row| writer.write_record(row)).map_err(wrong)?;
    writer.flush().map_err(|e| Error::io(path, "write", &e))
}

/// Rows by key: missing, unexpected, and cells that differ by more than their column's tolerance.
fn compare(expected: &Rows, found: &Rows, keys: usize, tolerance: &BTreeMap<String, f64>) -> Vec<String> {
    let (Some(header), Some(columns)) = (expected.first(), found.first()) else {
        return vec!["expected.csv is empty".into()];
    };
    if header != columns {
        return vec![format!("columns: expected {}, found {}", header.join(","), columns.join(","))];
    }
    let by_key = |rows: &Rows| {
        rows[1..].iter().map(|row| (row[..keys.min(row.len())].to_vec(), row.clone())).collect::<BTreeMap<_, _>>()
    };
    let (expected, found) = (by_key(expected), by_key(found));
    let name = |key: &Vec<String>| {
        header.iter().zip(key).map(|(column, value)| format!("{column}={value}")).collect::<Vec<_>>().join(" ")
    };
    let mut differences = Vec::new();
    for (key, row) in &expected {
        let Some(other) = found.get(key) else {
            differences.push(format!("- {}: missing", name(key)));
            continue;
        };
        for ((column, want), got) in header.iter().zip(row).zip(other) {
            if !close(want, got, tolerance.get(column).copied().unwrap_or(0.0)) {
                differences.push(format!("~ {}: {column} expected {want}, found {got}", name(key)));
            }
        }
    }
    differences.extend(
        found.keys().filter(|key| !expected.contains_key(*key)).map(|key| format!("+ {}: unexpected", name(key))),
    );
    let more = differences.len().saturating_sub(SHOWN);
    differences.truncate(SHOWN);
    if more > 0 {
        differences.push(format!("... and {more} more"));
    }
    differences
}

fn close(want: &str, got: &str, tolerance: f64) -> bool {
    want == got
        || matches!((want.parse::<f64>(), got.parse::<f64>()), (Ok(want), Ok(got)) if (want - got).abs() <= tolerance)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_is_named_by_its_key() {
        let rows = |text: &str| text.lines().map(|l| l.split(',').map(str::to_owned).collect()).collect::<Rows>();
        let expected = rows("id,p\n1,0.5\n2,0.25\n3,1");
        let found = rows("id,p\n1,0.5000001\n2,0.5\n4,1");
        let tolerance = BTreeMap::from([("p".to_owned(), 1e-6)]);
        let differences = compare(&expected, &found, 1, &tolerance);
        assert_eq!(differences, ["~ id=2: p expected 0.25, found 0.5", "- id=3: missing", "+ id=4: unexpected"]);
        assert!(compare(&expected, &expected, 1, &BTreeMap::new()).is_empty());
        assert!(compare(&rows("id,q"), &found, 1, &tolerance)[0].contains("columns"));
    }
}

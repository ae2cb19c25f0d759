//! `new job`: looks at a source and a model, and writes the job, its SQL and the model's bundle.

use std::path::{Path, PathBuf};

use chrono::{NaiveDate, Utc};
use chrono_tz::Tz;

use crate::cases::{self, Recording};
use crate::cli::{Global, NewJob};
use crate::config::{toml_key, toml_string};
use crate::error::{Error, Result};
use crate::extract::files::location;
use crate::extract::files::text::guess;
use crate::extract::preflight;
use crate::extract::queries::newest::newest_date;
use crate::interval::{Selection, instant, resolve};
use crate::models::Bundle;
use crate::models::import::{self, Iterations, Wishes};
use crate::output;
use crate::project::Project;
use crate::project::job::{self, FileFormat};
use crate::rows::ColumnType;

/// Where the rows come from.
enum From {
    Files { format: FileFormat, template: String },
    Table { connection: String, schema_and_table: String },
}

/// Files that are removed again unless the job came to be.
#[derive(Default)]
struct Written(Vec<PathBuf>, bool);

impl Drop for Written {
    fn drop(&mut self) {
        for path in self.0.iter().filter(|_| !self.1) {
            let _ = std::fs::remove_file(path).or_else(|_| std::fs::remove_dir_all(path));
            // Only when nothing else is in it.
            let _ = path.parent().map(std::fs::remove_dir);
        }
    }
}

impl Written {
    fn write(&mut self, path: PathBuf, text: &str) -> Result<()> {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(|e| Error::io(folder, "create", &e))?;
        }
        std::fs::write(&path, text).map_err(|e| Error::io(&path, "write", &e))?;
        self.0.push(path);
        Ok(())
    }
}

pub fn new_job(global: &Global, args: &NewJob) -> Result<u8> {
    // The name becomes those of files and folders.
    if !job::valid_name(&args.name) {
        return Err(Error::usage(format!("{:?} cannot be the name of a job", args.name))
            .hint("letters, digits, _ and - make a name, as in orders_daily"));
    }
    let (project, target) = super::shared::project(global)?;
    let root = project.root.clone();
    let zone = args.timezone.as_deref().unwrap_or("UTC");
    let zone: Tz =
        zone.parse().map_err(|_| Error::usage(format!("{zone:?} is not a time zone")).hint("as in Europe/Berlin"))?;
    let from = source(&project, args)?;
    let table = table_name(&from);
    let mut written = Written::default();
    let job_file = root.join("jobs").join(format!("{}.toml", args.name));
    let features = format!("sql/{}/features.sql", args.name);
    let source_sql = format!("sql/{}/{table}.sql", args.name);
    for path in [&job_file, &root.join(&features), &root.join(&source_sql)] {
        if path.exists() {
            return Err(Error::usage(format!("{} is there already", path.display())).hint("choose another name"));
        }
    }
    // First as little as tells the columns, then all of it.
    let declared = declared(&root, &from)?;
    if let From::Table { schema_and_table, .. } = &from {
        written.write(root.join(&source_sql), &format!("SELECT * FROM {schema_and_table}\n{}", during(args)))?;
    }
    written.write(root.join(&features), &format!("SELECT * FROM {table} AS t\n"))?;
    written.write(job_file.clone(), &job_text(args, zone, &from, &table, &declared, None))?;
    let columns = columns(&project, &args.name, &target, &table)?;
    for key in args.key.iter().chain(&args.time) {
        if !columns.iter().any(|(name, _)| name == key) {
            let near = crate::config::meant(key, columns.iter().map(|(name, _)| name.as_str()));
            let mut error = Error::usage(format!("the source has no column {key:?}"));
            error.hint = near.or_else(|| Some(format!("it has {}", names(&columns))));
            return Err(error);
        }
    }
    let model =
        args.model.as_deref().map(|model| bundle(global, &root, &args.name, model, &mut written)).transpose()?;
    let (sql, missing) = features_sql(args, &table, &columns, model.as_ref().map(|(_, bundle)| bundle));
    written.write(root.join(&features), &sql)?;
    let reference = model.as_ref().map(|(reference, _)| reference.as_str());
    if let From::Table { schema_and_table, .. } = &from {
        let list = columns.iter().map(|(name, _)| format!("    {}", quoted(name))).collect::<Vec<_>>().join(",\n");
        written.write(root.join(&source_sql), &format!("SELECT\n{list}\nFROM {schema_and_table}\n{}", during(args)))?;
    }
    written.write(job_file.clone(), &job_text(args, zone, &from, &table, &columns, reference))?;
    // What was written must be a job.
    project.job(&args.name, &target)?.require_interval()?;
    written.1 = true;
    let newest = newest(&project, args, zone, &from).unwrap_or_default();
    let case = if missing.is_empty() { Some(case(&project, args, &target, newest)) } else { None };
    if args.timezone.is_none() {
        output::note("days, and times without a zone, are of UTC; --timezone NAME says another clock");
    }
    tell(args, &root, &written, &missing, newest, case)
}

/// The newest day that has rows, when it can be told.
fn newest(project: &Project, args: &NewJob, zone: Tz, from: &From) -> Result<Option<NaiveDate>> {
    match (from, &args.time) {
        (From::Files { template, .. }, _) => location::newest_date(&project.root, template),
        (From::Table { connection, schema_and_table }, Some(time)) => {
            let dsn = project.connection(connection)?.resolve()?;
            super::shared::runtime()?.block_on(newest_date(&dsn, zone, schema_and_table, &quoted(time)))
        }
        (From::Table { .. }, None) => Ok(None),
    }
}

/// Rows of a test case.
const CASE_ROWS: u32 = 20;

/// A test of the newest day: its folder, and its date.
fn case(project: &Project, args: &NewJob, target: &str, date: Option<NaiveDate>) -> Result<PathBuf> {
    let job = project.job(&args.name, target)?;
    let selection = date.map_or_else(|| Selection::AsOf(instant(Utc::now())), |date| Selection::Date(date.to_string()));
    let interval = resolve(&selection, job.grain, job.zone, Utc::now(), true)?;
    let wanted = Recording { interval: &interval, rows: CASE_ROWS, mask: &[], name: interval.label() };
    let (folder, _) = super::shared::runtime()?.block_on(cases::record(project, &job, &wanted))?;
    Ok(folder)
}

fn tell(
    args: &NewJob,
    root: &Path,
    written: &Written,
    missing: &[String],
    newest: Option<NaiveDate>,
    case: Option<Result<PathBuf>>,
) -> Result<u8> {
    let date = newest.map_or_else(|| "yesterday".to_owned(), |date| date.to_string());
    let mut test = String::new();
    let below = |path: &Path| path.strip_prefix(root).unwrap_or(path).display().to_string();
    match case {
        Some(Ok(folder)) => test = format!("\nA test of its newest day is in\n  {}\n", below(&folder)),
        Some(Err(error)) => output::note(&format!(
            "no test was written: {}; for a day that has rows: daymill test --record {} --date DATE",
            error.message, args.name
        )),
        None => output::note(&format!(
            "no test was written, since features are missing; later: daymill test --record {} --date {date}",
            args.name
        )),
    }
    let mut files: Vec<String> = written.0.iter().map(|path| format!("  {}", below(path))).collect();
    files.sort();
    files.dedup();
    if !missing.is_empty() {
        output::warn(&format!(
            "the source has no column for {} of the model's features: {}; make them in sql/{}/features.sql",
            missing.len(),
            missing.join(", "),
            args.name
        ));
    }
    let (name, files) = (&args.name, files.join("\n"));
    output::result(&format!(
        "The job {name} is in\n{files}\n{test}\n  daymill check {name}\n  daymill run {name} --date {date} --dry-run --print scores\n  \
         daymill run {name} --date {date}"
    ))?;
    Ok(0)
}

/// `connection.table` of the project, or files.
fn source(project: &Project, args: &NewJob) -> Result<From> {
    if let Some((connection, table)) = args.from.split_once('.')
        && project.connections.contains_key(connection)
    {
        if args.time.is_none() {
            return Err(Error::usage("which column tells the day of a row?").hint("pass --time COLUMN"));
        }
        let table: Vec<String> = table.split('.').map(quoted).collect();
        return Ok(From::Table { connection: connection.to_owned(), schema_and_table: table.join(".") });
    }
    let ending = args.from.trim_end_matches(".gz").trim_end_matches(".zst").rsplit('.').next().unwrap_or_default();
    let ending = if ending == "ndjson" { "jsonl" } else { ending };
    let Some(format) = FileFormat::all().into_iter().find(|format| format.key() == ending) else {
        let connections = match project.connections.is_empty() {
            true => "daymill.toml has no connection".to_owned(),
            false => {
                format!("the connections are: {}", project.connections.keys().cloned().collect::<Vec<_>>().join(", "))
            }
        };
        let keys = FileFormat::all().map(|format| format!(".{}", format.key())).join(", ");
        return Err(Error::usage(format!("--from {:?} is neither a table of a connection nor files", args.from))
            .hint(format!("write CONNECTION.TABLE ({connections}), or files that end in {keys}")));
    };
    if !args.from.contains("{date}") && !args.from.contains("{day}") && args.time.is_none() {
        return Err(Error::usage("every day would publish the same rows")
            .hint("name the files by {date}, as in data/{date}.csv, or pass --time COLUMN"));
    }
    let root = std::fs::canonicalize(&project.root).unwrap_or_else(|_| project.root.clone());
    let template = Path::new(&args.from).strip_prefix(&root).map_or(args.from.clone(), |p| p.display().to_string());
    Ok(From::Files { format, template })
}

/// What the table is called in SQL.
fn table_name(from: &From) -> String {
    let word = |text: &str| {
        let word: String =
            text.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' }).collect();
        word.trim_matches('_').to_owned()
    };
    let name = match from {
        From::Table { schema_and_table, .. } => word(schema_and_table.rsplit('.').next().unwrap_or_default()),
        // The last name in the path, up to where it is a pattern; not a folder that is a column.
        From::Files { template, .. } => {
            let parts =
                template.split('/').map(|part| part.split(['.', '{', '*', '?', '[']).next().unwrap_or_default());
            word(
                parts
                    .filter(|part| !part.ends_with('='))
                    .map(word)
                    .rfind(|part| !part.is_empty())
                    .as_deref()
                    .unwrap_or(""),
            )
        }
    };
    let fine = name.chars().next().is_some_and(|c| c.is_ascii_alphabetic()) && quoted(&name) == name;
    if fine { name } else { "rows".into() }
}

/// Text says no types: they are guessed from the newest file.
fn declared(root: &Path, from: &From) -> Result<Vec<(String, ColumnType)>> {
    let From::Files { format, template } = from else { return Ok(Vec::new()) };
    let newest = location::newest(root, template)?.ok_or_else(|| {
        Error::input(format!("no file matches {template}")).hint("--from is taken from the project's folder")
    })?;
    if format.is_text() { guess::columns(&newest, format) } else { Ok(Vec::new()) }
}

/// The columns of the source as they will be read.
fn columns(project: &Project, job: &str, target: &str, table: &str) -> Result<Vec<(String, ColumnType)>> {
    let job = project.job(job, target)?;
    let now = Utc::now();
    let interval = resolve(&Selection::AsOf(instant(now)), job.grain, job.zone, now, false)?;
    let spec =
        job.extract.iter().find(|spec| spec.name == table).ok_or_else(|| Error::defect("the table is missing"))?;
    super::shared::runtime()?.block_on(preflight::columns(project, &job, spec, &interval))
}

/// The model's bundle and how the job names it: one that is there, or one made of a file.
fn bundle(global: &Global, root: &Path, job: &str, model: &str, written: &mut Written) -> Result<(String, Bundle)> {
    if crate::models::ModelRef::parse(model).is_some() {
        let reference = crate::models::ModelRef::required(model)?;
        return Ok((reference.to_string(), super::shared::named(global, model)?));
    }
    let folder = root.join("models").join(job).join("1");
    let wishes = Wishes {
        name: job.to_owned(),
        version: 1,
        iterations: Iterations::Best,
        inputs: None,
        expected: Vec::new(),
        outputs: Vec::new(),
    };
    let imported = super::models::in_time(|| import::import(Path::new(model), &folder, &wishes))?;
    written.0.push(folder);
    imported.notes.iter().for_each(|note| output::warn(note));
    Ok((format!("models/{job}@1"), imported.bundle))
}

fn during(args: &NewJob) -> String {
    let time = args.time.as_deref().map(quoted).unwrap_or_default();
    format!("WHERE {time} >= :start\n  AND {time} < :end\n")
}

/// A name as SQL has it.
fn quoted(name: &str) -> String {
    let plain = name.chars().next().is_some_and(|c| c.is_ascii_lowercase() || c == '_')
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    let reserved = [
        "all", "case", "default", "desc", "end", "from", "group", "in", "order", "select", "table", "to", "user",
        "when", "where",
    ];
    if plain && !reserved.contains(&name) { name.to_owned() } else { format!("\"{}\"", name.replace('"', "\"\"")) }
}

fn names(columns: &[(String, ColumnType)]) -> String {
    columns.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", ")
}

/// The transform: the key and the model's features, or every column. The second are features that the source does not have.
fn features_sql(
    args: &NewJob,
    table: &str,
    columns: &[(String, ColumnType)],
    model: Option<&Bundle>,
) -> (String, Vec<String>) {
    let features: Option<Vec<String>> =
        model.map(|bundle| bundle.contract.features.iter().map(|feature| feature.name.clone()).collect());
    let wanted = features.unwrap_or_else(|| columns.iter().map(|(name, _)| name.clone()).collect());
    let has = |name: &String| columns.iter().any(|(column, _)| column == name);
    let missing: Vec<String> = wanted.iter().filter(|name| !has(name)).cloned().collect();
    let rest = wanted.iter().filter(|name| !args.key.contains(name) && has(name));
    let lines: Vec<String> = args.key.iter().chain(rest).map(|name| format!("    t.{}", quoted(name))).collect();
    let mut sql = match model {
        Some(bundle) => format!("-- One row for each score: the key, and what {} takes.\n", bundle.label()),
        None => "-- One row for each that is published.\n".to_owned(),
    };
    for name in &missing {
        sql.push_str(&format!(
            "-- To do: the feature {name} is no column of {table}; make it here, as in ... AS {}.\n",
            quoted(name)
        ));
    }
    sql.push_str(&format!("SELECT\n{}\nFROM {table} AS t\n", lines.join(",\n")));
    (sql, missing)
}

fn job_text(
    args: &NewJob,
    zone: Tz,
    from: &From,
    table: &str,
    columns: &[(String, ColumnType)],
    model: Option<&str>,
) -> String {
    let word = toml_string;
    let key = args.key.iter().map(|name| word(name.as_str())).collect::<Vec<_>>().join(", ");
    let mut text = format!(
        "#:schema ../schemas/job.json\ndescription = \"\"\ntimezone    = {}                     # a day is local midnight to local midnight\nkey         = [{key}]\n# starts    = \"2024-01-01\"                    # the first day that there is data for: backfill begins there\n\n[extract.{table}]\n",
        word(zone.name())
    );
    match from {
        From::Files { format, template } => {
            text.push_str(&format!("{} = {}\n", format.key(), word(template)));
            if let Some(time) = &args.time {
                text.push_str(&format!(
                    "time_column = {}             # a row is of the day in which this lies\n",
                    word(time)
                ));
            }
        }
        From::Table { connection, .. } => text.push_str(&format!(
            "connection = {}\nsql = {}\n",
            word(connection),
            word(&format!("sql/{}/{table}.sql", args.name))
        )),
    }
    text.push_str(&format!(
        "zone = {}                            # the clock of times that have no zone\n",
        word(zone.name())
    ));
    if !columns.is_empty() {
        text.push_str(&format!(
            "\n[extract.{table}.columns]              # what is read; a source without one of them is refused\n"
        ));
        for (name, kind) in columns {
            text.push_str(&format!("{} = \"{}\"\n", toml_key(name), kind.name()));
        }
    }
    text.push_str(&format!("\n[transform]\nsql = {}\n", word(&format!("sql/{}/features.sql", args.name))));
    if let Some(model) = model {
        text.push_str(&format!("\n[score]\nmodel = {}\n", word(model)));
    }
    let into = args.table.clone().unwrap_or_else(|| args.name.replace('-', "_"));
    text.push_str(&format!("\n[load]\ntable = {}\n", word(&into)));
    text
}

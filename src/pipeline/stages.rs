//! The four stages apart, with Parquet between them, for schedulers that want a task per stage. They give exactly what
//! a whole run gives: the same plan, the same scoring, the same load.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use arrow::array::RecordBatch;
use arrow::datatypes::Schema;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use polars::prelude::{LazyFrame, PlRefPath, ScanArgsParquet};

use super::evidence::{Evidence, Looks};
use super::flow::{BatchSource, Finished, Layout, Stop, Work};
use super::plan::select;
use super::report::{ModelReport, RunReport};
use super::run::{begin_load, diagnose_failure, finish_load, open_bundle, record_inputs, stream};
use super::sink::{Sink, drain};
use super::{Context, gates};
use crate::arrow_bridge;
use crate::error::{Error, Result};
use crate::extract::files::footer::footer;
use crate::extract::files::{formats, table as source, version};
use crate::extract::{self, Extraction};
use crate::fingerprint::{Fingerprint, Source};
use crate::interval::instant;
use crate::postgres::encode::Tail;
use crate::progress::{Progress, Stage};
use crate::project::job::{ColumnType, FileFormat};
use crate::score::Bundle;
use crate::transform;
use crate::warehouse::table::{self, TableSchema};

const JOB: &str = "daymill.job";
const INTERVAL: &str = "daymill.interval";
const MODEL: &str = "daymill.model";
/// The names of the score columns, one to a line.
const SCORES: &str = "daymill.scores";

/// What was read, as JSON: handed on from stage to stage, so that the load can record it.
const SOURCES: &str = "daymill.sources";
/// What tells the model from any other.
const IDENTITY: &str = "daymill.identity";

type StageMetadata = Vec<(String, String)>;

/// The sources that earlier stages read, as a mark of the next file.
fn sources_mark(marks: &StageMetadata) -> Vec<Source> {
    let all = marks.iter().filter(|(key, _)| key == SOURCES);
    all.flat_map(|(_, text)| serde_json::from_str::<Vec<Source>>(text).unwrap_or_default()).collect()
}

fn as_mark(sources: &[Source]) -> (String, String) {
    (SOURCES.into(), serde_json::to_string(sources).unwrap_or_default())
}

/// Where the stages of an interval leave their files.
pub fn folder(context: &Context) -> PathBuf {
    let label = context.interval.label().replace(['/', ':'], "_");
    context.project.state_folder().join("stages").join(&context.job.name).join(label)
}

fn marks(context: &Context) -> Vec<(String, String)> {
    let interval = format!("{}/{}", instant(context.interval.start), instant(context.interval.end));
    vec![(JOB.into(), context.job.name.clone()), (INTERVAL.into(), interval)]
}

/// Reads every table and leaves one Parquet file each.
pub async fn extract(context: &Context, report: &mut RunReport, out: &Path) -> Result<()> {
    context.progress.enter(Stage::Extract);
    context.job.require_interval()?;
    let at = Instant::now();
    let mut sessions = extract::Sessions::new();
    let means = extract::ExtractContext {
        cache: &context.shared.cache,
        sessions: &mut sessions,
        progress: &context.progress,
        driving: None,
    };
    let extraction = extract::extract(&context.project, &context.job, &context.interval, means).await?;
    record_inputs(report, &extraction);
    report.warnings.extend(extraction.warnings.iter().cloned());
    for (name, frame) in &extraction.tables {
        let inputs = extraction.inputs.iter().filter(|input| input.table == *name);
        let sources: Vec<Source> = inputs.map(|input| input.source(&context.project.root)).collect();
        let rows = write_frame(context, frame.clone(), &out.join(format!("{name}.parquet")), as_mark(&sources))
            .map_err(|e| explain_write(e, context, &extraction))?;
        report.rows.published += rows;
    }
    extraction.inputs.iter().filter_map(|input| input.file.as_ref()).try_for_each(|file| file.recheck())?;
    report.stage("extract", at.elapsed().as_secs_f64());
    Ok(())
}

/// Runs the SQL over the tables of `input` and leaves one Parquet file.
pub fn transform(context: &Context, report: &mut RunReport, input: &Path, out: &Path) -> Result<()> {
    context.progress.enter(Stage::Score);
    let at = Instant::now();
    let mut extraction = Extraction::default();
    let mut sources = Vec::new();
    for spec in &context.job.extract {
        let path = input.join(format!("{}.parquet", spec.name));
        let (frame, marks) = open(context, &path, "extract", report)?;
        sources.extend(sources_mark(&marks));
        extraction.tables.push((spec.name.clone(), frame));
    }
    extraction.inputs = report.inputs.clone();
    let plan = transform::plan(&context.job.transform, &extraction.tables, &context.interval)?;
    report.lineage = plan.columns;
    let rows =
        write_frame(context, plan.frame, out, as_mark(&sources)).map_err(|e| explain_write(e, context, &extraction))?;
    report.rows.transformed = rows;
    report.rows.published = rows;
    report.stage("transform", at.elapsed().as_secs_f64());
    Ok(())
}

/// Scores the features of `input` and leaves what would be published.
pub async fn score(context: &Context, report: &mut RunReport, input: &Path, out: &Path) -> Result<()> {
    let bundle = open_bundle(context, report)?.ok_or_else(|| {
        Error::usage(format!("the job {} has no [score]", context.job.name))
            .hint("load its transform with: daymill load")
    })?;
    let (frame, found) = open(context, input, "transform", report)?;
    let planned = select(&context.job, Some(&bundle), frame)?;
    let mut marks = marks(context);
    marks.push(as_mark(&sources_mark(&found)));
    marks.push((IDENTITY.into(), bundle.id().to_string()));
    marks.push((MODEL.into(), bundle.label()));
    marks.push((SCORES.into(), planned.layout.outputs.join("\n")));
    let looks = Arc::new(Looks::scores(&planned.layout.outputs));
    let work = Work {
        batch_rows: context.job.batch_rows,
        threads: context.threads,
        bundle: Some(bundle),
        layout: planned.layout,
        tail: Tail::default(),
        looks,
        progress: context.progress.clone(),
    };
    let place = &context.job.transform.path;
    let source = BatchSource::Whole(Box::new(planned.frame));
    let tolerable = |evidence: &Evidence| gates::tolerable(&context.job, evidence);
    score_into((work, source), report, out, &planned.schema, &marks, place, tolerable).await
}

/// Scores any Parquet file with any bundle, without a job: rows in the order they came, the kept columns, the outputs.
pub struct StandaloneScoring<'a> {
    pub model: &'a Path,
    pub input: &'a Path,
    pub out: &'a Path,
    pub keep: &'a [String],
    pub batch_rows: usize,
    pub threads: usize,
    pub progress: Progress,
}

pub async fn score_loose(loose: StandaloneScoring<'_>, report: &mut RunReport) -> Result<()> {
    let bundle = Arc::new(Bundle::open(loose.model)?);
    report.model = Some(ModelReport::of(&bundle));
    let cache = extract::Cache::default();
    let found = formats::of(&FileFormat::Parquet).describe(loose.input, &[])?;
    let has = |name: &str| found.iter().any(|found| found.name == name);
    let missing = loose.keep.iter().filter(|name| !has(name));
    let mut faults: Vec<String> = missing.map(|name| format!("the column {name:?} of --keep is missing")).collect();
    let features = bundle.contract.features.iter();
    let features = features.filter(|feature| !loose.keep.contains(&feature.name)).map(|feature| {
        let number = matches!(feature.kind, crate::score::contract::Kind::Number);
        (feature.name.as_str(), if number { ColumnType::Float } else { ColumnType::Text })
    });
    let kept = loose.keep.iter().map(|name| (name.as_str(), ColumnType::Text));
    let used: Vec<(&str, ColumnType)> = kept.chain(features).filter(|(name, _)| has(name)).collect();
    let (mut frame, _temporary) = source::standalone(loose.input, &used, &cache)?;
    let names =
        frame.collect_schema().map_err(|e| Error::input(format!("cannot read {}", loose.input.display())).cause(e))?;
    let schema = arrow_bridge::to_batch(&polars::prelude::DataFrame::empty_with_schema(&names))?.schema();
    let columns: Vec<_> = schema.fields().iter().map(|f| (f.name().clone(), f.data_type().clone())).collect();
    faults.extend(bundle.contract.mismatches(&columns));
    if !faults.is_empty() {
        let mut error = Error::input(format!("{} does not have what is asked of it", loose.input.display()));
        error.causes = faults;
        return Err(error.hint(format!("the contract is in {}", bundle.folder.join("model.toml").display())));
    }
    let layout = Layout {
        columns: loose.keep.to_vec(),
        key: 0,
        outputs: bundle.outputs.clone(),
        picked: (0..bundle.outputs.len()).collect(),
    };
    let (published, scores) = (layout.schema(&schema)?, layout.outputs.clone());
    let marks = [(MODEL.to_owned(), bundle.label())];
    let source = BatchSource::Whole(Box::new(frame));
    let work = Work {
        batch_rows: loose.batch_rows,
        threads: loose.threads,
        bundle: Some(bundle),
        layout,
        tail: Tail::default(),
        looks: Arc::new(Looks::scores(&scores)),
        progress: loose.progress,
    };
    score_into((work, source), report, loose.out, &published, &marks, loose.input, |_| Ok(())).await
}

async fn score_into(
    (work, source): (Work, BatchSource),
    report: &mut RunReport,
    out: &Path,
    schema: &Schema,
    marks: &[(String, String)],
    place: &Path,
    gate: impl Fn(&Evidence) -> Result<()>,
) -> Result<()> {
    work.progress.enter(Stage::Score);
    let mut writer = Writer::create(out, schema, marks)?;
    let evidence = drain(work, source, &mut writer, report).await.map_err(|stop| match stop {
        Stop::Other(error) => error,
        Stop::Engine(error) => Error::input(format!("cannot read {}", place.display())).cause(error),
    })?;
    gate(&evidence)?;
    writer.finish().map(|_| ())
}

impl Sink for Writer {
    const STAGE: &'static str = "write";

    async fn take(&mut self, finished: &Finished) -> Result<()> {
        self.write(&finished.batch)
    }
}

/// Publishes the rows of `input`, which a score stage (or a transform stage, for a job without a model) left.
pub async fn load(context: &Context, report: &mut RunReport, input: &Path) -> Result<()> {
    let (frame, marks) = open(context, input, if context.job.score.is_some() { "score" } else { "transform" }, report)?;
    let mark = |key: &str| marks.iter().find(|(k, _)| k == key).map(|(_, v)| v.clone());
    let model = mark(MODEL);
    if context.job.score.is_some() && model.is_none() {
        return Err(
            Error::input(format!("{} was not left by a score stage", input.display())).hint("run: daymill score")
        );
    }
    let sources = sources_mark(&marks);
    report.fingerprint = Some(Fingerprint::new(&context.project.root, &context.job, mark(IDENTITY), &sources));
    report.sources = Some(sources);
    let mut load = begin_load(context, &mut None, report, model.as_deref()).await?;
    let planned = select(&context.job, None, frame).and_then(|planned| {
        let table = TableSchema::new(&context.job.load.table, &planned.schema, &context.job.key)?;
        Ok((planned, table))
    });
    let planned = match planned {
        Ok((planned, table)) => load.prepare(table).await.map(|()| planned),
        Err(error) => Err(error),
    };
    let planned = match planned {
        Ok(planned) => planned,
        Err(error) => return Err(load.fail(error).await),
    };
    let scores: Vec<String> =
        mark(SCORES).into_iter().flat_map(|s| s.lines().map(str::to_owned).collect::<Vec<_>>()).collect();
    let version = model.as_deref().and_then(crate::models::reference::label_parts);
    let tail = table::tail(&context.interval, &report.run_id, version);
    let source = BatchSource::Whole(Box::new(planned.frame.clone()));
    let streamed = stream(context, report, (planned, source), None, &mut load, (tail, &scores)).await;
    let extraction = Extraction { inputs: report.inputs.clone(), ..Extraction::default() };
    let gated = async {
        let mut evidence = streamed.map_err(|stop| diagnose_failure(stop, &context.job, &extraction))?;
        gates::enforce(&context.job, report, &mut evidence, &mut load).await?;
        Ok(evidence)
    }
    .await;
    finish_load(context, report, load, gated).await.map(|_| ())
}

/// Opens a file that an earlier stage left, and makes sure that it is of this job and interval.
fn open(
    context: &Context,
    path: &Path,
    stage: &str,
    report: &mut RunReport,
) -> Result<(LazyFrame, Vec<(String, String)>)> {
    if !path.exists() {
        return Err(Error::input(format!("{} is not there", path.display())).hint(format!(
            "run the stage before: daymill {stage} {} --date {}",
            context.job.name,
            context.interval.label()
        )));
    }
    let footer = footer(path)?;
    let found: Vec<(String, String)> = footer
        .file_metadata()
        .key_value_metadata()
        .into_iter()
        .flatten()
        .filter_map(|kv| Some((kv.key.clone(), kv.value.clone()?)))
        .collect();
    for (key, wanted) in marks(context) {
        match found.iter().find(|(k, _)| *k == key) {
            Some((_, value)) if *value == wanted => {}
            Some((_, value)) => return Err(Error::input(format!("{} is of {value}, not of {wanted}", path.display()))),
            None => return Err(Error::input(format!("{} was not left by a stage of Daymill", path.display()))),
        }
    }
    report.inputs.push(extract::Input {
        table: path.file_stem().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default(),
        from: path.display().to_string(),
        rows: footer.file_metadata().num_rows().max(0) as u64,
        file: Some(version::Stamp::of(path)?),
        by_engine: true,
        ..extract::Input::default()
    });
    report.rows.extracted += footer.file_metadata().num_rows().max(0) as u64;
    Ok((scan(path)?, found))
}

fn scan(path: &Path) -> Result<LazyFrame> {
    footer(path)?;
    let name = path.to_str().ok_or_else(|| Error::config(format!("the path {} is not UTF-8", path.display())))?;
    let args = ScanArgsParquet { glob: false, ..ScanArgsParquet::default() };
    LazyFrame::scan_parquet(PlRefPath::new(name), args)
        .map_err(|e| Error::input(format!("cannot read {}", path.display())).cause(e))
}

enum WriteError {
    Plan(polars::prelude::PolarsError),
    Other(Error),
}

fn explain_write(error: WriteError, context: &Context, extraction: &Extraction) -> Error {
    match error {
        WriteError::Other(error) => error,
        WriteError::Plan(error) => diagnose_failure(Stop::Engine(error), &context.job, extraction),
    }
}

/// Streams a plan into a Parquet file.
fn write_frame(
    context: &Context,
    mut frame: LazyFrame,
    out: &Path,
    sources: (String, String),
) -> Result<u64, WriteError> {
    let schema = frame.collect_schema().map_err(WriteError::Plan)?;
    let empty =
        arrow_bridge::to_batch(&polars::prelude::DataFrame::empty_with_schema(&schema)).map_err(WriteError::Other)?;
    let writer =
        Writer::create(out, &empty.schema(), &[marks(context), vec![sources]].concat()).map_err(WriteError::Other)?;
    let state = Arc::new(std::sync::Mutex::new((writer, None::<Error>)));
    let (shared, progress) = (state.clone(), context.progress.clone());
    let each: transform::Each = Arc::new(move |batch| {
        let mut state = shared.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        progress.transformed.add(batch.height() as u64);
        let written =
            progress.check().and_then(|()| arrow_bridge::to_batch(&batch)).and_then(|batch| state.0.write(&batch));
        let failed = written.err();
        let go_on = failed.is_none();
        state.1 = state.1.take().or(failed);
        go_on
    });
    let streamed = transform::stream(frame, context.job.batch_rows, each);
    let mutex = Arc::try_unwrap(state).map_err(|_| WriteError::Other(Error::defect("the engine kept a file open")))?;
    let (writer, failed) = mutex.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner());
    match (failed, streamed) {
        (Some(error), _) => Err(WriteError::Other(error)),
        (None, Err(error)) => Err(WriteError::Plan(error)),
        (None, Ok(())) => writer.finish().map_err(WriteError::Other),
    }
}

/// What a file is written as.
enum Form {
    Parquet(Box<ArrowWriter<File>>),
    Csv(Box<arrow::csv::Writer<File>>),
}

/// A file that appears whole or not at all: Parquet or CSV, as its name says.
struct Writer {
    form: Form,
    draft: PathBuf,
    out: PathBuf,
    rows: u64,
}

impl Writer {
    fn create(out: &Path, schema: &Schema, marks: &[(String, String)]) -> Result<Writer> {
        let csv = extension(out)? == "csv";
        if let Some(folder) = out.parent().filter(|f| !f.as_os_str().is_empty()) {
            std::fs::create_dir_all(folder).map_err(|e| Error::io(folder, "create", &e))?;
        }
        let mut draft = out.as_os_str().to_owned();
        draft.push(format!(".{}.part", std::process::id()));
        let draft = PathBuf::from(draft);
        let file = File::create(&draft).map_err(|e| Error::io(&draft, "write", &e))?;
        if csv {
            let form = Form::Csv(Box::new(arrow::csv::WriterBuilder::new().with_header(true).build(file)));
            let mut writer = Writer { form, draft, out: out.to_owned(), rows: 0 };
            // The names of the columns, also where there are no rows.
            writer.write(&RecordBatch::new_empty(Arc::new(schema.clone())))?;
            return Ok(writer);
        }
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::default()))
            .set_key_value_metadata(Some(marks.iter().map(|(k, v)| KeyValue::new(k.clone(), v.clone())).collect()))
            .build();
        let writer = ArrowWriter::try_new(file, Arc::new(schema.clone()), Some(properties))
            .map_err(|e| Error::defect(format!("cannot write {}", out.display())).cause(e))?;
        Ok(Writer { form: Form::Parquet(Box::new(writer)), draft, out: out.to_owned(), rows: 0 })
    }

    fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        self.rows += batch.num_rows() as u64;
        let failed = |e: &dyn std::fmt::Display| {
            Error::new(crate::error::Class::Io, format!("cannot write {}", self.draft.display())).cause(e)
        };
        match &mut self.form {
            Form::Parquet(writer) => writer.write(batch).map_err(|e| failed(&e)),
            Form::Csv(writer) => writer.write(batch).map_err(|e| failed(&e)),
        }
    }

    fn finish(mut self) -> Result<u64> {
        if let Form::Parquet(writer) = &mut self.form {
            let failed = format!("cannot write {}", self.draft.display());
            writer.finish().map_err(|e| Error::new(crate::error::Class::Io, failed).cause(e))?;
        }
        std::fs::rename(&self.draft, &self.out).map_err(|e| Error::io(&self.out, "write", &e))?;
        Ok(self.rows)
    }
}

/// The form that a name asks for.
fn extension(out: &Path) -> Result<&'static str> {
    match out.extension().map(|e| e.to_string_lossy().to_lowercase()).as_deref() {
        Some("parquet") | None => Ok("parquet"),
        Some("csv") => Ok("csv"),
        Some(other) => {
            Err(Error::usage(format!("{} cannot be written: .{other} is not a form that is known", out.display()))
                .hint("name it .parquet or .csv"))
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // Gone already when the file was finished.
        let _ = std::fs::remove_file(&self.draft);
    }
}

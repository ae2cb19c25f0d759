//! The moving part of a run: the streaming engine on its own thread, scoring threads that share its batches, and the
//! caller that takes the results in order. Every queue holds a few batches of a fixed number of rows.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Instant;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::datatypes::{DataType, Field, FieldRef, Schema};
use arrow::util::display::array_value_to_string;
use polars::prelude::{DataFrame, LazyFrame, PolarsError};

use super::evidence::{Looks, Partial};
use crate::arrow_bridge;
use crate::error::{Error, Result};
use crate::failpoints;
use crate::models::{ScorePlan, Scored};
use crate::progress::Progress;
use crate::rows::{Tail, encode, one_zero};
use crate::transform;

const LOOK_UP_EVERY: std::time::Duration = std::time::Duration::from_millis(250);

/// Columns of a row that a message shows.
const SHOWN: usize = 5;

/// Which columns a job publishes: the key, what it keeps, the scores.
#[derive(Clone, Debug)]
pub struct Layout {
    /// Columns of the transform that are published, the key first.
    pub columns: Vec<String>,
    pub key: usize,
    /// Names of the scores.
    pub outputs: Vec<String>,
}

impl Layout {
    pub fn names(&self) -> Vec<&str> {
        self.columns.iter().chain(&self.outputs).map(String::as_str).collect()
    }

    /// The published schema, given the transform's.
    pub fn schema(&self, transformed: &Schema) -> Result<Schema> {
        let mut fields = Vec::new();
        for name in &self.columns {
            let field = transformed
                .field_with_name(name)
                .map_err(|e| Error::defect("a published column is missing").cause(e))?;
            fields.push(field.clone());
        }
        fields.extend(self.outputs.iter().map(|name| Field::new(name, DataType::Float32, true)));
        Ok(Schema::new(fields))
    }

    /// The published columns of a scored batch.
    fn publish(&self, batch: &RecordBatch) -> Result<RecordBatch> {
        let column = |name: &&str| {
            let found = batch.schema_ref().index_of(name);
            let at = found.map_err(|e| Error::defect("a batch lost a column").cause(e))?;
            Ok((batch.schema_ref().fields()[at].clone(), one_zero(batch.column(at).clone())))
        };
        let columns = self.names().iter().map(column).collect::<Result<Vec<_>>>()?;
        let (fields, arrays): (Vec<_>, Vec<_>) = columns.into_iter().unzip();
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), arrays, &options)
            .map_err(|e| Error::defect("a batch lost a column").cause(e))
    }
}

impl Layout {
    /// Every row has a whole key: one that has none could not be told from others, nor be replaced.
    fn require_keys(&self, batch: &RecordBatch) -> Result<()> {
        let columns = batch.schema_ref().fields().iter().zip(batch.columns());
        for (field, key) in columns.clone().take(self.key) {
            let Some(row) = (0..batch.num_rows()).find(|row| key.null_count() > 0 && key.is_null(*row)) else {
                continue;
            };
            let value = |(field, array): (&FieldRef, &ArrayRef)| {
                (!array.is_null(row))
                    .then(|| format!("{}={}", field.name(), array_value_to_string(array, row).unwrap_or_default()))
            };
            let known: Vec<String> = columns.filter_map(value).take(SHOWN).collect();
            let what = format!("the key column {:?} is NULL in a row; nothing was published", field.name());
            let error = Error::data(what).cause(format!("the row has {}", known.join(", ")));
            return Err(error.hint(format!(
                "leave such rows out in the transform (WHERE {} IS NOT NULL), or take a key that every row has",
                field.name()
            )));
        }
        Ok(())
    }
}

/// Where the engine gets its rows.
pub enum BatchSource {
    /// One plan over everything.
    Whole(Box<LazyFrame>),
    /// Plans over one piece of the driving table after the other, made as they are asked for.
    Partitions(Partitions),
}

pub type Partitions = Box<dyn FnMut() -> Result<Option<LazyFrame>> + Send>;

pub struct Work {
    pub batch_rows: usize,
    pub threads: usize,
    pub scoring: Arc<ScorePlan>,
    pub layout: Layout,
    /// What stands at the end of every encoded row.
    pub lineage: Tail,
    /// What is looked at in every batch.
    pub looks: Arc<Looks>,
    pub progress: Progress,
}

/// A batch ready to be written.
#[derive(Debug)]
pub struct Finished {
    pub batch: RecordBatch,
    /// The rows as the tuples of a binary COPY.
    pub tuples: Vec<u8>,
    /// What they add to the evidence of the run.
    pub partial: Partial,
}

/// Why a flow stopped early.
pub enum Stop {
    Engine(PolarsError),
    Other(Error),
}

enum Message {
    Batch(usize, Box<Result<Finished>>),
    Ended(std::result::Result<(), Stop>),
}

/// Nanoseconds that threads were busy.
#[derive(Default)]
pub struct Busy {
    pub transform: AtomicU64,
    pub score: AtomicU64,
}

pub struct Flow {
    messages: tokio::sync::mpsc::Receiver<Message>,
    early: BTreeMap<usize, Finished>,
    next: usize,
    ended: bool,
    progress: Progress,
    pub busy: Arc<Busy>,
}

impl Flow {
    pub fn start(work: Work, source: BatchSource) -> Flow {
        let busy = Arc::new(Busy::default());
        let threads = work.threads.max(1);
        let (sender, messages) = tokio::sync::mpsc::channel(2 * threads);
        let (batches, queue) = mpsc::sync_channel::<(usize, DataFrame)>(threads);
        let queue = Arc::new(Mutex::new(queue));
        let work = Arc::new(work);
        for _ in 0..threads {
            let (work, queue, sender, busy) = (work.clone(), queue.clone(), sender.clone(), busy.clone());
            std::thread::spawn(move || score_batches(&work, &queue, &sender, &busy));
        }
        let (engine_busy, progress) = (busy.clone(), work.progress.clone());
        std::thread::spawn(move || {
            let ended = run_engine(&work, source, batches, &engine_busy);
            let _ = sender.blocking_send(Message::Ended(ended));
        });
        Flow { messages, early: BTreeMap::new(), next: 0, ended: false, progress, busy }
    }

    /// The next batch in the order of the transform.
    pub async fn next(&mut self) -> std::result::Result<Option<Finished>, Stop> {
        loop {
            if let Some(finished) = self.early.remove(&self.next) {
                self.next += 1;
                return Ok(Some(finished));
            }
            // An engine that sorts or aggregates may be silent for long; a signal must not wait for it.
            let Ok(message) = tokio::time::timeout(LOOK_UP_EVERY, self.messages.recv()).await else {
                self.progress.check().map_err(Stop::Other)?;
                continue;
            };
            match message {
                Some(Message::Batch(index, result)) => {
                    self.early.insert(index, (*result).map_err(Stop::Other)?);
                }
                Some(Message::Ended(Ok(()))) => self.ended = true,
                Some(Message::Ended(Err(stop))) => return Err(stop),
                // Every thread has gone, so every batch has come.
                None if self.ended && self.early.is_empty() => return Ok(None),
                None => return Err(Stop::Other(Error::defect("a scoring thread was lost"))),
            }
        }
    }
}

fn run_engine(
    work: &Work,
    source: BatchSource,
    batches: mpsc::SyncSender<(usize, DataFrame)>,
    busy: &Busy,
) -> std::result::Result<(), Stop> {
    let waited = Arc::new(AtomicU64::new(0));
    let (index, waiting, progress) = (AtomicU64::new(0), waited.clone(), work.progress.clone());
    let wanted = Arc::new(AtomicBool::new(true));
    let still = wanted.clone();
    let each: transform::Each = Arc::new(move |frame| {
        let at = Instant::now();
        progress.transformed.add(frame.height() as u64);
        let index = index.fetch_add(1, Ordering::Relaxed) as usize;
        let more = batches.send((index, frame)).is_ok() && !progress.stopped();
        waiting.fetch_add(at.elapsed().as_nanos() as u64, Ordering::Relaxed);
        still.store(more, Ordering::Relaxed);
        more
    });
    let mut nanos = 0;
    let mut stream = |frame: LazyFrame| {
        let at = Instant::now();
        let ended = transform::stream(frame, work.batch_rows, each.clone()).map_err(Stop::Engine);
        nanos += at.elapsed().as_nanos() as u64;
        busy.transform.store(nanos.saturating_sub(waited.load(Ordering::Relaxed)), Ordering::Relaxed);
        ended
    };
    match source {
        BatchSource::Whole(frame) => stream(*frame),
        BatchSource::Partitions(mut pieces) => {
            while wanted.load(Ordering::Relaxed)
                && let Some(piece) = pieces().map_err(Stop::Other)?
            {
                stream(piece)?;
            }
            Ok(())
        }
    }
}

fn score_batches(
    work: &Work,
    queue: &Mutex<mpsc::Receiver<(usize, DataFrame)>>,
    sender: &tokio::sync::mpsc::Sender<Message>,
    busy: &Busy,
) {
    loop {
        let received = queue.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).recv();
        let Ok((index, frame)) = received else { return };
        let at = Instant::now();
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| one_batch(work, &frame)))
            .unwrap_or_else(|panic| Err(crate::caught(&*panic).context("scoring")));
        busy.score.fetch_add(at.elapsed().as_nanos() as u64, Ordering::Relaxed);
        let failed = result.is_err();
        if sender.blocking_send(Message::Batch(index, Box::new(result))).is_err() || failed {
            return;
        }
    }
}

fn one_batch(work: &Work, frame: &DataFrame) -> Result<Finished> {
    work.progress.check()?;
    failpoints::at("score-batch");
    let batch = arrow_bridge::to_batch(frame)?;
    let transformed = batch.num_rows() as u64;
    let sifted = work.looks.before(batch)?;
    let mut found = sifted.found;
    let Scored { batch, mut keys, counts } =
        work.scoring.score(sifted.batch, &work.layout.columns[..work.layout.key])?;
    let after = work.looks.after(batch)?;
    if let Some(kept) = &after.kept {
        let mut kept = kept.iter();
        keys.retain(|_| kept.next() == Some(&true));
    }
    found.merge(after.found);
    let scored = after.batch;
    let batch = work.layout.publish(&scored)?;
    work.layout.require_keys(&batch)?;
    let encoded = encode(&batch, &work.lineage)?;
    let seen = work.looks.at(&scored, &batch)?;
    let partial = Partial { transformed, counts, content: encoded.content, keys, checks: found, ..seen };
    work.progress.scored.add(batch.num_rows() as u64);
    Ok(Finished { batch, tuples: encoded.bytes, partial })
}

//! Workers that run the tasks of a backfill, and what they tell of it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;

use crate::error::{Class, Error, Result};
use crate::interval::Interval;
use crate::models::ModelRef;
use crate::pipeline::report::RunReport;
use crate::pipeline::{Context, Sessions, attempts};
use crate::progress::Progress;

/// Bytes of decoded tables that a backfill keeps, so that a lookback is not decoded again for every day.
pub const CACHE_BYTES: usize = 256 << 20;

/// One interval to run.
#[derive(Clone, Debug)]
pub struct Task {
    pub interval: Interval,
    /// The model it is scored with, as `folder@version`; an error when none was champion then.
    pub model: Result<Option<ModelRef>>,
}

/// What happens while a backfill works.
#[derive(Debug)]
pub enum Event {
    Started {
        worker: usize,
        index: usize,
        progress: Progress,
    },
    /// An attempt failed and will be made again.
    Retried {
        index: usize,
        why: String,
    },
    Finished(Box<Finished>),
    /// A worker has nothing left to do.
    Left,
}

/// How one interval ended.
#[derive(Debug)]
pub struct Finished {
    pub worker: usize,
    pub index: usize,
    pub report: RunReport,
    pub result: Result<()>,
}

/// Runs every task on `jobs` threads, in order of the list, and tells `on` what happens. A signal, or a database that
/// stays away, ends it early; what was not begun is not reported.
pub fn run(base: &Context, tasks: &[Task], jobs: usize, mut on: impl FnMut(Event)) {
    let (next, gone) = (AtomicUsize::new(0), AtomicBool::new(false));
    std::thread::scope(|scope| {
        let (sender, events) = mpsc::channel();
        let start = |worker: usize, sender: mpsc::Sender<Event>| {
            let (next, gone) = (&next, &gone);
            scope.spawn(move || work(base, tasks, worker, (next, gone), &sender));
        };
        start(0, sender.clone());
        // The first interval may make the table, for whose making the others would wait inside their transactions.
        let mut waiting = Some(sender);
        for event in events {
            match (&event, waiting.take()) {
                (Event::Finished(_), Some(sender)) => {
                    (1..jobs.clamp(1, tasks.len().max(1))).for_each(|worker| start(worker, sender.clone()));
                }
                (Event::Left, _) => {}
                (_, sender) => waiting = sender,
            }
            on(event);
        }
    });
}

fn work(
    base: &Context,
    tasks: &[Task],
    worker: usize,
    (next, gone): (&AtomicUsize, &AtomicBool),
    events: &mpsc::Sender<Event>,
) {
    // Polars blocks inside a runtime only when that has threads of its own.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let mut sessions = Sessions::default();
    loop {
        if base.progress.stopped() || gone.load(Ordering::SeqCst) {
            break;
        }
        let index = next.fetch_add(1, Ordering::SeqCst);
        let Some(task) = tasks.get(index) else { break };
        let progress = base.progress.fresh();
        let _ = events.send(Event::Started { worker, index, progress: progress.clone() });
        let mut report = RunReport::new("backfill");
        let result = match &runtime {
            Ok(runtime) => one(base, task, progress, runtime, &mut sessions, &mut report, &|why| {
                let _ = events.send(Event::Retried { index, why: why.to_owned() });
            }),
            Err(error) => Err(Error::new(Class::Io, "cannot start a worker").cause(error)),
        };
        if matches!(&result, Err(error) if error.class == Class::Unavailable) {
            gone.store(true, Ordering::SeqCst);
        }
        report.close(&result);
        let _ = events.send(Event::Finished(Box::new(Finished { worker, index, report, result })));
    }
    let _ = events.send(Event::Left);
    // Sessions end before the runtime that they live on.
    if let Ok(runtime) = runtime {
        runtime.block_on(async {
            if let Some(db) = sessions.warehouse.take() {
                db.close().await;
            }
        });
        runtime.shutdown_background();
    }
}

fn one(
    base: &Context,
    task: &Task,
    progress: Progress,
    runtime: &tokio::runtime::Runtime,
    sessions: &mut Sessions,
    report: &mut RunReport,
    tell: &(dyn Fn(&str) + Sync),
) -> Result<()> {
    report.job = Some(base.job.name.clone());
    report.target = Some(base.target.clone());
    report.of_interval(&task.interval);
    let context = Context { interval: task.interval.clone(), model: task.model.clone()?, progress, ..base.clone() };
    let attempt = || runtime.block_on(attempts::run(&context, sessions, report, tell));
    catch_unwind(AssertUnwindSafe(attempt)).unwrap_or_else(|panic| Err(crate::caught(&*panic)))
}

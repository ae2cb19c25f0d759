//! What a person or a log sees while a run works, and the signals that stop it.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::cli::Global;
use crate::error::Class;
use crate::output;
use crate::pipeline::report::RunReport;
use crate::progress::{Progress, Stage};

/// Seconds between two lines of a log.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// After a signal a run ends by itself within this time, or is ended.
const PATIENCE: Duration = Duration::from_millis(8500);

/// A write beyond the limit on a file's size is an error to report, not a reason to die.
fn outlive_file_limits() {
    if let Ok(mut stream) = signal(SignalKind::from_raw(libc::SIGXFSZ)) {
        tokio::spawn(async move { while stream.recv().await.is_some() {} });
    }
}

/// The first signal stops the run at the next batch; the second ends the process at once.
pub fn signals(progress: &Progress) {
    outlive_file_limits();
    for (kind, class) in [(SignalKind::interrupt(), Class::Interrupted), (SignalKind::terminate(), Class::Terminated)] {
        let Ok(mut stream) = signal(kind) else { continue };
        let progress = progress.clone();
        tokio::spawn(async move {
            while stream.recv().await.is_some() {
                if progress.stopped() {
                    std::process::exit(class.exit_code().into());
                }
                tracing::info!("stopping at the next batch; a second signal stops at once");
                progress.stop(class);
                std::thread::spawn(move || end_anyway(class));
            }
        });
    }
}

/// What a read that never returns would hold up. Ending here is as safe as being killed: what was committed stands, the rest
/// is rolled back.
fn end_anyway(class: Class) {
    std::thread::sleep(PATIENCE);
    output::error(
        &crate::error::Error::new(class, "something did not answer, and the run was ended without it")
            .hint("`daymill status` shows what is published"),
    );
    std::process::exit(class.exit_code().into());
}

pub struct Watching {
    end: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Watching {
    pub async fn stop(self) {
        let _ = self.end.send(());
        let _ = self.task.await;
    }
}

/// A bar on a terminal; elsewhere a line about every ten seconds.
pub fn show(global: &Global, progress: &Progress) -> Watching {
    let (end, mut ended) = oneshot::channel();
    let bar = global.draws_bars().then(bar);
    let progress = progress.clone();
    let task = tokio::spawn(async move {
        let (started, mut line_at) = (Instant::now(), Instant::now() + LINE_EVERY);
        while tokio::time::timeout(Duration::from_millis(100), &mut ended).await.is_err() {
            match &bar {
                Some(bar) => {
                    bar.set_position(progress.loaded.get().max(progress.extracted.get()));
                    bar.set_message(short(&progress));
                }
                None if Instant::now() >= line_at => {
                    line_at += LINE_EVERY;
                    logged(&progress, started);
                }
                None => {}
            }
        }
        if let Some(bar) = bar {
            bar.finish_and_clear();
        }
    });
    Watching { end, task }
}

fn bar() -> ProgressBar {
    let bar = ProgressBar::new_spinner();
    if let Ok(style) = ProgressStyle::with_template("{spinner:.cyan} {elapsed} {msg} ({per_sec})") {
        bar.set_style(style);
    }
    bar
}

/// What fits beside a bar.
fn short(progress: &Progress) -> String {
    let (read, loaded) = (progress.extracted.get().max(progress.transformed.get()), progress.loaded.get());
    let rows =
        if loaded > 0 { format!("{} loaded", output::count(loaded)) } else { format!("{} read", output::count(read)) };
    let stage = match progress.stage() {
        Stage::Score if loaded > 0 => "load",
        Stage::Score => "transform",
        other => other.name(),
    };
    format!("{} {stage}: {rows}", progress.about())
}

fn line(progress: &Progress) -> String {
    format!(
        "{}: {} extracted, {} transformed, {} scored, {} loaded",
        progress.stage().name(),
        output::count(progress.extracted.get()),
        output::count(progress.transformed.get()),
        output::count(progress.scored.get()),
        output::count(progress.loaded.get())
    )
}

fn logged(progress: &Progress, started: Instant) {
    let seconds = started.elapsed().as_secs();
    let rate = progress.loaded.get() / seconds.max(1);
    let span = progress.span().unwrap_or_else(tracing::Span::none);
    span.in_scope(|| {
        tracing::info!(
            seconds,
            extracted = progress.extracted.get(),
            transformed = progress.transformed.get(),
            scored = progress.scored.get(),
            loaded = progress.loaded.get(),
            rows_per_second = rate,
            "{} ({} rows/s)",
            line(progress),
            output::count(rate)
        );
    });
}

/// Where there is no bar: one line at the end of the interval.
pub fn ended(global: &Global, report: &RunReport) {
    if global.draws_bars() {
        return;
    }
    let job = report.job.as_deref().unwrap_or("score");
    let interval = report.interval.as_ref().map(|i| format!(" {}", i.label)).unwrap_or_default();
    let (rows, seconds) = (report.rows.published, report.seconds);
    let state = if report.preview.is_some() { "looked at" } else { report.state.name() };
    let message = format!("{job}{interval} {state}: {} rows in {}", output::count(rows), output::seconds(seconds));
    match report.error {
        Some(_) => tracing::error!(state, rows, seconds, "{message}"),
        None => tracing::info!(state, rows, seconds, "{message}"),
    }
}

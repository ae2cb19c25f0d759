//! What a person or a log sees of a backfill: a bar for the whole and one for each worker on a terminal; elsewhere a line
//! for each interval that ends.

use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressState, ProgressStyle};

use crate::backfill::{Event, Finished, Task};
use crate::cli::Global;
use crate::output;
use crate::progress::Progress;

pub struct Bars {
    job: String,
    labels: Vec<String>,
    done: usize,
    started: Instant,
    drawn: Option<Drawn>,
}

struct Drawn {
    all: MultiProgress,
    whole: ProgressBar,
    workers: Vec<ProgressBar>,
}

impl Bars {
    pub fn new(global: &Global, job: &str, tasks: &[Task], jobs: usize) -> Bars {
        Bars {
            job: job.to_owned(),
            labels: tasks.iter().map(|task| task.interval.label()).collect(),
            done: 0,
            started: Instant::now(),
            drawn: global.draws_bars().then(|| draw(tasks.len(), jobs.min(tasks.len()))),
        }
    }

    pub fn see(&mut self, event: &Event) {
        match (event, &self.drawn) {
            (Event::Started { worker, index, progress }, Some(drawn)) => {
                let bar = &drawn.workers[*worker];
                bar.set_style(live(progress.clone()));
                bar.set_message(self.labels[*index].clone());
            }
            (Event::Started { .. }, None) | (Event::Left, _) => {}
            (Event::Retried { index, why }, _) => {
                let (job, interval) = (&self.job, &self.labels[*index]);
                let about = tracing::error_span!("run", job, interval);
                self.say(|| about.in_scope(|| output::warn(&format!("{interval}: {why}"))));
            }
            (Event::Finished(end), _) => {
                self.done += 1;
                self.finished(end);
            }
        }
    }

    /// Lines go above the bars.
    fn say(&self, line: impl FnOnce()) {
        match &self.drawn {
            Some(drawn) => drawn.all.suspend(line),
            None => line(),
        }
    }

    fn finished(&self, end: &Finished) {
        let label = &self.labels[end.index];
        let why = end.result.as_ref().err().map(|error| error.message.clone());
        match &self.drawn {
            Some(drawn) => {
                drawn.whole.inc(1);
                drawn.workers[end.worker].set_style(style("  {msg:.dim} done"));
                if let Some(why) = why {
                    self.say(|| output::note(&format!("✗ {label}  {}", output::line(&why))));
                }
            }
            None => self.tell(end, label, why.as_deref()),
        }
    }

    fn tell(&self, end: &Finished, label: &str, why: Option<&str>) {
        let left = self.labels.len() - self.done;
        let eta = self.started.elapsed().as_secs_f64() / self.done.max(1) as f64 * left as f64;
        let report = &end.report;
        let (state, rows, seconds) = (report.state.name(), report.rows.published, report.seconds);
        let outcome = match why {
            Some(why) => format!("{state}: {why}"),
            None => format!("{state}: {} rows in {}", output::count(rows), output::seconds(seconds)),
        };
        let rest = if left > 0 { format!(", {} to go", output::seconds(eta)) } else { String::new() };
        let (job, done, of) = (&self.job, self.done, self.labels.len());
        let message = format!("{job} {label} {outcome} ({done} of {of}{rest})");
        report.span().in_scope(|| match why {
            Some(error) => {
                tracing::error!(state, rows, seconds, done, of, eta_seconds = eta, error, "{message}");
            }
            None => tracing::info!(state, rows, seconds, done, of, eta_seconds = eta, "{message}"),
        });
    }

    pub fn end(&self) {
        if let Some(drawn) = &self.drawn {
            drawn.workers.iter().for_each(ProgressBar::finish_and_clear);
            drawn.whole.finish_and_clear();
        }
    }
}

fn draw(intervals: usize, jobs: usize) -> Drawn {
    let all = MultiProgress::new();
    let whole = all.add(ProgressBar::new(intervals as u64));
    whole.set_style(
        style("{elapsed_precise} {bar:32.cyan/dim} {pos}/{len} intervals, {eta} to go").progress_chars("━━╌"),
    );
    whole.enable_steady_tick(Duration::from_millis(200));
    let worker = |_| {
        let bar = all.add(ProgressBar::new_spinner());
        bar.set_style(style("  {msg}"));
        bar.enable_steady_tick(Duration::from_millis(100));
        bar
    };
    Drawn { workers: (0..jobs).map(worker).collect(), whole, all }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

/// What a worker is at, read each time the bar is drawn.
fn live(progress: Progress) -> ProgressStyle {
    let at = move |_: &ProgressState, out: &mut dyn std::fmt::Write| {
        let _ = write!(out, "{}, {} rows", progress.stage().name(), output::count(progress.scored.get()));
    };
    style("  {spinner:.cyan} {msg}  {at}").with_key("at", at)
}

//! What a person or a log sees of a backfill: a bar for the whole and one for each worker on a terminal; elsewhere a line
//! for each interval that ends.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressState, ProgressStyle};
use serde_json::json;

use crate::backfill::{Event, Finished, Task};
use crate::cli::{Global, LogFormat};
use crate::output;
use crate::progress::Progress;

pub struct Bars {
    job: String,
    labels: Vec<String>,
    json: bool,
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
        let terminal = global.log_format == LogFormat::Auto && std::io::stderr().is_terminal();
        Bars {
            job: job.to_owned(),
            labels: tasks.iter().map(|task| task.interval.label()).collect(),
            json: global.log_format == LogFormat::Json,
            done: 0,
            started: Instant::now(),
            drawn: terminal.then(|| draw(tasks.len(), jobs.min(tasks.len()))),
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
            (Event::Retried { index, why }, _) => self.say(|| output::warn(&format!("{}: {why}", self.labels[*index]))),
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
        let now = output::now();
        let left = self.labels.len() - self.done;
        let eta = self.started.elapsed().as_secs_f64() / self.done.max(1) as f64 * left as f64;
        let report = &end.report;
        if self.json {
            return output::event(json!({
                "time": now, "level": if why.is_some() { "error" } else { "info" }, "run": report.run_id, "job": self.job,
                "interval": label, "state": report.state, "rows": report.rows.published, "seconds": report.seconds,
                "done": self.done, "of": self.labels.len(), "eta_seconds": eta, "error": why,
            }));
        }
        let outcome = match why {
            Some(why) => format!("{}: {}", report.state, output::line(why)),
            None => format!(
                "{}: {} rows in {}",
                report.state,
                output::count(report.rows.published),
                output::seconds(report.seconds)
            ),
        };
        let rest = if left > 0 { format!(", {} to go", output::seconds(eta)) } else { String::new() };
        output::note(&format!("{now} {} {label} {outcome} ({} of {}{rest})", self.job, self.done, self.labels.len()));
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

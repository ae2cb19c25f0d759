//! What a run is doing, as numbers that anyone may read while it works, and the flag that asks it to stop.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use tracing::Span;

use crate::error::{Class, Error, Result};

#[derive(Clone, Debug, Default)]
pub struct Counter(Arc<AtomicU64>);

impl Counter {
    pub fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    Prepare,
    Extract,
    Score,
    Commit,
}

impl Stage {
    pub fn name(self) -> &'static str {
        match self {
            Stage::Prepare => "prepare",
            Stage::Extract => "extract",
            Stage::Score => "transform, score, load",
            Stage::Commit => "commit",
        }
    }
}

/// Shared between the run and whoever shows it.
#[derive(Clone, Debug, Default)]
pub struct Progress {
    /// Rows decoded from Postgres so far.
    pub extracted: Counter,
    /// Rows that came out of the transform so far.
    pub transformed: Counter,
    pub scored: Counter,
    pub loaded: Counter,
    stage: Arc<AtomicU8>,
    /// The job and the interval, for a bar.
    about: Arc<OnceLock<String>>,
    /// What the log says of it.
    span: Arc<Mutex<Option<Span>>>,
    signal: Arc<AtomicU8>,
}

impl Progress {
    /// Says which job and interval it is about.
    pub fn of(&self, about: String) {
        // Whoever was first is right: a run is about one interval.
        let _ = self.about.set(about);
    }

    pub fn about(&self) -> &str {
        self.about.get().map_or("", String::as_str)
    }

    /// For another interval under the same signals: counters from zero.
    pub fn fresh(&self) -> Progress {
        Progress { signal: self.signal.clone(), ..Progress::default() }
    }

    pub fn enter(&self, stage: Stage) {
        self.stage.store(stage as u8, Ordering::Relaxed);
        if let Some(span) = self.span() {
            span.record("stage", stage.name());
            span.in_scope(|| tracing::debug!("begins: {}", stage.name()));
        }
    }

    /// From now on the log speaks of this attempt.
    pub fn work_on(&self, span: Span) {
        *self.span.lock().unwrap_or_else(PoisonError::into_inner) = Some(span);
    }

    pub fn span(&self) -> Option<Span> {
        self.span.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn stage(&self) -> Stage {
        match self.stage.load(Ordering::Relaxed) {
            1 => Stage::Extract,
            2 => Stage::Score,
            3 => Stage::Commit,
            _ => Stage::Prepare,
        }
    }

    /// Asks the run to stop at the next batch.
    pub fn stop(&self, class: Class) {
        self.signal.store(if class == Class::Terminated { 2 } else { 1 }, Ordering::SeqCst);
    }

    pub fn stopped(&self) -> bool {
        self.signal.load(Ordering::SeqCst) != 0
    }

    /// An error when the run has been asked to stop.
    pub fn check(&self) -> Result<()> {
        match self.signal.load(Ordering::SeqCst) {
            0 => Ok(()),
            1 => Err(Error::new(Class::Interrupted, "interrupted by SIGINT; nothing was published")),
            _ => Err(Error::new(Class::Terminated, "stopped by SIGTERM; nothing was published")),
        }
    }
}

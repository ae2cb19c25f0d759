//! What an attempt at an interval is given: everything resolved, nothing left to decide; and what it shares with others.

use std::sync::Arc;
use std::time::Duration;

use crate::extract;
use crate::interval::Interval;
use crate::ledger::Db;
use crate::models::{ModelCache, ModelRef};
use crate::progress::Progress;
use crate::project::{Job, Project};
use crate::warehouse::LoadPath;

/// Everything one attempt at one interval needs, resolved.
#[derive(Clone)]
pub struct Context {
    pub project: Arc<Project>,
    pub job: Arc<Job>,
    pub target: String,
    pub interval: Interval,
    pub threads: usize,
    pub load_path: Option<LoadPath>,
    pub progress: Progress,
    /// The model to score with, when it is not the one the job names.
    pub model: Option<ModelRef>,
    /// The backfill that this interval is a part of.
    pub batch: Option<String>,
    /// How long to wait for an interval that another run holds.
    pub wait: Duration,
    pub shared: Arc<Shared>,
}

/// What all intervals of a process use: models are opened once, files hashed once.
#[derive(Debug, Default)]
pub struct Shared {
    pub models: ModelCache,
    pub cache: extract::Cache,
}

/// Sessions that one thread keeps from interval to interval.
#[derive(Default)]
pub struct Sessions {
    pub warehouse: Option<Db>,
    pub sources: extract::Sessions,
}

impl Sessions {
    /// Closes the warehouse's session. SQLite then writes its journal into the file, which is whole by itself.
    pub async fn close(&mut self) {
        if let Some(db) = self.warehouse.take() {
            db.close().await;
        }
    }
}

impl Context {
    pub fn new(project: Arc<Project>, job: Arc<Job>, target: &str, interval: Interval, threads: usize) -> Context {
        Context {
            project,
            job,
            target: target.to_owned(),
            interval,
            threads,
            load_path: None,
            progress: Progress::default(),
            model: None,
            batch: None,
            wait: Duration::ZERO,
            shared: Arc::default(),
        }
    }
}

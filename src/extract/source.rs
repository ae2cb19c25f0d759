//! What a source has to do. A new kind of source is an implementation of [`Source`], named in `sources::of`.

use std::pin::Pin;

use polars::prelude::LazyFrame;

use super::cache::Cache;
use super::extraction::Extraction;
use super::queries::session::Sessions;
use crate::error::Result;
use crate::fingerprint;
use crate::interval::Interval;
use crate::progress::Progress;
use crate::project::job::TableSpec;
use crate::project::{Job, Project};

/// What a source does, as the caller waits for it.
pub type Task<'a, T> = Pin<Box<dyn Future<Output = Result<T>> + Send + 'a>>;

/// For whom a source is read.
#[derive(Clone, Copy)]
pub struct Reader<'a> {
    pub project: &'a Project,
    pub job: &'a Job,
    pub interval: &'a Interval,
    pub cache: &'a Cache,
    pub progress: &'a Progress,
}

/// Where one or more tables of a job come from. What is read must be the same rows in whatever pieces they come, each value
/// exactly, with the declared columns or an error that names the column; and a second look at something that did not change
/// must give the same versions.
pub trait Source: Send + Sync {
    /// The tables that come from it.
    fn tables(&self) -> Vec<&TableSpec>;

    /// Whether a look at its versions reads all of its rows, so that it is only made when asked for.
    fn costly(&self) -> bool;

    /// An empty frame with the columns that a table will have. `None` when that cannot be known `offline`.
    fn describe<'a>(&'a self, reader: Reader<'a>, table: &'a TableSpec, offline: bool) -> Task<'a, Option<LazyFrame>>;

    /// What its tables are made of now: for each part its name and its digest. A part that is `recorded` with the same stamp
    /// need not be read again.
    fn versions<'a>(
        &'a self,
        reader: Reader<'a>,
        recorded: &'a [fingerprint::Source],
        sessions: &'a mut Sessions,
    ) -> Task<'a, Vec<fingerprint::Source>>;

    /// Makes sure that everything an interval needs is there and as declared, and fixes which version of it is read.
    fn open<'a: 's, 's>(&'a self, reader: Reader<'a>, sessions: &'s mut Sessions) -> Task<'s, Box<dyn Opened + 'a>>;
}

/// A source that was opened for an interval.
pub trait Opened: Send {
    /// Its tables as far as they can be had without reading: with the columns they will have, and with or without rows.
    fn tables(&self) -> Result<Vec<(String, LazyFrame)>>;

    /// Hands over its tables, and a record of each input. Of the table `driving`, whose rows are taken one by one, the rows may
    /// come later or in parts.
    fn read<'a>(
        self: Box<Self>,
        driving: Option<&'a str>,
        sessions: &'a mut Sessions,
        extraction: &'a mut Extraction,
    ) -> Task<'a, ()>
    where
        Self: 'a;
}

//! How files of one kind are read. A new kind of file is an implementation of [`Format`], named in `formats::of`.

use std::path::Path;
use std::sync::Arc;

use chrono_tz::Tz;

use super::reading::{Reading, Room};
use super::version::Known;
use crate::error::Result;
use crate::extract::cache::Cache;
use crate::extract::schema::Found;
use crate::project::job::TableSpec;
use crate::rows::ColumnType;

/// A column to read, and how.
#[derive(Clone, Debug, PartialEq)]
pub struct Column {
    pub name: String,
    pub kind: ColumnType,
    /// The clock of times without a zone.
    pub zone: Option<Tz>,
    /// Its bytes are UUIDs.
    pub uuid: bool,
    /// How its dates or times are written in text, when it is not the usual way.
    pub format: Option<String>,
}

impl Column {
    pub fn of(spec: &TableSpec, name: &str, kind: ColumnType) -> Column {
        let format = spec.formats.iter().find(|(column, _)| column == name).map(|(_, format)| format.clone());
        Column { name: name.to_owned(), kind, zone: spec.zone_of(name), uuid: false, format }
    }
}

/// What a kind of file has to say for itself. Whatever the bytes of a file are, the answer is rows that are exactly the file's
/// or an error that names the file and the place in it; never a panic.
pub trait Format {
    /// The columns of a file, from as little of it as tells them. `declared` are those of the job that no folder gives.
    fn describe(&self, path: &Path, declared: &[Column]) -> Result<Vec<Found>>;

    /// Looks at a file. A format whose columns can only be told by reading the rows reads them now; `room` says how many
    /// of them may stay in memory.
    fn open(&self, path: &Path, declared: &[Column], room: &Room, cache: &Cache) -> Result<Box<dyn OpenFile>>;
}

/// A file that was looked at.
pub trait OpenFile {
    fn known(&self) -> &Arc<Known>;

    /// Where its rows come from, as these columns and in this order. `small` files may be held in memory.
    fn rows(&self, columns: &[Column], small: bool, cache: &Cache) -> Result<Reading>;
}

//! Text as a kind of file: CSV and JSON lines. Their columns are told by reading the rows, so a file is read once, from its
//! beginning to its end: one thread reads, decompresses and splits, another makes columns of the pieces. What is large goes
//! into a temporary file for the engine.

mod bytes;
mod cells;
mod collect;
mod csv;
mod json_lines;
mod records;

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::sync_channel;

use arrow::array::RecordBatch;
use polars::prelude::DataFrame;

use self::bytes::Input;
use self::collect::Collector;
use self::records::{Chunks, Records, Split};
use super::format::{Column, Format, OpenFile};
use super::reading::{Reading, Room};
use super::version::{Known, Stamp};
use crate::error::{Error, Result};
use crate::extract::cache::Cache;
use crate::extract::schema::{Found, Kind};
use crate::project::job::CsvOptions;

/// A kind of text file.
#[derive(Debug)]
pub enum Text<'a> {
    Csv(&'a CsvOptions),
    JsonLines,
}

/// How the text of one file is made into columns.
trait Layout: Send {
    /// How its text is split into records.
    fn splitter(&self) -> Box<dyn Split>;

    /// The columns of records, in the order of [`Layout::columns`].
    fn convert(&mut self, records: &Records) -> Result<RecordBatch, Fault>;

    /// The declared columns that the file has, in order.
    fn columns(&self) -> &[Column];

    /// Whether no record had a column.
    fn missing(&self, _: &Column) -> bool {
        false
    }

    /// The names of its other columns, as far as they were met.
    fn others(&self) -> Vec<String>;
}

/// What is wrong with a text, and where.
#[derive(Debug, PartialEq)]
struct Fault {
    line: u64,
    column: Option<String>,
    what: String,
    hint: Option<String>,
}

impl Fault {
    fn at(line: u64, what: impl Into<String>) -> Fault {
        Fault { line, column: None, what: what.into(), hint: None }
    }

    fn of(self, path: &Path) -> Error {
        let column = self.column.map(|name| format!(", column {name:?}")).unwrap_or_default();
        let error = Error::data(format!("{}, line {}{column}: {}", path.display(), self.line, self.what));
        error.hint(
            self.hint.unwrap_or_else(|| "correct the file, or how the job file reads it; nothing was written".into()),
        )
    }
}

impl Text<'_> {
    fn encoding(&self) -> &str {
        match self {
            Text::Csv(options) => &options.encoding,
            Text::JsonLines => "UTF-8",
        }
    }

    /// The beginning of a file, with what it says of its columns taken off.
    fn layout<'a>(&'a self, path: &Path, chunks: &mut Chunks, declared: &[Column]) -> Result<Box<dyn Layout + 'a>> {
        match self {
            Text::Csv(options) => Ok(Box::new(csv::Csv::begin(path, options, chunks, declared)?)),
            Text::JsonLines => Ok(Box::new(json_lines::JsonLines::new(declared))),
        }
    }

    fn read(&self, path: &Path, declared: &[Column], room: &Room) -> Result<(Known, Reading)> {
        let stamp = Stamp::of(path)?;
        let input = Input::open(path, self.encoding())?;
        let mut chunks = Chunks::new(input);
        let mut layout = self.layout(path, &mut chunks, declared)?;
        let mut collector = Collector::new(layout.columns(), room);
        let splitter = layout.splitter();
        let sha256 = std::thread::scope(|scope| {
            let (sender, received) = sync_channel::<Records>(2);
            let reader = scope.spawn(move || {
                while let Some(records) = chunks.next(path, &*splitter)? {
                    // Nobody takes more after a record that cannot be read.
                    if sender.send(records).is_err() {
                        break;
                    }
                }
                chunks.finish(path)
            });
            for records in received {
                collector.add(layout.convert(&records).map_err(|fault| fault.of(path))?)?;
            }
            reader.join().map_err(|panic| crate::caught(&*panic))?
        })?;
        stamp.recheck()?;
        let found = found(&*layout, collector.rows());
        collector.finish(stamp, sha256, found)
    }
}

/// The columns of a file: one that none of its records has is missing.
fn found(layout: &dyn Layout, rows: u64) -> Vec<Found> {
    let own = layout.columns().iter().filter(|column| rows == 0 || !layout.missing(column));
    let own = own.map(|column| Found::new(&column.name, Kind::Of(column.kind), column.kind.name()));
    let others = layout.others();
    own.chain(others.iter().map(|name| Found::new(name, Kind::Unreadable, "not declared"))).collect()
}

/// A text file that was read.
struct TextFile {
    known: Arc<Known>,
    reading: Reading,
}

impl Format for Text<'_> {
    fn describe(&self, path: &Path, declared: &[Column]) -> Result<Vec<Found>> {
        let input = Input::open(path, self.encoding())?;
        let mut chunks = Chunks::new(input);
        let mut layout = self.layout(path, &mut chunks, declared)?;
        // The first rows show whether the file is as declared.
        let splitter = layout.splitter();
        if let Some(records) = chunks.next(path, &*splitter)? {
            layout.convert(&records).map_err(|fault| fault.of(path))?;
        }
        // A key may come later.
        Ok(found(&*layout, 0))
    }

    fn open(&self, path: &Path, declared: &[Column], room: &Room, cache: &Cache) -> Result<Box<dyn OpenFile>> {
        let how = format!("{self:?}{declared:?}");
        let (known, reading) = cache.text(&how, path, || self.read(path, declared, room))?;
        Ok(Box::new(TextFile { known, reading }))
    }
}

impl OpenFile for TextFile {
    fn known(&self) -> &Arc<Known> {
        &self.known
    }

    fn rows(&self, columns: &[Column], _: bool, _: &Cache) -> Result<Reading> {
        if columns.is_empty() {
            // Its folders say everything, and how many rows there are, the file.
            let rows = DataFrame::new(self.known.rows as usize, Vec::new());
            return rows.map(Reading::Decoded).map_err(|e| Error::defect("a frame without columns").cause(e));
        }
        Ok(self.reading.clone())
    }
}

//! Text as a kind of file: what a table of it is, and how it is read.

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::sync_channel;

use polars::prelude::DataFrame;

use super::bytes::Input;
use super::collect::Collector;
use super::layout::Layout;
use super::records::{Chunks, Records};
use crate::error::{Error, Result};
use crate::extract::cache::Cache;
use crate::extract::files::format::{Column, Format, OpenFile};
use crate::extract::files::reading::{Reading, Room};
use crate::extract::files::version::{Known, Stamp};
use crate::extract::schema::{Found, Kind};
use crate::project::job::CsvOptions;

/// A kind of text file.
#[derive(Debug)]
pub enum Text<'a> {
    Csv(&'a CsvOptions),
    JsonLines,
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
            Text::Csv(options) => Ok(Box::new(super::csv::Csv::begin(path, options, chunks, declared)?)),
            Text::JsonLines => Ok(Box::new(super::json_lines::JsonLines::new(declared))),
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

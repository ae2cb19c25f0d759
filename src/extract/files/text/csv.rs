//! CSV: records of cells, with or without a header. Stricter than most readers: a record with another number of cells, a
//! quote that is not closed and text behind a closed quote are errors, since any guess would shift values.

use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::datatypes::SchemaRef;
use memchr::{memchr, memchr2, memchr3};

use super::cells::{Style, array};
use super::fault::Fault;
use super::layout::Layout;
use super::records::{Cell, Chunks, Records, Split};
use crate::error::{Error, Result};
use crate::extract::files::decode;
use crate::extract::files::format::Column;
use crate::project::job::CsvOptions;

/// The columns of a CSV file.
pub struct Csv {
    splitter: Splitter,
    columns: Vec<Column>,
    schema: SchemaRef,
    others: Vec<String>,
    style: Style,
}

impl Csv {
    /// Takes the header off a file.
    pub fn begin(path: &Path, options: &CsvOptions, chunks: &mut Chunks, declared: &[Column]) -> Result<Csv> {
        for line in 0..options.skip {
            chunks.line(path)?.ok_or_else(|| {
                Error::data(format!("{} has {line} lines, and skip = {} leaves none", path.display(), options.skip))
            })?;
        }
        let mut splitter = Splitter::of(options);
        let names: Vec<String> = match options.header {
            false => declared.iter().map(|column| column.name.clone()).collect(),
            true => {
                let first = Splitter { one: true, ..splitter.clone() };
                let header = loop {
                    match chunks.next(path, &first)? {
                        // Comments and blank lines so far.
                        Some(records) if records.len() == 0 => {}
                        found => break found,
                    }
                };
                let header = header.ok_or_else(|| {
                    Error::data(format!("{} has no header", path.display()))
                        .hint("an empty day is a file with a header alone; for files without one write header = false")
                })?;
                let style = Style::of(options);
                header.cells.iter().map(|cell| style.text(&header, *cell).into_owned()).collect()
            }
        };
        let place = |name: &String| declared.iter().position(|column| column.name == *name);
        let (mut columns, mut others): (Vec<Column>, Vec<String>) = (Vec::new(), Vec::new());
        for name in &names {
            let slot = columns.len();
            // A name that stands twice is an error later, if anybody asks for the column.
            let first = columns.iter().all(|column| column.name != *name);
            let wanted = place(name).filter(|_| first).map(|at| declared[at].clone());
            splitter.slots.push(wanted.as_ref().map(|_| slot));
            others.extend(wanted.is_none().then(|| name.clone()));
            columns.extend(wanted);
        }
        splitter.width = Some(names.len());
        splitter.taken = columns.len();
        let schema = Arc::new(decode::schema(&columns));
        Ok(Csv { splitter, columns, schema, others, style: Style::of(options) })
    }
}

impl Layout for Csv {
    fn splitter(&self) -> Box<dyn Split> {
        Box::new(self.splitter.clone())
    }

    fn convert(&mut self, records: &Records) -> std::result::Result<RecordBatch, Fault> {
        let taken = self.columns.len();
        let column = |(slot, column): (usize, &Column)| -> std::result::Result<ArrayRef, Fault> {
            let cells = records.cells.iter().skip(slot).step_by(taken).copied();
            array(column, records, cells, &self.style).map_err(|(row, what)| Fault {
                column: Some(column.name.clone()),
                ..Fault::at(records.lines[row], what)
            })
        };
        let arrays = self.columns.iter().enumerate().map(column).collect::<std::result::Result<Vec<_>, _>>()?;
        let rows = RecordBatchOptions::new().with_row_count(Some(records.len()));
        RecordBatch::try_new_with_options(self.schema.clone(), arrays, &rows).map_err(|e| Fault::at(0, e.to_string()))
    }

    fn columns(&self) -> &[Column] {
        &self.columns
    }

    fn others(&self) -> Vec<String> {
        self.others.clone()
    }
}

/// Finds the cells of a text.
#[derive(Clone, Debug, Default)]
pub struct Splitter {
    delimiter: u8,
    quote: Option<u8>,
    escape: Option<u8>,
    comment: Option<u8>,
    /// Cells of each record, when that is known.
    width: Option<usize>,
    /// Where each cell goes among the wanted ones; past its end, and without a width, every cell is wanted.
    slots: Vec<Option<usize>>,
    /// How many cells of a record are wanted.
    taken: usize,
    /// Only the first record.
    one: bool,
}

impl Splitter {
    fn of(options: &CsvOptions) -> Splitter {
        let CsvOptions { delimiter, quote, escape, comment, .. } = *options;
        Splitter { delimiter, quote, escape, comment, ..Splitter::default() }
    }

    /// The place of the next record, over blank lines and comments. `None` when a comment goes on past the text.
    fn start(&self, bytes: &[u8], mut at: usize, line: &mut u64, ended: bool) -> Option<usize> {
        while let Some(byte) = bytes.get(at) {
            match byte {
                b'\n' => (at, *line) = (at + 1, *line + 1),
                b'\r' => at += 1,
                byte if Some(*byte) == self.comment => match memchr(b'\n', &bytes[at..]) {
                    Some(end) => at += end,
                    None if ended => at = bytes.len(),
                    None => return None,
                },
                _ => break,
            }
        }
        Some(at)
    }

    /// The cells of the record at `at`; where it ends, or `None` when it goes on past the text.
    fn record(
        &self,
        (bytes, mut at): (&[u8], usize),
        ended: bool,
        mut take: impl FnMut(usize, Cell),
    ) -> Result<Option<(usize, usize)>, (usize, &'static str)> {
        let mut cells = 0;
        loop {
            let cell = match bytes.get(at) {
                Some(byte) if Some(*byte) == self.quote => self.quoted(bytes, at, ended)?,
                _ => match memchr3(self.delimiter, b'\n', b'\r', &bytes[at..]) {
                    Some(length) => Some((Cell { from: at, until: at + length, ..Cell::default() }, at + length)),
                    None if ended => Some((Cell { from: at, until: bytes.len(), ..Cell::default() }, bytes.len())),
                    None => None,
                },
            };
            let Some((cell, end)) = cell else { return Ok(None) };
            take(cells, cell);
            cells += 1;
            match bytes.get(end) {
                Some(byte) if *byte == self.delimiter => at = end + 1,
                Some(b'\n' | b'\r') => return Ok(Some((end + 1, cells))),
                Some(_) => return Err((end, "text follows a quote that was closed; a quote within quotes is doubled")),
                None if ended => return Ok(Some((end, cells))),
                None => return Ok(None),
            }
        }
    }

    /// The quoted cell at `at`, and the place behind its closing quote.
    fn quoted(&self, bytes: &[u8], at: usize, ended: bool) -> Result<Option<(Cell, usize)>, (usize, &'static str)> {
        let quote = self.quote.unwrap_or(b'"');
        let (mut next, mut coded) = (at + 1, false);
        loop {
            let found = match self.escape {
                Some(escape) => memchr2(quote, escape, bytes.get(next..).unwrap_or_default()),
                None => memchr(quote, bytes.get(next..).unwrap_or_default()),
            };
            let Some(found) = found.map(|found| next + found) else {
                return if ended { Err((at, "a quote that is opened here is never closed")) } else { Ok(None) };
            };
            if bytes[found] != quote || bytes.get(found + 1) == Some(&quote) {
                (next, coded) = (found + 2, true);
                continue;
            }
            // Whether a quote at the end of the text closes, only what follows can tell.
            if found + 1 == bytes.len() && !ended {
                return Ok(None);
            }
            return Ok(Some((Cell { from: at + 1, until: found, quoted: true, coded }, found + 1)));
        }
    }
}

impl Split for Splitter {
    fn split(&self, records: &mut Records, mut line: u64, ended: bool) -> std::result::Result<usize, Fault> {
        let Records { text, cells, lines } = records;
        let bytes = text.as_bytes();
        let mut at = 0;
        loop {
            let Some(start) = self.start(bytes, at, &mut line, ended) else { return Ok(at) };
            at = start;
            if at == bytes.len() || (self.one && !lines.is_empty()) {
                return Ok(at);
            }
            let before = cells.len();
            cells.resize(before + self.taken, Cell::default());
            let record = self.record((bytes, at), ended, |number, cell| match self.slots.get(number) {
                Some(Some(slot)) => cells[before + slot] = cell,
                Some(None) => {}
                None if self.width.is_none() => cells.push(cell),
                None => {}
            });
            let newlines = |until: usize| memchr::memchr_iter(b'\n', &bytes[at..until]).count() as u64;
            let fault = |until: usize, what: &str| Fault::at(line + newlines(until), what);
            match record.map_err(|(place, what)| fault(place, what))? {
                None => {
                    cells.truncate(before);
                    return Ok(at);
                }
                Some((_, found)) if self.width.is_some_and(|width| width != found) => {
                    let (width, s) = (self.width.unwrap_or(0), if found == 1 { "" } else { "s" });
                    let hint = "is the delimiter right, and is each cell quoted that holds one?";
                    let what = format!("there are {found} cell{s}, and the file has {width} columns");
                    return Err(Fault { hint: Some(hint.into()), ..Fault::at(line, what) });
                }
                Some((end, _)) => {
                    lines.push(line);
                    line += newlines(end);
                    at = end;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn splitter(options: &CsvOptions, width: usize) -> Splitter {
        Splitter { width: Some(width), slots: (0..width).map(Some).collect(), taken: width, ..Splitter::of(options) }
    }

    /// The cells of a text that is handed over in pieces of so many bytes.
    fn cells(text: &str, options: &CsvOptions, width: usize, piece: usize) -> Option<Vec<Vec<String>>> {
        let (splitter, style) = (splitter(options, width), Style::of(options));
        let (mut rows, mut left, mut line) = (Vec::new(), String::new(), 1);
        let mut chars = text.chars().peekable();
        loop {
            left.extend(chars.by_ref().take(piece));
            let ended = chars.peek().is_none();
            let mut records = Records { text: left.clone(), ..Records::default() };
            let whole = splitter.split(&mut records, line, ended).ok()?;
            let cells: Vec<String> = records.cells.iter().map(|c| style.text(&records, *c).into_owned()).collect();
            rows.extend(cells.chunks(width).map(<[String]>::to_vec));
            line += left[..whole].matches('\n').count() as u64;
            left.drain(..whole);
            if ended {
                assert!(left.is_empty(), "{left:?} is left");
                return Some(rows);
            }
        }
    }

    proptest! {
        /// What the csv crate writes is read as it was, whatever the cells and wherever the text is cut.
        #[test]
        fn what_another_library_writes_is_read(
            rows in prop::collection::vec(prop::collection::vec("[a-c,;\"'\\\\\r\n é]{0,6}", 3), 0..8),
            piece in 1usize..40,
            semicolons: bool,
            crlf: bool,
        ) {
            let delimiter = if semicolons { b';' } else { b',' };
            let mut writer = ::csv::WriterBuilder::new().delimiter(delimiter)
                .terminator(if crlf { ::csv::Terminator::CRLF } else { ::csv::Terminator::Any(b'\n') })
                .from_writer(Vec::new());
            for row in &rows {
                writer.write_record(row).unwrap();
            }
            let text = String::from_utf8(writer.into_inner().unwrap()).unwrap();
            let options = CsvOptions { delimiter, ..CsvOptions::default() };
            prop_assert_eq!(cells(&text, &options, 3, piece), Some(rows));
        }

        /// Where a text is cut does not matter, nor whether it is refused.
        #[test]
        fn any_text_is_split_the_same_in_any_pieces(text in "[ab,\"\\\\\r\n#]{0,30}", piece in 1usize..10) {
            let options = CsvOptions { escape: Some(b'\\'), comment: Some(b'#'), ..CsvOptions::default() };
            prop_assert_eq!(cells(&text, &options, 2, 1000), cells(&text, &options, 2, piece));
        }
    }
}

//! Text in chunks of whole records: read, and split into records and cells.

use std::path::Path;

use super::bytes::Input;
use super::fault::Fault;
use crate::error::Result;
use crate::failpoints;

const FIRST_CHUNK: usize = 32 << 10;

/// Bytes that are handed on at a time, about.
fn chunk_bytes() -> usize {
    failpoints::limit("TEXT_CHUNK", 1 << 20)
}

/// A record longer than this is a mistake, as a quote that is never closed.
const LONGEST: usize = 64 << 20;

/// A chunk of text and the cells of its records.
#[derive(Debug, Default)]
pub struct Records {
    pub text: String,
    /// The wanted cells of each record, one record after the other.
    pub cells: Vec<Cell>,
    /// The line in which each record begins, counted from 1.
    pub lines: Vec<u64>,
}

/// A part of a text.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Cell {
    pub from: usize,
    pub until: usize,
    pub quoted: bool,
    /// Its text stands for another: it has doubled quotes or escapes.
    pub coded: bool,
}

impl Records {
    /// How many records there are.
    pub fn len(&self) -> usize {
        self.lines.len()
    }

    pub fn slice(&self, cell: Cell) -> &str {
        &self.text[cell.from..cell.until]
    }
}

/// How text is split into records.
pub trait Split: Send {
    /// Finds the records of a text that begins with one, in line `line`. Of the last record, only what is `ended` is known to
    /// be whole. How many bytes the records take; what is left is seen again.
    fn split(&self, records: &mut Records, line: u64, ended: bool) -> Result<usize, Fault>;
}

/// The chunks of a file.
pub struct Chunks {
    input: Input,
    /// What was read and not handed on.
    left: Vec<u8>,
    line: u64,
    ended: bool,
    /// Bytes of the next chunk: few at first, since most files of a folder of many are small.
    size: usize,
}

impl Chunks {
    pub fn new(input: Input) -> Chunks {
        Chunks { input, left: Vec::new(), line: 1, ended: false, size: chunk_bytes().min(FIRST_CHUNK) }
    }

    /// The next records; none at the end.
    pub fn next(&mut self, path: &Path, split: &dyn Split) -> Result<Option<Records>> {
        let mut size = self.size;
        self.size = (2 * size).min(chunk_bytes());
        loop {
            while !self.ended && self.left.len() < size {
                self.more(path, size)?;
            }
            if self.left.is_empty() {
                return Ok(None);
            }
            let mut records = Records { text: self.text(path)?, ..Records::default() };
            let whole = split.split(&mut records, self.line, self.ended).map_err(|fault| fault.of(path))?;
            if whole > 0 || self.ended {
                self.left.splice(0..0, records.text[whole..].bytes());
                records.text.truncate(whole);
                self.line += newlines(records.text.as_bytes());
                return Ok(Some(records).filter(|_| whole > 0));
            }
            // A record is longer than a chunk.
            size = records.text.len() * 2;
            self.left.splice(0..0, records.text.bytes());
            if size > 2 * LONGEST {
                let what = format!("a record of more than {} MiB begins here", LONGEST >> 20);
                let hint = "is a quote not closed? Where quotes are text like any other, write quote = \"\"";
                return Err(Fault { hint: Some(hint.into()), ..Fault::at(self.line, what) }.of(path));
            }
        }
    }

    /// Takes what was read as text; a character that is not whole yet stays.
    fn text(&mut self, path: &Path) -> Result<String> {
        let bytes = std::mem::take(&mut self.left);
        let error = match String::from_utf8(bytes) {
            Ok(text) => return Ok(text),
            Err(error) => error,
        };
        let (valid, cut) = (error.utf8_error().valid_up_to(), error.utf8_error().error_len().is_none() && !self.ended);
        let mut bytes = error.into_bytes();
        if !cut {
            let line = self.line + newlines(&bytes[..valid]);
            let hint = "say how it is encoded, as in encoding = \"windows-1252\"";
            return Err(
                Fault { hint: Some(hint.into()), ..Fault::at(line, "there are bytes that are not UTF-8") }.of(path)
            );
        }
        self.left = bytes.split_off(valid);
        Ok(String::from_utf8(bytes).unwrap_or_default())
    }

    /// Takes the next line away, whichever way it ends; none at the end of the file.
    pub fn line(&mut self, path: &Path) -> Result<Option<()>> {
        let mut searched = 0;
        let end = loop {
            let found = memchr::memchr2(b'\n', b'\r', &self.left[searched..]).map(|at| searched + at);
            match found {
                Some(at) if self.left[at] == b'\n' => break at + 1,
                Some(at) if self.left.get(at + 1) == Some(&b'\n') => break at + 2,
                // What follows may be the other half of its end.
                Some(at) if at + 1 < self.left.len() || self.ended => break at + 1,
                None if self.ended || self.left.len() > LONGEST => break self.left.len(),
                found => {
                    searched = found.unwrap_or(self.left.len());
                    self.more(path, self.left.len() + 4096)?;
                }
            }
        };
        self.line += newlines(&self.left[..end]);
        self.left.drain(..end);
        Ok((end > 0).then_some(()))
    }

    fn more(&mut self, path: &Path, size: usize) -> Result<()> {
        let had = self.left.len();
        self.left.resize(size.max(had + 4096), 0);
        let read = self.input.read(path, &mut self.left[had..])?;
        self.left.truncate(had + read);
        self.ended = read == 0;
        Ok(())
    }

    /// The SHA-256 of the file.
    pub fn finish(self, path: &Path) -> Result<String> {
        self.input.finish(path)
    }
}

fn newlines(bytes: &[u8]) -> u64 {
    memchr::memchr_iter(b'\n', bytes).count() as u64
}

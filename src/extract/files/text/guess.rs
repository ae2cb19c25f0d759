//! The types that the columns of a text file seem to have, for somebody who declares them for the first time.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use chrono::{DateTime, NaiveDate, NaiveDateTime};

use super::bytes::Input;
use crate::error::{Error, Result};
use crate::project::job::FileFormat;
use crate::rows::ColumnType;

/// Rows that are looked at.
const ROWS: usize = 10_000;

/// The names of the columns and the types that all of the first rows have.
pub fn columns(path: &Path, format: &FileFormat) -> Result<Vec<(String, ColumnType)>> {
    let encoding = match format {
        FileFormat::Csv(options) => options.encoding.as_str(),
        FileFormat::JsonLines | FileFormat::Parquet => "UTF-8",
    };
    let text = Text { input: Input::open(path, encoding)?, path };
    let mut guesses: Vec<(String, Guess)> = Vec::new();
    match format {
        FileFormat::Csv(options) => {
            let mut reader = csv::ReaderBuilder::new().delimiter(options.delimiter).flexible(true).from_reader(text);
            let failed = |e: csv::Error| Error::input(format!("cannot read {}", path.display())).cause(e);
            guesses =
                reader.headers().map_err(failed)?.iter().map(|name| (name.to_owned(), Guess::default())).collect();
            for record in reader.records().take(ROWS) {
                for (cell, (_, guess)) in record.map_err(failed)?.iter().zip(&mut guesses) {
                    guess.see(cell);
                }
            }
        }
        FileFormat::JsonLines | FileFormat::Parquet => {
            for line in BufReader::new(text).lines().take(ROWS) {
                let line = line.map_err(|e| Error::unreadable(path, &e))?;
                let Ok(serde_json::Value::Object(object)) = serde_json::from_str(&line) else { continue };
                for (name, value) in object {
                    if !guesses.iter().any(|(known, _)| *known == name) {
                        guesses.push((name.clone(), Guess::default()));
                    }
                    for (_, guess) in guesses.iter_mut().filter(|(known, _)| *known == name) {
                        guess.see_json(&value);
                    }
                }
            }
        }
    }
    if guesses.is_empty() {
        return Err(Error::input(format!("{} names no columns", path.display())));
    }
    Ok(guesses.into_iter().map(|(name, guess)| (name, guess.kind())).collect())
}

/// The bytes of the file, decompressed and decoded.
struct Text<'a> {
    input: Input,
    path: &'a Path,
}

impl Read for Text<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.input.read(self.path, buffer).map_err(|e| std::io::Error::other(e.to_string()))
    }
}

/// What a column can still be.
struct Guess {
    seen: bool,
    open: Vec<ColumnType>,
}

impl Default for Guess {
    fn default() -> Guess {
        use ColumnType::{Bool, Date, Float, Int, Timestamp};
        Guess { seen: false, open: vec![Int, Float, Bool, Date, Timestamp] }
    }
}

impl Guess {
    fn see(&mut self, cell: &str) {
        if cell.is_empty() {
            return;
        }
        self.seen = true;
        self.open.retain(|kind| match kind {
            // A number that begins with a zero is a name, as a postal code.
            ColumnType::Int => cell.parse::<i64>().is_ok_and(|n| n.to_string() == cell || n == 0 && cell == "-0"),
            ColumnType::Float => cell.parse::<f64>().is_ok_and(|_| !named_number(cell)),
            ColumnType::Bool => cell.eq_ignore_ascii_case("true") || cell.eq_ignore_ascii_case("false"),
            ColumnType::Date => cell.len() == 10 && NaiveDate::parse_from_str(cell, "%Y-%m-%d").is_ok(),
            ColumnType::Timestamp => timestamp(cell),
            ColumnType::Text => true,
        });
    }

    fn see_json(&mut self, value: &serde_json::Value) {
        use serde_json::Value;
        let only = |open: &mut Vec<ColumnType>, kinds: &[ColumnType]| open.retain(|kind| kinds.contains(kind));
        match value {
            Value::Null => return,
            Value::Bool(_) => only(&mut self.open, &[ColumnType::Bool]),
            Value::Number(number) if number.is_i64() => only(&mut self.open, &[ColumnType::Int, ColumnType::Float]),
            Value::Number(_) => only(&mut self.open, &[ColumnType::Float]),
            Value::String(text) => {
                only(&mut self.open, &[ColumnType::Date, ColumnType::Timestamp]);
                self.see(text);
            }
            Value::Array(_) | Value::Object(_) => self.open.clear(),
        }
        self.seen = true;
    }

    fn kind(&self) -> ColumnType {
        self.open.first().copied().filter(|_| self.seen).unwrap_or(ColumnType::Text)
    }
}

fn named_number(cell: &str) -> bool {
    let digits = cell.trim_start_matches('-');
    let zeros = digits.len() > 1 && digits.starts_with('0') && digits.as_bytes()[1].is_ascii_digit();
    zeros || cell.starts_with('+') || digits.chars().all(|c| c.is_ascii_alphabetic())
}

fn timestamp(cell: &str) -> bool {
    let local = ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f"];
    DateTime::parse_from_rfc3339(&cell.replacen(' ', "T", 1)).is_ok()
        || local.iter().any(|format| NaiveDateTime::parse_from_str(cell, format).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(cells: &[&str]) -> ColumnType {
        let mut guess = Guess::default();
        cells.iter().for_each(|cell| guess.see(cell));
        guess.kind()
    }

    #[test]
    fn a_column_is_what_all_of_its_cells_are() {
        use ColumnType::*;
        assert_eq!(kind(&["1", "", "-20"]), Int);
        assert_eq!(kind(&["1", "2.5"]), Float);
        assert_eq!(kind(&["1e-3", "7"]), Float);
        assert_eq!(kind(&["01234", "99999"]), Text);
        assert_eq!(kind(&["nan", "1"]), Text);
        assert_eq!(kind(&["9223372036854775808"]), Float);
        assert_eq!(kind(&["true", "false", ""]), Bool);
        assert_eq!(kind(&["True", "FALSE"]), Bool);
        assert_eq!(kind(&["2024-02-29"]), Date);
        assert_eq!(kind(&["2024-02-29", "2024-02-30"]), Text);
        assert_eq!(kind(&["2024-02-29T06:00:00Z", "2024-02-29 06:00:00+01:00"]), Timestamp);
        assert_eq!(kind(&["2024-02-29 06:00:00.5"]), Timestamp);
        assert_eq!(kind(&["2024-02-29", "2024-02-29T06:00:00Z"]), Text);
        assert_eq!((kind(&[]), kind(&["", ""]), kind(&["x"])), (Text, Text, Text));
    }

    #[test]
    fn json_has_types_of_its_own() {
        let kind = |values: &[serde_json::Value]| {
            let mut guess = Guess::default();
            values.iter().for_each(|value| guess.see_json(value));
            guess.kind()
        };
        assert_eq!(kind(&[1.into(), serde_json::Value::Null]), ColumnType::Int);
        assert_eq!(kind(&[1.into(), 1.5.into()]), ColumnType::Float);
        assert_eq!(kind(&["1".into()]), ColumnType::Text);
        assert_eq!(kind(&["2024-02-29".into()]), ColumnType::Date);
        assert_eq!(kind(&[true.into()]), ColumnType::Bool);
        assert_eq!(kind(&[serde_json::json!([1])]), ColumnType::Text);
    }
}

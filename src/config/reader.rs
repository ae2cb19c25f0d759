//! Reads a TOML file key by key and remembers everything wrong with it: each fault with its line, an unknown key
//! with the key that was probably meant.

use std::cell::RefCell;
use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::meant;
use crate::error::{Error, Fault, Result};
use crate::plain_file;

/// One file and the faults found in it so far.
pub struct Source {
    pub path: PathBuf,
    text: String,
    faults: RefCell<Vec<Fault>>,
}

/// A table of the file. Asking for a key makes it known; [`Table::finish`] complains of the others.
pub struct Table<'a> {
    source: &'a Source,
    values: &'a DeTable<'a>,
    name: String,
    line: usize,
    known: RefCell<Vec<String>>,
}

/// A value and the line it stands on.
#[derive(Clone, Debug)]
pub struct At<T> {
    pub value: T,
    pub line: usize,
}

impl Source {
    /// A byte order mark and CRLF line ends are fine.
    pub fn open(path: &Path) -> Result<Source> {
        let bytes = plain_file::read(path, plain_file::SETTINGS)?;
        let text = String::from_utf8(bytes).map_err(|e| {
            let line = e.as_bytes()[..e.utf8_error().valid_up_to()].iter().filter(|b| **b == b'\n').count() + 1;
            Error::config(format!("{}:{line}: not UTF-8 text", path.display()))
        })?;
        let text = text.strip_prefix('\u{feff}').unwrap_or(&text).to_owned();
        Ok(Source { path: path.to_owned(), text, faults: RefCell::default() })
    }

    pub fn text(&self) -> &str {
        &self.text
    }

    /// Parses the file, collecting syntax errors; what could be parsed is handed to `read`.
    pub fn read<T>(&self, read: impl FnOnce(&Table<'_>) -> T) -> T {
        let (root, errors) = DeTable::parse_recoverable(&self.text);
        for error in errors {
            let line = error.span().map_or(0, |span| self.line_of(span.start));
            self.fault(line, error.message().to_owned(), None);
        }
        let table = Table::new(self, root.get_ref(), String::new(), 0);
        let value = read(&table);
        table.finish();
        value
    }

    pub fn fault(&self, line: usize, message: impl Into<String>, hint: Option<String>) {
        self.faults.borrow_mut().push(Fault { file: self.path.clone(), line, message: message.into(), hint });
    }

    pub fn has_faults(&self) -> bool {
        !self.faults.borrow().is_empty()
    }

    pub fn into_faults(self) -> Vec<Fault> {
        self.faults.into_inner()
    }

    fn line_of(&self, offset: usize) -> usize {
        self.text.as_bytes()[..offset.min(self.text.len())].iter().filter(|b| **b == b'\n').count() + 1
    }
}

impl<'a> Table<'a> {
    fn new(source: &'a Source, values: &'a DeTable<'a>, name: String, line: usize) -> Table<'a> {
        Table { source, values, name, line, known: RefCell::default() }
    }

    pub fn line(&self) -> usize {
        self.line
    }

    pub fn fault(&self, line: usize, message: impl Into<String>) {
        self.source.fault(line, message, None);
    }

    pub fn fault_hint(&self, line: usize, message: impl Into<String>, hint: impl Into<String>) {
        self.source.fault(line, message, Some(hint.into()));
    }

    /// The dotted name of a key, as the user would write it.
    fn full(&self, key: &str) -> String {
        if self.name.is_empty() { key.to_owned() } else { format!("{}.{key}", self.name) }
    }

    fn get(&self, key: &str) -> Option<(&'a DeValue<'a>, usize)> {
        self.known.borrow_mut().push(key.to_owned());
        self.values.get(key).map(|value| (value.get_ref(), self.source.line_of(value.span().start)))
    }

    fn typed<T>(&self, key: &str, what: &str, read: impl Fn(&'a DeValue<'a>) -> Option<T>) -> Option<At<T>> {
        let (value, line) = self.get(key)?;
        match read(value) {
            Some(value) => Some(At { value, line }),
            None => {
                self.fault(line, format!("{} must be {what}, not {}", self.full(key), kind(value)));
                None
            }
        }
    }

    pub fn has(&self, key: &str) -> bool {
        self.values.contains_key(key)
    }

    pub fn is_table(&self, key: &str) -> bool {
        matches!(self.values.get(key).map(|value| value.get_ref()), Some(DeValue::Table(_)))
    }

    pub fn is_string(&self, key: &str) -> bool {
        matches!(self.values.get(key).map(|value| value.get_ref()), Some(DeValue::String(_)))
    }

    pub fn string(&self, key: &str) -> Option<At<String>> {
        self.typed(key, "a string", string)
    }

    pub fn required_string(&self, key: &str) -> Option<At<String>> {
        if !self.has(key) {
            self.fault(self.line, format!("{} is missing", self.full(key)));
        }
        self.string(key)
    }

    pub fn boolean(&self, key: &str) -> Option<At<bool>> {
        self.typed(key, "true or false", |v| if let DeValue::Boolean(b) = v { Some(*b) } else { None })
    }

    pub fn integer(&self, key: &str) -> Option<At<i64>> {
        self.typed(key, "a whole number", |v| match v {
            DeValue::Integer(i) => i64::from_str_radix(i.as_str(), i.radix()).ok(),
            _ => None,
        })
    }

    /// A whole number of at least one.
    pub fn count(&self, key: &str) -> Option<At<usize>> {
        let found = self.integer(key)?;
        match usize::try_from(found.value) {
            Ok(value) if value > 0 => Some(At { value, line: found.line }),
            _ => {
                self.fault(found.line, format!("{} must be at least 1", self.full(key)));
                None
            }
        }
    }

    pub fn float(&self, key: &str) -> Option<At<f64>> {
        self.typed(key, "a number", float)
    }

    pub fn strings(&self, key: &str) -> Option<At<Vec<String>>> {
        self.typed(key, "a list of strings", |v| v.as_array()?.iter().map(|v| string(v.get_ref())).collect())
    }

    /// `[low, high]`, with low <= high.
    pub fn range(&self, key: &str) -> Option<At<(f64, f64)>> {
        let found = self.typed(key, "a pair of numbers", |v| {
            let pair = v.as_array()?.iter().map(|v| float(v.get_ref())).collect::<Option<Vec<f64>>>()?;
            <[f64; 2]>::try_from(pair).ok()
        })?;
        let [low, high] = found.value;
        if low.is_nan() || high.is_nan() || low > high {
            self.fault(found.line, format!("{}: {low} is not at most {high}", self.full(key)));
            return None;
        }
        Some(At { value: (low, high), line: found.line })
    }

    /// One of a few words.
    pub fn word<T: Copy>(&self, key: &str, words: &[(&str, T)]) -> Option<At<T>> {
        let found = self.string(key)?;
        let Some((_, value)) = words.iter().find(|(word, _)| *word == found.value) else {
            let all = words.iter().map(|(word, _)| format!("{word:?}")).collect::<Vec<_>>().join(", ");
            self.fault(found.line, format!("{} = {:?} is not one of {all}", self.full(key), found.value));
            return None;
        };
        Some(At { value: *value, line: found.line })
    }

    pub fn table(&self, key: &str) -> Option<Table<'a>> {
        let (value, line) = self.get(key)?;
        match value {
            DeValue::Table(table) => Some(Table::new(self.source, table, self.full(key), line)),
            other => {
                self.fault(line, format!("{} must be a table, not {}", self.full(key), kind(other)));
                None
            }
        }
    }

    /// `[[key]]`
    pub fn tables(&self, key: &str) -> Vec<Table<'a>> {
        let Some((value, line)) = self.get(key) else { return Vec::new() };
        let Some(array) = value.as_array() else {
            self.fault(line, format!("{} must be written as [[{}]]", self.full(key), self.full(key)));
            return Vec::new();
        };
        let table = |item: &'a Spanned<DeValue<'a>>| match item.get_ref() {
            DeValue::Table(table) => {
                Some(Table::new(self.source, table, self.full(key), self.source.line_of(item.span().start)))
            }
            _ => {
                self.fault(line, format!("{} must be written as [[{}]]", self.full(key), self.full(key)));
                None
            }
        };
        array.iter().filter_map(table).collect()
    }

    /// Every key of a table whose keys the user chooses, in the order of the file.
    pub fn keys(&self) -> Vec<String> {
        let mut keys: Vec<_> =
            self.values.iter().map(|(key, _)| (key.span().start, key.get_ref().to_string())).collect();
        keys.sort();
        keys.into_iter().map(|(_, key)| key).collect()
    }

    /// Complains of every key that nobody asked for.
    pub fn finish(&self) {
        let known = self.known.borrow();
        for (key, value) in self.values.iter() {
            let key = key.get_ref().as_ref();
            if known.iter().any(|k| k == key) {
                continue;
            }
            let line = self.source.line_of(value.span().start);
            self.source.fault(
                line,
                format!("unknown key {}", self.full(key)),
                meant(key, known.iter().map(String::as_str)),
            );
        }
    }
}

fn string(value: &DeValue<'_>) -> Option<String> {
    value.as_str().map(str::to_owned)
}

fn float(value: &DeValue<'_>) -> Option<f64> {
    match value {
        DeValue::Float(f) => f.as_str().parse().ok(),
        DeValue::Integer(i) => i64::from_str_radix(i.as_str(), i.radix()).ok().map(|i| i as f64),
        _ => None,
    }
}

fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a number",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

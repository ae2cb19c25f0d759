//! Reads a TOML file key by key and remembers everything wrong with it, each fault with its line.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::check;
use super::source::Source;
use super::values::{float, full, integer, pair};
use crate::keys::{File, Shape, Takes};

/// A table of the file, whose keys are known to be what was declared of them: a value of another type is not seen, and was
/// complained of.
pub struct Table<'a> {
    source: &'a Source,
    values: &'a DeTable<'a>,
    name: String,
    line: usize,
    keys: Keys,
}

/// What is declared of a table's keys.
#[derive(Clone, Copy)]
enum Keys {
    Of(&'static Shape),
    /// The user chooses them.
    Named(&'static Takes),
}

/// A value and the line it stands on.
#[derive(Clone, Debug)]
pub struct At<T> {
    pub value: T,
    pub line: usize,
}

impl Source {
    /// Parses the file and checks its keys, collecting faults; what could be parsed is handed to `read`.
    pub fn read<T>(&self, file: &'static File, read: impl FnOnce(&Table<'_>) -> T) -> T {
        let (root, errors) = DeTable::parse_recoverable(&self.text);
        for error in errors {
            let line = error.span().map_or(0, |span| self.line_of(span.start));
            self.fault(line, error.message().to_owned(), None);
        }
        check::table(self, root.get_ref(), &file.root, "", 0);
        read(&Table { source: self, values: root.get_ref(), name: String::new(), line: 0, keys: Keys::Of(&file.root) })
    }
}

impl<'a> Table<'a> {
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
        full(&self.name, key)
    }

    /// What is declared of a key. A key that is not is a mistake of ours, and every read shows it.
    fn takes(&self, key: &str) -> Takes {
        match self.keys {
            Keys::Of(shape) => {
                let found = shape.key(key);
                debug_assert!(found.is_some(), "the key {} is not declared", self.full(key));
                found.map_or(Takes::Anything, |key| key.takes)
            }
            Keys::Named(each) => *each,
        }
    }

    fn get<T>(&self, key: &str, read: impl Fn(&'a DeValue<'a>) -> Option<T>) -> Option<At<T>> {
        let value = self.values.get(key)?;
        if !check::takes(&self.takes(key), value.get_ref()) {
            return None;
        }
        read(value.get_ref()).map(|found| At { value: found, line: self.source.line_of(value.span().start) })
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
        self.get(key, string)
    }

    pub fn boolean(&self, key: &str) -> Option<At<bool>> {
        self.get(key, |v| if let DeValue::Boolean(b) = v { Some(*b) } else { None })
    }

    pub fn integer(&self, key: &str) -> Option<At<i64>> {
        self.get(key, integer)
    }

    /// A whole number that is not negative.
    pub fn count(&self, key: &str) -> Option<At<usize>> {
        let found = self.integer(key)?;
        usize::try_from(found.value).ok().map(|value| At { value, line: found.line })
    }

    pub fn float(&self, key: &str) -> Option<At<f64>> {
        self.get(key, float)
    }

    pub fn strings(&self, key: &str) -> Option<At<Vec<String>>> {
        self.get(key, |v| v.as_array()?.iter().map(|v| string(v.get_ref())).collect())
    }

    /// `[low, high]`, with low <= high.
    pub fn range(&self, key: &str) -> Option<At<(f64, f64)>> {
        self.get(key, pair)
    }

    /// One of a few words: those that are declared.
    pub fn word<T: Copy>(&self, key: &str, words: &[(&str, T)]) -> Option<At<T>> {
        debug_assert!(same_words(&self.takes(key), words), "the words of {} are others than declared", self.full(key));
        let found = self.string(key)?;
        let (_, value) = words.iter().find(|(word, _)| *word == found.value)?;
        Some(At { value: *value, line: found.line })
    }

    pub fn table(&self, key: &str) -> Option<Table<'a>> {
        let at = self.get(key, |value| if let DeValue::Table(table) = value { Some(table) } else { None })?;
        Some(self.below(key, at.value, at.line))
    }

    /// `[[key]]`
    pub fn tables(&self, key: &str) -> Vec<Table<'a>> {
        let Some(items) = self.get(key, |value| value.as_array()) else { return Vec::new() };
        let table = |item: &'a Spanned<DeValue<'a>>| match item.get_ref() {
            DeValue::Table(table) => Some(self.below(key, table, self.source.line_of(item.span().start))),
            _ => None,
        };
        items.value.iter().filter_map(table).collect()
    }

    fn below(&self, key: &str, values: &'a DeTable<'a>, line: usize) -> Table<'a> {
        let keys = keys_of(&self.takes(key)).unwrap_or(Keys::Named(&Takes::Anything));
        Table { source: self.source, values, name: self.full(key), line, keys }
    }

    /// Every key of a table whose keys the user chooses, in the order of the file.
    pub fn keys(&self) -> Vec<String> {
        let mut keys: Vec<_> =
            self.values.iter().map(|(key, _)| (key.span().start, key.get_ref().to_string())).collect();
        keys.sort();
        keys.into_iter().map(|(_, key)| key).collect()
    }
}

/// The keys of a value that may be a table.
fn keys_of(takes: &Takes) -> Option<Keys> {
    match takes {
        Takes::Table(shape) | Takes::Tables(shape) => Some(Keys::Of(shape)),
        Takes::Named(_, each) => Some(Keys::Named(each)),
        Takes::Either(all) => all.iter().find_map(keys_of),
        _ => None,
    }
}

fn same_words<T>(takes: &Takes, words: &[(&str, T)]) -> bool {
    match takes {
        Takes::Word(declared) => declared.iter().map(|(word, _)| *word).eq(words.iter().map(|(word, _)| *word)),
        Takes::Either(all) => all.iter().any(|takes| same_words(takes, words)),
        _ => false,
    }
}

fn string(value: &DeValue<'_>) -> Option<String> {
    value.as_str().map(str::to_owned)
}

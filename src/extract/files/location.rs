//! Which files an interval needs: the dates and hours of a template, patterns, and what the folders of a path say.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

use chrono::{Datelike, NaiveDate};

use crate::error::{Class, Error, Result};
use crate::interval::Interval;
use crate::plain_file::regular;
use crate::project::job::{FileSource, MissingLookback, TableSpec};
use crate::rows::ColumnType;

/// What Hive and Spark name the folder of rows whose value is NULL.
const HIVE_NULL: &str = "__HIVE_DEFAULT_PARTITION__";

/// The files of a table, and the dates of its lookback that have none.
pub struct Listing {
    pub files: Vec<PathBuf>,
    pub missing: Vec<String>,
    /// Files that the pattern names and that were taken for unfinished by their names.
    pub left_out: Vec<PathBuf>,
}

/// The files of the interval and of its lookback. A missing file of the interval itself is never an empty day.
pub fn list(root: &Path, spec: &TableSpec, source: &FileSource, interval: &Interval) -> Result<Listing> {
    let template = &source.template;
    let span = interval.extended_back(spec.lookback_days)?;
    let own = slots(template, interval);
    let mut patterns: BTreeMap<String, (NaiveDate, Option<u32>, bool)> = BTreeMap::new();
    for (date, hour) in slots(template, &span) {
        let required = own.contains(&(date, hour)) || spec.missing_lookback == MissingLookback::Error;
        let entry = patterns.entry(fill(template, date, hour)).or_insert((date, hour, required));
        entry.2 |= required;
    }
    let mut listing = Listing { files: Vec::new(), missing: Vec::new(), left_out: Vec::new() };
    for (pattern, (date, hour, required)) in patterns {
        // The mark is looked for before the files: what is listed after it is whole.
        let complete =
            source.complete.as_ref().map_or(Ok(()), |mark| complete_all(root, spec, (template, mark), (date, hour)));
        let files = matching(root, &pattern, &mut listing.left_out)?;
        if files.is_empty() && required {
            return Err(Error::input(format!("table {}: no file matches {pattern}", spec.name))
                .hint("a missing file is never an empty day: wait for it, or write a file without rows"));
        }
        if files.is_empty() {
            listing.missing.push(pattern);
        } else {
            complete?;
        }
        listing.files.extend(files);
    }
    listing.files.sort();
    // One file by two names, as where a link leads back into the folder, has its rows once.
    let mut seen = HashSet::new();
    listing.files.retain(|path| std::fs::metadata(path).map_or(true, |of| seen.insert((of.dev(), of.ino()))));
    Ok(listing)
}

fn slots(template: &str, span: &Interval) -> Vec<(NaiveDate, Option<u32>)> {
    match template.contains("{hour}") {
        true => span.local_hours().into_iter().map(|(date, hour)| (date, Some(hour))).collect(),
        false => span.dates().into_iter().map(|date| (date, None)).collect(),
    }
}

fn fill(template: &str, date: NaiveDate, hour: Option<u32>) -> String {
    template
        .replace("{date}", &date.to_string())
        .replace("{year}", &format!("{:04}", date.year()))
        .replace("{month}", &format!("{:02}", date.month()))
        .replace("{day}", &format!("{:02}", date.day()))
        .replace("{hour}", &format!("{:02}", hour.unwrap_or(0)))
}

/// Makes sure that the writer has left the mark of a whole output. A mark without a folder stands in the folder of the
/// slot: the last part of the template that changes with the interval, or the folder of the file.
fn complete_all(
    root: &Path,
    spec: &TableSpec,
    (template, mark): (&str, &str),
    (date, hour): (NaiveDate, Option<u32>),
) -> Result<()> {
    let pattern = match mark.contains('/') {
        true => fill(mark, date, hour),
        false => {
            let parts: Vec<&str> = template.split('/').collect();
            let folders = &parts[..parts.len() - 1];
            let last = folders.iter().rposition(|part| part.contains('{'));
            let fixed = folders.iter().position(|part| wild(part)).unwrap_or(folders.len());
            let folder = folders[..last.map_or(fixed, |last| last + 1)].join("/");
            fill(&format!("{folder}{}{mark}", if folder.is_empty() { "" } else { "/" }), date, hour)
        }
    };
    let missing = |what: &str| {
        Error::input(format!("table {}: {what} is not there: its files are not complete", spec.name))
            .hint("wait for the writer, which leaves it when it has finished")
    };
    // Each folder that the pattern names must have its own.
    let (folder, name) = pattern.rsplit_once('/').unwrap_or(("", &pattern));
    let folders = if wild(folder) { glob_all(root, folder)? } else { vec![root.join(folder)] };
    match folders.iter().map(|folder| folder.join(name)).find(|mark| !mark.exists()) {
        Some(mark) => Err(missing(&mark.display().to_string())),
        None if folders.is_empty() => Err(missing(&pattern)),
        None => Ok(()),
    }
}

fn wild(pattern: &str) -> bool {
    pattern.contains(['*', '?', '['])
}

fn glob_all(root: &Path, pattern: &str) -> Result<Vec<PathBuf>> {
    let full = Path::new(&glob::Pattern::escape(&root.to_string_lossy())).join(pattern);
    let paths = glob::glob(&full.to_string_lossy())
        .map_err(|e| Error::config(format!("the pattern {pattern} is wrong")).cause(e))?;
    paths.map(|path| path.map_err(|e| Error::new(Class::Io, format!("cannot list {pattern}")).cause(e))).collect()
}

/// The files that a pattern names. What it names and cannot be read as a file is an error, not a gap.
fn matching(root: &Path, pattern: &str, left_out: &mut Vec<PathBuf>) -> Result<Vec<PathBuf>> {
    if !wild(pattern) {
        let path = root.join(pattern);
        return match path.symlink_metadata() {
            Ok(_) => regular(&path).map(|_| vec![path]),
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(Vec::new()),
            Err(error) => Err(Error::unreadable(&path, &error)),
        };
    }
    let deep = pattern.contains("**");
    let mut files = Vec::new();
    for path in glob_all(root, pattern)? {
        // A pattern that walks through folders names them too.
        if hidden(root, &path, pattern) {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if name.starts_with('_') && name.contains('.') && path.is_file() {
                left_out.push(path);
            }
            continue;
        }
        if deep && path.is_dir() {
            continue;
        }
        regular(&path)?;
        files.push(path);
    }
    let folders: BTreeSet<&Path> = files.iter().filter_map(|path| path.parent()).collect();
    folders.into_iter().try_for_each(readable_names)?;
    Ok(files)
}

/// A pattern matches no name that is not UTF-8, so such a file would be left out in silence.
fn readable_names(folder: &Path) -> Result<()> {
    let entries = std::fs::read_dir(folder).map_err(|e| Error::unreadable(folder, &e))?;
    match entries.flatten().map(|entry| entry.path()).find(|path| path.to_str().is_none()) {
        Some(path) => Err(Error::input(format!("{} has a name that is not UTF-8", path.display()))
            .hint("rename it: no pattern matches such a name")),
        None => Ok(()),
    }
}

/// Names that begin with `_` or `.` are of files that are still being written, or not data at all; but `_key=value` is a
/// folder of data. A pattern that begins so itself means them.
fn hidden(root: &Path, path: &Path, pattern: &str) -> bool {
    let meant = |name: &str| {
        let of = |part: &str| part.chars().next() == name.chars().next();
        let matches = |part: &str| glob::Pattern::new(part).is_ok_and(|p| p.matches(name));
        pattern.split('/').any(|part| of(part) && matches(part))
    };
    let below = path.strip_prefix(root).unwrap_or(path);
    below.components().any(|part| match part {
        Component::Normal(name) => {
            let name = name.to_string_lossy();
            (name.starts_with('.') || (name.starts_with('_') && !name.contains('='))) && !meant(&name)
        }
        _ => false,
    })
}

/// The last file, by name, that some date would match.
pub fn newest(root: &Path, template: &str) -> Result<Option<PathBuf>> {
    let placeholders = ["{date}", "{year}", "{month}", "{day}", "{hour}"];
    let pattern = placeholders.iter().fold(template.to_owned(), |pattern, name| pattern.replace(name, "*"));
    Ok(matching(root, &pattern, &mut Vec::new())?.pop())
}

/// The last date that has a file by its name, when the template says the whole date.
pub fn newest_date(root: &Path, template: &str) -> Result<Option<NaiveDate>> {
    let Some(path) = newest(root, template)? else { return Ok(None) };
    let parts = [
        ("date", r"\d{4}-\d{2}-\d{2}"),
        ("year", r"\d{4}"),
        ("month", r"\d{2}"),
        ("day", r"\d{2}"),
        ("hour", r"\d{2}"),
    ];
    let mut pattern = regex::escape(template).replace(r"\*\*", ".*").replace(r"\*", "[^/]*").replace(r"\?", "[^/]");
    for (name, digits) in parts {
        let placeholder = regex::escape(&format!("{{{name}}}"));
        pattern = pattern.replacen(&placeholder, &format!("(?<{name}>{digits})"), 1).replace(&placeholder, digits);
    }
    let Ok(pattern) = regex::Regex::new(&format!("{pattern}$")) else { return Ok(None) };
    let text = path.display().to_string();
    let Some(found) = pattern.captures(&text) else { return Ok(None) };
    let part = |name: &str| found.name(name).map(|part| part.as_str());
    let date = match (part("date"), part("year"), part("month"), part("day")) {
        (Some(date), ..) => date.to_owned(),
        (None, Some(year), Some(month), Some(day)) => format!("{year}-{month}-{day}"),
        _ => return Ok(None),
    };
    Ok(date.parse().ok())
}

/// A column that stands in the name of a folder: `key=value`.
#[derive(Clone, Debug, PartialEq)]
pub struct Partition {
    pub key: String,
    /// NULL, as Hive writes it, is none.
    pub value: Option<String>,
    /// The declared type, or the type that the value looks like.
    pub kind: ColumnType,
}

/// The folders of each path that stand for columns. What is not declared has one type in all of them.
pub fn partitions(root: &Path, paths: &[PathBuf], spec: &TableSpec) -> Vec<Vec<Partition>> {
    let mut all: Vec<Vec<Partition>> = paths.iter().map(|path| folders(root, path, spec)).collect();
    let mut kinds: BTreeMap<String, ColumnType> = BTreeMap::new();
    for partition in all.iter().flatten().filter(|partition| partition.value.is_some()) {
        let kind = kinds.entry(partition.key.clone()).or_insert(partition.kind);
        if *kind != partition.kind {
            *kind = ColumnType::Text;
        }
    }
    for partition in all.iter_mut().flatten() {
        partition.kind = kinds.get(&partition.key).copied().unwrap_or(partition.kind);
    }
    all
}

fn folders(root: &Path, path: &Path, spec: &TableSpec) -> Vec<Partition> {
    // Folders above the project are not the data's.
    let own = path.strip_prefix(root).ok().and_then(Path::parent);
    let folder = own.map(|p| p.to_string_lossy().into_owned()).unwrap_or_default();
    let column = |(key, value): (&str, &str)| {
        let (key, value) = (decoded(key), decoded(value));
        let declared = spec.columns.iter().find(|(name, _)| *name == key).map(|(_, kind)| *kind);
        let kind = declared.unwrap_or_else(|| match &value {
            v if v.parse::<NaiveDate>().is_ok_and(|date| date.to_string() == *v) => ColumnType::Date,
            // 007 is a name, not a number.
            v if v.parse::<i64>().is_ok_and(|int| int.to_string() == *v) => ColumnType::Int,
            _ => ColumnType::Text,
        });
        Partition { key, value: Some(value).filter(|v| v != HIVE_NULL), kind }
    };
    folder.split('/').filter_map(|part| part.split_once('=')).map(column).collect()
}

/// Hive writes what a path cannot hold as `%` and two hexadecimal digits.
fn decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let (mut out, mut at) = (Vec::with_capacity(bytes.len()), 0);
    while at < bytes.len() {
        let hex = bytes.get(at + 1..at + 3).filter(|_| bytes[at] == b'%');
        let byte = hex.and_then(|hex| u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok());
        out.push(byte.unwrap_or(bytes[at]));
        at += if byte.is_some() { 3 } else { 1 };
    }
    String::from_utf8(out).unwrap_or_else(|_| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encoded_names_are_decoded() {
        for (text, plain) in
            [("a%20b%2Fc%3Dd", "a b/c=d"), ("100%", "100%"), ("%zz%4", "%zz%4"), ("%C3%A9", "é"), ("%FF", "%FF")]
        {
            assert_eq!(decoded(text), plain);
        }
    }

    #[test]
    fn names_that_begin_with_a_dot_or_an_underscore_are_left_out_unless_meant() {
        let hidden = |path: &str, pattern: &str| hidden(Path::new("/.r/_p"), &Path::new("/.r/_p").join(path), pattern);
        assert!(hidden("d/_temporary/0/x.parquet", "d/**/*.parquet"));
        assert!(hidden("d/.part.parquet", "d/*.parquet"));
        assert!(hidden("d/_tmp.parquet", "d/*"));
        assert!(!hidden("d/_key=1/x.parquet", "d/**/*.parquet"));
        assert!(!hidden("_lake/x.parquet", "_lake/*.parquet"));
        assert!(!hidden("d/_tmp.parquet", "d/_*.parquet"));
        assert!(hidden("_lake/_temporary/x.parquet", "_lake/**/*.parquet"));
        assert!(!hidden("d/x.parquet", "d/*.parquet"));
    }
}

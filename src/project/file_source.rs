//! Tables of files in the job file: `parquet`, `csv` or `jsonl` with a path, and how a CSV file is written.

use serde::Serialize;

use crate::config::{At, Table, meant};

#[derive(Clone, Debug)]
pub struct FileSource {
    pub format: FileFormat,
    /// Path below the project's root; `{date}`, `{year}`, `{month}`, `{day}`, `{hour}` and globs.
    pub template: String,
    /// Rows outside the table's span are left unread by this column.
    pub time_column: Option<String>,
    /// The file that a writer leaves when it has finished.
    pub complete: Option<String>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum FileFormat {
    Parquet,
    Csv(CsvOptions),
    JsonLines,
}

/// How a CSV file is written.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CsvOptions {
    pub delimiter: u8,
    /// What stands around a cell that holds a delimiter or a line's end.
    pub quote: Option<u8>,
    /// What stands before a quote inside of a quoted cell; without it, a quote is doubled.
    pub escape: Option<u8>,
    /// Whether the first line names the columns. Without it the declared columns are the file's, in order.
    pub header: bool,
    /// Lines before the header.
    pub skip: usize,
    /// Lines that begin with it are left out.
    pub comment: Option<u8>,
    pub decimal: u8,
    /// As the Encoding Standard names it.
    pub encoding: String,
    /// Cells that are NULL.
    pub nulls: Vec<String>,
    /// Whether a quoted cell of text can be NULL too.
    pub quoted_nulls: bool,
}

impl Default for CsvOptions {
    fn default() -> CsvOptions {
        CsvOptions {
            delimiter: b',',
            quote: Some(b'"'),
            escape: None,
            header: true,
            skip: 0,
            comment: None,
            decimal: b'.',
            encoding: "UTF-8".into(),
            nulls: vec![String::new()],
            quoted_nulls: false,
        }
    }
}

impl FileFormat {
    /// Every kind of file, as it is read when nothing more is said, in the order in which messages list them.
    pub fn all() -> [FileFormat; 3] {
        [FileFormat::Parquet, FileFormat::Csv(CsvOptions::default()), FileFormat::JsonLines]
    }

    /// The key that names files of this kind, and how their names end.
    pub fn key(&self) -> &'static str {
        match self {
            FileFormat::Parquet => "parquet",
            FileFormat::Csv(_) => "csv",
            FileFormat::JsonLines => "jsonl",
        }
    }

    /// Text says no types, so the columns of such a table must be declared.
    pub fn is_text(&self) -> bool {
        match self {
            FileFormat::Parquet => false,
            FileFormat::Csv(_) | FileFormat::JsonLines => true,
        }
    }

    /// The options that the job file gives.
    fn with_options(self, table: &Table<'_>) -> FileFormat {
        match self {
            FileFormat::Csv(_) => FileFormat::Csv(csv(table)),
            FileFormat::Parquet | FileFormat::JsonLines => self,
        }
    }
}

/// The files of a table: `at` is their path.
pub fn read(name: &str, format: FileFormat, at: At<String>, table: &Table<'_>) -> Option<FileSource> {
    let key = format.key();
    let (time_column, complete) = (table.string("time_column"), table.string("complete"));
    for at in [Some(&at), complete.as_ref()].into_iter().flatten() {
        if at.value.split('/').any(|part| part == "..") || at.value.contains('\0') {
            table.fault(at.line, format!("extract.{name}.{key} leaves the project with \"..\""));
        }
        placeholders(table, at);
    }
    if let Some(mark) = complete.as_ref().filter(|mark| !dated(&mark.value, &at.value)) {
        table.fault_hint(
            mark.line,
            format!("extract.{name}.complete {:?} is the same file for every interval", mark.value),
            "write it as a path with {date}, or give each interval's files a folder of their own",
        );
    }
    let format = format.with_options(table);
    let (time_column, complete) = (time_column.map(|at| at.value), complete.map(|at| at.value));
    Some(FileSource { format, template: at.value, time_column, complete })
}

fn csv(table: &Table<'_>) -> CsvOptions {
    let usual = CsvOptions::default();
    let byte = |key: &str, usual: Option<u8>| match table.string(key) {
        None => usual,
        Some(at) => match at.value.as_bytes() {
            [] if key != "delimiter" && key != "decimal" => None,
            [byte] if byte.is_ascii() && !matches!(byte, b'\n' | b'\r' | 0) => Some(*byte),
            _ => {
                table.fault_hint(
                    at.line,
                    format!("{key} = {:?} is not one ASCII character", at.value),
                    "as in delimiter = \";\" or delimiter = \"\\t\"",
                );
                usual
            }
        },
    };
    let options = CsvOptions {
        delimiter: byte("delimiter", Some(usual.delimiter)).unwrap_or(usual.delimiter),
        quote: byte("quote", usual.quote),
        escape: byte("escape", None),
        header: table.boolean("header").is_none_or(|at| at.value),
        skip: table.count("skip").map_or(0, |at| at.value),
        comment: byte("comment", None),
        decimal: byte("decimal", Some(usual.decimal)).unwrap_or(usual.decimal),
        encoding: encoding(table).unwrap_or(usual.encoding),
        nulls: table.strings("nulls").map_or(usual.nulls, |at| at.value),
        quoted_nulls: table.boolean("quoted_nulls").is_some_and(|at| at.value),
    };
    let (delimiter, decimal) = (options.delimiter, options.decimal);
    let mut marks = vec![delimiter];
    for (key, mark) in [("quote", options.quote), ("escape", options.escape), ("comment", options.comment)] {
        match mark {
            Some(mark) if marks.contains(&mark) => {
                table.fault(table.line(), format!("{key} is the same character as another mark of the CSV file"));
            }
            Some(mark) => marks.push(mark),
            None => {}
        }
    }
    if !matches!(decimal, b'.' | b',') {
        table.fault(table.line(), "decimal is \".\" or \",\"");
    }
    if decimal == delimiter && table.has("decimal") {
        table.fault_hint(
            table.line(),
            "the decimal mark is the same character as the delimiter",
            "files with decimal commas mostly have delimiter = \";\"",
        );
    }
    options
}

fn encoding(table: &Table<'_>) -> Option<String> {
    let at = table.string("encoding")?;
    let found = encoding_rs::Encoding::for_label(at.value.as_bytes());
    if found.is_none() {
        let known = ["utf-8", "utf-16le", "utf-16be", "windows-1252", "iso-8859-1", "iso-8859-15", "shift_jis", "gbk"];
        table.fault_hint(
            at.line,
            format!("encoding {:?} is not known", at.value),
            meant(&at.value, known.into_iter()).unwrap_or_else(|| "as in \"utf-8\" or \"windows-1252\"".into()),
        );
    }
    found.map(|encoding| encoding.name().to_owned())
}

/// Whether the mark of a whole output is another for every interval whose files are others.
fn dated(mark: &str, template: &str) -> bool {
    let folders = template.rsplit_once('/').map_or("", |(folders, _)| folders);
    !template.contains('{') || mark.contains('{') || (!mark.contains('/') && folders.contains('{'))
}

fn placeholders(table: &Table<'_>, at: &At<String>) {
    const KNOWN: [&str; 5] = ["date", "year", "month", "day", "hour"];
    for (i, _) in at.value.match_indices('{') {
        let name = at.value[i + 1..].split('}').next().unwrap_or_default();
        if !KNOWN.contains(&name) {
            table.fault_hint(
                at.line,
                format!("unknown placeholder {{{name}}} in {:?}", at.value),
                "known are {date}, {year}, {month}, {day} and {hour}",
            );
        }
    }
}

//! The parsers of hostile bytes under libFuzzer: whatever the bytes are, the answer is a value or an error. A panic that
//! reaches this file, an endless loop or too much memory ends the process, and `scripts/fuzz.sh` keeps the bytes.
//! `DAYMILL_FUZZ` names the parser.
#![no_main]

use std::path::PathBuf;
use std::sync::OnceLock;

use chrono::NaiveDate;
use daymill::extract::Cache;
use daymill::extract::files::format::Column;
use daymill::extract::files::formats;
use daymill::extract::files::reading::Room;
use daymill::postgres::decode::{Decoder, Wire};
use daymill::postgres::tuples::Tuples;
use daymill::project::job::{CsvOptions, FileFormat};
use daymill::rows::ColumnType;
use daymill::score::Link;
use daymill::score::contract::Features;
use daymill::score::dense::Dense;
use daymill::score::foreign::Format;
use daymill::sql::types::Ty;
use daymill::sql::{Bounds, Table, compile};

type Parser = fn(&[u8]);

const PARSERS: [(&str, Parser); 10] = [
    ("catboost", |bytes| model(Format::Catboost, bytes)),
    ("copy", copy),
    ("csv", |bytes| file(&csv(bytes), bytes.get(1..).unwrap_or_default())),
    ("jsonl", |bytes| file(&FileFormat::JsonLines, bytes)),
    ("lightgbm", |bytes| model(Format::Lightgbm, bytes)),
    ("onnx", |bytes| model(Format::Onnx, bytes)),
    ("parquet", |bytes| file(&FileFormat::Parquet, bytes)),
    ("safetensors", safetensors),
    ("sql", sql),
    ("xgboost", |bytes| model(Format::Xgboost, bytes)),
];

/// The parser that was asked for, and a file for those that read one.
static PARSER: OnceLock<(Parser, PathBuf)> = OnceLock::new();

libfuzzer_sys::fuzz_target!(
    init: {
        // Libraries may panic within the program's own guard; libFuzzer must only hear of what leaves it.
        std::panic::set_hook(Box::new(|_| {}));
        let name = std::env::var("DAYMILL_FUZZ").unwrap_or_default();
        let found = PARSERS.iter().find(|(known, _)| *known == name);
        let Some((_, parser)) = found else {
            eprintln!("DAYMILL_FUZZ must be one of {}", PARSERS.map(|(name, _)| name).join(" "));
            std::process::exit(2);
        };
        let _ = PARSER.set((*parser, std::env::temp_dir().join(format!("daymill-fuzz-{}", std::process::id()))));
    },
    |bytes: &[u8]| {
        if let Some((parser, _)) = PARSER.get() {
            parser(bytes);
        }
    }
);

/// Reads a model, and asks what can be read for a few rows of odd values.
fn model(format: Format, bytes: &[u8]) {
    let Ok(imported) = format.read(bytes, None) else { return };
    let (width, rows) = (imported.model.width(), 5);
    if width > 1 << 12 {
        return;
    }
    let odd = [0.0, -1.5, f32::NAN, f32::INFINITY, 1e30];
    let values = (0..width * rows).map(|i| odd[(i + i / rows) % odd.len()]).collect();
    if let Ok(outputs) = imported.model.score(&Features { rows, values }) {
        assert_eq!(outputs.len(), imported.model.outputs());
        assert!(outputs.iter().all(|output| output.len() == rows));
    }
}

fn safetensors(bytes: &[u8]) {
    for deep in [false, true] {
        if let Ok(dense) = Dense::read(bytes, deep, Link::Sigmoid)
            && dense.width() <= 1 << 12
        {
            let _ = dense.score(&Features { rows: 2, values: vec![0.5; 2 * dense.width()] });
        }
    }
}

/// A stream of COPY in pieces, decoded as columns of every type.
fn copy(bytes: &[u8]) {
    let wires = [
        Wire::Bool,
        Wire::Int2,
        Wire::Int4,
        Wire::Int8,
        Wire::Float4,
        Wire::Float8,
        Wire::Numeric,
        Wire::Text,
        Wire::Uuid,
        Wire::Date,
        Wire::Timestamp,
        Wire::TimestampTz,
    ];
    // The first two bytes say which columns there are, and where the stream is cut.
    let (Some(first), Some(cut), Some(rest)) = (bytes.first(), bytes.get(1), bytes.get(2..)) else { return };
    let columns =
        (0..1 + *first as usize % 4).map(|i| (format!("c{i}"), wires[(*first as usize / 4 + i) % wires.len()]));
    let mut decoder = Decoder::new(&columns.collect::<Vec<_>>());
    let mut tuples = Tuples::default();
    let stream = [b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0", rest].concat();
    let mut failed = false;
    for piece in stream.chunks(1 + *cut as usize) {
        let mut each = |tuple: &[u8]| failed = failed || decoder.push(tuple).is_err();
        if tuples.feed(piece, &mut each).is_err() || failed {
            return;
        }
    }
    let _ = tuples.finish();
    if let Ok(batch) = decoder.batch() {
        assert!(batch.num_columns() <= 4);
    }
}

/// The first byte chooses the options.
fn csv(bytes: &[u8]) -> FileFormat {
    let bits = bytes.first().copied().unwrap_or_default();
    let on = |bit: u8| bits >> bit & 1 == 1;
    FileFormat::Csv(CsvOptions {
        delimiter: if on(0) { b';' } else { b',' },
        escape: on(1).then_some(b'\\'),
        header: !on(2),
        comment: on(3).then_some(b'#'),
        decimal: if on(4) { b',' } else { b'.' },
        encoding: if on(5) { "UTF-16LE".into() } else { "UTF-8".into() },
        quoted_nulls: on(6),
        skip: usize::from(on(7)),
        ..CsvOptions::default()
    })
}

/// Reads a file as a job would: columns of every type, in memory, and what its own columns are.
fn file(format: &FileFormat, bytes: &[u8]) {
    let Some((_, path)) = PARSER.get() else { return };
    if std::fs::write(path, bytes).is_err() {
        return;
    }
    let column = |name: &str, kind| Column { name: name.into(), kind, zone: None, uuid: false, format: None };
    let columns = [
        column("id", ColumnType::Int),
        column("f", ColumnType::Float),
        column("t", ColumnType::Text),
        column("b", ColumnType::Bool),
        column("d", ColumnType::Date),
        column("at", ColumnType::Timestamp),
    ];
    let reader = formats::of(format);
    let _ = reader.describe(path, &columns);
    let cache = Cache::default();
    if let Ok(opened) = reader.open(path, &columns, &Room::of(1 << 20), &cache) {
        let own = columns.iter().filter(|column| opened.known().columns.iter().any(|found| found.name == column.name));
        let _ = opened.rows(&own.cloned().collect::<Vec<_>>(), true, &cache);
    }
}

fn sql(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let types = [Ty::Int8, Ty::Float8, Ty::Text, Ty::Bool, Ty::Date, Ty::Timestamptz];
    let columns = ["id", "amount", "status", "flag", "day", "at"].map(str::to_owned).into_iter().zip(types);
    let columns: Vec<(String, Ty)> = columns.collect();
    let tables = ["orders", "customers", "events"].map(|name| Table { name: name.into(), columns: columns.clone() });
    let date = NaiveDate::from_ymd_opt(2024, 2, 29).unwrap_or_default();
    let _ = compile(text, &tables, chrono_tz::America::New_York, Bounds { date, start: 0, end: 86_400_000_000 });
}

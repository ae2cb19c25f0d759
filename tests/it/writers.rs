//! Files of other programs: the same four rows as many writers write them, each read by both readers.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::File;
use std::path::{Path, PathBuf};

use arrow::array::{Array, RecordBatch};
use arrow::compute::concat_batches;
use arrow::util::display::array_value_to_string;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use crate::support::*;

/// A column's type when nothing is declared, the type declared for it, and its values in both cases; the third is NULL.
type Expected = (&'static str, &'static str, [&'static str; 3], &'static str, [&'static str; 3]);

const COLUMNS: &[Expected] = &[
    ("i8", "int", ["1", "-128", "127"], "float", ["1.0", "-128.0", "127.0"]),
    ("i16", "int", ["1", "-32768", "32767"], "int", ["1", "-32768", "32767"]),
    ("i32", "int", ["1", "-2147483648", "2147483647"], "int", ["1", "-2147483648", "2147483647"]),
    (
        "i64",
        "int",
        ["1", "-9007199254740993", "9223372036854775807"],
        "int",
        ["1", "-9007199254740993", "9223372036854775807"],
    ),
    ("u8", "int", ["1", "0", "255"], "int", ["1", "0", "255"]),
    ("u16", "int", ["1", "0", "65535"], "int", ["1", "0", "65535"]),
    ("u32", "int", ["1", "0", "4294967295"], "int", ["1", "0", "4294967295"]),
    ("u64", "int", ["1", "0", "9223372036854775807"], "int", ["1", "0", "9223372036854775807"]),
    ("flags", "bool", ["true", "false", "true"], "bool", ["true", "false", "true"]),
    ("days", "date", DAYS, "date", DAYS),
    ("id", "text", UUIDS, "text", UUIDS),
    ("f16", "float", ["0.5", "-1.25", "3.0"], "float", ["0.5", "-1.25", "3.0"]),
    ("f32", "float", ["0.5", "-1.25", "3.0"], "float", ["0.5", "-1.25", "3.0"]),
    ("f64", "float", ["0.1", "-2.5", "1e300"], "float", ["0.1", "-2.5", "1e300"]),
    ("counts", "float", ["1.0", "2.0", "3.0"], "int", ["1", "2", "3"]),
    ("dec9_2", "float", ["123.45", "-0.01", "9999999.99"], "text", ["123.45", "-0.01", "9999999.99"]),
    ("dec18_4", "float", ["1.5", "-99999999999.9999", "0.0001"], "text", ["1.5000", "-99999999999.9999", "0.0001"]),
    ("dec38_10", "float", ["1.0000000001", "-2.5", "0.0"], "text", ["1.0000000001", "-2.5000000000", "0.0000000000"]),
    ("dec9_0", "float", ["7.0", "-100000.0", "0.0"], "int", ["7", "-100000", "0"]),
    ("text", "text", TEXT, "text", TEXT),
    ("large_text", "text", TEXT, "text", TEXT),
    ("view_text", "text", TEXT, "text", TEXT),
    ("bytes", "", TEXT, "text", TEXT),
    ("words", "text", ["x", "y", "x"], "text", ["x", "y", "x"]),
    ("codes", "int", ["10", "20", "10"], "int", ["10", "20", "10"]),
    ("amounts", "float", ["0.5", "2.5", "0.5"], "float", ["0.5", "2.5", "0.5"]),
    ("flag", "bool", ["true", "false", "true"], "bool", ["true", "false", "true"]),
    ("day", "date", DAYS, "date", DAYS),
    ("day64", "date", DAYS, "date", DAYS),
    ("nothing", "text", ["", "", ""], "timestamp", ["", "", ""]),
    ("instant", "timestamp", TIMES, "timestamp", TIMES),
    ("naive", "timestamp", BERLIN, "timestamp", TIMES),
    ("int96", "timestamp", BERLIN, "timestamp", TIMES),
    (
        "seconds",
        "timestamp",
        ["2013-06-08T10:30:15Z", "1969-12-31T22:59:59Z", "2099-12-31T23:00:00Z"],
        "timestamp",
        ["2013-06-08T12:30:15Z", "1969-12-31T23:59:59Z", "2100-01-01T00:00:00Z"],
    ),
    ("millis", "timestamp", MILLIS, "timestamp", MILLIS),
    ("nanos", "timestamp", NANOS, "timestamp", NANOS),
    (
        "nanos_naive",
        "timestamp",
        ["1969-12-31T23:00:00Z", "1969-12-31T22:59:59.999998Z", "1969-12-31T23:00:00.000001Z"],
        "timestamp",
        NANOS,
    ),
];
const TEXT: [&str; 3] = ["a", "é€😀", ""];
const UUIDS: [&str; 3] = [
    "00000000-0000-0000-0000-000000000001",
    "f47ac10b-58cc-4372-a567-0e02b2c3d479",
    "ffffffff-ffff-ffff-ffff-ffffffffffff",
];
const DAYS: [&str; 3] = ["2013-06-08", "1969-12-31", "2100-01-01"];
const TIMES: [&str; 3] = ["2013-06-08T12:30:15.123456Z", "1969-12-31T23:59:59.999998Z", "2100-01-01T00:00:00Z"];
/// What the same clock says in Berlin.
const BERLIN: [&str; 3] = ["2013-06-08T10:30:15.123456Z", "1969-12-31T22:59:59.999998Z", "2099-12-31T23:00:00Z"];
const MILLIS: [&str; 3] = ["2013-06-08T12:30:15.123Z", "1969-12-31T23:59:59.999Z", "2100-01-01T00:00:00Z"];
/// 1,500 nanoseconds before and after 1970.
const NANOS: [&str; 3] = ["1970-01-01T00:00:00Z", "1969-12-31T23:59:59.999998Z", "1970-01-01T00:00:00.000001Z"];

fn column(name: &str) -> &'static Expected {
    COLUMNS.iter().find(|(known, ..)| *known == name).unwrap_or_else(|| panic!("an unknown column {name}"))
}

fn writers() -> Vec<PathBuf> {
    let folder = repository().join("fixtures/writers");
    let all = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> = all
        .filter(|writer| !writer.ends_with("spark-partitions"))
        .flat_map(|writer| std::fs::read_dir(writer).unwrap())
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    files
}

fn read(path: &Path) -> RecordBatch {
    let builder = ParquetRecordBatchReaderBuilder::try_new(File::open(path).unwrap()).unwrap();
    let schema = builder.schema().clone();
    let batches: Vec<RecordBatch> = builder.build().unwrap().map(Result::unwrap).collect();
    concat_batches(&schema, &batches).unwrap()
}

fn values(batch: &RecordBatch, name: &str) -> Vec<Option<String>> {
    let array = batch.column_by_name(name).unwrap_or_else(|| panic!("no column {name}"));
    (0..array.len()).map(|row| array.is_valid(row).then(|| array_value_to_string(array, row).unwrap())).collect()
}

/// One job with every file as a table, twice: as it comes, by the clock of Berlin; and declared, by that of UTC.
fn job(project: &Project, files: &[PathBuf]) -> BTreeMap<String, (PathBuf, bool)> {
    let (mut text, mut tables) =
        (String::from("timezone = \"UTC\"\nkey = [\"id\"]\n[load]\ntable = \"out\"\n"), BTreeMap::new());
    text.push_str("[transform]\nsql = \"sql/none.sql\"\n");
    for (number, path) in files.iter().enumerate() {
        // Of fastparquet's file without rows the library that reads here has no schema.
        let readable = ParquetRecordBatchReaderBuilder::try_new(File::open(path).unwrap());
        let plain =
            || ParquetRecordBatchReaderBuilder::try_new(File::open(path.with_file_name("plain.parquet")).unwrap());
        let schema = readable.unwrap_or_else(|_| plain().unwrap()).schema().clone();
        let names: Vec<&String> = schema.fields().iter().map(|field| field.name()).collect();
        let short = path.strip_prefix(repository()).unwrap().display();
        for declared in [false, true] {
            if !declared && names.iter().any(|name| *name == "bytes") {
                continue;
            }
            let table = format!("t{number}_{declared}");
            let zone = if declared { "UTC" } else { "Europe/Berlin" };
            writeln!(text, "[extract.{table}]\nparquet = \"{short}\"\nzone = \"{zone}\"\nsnapshot = true").unwrap();
            if declared {
                writeln!(text, "[extract.{table}.columns]").unwrap();
                names.iter().for_each(|name| writeln!(text, "{name} = \"{}\"", column(name).3).unwrap());
            }
            tables.insert(table, (path.clone(), declared));
        }
    }
    project.write("jobs/all.toml", text);
    project.write("sql/none.sql", "SELECT 1 AS id");
    project.write("daymill.toml", "[target.local]\nkind = \"sqlite\"\npath = \"w.sqlite\"\n");
    tables
}

#[test]
fn what_others_write_is_read_by_both_readers_to_the_same_values() {
    let files = writers();
    assert!(files.len() > 120, "{} files", files.len());
    let mut project = Project::empty();
    std::os::unix::fs::symlink(repository().join("fixtures"), project.path("fixtures")).unwrap();
    let tables = job(&project, &files);
    let mut wrong = Vec::new();
    for small in ["16777216", "0"] {
        project = project.env("DAYMILL_LIMIT_SMALL_FILE", small);
        project.daymill(&["extract", "all", "--date", "2013-06-08", "--out", "out"]).expect(0);
        for (table, (path, declared)) in &tables {
            let batch = read(&project.path(&format!("out/{table}.parquet")));
            for field in batch.schema().fields() {
                let (name, _, natural, _, other) = column(field.name());
                let expected = if *declared { other } else { natural };
                let some = |value: &str| if *name == "nothing" { None } else { Some(value.to_owned()) };
                let expected = vec![some(expected[0]), some(expected[1]), None, some(expected[2])];
                let found = values(&batch, name);
                // pandas has one word for NULL and for a number that is none.
                let nan = path.to_string_lossy().contains("fastparquet") && found.get(2) == Some(&Some("NaN".into()));
                let empty = path.ends_with("empty.parquet") && found.is_empty();
                if found != expected && !empty && !nan {
                    wrong.push(format!("{} {name} ({small}, {declared}): {found:?}, not {expected:?}", path.display()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn folders_of_spark_are_columns_with_their_names_decoded() {
    let project = Project::empty();
    std::os::unix::fs::symlink(repository().join("fixtures"), project.path("fixtures")).unwrap();
    let text = "timezone = \"UTC\"\nkey = [\"i64\"]\n[extract.t]\nparquet = \"fixtures/writers/spark-partitions/**/*.parquet\"\n";
    project.write(
        "jobs/all.toml",
        format!("{text}complete = \"_SUCCESS\"\nsnapshot = true\n[transform]\nsql = \"sql/t.sql\"\n[load]\ntable = \"out\"\n"),
    );
    project.write("sql/t.sql", "SELECT i64, text FROM t");
    project.write("daymill.toml", "[target.local]\nkind = \"sqlite\"\npath = \"w.sqlite\"\n");
    project.daymill(&["extract", "all", "--date", "2013-06-08", "--out", "out"]).expect(0);
    let batch = read(&project.path("out/t.parquet"));
    let mut rows: Vec<_> = values(&batch, "i64").into_iter().zip(values(&batch, "text")).collect();
    rows.sort();
    let text = |value: &str| Some(value.to_owned());
    // Spark writes an empty text as it writes NULL.
    assert_eq!(
        rows[..],
        [
            (None, text("a b/c=d")),
            (text("-9007199254740993"), text("é€😀")),
            (text("1"), text("a")),
            (text("9223372036854775807"), None)
        ]
    );
}

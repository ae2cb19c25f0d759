//! Files as the world leaves them: what is read, what is left out, and what is refused by its name.

use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, Date32Array, Float64Array, Int64Array, ListBuilder, NullArray, RecordBatch, StringArray, StringBuilder,
    TimestampMicrosecondArray,
};
use arrow::datatypes::{Field, Schema};
use parquet::arrow::ArrowWriter;

use crate::support::*;

const RUN: [&str; 4] = ["run", "j", "--date", "2024-01-05"];

fn file(path: &Path, columns: &[(&str, ArrayRef)]) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let fields: Vec<Field> =
        columns.iter().map(|(name, array)| Field::new(*name, array.data_type().clone(), true)).collect();
    let schema = Arc::new(Schema::new(fields));
    let arrays = columns.iter().map(|(_, array)| array.clone()).collect();
    let mut writer = ArrowWriter::try_new(File::create(path).unwrap(), schema.clone(), None).unwrap();
    writer.write(&RecordBatch::try_new(schema, arrays).unwrap()).unwrap();
    writer.close().unwrap();
}

fn ids(values: &[i64]) -> ArrayRef {
    Arc::new(Int64Array::from(values.to_vec()))
}

fn texts(values: &[&str]) -> ArrayRef {
    Arc::new(StringArray::from(values.to_vec()))
}

fn instants(values: &[Option<&str>]) -> TimestampMicrosecondArray {
    let micros = |text: &&str| text.parse::<chrono::DateTime<chrono::Utc>>().unwrap().timestamp_micros();
    TimestampMicrosecondArray::from(values.iter().map(|value| value.as_ref().map(micros)).collect::<Vec<_>>())
}

/// A job over `parquet`, with more lines for its table, and the SQL over it.
fn project(parquet: &str, more: &str, sql: &str) -> Project {
    let project = Project::empty();
    project.write("daymill.toml", "[target.local]\nkind = \"sqlite\"\npath = \"w.sqlite\"\n");
    project.write("sql/t.sql", sql);
    project.write(
        "jobs/j.toml",
        format!(
            "timezone = \"America/New_York\"\nkey = [\"id\"]\n[extract.a]\nparquet = \"{parquet}\"\n{more}\n\
             [transform]\nsql = \"sql/t.sql\"\n[load]\ntable = \"out\"\n"
        ),
    );
    project
}

fn out(project: &Project, columns: &str) -> Vec<String> {
    let columns: Vec<String> = columns.split(", ").map(|column| format!("CAST({column} AS text)")).collect();
    rows_of(&project.path("w.sqlite"), &format!("SELECT {} FROM out ORDER BY id", columns.join(", ")))
}

#[test]
fn names_of_unfinished_files_are_left_out_and_what_matches_must_be_readable() {
    let project = project("d/{date}/*", "", "SELECT id FROM a");
    let day = project.path("d/2024-01-05");
    file(&day.join("a.parquet"), &[("id", ids(&[1]))]);
    file(&day.join("_tmp.parquet"), &[("id", ids(&[2]))]);
    file(&day.join(".part.parquet"), &[("id", ids(&[3]))]);
    file(&day.join("_temporary/0/b.parquet"), &[("id", ids(&[4]))]);
    std::fs::write(day.join("_SUCCESS"), "").unwrap();
    project.daymill(&RUN).expect(0).says("1 files whose names begin with _ were left out as unfinished");
    assert_eq!(out(&project, "id"), ["1"]);
    symlink("nowhere", day.join("b.parquet")).unwrap();
    project.daymill(&RUN).expect(66).says("b.parquet is a link to a file that cannot be read");
    std::fs::remove_file(day.join("b.parquet")).unwrap();
    std::fs::create_dir(day.join("c.parquet")).unwrap();
    project.daymill(&RUN).expect(66).says("c.parquet is a folder").says("c.parquet/*.parquet");
    std::fs::remove_dir(day.join("c.parquet")).unwrap();
    std::process::Command::new("mkfifo").arg(day.join("d.parquet")).status().unwrap();
    project.daymill(&RUN).expect(66).says("d.parquet is not a regular file");
    std::fs::remove_file(day.join("d.parquet")).unwrap();
    let odd = day.join(std::ffi::OsStr::from_bytes(b"e\xff.parquet"));
    std::fs::write(&odd, "x").unwrap();
    project.daymill(&RUN).expect(66).says("has a name that is not UTF-8");
    std::fs::remove_file(odd).unwrap();
    // Two names of one file are one.
    symlink("a.parquet", day.join("f.parquet")).unwrap();
    project.daymill(&RUN).expect(0);
    assert_eq!(out(&project, "id"), ["1"]);
    std::fs::remove_file(day.join("f.parquet")).unwrap();
    // A pattern that walks through folders meets them all the time.
    project.edit("jobs/j.toml", "{date}/*", "{date}/**/*.parquet");
    file(&day.join("deep/er/e.parquet"), &[("id", ids(&[5]))]);
    project.daymill(&RUN).expect(0);
    assert_eq!(out(&project, "id"), ["1", "5"]);
    for (name, says) in [("d", "d is a folder"), ("d/{date}/deep", "deep is a folder")] {
        let project = self::project(name, "snapshot = true", "SELECT id FROM a");
        std::fs::create_dir_all(project.path("d/2024-01-05/deep")).unwrap();
        project.daymill(&RUN).expect(66).says(says);
    }
}

#[test]
fn a_writer_says_when_it_has_finished() {
    let undated = project("d/{date}.parquet", "complete = \"_SUCCESS\"", "SELECT id FROM a");
    undated.daymill(&RUN).expect(78).says("is the same file for every interval");
    for (complete, mark) in [("_SUCCESS", "d/2024-01-05/_SUCCESS"), ("done/{date}.ok", "done/2024-01-05.ok")] {
        let project = project("d/{date}/*/*.parquet", &format!("complete = \"{complete}\""), "SELECT id FROM a");
        file(&project.path("d/2024-01-05/x=1/a.parquet"), &[("id", ids(&[1]))]);
        project.daymill(&RUN).expect(66).says(&format!("{mark} is not there: its files are not complete"));
        project.write(mark, "");
        project.daymill(&RUN).expect(0);
    }
}

#[test]
fn undeclared_columns_are_read_or_named_and_files_must_agree() {
    let naive = || Arc::new(instants(&[Some("2024-01-05T12:00:00Z")])) as ArrayRef;
    let mut list = ListBuilder::new(StringBuilder::new());
    list.append_value([Some("x")]);
    let list: ArrayRef = Arc::new(list.finish());
    let (ones, nulls): (ArrayRef, ArrayRef) = (Arc::new(Float64Array::from(vec![1.5])), Arc::new(NullArray::new(1)));
    let date: ArrayRef = Arc::new(Date32Array::from(vec![0]));
    for (first, second, says) in [
        (("x", &list), None, "a.parquet: the column \"x\" is List"),
        (("x", &naive()), None, "the column \"x\" is a timestamp without a time zone"),
        (("id", &ones), None, "a.parquet has two columns \"id\""),
        (("x", &ones), Some(("x", &date)), "the column \"x\" is Float64 in"),
        (("x", &ones), Some(("y", &ones)), "a.parquet has the column \"x\", and"),
    ] {
        let project = project("d/{date}/*.parquet", "", "SELECT * FROM a");
        for (name, column) in [("a", Some(first)), ("b", second)] {
            let Some(column) = column else { continue };
            let path = project.path(&format!("d/2024-01-05/{name}.parquet"));
            file(&path, &[("id", ids(&[1])), (column.0, column.1.clone())]);
        }
        project.daymill(&["check", "j"]).expect(if second.is_some() { 0 } else { 65 });
        project.daymill(&RUN).expect(65).says(says).says("hint");
    }
    // A column that only a later file has.
    let project = project("d/{date}/*.parquet", "", "SELECT * FROM a");
    file(&project.path("d/2024-01-05/a.parquet"), &[("id", ids(&[1]))]);
    file(&project.path("d/2024-01-05/b.parquet"), &[("id", ids(&[2])), ("x", ones.clone())]);
    project.daymill(&RUN).expect(65).says("b.parquet has the column \"x\", and").says("a.parquet has not");
    // A column that is all NULL has the type of the other files; the order of the columns does not matter.
    let project = self::project("d/{date}/*.parquet", "", "SELECT * FROM a");
    file(&project.path("d/2024-01-05/a.parquet"), &[("x", nulls.clone()), ("id", ids(&[1]))]);
    file(&project.path("d/2024-01-05/b.parquet"), &[("id", ids(&[2])), ("x", ones.clone())]);
    project.daymill(&RUN).expect(0);
    assert_eq!(out(&project, "id, x"), ["1|NULL", "2|1.5"]);
    // What is not declared may be anything.
    let project = self::project("d/{date}/*.parquet", "columns = { id = \"int\" }", "SELECT id FROM a");
    file(&project.path("d/2024-01-05/a.parquet"), &[("id", ids(&[1])), ("x", list), ("y", naive())]);
    project.daymill(&RUN).expect(0);
}

#[test]
fn times_without_a_zone_are_read_by_the_clock_that_is_declared() {
    let naive = || Arc::new(instants(&[Some("2024-01-05T12:00:00Z")])) as ArrayRef;
    let declared = "columns = { id = \"int\", t = { type = \"timestamp\", zone = \"Asia/Kolkata\" } }";
    for (more, at) in [
        ("zone = \"Europe/Berlin\"", "2024-01-05T11:00:00Z"),
        (declared, "2024-01-05T06:30:00Z"),
        ("zone = \"UTC\"\ncolumns = { id = \"int\", t = \"timestamp\" }", "2024-01-05T12:00:00Z"),
    ] {
        for small in ["0", "16777216"] {
            let project =
                project("d/{date}.parquet", more, "SELECT id, t FROM a").env("DAYMILL_LIMIT_SMALL_FILE", small);
            file(&project.path("d/2024-01-05.parquet"), &[("id", ids(&[1])), ("t", naive())]);
            project.daymill(&RUN).expect(0);
            assert_eq!(out(&project, "t"), [at]);
        }
    }
    let project = project("d/{date}.parquet", "columns = { id = \"int\", t = \"timestamp\" }", "SELECT id, t FROM a");
    file(&project.path("d/2024-01-05.parquet"), &[("id", ids(&[1])), ("t", naive())]);
    project.daymill(&RUN).expect(65).says("zone = \"Europe/Berlin\"");
    project.edit("jobs/j.toml", "t = \"timestamp\"", "t = { type = \"timestamp\", zone = \"Europe/Berlim\" }");
    project.daymill(&RUN).expect(78).says("is not an IANA time zone").says("Europe/Berlin");
}

#[test]
fn an_encrypted_column_is_named_and_the_others_are_read() {
    let project = project("fixtures/files/encrypted.parquet", "snapshot = true", "SELECT * FROM a");
    symlink(repository().join("fixtures"), project.path("fixtures")).unwrap();
    project.daymill(&RUN).expect(66).says("is encrypted, which is not read");
    project.edit("jobs/j.toml", "snapshot = true", "snapshot = true\ncolumns = { x = \"text\" }");
    project.daymill(&RUN).expect(66).says("column \"x\" is declared text and is encrypted");
}

#[test]
fn values_of_folders_are_typed_alike_in_all_of_them() {
    let cases: [(&[&str], &[&str]); 4] = [
        (
            &["007", "12", "__HIVE_DEFAULT_PARTITION__", "a%3Ab"],
            &["1|007|text", "2|12|text", "3|NULL|null", "4|a:b|text"],
        ),
        // A number with a zero before it is a name.
        (&["007", "012"], &["1|007|text", "2|012|text"]),
        (&["1", "x"], &["1|1|text", "2|x|text"]),
        (&["-7", "12"], &["1|-7|integer", "2|12|integer"]),
    ];
    for (stores, rows) in cases {
        let project = project("d/{date}/store=*/*.parquet", "", "SELECT id, store FROM a");
        for (id, store) in (1..).zip(stores) {
            file(
                &project.path(&format!("d/2024-01-05/store={store}/x.parquet")),
                &[("id", ids(&[id])), ("n", texts(&["x"]))],
            );
        }
        project.daymill(&RUN).expect(0);
        assert_eq!(out(&project, "id, store, typeof(store)"), rows);
    }
}

#[test]
fn a_table_of_which_only_the_folder_is_used_has_all_its_rows() {
    for small in ["0", "16777216"] {
        let project = project(
            "d/{date}/store=*/*.parquet",
            "columns = { store = \"int\" }",
            "SELECT store AS id, COUNT(*) AS n FROM a GROUP BY store",
        );
        let project = project.env("DAYMILL_LIMIT_SMALL_FILE", small);
        file(&project.path("d/2024-01-05/store=3/x.parquet"), &[("x", ids(&[1, 2, 3]))]);
        file(&project.path("d/2024-01-05/store=4/x.parquet"), &[("x", ids(&[1, 2]))]);
        project.daymill(&RUN).expect(0);
        assert_eq!(out(&project, "id, n"), ["3|3", "4|2"]);
    }
}

#[test]
fn a_row_group_without_rows_is_no_damage() {
    let project = project("d/{date}.parquet", "zone = \"UTC\"", "SELECT i64 AS id FROM a");
    for writer in ["pyarrow-14", "pyarrow-26", "pandas-2.3"] {
        let from = repository().join("fixtures/writers").join(writer).join("empty.parquet");
        std::fs::create_dir_all(project.path("d")).unwrap();
        std::fs::copy(from, project.path("d/2024-01-05.parquet")).unwrap();
        project.daymill(&RUN).expect(65).says("gave no rows");
    }
}

#[test]
fn rows_outside_of_the_time_column_are_counted_and_those_without_one_named() {
    let times = instants(&[
        Some("2024-01-05T04:59:59.999999Z"),
        Some("2024-01-05T05:00:00Z"),
        Some("2024-01-06T04:59:59.999999Z"),
        Some("2024-01-06T05:00:00Z"),
        None,
    ]);
    let times: ArrayRef = Arc::new(times.with_timezone("UTC"));
    for small in ["0", "16777216"] {
        let project =
            project("all.parquet", "time_column = \"t\"", "SELECT id, t FROM a").env("DAYMILL_LIMIT_SMALL_FILE", small);
        file(&project.path("all.parquet"), &[("id", ids(&[1, 2, 3, 4, 5])), ("t", times.clone())]);
        project.daymill(&RUN).expect(0).says("1 rows have no t, and belong to no interval");
        assert_eq!(out(&project, "id"), ["2", "3"]);
        let report = project.run_json();
        let rows = |name: &str| report["rows"][name].as_u64().unwrap();
        assert_eq!(rows("extracted"), rows("published") + rows("dropped") + rows("outside"));
        assert_eq!((&report["inputs"][0]["outside"], &report["inputs"][0]["without_time"]), (&2.into(), &1.into()));
    }
    let hourly = project("all.parquet", "time_column = \"d\"", "SELECT id FROM a");
    hourly.edit("jobs/j.toml", "key =", "grain = \"hour\"\nkey =");
    file(
        &hourly.path("all.parquet"),
        &[("id", ids(&[1])), ("d", Arc::new(Date32Array::from(vec![19727])) as ArrayRef)],
    );
    hourly.daymill(&["run", "j", "--date", "2024-01-05T10"]).expect(78).says("an hour needs a timestamp");
    let project = project("all.parquet", "time_column = \"id\"", "SELECT id, t FROM a");
    file(&project.path("all.parquet"), &[("id", ids(&[1, 2, 3, 4, 5])), ("t", times)]);
    project.daymill(&RUN).expect(65).says("the time_column \"id\" is int");
}

#[test]
fn a_file_that_contradicts_itself_is_damaged() {
    let header = |bytes: &[u8]| bytes.windows(4).position(|four| four == [0x2c, 0x15, 100, 0x15]).unwrap() + 2;
    let footer = |bytes: &[u8]| {
        let size = u32::from_le_bytes(bytes[bytes.len() - 8..bytes.len() - 4].try_into().unwrap());
        let start = bytes.len() - 8 - size as usize;
        start + bytes[start..].windows(2).position(|two| two == [0x16, 100]).unwrap()
    };
    // How many values a page holds, and how many rows the file: 50, as Thrift writes it.
    for (small, place) in [("16777216", &header as &dyn Fn(&[u8]) -> usize), ("0", &header), ("0", &|b| footer(b) + 1)]
    {
        let project =
            project("{date}.parquet", "time_column = \"t\"", "SELECT id FROM a").env("DAYMILL_LIMIT_SMALL_FILE", small);
        let path = project.path("2024-01-05.parquet");
        let noon: ArrayRef = Arc::new(instants(&[Some("2024-01-05T12:00:00Z"); 50]).with_timezone("UTC"));
        file(&path, &[("id", ids(&(0..50).collect::<Vec<_>>())), ("t", noon)]);
        project.daymill(&RUN).expect(0);
        let mut bytes = std::fs::read(&path).unwrap();
        let at = place(&bytes);
        bytes[at] = 98;
        std::fs::write(&path, bytes).unwrap();
        project.daymill(&RUN).expect(66).says("2024-01-05.parquet");
        assert_eq!(out(&project, "id").len(), 50);
    }
}

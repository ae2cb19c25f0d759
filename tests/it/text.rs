//! CSV and JSON lines: every type as it is written, every way in which a file is written, and every fault by file, line and
//! column.

use std::io::Write;

use crate::support::*;

const COLUMNS: &str =
    "id = \"int\"\namount = \"float\"\nname = \"text\"\nok = \"bool\"\nday = \"date\"\nat = \"timestamp\"\n";
const HEADER: &str = "id,amount,name,ok,day,at\n";
const ROWS: &str = "SELECT CAST(id AS TEXT), CAST(amount AS TEXT), name, CAST(ok AS TEXT), day, at FROM t ORDER BY id";

/// A project with one job that publishes a table as it is read; `source` are the lines of `[extract.t]`.
fn project(source: &str, columns: &str) -> Project {
    let project = Project::empty();
    project.write("daymill.toml", "[target.dev]\nkind = \"sqlite\"\npath = \".daymill/warehouse.sqlite\"\n");
    project.write("sql/t.sql", "SELECT * FROM t");
    project.write(
        "jobs/j.toml",
        format!(
            "timezone = \"UTC\"\nkey = [\"id\"]\non_empty = \"replace\"\n[extract.t]\nsnapshot = true\n{source}\n\
             [extract.t.columns]\n{columns}\n[transform]\nsql = \"sql/t.sql\"\n[load]\ntable = \"t\"\n"
        ),
    );
    project
}

fn run(project: &Project) -> Outcome {
    project.daymill(&["run", "j", "--date", "2024-01-01"])
}

/// The rows that a file of all types gives.
fn published(source: &str, file: &str, bytes: impl AsRef<[u8]>) -> Vec<String> {
    let project = project(source, COLUMNS);
    project.write(file, bytes);
    run(&project).expect(0);
    project.sqlite(ROWS)
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    out.write_all(bytes).unwrap();
    out.finish().unwrap()
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 3).unwrap()
}

fn utf16(text: &str) -> Vec<u8> {
    [0xff, 0xfe].into_iter().chain(text.encode_utf16().flat_map(u16::to_le_bytes)).collect()
}

const EVERY: &str = "id,amount,name,ok,day,at\r\n\
    1,1.5,plain,true,2024-02-29,2024-01-01T06:00:00Z\r\n\
    2,-2.5,\"a, \"\"b\"\"\nc\",F,20240301,2024-01-01 06:00:00.123456+01:30\r\n\
    +3, 1e-5 ,\"\",1,2024/3/1,2024-01-01T06:00:00.5+0000\r\n\
    4.00,,,,,\r\n\
    -9223372036854775808,1e300,ü 5\" wide,no,0001-01-01,1969-12-31 23:59:59.999999Z";

const EXPECTED: [&str; 5] = [
    "-9223372036854775808|1.0e+300|ü 5\" wide|0|0001-01-01|1969-12-31T23:59:59.999999Z",
    "1|1.5|plain|1|2024-02-29|2024-01-01T06:00:00Z",
    "2|-2.5|a, \"b\"\nc|0|2024-03-01|2024-01-01T04:30:00.123456Z",
    "3|1.0e-05||1|2024-03-01|2024-01-01T06:00:00.500Z",
    "4|NULL|NULL|NULL|NULL|NULL",
];

#[test]
fn every_type_is_read_as_it_is_written() {
    assert_eq!(published("csv = \"t.csv\"", "t.csv", EVERY), EXPECTED);
}

#[test]
fn a_text_is_the_same_however_it_is_packed_and_cut() {
    for (file, bytes) in [
        ("t.csv.gz", gzip(EVERY.as_bytes())),
        // Two members, as a file that was appended to has.
        ("t.csv.gz", [gzip(&EVERY.as_bytes()[..40]), gzip(&EVERY.as_bytes()[40..])].concat()),
        ("t.csv.zst", zstd(EVERY.as_bytes())),
        ("t.csv", [b"\xef\xbb\xbf", EVERY.as_bytes()].concat()),
        ("t.csv", utf16(EVERY)),
    ] {
        assert_eq!(published(&format!("csv = {file:?}"), file, bytes), EXPECTED, "{file}");
    }
    let latin = encoding_rs::WINDOWS_1252.encode(EVERY).0.into_owned();
    assert_eq!(published("csv = \"t.csv\"\nencoding = \"latin1\"", "t.csv", latin), EXPECTED);
    for (chunk, small) in [("1", "1000000"), ("7", "0"), ("64", "0"), ("100", "500")] {
        let project = project("csv = \"t.csv\"", COLUMNS)
            .env("DAYMILL_LIMIT_TEXT_CHUNK", chunk)
            .env("DAYMILL_LIMIT_SMALL_FILE", small)
            .env("DAYMILL_LIMIT_CHUNK_ROWS", "1");
        project.write("t.csv", EVERY);
        run(&project).expect(0);
        assert_eq!(project.sqlite(ROWS), EXPECTED, "chunks of {chunk} bytes, {small} bytes in memory");
    }
}

#[test]
fn json_lines_are_the_same_rows() {
    let lines = r#"{"id": 1, "amount": 1.5, "name": "plain", "ok": true, "day": "2024-02-29", "at": "2024-01-01T06:00:00Z"}
{"at": "2024-01-01 06:00:00.123456+01:30", "id": 2, "amount": -2.5, "name": "a, \"b\"\nc", "ok": false, "day": "20240301", "more": {"x": [1]}}

{"id": 3.0, "amount": 1e-5, "n\u0061me": "", "ok": true, "day": "2024/3/1", "at": "2024-01-01T06:00:00.5+0000"}
{"id": 4, "amount": null}
"#;
    assert_eq!(published("jsonl = \"t.jsonl\"", "t.jsonl", lines), EXPECTED[1..]);
    assert_eq!(published("jsonl = \"t.jsonl.gz\"", "t.jsonl.gz", gzip(lines.as_bytes())), EXPECTED[1..]);
    let project = project("jsonl = \"t.jsonl\"", COLUMNS).env("DAYMILL_LIMIT_TEXT_CHUNK", "3");
    project.write("t.jsonl", lines);
    run(&project).expect(0);
    assert_eq!(project.sqlite(ROWS), EXPECTED[1..]);
    assert_eq!(project.run_json()["inputs"][0]["ignored"], serde_json::json!(["more"]));
}

#[test]
fn a_csv_file_may_be_written_in_many_ways() {
    let expected = ["1|1234.5|Jörg; \"Co\"|1|2024-03-31|2024-03-31T00:30:00Z", "2|NULL|-|NULL|NULL|NULL"];
    let columns = "id = \"int\"\namount = \"float\"\nname = \"text\"\nok = \"bool\"\n\
        day = { type = \"date\", format = \"%d.%m.%Y\" }\n\
        at = { type = \"timestamp\", format = \"%d.%m.%Y %H:%M\", zone = \"Europe/Berlin\" }\n";
    let options = "csv = \"t.csv\"\ndelimiter = \";\"\ndecimal = \",\"\nquote = \"'\"\nescape = \"\\\\\"\n\
        comment = \"#\"\nskip = 2\nheader = false\nencoding = \"windows-1252\"\nnulls = [\"-\", \"NA\"]";
    let text = "Report\nof '2024\n# a comment; with 'one quote\n\n1;1234,5;'J\u{f6}rg; \"Co\"';yes;31.03.2024;31.03.2024 01:30\n\
        # another\n2;NA;'-';-;NA;-\n";
    let project = project(options, columns);
    project.write("t.csv", encoding_rs::WINDOWS_1252.encode(text).0);
    run(&project).expect(0);
    assert_eq!(project.sqlite(ROWS), expected);
    project.edit("jobs/j.toml", "nulls =", "quoted_nulls = true\nnulls =");
    assert!(
        project.daymill(&["plan", "j", "--from", "2024-01-01", "--to", "2024-01-01"]).expect(0).stdout.contains("job")
    );
    project.daymill(&["run", "j", "--date", "2024-01-01"]).expect(0);
    assert_eq!(project.sqlite("SELECT name FROM t WHERE id = 2"), ["NULL"]);
}

#[test]
fn a_cell_that_cannot_be_read_is_named_by_file_line_and_column() {
    let bad = [
        ("9223372036854775808,,,,,", "id", "the value \"9223372036854775808\" is beyond the whole numbers of 64 bits"),
        ("1.5,,,,,", "id", "the value \"1.5\" is not a whole number"),
        ("1e3,,,,,", "id", "is not a whole number"),
        ("0x1f,,,,,", "id", "is not a whole number"),
        ("1,\"1,5\",,,,", "amount", "the value \"1,5\" is not a number"),
        ("1,1e999,,,,", "amount", "is beyond the floats of 64 bits"),
        ("1000.5,,,,,", "id", "is not a whole number"),
        ("1,,,maybe,,", "ok", "the value \"maybe\" is not true or false"),
        ("1,,,,31.12.2024,", "day", "the value \"31.12.2024\" is not a date as 2013-06-01"),
        ("1,,,,2024-02-30,", "day", "is not a date"),
        ("1,,,,2024-02-28 10:00,", "day", "is not a date"),
        ("1,,,,,2024-02-28", "at", "has no time zone: say which clock wrote it"),
        ("1,,,,,2024-02-28 10:00:00", "at", "has no time zone"),
        ("1,,,,,yesterday", "at", "the value \"yesterday\" is not a time as 2013-06-01 06:59:59"),
    ];
    for (row, column, what) in bad {
        let project = project("csv = \"t.csv\"", COLUMNS);
        project.write("t.csv", format!("{HEADER}7,,\"two\nlines\",,,\n{row}\n"));
        let refused = run(&project).expect(65);
        refused.says(&format!("t.csv, line 4, column {column:?}: ")).says(what);
        assert!(project.sqlite(ROWS).is_empty());
        // The first rows are looked at before any run.
        assert!(project.daymill(&["check", "j", "--offline"]).expect(65).stdout.contains(what));
    }
    let bad = [
        ("{\"id\": 1.5}", "id", "the value \"1.5\" is not a whole number"),
        ("{\"id\": 18446744073709551615}", "id", "is beyond the whole numbers of 64 bits"),
        ("{\"id\": 9007199254740992.5}", "id", "is not a whole number"),
        ("{\"id\": 1.00000000000000001}", "id", "is not a whole number"),
        ("{\"id\": \"1\"}", "id", "the value \"1\" is text, and the column is declared int"),
        ("{\"id\": 1, \"name\": 5}", "name", "there is a number, and the column is declared text"),
        ("{\"id\": 1, \"name\": [\"a\"]}", "name", "there is an array, and the column is declared text"),
        ("{\"id\": 1, \"ok\": 1}", "ok", "there is a number, and the column is declared bool"),
        ("{\"id\": 1, \"amount\": true}", "amount", "is a boolean, and the column is declared float"),
        ("{\"id\": 1, \"at\": \"2024-01-01T00:00\"}", "at", "has no time zone"),
        ("{\"id\": 1, \"id\": 1}", "id", "the key stands twice in one object"),
    ];
    for (row, column, what) in bad {
        let project = project("jsonl = \"t.jsonl\"", COLUMNS);
        project.write("t.jsonl", format!("\n{{\"id\": 7}}\n{row}\n"));
        run(&project).expect(65).says(&format!("t.jsonl, line 3, column {column:?}: ")).says(what);
    }
}

#[test]
fn nothing_of_a_value_is_dropped() {
    let exact = project("jsonl = \"t.jsonl\"", "id = \"int\"");
    exact.write("t.jsonl", "{\"id\": 9007199254740993.0}\n{\"id\": 9223372036854775807}\n");
    run(&exact).expect(0);
    assert_eq!(exact.sqlite("SELECT CAST(id AS TEXT) FROM t ORDER BY id"), ["9007199254740993", "9223372036854775807"]);
    // A thousand with a point, where commas are the decimal mark.
    let german = project("csv = \"t.csv\"\ndelimiter = \";\"\ndecimal = \",\"", "id = \"int\"");
    german.write("t.csv", "id\n12,0\n");
    run(&german).expect(0);
    assert_eq!(german.sqlite("SELECT CAST(id AS TEXT) FROM t"), ["12"]);
    german.write("t.csv", "id\n1.000\n");
    run(&german).expect(65).says("the value \"1.000\" is no number with a decimal comma");
    for (format, cell) in
        [("%Y-%m-%d %H", "2013-06-01 17"), ("%d.%m.%Y %I:%M", "01.06.2013 07:15"), ("%Y-%m-%d %z", "2013-06-01 +0200")]
    {
        let project = project(
            "csv = \"t.csv\"",
            &format!("id = \"int\"\nat = {{ type = \"timestamp\", zone = \"UTC\", format = {format:?} }}"),
        );
        project.write("t.csv", format!("id,at\n1,{cell}\n"));
        run(&project).expect(65).says(&format!("is not a time as {format}"));
    }
    // Old ends of lines, comments longer than a chunk, and fewer lines than are skipped.
    let old = project("csv = \"t.csv\"\nskip = 1\nheader = false\ncomment = \"#\"", "id = \"int\"\nname = \"text\"");
    old.write("t.csv", "title\r1,a\r2,b\r");
    run(&old).expect(0);
    assert_eq!(old.sqlite("SELECT id || name FROM t ORDER BY 1"), ["1a", "2b"]);
    old.write("t.csv", "");
    run(&old).expect(65).says("t.csv has 0 lines, and skip = 1 leaves none");
    let late = project("csv = \"t.csv\"\ncomment = \"#\"", "id = \"int\"").env("DAYMILL_LIMIT_TEXT_CHUNK", "10");
    late.write("t.csv", format!("{}\n\nid\n5\n", "# a comment\n".repeat(50)));
    run(&late).expect(0);
    assert_eq!(late.sqlite("SELECT CAST(id AS TEXT) FROM t"), ["5"]);
}

#[test]
fn a_text_that_is_not_whole_or_not_a_table_is_refused() {
    let csv = |text: &str| text.as_bytes().to_vec();
    let big = |end: &str| format!("{HEADER}{}{end}", "1,2,x,t,2024-01-01,2024-01-01T00:00:00Z\n".repeat(3000));
    let cases: [(&str, Vec<u8>, i32, &str); 19] = [
        ("t.csv", csv(&format!("{HEADER}1,2,3\n")), 65, "line 2: there are 3 cells, and the file has 6 columns"),
        ("t.csv", csv(&format!("{HEADER}1;2;3\n")), 65, "line 2: there are 1 cell, and the file has 6 columns"),
        (
            "t.csv",
            csv(&format!("{HEADER}\n1,,\"never closed,,,\n2,,,,,\n")),
            65,
            "line 3: a quote that is opened here is never closed",
        ),
        ("t.csv", csv(&format!("{HEADER}1,,\"a\"b,,,\n")), 65, "line 2: text follows a quote that was closed"),
        ("t.csv", csv(&big("1,2\n")), 65, "line 3002: there are 2 cells"),
        ("t.csv", csv(&big("1,,\"open,,,\n")), 65, "line 3002: a quote that is opened here is never closed"),
        ("t.csv", csv(""), 65, "t.csv has no header"),
        ("t.csv", csv("\n\n"), 65, "t.csv has no header"),
        ("t.csv", csv("id,amont,name,ok,day,at\n"), 65, "column \"amount\" is missing (did you mean amont?)"),
        ("t.csv", csv("id,amount,name,ok,day,at,id\n"), 65, "has two columns \"id\""),
        (
            "t.csv",
            [HEADER.as_bytes(), b"1,,ok,,,\n2,,J\xf6rg,,,\n"].concat(),
            65,
            "line 3: there are bytes that are not UTF-8",
        ),
        ("t.csv.gz", gzip(EVERY.as_bytes())[..90].to_vec(), 66, "t.csv.gz ends in the middle"),
        ("t.csv.zst", zstd(EVERY.as_bytes())[..90].to_vec(), 66, "t.csv.zst ends in the middle"),
        ("t.csv.gz", Vec::new(), 66, "t.csv.gz is not compressed as its name says"),
        ("t.csv", b"PK\x03\x04\x14\x00".to_vec(), 66, "is a zip archive (or a workbook of Excel), and not text"),
        ("t.csv", b"PAR1....".to_vec(), 66, "is a Parquet file, and not text"),
        ("t.jsonl", csv("[{\"id\": 1}]"), 65, "line 1: not a JSON object"),
        ("t.jsonl", csv("{\"id\": 1}\n{\"id\": 2"), 65, "line 2: not a JSON object"),
        (
            "t.jsonl",
            csv("{\"id\": 1, \"name\": \"x\", \"ok\": true, \"day\": null, \"at\": null}"),
            65,
            "column \"amount\" is missing",
        ),
    ];
    for (file, bytes, code, what) in cases {
        let key = if file.starts_with("t.csv") { "csv" } else { "jsonl" };
        let project = project(&format!("{key} = {file:?}"), COLUMNS);
        project.write(file, bytes);
        run(&project).expect(code).says(what);
    }
    let project = project("csv = \"t.csv\"\nencoding = \"shift_jis\"", COLUMNS);
    project.write("t.csv", [HEADER.as_bytes(), b"1,,ok,,,\n2,,\xff\xff,,,\n"].concat());
    run(&project).expect(66).says("line 3: there are bytes that are no text in Shift_JIS");
}

#[test]
fn a_day_without_rows_is_a_file_without_rows() {
    for (key, file, text) in [("csv", "t.csv", HEADER), ("jsonl", "t.jsonl", ""), ("jsonl", "t.jsonl", "\n")] {
        let project = project(&format!("{key} = {file:?}"), COLUMNS);
        project.write(file, text);
        run(&project).expect(0);
        assert_eq!(project.sqlite("SELECT count(*) || '' FROM t"), ["0"]);
    }
}

#[test]
fn what_a_job_says_of_text_is_checked() {
    for (source, columns, what) in [
        ("csv = \"t.csv\"", "", "extract.t reads text, which does not say the types of its columns"),
        ("csv = \"t.csv\"\njsonl = \"t.jsonl\"", COLUMNS, "extract.t must say where its rows come from"),
        ("csv = \"t.csv\"\ndelimiter = \"::\"", COLUMNS, "delimiter = \"::\" is not one ASCII character"),
        ("csv = \"t.csv\"\ndelimiter = \"\"", COLUMNS, "delimiter = \"\" is not one ASCII character"),
        ("csv = \"t.csv\"\nquote = \",\"", COLUMNS, "quote is the same character as another mark"),
        ("csv = \"t.csv\"\ndecimal = \",\"", COLUMNS, "the decimal mark is the same character as the delimiter"),
        ("csv = \"t.csv\"\nencoding = \"windows-1253x\"", COLUMNS, "encoding \"windows-1253x\" is not known"),
        ("csv = \"t.csv\"\nskip = -1", COLUMNS, "skip must be 0 or more"),
        ("jsonl = \"t.jsonl\"\ndelimiter = \";\"", COLUMNS, "delimiter"),
        ("csv = \"t.csv\"", "id = { type = \"int\", format = \"%d\" }", "has a format and is no date or timestamp"),
        ("csv = \"t.csv\"", "id = { type = \"date\", format = \"%Q\" }", "format = \"%Q\" cannot be read"),
        (
            "csv = \"t.csv\"",
            "id = { type = \"timestamp\", format = \"%Y-%m-%d %H:%M %Z\" }",
            "has the name of a time zone (%Z)",
        ),
        (
            "csv = \"t.csv\"",
            "id = { type = \"date\", format = \"%Y-%m-%d %H\" }",
            "has a time of day, which would be dropped",
        ),
        (
            "parquet = \"t.parquet\"",
            "id = { type = \"date\", format = \"%Y\" }",
            "has a format, and is not of a text file",
        ),
    ] {
        let said = project(source, columns).daymill(&["check", "j", "--offline"]).expect(78).stdout.clone();
        assert!(said.contains(what), "{what:?} is not in:\n{said}");
    }
}

#[test]
fn folders_lookback_and_late_files_are_as_with_parquet() {
    let columns = "id = \"int\"\nday = \"date\"\n";
    let project = project("csv = \"in/day={date}/*.csv\"\nlookback = \"1d\"\nmissing_lookback = \"allow\"", columns);
    project.edit("jobs/j.toml", "snapshot = true\n", "");
    project.write("in/day=2024-01-01/a.csv", "id,other\n1,x\n");
    project.write("in/day=2024-01-02/a.csv", "id,other\n2,x\n");
    project.write("in/day=2024-01-02/_half.csv", "id,other\n9,x");
    project.write("in/day=2024-01-02/b.csv", "other,id\nx,3\n");
    project.daymill(&["run", "j", "--date", "2024-01-02"]).expect(0).says("_half.csv");
    assert_eq!(
        project.sqlite("SELECT id || ' ' || day FROM t ORDER BY 1"),
        ["1 2024-01-01", "2 2024-01-02", "3 2024-01-02"]
    );
    let plan = || project.daymill(&["plan", "j", "--from", "2024-01-02", "--to", "2024-01-02"]).expect(0).stdout;
    assert!(!plan().contains("input changed"), "{}", plan());
    project.write("in/day=2024-01-02/b.csv", "other,id\nx,3\nx,4\n");
    assert!(plan().contains("b.csv"), "{}", plan());
    project.daymill(&["backfill", "j", "--from", "2024-01-01", "--to", "2024-01-02", "--late"]);
    std::fs::remove_file(project.path("in/day=2024-01-02/a.csv")).unwrap();
    std::fs::remove_file(project.path("in/day=2024-01-02/b.csv")).unwrap();
    project.daymill(&["run", "j", "--date", "2024-01-02"]).expect(66).says("a missing file is never an empty day");
}

#[test]
fn one_file_read_in_two_ways_is_two_tables() {
    let project = project("csv = \"t.csv\"", "id = \"int\"\nv = \"text\"");
    project.write("t.csv", "id,v\n1,\n2,NA\n");
    project.write("sql/t.sql", "SELECT t.id, t.v AS kept, u.v AS missing FROM t JOIN u ON u.id = CAST(t.id AS text)");
    project.edit(
        "jobs/j.toml",
        "[transform]",
        "[extract.u]\nsnapshot = true\ncsv = \"t.csv\"\nnulls = [\"NA\"]\n[extract.u.columns]\nid = \"text\"\nv = \"text\"\n[transform]",
    );
    // A backfill keeps what it has read, for the days that follow.
    project.daymill(&["backfill", "j", "--from", "2024-01-01", "--to", "2024-01-03"]).expect(0);
    let rows = project.sqlite("SELECT CAST(id AS TEXT), kept, missing FROM t ORDER BY interval_start, id");
    assert_eq!(rows, ["1|NULL|", "2|NA|NULL"].repeat(3));
}

#[test]
fn no_bytes_of_a_text_are_a_crash() {
    use daymill::extract::Cache;
    use daymill::extract::files::format::Column;
    use daymill::extract::files::formats;
    use daymill::extract::files::reading::Room;
    use daymill::project::job::{CsvOptions, FileFormat};
    use daymill::rows::COLUMN_TYPES;
    let folder = tempfile::tempdir().unwrap();
    let names = ["id", "amount", "name", "ok", "day", "at"];
    let kinds = COLUMN_TYPES.iter().map(|(_, kind)| *kind);
    let declared: Vec<Column> = names
        .iter()
        .zip(kinds)
        .map(|(name, kind)| Column { name: (*name).into(), kind, zone: None, uuid: false, format: None })
        .collect();
    let lines = "{\"id\": 1, \"amount\": 1.5, \"name\": \"plain\", \"day\": \"2024-02-29\", \"at\": \"2024-01-01T06:00:00Z\"}\n";
    let csv = FileFormat::Csv(CsvOptions::default());
    let seeds = [
        (&csv, EVERY.as_bytes().to_vec()),
        (&csv, gzip(EVERY.as_bytes())),
        (&csv, zstd(EVERY.as_bytes())),
        (&csv, utf16(EVERY)),
        (&FileFormat::JsonLines, lines.repeat(3).into_bytes()),
    ];
    let (mut random, mut refused) = (numbers(7), 0);
    for (number, (format, seed)) in seeds.iter().enumerate() {
        for round in 0..300 {
            let mut bytes = seed.clone();
            for _ in 0..=random() % 3 {
                let at = random() as usize % bytes.len();
                match random() % 4 {
                    0 => bytes[at] ^= 1 << (random() % 8),
                    1 => bytes.truncate(at + 1),
                    2 => bytes.insert(at, b"\"',;\n\r\\{}[]\0\xff0e-"[random() as usize % 16]),
                    _ => drop(bytes.drain(at..(at + 5).min(bytes.len()))),
                }
                if bytes.is_empty() {
                    bytes.push(b'x');
                }
            }
            let path = folder.path().join(format!("{number}-{round}.txt"));
            std::fs::write(&path, &bytes).unwrap();
            let read = formats::of(format).open(&path, &declared, &Room::of(1 << 20), &Cache::default());
            refused += usize::from(read.is_err());
            std::fs::remove_file(&path).unwrap();
        }
    }
    assert!((500..1500).contains(&refused), "{refused} of 1500 were refused");
}

/// A row of numbers that is the same at every run.
fn numbers(seed: u64) -> impl FnMut() -> u64 {
    let mut state = seed;
    move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state >> 33
    }
}

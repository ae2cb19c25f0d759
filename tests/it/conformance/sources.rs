//! Every source: the same rows of all types, none and many, declared columns, hostile names, versions. What is particular to
//! a kind is in `text`, `writers`, `files`, `postgres` and `faults`.

use std::io::Write;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Date32Array, Float64Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use chrono::{DateTime, NaiveDate};
use daymill::project::job::FileFormat;
use parquet::arrow::ArrowWriter;

use crate::support::*;

/// All kinds. A new one is a line here and an arm in [`Place::fill`].
const KINDS: [&str; 5] = ["parquet", "csv", "csv.gz", "jsonl", "postgres"];

const COLUMNS: &str =
    "id = \"int\"\n\"f\\\"'\" = \"float\"\nt = \"text\"\nb = \"bool\"\nd = \"date\"\nat = \"timestamp\"\n";
const DAY: &str = "2024-01-01";

/// A row: the values as text that every kind knows how to write.
type Row = (i64, Option<f64>, Option<String>, Option<bool>, Option<&'static str>, Option<&'static str>);

fn rows() -> Vec<Row> {
    let text = |text: &str| Some(text.to_owned());
    vec![
        (1, Some(1.5), text("plain"), Some(true), Some("2024-02-29"), Some("2024-01-01T06:00:00.123456Z")),
        (i64::MIN, Some(-f64::MAX), text("-"), Some(false), Some("0001-01-01"), Some("0001-01-01T00:00:00Z")),
        (
            i64::MAX,
            Some(5e-324),
            text("ü, 'one' \"two\" \\ ;\n\tx"),
            None,
            Some("9999-12-31"),
            Some("9999-12-31T23:59:59.999999Z"),
        ),
        (4, None, None, None, None, None),
        (
            5,
            Some(0.1 + 0.2),
            text(&"long ".repeat(20_000)),
            Some(true),
            Some("1969-12-31"),
            Some("1969-12-31T23:59:59.999999Z"),
        ),
    ]
}

fn many(n: i64) -> Vec<Row> {
    let row = |id| {
        (
            id,
            Some(id as f64 / 7.0),
            Some(format!("row {id}")),
            Some(id % 3 == 0),
            Some("2024-01-01"),
            Some("2024-01-01T00:00:00Z"),
        )
    };
    (0..n).map(row).collect()
}

/// A project whose one table comes from a source of some kind.
struct Place {
    kind: &'static str,
    project: Project,
    database: Option<Database>,
}

impl Place {
    fn new(kind: &'static str) -> Place {
        let project = Project::empty();
        let database = (kind == "postgres").then(Database::new);
        let target = "[target.t]\nkind = \"sqlite\"\npath = \".daymill/warehouse.sqlite\"\n";
        let project = match &database {
            Some(database) => {
                project.write("daymill.toml", format!("[connection.c]\nurl = \"${{env:SOURCE_URL}}\"\n{target}"));
                project.write("sql/rows.sql", "SELECT * FROM rows WHERE :date IS NOT NULL");
                project.env("SOURCE_URL", &database.url)
            }
            None => {
                project.write("daymill.toml", target);
                project
            }
        };
        project.write("sql/j.sql", "SELECT id, \"f\"\"'\" AS f, t, b, d, at FROM rows");
        let place = Place { kind, project, database };
        place.job(COLUMNS);
        place
    }

    fn job(&self, columns: &str) {
        let source = match self.kind {
            "postgres" => "connection = \"c\"\nsql = \"sql/rows.sql\"".to_owned(),
            kind => format!("{} = \"in/{{date}}.{kind}\"", kind.trim_end_matches(".gz")),
        };
        self.project.write(
            "jobs/j.toml",
            format!(
                "timezone = \"UTC\"\nkey = [\"id\"]\non_empty = \"replace\"\n[extract.rows]\n{source}\n[extract.rows.columns]\n{columns}\n\
                 [transform]\nsql = \"sql/j.sql\"\n[load]\ntable = \"out\"\n"
            ),
        );
    }

    /// Puts rows there, with a column more than the job declares.
    fn fill(&self, rows: &[Row]) {
        let file = format!("in/{DAY}.{}", self.kind);
        match self.kind {
            "parquet" => self.project.write(&file, parquet(rows)),
            "csv" => self.project.write(&file, csv(rows)),
            "csv.gz" => {
                let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
                out.write_all(csv(rows).as_bytes()).unwrap();
                self.project.write(&file, out.finish().unwrap());
            }
            "jsonl" => self.project.write(&file, jsonl(rows)),
            "postgres" => {
                let values = rows.iter().map(|(id, f, t, b, d, at)| {
                    let t = t.as_ref().map_or("NULL".into(), |t| format!("'{}'", t.replace('\'', "''")));
                    let quoted = |text: &Option<&str>| text.map_or("NULL".into(), |text| format!("'{text}'"));
                    let plain = |text: Option<String>| text.unwrap_or("NULL".into());
                    let id = if *id == i64::MIN { "'-9223372036854775808'".to_owned() } else { id.to_string() };
                    let f = plain(f.map(|f| format!("'{f:e}'")));
                    format!("({id}, {f}, {t}, {}, {}, {}, 0)", plain(b.map(|b| b.to_string())), quoted(d), quoted(at))
                });
                let values: Vec<String> = values.collect();
                let insert = if rows.is_empty() {
                    String::new()
                } else {
                    format!("INSERT INTO rows VALUES {}", values.join(", "))
                };
                self.database.as_ref().unwrap().execute(&format!(
                    "DROP TABLE IF EXISTS rows; CREATE TABLE rows (id bigint, \"f\"\"'\" double precision, t text, b boolean, d date, \
                     at timestamptz, more int); {insert}"
                ));
            }
            other => panic!("say how the rows of {other} are written"),
        }
    }

    fn run(&self) -> Outcome {
        self.project.daymill(&["run", "j", "--date", DAY])
    }

    /// What `plan` says of the day.
    fn plan(&self) -> String {
        self.project.daymill(&["plan", "j", "--from", DAY, "--to", DAY, "--deep"]).expect(0).stdout
    }
}

fn parquet(rows: &[Row]) -> Vec<u8> {
    let day = |text: &&str| text.parse::<NaiveDate>().unwrap().to_epoch_days();
    let at = |text: &&str| text.parse::<DateTime<chrono::Utc>>().unwrap().timestamp_micros();
    let columns: [(&str, ArrayRef); 7] = [
        ("id", Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.0)))),
        ("f\"'", Arc::new(Float64Array::from_iter(rows.iter().map(|row| row.1)))),
        ("t", Arc::new(StringArray::from_iter(rows.iter().map(|row| row.2.as_ref())))),
        ("b", Arc::new(BooleanArray::from_iter(rows.iter().map(|row| row.3)))),
        ("d", Arc::new(Date32Array::from_iter(rows.iter().map(|row| row.4.as_ref().map(day))))),
        (
            "at",
            Arc::new(
                TimestampMicrosecondArray::from_iter(rows.iter().map(|row| row.5.as_ref().map(at)))
                    .with_timezone("UTC"),
            ),
        ),
        ("more", Arc::new(Int64Array::from_iter_values(rows.iter().map(|_| 0)))),
    ];
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.into_inner().unwrap()
}

fn csv(rows: &[Row]) -> String {
    let quoted = |text: &str| format!("\"{}\"", text.replace('"', "\"\""));
    let mut out = format!("id,{},t,b,d,at,more\n", quoted("f\"'"));
    for (id, f, t, b, d, at) in rows {
        let f = f.map(|f| format!("{f:e}")).unwrap_or_default();
        let b = b.map(|b| b.to_string()).unwrap_or_default();
        let t = t.as_ref().map(|t| quoted(t)).unwrap_or_default();
        out += &format!("{id},{f},{t},{b},{},{},0\r\n", d.unwrap_or_default(), at.unwrap_or_default());
    }
    out
}

fn jsonl(rows: &[Row]) -> String {
    let row = |(id, f, t, b, d, at): &Row| {
        serde_json::json!({"id": id, "f\"'": f, "t": t, "b": b, "d": d, "at": at, "more": 0}).to_string() + "\n"
    };
    rows.iter().map(row).collect()
}

fn places() -> impl Iterator<Item = Place> {
    KINDS.into_iter().map(Place::new)
}

#[test]
fn every_source_gives_the_same_rows() {
    let mut hashes = Vec::new();
    for place in places() {
        place.fill(&rows());
        place.project.daymill(&["check", "j"]).expect(0);
        place.run().expect(0);
        let report = place.project.run_json();
        assert_eq!(report["inputs"][0]["ignored"], serde_json::json!(["more"]), "{}", place.kind);
        assert_eq!(report["inputs"][0]["rows"], 5, "{}", place.kind);
        hashes.push((place.kind, report["content_hash"].as_str().unwrap().to_owned()));
    }
    assert!(hashes.iter().all(|(_, hash)| *hash == hashes[0].1), "{hashes:?}");
}

#[test]
fn none_or_many_rows_are_the_same_rows_too() {
    for rows in [Vec::new(), many(70_000)] {
        let mut hashes = Vec::new();
        for place in places() {
            place.fill(&rows);
            // Large enough for the ways that only large tables take.
            for (small, chunk) in [("16777216", "65536"), ("1000", "5000")] {
                let command = &["run", "j", "--date", DAY];
                let mut run = place.project.command(command);
                run.env("DAYMILL_LIMIT_SMALL_FILE", small).env("DAYMILL_LIMIT_CHUNK_ROWS", chunk);
                outcome(run.output().unwrap()).expect(0);
                let report = place.project.run_json();
                assert_eq!(report["rows"]["published"], rows.len());
                hashes.push((place.kind, report["content_hash"].as_str().unwrap().to_owned()));
            }
        }
        assert!(hashes.iter().all(|(_, hash)| *hash == hashes[0].1), "{hashes:?}");
    }
}

#[test]
fn a_source_must_have_the_declared_columns() {
    for place in places() {
        place.fill(&rows());
        let typed = !matches!(place.kind, "csv" | "csv.gz" | "jsonl");
        for (from, to, what) in [
            ("t = \"text\"", "tt = \"text\"", "column \"tt\" is missing"),
            (
                "b = \"bool\"",
                "b = \"date\"",
                if typed { "column \"b\" is declared date and is" } else { "column \"b\"" },
            ),
            ("d = \"date\"", "d = \"int\"", if typed { "column \"d\" is declared int and is" } else { "column \"d\"" }),
        ] {
            place.job(&COLUMNS.replace(from, to));
            let refused = place.run().expect(65);
            assert!(refused.stderr.contains(what), "{}: {what:?} is not in {}", place.kind, refused.stderr);
            let checked = place.project.daymill(&["check", "j"]);
            // A key of JSON that is missing so far may come.
            let late = place.kind == "jsonl" && from.starts_with("t =");
            assert!(checked.code == 65 || late, "{}: {} {}", place.kind, checked.code, checked.stdout);
        }
    }
}

#[test]
fn what_changed_is_told_and_what_did_not_is_not() {
    for place in places() {
        place.fill(&rows());
        place.run().expect(0);
        assert!(place.plan().contains("0 of 1 intervals to run"), "{}: {}", place.kind, place.plan());
        // Written again with the same content.
        std::thread::sleep(std::time::Duration::from_millis(20));
        place.fill(&rows());
        assert!(place.plan().contains("0 of 1 intervals to run"), "{}: {}", place.kind, place.plan());
        place.fill(&many(3));
        assert!(
            place.plan().contains("input changed") || place.plan().contains("late"),
            "{}: {}",
            place.kind,
            place.plan()
        );
    }
}

#[test]
fn a_source_that_is_not_there_is_an_error_and_no_empty_day() {
    for place in places() {
        place.fill(&rows());
        place.run().expect(0);
        let gone = match &place.database {
            Some(database) => {
                database.execute("DROP TABLE rows");
                65
            }
            None => {
                std::fs::remove_file(place.project.path(&format!("in/{DAY}.{}", place.kind))).unwrap();
                66
            }
        };
        place.run().expect(gone);
        assert_eq!(place.project.sqlite("SELECT count(*) || '' FROM out"), ["5"]);
    }
}

#[test]
fn every_kind_of_file_is_asked() {
    for format in FileFormat::all() {
        assert!(KINDS.contains(&format.key()), "no kind {:?} is in KINDS", format.key());
    }
}

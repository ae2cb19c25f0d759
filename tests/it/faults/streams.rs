//! A large table of Postgres that is transformed, scored and loaded while it is still being read: the same rows as when
//! it is read first, in any pieces, and the same promises when it ends in the middle.

use std::time::{Duration, Instant};

use super::proxy::{Proxy, Trick};
use super::{Random, full, seed};
use crate::support::*;

const ROWS: i64 = 5000;
const RUN: [&str; 6] = ["run", "feed", "--date", "2020-03-02", "--output", "json"];
/// One row for each row of the source, and a name from another table.
const ROWWISE: &str = "SELECT t.id, upper(t.word) AS word, t.v * 2.0 AS value, n.name \
                       FROM ticks AS t LEFT JOIN names AS n ON t.kind = n.kind WHERE t.v >= 0";

/// A database with a table of a few thousand rows, and a project that reads it in small pieces.
struct Stream {
    database: Database,
    project: Project,
}

impl Stream {
    /// `target` is sqlite or postgres.
    fn new(target: &str) -> Stream {
        let database = Database::new();
        database.execute(&format!(
            "CREATE TABLE ticks (id bigint, word text, kind smallint, v double precision); \
             INSERT INTO ticks SELECT i, 'word ' || i, i % 7, (i * 37 % 1001 - 3) / 8.0 FROM generate_series(1, {ROWS}) AS i; \
             CREATE TABLE names (kind integer, name text); \
             INSERT INTO names SELECT i, 'kind ' || i FROM generate_series(0, 4) AS i"
        ));
        let project = Project::empty().env("DAYMILL_SOURCE", &database.url).env("DAYMILL_HOUSE", &database.url);
        project.write(
            "daymill.toml",
            "[connection.source]\nurl = \"${env:DAYMILL_SOURCE}\"\n[connection.house]\nurl = \"${env:DAYMILL_HOUSE}\"\n\
             [target.postgres]\nkind = \"postgres\"\nconnection = \"house\"\n\
             [target.sqlite]\nkind = \"sqlite\"\npath = \"house.sqlite\"\n",
        );
        project.write(
            "jobs/feed.toml",
            "timezone = \"UTC\"\nkey = [\"id\"]\n[extract.ticks]\nconnection = \"source\"\nsql = \"sql/ticks.sql\"\nsnapshot = true\n\
             [extract.names]\nconnection = \"source\"\nsql = \"sql/names.sql\"\nsnapshot = true\n\
             [transform]\nsql = \"sql/feed.sql\"\n[load]\ntable = \"feed\"\n",
        );
        project.write("sql/ticks.sql", "SELECT * FROM ticks WHERE :date = DATE '2020-03-02'");
        project.write("sql/names.sql", "SELECT * FROM names");
        project.write("sql/feed.sql", ROWWISE);
        let project = project.env("DAYMILL_TARGET", target);
        Stream { database, project }
    }

    fn pieces(self, rows: &str) -> Stream {
        let project = self.project.env("DAYMILL_LIMIT_CHUNK_ROWS", rows).env("DAYMILL_LIMIT_CHUNK_BYTES", "2000");
        Stream { project, ..self }
    }

    fn published(&self) -> Vec<String> {
        self.database.rows("SELECT * FROM (SELECT id, word, value, name FROM feed ORDER BY id) AS f")
    }

    /// A run whose source waits for this can be stopped at once.
    fn stops_while(&self, wait_event: &str) {
        let child = self.project.start("", &RUN);
        let waiting = format!(
            "SELECT 1 FROM pg_stat_activity WHERE wait_event = '{wait_event}' AND datname = current_database() \
             AND application_name LIKE 'daymill%'"
        );
        until("the source waits", || !self.database.rows(&waiting).is_empty());
        let at = Instant::now();
        signal(&child, "TERM");
        finish(child).expect(143);
        assert!(at.elapsed() < Duration::from_secs(4), "{:?}", at.elapsed());
    }

    /// No session of the program is left, soon.
    fn nothing_left(&self) {
        let left = "SELECT application_name FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'daymill%'";
        until("every session of the program is gone", || self.database.rows(left).is_empty());
    }
}

fn streamed(report: &serde_json::Value) -> Vec<&str> {
    let inputs = report["inputs"].as_array().unwrap();
    inputs.iter().filter(|input| input["streamed"] == true).map(|input| input["table"].as_str().unwrap()).collect()
}

#[test]
fn s01_pieces_of_any_size_give_the_rows_of_the_whole() {
    for target in ["sqlite", "postgres"] {
        let whole = Stream::new(target);
        let expected = whole.project.daymill(&RUN).expect(0).json();
        assert!(streamed(&expected).is_empty());
        assert_eq!(expected["rows"]["extracted"], ROWS + 5);
        for (rows, threads) in [("64", "1"), ("333", "2"), ("2000", "4"), ("2500", "1")] {
            let stream = Stream::new(target).pieces(rows);
            let report = stream.project.daymill(&[&RUN[..], &["--threads", threads]].concat()).expect(0).json();
            assert_eq!(streamed(&report), ["ticks"], "{rows}");
            for same in ["content_hash", "rows"] {
                assert_eq!(report[same], expected[same], "{same} with {rows} rows a piece");
            }
            let without = |report: &serde_json::Value| {
                let mut inputs = report["inputs"].as_array().unwrap().clone();
                for input in &mut inputs {
                    let input = input.as_object_mut().unwrap();
                    input.remove("streamed");
                    input.remove("from");
                }
                inputs
            };
            assert_eq!(without(&report), without(&expected));
        }
        // A table that ends with a chunk, or within the first, is not worth it; the rows are the same.
        let one = Stream::new(target).pieces("5000").project.daymill(&RUN).expect(0).json();
        assert!(streamed(&one).is_empty());
        assert_eq!(one["content_hash"], expected["content_hash"]);
    }
}

#[test]
fn s02_a_transform_that_looks_at_all_rows_gets_all_rows() {
    for sql in [
        "SELECT id, word, v - avg(v) OVER (PARTITION BY kind) AS value, 'x' AS name FROM ticks",
        "SELECT min(id) AS id, min(word) AS word, sum(v) AS value, 'x' AS name FROM ticks GROUP BY kind",
        "SELECT id, word, v AS value, 'x' AS name FROM ticks ORDER BY v, id LIMIT 100",
        "SELECT a.id, a.word, b.v AS value, 'x' AS name FROM ticks AS a JOIN ticks AS b ON a.id = b.id",
    ] {
        let hash = |stream: Stream| {
            stream.project.write("sql/feed.sql", sql);
            let report = stream.project.daymill(&RUN).expect(0).json();
            assert!(streamed(&report).is_empty(), "{sql}");
            report["content_hash"].clone()
        };
        assert_eq!(hash(Stream::new("sqlite").pieces("64")), hash(Stream::new("sqlite")), "{sql}");
    }
}

#[test]
fn s03_a_query_that_fails_in_the_middle_publishes_nothing() {
    for target in ["postgres", "sqlite"] {
        let stream = Stream::new(target).pieces("64");
        stream.project.daymill(&RUN).expect(0);
        let before = stream.published();
        // The server fails at the row, then the engine does, then the checks.
        let source = "SELECT id, word, kind, v / (id - 4321) AS v FROM ticks";
        stream.project.write("sql/ticks.sql", source);
        let ended = stream.project.daymill(&RUN);
        let said = ended.stderr.clone();
        ended.expect(65).says("division by zero").says("ticks.sql");
        assert!(said.contains("table ticks"), "{said}");
        stream
            .project
            .write("sql/ticks.sql", "SELECT id, CASE WHEN id = 4321 THEN 'x' ELSE '1' END AS word, kind, v FROM ticks");
        let cast = "SELECT t.id, t.word, CAST(t.word AS DOUBLE) AS value, n.name FROM ticks AS t LEFT JOIN names AS n ON t.kind = n.kind";
        stream.project.write("sql/feed.sql", cast);
        stream.project.daymill(&RUN).expect(65).says("feed.sql");
        if target == "postgres" {
            assert_eq!(stream.published(), before);
            assert_eq!(before.len(), ROWS as usize - stream.database.rows("SELECT 1 FROM ticks WHERE v < 0").len());
        }
        stream.nothing_left();
    }
}

#[test]
fn s04_keys_that_repeat_are_named_wherever_the_rows_are() {
    for (target, path) in [("postgres", "direct"), ("postgres", "staged"), ("sqlite", "direct")] {
        let stream = Stream::new(target).pieces("64");
        stream
            .database
            .execute("UPDATE ticks SET id = 4000 WHERE id IN (17, 18); UPDATE ticks SET id = 5 WHERE id = 4999");
        let way = ["--load-path", path];
        let ended = stream.project.daymill(&[&RUN[..], if target == "postgres" { &way } else { &[] }].concat());
        ended.expect(65).says("the key (id) is not unique").says("id=5 on 2 rows").says("id=4000 on 3 rows");
        assert!(stream.published().is_empty());
        stream.nothing_left();
    }
}

#[test]
fn s05_a_source_that_is_cut_anywhere_is_read_again_from_the_start() {
    let mut random = Random(seed());
    let mut cuts = 0;
    for round in 0..if full() { 40 } else { 6 } {
        let stream = Stream::new("postgres").pieces("64");
        stream.project.daymill(&RUN).expect(0);
        let expected = stream.published();
        let at = 2000 + random.below(150_000);
        let proxy = Proxy::new(&stream.database.url, Trick::CutAnswerAt(at));
        let mut command = stream.project.command(&RUN);
        let ended = outcome(command.env("DAYMILL_SOURCE", proxy.url(&stream.database.url)).output().unwrap());
        let report = ended.expect(0).json();
        assert_eq!(streamed(&report), ["ticks"]);
        assert_eq!(stream.published(), expected, "round {round}, cut at {at}");
        cuts += u32::from(proxy.happened());
        stream.nothing_left();
    }
    assert!(cuts > 0, "no connection was cut");
}

#[test]
fn s06_a_source_that_falls_silent_is_given_up_and_asked_again() {
    let stream = Stream::new("postgres").pieces("64");
    stream.project.daymill(&RUN).expect(0);
    let expected = stream.published();
    let proxy = Proxy::new(&stream.database.url, Trick::SwallowAnswerAt(60_000));
    let at = Instant::now();
    let mut command = stream.project.command(&RUN);
    let ended = outcome(command.env("DAYMILL_SOURCE", proxy.url(&stream.database.url)).output().unwrap());
    assert!(proxy.happened());
    ended.expect(0);
    assert!(at.elapsed() < Duration::from_secs(60), "{:?}", at.elapsed());
    assert_eq!(stream.published(), expected);
}

#[test]
fn s07_a_signal_does_not_wait_for_a_slow_source() {
    let stream = Stream::new("postgres").pieces("64");
    stream.project.daymill(&RUN).expect(0);
    let expected = stream.published();
    // Some rows come at once, the next after a long time.
    stream
        .project
        .write("sql/ticks.sql", "SELECT id, word, kind, v FROM ticks WHERE id < 4000 OR pg_sleep(30) IS NULL");
    stream.stops_while("PgSleep");
    assert_eq!(stream.published(), expected);
    // And a table that somebody has locked.
    stream.project.write("sql/ticks.sql", "SELECT id, word, kind, v FROM ticks");
    let url = stream.database.url.clone();
    let keeper = std::thread::spawn(move || {
        Database { url }.execute("BEGIN; LOCK TABLE ticks IN ACCESS EXCLUSIVE MODE; SELECT pg_sleep(6); ROLLBACK")
    });
    stream.stops_while("relation");
    keeper.join().unwrap();
    assert_eq!(stream.published(), expected);
}

#[test]
fn s08_a_new_table_gets_its_index_after_its_first_rows() {
    let stream = Stream::new("postgres").pieces("64");
    let index = "SELECT indexdef FROM pg_indexes WHERE tablename = 'feed'";
    for _ in 0..2 {
        stream.project.daymill(&RUN).expect(0);
        let found = stream.database.rows(index);
        assert!(found.len() == 1 && found[0].contains("btree (interval_start, id)"), "{found:?}");
    }
    // Where intervals are large, a summary of pages; rows are replaced as ever.
    let large = Stream::new("postgres").pieces("64");
    let large = Stream { project: large.project.env("DAYMILL_LIMIT_LARGE_INTERVAL", "1000"), ..large };
    for _ in 0..2 {
        large.project.daymill(&RUN).expect(0);
        let found = large.database.rows(index);
        assert!(found.len() == 1 && found[0].contains("brin (interval_start)"), "{found:?}");
        let pages = "SELECT pg_relation_size('feed') > 0, brin_summarize_new_values(indexrelid) FROM pg_index WHERE indrelid = 'feed'::regclass";
        assert_eq!(large.database.rows(pages), ["(t,0)"], "pages were left for later");
        assert_eq!(large.published(), stream.published());
    }
    let lite = Stream::new("sqlite").pieces("64");
    lite.project.daymill(&RUN).expect(0);
    let found = rows_of(
        &lite.project.path("house.sqlite"),
        "SELECT sql FROM sqlite_master WHERE type = 'index' AND tbl_name = 'feed'",
    );
    assert!(found.len() == 1 && found[0].contains("interval_start"), "{found:?}");
}

/// Files of one day, in groups of rows that do not divide anything.
fn files(project: &Project) {
    use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
    use std::sync::Arc;
    let midnight = 1_583_107_200_000_000_i64; // 2020-03-02
    for (part, rows, group) in [("a", 3100_i64, 307), ("b", 1900, 150), ("c", 0, 10)] {
        let ids: Vec<i64> = (0..rows).map(|i| i + if part == "b" { 10_000 } else { 0 }).collect();
        let columns: [(&str, ArrayRef); 4] = [
            ("id", Arc::new(Int64Array::from(ids.clone()))),
            ("word", Arc::new(StringArray::from_iter_values(ids.iter().map(|i| format!("word {i}"))))),
            ("v", Arc::new(Float64Array::from_iter(ids.iter().map(|i| (i % 11 != 0).then_some(*i as f64 / 8.0))))),
            // A few rows of the days before and after.
            (
                "at",
                Arc::new(
                    TimestampMicrosecondArray::from_iter_values(
                        ids.iter().map(|i| midnight + (i % 5000 - 100) * 18_000_000),
                    )
                    .with_timezone("UTC"),
                ),
            ),
        ];
        let batch = RecordBatch::try_from_iter(columns).unwrap();
        let path = project.path(&format!("data/region=north/{part}.parquet"));
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let properties =
            parquet::file::properties::WriterProperties::builder().set_max_row_group_row_count(Some(group)).build();
        let file = std::fs::File::create(path).unwrap();
        let mut writer = parquet::arrow::ArrowWriter::try_new(file, batch.schema(), Some(properties)).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
    }
}

#[test]
fn s09_long_files_in_pieces_give_the_rows_of_the_whole() {
    let run = |pieces: &str, small: &str, sql: &str| {
        let stream = Stream::new("sqlite");
        files(&stream.project);
        let ticks = "[extract.ticks]\nparquet = \"data/region=north/*.parquet\"\ntime_column = \"at\"\n";
        let names = "[extract.names]\nconnection = \"source\"\nsql = \"sql/names.sql\"\n";
        let rest = "[transform]\nsql = \"sql/feed.sql\"\n[load]\ntable = \"feed\"\n";
        stream.project.write("jobs/feed.toml", format!("timezone = \"UTC\"\nkey = [\"id\"]\n{ticks}{names}{rest}"));
        stream.project.write("sql/feed.sql", sql);
        let project = stream.project.env("DAYMILL_LIMIT_CHUNK_ROWS", pieces).env("DAYMILL_LIMIT_SMALL_FILE", small);
        let report = project.daymill(&RUN).expect(0).json();
        assert_eq!(report["rows"]["extracted"], 5005);
        (report["content_hash"].clone(), report["rows"]["published"].as_i64().unwrap())
    };
    let rowwise = "SELECT t.id, t.word, t.v, t.region, n.name FROM ticks AS t LEFT JOIN names AS n ON t.id = n.kind";
    let whole = "SELECT id, word, sum(v) OVER () AS v, region, 'x' AS name FROM ticks";
    for sql in [rowwise, whole] {
        let expected = run("1000000", "16777216", sql);
        assert!((4000..5000).contains(&expected.1), "{expected:?}");
        for (pieces, small) in [("64", "16777216"), ("64", "0"), ("333", "0"), ("700", "16777216"), ("1000000", "0")] {
            assert_eq!(run(pieces, small, sql), expected, "{pieces} rows a piece, small up to {small}: {sql}");
        }
    }
}

#[test]
fn s10_memory_does_not_follow_the_table() {
    let rows = if full() { 10_000_000 } else { 1_500_000 };
    let stream = Stream::new("sqlite");
    stream.project.write("sql/feed.sql", "SELECT id, word, v AS value FROM ticks WHERE id % 100 = 0");
    let mut peaks = Vec::new();
    for rows in [rows / 5, rows] {
        let wide = "SELECT i::bigint AS id, 'word ' || i AS word, 1 AS kind, i::float8 AS v, repeat('x', 100) AS pad";
        stream.project.write("sql/ticks.sql", format!("{wide} FROM generate_series(1, {rows}) AS i"));
        let report = stream.project.daymill(&RUN).expect(0).json();
        assert_eq!(streamed(&report), ["ticks"]);
        assert_eq!(report["rows"]["published"], rows / 100);
        peaks.push(report["peak_memory_mb"].as_i64().unwrap());
    }
    eprintln!("peak memory: {} MB for {} rows, {} MB for {rows}", peaks[0], rows / 5, peaks[1]);
    // All of it would be 200 MB more.
    assert!(peaks[1] < peaks[0] * 5 / 4, "{peaks:?} MB");
}

#[test]
fn s11_a_backfill_streams_each_day_on_kept_sessions() {
    let days = |stream: Stream, jobs: &str| {
        let ticks = "SELECT id, word, kind, v + EXTRACT(day FROM :date)::int AS v FROM ticks";
        stream.project.write("sql/ticks.sql", ticks);
        let arguments = ["backfill", "feed", "--from", "2020-03-01", "--to", "2020-03-05", "--yes", "--output", "json"];
        let report = stream.project.daymill(&[&arguments[..], &["--jobs", jobs]].concat()).expect(0).json();
        let hashes: Vec<String> =
            report["intervals"].as_array().unwrap().iter().map(|i| i["content_hash"].to_string()).collect();
        assert_eq!(hashes.len(), 5);
        let runs =
            glob::glob(&stream.project.path(".daymill/runs/*/run.json").display().to_string()).unwrap().flatten();
        let reports = runs.map(|path| std::fs::read_to_string(path).unwrap());
        let streams =
            reports.filter(|report| report.contains("\"streamed\":true") || report.contains("\"streamed\": true"));
        let streams = streams.count();
        stream.nothing_left();
        (hashes, streams)
    };
    let (expected, none) = days(Stream::new("postgres"), "1");
    assert_eq!(none, 0);
    for jobs in ["1", "3"] {
        let (hashes, streams) = days(Stream::new("postgres").pieces("333"), jobs);
        assert_eq!((hashes, streams), (expected.clone(), 5), "{jobs} workers");
    }
}

#[test]
fn s12_other_tables_may_be_the_larger_ones() {
    let run = |stream: Stream| {
        stream.database.execute("INSERT INTO names SELECT 10 + i, 'more ' || i FROM generate_series(1, 20000) AS i");
        stream.project.daymill(&RUN).expect(0).json()["content_hash"].clone()
    };
    assert_eq!(run(Stream::new("sqlite").pieces("64")), run(Stream::new("sqlite")));
}

#[test]
fn s13_first_loads_of_two_tables_do_not_wait_for_one_another() {
    let stream = Stream::new("postgres").pieces("64");
    let job = std::fs::read_to_string(stream.project.path("jobs/feed.toml")).unwrap();
    stream
        .project
        .write("jobs/slow.toml", job.replace("sql/ticks.sql", "sql/slow.sql").replace("\"feed\"", "\"slow\""));
    // Some rows come at once, so that its table is made, the rest much later.
    let slow = "SELECT id, word, kind, v FROM ticks WHERE id <> 4000 OR pg_sleep(20) IS NULL";
    stream.project.write("sql/slow.sql", slow);
    let child = stream.project.start("", &["run", "slow", "--date", "2020-03-02"]);
    let made = "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND classid = 7237118 \
                AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
    until("the slow table is being made", || !stream.database.rows(made).is_empty());
    let at = Instant::now();
    stream.project.daymill(&RUN).expect(0);
    assert!(at.elapsed() < Duration::from_secs(8), "{:?}", at.elapsed());
    signal(&child, "TERM");
    finish(child).expect(143);
}

#[test]
fn s14_a_file_that_is_replaced_between_two_pieces_is_read_again_whole() {
    let stream = Stream::new("sqlite");
    files(&stream.project);
    let ticks = "[extract.ticks]\nparquet = \"data/region=north/*.parquet\"\ntime_column = \"at\"\n";
    let rest = "[transform]\nsql = \"sql/feed.sql\"\n[load]\ntable = \"feed\"\n";
    stream.project.write("jobs/feed.toml", format!("timezone = \"UTC\"\nkey = [\"id\"]\n{ticks}{rest}"));
    stream.project.write("sql/feed.sql", "SELECT id, word, v FROM ticks");
    let project = stream.project.env("DAYMILL_LIMIT_CHUNK_ROWS", "300").env("DAYMILL_LIMIT_SMALL_FILE", "0");
    let folder = project.path("data/region=north");
    std::fs::copy(folder.join("c.parquet"), project.path("other.parquet")).unwrap();
    let child = project.start("batch-loaded=1*sleep(4000)", &RUN);
    until("the run", || project.daymill(&["runs"]).stdout.contains("running"));
    std::thread::sleep(Duration::from_millis(1500));
    // Whole and of the same columns: only its being another file tells.
    std::fs::rename(project.path("other.parquet"), folder.join("b.parquet")).unwrap();
    let ended = finish(child).expect(0).says("b.parquet changed while it was being read; trying again");
    let report = ended.json();
    assert_eq!((report["rows"]["extracted"].as_i64(), report["rows"]["published"].as_i64()), (Some(3100), Some(3000)));
}

#[test]
fn s15_the_snapshot_of_a_source_ends_with_its_last_row() {
    // A few pieces, of which the server need not wait for any while the first is loaded.
    let Stream { database, project } = Stream::new("sqlite");
    let project = project.env("DAYMILL_LIMIT_CHUNK_ROWS", "64").env("DAYMILL_LIMIT_CHUNK_BYTES", "60000");
    let child = project.start("batch-loaded=1*sleep(3000)", &RUN);
    let sessions = |state: &str| {
        let all = "FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'daymill%'";
        database.rows(&format!("SELECT pid {all} AND {state}"))
    };
    // An old snapshot would hold up every vacuum meanwhile.
    until("the snapshot has ended", || !sessions("state = 'idle' AND query = 'COMMIT'").is_empty());
    assert_eq!(sessions("(backend_xmin IS NOT NULL OR xact_start IS NOT NULL)"), Vec::<String>::new());
    assert_eq!(streamed(&finish(child).expect(0).json()), ["ticks"]);
}

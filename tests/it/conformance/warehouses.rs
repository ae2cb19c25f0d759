//! Every warehouse: all types, no rows and many, hostile names, replacement, read back, loss, settle and fence. Kills, races,
//! full disks and readers at work are in `faults`, on a scene of each kind.

use std::path::PathBuf;
use std::time::Duration;

use crate::support::*;

/// A kind of warehouse.
pub(super) struct House {
    pub(super) project: Project,
    pub(super) database: Option<Database>,
    /// The folder of the Parquet files.
    pub(super) lake: Option<PathBuf>,
}

/// All kinds. A new one is a line here.
pub(super) fn houses() -> Vec<House> {
    ["sqlite", "postgres", "parquet"].into_iter().map(House::new).collect()
}

const COLUMNS: &str = "id = \"int\"\nf = \"float\"\nt = \"text\"\nb = \"bool\"\nd = \"date\"\nat = \"timestamp\"\n";
pub(super) const SQL: &str = "SELECT id, f, CAST(CAST(id % 1000 AS real) / 3 AS real) AS r, t, b, d, CAST(at AS timestamp) AS local, at FROM rows";
pub(super) const DAY: [&str; 4] = ["run", "j", "--date", "2024-01-01"];

impl House {
    pub(super) fn new(kind: &str) -> House {
        let project = Project::empty();
        let database = (kind == "postgres").then(Database::new);
        let target = match kind {
            "postgres" => {
                "[connection.c]\nurl = \"${env:HOUSE_URL}\"\n[target.t]\nkind = \"postgres\"\nconnection = \"c\"\nschema = \"public\"\n"
            }
            "parquet" => "[target.t]\nkind = \"parquet\"\npath = \"house\"\n",
            "sqlite" => "[target.t]\nkind = \"sqlite\"\npath = \"house/w.sqlite\"\n",
            other => panic!("say how the target of a {other} is written"),
        };
        project.write("daymill.toml", target);
        let project = match &database {
            Some(database) => project.env("HOUSE_URL", &database.url),
            None => project,
        };
        let lake = (kind == "parquet").then(|| project.path("house/out"));
        let house = House { project, database, lake };
        house.job("j", "out", "id");
        house.project.write("sql/j.sql", SQL);
        house.day("2024-01-01", ROWS);
        house
    }

    pub(super) fn job(&self, job: &str, table: &str, key: &str) {
        self.project.write(
            &format!("jobs/{job}.toml"),
            format!(
                "timezone = \"UTC\"\nkey = [{key:?}]\non_empty = \"replace\"\n[extract.rows]\njsonl = \"in/{{date}}.jsonl\"\n\
                 [extract.rows.columns]\n{COLUMNS}\n[transform]\nsql = \"sql/j.sql\"\n[load]\ntable = {table:?}\n"
            ),
        );
    }

    pub(super) fn day(&self, date: &str, lines: &str) {
        self.project.write(&format!("in/{date}.jsonl"), lines);
    }

    /// Publishes the day; its content hash.
    #[track_caller]
    pub(super) fn publish(&self) -> String {
        self.project.daymill(&DAY).expect(0);
        self.verified();
        self.project.run_json()["content_hash"].as_str().unwrap().to_owned()
    }

    /// Every published row is read back and is what the ledger says.
    #[track_caller]
    pub(super) fn verified(&self) {
        self.project.daymill(&["ledger", "verify", "--rows", "j"]).expect(0);
    }

    pub(super) fn execute(&self, sql: &str) {
        match &self.database {
            Some(database) => database.execute(sql),
            None => {
                let file = if self.lake.is_some() { "house/_daymill.sqlite" } else { "house/w.sqlite" };
                execute_sqlite(&self.project.path(file), sql);
            }
        }
    }

    /// The files by which the rows of a folder are seen.
    pub(super) fn files(&self, pattern: &str) -> Vec<PathBuf> {
        let pattern = self.lake.as_ref().unwrap().join(pattern);
        glob::glob(&pattern.display().to_string()).unwrap().flatten().collect()
    }
}

pub(super) const ROWS: &str = r#"{"id": 1, "f": 1.5, "t": "plain", "b": true, "d": "2024-02-29", "at": "2024-01-01T06:00:00.123456Z"}
{"id": -9223372036854775808, "f": -1.7976931348623157e308, "t": "", "b": false, "d": "0001-01-01", "at": "0001-01-01T00:00:00Z"}
{"id": 9223372036854775807, "f": 5e-324, "t": "ü 'quoted' \"twice\" \\ \n\t", "b": null, "d": "9999-12-31", "at": "9999-12-31T23:59:59.999999Z"}
{"id": 4, "f": null, "t": null, "b": null, "d": null, "at": null}
"#;

/// Many rows of a day.
pub(super) fn many(n: usize) -> String {
    (0..n).map(|i| format!("{{\"id\": {i}, \"f\": {i}.25, \"t\": \"row {i}\", \"b\": true, \"d\": \"2024-01-01\", \"at\": \"2024-01-01T00:00:00Z\"}}\n")).collect()
}

#[test]
fn every_type_has_the_same_content_everywhere() {
    let hashes: Vec<String> = houses()
        .iter()
        .map(|house| {
            let first = house.publish();
            assert_eq!(house.publish(), first);
            first
        })
        .collect();
    assert!(hashes.iter().all(|hash| *hash == hashes[0]), "{hashes:?}");
}

#[test]
fn a_day_may_have_no_rows_first_or_later_and_many() {
    for house in houses() {
        for rows in [String::new(), many(3), many(60_000), String::new(), many(2)] {
            house.day("2024-01-01", &rows);
            house.publish();
            assert_eq!(house.project.run_json()["rows"]["published"], rows.lines().count());
        }
        house.project.daymill(&["status", "j"]).expect(0);
    }
}

#[test]
fn names_that_are_sql_or_paths_stay_names() {
    for house in houses() {
        let table = "../o\"d'; DROP TABLE x; -- ü/*";
        house.job("j", table, "k\"ey; --");
        house.project.write("sql/j.sql", "SELECT id AS \"k\"\"ey; --\", t AS \"a b\", f AS \"SELECT\" FROM rows");
        house.publish();
        house.day("2024-01-01", &many(5));
        house.publish();
        assert!(!house.project.path("o\"d'; DROP TABLE x; -- ü").exists());
    }
}

#[test]
fn keys_that_repeat_are_named_and_nothing_is_published() {
    for house in houses() {
        let before = house.publish();
        house.day("2024-01-01", &format!("{}{}", many(300), many(300)));
        house.project.daymill(&DAY).expect(65).says("id=0 on 2 rows").says("id=1 on 2 rows");
        let dry = house.project.daymill(&[&DAY[..], &["--dry-run"]].concat());
        dry.expect(65).says("id=0 on 2 rows").says("id=1 on 2 rows");
        house.verified();
        house.day("2024-01-01", ROWS);
        assert_eq!(house.publish(), before);
    }
}

#[test]
fn a_key_that_is_null_is_named_and_nothing_is_published() {
    for house in houses() {
        let before = house.publish();
        house.job("j", "out", "t");
        let dry = house.project.daymill(&[&DAY[..], &["--dry-run"]].concat());
        // The fourth row has an id and nothing else.
        dry.expect(65).says("the key column \"t\" is NULL").says("t IS NOT NULL").says("id=4");
        house.project.daymill(&DAY).expect(65).says("the key column \"t\" is NULL").says("id=4");
        house.job("j", "out", "id");
        house.verified();
        assert_eq!(house.publish(), before);
    }
}

#[test]
fn a_table_with_other_columns_or_of_another_job_is_refused() {
    for house in houses() {
        house.publish();
        house.project.write("sql/j.sql", SQL.replace("SELECT id", "SELECT id, id + 1 AS more"));
        house.project.daymill(&DAY).expect(78).says("the table out is there with other columns").says("more");
        assert!(
            house.project.daymill(&["check", "j"]).expect(78).stdout.contains("it has no column \"more\" (bigint)")
        );
        house.project.write("sql/j.sql", SQL.replace("CAST(CAST(id % 1000 AS real) / 3 AS real) AS r", "f AS r"));
        house.project.daymill(&DAY).expect(78).says("its column \"r\" is real, not double precision");
        house.project.write("sql/j.sql", SQL);
        house.job("other", "out", "id");
        house
            .project
            .daymill(&["run", "other", "--date", "2024-01-01"])
            .expect(78)
            .says("the table out belongs to the job j");
        house.verified();
    }
}

#[test]
fn rows_that_are_gone_are_missed_and_come_back() {
    for house in houses() {
        house.publish();
        match &house.lake {
            Some(folder) => {
                // The name alone is what half of the readers go by.
                std::fs::remove_file(house.files("dt=*/part-0.parquet").remove(0)).unwrap();
                let range = ["status", "j", "--from", "2024-01-01", "--to", "2024-01-01"];
                assert!(house.project.daymill(&range).expect(0).stdout.contains("1 missing"));
                std::fs::remove_dir_all(folder).unwrap();
            }
            None => house.execute("DROP TABLE out"),
        }
        let range = ["status", "j", "--from", "2024-01-01", "--to", "2024-01-01"];
        assert!(house.project.daymill(&range).expect(0).stdout.contains("1 missing"));
        house.project.daymill(&["backfill", "j", "--from", "2024-01-01", "--to", "2024-01-01"]).expect(0);
        house.verified();
        assert!(house.project.daymill(&range).expect(0).stdout.contains("1 done"));
    }
}

#[test]
fn rows_that_somebody_changed_are_noticed_and_replaced() {
    for house in houses() {
        let before = house.publish();
        match &house.lake {
            // In place, by another file of the same form, and in a file beside it.
            Some(_) => {
                let visible = house.files("dt=*/part-0.parquet").remove(0);
                let whole = std::fs::read(&visible).unwrap();
                std::fs::write(&visible, &whole[..whole.len() / 2]).unwrap();
                house.project.daymill(&["ledger", "verify", "--rows", "j"]).expect(65).says("are not those that run");
                house.publish();
                let other = House::new("parquet");
                other.day("2024-01-01", &many(3));
                other.publish();
                std::fs::remove_file(&visible).unwrap();
                std::fs::copy(other.files("dt=*/part-0.parquet").remove(0), &visible).unwrap();
                house.project.daymill(&["ledger", "verify", "--rows", "j"]).expect(65).says("are not those that run");
                house.project.daymill(&DAY).expect(0).says("was not what was published");
                house.verified();
                std::fs::copy(other.files("dt=*/part-0.parquet").remove(0), visible.with_file_name("more.parquet"))
                    .unwrap();
                house.project.daymill(&["ledger", "verify", "--rows", "j"]).expect(65).says("carry another run");
                std::fs::remove_file(visible.with_file_name("more.parquet")).unwrap();
            }
            None => {
                house.execute("UPDATE out SET f = 7 WHERE id = 1");
                house.project.daymill(&["ledger", "verify", "--rows", "j"]).expect(65).says("are not those that run");
            }
        }
        assert_eq!(house.publish(), before);
    }
}

#[test]
fn a_commit_whose_answer_is_lost_is_settled_by_asking() {
    for house in houses() {
        house.project.failing("commit-answer-lost=return", &DAY).expect(0);
        house.verified();
        assert_eq!(house.project.run_json()["rows"]["published"], 4);
        if house.lake.is_some() {
            assert_eq!(house.files("dt=*/*.parquet").len(), 1);
        }
        house.project.failing("commit-answer-lost=return;settle=return", &DAY).expect(77);
        house.publish();
    }
}

#[test]
fn a_run_that_was_overtaken_publishes_nothing() {
    for house in houses().into_iter().filter(|house| house.database.is_none()) {
        house.publish();
        let sleeper = house.project.start("score-batch=1*sleep(2500)", &DAY);
        std::thread::sleep(Duration::from_millis(900));
        // Somebody removes the lock, and a newer run goes by.
        let locks = glob::glob(&house.project.path("house/*.locks").display().to_string()).unwrap().flatten();
        locks.for_each(|folder| std::fs::remove_dir_all(folder).unwrap());
        // Its source is the same: nothing but the fence can tell.
        house.project.write("sql/j.sql", format!("{SQL} WHERE id = 1"));
        house.publish();
        finish(sleeper).expect(76).says("a newer run took this interval over");
        house.verified();
        assert!(
            house
                .project
                .daymill(&["status", "j", "--from", "2024-01-01", "--to", "2024-01-01", "--output", "json"])
                .stdout
                .contains("\"rows\":1")
        );
    }
}

#[test]
fn days_are_published_beside_each_other() {
    for house in houses() {
        let dates: Vec<String> = (1..=12).map(|day| format!("2024-03-{day:02}")).collect();
        dates.iter().enumerate().for_each(|(n, date)| house.day(date, &many(n + 1)));
        for _ in 0..2 {
            let range = ["--from", "2024-03-01", "--to", "2024-03-12", "--only", "all", "--jobs", "4", "--yes"];
            house.project.daymill(&[&["backfill", "j"][..], &range].concat()).expect(0);
            house.verified();
        }
        if house.lake.is_some() {
            assert_eq!(house.files("dt=*/part-0.parquet").len(), 12);
        }
    }
}

#[test]
fn what_a_killed_program_had_committed_is_missed_until_the_next_run_shows_it() {
    for house in houses() {
        house.day("2024-01-02", &many(2));
        let status =
            || house.project.daymill(&["status", "j", "--from", "2024-01-01", "--to", "2024-01-01"]).expect(0).stdout;
        for place in ["after-commit", "lake-shown"] {
            house.day("2024-01-01", &many(place.len()));
            let ended = house.project.command(&DAY).env("DAYMILL_KILL", place).output().unwrap();
            // Only a folder has such a place.
            let killed = place == "after-commit" || house.lake.is_some();
            assert_eq!(outcome(ended).code, if killed { 137 } else { 0 }, "{place}");
            assert!(
                status().contains(if house.lake.is_some() { "1 missing" } else { "1 done" }),
                "{place}: {}",
                status()
            );
            house.project.daymill(&["run", "j", "--date", "2024-01-02"]).expect(0);
            assert!(status().contains("1 done"), "{place}: {}", status());
            house.verified();
        }
    }
}

#[test]
fn a_slow_publication_takes_nothing_back() {
    for house in houses() {
        house.day("2024-01-02", &many(2));
        house.project.daymill(&["run", "j", "--date", "2024-01-02"]).expect(0);
        house.day("2024-01-02", &many(5));
        // Between its COMMIT and what follows, another day is published.
        let mut slow = house.project.start("after-commit=sleep(4000)", &DAY);
        until("the commit", || house.project.daymill(&["runs"]).stdout.matches("succeeded").count() == 2);
        house.project.daymill(&["run", "j", "--date", "2024-01-02"]).expect(0);
        assert!(slow.try_wait().unwrap().is_none(), "it was not slow enough for this test");
        finish(slow).expect(0);
        house.verified();
        let range = ["status", "j", "--from", "2024-01-01", "--to", "2024-01-02"];
        assert!(house.project.daymill(&range).expect(0).stdout.contains("2 done"));
    }
}

/// The first has asked the ledger where it ends and has not shown its rows yet when the second commits.
#[test]
fn a_publication_beside_another_takes_nothing_back() {
    let house = House::new("parquet");
    house.day("2024-01-02", &many(2));
    house.project.daymill(&["run", "j", "--date", "2024-01-02"]).expect(0);
    let first = house.project.start("lake-held=sleep(2500)", &DAY);
    until("the commit", || house.project.daymill(&["runs"]).stdout.matches("succeeded").count() == 2);
    house.project.daymill(&["run", "j", "--date", "2024-01-02"]).expect(0);
    finish(first).expect(0);
    // The rows are the same, and the run that they carry must be the newer one.
    house.verified();
    let current: serde_json::Value =
        serde_json::from_slice(&std::fs::read(house.project.path("house/out/_current.json")).unwrap()).unwrap();
    let runs = house.project.daymill(&["runs", "--output", "json"]).expect(0).json();
    let newest = runs.as_array().unwrap().iter().find(|run| run["interval"] == "2024-01-02").unwrap();
    let shown = current["intervals"].as_array().unwrap().iter().find(|shown| shown["interval"] == "2024-01-02");
    assert_eq!(shown.unwrap()["run_id"], newest["run_id"]);
}

#[test]
fn old_versions_of_a_folder_go_after_an_hour_and_never_earlier() {
    let house = House::new("parquet");
    let versions = || house.files("_versions/*").len() - 1;
    // The file of another day is old and stays.
    house.day("2024-01-02", &many(9));
    house.project.daymill(&["run", "j", "--date", "2024-01-02"]).expect(0);
    for n in 1..=3 {
        house.day("2024-01-01", &many(n));
        house.publish();
        assert_eq!(versions(), n);
    }
    house.project.write("house/out/_versions/dead.draft", "half");
    house.project.write("house/out/_versions/of-a-dead-run", "whole");
    for path in house.files("_versions/*") {
        assert!(std::process::Command::new("touch").args(["-d", "2 hours ago"]).arg(path).status().unwrap().success());
    }
    house.day("2024-01-01", &many(4));
    house.publish();
    // Three were replaced a moment ago, however old they are; another attempt may still be writing its draft.
    assert_eq!(versions(), 5, "{:?}", house.files("_versions/*"));
    assert!(!house.project.path("house/out/_versions/of-a-dead-run").exists());
    let manifest = house.project.path("house/out/_current.json");
    let text = std::fs::read_to_string(&manifest).unwrap();
    let year = &chrono::Utc::now().to_rfc3339()[..5];
    std::fs::write(&manifest, text.replace(&format!("\"at\": \"{year}"), "\"at\": \"2020-")).unwrap();
    house.day("2024-01-01", &many(5));
    house.publish();
    assert_eq!(versions(), 3, "{:?}", house.files("_versions/*"));
    assert!(house.project.path("house/out/_versions/dead.draft").exists());
}

#[test]
fn a_folder_outlives_its_ledger() {
    let house = House::new("parquet");
    for day in ["2024-01-01", "2024-01-02", "2024-01-03"] {
        house.day(day, &many(3));
        house.project.daymill(&["run", "j", "--date", day]).expect(0);
    }
    let ledger = house.project.path("house/_daymill.sqlite");
    let old = std::fs::read(&ledger).unwrap();
    for _ in 0..3 {
        house.publish();
    }
    let visible = || {
        let manifest = std::fs::read_to_string(house.project.path("house/out/_current.json")).unwrap();
        let manifest: serde_json::Value = serde_json::from_str(&manifest).unwrap();
        let entries = manifest["intervals"].as_array().unwrap().clone();
        entries
            .iter()
            .map(|entry| (entry["interval"].as_str().unwrap().to_owned(), entry["rows"].as_u64().unwrap()))
            .collect::<Vec<_>>()
    };
    let all = |first| vec![("2024-01-01".into(), first), ("2024-01-02".into(), 3), ("2024-01-03".into(), 3)];
    // A backup is put back: what is published then is seen, although the manifest has a higher number.
    std::fs::write(&ledger, old).unwrap();
    house.day("2024-01-01", &many(7));
    house.publish();
    assert_eq!(visible(), all(7));
    // Without a ledger nothing is known of the other days, and nothing is taken from readers.
    std::fs::remove_file(&ledger).unwrap();
    house.day("2024-01-01", &many(8));
    house.project.daymill(&DAY).expect(0);
    house.project.daymill(&["ledger", "verify", "--rows", "j"]).expect(65).says("were published by no run");
    assert_eq!(visible(), all(8));
    assert_eq!(house.files("dt=*/part-0.parquet").len(), 3);
}

#[test]
fn other_programs_read_a_folder_by_its_names_and_by_its_manifest() {
    let python = std::env::var("DAYMILL_TEST_PYTHON")
        .expect("DAYMILL_TEST_PYTHON is not set: run the tests with `make test`, which makes it");
    let house = House::new("parquet");
    for (day, n) in [("2024-01-01", 3), ("2024-01-02", 5), ("2024-01-01", 4), ("2024-01-02", 0)] {
        house.day(day, &many(n));
        house.project.daymill(&["run", "j", "--date", day]).expect(0);
    }
    // Each was replaced: an old file, or one of a dead attempt, would count.
    house.project.write("house/out/_versions/x.draft", "half");
    let script = r#"
import json, sys, duckdb, polars, pyarrow.dataset, pyarrow.parquet
table = sys.argv[1]
manifest = json.load(open(f"{table}/_current.json"))
paths = [f"{table}/{i['path']}" for i in manifest["intervals"]]
names = f"{table}/dt=*/*.parquet"
assert [i["rows"] for i in manifest["intervals"]] == [4, 0]
assert duckdb.sql(f"SELECT count(*) FROM read_parquet('{names}')").fetchall() == [(4,)]
assert duckdb.sql(f"SELECT count(*) FROM read_parquet('{table}/**/*.parquet')").fetchall() == [(4,)]
assert duckdb.sql(f"SELECT dt::text, sum(id) FROM read_parquet('{names}', hive_partitioning = true) GROUP BY 1").fetchall() == [("2024-01-01", 6)]
duckdb.sql(f"SET VARIABLE files = (SELECT list('{table}/' || i.path) FROM (SELECT unnest(intervals) AS i FROM read_json('{table}/_current.json')))")
assert duckdb.sql("SELECT count(*), max(f), max(t) FROM read_parquet(getvariable('files'))").fetchall() == [(4, 3.25, "row 3")]
assert polars.scan_parquet(names).collect().height == 4
assert polars.scan_parquet(f"{table}/**/*.parquet").collect().height == 4
frame = polars.read_parquet(paths)
assert frame.height == 4 and str(frame.schema["at"]) == "Datetime(time_unit='us', time_zone='UTC')", frame.schema
assert str(frame.schema["local"]) == "Datetime(time_unit='us', time_zone=None)" and frame.schema["r"] == polars.Float32
dataset = pyarrow.dataset.dataset(table, format="parquet", partitioning="hive")
assert dataset.count_rows() == 4 and str(dataset.schema.field("interval_start").type) == "timestamp[us, tz=UTC]"
assert sum(pyarrow.parquet.read_table(p, partitioning=None).num_rows for p in paths) == 4
print("ok")
"#;
    let read =
        std::process::Command::new(python).arg("-c").arg(script).arg(house.lake.as_ref().unwrap()).output().unwrap();
    assert!(read.status.success(), "{}", String::from_utf8_lossy(&read.stderr));
}

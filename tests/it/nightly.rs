//! A night, end to end, from Parquet into SQLite: the run, its stages apart, and what they leave behind.

use crate::support::*;

const DAY: [&str; 4] = ["run", "flight_delay", "--date", "2013-06-08"];

#[test]
fn a_night_is_scored_and_running_twice_changes_nothing() {
    let project = Project::flights();
    let first = project.daymill(&[&DAY[..], &["--output", "json"]].concat()).expect(0).json();
    assert_eq!(first["state"], "succeeded");
    assert_eq!(first["rows"]["published"], 779);
    assert_eq!(first["rows"]["transformed"], 779);
    assert_eq!(first["interval"]["start"], "2013-06-08T04:00:00Z");
    assert_eq!(first["interval"]["end"], "2013-06-09T04:00:00Z");
    assert_eq!(first["model"]["version"], 3);
    let scores = project.scores();
    assert_eq!(scores.len(), 779);
    let second = project.daymill(&[&DAY[..], &["--output", "json"]].concat()).expect(0).json();
    assert_eq!(second["content_hash"], first["content_hash"]);
    assert_ne!(second["run_id"], first["run_id"]);
    assert_eq!(project.scores(), scores);
    let lineage = project
        .sqlite("SELECT DISTINCT interval_start, model, CAST(model_version AS TEXT), run_id FROM flight_delay_scores");
    assert_eq!(lineage, [format!("2013-06-08T04:00:00Z|flight_delay|3|{}", second["run_id"].as_str().unwrap())]);
    let states = project.sqlite(
        "SELECT state, CAST(generation AS TEXT), CAST(rows_published AS TEXT) FROM daymill_runs ORDER BY run_id",
    );
    assert_eq!(states, ["succeeded|1|779", "succeeded|2|779"]);
    let interval = project.sqlite("SELECT job, label, run_id, content_hash FROM daymill_intervals");
    assert_eq!(
        interval,
        [format!(
            "flight_delay|2013-06-08|{}|{}",
            second["run_id"].as_str().unwrap(),
            second["content_hash"].as_str().unwrap()
        )]
    );
}

#[test]
fn a_run_replaces_its_own_interval_and_no_other() {
    let project = Project::flights();
    project.daymill(&DAY).expect(0);
    project.daymill(&["run", "flight_delay", "--date", "2013-06-09"]).expect(0);
    let ninth = project.sqlite("SELECT CAST(p_late AS TEXT) FROM flight_delay_scores WHERE interval_start = '2013-06-09T04:00:00Z' ORDER BY rowid");
    project.edit("jobs/flight_delay.toml", "@champion", "@1");
    project.daymill(&DAY).expect(65).says("max_bad_fraction");
    project.edit("jobs/flight_delay.toml", "outputs = ", "max_bad_fraction = 1.0\noutputs = ");
    let eighth = project.scores();
    project.daymill(&DAY).expect(0);
    assert_eq!(project.sqlite("SELECT CAST(p_late AS TEXT) FROM flight_delay_scores WHERE interval_start = '2013-06-09T04:00:00Z' ORDER BY rowid"), ninth);
    assert_ne!(project.scores(), eighth);
    assert_eq!(project.scores().len(), eighth.len());
    let versions = project.sqlite(
        "SELECT CAST(model_version AS TEXT), CAST(count(*) AS TEXT) FROM flight_delay_scores GROUP BY 1 ORDER BY 1",
    );
    assert_eq!(versions, ["1|779", "3|908"]);
}

#[test]
fn the_stages_apart_give_exactly_what_a_run_gives() {
    let whole = Project::flights();
    let run = whole.daymill(&[&DAY[..], &["--output", "json"]].concat()).expect(0).json();
    let apart = Project::flights();
    for stage in ["extract", "transform", "score"] {
        apart.daymill(&[stage, "flight_delay", "--date", "2013-06-08"]).expect(0);
        assert!(apart.scores().is_empty(), "{stage} published something");
    }
    let loaded = apart.daymill(&["load", "flight_delay", "--date", "2013-06-08", "--output", "json"]).expect(0).json();
    assert_eq!(loaded["content_hash"], run["content_hash"]);
    assert_eq!(loaded["scores"][0]["quantiles"], run["scores"][0]["quantiles"]);
    assert_eq!(apart.scores(), whole.scores());
    assert_eq!(
        apart.sqlite("SELECT DISTINCT model, CAST(model_version AS TEXT) FROM flight_delay_scores"),
        ["flight_delay|3"]
    );
    // What one stage left for another day is not taken for this one's.
    let left = ".daymill/stages/flight_delay/2013-06-08/scores.parquet";
    apart.daymill(&["load", "flight_delay", "--date", "2013-06-09", "--in", left]).expect(66).says("not of");
    apart.daymill(&["load", "flight_delay", "--date", "2013-06-09"]).expect(66).says("run the stage before");
}

#[test]
fn batch_size_and_threads_change_no_score() {
    for version in ["@1", "@2", "@3"] {
        let mut hashes = std::collections::BTreeSet::new();
        for (batch, threads) in [(1, "1"), (7, "3"), (16_384, "1"), (256, "2"), (778, "4")] {
            let project = Project::flights();
            project.edit("jobs/flight_delay.toml", "@champion\"", &format!("{version}\"\nmax_bad_fraction = 1.0"));
            project.edit("jobs/flight_delay.toml", "schedule ", &format!("batch_rows = {batch}\nschedule "));
            let run =
                project.daymill(&[&DAY[..], &["--threads", threads, "--output", "json"]].concat()).expect(0).json();
            hashes.insert(run["content_hash"].as_str().unwrap().to_owned());
        }
        assert_eq!(hashes.len(), 1, "model {version}");
    }
}

#[test]
fn an_etl_job_needs_no_model() {
    let project = Project::flights();
    project.daymill(&["run", "carrier_daily", "--date", "2013-06-09"]).expect(0);
    let rows = project.sqlite("SELECT carrier, CAST(flights AS TEXT), CAST(cancelled AS TEXT), CAST(p90_delay_minutes AS TEXT) FROM carrier_daily WHERE carrier IN ('DL', 'HA') ORDER BY 1");
    assert_eq!(rows, ["DL|138|1|29.8", "HA|1|0|-19.0"]);
    assert_eq!(project.sqlite("SELECT DISTINCT model FROM carrier_daily"), ["NULL"]);
    project.daymill(&["score", "carrier_daily", "--date", "2013-06-09"]).expect(2).says("no [score]");
    for stage in ["extract", "transform", "load"] {
        project.daymill(&[stage, "carrier_daily", "--date", "2013-06-08"]).expect(0);
    }
    assert_eq!(project.sqlite("SELECT CAST(count(DISTINCT interval_start) AS TEXT) FROM carrier_daily"), ["2"]);
}

#[test]
fn any_parquet_file_is_scored_without_a_job() {
    let project = Project::flights();
    let oracle = "fixtures/models/flight_delay/3/oracle.parquet";
    // The oracle has a column `score` of its own, which the model's output must not be confused with.
    project
        .daymill(&[
            "score",
            "--model",
            "fixtures/models/flight_delay/3",
            "--in",
            oracle,
            "--out",
            "out.parquet",
            "--keep",
            "carrier,distance",
        ])
        .expect(0);
    let (want, got) = (read(&project.path(oracle)), read(&project.path("out.parquet")));
    assert_eq!(
        got.schema().fields().iter().map(|f| f.name().as_str()).collect::<Vec<_>>(),
        ["carrier", "distance", "score"]
    );
    assert_eq!(got.num_rows(), 96);
    let text = |batch: &arrow::array::RecordBatch, name: &str| {
        let array =
            arrow::compute::cast(batch.column_by_name(name).unwrap(), &arrow::datatypes::DataType::Utf8).unwrap();
        arrow::array::AsArray::as_string::<i32>(&array).iter().map(|v| v.unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(text(&got, "carrier"), text(&want, "carrier"));
    for (want, got) in text(&want, "score").iter().zip(text(&got, "score")) {
        assert!((want.parse::<f64>().unwrap() - got.parse::<f64>().unwrap()).abs() < 1e-6);
    }
    project
        .daymill(&[
            "score",
            "--model",
            "fixtures/models/flight_delay/3",
            "--in",
            oracle,
            "--out",
            "x.parquet",
            "--keep",
            "carier",
        ])
        .expect(66)
        .says("carier");
}

fn read(path: &std::path::Path) -> arrow::array::RecordBatch {
    let file = std::fs::File::open(path).unwrap();
    let reader = parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder::try_new(file).unwrap().build().unwrap();
    reader.map(|batch| batch.unwrap()).next().unwrap()
}

#[test]
fn the_three_models_agree_with_the_libraries_that_trained_them() {
    for (version, tolerance) in [("1", 1e-5), ("2", 1e-5), ("3", 1e-6)] {
        let bundle =
            daymill::models::Bundle::open(&repository().join("fixtures/models/flight_delay").join(version)).unwrap();
        assert_eq!(bundle.oracle.rows, 96);
        assert!(bundle.oracle.max_difference <= tolerance, "{version}: {:?}", bundle.oracle);
    }
}

#[test]
fn init_writes_a_project_that_runs() {
    let project = Project::flights();
    project.daymill(&["init", "fresh", "--example", "flights"]).expect(0);
    project.daymill(&["init", "fresh", "--example", "flights"]).expect(2).says("never overwrites");
    project.daymill(&["--project", "fresh", "check"]).expect(0);
    let run = project
        .daymill(&["--project", "fresh", "run", "flight_delay", "--date", "2013-06-08", "--output", "json"])
        .expect(0)
        .json();
    let own = project.daymill(&[&DAY[..], &["--output", "json"]].concat()).expect(0).json();
    assert_eq!(run["content_hash"], own["content_hash"]);
}

#[test]
fn cases_pass_and_a_wrong_one_is_told_readably() {
    let project = Project::flights();
    let passed = project.daymill(&["test", "--output", "json"]).expect(0).json();
    assert!(passed["passed"].as_u64().unwrap() >= 4, "{passed}");
    assert_eq!(passed["failed"], 0);
    project.own_fixtures();
    let case = "fixtures/cases/carrier_daily/a_small_day";
    project.edit(&format!("{case}/expected.csv"), "2013-06-08,AA,3,1", "2013-06-08,AA,4,1");
    project
        .daymill(&["test", "carrier_daily"])
        .expect(65)
        .says("~ flight_date=2013-06-08 carrier=AA: flights expected 4, found 3");
    project.daymill(&["test", "carrier_daily", "--bless"]).expect(0);
    let blessed = std::fs::read_to_string(project.path(&format!("{case}/expected.csv"))).unwrap();
    assert_eq!(blessed, std::fs::read_to_string(repository().join(case).join("expected.csv")).unwrap());
    project.daymill(&["test", "nothing_like_it"]).expect(78);
}

#[test]
fn the_ledger_is_shown() {
    let project = Project::flights();
    project.daymill(&["runs"]).expect(0).says("no runs yet");
    assert!(!project.warehouse().exists(), "reading made a warehouse");
    let run = project.daymill(&[&DAY[..], &["--output", "json"]].concat()).expect(0).json();
    let id = run["run_id"].as_str().unwrap();
    let listed = project.daymill(&["runs", "--output", "json"]).expect(0).json();
    assert_eq!((listed[0]["run_id"].as_str(), listed[0]["state"].as_str()), (Some(id), Some("succeeded")));
    for name in [id, &id[..13], "latest"] {
        let shown = project.daymill(&["show", name, "--output", "json"]).expect(0).json();
        assert_eq!(shown["report"]["content_hash"], run["content_hash"]);
        assert_eq!(shown["report"]["state"], "succeeded");
    }
    assert!(project.daymill(&["show"]).expect(0).stdout.contains("input      flights:"));
    project.daymill(&["show", "0000"]).expect(2);
    // A report that somebody changed neither ends the program nor drives the terminal.
    execute_sqlite(
        &project.warehouse(),
        "UPDATE daymill_runs SET report = json_set(report, '$.content_hash', 'abcdefghijklmnoé', '$.table', 'x' || char(10) || 'more')",
    );
    let shown = project.daymill(&["show"]).expect(0).stdout;
    assert!(shown.contains("x\\nmore in dev"), "{shown}");
}

#[test]
fn check_names_every_fault_at_once() {
    let project = Project::flights();
    project.daymill(&["check"]).expect(0);
    project.edit("jobs/flight_delay.toml", "schedule ", "shedule ");
    project.edit("jobs/flight_delay.toml", "America/New_York", "America/NewYork");
    project.edit("jobs/flight_delay.toml", "range  = [0.0, 1.0]", "range  = [1.0, 0.0]");
    project.edit("jobs/carrier_daily.toml", "key         = [\"flight_date\", \"carrier\"]", "key = [\"flight_dat\"]");
    let told = project.daymill(&["check"]).expect(78).stdout;
    for fault in [
        "flight_delay.toml:3: unknown key shedule (did you mean schedule?)",
        "flight_delay.toml:4: timezone \"America/NewYork\" is not an IANA time zone (did you mean America/New_York?)",
        "1 is not at most 0",
        "summary.sql does not select flight_dat",
        "did you mean flight_date?",
    ] {
        assert!(told.contains(fault), "{fault:?} is not in:\n{told}");
    }
    assert!(!project.warehouse().exists(), "check made a warehouse");
}

#[test]
fn a_log_gets_a_line_every_ten_seconds_and_one_at_the_end() {
    let project = Project::flights();
    let text = project.failing("batch-loaded=sleep(10500)", &[&DAY[..], &["--output", "json"]].concat()).expect(0);
    assert!(text.stderr.contains("transform, score, load: ") && text.stderr.contains("779 scored"), "{}", text.stderr);
    assert!(text.stderr.contains("flight_delay 2013-06-08 succeeded: 779 rows in"), "{}", text.stderr);
    assert_eq!(text.json()["state"], "succeeded");
    let json = project.daymill(&[&DAY[..], &["--log-format", "json", "--output", "json"]].concat()).expect(0);
    let lines: Vec<serde_json::Value> = json.stderr.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.last().unwrap()["rows"], 779);
}

#[test]
fn columns_that_nobody_declared_are_ignored_and_recorded() {
    let project = Project::flights();
    let run = project.daymill(&[&DAY[..], &["--output", "json"]].concat()).expect(0).json();
    let inputs = run["inputs"].as_array().unwrap();
    let flights = inputs.iter().find(|i| i["table"] == "flights").unwrap();
    assert_eq!(flights["ignored"], serde_json::json!(["dep_time", "dep_delay"]));
    assert_eq!(flights["sha256"].as_str().unwrap().len(), 64);
}

#[test]
fn the_stages_apart_refuse_what_a_run_refuses_and_keep_float_columns_apart_from_scores() {
    let project = Project::flights();
    project.edit("jobs/flight_delay.toml", "@champion", "@1");
    for stage in ["extract", "transform"] {
        project.daymill(&[stage, "flight_delay", "--date", "2013-06-08"]).expect(0);
    }
    project.daymill(&["score", "flight_delay", "--date", "2013-06-08"]).expect(65).says("max_bad_fraction");
    project.daymill(&["load", "flight_delay", "--date", "2013-06-08"]).expect(66);
    let project = Project::flights();
    project.edit("sql/flight_delay/features.sql", "    f.dest,\n", "    f.dest,\n    CAST(f.hour AS REAL) AS half,\n");
    project.edit("jobs/flight_delay.toml", "keep  = [\"dest\"]", "keep  = [\"half\", \"dest\"]");
    let run = project.daymill(&[&DAY[..], &["--output", "json"]].concat()).expect(0).json();
    for stage in ["extract", "transform", "score", "load"] {
        project.daymill(&[stage, "flight_delay", "--date", "2013-06-08"]).expect(0);
    }
    assert_eq!(project.run_json()["content_hash"], run["content_hash"]);
    assert_eq!(project.run_json()["scores"], run["scores"]);
}

#[test]
fn bounds_in_the_transform_compare_with_extracted_times() {
    let project = Project::flights();
    let run = project.daymill(&[&DAY[..], &["--output", "json"]].concat()).expect(0).json();
    project.edit(
        "sql/flight_delay/features.sql",
        "WHERE f.flight_date = :date",
        "WHERE f.time_hour >= :start AND f.time_hour < :end",
    );
    let again = project.daymill(&[&DAY[..], &["--output", "json"]].concat()).expect(0).json();
    assert_eq!(again["content_hash"], run["content_hash"]);
}

#[test]
fn folders_above_the_project_are_not_columns() {
    let outer = tempfile::tempdir().unwrap();
    let inner = outer.path().join("carrier=XX");
    let project = Project::flights();
    project.daymill(&["init", "--example", "flights", &inner.display().to_string()]).expect(0);
    let inner = inner.display().to_string();
    let run =
        project.daymill(&["--project", &inner, "run", "carrier_daily", "--date", "2013-06-08", "--output", "json"]);
    assert_eq!(run.expect(0).json()["rows"]["published"], 14);
}

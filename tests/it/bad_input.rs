//! Bad input: a clear error that names the place, the documented code, and nothing written.

use std::path::Path;

use crate::support::*;

const DAY: [&str; 4] = ["run", "flight_delay", "--date", "2013-06-08"];
const JOB: &str = "jobs/flight_delay.toml";
const PART: &str = "fixtures/flights/flight_date=2013-06-08/part-0.parquet";
const MODEL: &str = "fixtures/models/flight_delay/3";

#[track_caller]
fn refused(project: &Project, code: i32, says: &str) {
    project.daymill(&DAY).expect(code).says(says);
    assert!(project.scores().is_empty(), "something was published");
    assert_eq!(project.run_json()["exit_code"], code);
}

#[test]
fn a_job_file_is_told_what_is_wrong_with_it_by_line() {
    for (from, to, says) in [
        ("key ", "kye ", "flight_delay.toml:7: unknown key kye"),
        ("\"7d\"", "7", "extract.flights.lookback must be a string, not a whole number"),
        ("\"7d\"", "\"a week\"", "lookback \"a week\" is not a number of days"),
        ("flight_date={date}", "flight_date={dat}", "unknown placeholder {dat}"),
        ("fixtures/flights", "../fixtures/flights", "leaves the project"),
        ("features.sql", "feature.sql", "cannot read"),
        ("@champion", "", "does not say which version"),
        (
            "table = \"flight_delay_scores\"",
            "table = \"a_name_that_is_much_longer_than_the_sixty_three_bytes_that_postgres_keeps\"",
            "63 bytes",
        ),
        ("connection = \"ops\"", "connection = \"oops\"", "there is no connection \"oops\" (did you mean ops?)"),
        ("range  = [0.0, 1.0]", "rage = [0.0, 1.0]", "unknown key check.rage (did you mean range?)"),
        ("\"sched_dep_time\"]", "\"carrier\"]", "key names a column twice"),
        ("\"0 3 * * *\"", "\"every night\"", "flight_delay.toml:3: schedule = \"every night\" is no line of cron"),
    ] {
        let project = Project::flights();
        project.edit(JOB, from, to);
        refused(&project, 78, says);
    }
    let project = Project::flights();
    project.daymill(&["run", "flight_dely", "--date", "2013-06-08"]).expect(78).says("did you mean flight_delay?");
    project.daymill(&["run", "../jobs/flight_delay", "--date", "2013-06-08"]).expect(78);
}

#[test]
fn a_byte_order_mark_and_crlf_are_fine() {
    let project = Project::flights();
    for name in [JOB, "daymill.toml", "sql/flight_delay/features.sql"] {
        let text = std::fs::read_to_string(project.path(name)).unwrap();
        project.write(name, format!("\u{feff}{}", text.replace('\n', "\r\n")));
    }
    project.daymill(&DAY).expect(0);
}

#[test]
fn a_source_column_missing_renamed_or_retyped_is_65_and_a_misspelt_one_78() {
    for (from, to, says) in [
        ("tailnum        = \"text\"", "tail_num = \"text\"", "column \"tail_num\" is missing (did you mean tailnum?)"),
        ("distance       = \"int\"", "distance = \"text\"", "column \"distance\" is declared text and is Int64"),
    ] {
        let project = Project::flights();
        project.edit(JOB, from, to);
        refused(&project, 65, says);
    }
    let project = Project::flights();
    project.edit("sql/flight_delay/features.sql", "f.distance", "f.distanse");
    refused(&project, 78, "there is no column f.distanse");
}

#[test]
fn duplicates_empty_values_and_words_are_65() {
    for (from, to, says) in [
        (
            "WHERE f.flight_date = :date",
            "JOIN (SELECT 1 AS one UNION ALL SELECT 2) AS twice ON twice.one > 0 WHERE f.flight_date = :date",
            "not unique",
        ),
        ("WHERE f.flight_date = :date", "WHERE f.flight_date = :date AND 1 = 0", "no rows"),
        (
            "f.distance,",
            "CASE WHEN f.carrier = 'HA' THEN CAST('NaN' AS DOUBLE PRECISION) ELSE 1.0 END AS distance,",
            "the feature \"distance\" is NaN",
        ),
        (
            "f.distance,",
            "CASE WHEN f.carrier = 'HA' THEN CAST('Infinity' AS DOUBLE PRECISION) ELSE 1.0 END AS distance,",
            "the feature \"distance\" is infinite",
        ),
        (
            "f.distance,",
            "CASE WHEN f.carrier = 'HA' THEN NULL ELSE f.distance END AS distance,",
            "the feature \"distance\" is NULL",
        ),
        ("f.distance,", "f.distance + 16777217 AS distance,", "no f32 holds exactly"),
        (
            "    f.carrier,",
            "    CASE WHEN f.carrier = 'HA' THEN 'ZZ' ELSE f.carrier END AS carrier,",
            "carrier: \"ZZ\" in 1 row",
        ),
    ] {
        let project = Project::flights();
        if says == "no rows" {
            project.edit(JOB, "rows = [100, 5000]", "rows = [0, 5000]");
        }
        project.edit("sql/flight_delay/features.sql", from, to);
        refused(&project, 65, says);
    }
}

#[test]
fn a_model_that_does_not_match_is_66_before_any_data_is_read() {
    type Damage = fn(&Project);
    let cases: [(Damage, &str); 8] = [
        (|p| append(&p.path(MODEL).join("model.ubj")), "has the SHA-256"),
        (
            |p| p.edit(&format!("{MODEL}/model.toml"), "name = \"temp\"", "name = \"temperature\""),
            "trained with \"temp\" where model.toml has \"temperature\"",
        ),
        (swap_features, "trained with"),
        (break_oracle, "fails its oracle"),
        (|p| pickle(p), "is a Python pickle"),
        (
            |p| p.edit("fixtures/models/flight_delay/promotions.toml", "champion", "challenger"),
            "has no alias \"champion\"",
        ),
        (|p| std::fs::remove_dir_all(p.path(MODEL)).unwrap(), "is not a bundle"),
        (|p| std::fs::remove_file(p.path(MODEL).join("oracle.parquet")).unwrap(), "oracle.parquet"),
    ];
    for (damage, says) in cases {
        let project = Project::flights();
        project.own_fixtures();
        damage(&project);
        refused(&project, 66, says);
        assert!(!project.warehouse().exists(), "{says}: the warehouse was opened before the model was checked");
    }
    let project = Project::flights();
    project.edit("sql/flight_delay/features.sql", "    p.seats,\n", "");
    refused(&project, 66, "the feature \"seats\" is missing");
}

fn append(path: &Path) {
    let mut bytes = std::fs::read(path).unwrap();
    bytes.push(0);
    std::fs::write(path, bytes).unwrap();
}

fn swap_features(project: &Project) {
    let name = format!("{MODEL}/model.toml");
    project.edit(&name, "name = \"temp\"", "name = \"swapped\"");
    project.edit(&name, "name = \"dewp\"", "name = \"temp\"");
    project.edit(&name, "name = \"swapped\"", "name = \"dewp\"");
}

/// A vocabulary in another order: the hash of the weights fits, the scores do not.
fn break_oracle(project: &Project) {
    project.edit(&format!("{MODEL}/model.toml"), "\"9E\", \"AA\"", "\"AA\", \"9E\"");
}

fn pickle(project: &Project) {
    project.write(&format!("{MODEL}/model.ubj"), b"\x80\x04\x95\x10\x00\x00\x00\x00\x00\x00\x00cos\nsystem\n");
}

#[test]
fn every_truncation_of_a_parquet_file_is_told_by_name() {
    let project = Project::flights();
    project.own_fixtures();
    let path = project.path(PART);
    let whole = std::fs::read(&path).unwrap();
    for keep in [0, 1, 4, 8, 11, 100, whole.len() / 2, whole.len() - 8, whole.len() - 1] {
        std::fs::write(&path, &whole[..keep]).unwrap();
        refused(&project, 66, "part-0.parquet");
    }
    // Damage in a page, where the footer is whole.
    let mut damaged = whole.clone();
    damaged[40..400].iter_mut().for_each(|b| *b ^= 0x5a);
    std::fs::write(&path, &damaged).unwrap();
    refused(&project, 66, "part-0.parquet");
    std::fs::write(&path, &whole).unwrap();
    project.daymill(&DAY).expect(0);
}

#[test]
fn a_damaged_file_of_an_earlier_stage_is_named() {
    let project = Project::flights();
    for stage in ["extract", "transform", "score"] {
        project.daymill(&[stage, "flight_delay", "--date", "2013-06-01"]).expect(0);
    }
    let scores = glob::glob(&project.path(".daymill/stages/**/scores.parquet").display().to_string()).unwrap().next();
    let scores = scores.unwrap().unwrap();
    let mut bytes = std::fs::read(&scores).unwrap();
    bytes[4..300].iter_mut().for_each(|byte| *byte ^= 0x5a);
    std::fs::write(&scores, bytes).unwrap();
    project.daymill(&["load", "flight_delay", "--date", "2013-06-01"]).expect(66).says("scores.parquet is damaged");
    assert!(project.scores().is_empty());
}

#[test]
fn every_truncation_of_a_model_file_is_refused() {
    for (version, file) in [("1", "model.safetensors"), ("3", "model.ubj")] {
        let folder = repository().join("fixtures/models/flight_delay").join(version);
        let whole = std::fs::read(folder.join(file)).unwrap();
        let step = (whole.len() / 150).max(1);
        for keep in (0..whole.len()).step_by(step) {
            let read = match version {
                "3" => daymill::score::trees::xgboost::read(&whole[..keep], None).map(|_| ()),
                _ => {
                    daymill::score::dense::Dense::read(&whole[..keep], false, daymill::score::Link::Sigmoid).map(|_| ())
                }
            };
            assert_eq!(read.unwrap_err().class, daymill::error::Class::Input, "{file} cut at {keep}");
        }
    }
}

#[test]
fn a_table_with_other_columns_is_left_alone() {
    let project = Project::flights();
    project.daymill(&DAY).expect(0);
    let before = project.scores();
    project.edit(JOB, "keep  = [\"dest\"]", "keep  = [\"dest\", \"distance\"]");
    project.daymill(&DAY).expect(78).says("it has no column \"distance\" (bigint)");
    assert_eq!(project.scores(), before);
    std::fs::write(project.warehouse(), "this is not a database, but it is long enough to look at").unwrap();
    project.daymill(&DAY).expect(66).says("SQLite");
}

#[test]
fn a_password_appears_nowhere() {
    let secret = "hunter2-that-nobody-may-see";
    let url = format!("postgres://someone:{secret}@127.0.0.1:1/ops?sslmode=disable");
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), secret).unwrap();
    for (variable, value) in [
        ("DAYMILL_OPS_URL", url.clone()),
        ("DAYMILL_OPS_URL", format!("postgres://127.0.0.1:1/ops?password={secret}")),
        ("PGPASSWORD", secret.into()),
    ] {
        let project = Project::flights()
            .env(variable, &value)
            .env("DAYMILL_WAREHOUSE_URL", &url)
            .env("DAYMILL_OPS_PASSWORD", secret)
            .env("RUST_LOG", "trace");
        for arguments in [
            &["run", "flight_delay", "--date", "2013-06-08", "--target", "prod", "--output", "json"][..],
            &["check", "--target", "prod"],
        ] {
            let outcome = project.daymill(arguments);
            assert!(outcome.code == 69, "{outcome:?}");
            assert!(!outcome.stdout.contains(secret) && !outcome.stderr.contains(secret), "{outcome:?}");
        }
        let left =
            std::process::Command::new("grep").args(["-rl", secret]).arg(project.path(".daymill")).output().unwrap();
        assert!(left.stdout.is_empty(), "{}", String::from_utf8_lossy(&left.stdout));
    }
    let project = Project::flights();
    project.edit("daymill.toml", "${env:DAYMILL_OPS_URL:-postgres://postgres@localhost:5432/ops}", &url);
    let outcome = project.daymill(&DAY).expect(78).says("holds a password");
    assert!(
        !outcome.stderr.contains(secret)
            && !std::fs::read_to_string(project.path(".daymill/runs/latest.json")).unwrap().contains(secret)
    );
}

#[test]
fn names_with_quotes_in_them_stay_names() {
    let project = Project::flights();
    let name = "a\\\"; DROP TABLE daymill_runs;--";
    project.edit(JOB, "table = \"flight_delay_scores\"", &format!("table = \"{name}\""));
    project.daymill(&DAY).expect(0);
    let rows = project.sqlite("SELECT CAST(count(*) AS TEXT) FROM \"a\"\"; DROP TABLE daymill_runs;--\"");
    assert_eq!(rows, ["779"]);
    assert_eq!(project.daymill(&["runs", "--output", "json"]).json().as_array().unwrap().len(), 1);
}

#[test]
fn a_file_that_changes_while_it_is_read_publishes_nothing() {
    let project = Project::flights();
    project.own_fixtures();
    let child = project.start("batch-loaded=sleep(1500)", &DAY);
    until("the first batch", || project.daymill(&["runs"]).stdout.contains("running"));
    std::thread::sleep(std::time::Duration::from_millis(700));
    append(&project.path(PART));
    let outcome = finish(child);
    assert!(outcome.stderr.contains("changed while it was being read"), "{}", outcome.stderr);
    assert_eq!(outcome.code, 66);
    assert!(project.scores().is_empty());
}

#[test]
fn a_check_of_numbers_on_text_is_refused() {
    let project = Project::flights();
    project.edit(JOB, "column = \"p_late\"\nrange", "column = \"dest\"\nrange");
    refused(&project, 78, "the check needs numbers, and \"dest\" is");
    assert!(project.daymill(&["check"]).expect(78).stdout.contains("needs numbers"));
}

#[test]
fn a_table_has_one_job_whatever_its_case() {
    let project = Project::flights();
    project.daymill(&DAY).expect(0);
    project.edit("jobs/carrier_daily.toml", "table = \"carrier_daily\"", "table = \"FLIGHT_delay_scores\"");
    project
        .daymill(&["run", "carrier_daily", "--date", "2013-06-08"])
        .expect(78)
        .says("belongs to the job flight_delay");
    assert_eq!(project.scores().len(), 779);
}

#[test]
fn a_nan_does_not_become_null_in_sqlite() {
    let project = Project::flights();
    project.edit(
        "sql/carrier_daily/summary.sql",
        "AVG(arr_delay) AS mean_delay_minutes",
        "CAST('NaN' AS DOUBLE PRECISION) AS mean_delay_minutes",
    );
    project.daymill(&["run", "carrier_daily", "--date", "2013-06-08"]).expect(65).says("\"mean_delay_minutes\": a NaN");
}

#[test]
fn policies_that_would_launder_a_value_are_refused() {
    for (from, to, says) in [
        ("impute = 15.0", "impute = nan", "finite"),
        (
            "type = \"category\"\nencoding",
            "type = \"category\"\nnull = \"impute\"\nimpute = 3.5\nencoding",
            "position in its vocabulary",
        ),
        ("tolerance = 1e-05", "tolerance = inf", "tolerance"),
    ] {
        let project = Project::flights();
        project.own_fixtures();
        let name = "fixtures/models/flight_delay/2/model.toml";
        let text = std::fs::read_to_string(project.path(name)).unwrap();
        let from = if from.starts_with("impute") {
            text.lines().find(|l| l.starts_with("impute")).unwrap().to_owned()
        } else {
            from.to_owned()
        };
        project.edit(name, &from, to);
        project.edit(JOB, "@champion", "@2");
        refused(&project, 66, says);
    }
}

#[test]
fn a_file_of_settings_that_is_no_such_file_is_refused_by_its_size() {
    let project = Project::flights();
    project.write("sql/flight_delay/features.sql", vec![b' '; (16 << 20) + 1]);
    project.daymill(&["run", "flight_delay", "--date", "2013-06-08"]).expect(78).says("at most 16777216 are read");
}

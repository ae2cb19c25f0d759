//! Days that are not 24 hours long, seen through a whole run: every row belongs to exactly one day.

use std::sync::Arc;

use arrow::array::{Int64Array, RecordBatch, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, Schema, TimeUnit};

use crate::support::*;

/// Half-hourly readings from one instant on, in seconds since 1970.
fn readings(project: &Project, from: i64, n: i64) {
    let schema = Arc::new(Schema::new(vec![
        Field::new("id", DataType::Int64, false),
        Field::new("at", DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), false),
    ]));
    let at =
        TimestampMicrosecondArray::from_iter_values((0..n).map(|i| (from + i * 1800) * 1_000_000)).with_timezone("UTC");
    let batch =
        RecordBatch::try_new(schema.clone(), vec![Arc::new(Int64Array::from_iter_values(0..n)), Arc::new(at)]).unwrap();
    let mut writer = parquet::arrow::ArrowWriter::try_new(
        std::fs::File::create(project.path("readings.parquet")).unwrap(),
        schema,
        None,
    )
    .unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

fn project(zone: &str) -> Project {
    let project = Project::flights();
    project.write("sql/readings.sql", "SELECT id, at FROM readings");
    project.write(
        "jobs/readings.toml",
        format!(
            "timezone = \"{zone}\"\nkey = [\"id\"]\n[extract.readings]\nparquet = \"readings.parquet\"\ntime_column = \"at\"\n\
             [extract.readings.columns]\nid = \"int\"\nat = \"timestamp\"\n\
             [target.prod.extract]\nreadings = {{ connection = \"ops\", sql = \"sql/readings_pg.sql\" }}\n\
             [transform]\nsql = \"sql/readings.sql\"\n[load]\ntable = \"readings_by_day\"\n"
        ),
    );
    project.write("sql/readings_pg.sql", "SELECT id, at FROM readings WHERE at >= :start AND at < :end");
    project
}

fn rows(project: &Project, date: &str, target: &str) -> u64 {
    let run =
        project.daymill(&["run", "readings", "--date", date, "--target", target, "--output", "json"]).expect(0).json();
    run["rows"]["published"].as_u64().unwrap()
}

#[test]
fn short_and_long_days_hold_their_hours_in_both_sources() {
    let database = Database::new();
    for (zone, from, days) in [
        ("America/New_York", 1_362_787_200, [("2013-03-09", 48), ("2013-03-10", 46), ("2013-03-11", 48)]),
        ("America/New_York", 1_383_350_400, [("2013-11-02", 48), ("2013-11-03", 50), ("2013-11-04", 48)]),
        ("Australia/Lord_Howe", 1_554_379_200, [("2019-04-06", 48), ("2019-04-07", 49), ("2019-04-08", 48)]),
        ("America/Sao_Paulo", 1_541_116_800, [("2018-11-03", 48), ("2018-11-04", 46), ("2018-11-05", 48)]),
    ] {
        let project = project(zone).env("DAYMILL_OPS_URL", &database.url).env("DAYMILL_WAREHOUSE_URL", &database.url);
        readings(&project, from, 240);
        database.execute(&format!(
            "DROP TABLE IF EXISTS readings, readings_by_day; CREATE TABLE readings AS SELECT i AS id, to_timestamp({from} + i * 1800) AS at FROM generate_series(0, 239) i"
        ));
        for (date, expected) in days {
            assert_eq!(rows(&project, date, "dev"), expected, "{zone} {date}");
            assert_eq!(rows(&project, date, "prod"), expected, "{zone} {date} from Postgres");
        }
        let twice = project.sqlite("SELECT CAST(id AS TEXT) FROM readings_by_day GROUP BY id HAVING count(*) > 1");
        assert!(twice.is_empty(), "{zone}: {twice:?} stand in two days");
    }
}

#[test]
fn a_date_that_the_zone_skipped_is_refused() {
    let project = project("Pacific/Apia");
    readings(&project, 1_325_000_000, 240);
    project.daymill(&["run", "readings", "--date", "2011-12-30"]).expect(2).says("does not exist");
}

#[test]
fn as_of_takes_the_last_complete_day_and_partial_days_need_a_word() {
    let project = Project::flights();
    for (at, day) in
        [("2013-06-09T03:59:59Z", "2013-06-07"), ("2013-06-09T04:00:00Z", "2013-06-08"), ("2013-06-09", "2013-06-08")]
    {
        let run = project.daymill(&["run", "flight_delay", "--as-of", at, "--output", "json"]).expect(0).json();
        assert_eq!(run["interval"]["label"], day);
    }
    project.daymill(&["run", "flight_delay", "--date", "2999-01-01"]).expect(2).says("--allow-partial");
    project.edit("jobs/flight_delay.toml", "2013-06-21", "2999-12-31");
    project
        .daymill(&["run", "flight_delay", "--date", "2999-01-01", "--allow-partial"])
        .expect(66)
        .says("no file matches");
    project.daymill(&["run", "flight_delay", "--start", "2013-06-08", "--end", "2013-06-09"]).expect(0);
    project
        .daymill(&["run", "flight_delay", "--start", "2013-06-08T00:00", "--end", "2013-06-10T00:00"])
        .expect(2)
        .says("not one day");
}

#[test]
fn an_hourly_job_runs_an_hour() {
    let project = project("America/New_York");
    project.edit("jobs/readings.toml", "key = ", "grain = \"hour\"\nkey = ");
    readings(&project, 1_383_350_400, 240);
    for (hour, expected) in [("2013-11-03T00", 2), ("2013-11-03T01-04:00", 2), ("2013-11-03T02", 2)] {
        assert_eq!(rows(&project, hour, "dev"), expected);
    }
    // The repeated hour is reached by its instant.
    let second =
        ["run", "readings", "--start", "2013-11-03T06:00:00Z", "--end", "2013-11-03T07:00:00Z", "--output", "json"];
    assert_eq!(project.daymill(&second).expect(0).json()["interval"]["label"], "2013-11-03T01-05:00");
    assert_eq!(project.sqlite("SELECT CAST(count(*) AS TEXT) FROM readings_by_day"), ["8"]);
    project.daymill(&["run", "readings", "--date", "2013-11-03"]).expect(2).says("2013-06-08T13");
}

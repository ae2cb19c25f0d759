//! The same night from Postgres into Postgres: the same rows, the same scores, and what only a server can do.

use crate::support::*;

const DAY: [&str; 6] = ["run", "flight_delay", "--date", "2013-06-08", "--output", "json"];

#[test]
fn postgres_and_parquet_give_the_same_rows_and_scores() {
    let database = Database::new().with_flights();
    let (remote, local) = (database.project(), Project::flights());
    let from_postgres = remote.daymill(&DAY).expect(0).json();
    let from_parquet = local.daymill(&DAY).expect(0).json();
    assert_eq!(from_postgres["content_hash"], from_parquet["content_hash"]);
    assert_eq!(from_postgres["rows"]["published"], 779);
    assert_eq!(database.scores().len(), 779);
    let types = database.rows("SELECT attname, format_type(atttypid, -1) FROM pg_attribute WHERE attrelid = 'flight_delay_scores'::regclass AND attnum > 0");
    for column in [
        "(flight_date,date)",
        "(flight,bigint)",
        "(p_late,real)",
        "(interval_start,\"timestamp with time zone\")",
        "(model,text)",
        "(run_id,uuid)",
    ] {
        assert!(types.iter().any(|t| t == column), "{column} not in {types:?}");
    }
    let etl = remote.daymill(&["run", "carrier_daily", "--date", "2013-06-08", "--output", "json"]).expect(0).json();
    assert_eq!(
        etl["content_hash"],
        local.daymill(&["run", "carrier_daily", "--date", "2013-06-08", "--output", "json"]).expect(0).json()["content_hash"]
    );
}

#[test]
fn both_ways_into_the_table_publish_the_same_and_leave_nothing() {
    let database = Database::new().with_flights();
    let project = database.project();
    let direct = project.daymill(&[&DAY[..], &["--load-path", "direct"]].concat()).expect(0).json();
    let rows = database.scores();
    let staged = project.daymill(&[&DAY[..], &["--load-path", "staged"]].concat()).expect(0).json();
    assert_eq!(direct["content_hash"], staged["content_hash"]);
    assert_eq!(database.scores(), rows);
    assert!(database.rows("SELECT relname FROM pg_class WHERE relname LIKE 'daymill_staging%'").is_empty());
    assert!(database.locks().is_empty());
}

#[test]
fn the_stages_apart_give_exactly_what_a_run_gives() {
    let database = Database::new().with_flights();
    let project = database.project();
    let run = project.daymill(&DAY).expect(0).json();
    let rows = database.scores();
    database.execute("DELETE FROM flight_delay_scores");
    for stage in ["extract", "transform", "score", "load"] {
        project.daymill(&[stage, "flight_delay", "--date", "2013-06-08"]).expect(0);
    }
    assert_eq!(project.run_json()["content_hash"], run["content_hash"]);
    assert_eq!(database.scores(), rows);
}

#[test]
fn a_source_that_lost_renamed_or_retyped_a_column_is_refused_before_any_write() {
    for (change, says) in [
        ("ALTER TABLE planes DROP COLUMN seats", "seats"),
        ("ALTER TABLE weather RENAME COLUMN temp TO temperature", "temp"),
        ("ALTER TABLE planes ALTER COLUMN built TYPE text", "declared int and is text"),
        ("ALTER TABLE weather ALTER COLUMN time_hour TYPE timestamp USING time_hour AT TIME ZONE 'UTC'", "time_hour"),
        ("DROP TABLE planes", "planes"),
    ] {
        let database = Database::new().with_flights();
        database.execute(change);
        database.project().daymill(&DAY).expect(65).says(says);
        assert!(database.scores().is_empty(), "{change}");
        database.project().daymill(&["check", "flight_delay"]).expect(65);
    }
}

#[test]
fn values_that_no_column_holds_are_refused_by_column() {
    for (change, says) in [
        ("UPDATE weather SET time_hour = 'infinity' WHERE origin = 'JFK' AND time_hour = '2013-06-08 12:00Z'", None),
        ("UPDATE planes SET built = NULL", None),
        ("UPDATE weather SET temp = 'NaN' WHERE time_hour = '2013-06-08 12:00Z'", Some("the feature \"temp\" is NaN")),
        (
            "UPDATE weather SET temp = 'Infinity' WHERE time_hour = '2013-06-08 12:00Z'",
            Some("the feature \"temp\" is infinite"),
        ),
        ("UPDATE weather SET precip = 1e300 WHERE time_hour = '2013-06-08 12:00Z'", Some("the whole number")),
        ("UPDATE flights SET carrier = 'ZZ' WHERE carrier = 'HA'", Some("carrier: \"ZZ\" in 1 row")),
        ("UPDATE flights SET distance = NULL WHERE carrier = 'HA'", Some("the feature \"distance\" is NULL")),
        ("INSERT INTO flights SELECT * FROM flights WHERE carrier = 'HA'", Some("carrier='HA'")),
    ] {
        let database = Database::new().with_flights();
        database.execute(change);
        let outcome = database.project().daymill(&DAY);
        match says {
            None => assert_eq!(outcome.code, 0, "{change}: {}", outcome.stderr),
            Some(says) => {
                outcome.expect(65).says(says);
                assert!(database.scores().is_empty(), "{change}");
            }
        }
    }
}

#[test]
fn types_that_are_not_read_are_named_and_enums_domains_and_uuids_are() {
    let database = Database::new().with_flights();
    database.execute(
        "CREATE TYPE engine AS ENUM ('jet', 'prop'); CREATE DOMAIN seats AS bigint CHECK (VALUE > 0); \
         ALTER TABLE planes ADD COLUMN tags jsonb, ADD COLUMN kind engine DEFAULT 'jet', ALTER COLUMN seats TYPE seats, ADD COLUMN id uuid DEFAULT gen_random_uuid()",
    );
    let project = database.project();
    project.daymill(&DAY).expect(0);
    let jobs = "jobs/flight_delay.toml";
    project.edit(jobs, "engines = \"int\"", "engines = \"int\"\nkind = \"text\"\nid = \"text\"");
    project.write("sql/flight_delay/planes.sql", "SELECT tailnum, built, seats, engines, kind, id FROM planes");
    project.daymill(&DAY).expect(0);
    project.edit(jobs, "id = \"text\"", "tags = \"text\"");
    project.write("sql/flight_delay/planes.sql", "SELECT * FROM planes -- no semicolon;");
    project.daymill(&DAY).expect(65).says("\"tags\" is declared text and is jsonb");
}

#[test]
fn a_table_with_other_columns_or_another_owner_is_left_alone() {
    let database = Database::new().with_flights();
    database.execute("CREATE TABLE flight_delay_scores (flight_date date, note text)");
    let project = database.project();
    project.daymill(&DAY).expect(78).says("it has no column \"interval_start\" (timestamp with time zone)");
    project.daymill(&["check", "flight_delay"]).expect(78);
    database.execute("DROP TABLE flight_delay_scores");
    project.daymill(&DAY).expect(0);
    project.edit("jobs/carrier_daily.toml", "table = \"carrier_daily\"", "table = \"flight_delay_scores\"");
    project
        .daymill(&["run", "carrier_daily", "--date", "2013-06-08"])
        .expect(78)
        .says("belongs to the job flight_delay");
    assert_eq!(database.scores().len(), 779);
}

#[test]
fn missing_grants_are_named() {
    let database = Database::new().with_flights();
    let role = format!("r{}", uuid::Uuid::now_v7().simple());
    database.execute(&format!("CREATE ROLE {role} LOGIN; REVOKE ALL ON SCHEMA public FROM PUBLIC; GRANT USAGE ON SCHEMA public TO {role}; GRANT SELECT ON flights, weather, planes TO {role}"));
    let url = database.url.replace("postgres@", &format!("{role}@"));
    let project = database.project().env("DAYMILL_WAREHOUSE_URL", &url).env("DAYMILL_OPS_URL", &url);
    let told = project.daymill(&["check", "flight_delay"]).expect(78).stdout;
    assert!(told.contains("lacks grants") && told.contains("CREATE on the database"), "{told}");
    project.daymill(&DAY).expect(78).says("permission denied");
    database.execute(&format!("REVOKE SELECT ON planes FROM {role}; CREATE SCHEMA daymill AUTHORIZATION {role}; GRANT CREATE ON SCHEMA public TO {role}"));
    project.daymill(&DAY).expect(78).says("permission denied for table planes");
    database.execute(&format!("GRANT SELECT ON planes TO {role}"));
    project.daymill(&DAY).expect(0);
}

#[test]
fn the_session_of_the_server_does_not_matter() {
    let database = Database::new().with_flights();
    let expected = database.project().daymill(&DAY).expect(0).json();
    let name = database.url.rsplit('/').next().unwrap();
    database.execute(&format!("ALTER DATABASE {name} SET TimeZone = 'Asia/Tokyo'; ALTER DATABASE {name} SET DateStyle = 'German'; ALTER DATABASE {name} SET search_path = 'nowhere'; ALTER DATABASE {name} SET extra_float_digits = -10"));
    let project = database
        .project()
        .env("TZ", "Pacific/Apia")
        .env("PGTZ", "Asia/Kolkata")
        .env("LC_ALL", "C")
        .env("PGOPTIONS", "-c TimeZone=Asia/Tokyo");
    assert_eq!(project.daymill(&DAY).expect(0).json()["content_hash"], expected["content_hash"]);
}

#[test]
fn the_date_in_a_source_query_is_the_run_s_own_whatever_the_lookback() {
    let database = Database::new().with_flights();
    let project = database.project();
    let expected = project.daymill(&DAY).expect(0).json();
    let where_span = "time_hour >= :start AND time_hour < :end";
    let by_date = "(time_hour AT TIME ZONE 'America/New_York')::date BETWEEN :date - 7 AND :date";
    project.edit("sql/flight_delay/flights.sql", where_span, by_date);
    assert_eq!(project.daymill(&DAY).expect(0).json()["content_hash"], expected["content_hash"]);
}

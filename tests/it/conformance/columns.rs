//! The columns of a published table in every warehouse: those that come, those that stay behind, those of others, and what Daymill
//! adds itself.

use super::warehouses::{DAY, House, SQL, houses, many};
use crate::support::*;

/// With a column more than before.
const MORE: &str = "SELECT id, id % 7 AS more, f, CAST(CAST(id % 1000 AS real) / 3 AS real) AS r, t, b, d, CAST(at AS timestamp) AS local, at FROM rows";

#[test]
fn columns_are_added_when_the_job_says_so_and_going_back_works() {
    for house in houses() {
        let day = |date: &'static str| ["run", "j", "--date", date];
        house.day("2024-01-02", &many(3));
        let before = house.publish();
        house.project.daymill(&day("2024-01-02")).expect(0);
        house.project.write("sql/j.sql", MORE);
        let refused = house.project.daymill(&DAY).expect(78).says("it has no column \"more\" (bigint)");
        let hint =
            if house.lake.is_some() { "new files have the column" } else { "ADD COLUMN \"more\" bigint; or say" };
        refused.says(hint).says("on_schema_change = \"append\"");
        house.project.edit("jobs/j.toml", "table = \"out\"", "table = \"out\"\non_schema_change = \"append\"");
        assert!(
            house
                .project
                .daymill(&["check", "j"])
                .expect(0)
                .stdout
                .contains("the next run adds the columns \"more\" bigint")
        );
        house.project.daymill(&[&DAY[..], &["--dry-run"]].concat()).expect(0).says("a run adds it");
        // A load that dies before its commit leaves the table as it was.
        house.project.failing("before-commit=panic(stopped)", &DAY).expect(70);
        house.verified();
        assert_eq!(house.project.run_json()["state"], "failed");
        let added = house.publish();
        assert_ne!(added, before);
        // The other day has the old columns, and is what was published.
        house.verified();
        house.project.daymill(&day("2024-01-02")).expect(0);
        // Back to the columns of before: the new one stays, and is NULL.
        house.project.write("sql/j.sql", SQL);
        house.project.edit("jobs/j.toml", "\non_schema_change = \"append\"", "");
        let gone = house.project.daymill(&DAY).expect(0);
        if house.lake.is_none() {
            gone.says("the job does not publish more any more");
        }
        assert_eq!(house.publish(), before);
        // Other days may still have the column in files of their own, and its type stays.
        house.project.write("sql/j.sql", MORE.replace("id % 7 AS more", "f AS more"));
        house.project.daymill(&DAY).expect(78).says("its column \"more\" is bigint, not double precision");
        house.project.write("sql/j.sql", SQL);
        house.project.daymill(&day("2024-01-02")).expect(0);
        house.verified();
        // A name that differs in its case alone is another mistake.
        house.project.write("sql/j.sql", SQL.replace("SELECT id, f,", "SELECT id, f AS \"F\","));
        house.project.daymill(&DAY).expect(78).says("it has the column \"f\", and the job publishes \"F\"");
        // A column of the key is never added: the rows that are there have no values of it.
        house.project.edit("jobs/j.toml", "key = [\"id\"]", "key = [\"id\", \"another\"]");
        house.project.edit("jobs/j.toml", "table = \"out\"", "table = \"out\"\non_schema_change = \"append\"");
        house.project.write("sql/j.sql", MORE.replace("AS more", "AS another"));
        house.project.daymill(&DAY).expect(78).says("it has no column \"another\" (bigint)");
        house.project.edit("jobs/j.toml", ", \"another\"]", "]");
        // Of another type it is no column to be added.
        house.project.write("sql/j.sql", SQL.replace("CAST(CAST(id % 1000 AS real) / 3 AS real) AS r", "f AS r"));
        house.project.daymill(&DAY).expect(78).says("its column \"r\" is real, not double precision");
        house.verified();
    }
}

#[test]
fn tables_are_made_whatever_names_are_taken_and_however_long_the_key() {
    let house = House::new("postgres");
    house.publish();
    house.execute("ALTER TABLE out RENAME TO older");
    house.project.daymill(&DAY).expect(0);
    let columns: Vec<String> = (0..33).map(|i| format!("id + {i} AS k{i}")).collect();
    let keys: Vec<String> = (0..33).map(|i| format!("k{i}")).collect();
    house.job("wide", "wide", &keys.join("\", \""));
    house.project.edit("jobs/wide.toml", "\\\"", "\"");
    house.project.edit("jobs/wide.toml", "sql/j.sql", "sql/wide.sql");
    house.project.write("sql/wide.sql", format!("SELECT {} FROM rows WHERE id = 1", columns.join(", ")));
    house.project.daymill(&["run", "wide", "--date", "2024-01-01"]).expect(0);
    // Who may write and does not own adds no columns, and is told so before anything is read.
    let role = format!("writer_{}", uuid::Uuid::now_v7().simple());
    let database = house.database.as_ref().unwrap();
    let name = database.url.rsplit('/').next().unwrap().to_owned();
    database.execute(&format!(
        "CREATE ROLE {role} LOGIN PASSWORD 'x' NOSUPERUSER; GRANT ALL ON DATABASE {name} TO {role}; \
         GRANT ALL ON SCHEMA public, daymill TO {role}; GRANT ALL ON ALL TABLES IN SCHEMA public, daymill TO {role}"
    ));
    house.project.write("sql/j.sql", MORE);
    house.project.edit("jobs/j.toml", "table = \"out\"", "table = \"out\"\non_schema_change = \"append\"");
    let (head, tail) = database.url.split_once("//").unwrap();
    let url = format!("{head}//{role}:x@{}", tail.rsplit('@').next().unwrap());
    let House { project, .. } = house;
    let project = project.env("HOUSE_URL", &url);
    let says = format!("the role {role} does not own the table out");
    project.daymill(&DAY).expect(78).says(&says);
    assert!(project.daymill(&["check", "j"]).expect(78).stdout.contains(&says));
}

#[test]
fn columns_of_others_are_left_alone_when_they_can_be() {
    for house in houses().into_iter().filter(|house| house.lake.is_none()) {
        let before = house.publish();
        house.execute("ALTER TABLE out ADD COLUMN comment text");
        house.execute("ALTER TABLE out ADD COLUMN times integer NOT NULL DEFAULT 1");
        assert_eq!(house.publish(), before);
        // A table that an older Daymill made has no date of the interval.
        house.execute("ALTER TABLE out DROP COLUMN interval_date");
        assert_eq!(house.publish(), before);
        if house.database.is_some() {
            house.execute("ALTER TABLE out ALTER COLUMN times DROP DEFAULT");
            house.project.daymill(&DAY).expect(78).says("its column \"times\" is NOT NULL without a default");
            house.execute("ALTER TABLE out DROP COLUMN times");
            assert_eq!(house.publish(), before);
        }
        house.verified();
    }
}

#[test]
fn rows_have_the_local_date_and_small_tables_an_index_of_their_keys() {
    for house in houses() {
        house.project.edit("jobs/j.toml", "\"UTC\"", "\"America/New_York\"");
        house.publish();
        match (&house.database, &house.lake) {
            (Some(database), _) => {
                assert_eq!(
                    database.rows("SELECT DISTINCT interval_start::text, interval_date::text FROM out"),
                    ["(\"2024-01-01 05:00:00+00\",2024-01-01)"]
                );
                let index = database.rows("SELECT indexdef FROM pg_indexes WHERE tablename = 'out'");
                assert!(index[0].contains("UNIQUE") && index[0].contains("(interval_start, id)"), "{index:?}");
                // The key of a job may be another later.
                house.job("j", "out", "f");
                house.project.edit("jobs/j.toml", "\"UTC\"", "\"America/New_York\"");
                house.day("2024-01-01", &many(2).replace("\"id\": 1", "\"id\": 0"));
                let refused = house.project.daymill(&DAY).expect(65);
                refused.says("alike in a unique index").says("(interval_start, id)").says("DROP CONSTRAINT");
                house.job("text", "words", "t");
                house.project.daymill(&["run", "text", "--date", "2024-01-01"]).expect(0);
                let index = database.rows("SELECT indexdef FROM pg_indexes WHERE tablename = 'words'");
                assert!(!index[0].contains("UNIQUE") && index[0].contains("(interval_start)"), "{index:?}");
                // In a large interval the index does not hold the key.
                house.job("large", "large", "id");
                house.day("2024-01-01", &many(20_001));
                house.project.daymill(&["run", "large", "--date", "2024-01-01"]).expect(0);
                let index = database.rows("SELECT indexdef FROM pg_indexes WHERE tablename = 'large'");
                assert!(!index[0].contains("UNIQUE") && index[0].contains("(interval_start)"), "{index:?}");
            }
            (None, None) => {
                let file = house.project.path("house/w.sqlite");
                assert_eq!(rows_of(&file, "SELECT DISTINCT interval_date FROM out"), ["2024-01-01"]);
                let index = rows_of(&file, "SELECT name FROM pragma_index_info('out_interval')");
                assert_eq!(index, ["interval_start", "id"]);
                // The index was made for another key, by which these rows are alike.
                house.job("j", "out", "f");
                house.project.edit("jobs/j.toml", "\"UTC\"", "\"America/New_York\"");
                house.day("2024-01-01", &many(2).replace("\"id\": 1", "\"id\": 0"));
                let refused = house.project.daymill(&DAY).expect(65).says("alike in a unique index");
                refused.says("DROP INDEX \"out_interval\"");
            }
            (None, Some(_)) => {
                let file = house.files("dt=2024-01-01/*.parquet").pop().unwrap();
                let batch =
                    daymill::parquet_file::all(&file, bytes::Bytes::from(std::fs::read(&file).unwrap())).unwrap();
                let dates = batch.column_by_name("interval_date").unwrap();
                assert_eq!(arrow::util::display::array_value_to_string(dates, 0).unwrap(), "2024-01-01");
            }
        }
    }
}

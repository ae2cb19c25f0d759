//! A row belongs to its interval: jobs that do not depend on it, times outside of it, hours that come twice.

use crate::support::*;

/// A project with one Postgres source.
fn project(database: &Database, sql: &str, transform: &str, more: &str) -> Project {
    let project = Project::empty();
    project.write(
        "daymill.toml",
        "[connection.db]\nurl = \"${env:URL}\"\n[target.db]\nkind = \"postgres\"\nconnection = \"db\"\nschema = \"public\"\n",
    );
    project.write("sql/s.sql", sql);
    project.write("sql/t.sql", transform);
    project.write(
        "jobs/j.toml",
        format!(
            "timezone = \"America/New_York\"\nkey = [\"id\"]\n[extract.a]\nconnection = \"db\"\nsql = \"sql/s.sql\"\n\
             [transform]\nsql = \"sql/t.sql\"\n[load]\ntable = \"out\"\n{more}\n"
        ),
    );
    project.env("URL", &database.url)
}

const RUN: [&str; 4] = ["run", "j", "--date", "2024-01-05"];

#[test]
fn a_job_that_does_not_depend_on_its_interval_is_refused_unless_it_is_meant() {
    let database = Database::new();
    let own = project(&database, "SELECT 1 AS id", "SELECT id FROM a", "");
    for command in [&RUN[..], &["check", "j"], &["backfill", "j", "--from", "2024-01-05", "--to", "2024-01-06"]] {
        let refused = own.daymill(command);
        assert!([78, 3].contains(&refused.code), "{command:?} ended with {}: {}", refused.code, refused.stderr);
        assert!(format!("{}{}", refused.stdout, refused.stderr).contains("no table depends on the interval"));
    }
    assert!(database.rows("SELECT * FROM out").is_empty());
    own.edit("jobs/j.toml", "sql = \"sql/s.sql\"", "sql = \"sql/s.sql\"\nsnapshot = true");
    own.daymill(&RUN).expect(0);
    // A dimension that is meant whole says nothing of the facts beside it.
    own.edit("jobs/j.toml", "[transform]", "[extract.b]\nconnection = \"db\"\nsql = \"sql/s.sql\"\n[transform]");
    own.daymill(&RUN).expect(78).says("snapshot = true in each");
    for (sql, transform) in [
        ("SELECT 1 AS id WHERE :date > '2020-01-01'", "SELECT id FROM a"),
        ("SELECT 1 AS id", "SELECT id FROM a WHERE :end IS NOT NULL"),
    ] {
        project(&Database::new(), sql, transform, "").daymill(&RUN).expect(0);
    }
    let quoted = project(&database, "SELECT 1 AS id, ':date' AS word", "SELECT id FROM a -- :date", "");
    quoted.daymill(&RUN).expect(78);
    // An hour needs more than its date.
    let hourly = project(&database, "SELECT 1 AS id WHERE :date IS NOT NULL", "SELECT id FROM a", "");
    hourly.edit("jobs/j.toml", "key =", "grain = \"hour\"\nkey =");
    hourly.daymill(&["run", "j", "--date", "2024-01-05T10"]).expect(78).says("every hour would publish the same rows");
}

#[test]
fn a_published_time_must_lie_in_the_interval() {
    let database = Database::new();
    let sql = "SELECT id, t, (t AT TIME ZONE 'America/New_York')::date AS d FROM (VALUES (1, timestamptz '2024-01-05 05:00Z'), \
               (2, '2024-01-06 04:59:59.999999Z'), (3, NULL)) AS v (id, t) WHERE :date IS NOT NULL AND id <= 2";
    for time in ["t", "d"] {
        let project = project(&database, sql, "SELECT id, t, d FROM a", &format!("time = \"{time}\""));
        project.daymill(&RUN).expect(0);
        project.edit("sql/s.sql", "id <= 2", "id <= 3");
        project.daymill(&RUN).expect(65).says("has 1 rows without one").says(&format!("id=3: {time}=NULL"));
        project.edit("sql/s.sql", "id <= 3", "id <= 2");
        // The end is the first moment of the next day.
        project.edit("sql/s.sql", "04:59:59.999999Z", "05:00Z");
        project.daymill(&RUN).expect(65).says(&format!("has 1 rows with a {time} outside of it"));
        project.edit("sql/s.sql", "06 05:00Z", "06 04:59:59.999999Z");
        let refused = project.daymill(&["run", "j", "--date", "2024-01-06"]).expect(65);
        let refused = refused.says(&format!("has 2 rows with a {time} outside of it"));
        refused.says(if time == "t" { "id=1: t=2024-01-05T05:00:00Z" } else { "id=1: d=2024-01-05" });
        assert_eq!(database.rows("SELECT count(*) FROM out"), ["(2)"]);
        database.execute("DROP TABLE out");
    }
    let project = project(&database, sql, "SELECT id, t, d FROM a", "time = \"tt\"");
    project.daymill(&RUN).expect(78).says("load.time is \"tt\", which is not published");
    assert!(project.daymill(&["check", "j"]).expect(78).stdout.contains("did you mean t?"));
    project.edit("jobs/j.toml", "\"tt\"", "\"id\"");
    project.daymill(&RUN).expect(78).says("it must be a timestamp with a time zone, or, where a run is a day, a date");
}

#[test]
fn a_source_reads_dates_and_clock_times_in_the_zone_of_the_job() {
    let database = Database::new();
    database.execute(
        "CREATE TABLE orders (id bigint, at timestamptz, clock timestamp); \
         INSERT INTO orders SELECT i, timestamptz '2024-01-05 00:00Z' + i * interval '1 hour', timestamp '2024-01-05 00:00' FROM generate_series(0, 47) AS i",
    );
    let own = project(&database, "SELECT id FROM orders WHERE at::date = :date", "SELECT id FROM a", "");
    own.daymill(&RUN).expect(0);
    assert_eq!(database.rows("SELECT count(*), min(id), max(id) FROM out"), ["(24,5,28)"]);
    let naive = "SELECT id, clock FROM orders WHERE :date IS NOT NULL AND id = 1";
    let own = project(&Database::new(), naive, "SELECT id, clock FROM a", "").env("URL", &database.url);
    own.edit("jobs/j.toml", "\"out\"", "\"clocks\"");
    own.edit("jobs/j.toml", "timezone", "description = \"clocks\"\ntimezone");
    std::fs::rename(own.path("jobs/j.toml"), own.path("jobs/clocks.toml")).unwrap();
    let run = ["run", "clocks", "--date", "2024-01-05"];
    own.daymill(&run).expect(65).says("which Daymill does not read").says("zone = \"Europe/Berlin\"");
    own.edit("jobs/clocks.toml", "connection =", "zone = \"Europe/Berlin\"\nconnection =");
    own.daymill(&run).expect(0);
    assert_eq!(database.rows("SELECT clock AT TIME ZONE 'UTC' FROM clocks"), ["(\"2024-01-04 23:00:00\")"]);
}

#[test]
fn placeholders_leave_strings_comments_slices_and_a_last_semicolon_alone() {
    let database = Database::new();
    let sql = "SELECT 1 AS id, E'it\\'s :date' AS words, ((ARRAY[1, 2, 3])[1:id])[1] AS slice, $x$:start$x$ AS quoted, (n.a[id:id])[1] AS own \
               FROM (SELECT 2 AS id, ARRAY[5, 6] AS a) AS n /* :nothing /* :nested */ :again */ \
               WHERE :date = ANY (ARRAY[:date]) ; -- done\n";
    project(&database, sql, "SELECT * FROM a", "").daymill(&RUN).expect(0);
    assert_eq!(database.rows("SELECT words, slice, quoted, own FROM out"), ["(\"it's :date\",1,:start,6)"]);
}

#[test]
fn row_security_of_a_source_is_not_silence() {
    let database = Database::new();
    let role = format!("reader_{}", uuid::Uuid::now_v7().simple());
    database.execute(&format!(
        "CREATE TABLE s (id bigint); INSERT INTO s VALUES (1), (2); ALTER TABLE s ENABLE ROW LEVEL SECURITY; \
         CREATE POLICY one ON s USING (id = 1); CREATE ROLE {role} LOGIN PASSWORD 'x' NOSUPERUSER; GRANT SELECT ON s TO {role}; \
         GRANT ALL ON SCHEMA public TO {role}; GRANT CREATE ON DATABASE {} TO {role}",
        database.url.rsplit('/').next().unwrap()
    ));
    let (head, tail) = database.url.split_once("//").unwrap();
    let url = format!("{head}//{role}:x@{}", tail.rsplit('@').next().unwrap());
    let project =
        project(&database, "SELECT id FROM s WHERE :date IS NOT NULL", "SELECT id FROM a", "").env("URL", &url);
    project.daymill(&RUN).expect(78).says("row-level security");
    assert!(project.daymill(&["check", "j"]).expect(78).stdout.contains("row-level security"));
    database.execute(&format!("ALTER ROLE {role} BYPASSRLS"));
    project.daymill(&RUN).expect(0);
    assert_eq!(database.rows("SELECT id FROM out ORDER BY 1"), ["(1)", "(2)"]);
}

#[test]
fn an_hour_that_comes_twice_is_not_published_twice_from_one_file() {
    let project = Project::empty();
    project.write("daymill.toml", "[target.local]\nkind = \"sqlite\"\npath = \"w.sqlite\"\n");
    project.write("sql/t.sql", "SELECT i64 AS id FROM a WHERE i64 IS NOT NULL");
    project.write(
        "jobs/j.toml",
        "timezone = \"America/New_York\"\ngrain = \"hour\"\nkey = [\"id\"]\n[extract.a]\nparquet = \"d/{date}/{hour}.parquet\"\n\
         columns = { i64 = \"int\" }\n[transform]\nsql = \"sql/t.sql\"\n[load]\ntable = \"out\"\n",
    );
    std::fs::create_dir_all(project.path("d/2013-11-03")).unwrap();
    for hour in 0..24 {
        let path = project.path(&format!("d/2013-11-03/{hour:02}.parquet"));
        std::fs::copy(repository().join("fixtures/writers/pyarrow-20/codec_none.parquet"), path).unwrap();
    }
    let twice = project.daymill(&["run", "j", "--date", "2013-11-03T01"]).expect(2);
    twice.says("happened twice").says("say which: 2013-11-03T01-04:00 or 2013-11-03T01-05:00");
    project.daymill(&["run", "j", "--date", "2013-11-03T01-05:00"]).expect(78).says("read the same file");
    project.daymill(&["run", "j", "--date", "2013-11-03T02"]).expect(0);
    project.daymill(&["backfill", "j", "--from", "2013-11-03", "--to", "2013-11-03"]).expect(3);
    assert_eq!(
        rows_of(
            &project.path("w.sqlite"),
            "SELECT CAST(count(DISTINCT interval_start) AS text), CAST(count(*) AS text) FROM out"
        ),
        ["23|69"]
    );
}

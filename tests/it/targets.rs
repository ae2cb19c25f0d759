//! The warehouse is counted, not believed: triggers, rules, row security, views and hands of others between a load and its
//! table.

use crate::faults::scene::Server;
use crate::support::*;

fn project(url: &str, kind: &str) -> Project {
    let project = Project::empty();
    let target = match kind {
        "sqlite" => "[target.t]\nkind = \"sqlite\"\npath = \"w.sqlite\"\n",
        _ => {
            "[connection.db]\nurl = \"${env:URL}\"\n[target.t]\nkind = \"postgres\"\nconnection = \"db\"\nschema = \"public\"\n"
        }
    };
    project.write("daymill.toml", target);
    project.write("sql/t.sql", "SELECT i64 AS id, f64 AS x FROM a WHERE i64 IS NOT NULL");
    project.write(
        "jobs/j.toml",
        "timezone = \"UTC\"\nkey = [\"id\"]\non_empty = \"replace\"\n[extract.a]\nparquet = \"fixtures/writers/pyarrow-20/codec_none.parquet\"\nsnapshot = true\n\
         [transform]\nsql = \"sql/t.sql\"\n[load]\ntable = \"out\"\n",
    );
    std::os::unix::fs::symlink(repository().join("fixtures"), project.path("fixtures")).unwrap();
    project.env("URL", url)
}

const RUN: [&str; 4] = ["run", "j", "--date", "2024-01-05"];

/// What is made of the table before the run, and what both the run and the check say of it.
const REFUSED: &[(&str, &str)] = &[
    (
        "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'; \
         CREATE TRIGGER keeper BEFORE DELETE ON out FOR EACH ROW EXECUTE FUNCTION f()",
        "it has the trigger keeper",
    ),
    (
        "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.x := 0; RETURN NEW; END'; \
         CREATE TRIGGER changer BEFORE INSERT ON out FOR EACH ROW EXECUTE FUNCTION f()",
        "it has the trigger changer",
    ),
    ("CREATE RULE soft AS ON DELETE TO out DO INSTEAD NOTHING", "it has the rule soft"),
    ("CREATE RULE also AS ON INSERT TO out DO ALSO NOTHING", "it has the rule also"),
    ("ALTER TABLE out RENAME TO own; CREATE VIEW out AS SELECT * FROM own", "it is a view"),
    (
        "ALTER TABLE out RENAME TO own; CREATE FOREIGN DATA WRAPPER w; CREATE SERVER s FOREIGN DATA WRAPPER w; \
         CREATE FOREIGN TABLE out (id bigint NOT NULL, x double precision, interval_start timestamptz NOT NULL, model text, \
         model_version bigint, run_id uuid NOT NULL) SERVER s",
        "it is a foreign table",
    ),
    ("ALTER TABLE out RENAME TO own; CREATE MATERIALIZED VIEW out AS SELECT * FROM own", "it is a materialized view"),
    (
        "DROP TABLE out; CREATE TABLE out (id bigint NOT NULL, x double precision, interval_start timestamptz NOT NULL, model text, \
         model_version bigint, run_id uuid NOT NULL) PARTITION BY RANGE (interval_start); CREATE TABLE part PARTITION OF out DEFAULT; \
         INSERT INTO out SELECT i, i, '2024-01-05Z', NULL, NULL, gen_random_uuid() FROM generate_series(1, 3) AS i; \
         CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.x := 0; RETURN NEW; END'; \
         CREATE TRIGGER hidden BEFORE INSERT ON part FOR EACH ROW EXECUTE FUNCTION f()",
        "it has the trigger hidden",
    ),
    ("CREATE TABLE child () INHERITS (out)", "other tables inherit from it, as child"),
    (
        "ALTER TABLE out DROP COLUMN x; ALTER TABLE out ADD COLUMN x double precision GENERATED ALWAYS AS (id * 2.0) STORED",
        "its column x is generated",
    ),
];

#[test]
fn a_table_that_would_drop_or_change_rows_is_refused_and_check_says_so() {
    for (change, says) in REFUSED {
        let database = Database::new();
        let project = project(&database.url, "postgres");
        project.daymill(&RUN).expect(0);
        let before = database.rows("SELECT id, x FROM out ORDER BY 1");
        assert_eq!(before.len(), 3);
        database.execute(change);
        for path in ["direct", "staged"] {
            project.daymill(&[&RUN[..], &["--load-path", path]].concat()).expect(78).says(says);
        }
        let checked = project.daymill(&["check", "j"]).expect(78);
        assert!(checked.stdout.contains(says), "{says:?} is not in {}", checked.stdout);
        // A foreign table without its server cannot be asked.
        let holder = if says.contains("foreign") { "own" } else { "out" };
        let kept = database.rows(&format!("SELECT id FROM {holder} ORDER BY 1"));
        assert_eq!(kept.len(), 3, "{change}");
    }
    for (change, says) in [
        (
            "DROP TABLE out; CREATE TABLE out (id bigint NOT NULL, x double precision, interval_start timestamp with time zone NOT NULL, \
             model text, model_version bigint, run_id uuid NOT NULL, UNIQUE (id) ON CONFLICT REPLACE)",
            "it has a constraint with ON CONFLICT",
        ),
        ("CREATE TRIGGER soft BEFORE DELETE ON out BEGIN SELECT RAISE(IGNORE); END", "it has the trigger soft"),
        ("ALTER TABLE out RENAME TO own; CREATE VIEW out AS SELECT * FROM own", "it is a view"),
        ("ALTER TABLE out ADD COLUMN g INT GENERATED ALWAYS AS (id) VIRTUAL", "its column g is generated"),
        (
            "DROP TABLE out; CREATE VIRTUAL TABLE out USING fts5(id, x, interval_start, model, model_version, run_id)",
            "it is a virtual table",
        ),
    ] {
        let project = project("", "sqlite");
        project.daymill(&RUN).expect(0);
        execute_sqlite(&project.path("w.sqlite"), change);
        project.daymill(&RUN).expect(78).says(says);
        assert!(project.daymill(&["check", "j"]).expect(78).stdout.contains(says));
    }
}

#[test]
fn a_table_whose_row_security_hides_rows_is_refused() {
    let database = Database::new();
    let role = format!("writer_{}", uuid::Uuid::now_v7().simple());
    let name = database.url.rsplit('/').next().unwrap().to_owned();
    database.execute(&format!(
        "CREATE ROLE {role} LOGIN PASSWORD 'x' NOSUPERUSER; GRANT ALL ON SCHEMA public TO {role}; GRANT CREATE ON DATABASE {name} TO {role}"
    ));
    let (head, tail) = database.url.split_once("//").unwrap();
    let project = project(&format!("{head}//{role}:x@{}", tail.rsplit('@').next().unwrap()), "postgres");
    project.daymill(&RUN).expect(0);
    database.execute("ALTER TABLE out ENABLE ROW LEVEL SECURITY; ALTER TABLE out FORCE ROW LEVEL SECURITY; CREATE POLICY mine ON out USING (id = 1)");
    let says = format!("its row security hides rows from the role {role}");
    project.daymill(&RUN).expect(78).says(&says);
    // Also on a day that became empty, whose rows would stay.
    project.edit("sql/t.sql", "IS NOT NULL", "IS NULL");
    project.daymill(&RUN).expect(78).says(&says);
    assert_eq!(database.rows("SELECT id FROM out").len(), 3);
}

#[test]
fn a_target_that_only_reads_is_refused_by_its_name() {
    let database = Database::new();
    let name = database.url.rsplit('/').next().unwrap().to_owned();
    let project = project(&database.url, "postgres");
    database.execute(&format!("ALTER DATABASE {name} SET default_transaction_read_only = on"));
    let says = "the target t cannot be written: sessions of its role are read-only";
    project.daymill(&RUN).expect(78).says(says);
    let checked = project.daymill(&["check", "j"]).expect(78);
    assert!(checked.stdout.contains(says), "{}", checked.stdout);
}

#[test]
fn a_standby_is_read_and_is_no_target() {
    let server = Server::start();
    let database = server.database();
    database.execute("CREATE TABLE s AS SELECT 7 AS id, date '2024-01-05' AS day");
    let project = project(&database.url, "postgres");
    project.daymill(&RUN).expect(0);
    server.demote();
    let says = "the target t cannot be written: the server is a read-only replica";
    project.daymill(&RUN).expect(78).says(says);
    let checked = project.daymill(&["check", "j"]).expect(78);
    assert!(checked.stdout.contains(says), "{}", checked.stdout);
    // What it has can be looked at, and can be read.
    let status = project.daymill(&["status", "j", "--from", "2024-01-05", "--to", "2024-01-05"]).expect(0);
    assert!(status.stdout.contains("2024-01-05"), "{}", status.stdout);
    project.write("sql/s.sql", "SELECT id FROM s WHERE day = :date");
    project.edit(
        "jobs/j.toml",
        "parquet = \"fixtures/writers/pyarrow-20/codec_none.parquet\"\nsnapshot = true",
        "connection = \"db\"\nsql = \"sql/s.sql\"",
    );
    project.write("sql/t.sql", "SELECT id FROM a");
    let at = project.path("daymill.toml");
    let both = std::fs::read_to_string(&at).unwrap() + "[target.here]\nkind = \"sqlite\"\npath = \"w.sqlite\"\n";
    std::fs::write(at, both).unwrap();
    project.daymill(&[&RUN[..], &["--target", "here"]].concat()).expect(0);
    assert_eq!(rows_of(&project.path("w.sqlite"), "SELECT CAST(id AS TEXT) FROM out"), ["7"]);
}

#[test]
fn triggers_that_run_afterwards_may_watch_and_may_not_change() {
    let database = Database::new();
    let project = project(&database.url, "postgres");
    project.daymill(&RUN).expect(0);
    database.execute(
        "CREATE TABLE log (id bigint); CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN INSERT INTO log VALUES (NEW.id); RETURN NULL; END'; \
         CREATE TRIGGER watcher AFTER INSERT ON out FOR EACH ROW EXECUTE FUNCTION f()",
    );
    project.daymill(&RUN).expect(0);
    assert_eq!(database.rows("SELECT count(*) FROM log"), ["(3)"]);
    database.execute("CREATE OR REPLACE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN UPDATE out SET x = 0 WHERE id = NEW.id; RETURN NULL; END'");
    project.daymill(&RUN).expect(78).says("a trigger changed them");
    database.execute("CREATE OR REPLACE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN DELETE FROM out WHERE id = 1; RETURN NULL; END'");
    project.daymill(&RUN).expect(78).says("a trigger changed them");
    assert_eq!(database.rows("SELECT id FROM out WHERE x <> 0").len(), 3);
    database.execute(
        "CREATE OR REPLACE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN UPDATE out SET x = 0 WHERE id = NEW.id; RETURN NULL; END'; \
         DROP TRIGGER watcher ON out; \
         CREATE CONSTRAINT TRIGGER late AFTER INSERT ON out DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION f()",
    );
    project.daymill(&RUN).expect(78).says("a trigger changed them");
    let sqlite = self::project("", "sqlite");
    sqlite.daymill(&RUN).expect(0);
    execute_sqlite(
        &sqlite.path("w.sqlite"),
        "CREATE TRIGGER late AFTER INSERT ON out BEGIN UPDATE out SET x = 0 WHERE id = NEW.id; END",
    );
    sqlite.daymill(&RUN).expect(78).says("a trigger changed them");
}

#[test]
fn a_hand_that_comes_between_the_look_and_the_load_is_counted() {
    const DROPS: &str = "CREATE OR REPLACE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN IF TG_OP = ''DELETE'' OR NEW.id = 2 THEN RETURN NULL; END IF; RETURN NEW; END'";
    for (operation, says) in [("INSERT", "took 2 of 3 rows"), ("DELETE", "3 old rows of the interval stayed")] {
        for path in ["direct", "staged"] {
            let database = Database::new();
            let project = project(&database.url, "postgres");
            project.write(
                "sql/s.sql",
                "SELECT id, id::float8 AS x FROM generate_series(1, 3) AS s (id) WHERE :date IS NOT NULL",
            );
            project.edit(
                "jobs/j.toml",
                "parquet = \"fixtures/writers/pyarrow-20/codec_none.parquet\"\nsnapshot = true",
                "connection = \"db\"\nsql = \"sql/s.sql\"",
            );
            project.write("sql/t.sql", "SELECT id, x FROM a");
            project.daymill(&RUN).expect(0);
            let child = project.start("score-batch=sleep(5000)", &[&RUN[..], &["--load-path", path]].concat());
            let looked = "SELECT 1 FROM pg_stat_activity WHERE state = 'idle' AND datname = current_database() AND query LIKE 'WITH own AS %'";
            until("the look at the table", || !database.rows(looked).is_empty());
            database.execute(&format!(
                "{DROPS}; CREATE TRIGGER late BEFORE {operation} ON out FOR EACH ROW EXECUTE FUNCTION f()"
            ));
            finish(child).expect(78).says(says).says("nothing was published");
            assert_eq!(database.rows("SELECT count(*) FROM out"), ["(3)"]);
        }
    }
}

#[test]
fn rows_that_somebody_else_added_or_took_are_replaced_and_told() {
    for kind in ["postgres", "sqlite"] {
        let database = Database::new();
        let project = project(&database.url, kind);
        let execute = |sql: &str| match kind {
            "sqlite" => execute_sqlite(&project.path("w.sqlite"), sql),
            _ => database.execute(sql),
        };
        project.daymill(&RUN).expect(0);
        execute("DELETE FROM out WHERE id = 1");
        project.daymill(&RUN).expect(0).says("held 2 rows of 2024-01-05 where the ledger says 3");
        execute(
            "INSERT INTO out SELECT 77, x, interval_start, interval_date, model, model_version, run_id FROM out WHERE id = 1",
        );
        project.daymill(&RUN).expect(0).says("held 4 rows of 2024-01-05 where the ledger says 3");
        // Another table has its own rows.
        project.daymill(&["run", "j", "--date", "2024-01-06"]).expect(0);
        project.edit("jobs/j.toml", "\"out\"", "\"out2\"");
        project.daymill(&["run", "j", "--date", "2024-01-06"]).expect(0);
        let quiet = project.daymill(&RUN).expect(0);
        assert!(!quiet.stderr.contains("warning"), "{}", quiet.stderr);
    }
}

#[test]
fn a_zero_has_no_sign_in_keys_hashes_and_warehouses() {
    for kind in ["postgres", "sqlite"] {
        let database = Database::new();
        let project = project(&database.url, kind);
        project.edit("jobs/j.toml", "[\"id\"]", "[\"x\"]");
        project.write(
            "sql/t.sql",
            "SELECT CASE WHEN i64 = 1 THEN -0.0::double precision ELSE f64 END AS x FROM a WHERE i64 IS NOT NULL",
        );
        project.daymill(&RUN).expect(0);
        project.daymill(&["ledger", "verify", "--rows", "j"]).expect(0);
        project.write("sql/t.sql", "SELECT CASE WHEN i64 = 1 THEN -0.0::double precision ELSE 0.0::double precision END AS x FROM a WHERE i64 IN (1, 9223372036854775807)");
        project.daymill(&RUN).expect(65).says("the key (x) is not unique");
    }
}
